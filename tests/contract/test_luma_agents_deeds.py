"""What the simulator's Agents API does to finished clips, against its own client library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from luma_agents import APIStatusError as StatusError
from luma_agents import AsyncLuma, BadRequestError, NotFoundError, UnprocessableEntityError
from luma_agents.types import Generation
from PIL import Image, ImageChops, ImageStat

from bot.simulator import Simulator
from bot.simulator.faces.luma_agents import FACE
from bot.simulator.render import read_frame, read_image
from tests.contract.test_luma_agents_sdk import SETTINGS, create, strict


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    settings = replace(SETTINGS, creates_per_minute=None)
    async with Simulator(settings, face=FACE) as simulator:
        yield simulator


@pytest.fixture
async def luma(simulator: Simulator) -> AsyncIterator[AsyncLuma]:
    async with strict(simulator) as client:
        yield client


async def finish(luma: AsyncLuma, simulator: Simulator, made: Generation) -> Generation:
    await simulator.finish(made.id)
    return await luma.generations.get(made.id)


async def rework(luma: AsyncLuma, kind: Any, source: Any, **fields: Any) -> Generation:
    asked: dict[str, Any] = {"model": "ray-3.2", "prompt": "of paper", **fields}
    return await luma.generations.create(type=kind, source=source, **asked)


async def picture_of(made: Generation, folder: Path) -> Image.Image:
    """The first picture of its clip."""
    assert made.output
    [output] = made.output
    assert output.type == "video"
    path = folder / f"{made.id}.mp4"
    async with httpx.AsyncClient() as anonymous:
        path.write_bytes((await anonymous.get(output.url)).content)
    return read_image(read_frame(path, last=False))


async def test_both_deeds_from_create_to_clip(
    simulator: Simulator, luma: AsyncLuma, tmp_path: Path
) -> None:
    source = await finish(luma, simulator, await create(luma, {"duration": "10s"}))
    own, before = {"generation_id": source.id}, simulator.balance_cents
    edit: Any = {"resolution": "360p", "edit": {"strength": "reimagine_3"}}
    other = await rework(luma, "video_edit", own, video=edit, aspect_ratio="1:1")
    taller = await rework(
        luma, "video_reframe", own, video={"resolution": "540p"}, aspect_ratio="9:16"
    )
    assert before - simulator.balance_cents == pytest.approx(2 * 54 + 10 * 6)
    assert (other.type, other.state, taller.type) == ("video_edit", "queued", "video_reframe")
    reworked = [await finish(luma, simulator, each) for each in (other, taller)]
    was, look, shape = [await picture_of(each, tmp_path) for each in (source, *reworked)]
    assert (look.size, shape.size) == ((160, 90), (134, 240))
    assert max(ImageStat.Stat(ImageChops.difference(was, look)).mean) > 10, "another look"
    again = await rework(luma, "video_edit", {"generation_id": other.id})
    assert simulator.generations[again.id].order.height == 720, "where no size is told"
    await simulator.fail(again.id)


EDIT, REFRAME = "video_edit", "video_reframe"
URL = "https://x.example/a.mp4"
REFUSED: list[tuple[str, Any, dict[str, Any], type[StatusError], str]] = [
    (EDIT, None, {}, UnprocessableEntityError, "source: Field required"),
    (EDIT, {}, {}, BadRequestError, "exactly one of"),
    (EDIT, {"url": URL, "file_id": "a"}, {}, BadRequestError, "exactly one of"),
    (EDIT, {"url": URL}, {}, BadRequestError, "media_type"),
    (EDIT, {"data": "Zm94", "media_type": "image/png"}, {}, BadRequestError, "media_type"),
    (REFRAME, {"url": URL, "media_type": "video/mp4"}, {}, BadRequestError, "own clips alone"),
    (REFRAME, {"file_id": "a"}, {}, BadRequestError, "own clips alone"),
    (EDIT, {"generation_id": "nothing"}, {}, NotFoundError, "not found"),
    (EDIT, "own", {"edit": {"strength": "flex_4"}}, UnprocessableEntityError, "strength"),
    (
        EDIT,
        "own",
        {"edit": {"strength": "flex_1", "auto_controls": True}},
        UnprocessableEntityError,
        "cannot be combined",
    ),
    (EDIT, "own", {"edit": {"keyframes": [{"url": URL}]}}, BadRequestError, "alone"),
    (EDIT, "own", {"loop": True}, UnprocessableEntityError, "loop"),
    (EDIT, "own", {"end_frame": {"url": URL}}, UnprocessableEntityError, "end_frame"),
    (EDIT, "own", {"resolution": "4k"}, UnprocessableEntityError, "resolution"),
    (EDIT, "own", {"hdr": True}, UnprocessableEntityError, "hdr"),
    (REFRAME, "own", {"edit": {"strength": "flex_1"}}, UnprocessableEntityError, "edit"),
    (REFRAME, "own", {"resolution": "1080p"}, UnprocessableEntityError, "coming soon"),
    (
        REFRAME,
        "own",
        {"source_position": {"x_norm": 0, "y_norm": 0, "w_norm": 1, "h_norm": 1}},
        BadRequestError,
        "middle",
    ),
]


async def test_what_cannot_be_is_refused(simulator: Simulator, luma: AsyncLuma) -> None:
    source = await finish(luma, simulator, await create(luma, aspect_ratio="16:9"))
    still = await luma.generations.create(prompt="a red fox")
    await simulator.finish(still.id)
    before = simulator.balance_cents
    cases: list[tuple[str, Any, dict[str, Any], type[StatusError], str, dict[str, Any]]] = [
        *((*case, {"aspect_ratio": "9:16"}) for case in REFUSED),
        (EDIT, "own", {}, UnprocessableEntityError, "image_ref", {"image_ref": [{"url": URL}]}),
        (REFRAME, "own", {}, UnprocessableEntityError, "aspect_ratio: Field required", {}),
        (REFRAME, "own", {}, UnprocessableEntityError, "already", {"aspect_ratio": "16:9"}),
        (REFRAME, "own", {}, BadRequestError, "Invalid aspect_ratio", {"aspect_ratio": "3:2"}),
        (EDIT, {"generation_id": still.id}, {}, BadRequestError, "not a video", {}),
        (EDIT, "own", {}, BadRequestError, "Prompt must be", {"prompt": ""}),
        (EDIT, "own", {}, BadRequestError, "not supported for model", {"model": "uni-1"}),
    ]
    for kind, given, video, error, words, fields in cases:
        own = {"generation_id": source.id} if given == "own" else given
        with pytest.raises(error, match=words):
            await rework(luma, kind, own, video=video, **fields)
    assert simulator.balance_cents == before


async def test_a_clip_that_runs_or_is_too_long_is_not_taken(
    simulator: Simulator, luma: AsyncLuma
) -> None:
    running = await create(luma, {"duration": "10s"})
    own = {"generation_id": running.id}
    with pytest.raises(BadRequestError, match="is not completed"):
        await rework(luma, EDIT, own)
    await simulator.finish(running.id)
    made = simulator.generations[running.id]
    for kind, longest in ((EDIT, 18), (REFRAME, 30)):
        made.order = replace(made.order, seconds=longest + 1)
        with pytest.raises(UnprocessableEntityError, match=f"{longest} seconds or shorter"):
            await rework(luma, kind, own, aspect_ratio="21:9")
