"""Chores that go on whatever one of them meets: nobody's clip waits for a chore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from bot.clock import Clock
from bot.errors import Stale, StoreError
from bot.log import get_logger

BEGINS_ANEW_AFTER = timedelta(seconds=60)
Chore = Callable[[], Awaitable[None]]
T = TypeVar("T")
log = get_logger(__name__)


async def keep_going(chores: Iterable[Chore], clock: Clock) -> None:
    """Carry out chores until cancelled; a fault of ours in one is logged, and it begins anew.

    What it met stays where it was, so it would end the whole bot, and again at every start.
    """
    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(_keep_one(chore, clock))


async def for_each(
    items: Iterable[T], act: Callable[[T], Awaitable[object]], *, name: Callable[[T], str]
) -> None:
    """Do this with each item, whatever one of them meets; the last fault is raised in the end.

    A chore begins anew with the same item, so that all after it would wait for ever. Where the
    database is away, all of them wait.
    """
    fault: Exception | None = None
    for item in items:
        try:
            await act(item)
        except Stale as error:
            fault = error
        except StoreError:
            raise
        except Exception as error:
            log.exception("chore.item_fault", item=name(item))
            fault = error
    if fault is not None:
        raise fault


async def _keep_one(chore: Chore, clock: Clock) -> None:
    while True:
        try:
            await chore()
        except Exception:
            log.exception("chore.fault", chore=getattr(chore, "__qualname__", ""))
            await clock.wait(asyncio.Event(), clock.now() + BEGINS_ANEW_AFTER)
        else:
            return
