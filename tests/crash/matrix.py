"""Every story with one kill in it, a sample of those with two, and the table of how they ended."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import AsyncIterator, Sequence
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.crash.worlds import Chat, Fate, tell

CHATS: tuple[Chat, ...] = ("discord", "slack")


def processes() -> ForkServerContext:
    """Children that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.life"])
    return context


async def singles(
    chat: Chat, folder: Path, context: ForkServerContext, *, first: int = 1, step: int = 1
) -> AsyncIterator[Fate]:
    """A kill at each point from `first` on, until a story is over before it comes to the next."""
    for die_at in count(first, step):
        fate = await tell(chat, folder / f"{chat}-{die_at}", context, die_at)
        if fate is None:
            return
        yield fate


async def pairs(
    chat: Chat, folder: Path, context: ForkServerContext, *, many: int, points: int, seed: int
) -> AsyncIterator[Fate]:
    """So many stories with two kills, at random points of the first life and of the second."""
    rng = random.Random(seed)
    for number in range(many):
        both = rng.randint(1, points), rng.randint(1, points)
        fate = await tell(chat, folder / f"{chat}-pair-{number}", context, *both)
        if fate is not None:
            yield fate


def draw(fates: Sequence[Fate]) -> str:
    """The table: each point, and whether all was well after it."""
    rows = [
        f"| {each.chat} | {each.die_at} | {each.point} | {'; '.join(each.wrong) or 'whole'} |"
        for each in fates
    ]
    return "\n".join(["| chat | point | killed | after the restart |", "|---|---|---|---|", *rows])
