"""A video service that may charge for a run that failed."""

from __future__ import annotations

from pathlib import Path

from bot.job import JobState
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.replicate import FACE as REPLICATE
from tests.conftest import running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter


async def test_what_had_begun_and_may_have_cost_is_not_bought_again(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> None:
    settings = SimulatorSettings(manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults(), face=REPLICATE) as replicate:
        service = {
            "api_key": settings.api_key,
            "base_url": replicate.base_url,
            "first_look_seconds": 0.1,
            "look_seconds": 0.1,
        }
        config = to_test_config(
            tmp_path,
            replicate,
            defaults={"providers": ["replicate"]},
            providers={"replicate": service},
        )
        async with running(config, replicate, chat, clock) as bot:
            job_id = await bot.ask()
            await replicate.wait_for_creates(1)
            [only] = replicate.generations
            await bot.until(job_id, JobState.GENERATING)
            await replicate.fail(only, "Service is temporarily unavailable. (E004)")
            job = await bot.until(job_id, JobState.FAILED)
            assert job.failure is not None
            assert "fault of its own" in job.failure.sentence
            assert len(replicate.generations) == 1
            await bot.check_books()
