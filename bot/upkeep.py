"""Chores that go on whatever one of them meets: nobody's clip waits for a chore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from bot.clock import Clock
from bot.log import get_logger

BEGINS_ANEW_AFTER = timedelta(seconds=60)
Chore = Callable[[], Awaitable[None]]
log = get_logger(__name__)


async def keep_going(chores: Iterable[Chore], clock: Clock) -> None:
    """Carry out chores until cancelled; a fault of ours in one is logged, and it begins anew.

    What it met stays where it was, so it would end the whole bot, and again at every start.
    """
    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(_keep_one(chore, clock))


async def _keep_one(chore: Chore, clock: Clock) -> None:
    while True:
        try:
            await chore()
        except Exception:
            log.exception("chore.fault", chore=getattr(chore, "__qualname__", ""))
            await clock.wait(asyncio.Event(), clock.now() + BEGINS_ANEW_AFTER)
        else:
            return
