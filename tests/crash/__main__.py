"""`make crash`: kill the bot at every point, restart it, and print how each story ended.

Ends with exit code 1 where anything is not whole, or where the naive bot is.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.crash.matrix import CHATS, draw, pairs, processes, singles
from tests.crash.worlds import Fate

PAIRS, SEED = 40, 7


async def main() -> int:
    """Print the matrix as it grows, then what it says in one line."""
    context, fates = processes(), []
    with TemporaryDirectory() as name:
        folder = Path(name)
        for chat in CHATS:
            single = [_show(each) async for each in singles(chat, folder, context)]
            twice = pairs(chat, folder, context, many=PAIRS, points=len(single), seed=SEED)
            fates += single + [_show(each) async for each in twice]
        naive = [_show(each) async for each in singles("naive", folder, context)]
    print(draw([*fates, *naive]))
    broken, caught = sum(bool(each.wrong) for each in fates), sum(bool(x.wrong) for x in naive)
    print(f"\n{len(fates)} stories, {broken} not whole; the naive bot: {caught} of {len(naive)}.")
    return 1 if broken or not caught else 0


def _show(fate: Fate) -> Fate:
    mark = "x" if fate.wrong else "."
    print(mark, end="", file=sys.stderr, flush=True)
    return fate


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
