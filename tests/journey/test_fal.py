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
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.ports import free_port


@pytest.fixture
def pace() -> tuple[float, float]:
    """Seconds to the first look at a clip, and from one to the next."""
    return 0.1, 0.1


@pytest.fixture
async def bot(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock, pace: tuple[float, float]
) -> AsyncIterator[RunningBot]:
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
        async with running(config, fal, chat, clock) as bot:
            yield bot


async def become_uncertain(bot: RunningBot, job_id: JobId) -> None:
    """Let time pass until the bot gives up looking; little of it, for calls must be fresh."""
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.UNCERTAIN:
            await bot.clock.let_pass(seconds=2, moment=0.05)


@pytest.mark.parametrize("is_forged", [False, True], ids=["true", "forged before"])
async def test_a_signed_call_brings_back_a_lost_reply(bot: RunningBot, is_forged: bool) -> None:
    if is_forged:
        bot.simulator.faults.break_callback("forged")
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await become_uncertain(bot, job_id)
    await bot.simulator.finish(next(iter(bot.simulator.generations)))
    await bot.delivered(job_id)
    assert len(bot.simulator.generations) == len(bot.chat.clips()) == 1
    await bot.check_books()


async def test_without_a_call_a_person_decides(bot: RunningBot) -> None:
    bot.simulator.faults.break_callback("lost")
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await become_uncertain(bot, job_id)
    await bot.simulator.finish(next(iter(bot.simulator.generations)))
    bot.clock.move(hours=1)
    # As long as another one takes, from its beginning to its end.
    await bot.finish(await bot.ask())
    assert (await bot.job(job_id)).state is JobState.UNCERTAIN
    assert len(bot.simulator.generations) == 2
    await bot.check_books()


async def test_a_fault_of_the_service_is_tried_once_more_and_a_refusal_is_not(
    bot: RunningBot,
) -> None:
    refused = await bot.ask("something moderated")
    assert (await bot.until(refused, JobState.FAILED)).failure is not None
    again = await bot.ask()
    await bot.simulator.wait_for_creates(2)
    first = list(bot.simulator.generations)[1]
    await bot.until(again, JobState.GENERATING)
    await bot.simulator.fail(first)
    await bot.simulator.wait_for_creates(3)
    await bot.until(again, JobState.GENERATING)
    await bot.simulator.finish(list(bot.simulator.generations)[2])
    job = await bot.delivered(again)
    assert job.cost == 200_000
    await bot.check_books()


@pytest.mark.parametrize("pace", [(3600, 60)], ids=["rare looks"])
async def test_clips_that_are_called_for_at_once_do_not_wait_for_the_first_look(
    bot: RunningBot,
) -> None:
    """One look asks about a few of them, since there is no list; the next about the others.

    Of one whose reply was lost nobody would ask again.
    """
    begun = [await bot.ask(user=f"person{number}") for number in range(8)]
    for job_id in begun:
        await bot.until(job_id, JobState.GENERATING)
    bot.simulator.faults.drop("create", accepted=True)
    lost = await bot.ask(user="person8")
    await bot.simulator.wait_for_creates(9)
    await become_uncertain(bot, lost)
    first, last, *called = bot.simulator.generations
    released = bot.simulator.faults.hold("get")
    await bot.simulator.finish(first)
    calls = bot.app._watchers["fal"]._callbacks
    async with asyncio.timeout(30):
        while bot.simulator.faults.left:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(bot.simulator.finish(each) for each in called))
        while len(calls._hints) < len(called):
            await asyncio.sleep(0.01)
    released.set()
    await bot.delivered(lost)
    await bot.chat.until(lambda: len(bot.chat.clips()) > LOOKS)
    bot.clock.move(seconds=80)
    await bot.chat.until(lambda: len(bot.chat.clips()) == 1 + len(called))
    assert not bot.simulator.generations[last].is_over
    await bot.check_books()


async def test_a_call_that_cannot_be_looked_into_at_first_brings_its_clip_back_later(
    bot: RunningBot,
) -> None:
    """Meanwhile the service is not held for broken, and asked ever less often."""
    bot.simulator.faults.drop("create", accepted=True)
    lost = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await become_uncertain(bot, lost)
    bot.simulator.faults.server_error("get", times=6)
    await bot.simulator.finish(next(iter(bot.simulator.generations)))
    watcher = bot.app._watchers["fal"]
    async with asyncio.timeout(30):
        while watcher._callbacks.next_at == math.inf:
            await asyncio.sleep(0.01)
        while watcher.admission.trouble_sentence is not None:
            await bot.clock.let_pass(seconds=0.5)
        while (await bot.job(lost)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=2, moment=0.05)
    assert len(bot.simulator.generations) == len(bot.chat.clips()) == 1
    await bot.check_books()
