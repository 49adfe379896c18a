"""The `raybot` command: loads the program, then runs what was typed."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command; a known problem becomes one sentence and exit code 2 or 1."""
    # What is loaded stays: searched for garbage meanwhile, a start takes half as long again.
    gc.disable()
    from bot.cli.typed import run_typed

    gc.freeze()
    gc.enable()
    run_typed()


if __name__ == "__main__":
    main()
