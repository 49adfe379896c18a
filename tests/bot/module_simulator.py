"""A simulator that serves all tests of a file, for houses that stand as long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from bot.simulator import Faults, Simulator
from tests.conftest import MANUAL


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    """It finishes only when told, with small clips."""
    options = MANUAL
    async with Simulator(options, Faults()) as running_simulator:
        yield running_simulator
