"""A video service without a list: only its signed call can bring a lost clip back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.job import JobState
from bot.providers.fal import LOOKS
from bot.refs import JobId
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.fal import FalFace
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.ports import free_port


@pytest.fixture
def pace() -> tuple[float, float]:
    """Seconds to the first look at a clip, and from one to the next."""
    return 0.1, 0.1


@pytest.fixture
async def house(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock, pace: tuple[float, float]
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
                    "first_look_seconds": pace[0],
                    "look_seconds": pace[1],
                    "gets_per_second": 100,
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


@pytest.mark.parametrize("pace", [(3600, 60)], ids=["rare looks"])
async def test_clips_that_are_called_for_at_once_do_not_wait_for_the_first_look(
    house: House,
) -> None:
    """One look asks about a few of them, since there is no list; the next about the others.

    Of one whose reply was lost nobody would ask again.
    """
    begun = [await house.ask(user=f"person{number}") for number in range(8)]
    for job_id in begun:
        await house.until(job_id, JobState.GENERATING)
    house.simulator.faults.drop("create", accepted=True)
    lost = await house.ask(user="person8")
    await house.simulator.wait_for_creates(9)
    await become_uncertain(house, lost)
    first, last, *called = house.simulator.generations
    released = house.simulator.faults.hold("get")
    await house.simulator.finish(first)
    calls = house.app._watchers["fal"]._callbacks
    async with asyncio.timeout(10):
        while house.simulator.faults.left:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(house.simulator.finish(each) for each in called))
        while len(calls._hints) < len(called):
            await asyncio.sleep(0.01)
    released.set()
    await house.delivered(lost)
    await house.chat.until(lambda: len(house.chat.clips()) > LOOKS)
    house.clock.move(seconds=80)
    await house.chat.until(lambda: len(house.chat.clips()) == 1 + len(called))
    assert not house.simulator.generations[last].is_over
    await house.check_books()


async def test_a_call_that_cannot_be_looked_into_at_first_brings_its_clip_back_later(
    house: House,
) -> None:
    """Meanwhile the service is not held for broken, and asked ever less often."""
    house.simulator.faults.drop("create", accepted=True)
    lost = await house.ask()
    await house.simulator.wait_for_creates(1)
    await become_uncertain(house, lost)
    house.simulator.faults.server_error("get", times=6)
    await house.simulator.finish(next(iter(house.simulator.generations)))
    watcher = house.app._watchers["fal"]
    async with asyncio.timeout(15):
        while watcher._callbacks.next_at == math.inf:
            await asyncio.sleep(0.01)
        while watcher.admission.trouble_sentence is not None:
            house.clock.move(seconds=0.5)
            await asyncio.sleep(0.02)
        while (await house.job(lost)).state is not JobState.DELIVERED:
            house.clock.move(seconds=2)
            await asyncio.sleep(0.05)
    assert len(house.simulator.generations) == len(house.chat.clips()) == 1
    await house.check_books()
