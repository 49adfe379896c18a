"""How late an event loop comes back to a task that asked for five milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from time import perf_counter

from bench.children import Child
from bench.figures import percentile

PAUSE_SECONDS = 0.005
IDLE_SECONDS = 10.0


async def watch_stalls(late: list[float]) -> None:
    """Note how many seconds too late each short sleep ended, until cancelled."""
    while True:
        began = perf_counter()
        await asyncio.sleep(PAUSE_SECONDS)
        late.append(perf_counter() - began - PAUSE_SECONDS)


def idle(seconds: float) -> list[float]:
    """The same in a process whose loop has nothing else to do."""

    async def measure() -> list[float]:
        late: list[float] = []
        watching = asyncio.ensure_future(watch_stalls(late))
        await asyncio.sleep(seconds)
        watching.cancel()
        return late

    return asyncio.run(measure())


@cache
def idle_worst() -> float:
    """`worst` of an idle loop, measured once in this run of the bench, before what it is for."""
    return worst(Child(idle, IDLE_SECONDS).result(3 * IDLE_SECONDS))


def worst(late: Sequence[float]) -> float:
    """The 99.9th percentile in milliseconds."""
    return percentile(late, 99.9) * 1000
