"""Work on a finished clip: larger, with a sound, in another shape, with another look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import pytest

from bot.job import Job, JobState
from bot.refs import JobId
from bot.request import (
    AudioWork,
    ClipWork,
    GenerationRequest,
    ModifyWork,
    ReframeWork,
    SourceClip,
    UpscaleWork,
)
from tests.conftest import House
from tests.fakes import to_request

PRICES = {"ray-flash-2/upscale": 0.001, "ray-flash-2/audio": 0.05}
KINDS: dict[str, type[ClipWork]] = {
    "upscale": UpscaleWork,
    "audio": AudioWork,
    "reframe": ReframeWork,
    "modify": ModifyWork,
}


def deed_request(kind: str, source: JobId, *, user: str = "ana", **work: Any) -> GenerationRequest:
    """What somebody asks to be done to a clip; what is named counts as typed."""
    asked = KINDS[kind].model_validate(
        {"source": SourceClip(job_id=source), **work, "typed": frozenset(work)}
    )
    key = f"{kind}-{source}-{sorted(work.items())}-{user}"
    return to_request(key=key, user=user).model_copy(update={"work": asked})


@pytest.fixture
async def house(open_house: Callable[..., Any]) -> House:
    opened: House = await open_house(luma={"prices": PRICES})
    return opened


async def finished(house: House, job_id: JobId) -> Job:
    generating = await house.until(job_id, JobState.GENERATING)
    shown = str(generating.generation_id).partition("#")[0]
    running = next(
        each
        for each in reversed(list(house.simulator.generations.values()))
        if shown in (each.id, each.shown_id)
    )
    await house.simulator.finish(running.id)
    return await house.delivered(job_id)


async def do(house: House, kind: str, source: JobId, **work: Any) -> Job:
    receipt = await house.studio.submit(deed_request(kind, source, **work))
    return await finished(house, receipt.job_id)


def streams_of(house: House, job: Job) -> list[str]:
    [posted] = house.chat.clips(job.id)
    with av.open(posted.path) as clip:
        return [each.type for each in clip.streams]


async def test_each_is_made_posted_and_paid_once(house: House) -> None:
    source = (await finished(house, await house.ask(aspect_ratio="16:9", resolution="540p"))).id
    larger = await do(house, "upscale", source, resolution="720p")
    assert larger.clip is not None
    assert (larger.clip.width, larger.clip.height) == (320, 180)
    assert larger.cost == 320 * 180 * 120 * 1000 // 1_000_000
    sound = await do(house, "audio", source, prompt="wind in the trees")
    assert (sound.cost, streams_of(house, sound)) == (50_000, ["video", "audio"])
    wide = await do(house, "reframe", source, aspect_ratio="9:16")
    assert wide.clip is not None
    assert (wide.clip.width, wide.clip.height) == (288, 512)
    other = await do(house, "modify", source, mode="reimagine_2", prompt="made of paper")
    assert other.cost == 240 * 134 * 120 * 5440 // 1_000_000
    assert len(house.simulator.generations) == 5
    await house.check_books()
