"""Work that goes on while something else is done, and ends with it. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

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


async def end(*groups: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks of each group, and wait until they are over, before those of the next."""
    for tasks in filter(None, groups):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
