"""A simulator that serves all tests of a file, for houses that stand as long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from bot.simulator import Faults, Simulator, SimulatorSettings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    """It finishes only when told, with small clips."""
    options = SimulatorSettings(
        manual=True, same_clip=True, full_size=False, running_limit=None, creates_per_minute=None
    )
    async with Simulator(options, Faults()) as running_simulator:
        yield running_simulator
