"""Long outages of each party, one fault at a time; prints what they cost and what was wrong.

`python -m tests.faults WORD …` plays only rows with one of these in their names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue

from tests.faults.outages import Outcome
from tests.faults.rows import ROWS, begin, play
from tests.postgres import SERVER

#: Most of an outage is waiting.
AT_ONCE = 3


def main(words: Iterable[str]) -> int:
    """Play what has one of these words in its name, and say whether all came out well."""
    names = [each for each in ROWS if any(word in each for word in words or [""])]
    if not names:
        print(f"No row is named like that. There are: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    if not os.environ.get(SERVER):
        print(f"PostgreSQL is left out: {SERVER} is not set (see .ci/postgres).\n")
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
