"""Arrivals that wait for nobody: each comes when it is due, whoever has been answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from time import perf_counter


async def paced(count: int, rate: float, *, by_chance: bool = False) -> AsyncIterator[float]:
    """So many a second, evenly or by chance; each with the moment at which it was due."""
    due = perf_counter()
    for _ in range(count):
        due += random.expovariate(rate) if by_chance else 1 / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))
        yield due
