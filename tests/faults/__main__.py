"""`make faults`: long outages of each party, one fault at a time, and what they cost.

Ends with exit code 1 where anything was wrong with one.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from multiprocessing.queues import SimpleQueue

from tests.faults.outages import Outcome
from tests.faults.rows import ON_POSTGRES, ROWS, begin, play
from tests.postgres_server import NO_SERVER, postgres_server

#: Most of an outage is waiting.
AT_ONCE = 3


def to_options(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="rows with one of these in their names; else all"
    )
    parser.add_argument("--sqlite-only", action="store_true", help="do without PostgreSQL")
    return parser.parse_args(words)


def main(options: argparse.Namespace) -> int:
    """Play what is asked for, and say whether all came out well."""
    left_out = ON_POSTGRES if options.sqlite_only else frozenset[str]()
    names = [
        each
        for each in ROWS
        if each not in left_out and any(word in each for word in options.words or [""])
    ]
    if not names:
        print(f"No row is named like that. There are: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    if ON_POSTGRES.isdisjoint(names):
        return _played(names)
    with postgres_server() as has_one:
        if has_one:
            return _played(names)
    print(f"{NO_SERVER}: install it, or say --sqlite-only.", file=sys.stderr)
    return 2


def _played(names: Sequence[str]) -> int:
    print("| fault | minutes | calls a minute | POSTs | s to go on | at rest, % | wrong |")
    print("|---|---|---|---|---|---|---|", flush=True)
    fresh = get_context("spawn")
    numbers: SimpleQueue[int] = fresh.SimpleQueue()
    for each in range(AT_ONCE):
        numbers.put(each)
    with ProcessPoolExecutor(AT_ONCE, fresh, begin, (numbers,)) as pool:
        are_good = [tell(*each) for each in zip(names, pool.map(play, names), strict=True)]
    return 0 if all(are_good) else 1


def tell(name: str, found: Outcome | str) -> bool:
    """Print how one came out; whether that was well."""
    if isinstance(found, str):
        print(found, file=sys.stderr)
        print(f"| {name} | | | | | | It did not come to its end. |", flush=True)
        return False
    print(
        f"| {name} | {found.minutes:.0f} | {found.calls / found.minutes:.1f} | {found.posts} "
        f"| {found.recovered:.0f} | {found.during.share * 100:.0f} "
        f"| {'; '.join(found.wrong) or 'nothing'} |",
        flush=True,
    )
    return not found.wrong


def _end(*_: object) -> None:
    """SIGTERM ends the rows as well, and stops the server that was started for them."""
    for each in active_children():
        each.terminate()
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(to_options(sys.argv[1:])))
