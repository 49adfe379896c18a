"""Every story with one kill in it, a sample of those with two, and the table of how they ended."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.crash.books import Kind
from tests.crash.chats import world
from tests.crash.fates import Fate, tell
from tests.crash.frozen import FREEZES, FREEZES_IN, tell_frozen
from tests.crash.points import Where
from tests.crash.stories import TEXT, Story
from tests.crash.worlds import Chat

HEAD = (
    "| database | chat | story | point | killed | after the restart | seconds |\n"
    "|---|---|---|---|---|---|---|"
)
#: How a story ends that was in doubt twice, where all is right about that.
ASKED = "the operator was asked, and released"
CHATS: tuple[Chat, ...] = ("discord", "slack")
#: So many stories in a row are over before their point: there are no more. One alone may have
#: passed fewer points than the others.
OVER_IN_A_ROW = 4


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where stories are told: in front of which chat, on which database, so many at once."""

    chat: Chat
    database: Kind
    folder: Path
    processes: ForkServerContext
    story: Story = TEXT
    at_once: int = 1

    async def tell(self, name: str, *points: Where) -> Fate | None:
        """One story, in a world of its own."""
        folder = self.folder / f"{self.chat}-{self.database}-{self.story.name}-{name}"
        async with world(self.chat, self.database, folder, self.story) as place:
            return await tell(place, self.processes, *points)

    async def _tell_all(self, stories: Mapping[str, tuple[Where, ...]]) -> list[Fate | None]:
        async with asyncio.TaskGroup() as group:
            telling = [
                group.create_task(self.tell(name, *points)) for name, points in stories.items()
            ]
        return [each.result() for each in telling]

    async def freezes(self, *, step: int = 1) -> AsyncIterator[Fate]:
        """A process that freezes, at each of some points, and another one that takes over."""
        turn = asyncio.Semaphore(self.at_once)

        async def tell_one(number: int, point: str) -> Fate:
            folder = self.folder / f"{self.chat}-frozen-{number}"
            async with turn, world(self.chat, self.database, folder) as place:
                return await tell_frozen(place, self.processes, point)

        points = (*FREEZES, *FREEZES_IN[self.chat])[::step]
        for telling in asyncio.as_completed([tell_one(*each) for each in enumerate(points)]):
            yield await telling

    async def singles(self, *, first: int = 1, step: int = 1) -> AsyncIterator[Fate]:
        """A kill at each point from `first` on, until stories are over before they come to one."""
        numbers, over = count(first, step), 0
        while over < OVER_IN_A_ROW:
            some = [next(numbers) for _ in range(self.at_once)]
            fates = await self._tell_all({str(each): (each,) for each in some})
            for fate in fates:
                over = over + 1 if fate is None or fate.is_early else 0
                if fate is not None:
                    yield fate

    async def essentials(self, told: Iterable[Fate]) -> AsyncIterator[Fate]:
        """A kill at each essential point at which nobody was killed yet."""
        left = self.missing(told)
        for start in range(0, len(left), self.at_once):
            some = left[start : start + self.at_once]
            stories = {f"essential-{start + at}": (point,) for at, point in enumerate(some)}
            for fate in await self._tell_all(stories):
                if fate is not None:
                    yield fate

    def missing(self, told: Iterable[Fate]) -> list[str]:
        """The essential points at which nobody was killed."""
        killed = [each.point for each in told if not each.is_early]
        wanted = self.story.essential(self.chat, self.database)
        return [each for each in wanted if not any(re.match(each, point) for point in killed)]

    async def pairs(self, *, many: int, points: int, seed: int) -> AsyncIterator[Fate]:
        """So many stories with two kills, at random points of the first life and the second.

        A life has so many `points`; with 0 nobody counted them, and essential ones are taken.
        """
        rng = random.Random(seed)
        both = [self._pair(rng, points) for _ in range(many)]
        for start in range(0, many, self.at_once):
            some = both[start : start + self.at_once]
            stories = {f"pair-{start + at}": pair for at, pair in enumerate(some)}
            for fate in await self._tell_all(stories):
                if fate is not None:
                    yield fate

    def _pair(self, rng: random.Random, points: int) -> tuple[Where, Where]:
        if points:
            return rng.randint(1, points), rng.randint(1, points)
        names = self.story.essential(self.chat, self.database)
        # What comes before the first kill, the second life need not do again.
        first, second = sorted(rng.choices(range(len(names)), k=2))
        return names[first], names[second]


def to_row(fate: Fate) -> str:
    """A line of the table: a point, and whether all was well after it."""
    well = ASKED if fate.is_asked else "whole"
    end = "; ".join(fate.wrong) or well
    where = f"| {fate.database} | {fate.chat} | {fate.story} | {fate.die_at} | {fate.point} "
    return f"{where}| {end} | {fate.seconds:.1f} |"
