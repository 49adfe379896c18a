"""Work that goes on while something else is done, and ends with it. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

GIVEN_UP_AGAIN_SECONDS = 0.1
T = TypeVar("T")


@asynccontextmanager
async def alongside(
    work: Awaitable[T], *, again_after: float | None = None
) -> AsyncIterator[asyncio.Task[T]]:
    """Carry it out while the block runs, then give it up; its own end is no end of the block.

    What it met is for the block to ask. Work that libraries wait for is cancelled again after so
    many seconds: their `wait_for`, up to Python 3.11, may lose one cancel.
    """
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=again_after)


async def within(seconds: float, work: Awaitable[T]) -> T:
    """What it returns; raises `TimeoutError` where it takes longer, and it is given up.

    The database's driver, told so once, politely waits for an answer that may never come.
    """
    async with alongside(work, again_after=GIVEN_UP_AGAIN_SECONDS) as task:
        try:
            await asyncio.wait({task}, timeout=seconds)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.add_done_callback(_ignore)


def _ignore(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()


async def end(*groups: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks of each group, and wait until they are over, before those of the next."""
    for tasks in filter(None, groups):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
