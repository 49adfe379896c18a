"""`make crash`: kill the bot at every point, restart it, and print how each story ended.

Afterwards freeze and thaw it at some. Ends with exit code 1 where anything is not whole, where
nobody was killed at an essential point, or where no kill makes the naive bot pay or post twice.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from tests.crash.books import Kind
from tests.crash.fates import Fate
from tests.crash.matrix import CHATS, HEAD, Stage, to_row
from tests.crash.stories import STORIES_IN, TEXT, Story
from tests.crash.worlds import Chat
from tests.forked import processes
from tests.postgres_server import NO_SERVER, postgres_server, run

SEED = 7
#: Of the story of a text, and of each other one.
PAIRS_OF_TEXT, PAIRS = 40, 10
PAIRS_HELP = (
    f"stories with two kills, each; else {PAIRS_OF_TEXT} of the text and {PAIRS} of each other one"
)
#: What is wrong with a naive bot: nothing else may be, or it shows nothing.
DOUBLED = {(), ("2 generations",), ("2 clips",)}
DATABASES: tuple[Kind, ...] = get_args(Kind)
NAMES = tuple(dict.fromkeys(each.name for told in STORIES_IN.values() for each in told))


def to_options(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--database", choices=DATABASES, help="one of them; else both")
    parser.add_argument("--chat", choices=CHATS, help="one of them; else both")
    parser.add_argument("--story", choices=NAMES, help="one of them; else all")
    parser.add_argument("--pairs", type=int, help=PAIRS_HELP)
    parser.add_argument("--at-once", type=int, default=2, help="stories at the same time")
    parser.add_argument("--frozen", action="store_true", help="freeze and thaw; no kills")
    parser.add_argument("--step", type=int, default=1, help="only every so many points")
    parser.add_argument("--sqlite-only", action="store_true", help="do without PostgreSQL")
    return parser.parse_args(words)


@dataclass
class Telling:
    """What was told so far, and at which essential points nobody was killed."""

    options: argparse.Namespace
    folder: Path
    fates: list[Fate] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    async def all_of(self, stages: Sequence[Stage]) -> None:
        """Print the matrix as it grows, then what happens to the frozen."""
        print(HEAD)
        for stage in stages:
            began, before = time.monotonic(), len(self.fates)
            if not self.options.frozen:
                await self._kills(stage)
            if stage.database == "postgresql" and stage.story is TEXT:
                await self._show(stage.freezes(step=self.options.step))
            took, many = time.monotonic() - began, len(self.fates) - before
            name = f"{stage.database}, {stage.chat}, {stage.story.name}"
            print(f"{name}: {many} stories, {took:.0f} s", file=sys.stderr, flush=True)

    async def _kills(self, stage: Stage) -> None:
        """At each point on SQLite, and for a text, else at the essential ones; then at pairs."""
        told: list[Fate] = []
        is_text, step = stage.story is TEXT, self.options.step
        if stage.database == "sqlite" or is_text:
            told += await self._show(stage.singles(step=step))
        many = self.options.pairs
        if many is None:
            many = PAIRS_OF_TEXT if is_text else PAIRS
        await self._show(stage.pairs(many=many, points=len(told) * step, seed=SEED))
        told += await self._show(stage.essentials(told))
        name = f"{stage.database}, {stage.chat}, {stage.story.name}"
        self.missing += [f"{name}: {each}" for each in stage.missing(told)]

    async def _show(self, fates: AsyncIterator[Fate]) -> list[Fate]:
        shown = await _shown(fates)
        self.fates += shown
        return shown


async def _shown(fates: AsyncIterator[Fate]) -> list[Fate]:
    shown = []
    async for each in fates:
        print(to_row(each), flush=True)
        shown.append(each)
    return shown


async def main(options: argparse.Namespace) -> int:
    """Tell all that is asked for, and say what came of it in a few lines."""
    wants_postgres = not options.sqlite_only and options.database != "sqlite"
    with TemporaryDirectory() as name:
        telling = Telling(options, Path(name))
        if not wants_postgres:
            return await _told(telling, ["sqlite"])
        with postgres_server() as has_one:
            if has_one:
                return await _told(telling, list(DATABASES))
    print(f"{NO_SERVER}: install it, or say --sqlite-only.", file=sys.stderr)
    return 2


async def _told(telling: Telling, databases: list[Kind]) -> int:
    options, folder = telling.options, telling.folder
    await telling.all_of([*_stages(options, folder, databases)])
    naive = await _shown(_stage("naive", folder, options).singles())
    fates = telling.fates
    broken, caught = sum(bool(each.wrong) for each in fates), sum(bool(x.wrong) for x in naive)
    asked = sum(each.is_asked for each in fates)
    print(
        f"\n{len(fates)} stories, {broken} not whole, {asked} that the operator had to end; ",
        end="",
    )
    print(f"the naive bot: {caught} of {len(naive)}.")
    for each in telling.missing:
        print(f"Nobody was killed here: {each}")
    is_shown = caught > 0 and {each.wrong for each in naive} <= DOUBLED
    return 0 if fates and not broken and not telling.missing and is_shown else 1


def _stages(options: argparse.Namespace, folder: Path, databases: list[Kind]) -> Iterator[Stage]:
    for database in databases:
        for chat in CHATS:
            for story in STORIES_IN[chat]:
                is_asked = options.database in (None, database) and options.chat in (None, chat)
                if is_asked and options.story in (None, story.name):
                    yield _stage(chat, folder, options, database=database, story=story)


def _stage(
    chat: Chat,
    folder: Path,
    options: argparse.Namespace,
    *,
    database: Kind = "sqlite",
    story: Story = TEXT,
) -> Stage:
    return Stage(
        chat=chat,
        database=database,
        folder=folder,
        processes=processes(),
        story=story,
        at_once=options.at_once,
    )


if __name__ == "__main__":
    sys.exit(run(main(to_options(sys.argv[1:]))))
