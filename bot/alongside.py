"""Work that goes on while something else is done, and ends with it. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def alongside(work: Awaitable[T]) -> AsyncIterator[asyncio.Task[T]]:
    """Carry it out while the block runs, then give it up; its own end is no end of the block.

    What it met is for the block to ask.
    """
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def end(*groups: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks of each group, and wait until they are over, before those of the next."""
    for tasks in filter(None, groups):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
