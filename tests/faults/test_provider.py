"""A broken wire to the video service, in each part of a job's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.http import PAUSE_SECONDS
from bot.job import JobState
from bot.notices import Waiting
from bot.simulator import Simulator
from bot.simulator.faults import Operation
from tests.conftest import House
from tests.faults.kit import (
    IMPATIENT,
    before,
    finish_all,
    hurry,
    pass_time,
    provider_calls,
    readiness,
    spin,
    through,
    until,
)
from tests.faults.proxy import Fault, FaultProxy

FAULTS: tuple[Fault, ...] = ("refuse", "lose", "half-open")
#: The service is asked at most so often in a minute in which nothing comes of it.
MOST_CALLS = 15


@pytest.fixture
async def wire(simulator: Simulator) -> AsyncIterator[FaultProxy]:
    async with before(simulator.base_url) as proxy:
        yield proxy


@pytest.fixture
async def house(open_house: Callable[..., Any], wire: FaultProxy, simulator: Simulator) -> House:
    there = {"base_url": through(wire, simulator.base_url), **IMPATIENT}
    opened: House = await open_house(luma=there)
    return opened


async def a_bad_minute(house: House) -> None:
    """Whatever is tried in it, it is not tried often."""
    asked = provider_calls(house)
    await hurry(house, lambda: provider_calls(house) > asked)
    await pass_time(house, seconds=60)
    assert provider_calls(house) - asked <= MOST_CALLS
    assert await spin() < 0.5


async def check_that_all_is_well(house: House) -> None:
    """One generation for each job, one clip, and books that hold."""
    for job_id in house.jobs:
        await until(house, job_id, JobState.DELIVERED)
        assert len(house.chat.clips(job_id)) == 1
    assert len(house.simulator.generations) == len(house.jobs)
    assert not await open_notes(house)
    await house.check_books()


async def open_notes(house: House) -> list[str]:
    """What the operator was told."""
    statement = "SELECT sentence FROM operator_notices"
    return await house.app.database.read(
        lambda conn: [row[0] for row in conn.exec_driver_sql(statement)]
    )


async def test_a_broken_wire_is_waited_out(house: House, wire: FaultProxy) -> None:
    for fault in FAULTS:
        await wire.break_(fault)
        job_id = await house.ask(f"a fox and a {fault}")
        await a_bad_minute(house)
        await wire.mend()
        await until(house, job_id, JobState.GENERATING)

        await wire.break_(fault)
        await wire.cut()
        await a_bad_minute(house)
        await wire.mend()
        if fault in ("reset", "lose", "truncate"):
            await wire.break_(fault, only="/cdn/")
            wire.calls.clear()
            await finish_all(house.simulator)
            await hurry(house, lambda: sum("/cdn/" in each for each in wire.calls) >= 3)
            await wire.mend()
        await finish_all(house.simulator)
        await check_that_all_is_well(house)


# ---- answers that are no use -------------------------------------------------------------------


async def test_ten_minutes_of_503_cost_few_calls_and_nobody_anything(house: House) -> None:
    running = await house.ask("one fox")
    await until(house, running, JobState.GENERATING)
    house.simulator.faults.down()
    waiting = [await house.ask(f"{number} foxes") for number in range(8)]
    asked = provider_calls(house)
    await pass_time(house, seconds=600, step=15)
    # Every look is asked twice, every 15 s; each job that is in doubt looks for its own.
    assert provider_calls(house) - asked <= 200
    assert provider_calls(house, "POST") <= 20
    await hurry(
        house, lambda: all(isinstance(house.chat.status(each), Waiting) for each in waiting)
    )
    status, said = await readiness(house)
    assert (status, said["problems"]) == (200, {})
    assert "does not answer" in said["troubles"]["luma"] or "reached" in said["troubles"]["luma"]
    for job_id in waiting:
        job, soon = await house.job(job_id), house.clock.now() + timedelta(minutes=1)
        assert job.state is not JobState.SUBMITTING or (job.next_at or soon) <= soon
    house.simulator.faults.up()
    await all_are_made(house)
    assert (await readiness(house))[1]["troubles"] == {}


async def test_ten_minutes_of_429_are_kept_away_from(open_house: Callable[..., Any]) -> None:
    # Nothing is wrong with the wire, so nobody need be impatient: a busy machine is no fault.
    house: House = await open_house()
    running = await house.ask("one fox")
    await until(house, running, JobState.GENERATING)
    operations: tuple[Operation, ...] = ("create", "list", "get", "credits")
    for operation in operations:
        house.simulator.faults.too_many(operation, times=1000)
    asked, posted = provider_calls(house), provider_calls(house, "POST")
    for number in range(8):
        await house.ask(f"{number} foxes")
    await hurry(house, lambda: provider_calls(house, "POST") > posted)
    await pass_time(house, seconds=600, step=15)
    pauses = 600 / PAUSE_SECONDS
    assert provider_calls(house, "POST") - posted <= pauses + 8
    assert provider_calls(house) - asked <= 3 * pauses + 8
    house.simulator.faults._replies.clear()
    await all_are_made(house)


async def all_are_made(house: House) -> None:
    """Once the service is well again, each gets what they asked for."""
    async with asyncio.timeout(15):
        while len(house.simulator.generations) < len(house.jobs):
            await pass_time(house, seconds=4, moment=0.02)
    await finish_all(house.simulator)
    await check_that_all_is_well(house)
