"""`make crash`: kill the bot at every point, restart it, and print how each story ended.

Ends with exit code 1 where anything is not whole, or where no kill makes the naive bot pay or
post twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from tests.crash.books import Kind
from tests.crash.matrix import CHATS, HEAD, Stage, processes, to_row
from tests.crash.worlds import Chat, Fate
from tests.postgres import SERVER

SEED = 7
#: What is wrong with a naive bot: nothing else may be, or it shows nothing.
DOUBLED = {(), ("2 generations",), ("2 clips",)}
DATABASES: tuple[Kind, ...] = get_args(Kind)


def to_options(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--database", choices=DATABASES, help="one of them; else both")
    parser.add_argument("--chat", choices=CHATS, help="one of them; else both")
    parser.add_argument("--pairs", type=int, default=40, help="stories with two kills, each")
    parser.add_argument("--at-once", type=int, default=2, help="stories at the same time")
    parser.add_argument("--frozen", action="store_true", help="freeze and thaw; no kills")
    parser.add_argument("--step", type=int, default=1, help="only every so many points")
    return parser.parse_args(words)


async def main(options: argparse.Namespace) -> int:
    """Print the matrix as it grows, then what it says in one line."""
    fates: list[Fate] = []
    print(HEAD)
    with TemporaryDirectory() as name:
        for database in _databases(options):
            for chat in [options.chat] if options.chat else CHATS:
                fates += await _tell_all(_stage(chat, database, Path(name), options), options)
        naive = [_show(x) async for x in _stage("naive", "sqlite", Path(name), options).singles()]
    broken, caught = sum(bool(each.wrong) for each in fates), sum(bool(x.wrong) for x in naive)
    print(f"\n{len(fates)} stories, {broken} not whole; the naive bot: {caught} of {len(naive)}.")
    is_shown = caught > 0 and {each.wrong for each in naive} <= DOUBLED
    return 0 if fates and not broken and is_shown else 1


def _databases(options: argparse.Namespace) -> list[Kind]:
    asked = [options.database] if options.database else list(DATABASES)
    if options.frozen:
        # Only there can another process take over.
        asked = ["postgresql"]
    if os.environ.get(SERVER) or "postgresql" not in asked:
        return asked
    print(f"Without PostgreSQL: {SERVER} is not set (see .ci/postgres).", file=sys.stderr)
    return [each for each in asked if each != "postgresql"]


def _stage(chat: Chat, database: Kind, folder: Path, options: argparse.Namespace) -> Stage:
    return Stage(
        chat=chat,
        database=database,
        folder=folder,
        processes=processes(),
        at_once=options.at_once,
    )


async def _tell_all(stage: Stage, options: argparse.Namespace) -> list[Fate]:
    began = time.monotonic()
    if options.frozen:
        return [_show(each) async for each in stage.freezes()]
    single = [_show(each) async for each in stage.singles(step=options.step)]
    twice = stage.pairs(many=options.pairs, points=len(single) * options.step, seed=SEED)
    fates = single + [_show(each) async for each in twice]
    took = time.monotonic() - began
    print(f"{stage.database}, {stage.chat}: {took:.0f} s", file=sys.stderr, flush=True)
    return fates


def _show(fate: Fate) -> Fate:
    print(to_row(fate), flush=True)
    return fate


if __name__ == "__main__":
    sys.exit(asyncio.run(main(to_options(sys.argv[1:]))))
