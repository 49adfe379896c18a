"""Every story with one kill in it, a sample of those with two, and the table of how they ended."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.crash.books import Kind
from tests.crash.frozen import FREEZES, FREEZES_IN, tell_frozen
from tests.crash.points import Where
from tests.crash.worlds import Chat, Fate, tell, world

HEAD = (
    "| database | chat | point | killed | after the restart | seconds |\n|---|---|---|---|---|---|"
)
CHATS: tuple[Chat, ...] = ("discord", "slack")


def processes() -> ForkServerContext:
    """Children that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.life"])
    return context


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where stories are told: in front of which chat, on which database, so many at once."""

    chat: Chat
    database: Kind
    folder: Path
    processes: ForkServerContext
    at_once: int = 1

    async def tell(self, name: str, *points: Where) -> Fate | None:
        """One story, in a world of its own."""
        folder = self.folder / f"{self.chat}-{self.database}-{name}"
        async with world(self.chat, self.database, folder) as place:
            return await tell(place, self.processes, *points)

    async def _tell_all(self, stories: Mapping[str, tuple[Where, ...]]) -> list[Fate | None]:
        async with asyncio.TaskGroup() as group:
            telling = [
                group.create_task(self.tell(name, *points)) for name, points in stories.items()
            ]
        return [each.result() for each in telling]

    async def freezes(self) -> AsyncIterator[Fate]:
        """A process that freezes, at each of some points, and another one that takes over."""
        turn = asyncio.Semaphore(self.at_once)

        async def tell_one(number: int, point: str) -> Fate:
            folder = self.folder / f"{self.chat}-frozen-{number}"
            async with turn, world(self.chat, self.database, folder) as place:
                return await tell_frozen(place, self.processes, point)

        points = (*FREEZES, *FREEZES_IN[self.chat])
        for telling in asyncio.as_completed([tell_one(*each) for each in enumerate(points)]):
            yield await telling

    async def singles(self, *, first: int = 1, step: int = 1) -> AsyncIterator[Fate]:
        """A kill at each point from `first` on, until a story is over before it comes to one."""
        numbers = count(first, step)
        while True:
            some = [next(numbers) for _ in range(self.at_once)]
            fates = await self._tell_all({str(each): (each,) for each in some})
            for fate in fates:
                if fate is not None:
                    yield fate
            if any(each is None or each.is_early for each in fates):
                return

    async def pairs(self, *, many: int, points: int, seed: int) -> AsyncIterator[Fate]:
        """So many stories with two kills, at random points of the first life and the second."""
        rng = random.Random(seed)
        both = [(rng.randint(1, points), rng.randint(1, points)) for _ in range(many)]
        for start in range(0, many, self.at_once):
            some = both[start : start + self.at_once]
            stories = {f"pair-{start + at}": pair for at, pair in enumerate(some)}
            for fate in await self._tell_all(stories):
                if fate is not None:
                    yield fate


def to_row(fate: Fate) -> str:
    """A line of the table: a point, and whether all was well after it."""
    end = "; ".join(fate.wrong) or "whole"
    where = f"| {fate.database} | {fate.chat} | {fate.die_at} | {fate.point} "
    return f"{where}| {end} | {fate.seconds:.1f} |"
