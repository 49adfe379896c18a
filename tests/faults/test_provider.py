"""A broken wire to the video service, in each part of a job's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from bot import clips
from bot.http import PAUSE_SECONDS
from bot.job import JobState
from bot.notices import Waiting
from bot.simulator import Simulator
from bot.simulator.faults import Operation
from bot.steps.delivery import BROKEN_FETCHES
from tests.conftest import RunningBot
from tests.faults.outages import (
    IMPATIENT,
    MOST_OF_A_CORE,
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
#: Those that a clip's host is soon asked again after.
OF_A_CLIP: tuple[Fault, ...] = ("reset", "lose", "truncate")
#: The service is asked at most so often in a minute in which nothing comes of it.
MOST_CALLS = 15


@pytest.fixture
async def wire(simulator: Simulator) -> AsyncIterator[FaultProxy]:
    async with before(simulator.base_url) as proxy:
        yield proxy


@pytest.fixture
async def bot(start_bot: Callable[..., Any], wire: FaultProxy, simulator: Simulator) -> RunningBot:
    there = {"base_url": through(wire, simulator.base_url), **IMPATIENT}
    opened: RunningBot = await start_bot(luma=there)
    return opened


async def a_bad_minute(bot: RunningBot) -> None:
    """Whatever is tried in it, it is not tried often."""
    asked = provider_calls(bot)
    await hurry(bot, lambda: provider_calls(bot) > asked)
    await pass_time(bot, seconds=60)
    assert provider_calls(bot) - asked <= MOST_CALLS
    assert await spin() < MOST_OF_A_CORE


async def check_that_all_is_well(bot: RunningBot) -> None:
    """One generation for each job, one clip, and books that hold."""
    for job_id in bot.jobs:
        await until(bot, job_id, JobState.DELIVERED)
        assert len(bot.chat.clips(job_id)) == 1
    assert len(bot.simulator.generations) == len(bot.jobs)
    assert await bot.notes() == []
    await bot.check_books()


async def test_a_broken_wire_is_waited_out(bot: RunningBot, wire: FaultProxy) -> None:
    for fault in FAULTS:
        await wire.break_(fault)
        job_id = await bot.ask(f"a fox and a {fault}")
        await a_bad_minute(bot)
        await wire.mend()
        await until(bot, job_id, JobState.GENERATING)

        await wire.break_(fault)
        await wire.cut()
        await a_bad_minute(bot)
        await wire.mend()
        await finish_all(bot.simulator)
        await check_that_all_is_well(bot)


async def test_a_clip_whose_way_breaks_is_fetched_again(
    bot: RunningBot, wire: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each fetch asks once, so that these are more than a clip that is broken would get.
    monkeypatch.setattr(clips, "TRIES", 1)
    for fault in OF_A_CLIP:
        job_id = await bot.ask(f"a fox and a {fault}")
        await until(bot, job_id, JobState.GENERATING)
        await wire.break_(fault, only="/cdn/")
        wire.calls.clear()
        await finish_all(bot.simulator)
        await hurry(bot, lambda: sum("/cdn/" in each for each in wire.calls) > BROKEN_FETCHES)
        assert (await bot.job(job_id)).state is JobState.FETCHING
        await wire.mend()
        await check_that_all_is_well(bot)


# ---- answers that are no use -------------------------------------------------------------------


async def test_ten_minutes_of_503_cost_few_calls_and_nobody_anything(
    start_bot: Callable[..., Any],
) -> None:
    # Nothing is wrong with the wire, so nobody need be impatient: a busy machine is no fault.
    bot: RunningBot = await start_bot()
    running = await bot.ask("one fox")
    await until(bot, running, JobState.GENERATING)
    bot.simulator.faults.down()
    waiting = [await bot.ask(f"{number} foxes") for number in range(8)]
    asked = provider_calls(bot)
    await pass_time(bot, seconds=600, step=15)
    # Every look is asked twice, every 15 s; each job that is in doubt looks for its own.
    assert provider_calls(bot) - asked <= 200
    assert provider_calls(bot, "POST") <= 20
    await hurry(bot, lambda: all(isinstance(bot.chat.status(each), Waiting) for each in waiting))
    status, said = await readiness(bot)
    assert (status, said["problems"]) == (200, {})
    assert "does not answer" in said["troubles"]["luma"] or "reached" in said["troubles"]["luma"]
    for job_id in waiting:
        job, soon = await bot.job(job_id), bot.clock.now() + timedelta(minutes=1)
        assert job.state is not JobState.SUBMITTING or (job.next_at or soon) <= soon
    bot.simulator.faults.up()
    await all_are_made(bot)
    assert (await readiness(bot))[1]["troubles"] == {}


async def test_ten_minutes_of_429_are_kept_away_from(start_bot: Callable[..., Any]) -> None:
    bot: RunningBot = await start_bot()
    running = await bot.ask("one fox")
    await until(bot, running, JobState.GENERATING)
    operations: tuple[Operation, ...] = ("create", "list", "get", "credits")
    for operation in operations:
        bot.simulator.faults.too_many(operation, times=1000)
    asked, posted = provider_calls(bot), provider_calls(bot, "POST")
    for number in range(8):
        await bot.ask(f"{number} foxes")
    await hurry(bot, lambda: provider_calls(bot, "POST") > posted)
    await pass_time(bot, seconds=600, step=15)
    pauses = 600 / PAUSE_SECONDS
    assert provider_calls(bot, "POST") - posted <= pauses + 8
    assert provider_calls(bot) - asked <= 3 * pauses + 8
    bot.simulator.faults._replies.clear()
    await all_are_made(bot)


async def all_are_made(bot: RunningBot) -> None:
    """Once the service is well again, each gets what they asked for."""
    async with asyncio.timeout(30):
        while len(bot.simulator.generations) < len(bot.jobs):
            await bot.clock.let_pass(seconds=4)
    await finish_all(bot.simulator)
    await check_that_all_is_well(bot)
