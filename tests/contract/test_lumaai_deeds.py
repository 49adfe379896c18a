"""What the simulator does to finished clips, against Luma's own client library."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import pytest
from lumaai import AsyncLumaAI, BadRequestError, NotFoundError
from lumaai.types import Generation

from bot.simulator import Simulator, SimulatorSettings
from tests.contract.test_lumaai_sdk import SETTINGS, strict


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SETTINGS) as server:
        yield server


@pytest.fixture
async def luma(simulator: Simulator) -> AsyncIterator[AsyncLumaAI]:
    async with strict(simulator) as client:
        yield client


async def make(luma: AsyncLumaAI, simulator: Simulator, **fields: Any) -> Generation:
    """A finished clip to be worked on."""
    asked: dict[str, Any] = {"model": "ray-flash-2", "prompt": "a red fox", "resolution": "540p"}
    made = await luma.generations.create(**{**asked, "duration": "5s", **fields})
    return await finish(luma, simulator, made)


async def finish(luma: AsyncLumaAI, simulator: Simulator, made: Generation) -> Generation:
    await simulator.finish(str(made.id))
    return await luma.generations.get(str(made.id))


async def file_of(made: Generation) -> bytes:
    assert made.assets is not None
    async with httpx.AsyncClient() as anonymous:
        return (await anonymous.get(str(made.assets.video))).content


async def measure(made: Generation) -> tuple[int, int, list[str]]:
    with av.open(io.BytesIO(await file_of(made))) as clip:
        picture = clip.streams.video[0]
        return picture.width, picture.height, [each.type for each in clip.streams]


async def test_each_deed_from_create_to_clip(simulator: Simulator, luma: AsyncLumaAI) -> None:
    source = await make(luma, simulator)
    assert source.id
    assert source.assets is not None
    media: Any = {"url": source.assets.video}
    credits_before = simulator.balance_cents
    larger = await luma.generations.upscale(source.id, resolution="1080p")
    louder = await luma.generations.audio(
        source.id, prompt="wind", negative_prompt="voices", generation_type="add_audio"
    )
    taller = await luma.generations.video.reframe(
        generation_type="reframe_video", media=media, model="ray-2", aspect_ratio="9:16"
    )
    other = await luma.generations.video.modify(
        generation_type="modify_video", media=media, model="ray-flash-2", mode="flex_2"
    )
    spent = 54.74304 + 5 + 181.19393 + 33.8411
    assert credits_before - simulator.balance_cents == pytest.approx(spent, abs=0.01)
    types, sizes = [], []
    for each in (larger, louder, taller, other):
        assert (each.state, each.generation_type) == ("queued", "video")
        done = await finish(luma, simulator, each)
        types.append(getattr(done.request, "generation_type", None))
        sizes.append(await measure(done))
    assert types == ["upscale_video", "add_audio", "reframe_video", "modify_video"]
    assert sizes == [
        (480, 270, ["video"]),
        (240, 134, ["video", "audio"]),
        (288, 512, ["video"]),
        (240, 134, ["video"]),
    ]
    listed = await luma.generations.list()
    assert len({each.id for each in listed.generations}) == 5


async def test_what_cannot_be_worked_on_is_refused(
    simulator: Simulator, luma: AsyncLumaAI
) -> None:
    with pytest.raises(NotFoundError, match="Generation not found"):
        await luma.generations.upscale("nothing", resolution="1080p")
    running = await luma.generations.create(
        model="ray-2", prompt="a red fox", duration="5s", resolution="540p"
    )
    with pytest.raises(BadRequestError, match="is not completed"):
        await luma.generations.audio(str(running.id), prompt="wind")
    made = await finish(luma, simulator, running)
    assert made.assets is not None
    media: Any = {"url": made.assets.video}
    with pytest.raises(BadRequestError, match="not larger"):
        await luma.generations.upscale(str(made.id), resolution="540p")
    with pytest.raises(BadRequestError, match="Prompt is required"):
        await luma.generations.audio(str(made.id))
    with pytest.raises(BadRequestError, match="Prompt is too short"):
        await luma.generations.video.modify(
            generation_type="modify_video", media=media, model="ray-2", mode="flex_1", prompt="a"
        )
    with pytest.raises(BadRequestError, match="its own clips"):
        await luma.generations.video.reframe(
            generation_type="reframe_video",
            media={"url": "https://x.example/a.mp4"},
            model="ray-2",
            aspect_ratio="9:16",
        )
    simulator.expire_links()
    late = await luma.generations.video.modify(
        generation_type="modify_video", media=media, model="ray-2", mode="flex_1"
    )
    done = await finish(luma, simulator, late)
    assert done.failure_reason == "Failed to read user input frames"


async def test_it_may_go_on_under_the_id_of_its_source() -> None:
    settings = SimulatorSettings(same_clip=True, full_size=False, manual=True, same_id=True)
    async with Simulator(settings) as simulator, strict(simulator) as luma:
        source = await make(luma, simulator)
        begun = await luma.generations.upscale(str(source.id), resolution="1080p")
        assert (begun.id, begun.state, begun.assets) == (source.id, "completed", source.assets)
        *_, running = simulator.generations
        await simulator.finish(running)
        done = await luma.generations.get(str(source.id))
        assert await measure(done) == (480, 270, ["video"])
        assert await measure(source) == (240, 134, ["video"]), "the old file is there, too"
        assert [each.id for each in (await luma.generations.list()).generations] == [source.id]
