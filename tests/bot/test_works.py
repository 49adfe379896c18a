"""What people make of a finished clip, on the true program against the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot.acts import Act
from bot.job import Job, JobState
from bot.refs import JobId, ThreadRef
from bot.request import ClipFrame, VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.studio import Receipt
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
GENERAL = ThreadRef(adapter="recording", workspace="local", channel="general")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One bot for all tests here; each comes with persons of its own."""
    settings = SimulatorSettings(
        manual=True, same_clip=True, full_size=False, running_limit=None, creates_per_minute=None
    )
    async with Simulator(settings, Faults()) as simulator:
        config = to_test_config(
            tmp_path_factory.mktemp("inn"),
            simulator,
            access={"workspaces": ["elsewhere"]},
            luma={"running_limit": 1000},
            limits={"confirm_above_usd": 0.5, "usd_per_person_per_day": 1.2},
        )
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as house:
            yield house


async def finish(house: House, job_id: JobId) -> Job:
    """Let a job's generation end, and wait for its clip."""
    job = await house.until(job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await house.simulator.finish(job.generation_id)
    return await house.delivered(job_id)


async def made(house: House, user: str, prompt: str = "a red fox in snow", **work: Any) -> Job:
    """A finished clip of somebody's."""
    return await finish(house, await house.ask(prompt, key=f"{user}:{prompt}", user=user, **work))


async def follow(
    house: House, job: Job, act: Act, user: str, *, key: str = "", **given: Any
) -> tuple[Receipt, ...]:
    return await house.studio.works.follow(
        job.id,
        act,
        to_requester(user),
        dedupe_key=key or f"{user}:{act}:{job.id}",
        thread=GENERAL,
        **given,
    )


def clip_frames(job: Job) -> tuple[JobId | None, JobId | None]:
    work = job.work
    assert isinstance(work, VideoWork)
    start, end = work.start_frame, work.end_frame
    return (
        start.job_id if isinstance(start, ClipFrame) else None,
        end.job_id if isinstance(end, ClipFrame) else None,
    )


async def test_a_clip_goes_on_has_a_past_and_is_joined(inn: House) -> None:
    first = await made(inn, "eva", aspect_ratio="16:9", model="ray-2")
    (extended,) = await follow(inn, first, "extend", "otto")
    second = await finish(inn, extended.job_id)
    assert clip_frames(second) == (first.id, None)
    assert isinstance(second.work, VideoWork)
    kept = (second.work.model, second.work.resolution, second.work.aspect_ratio)
    assert kept == ("ray-2", "540p", "16:9")
    assert second.work.prompt == first.work.prompt
    (clip,) = inn.chat.clips(second.id)
    assert clip.about.parent is not None
    assert (clip.about.parent.job_id, clip.about.parent.relation) == (first.id, "extend")
    assert clip.about.parent.message == first.message
    (before,) = await follow(inn, first, "prequel", "otto", prompt="a dark wood")
    assert clip_frames(await inn.job(before.job_id)) == (None, first.id)
    (joined,) = await follow(inn, first, "join", "eva", other=second.id)
    assert clip_frames(await inn.job(joined.job_id)) == (first.id, second.id)
    assert (await inn.job(joined.job_id)).parent == first.id
