"""A video service without a list: only its signed call can bring a lost clip back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.fal import FalFace
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.ports import free_port


@pytest.fixture
async def house(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> AsyncIterator[House]:
    """A bot that is reached from outside, and fal on loopback."""
    settings = SimulatorSettings(manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults(), face=FalFace) as fal:
        port = free_port()
        config = to_test_config(
            tmp_path,
            fal,
            bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
            defaults={"providers": ["fal"]},
            providers={
                "fal": {
                    "api_key": settings.api_key,
                    "base_url": fal.base_url,
                    "submit_timeout_seconds": 2,
                    "first_look_seconds": 0.1,
                    "look_seconds": 0.1,
                }
            },
        )
        async with running(config, fal, chat, clock) as house:
            yield house


async def become_uncertain(house: House, job_id: JobId) -> None:
    """Let time pass until the bot gives up looking; little of it, for calls must be fresh."""
    async with asyncio.timeout(15):
        while (await house.job(job_id)).state is not JobState.UNCERTAIN:
            house.clock.move(seconds=2)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("is_forged", [False, True], ids=["true", "forged before"])
async def test_a_signed_call_brings_back_a_lost_reply(house: House, is_forged: bool) -> None:
    if is_forged:
        house.simulator.faults.break_callback("forged")
    house.simulator.faults.drop("create", accepted=True)
    job_id = await house.ask()
    await house.simulator.wait_for_creates(1)
    await become_uncertain(house, job_id)
    await house.simulator.finish(next(iter(house.simulator.generations)))
    await house.delivered(job_id)
    assert len(house.simulator.generations) == len(house.chat.clips()) == 1
    await house.check_books()


async def test_without_a_call_a_person_decides(house: House) -> None:
    house.simulator.faults.break_callback("lost")
    house.simulator.faults.drop("create", accepted=True)
    job_id = await house.ask()
    await house.simulator.wait_for_creates(1)
    await become_uncertain(house, job_id)
    await house.simulator.finish(next(iter(house.simulator.generations)))
    house.clock.move(hours=1)
    assert (await house.job(job_id)).state is JobState.UNCERTAIN
    assert len(house.simulator.generations) == 1
    await house.check_books()


async def test_a_fault_of_the_service_is_tried_once_more_and_a_refusal_is_not(
    house: House,
) -> None:
    refused = await house.ask("something moderated")
    assert (await house.until(refused, JobState.FAILED)).failure is not None
    again = await house.ask()
    await house.simulator.wait_for_creates(2)
    first = list(house.simulator.generations)[1]
    await house.until(again, JobState.GENERATING)
    await house.simulator.fail(first)
    await house.simulator.wait_for_creates(3)
    await house.until(again, JobState.GENERATING)
    await house.simulator.finish(list(house.simulator.generations)[2])
    job = await house.delivered(again)
    assert job.cost == 200_000
    await house.check_books()
