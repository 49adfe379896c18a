"""The `raybot` command: loads the program, then runs what was typed."""

from __future__ import annotations

import gc

#: After how many new objects garbage is looked for, and how much rarer further: a crowd's clips
#: leave little, and by default the looks cost 2 % of their work.
GARBAGE_AT = (3_000, 20, 20)


def main() -> None:
    """Run the command; a known problem becomes one sentence and exit code 2 or 1."""
    # What is loaded stays: searched for garbage meanwhile, a start takes half as long again.
    gc.disable()
    from bot.cli.typed import run_typed

    gc.freeze()
    gc.enable()
    gc.set_threshold(*GARBAGE_AT)
    run_typed()


if __name__ == "__main__":
    main()
