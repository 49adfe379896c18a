"""What an act makes of a clip, and what it cannot make."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.acts import (
    ACTS,
    NEEDS,
    RELATIONS,
    Act,
    Offered,
    Wish,
    is_for,
    options_of,
    shape_of,
    to_relation,
    to_work,
)
from bot.errors import InvalidRequest
from bot.job import Clip, Job, JobState
from bot.refs import JobId, MediaKey
from bot.request import (
    ClipFrame,
    ImageWork,
    LinkFrame,
    ModifyWork,
    ReframeWork,
    SourceClip,
    UpscaleWork,
    VideoWork,
    Work,
)
from bot.text import act_label, act_line
from tests.fakes import to_request

JOB, OTHER = JobId("r-0ybbj7vnaj"), JobId("r-0ybbj7vnak")
CLIP = Clip(
    key=MediaKey("clips/a.mp4"),
    width=960,
    height=540,
    frames=121,
    seconds=5.0,
    bytes=9,
    sha256="0",
)
VIDEO = VideoWork(prompt="a fox", model="ray-2", resolution="540p", aspect_ratio="16:9")


def made(work: Work = VIDEO, **clip: int) -> Job:
    request = to_request().model_copy(update={"work": work})
    return Job(
        id=JOB,
        state=JobState.DELIVERED,
        version=1,
        request=request,
        created_at=datetime(2026, 11, 5, tzinfo=UTC),
        clip=CLIP.model_copy(update=clip),
    )


def test_all_that_an_act_makes_came_of_a_job_by_it() -> None:
    assert set(RELATIONS) == set(ACTS) - {"delete"}


def test_every_act_says_what_it_is_and_needs() -> None:
    for act in ACTS:
        assert act_label(act)
        assert act_line(Offered(act=act))
        assert act in NEEDS


@pytest.mark.parametrize(
    ("act", "wish", "start", "end"),
    [
        ("extend", Wish(), JOB, None),
        ("prequel", Wish(prompt="before"), None, JOB),
        ("join", Wish(other=OTHER), JOB, OTHER),
    ],
)
def test_a_continuation_keeps_what_its_clip_is(act: Act, wish: Wish, start: Any, end: Any) -> None:
    work = to_work(act, made(), wish)
    assert isinstance(work, VideoWork)
    assert (work.start_frame and getattr(work.start_frame, "job_id", None)) == start
    assert (work.end_frame and getattr(work.end_frame, "job_id", None)) == end
    assert (work.model, work.resolution, work.aspect_ratio) == ("ray-2", "540p", "16:9")
    assert {"model", "resolution", "aspect_ratio"} <= work.typed
    assert work.prompt == (wish.prompt or "a fox")
    assert to_relation(work, retry_of=None) == (JOB, act)


def test_an_extension_may_end_on_an_image() -> None:
    image = LinkFrame(url="https://example.org/a.png")
    work = to_work("extend", made(), Wish(frame=image))
    assert isinstance(work, VideoWork)
    assert (work.start_frame, work.end_frame) == (ClipFrame(job_id=JOB), image)
    with pytest.raises(InvalidRequest, match="Only an extension"):
        to_work("prequel", made(), Wish(frame=image))


def test_what_is_done_to_the_file_names_the_file() -> None:
    job = made()
    source = SourceClip(job_id=JOB, width=960, height=540, seconds=5.0, resolution="540p")
    upscaled = to_work("upscale", job, Wish(choice="1080p"))
    assert isinstance(upscaled, UpscaleWork)
    assert (upscaled.source, upscaled.resolution, upscaled.model) == (source, "1080p", "ray-2")
    reframed = to_work("reframe", job, Wish(choice="9:16"))
    assert isinstance(reframed, ReframeWork)
    assert reframed.aspect_ratio == "9:16"
    assert to_relation(reframed, retry_of=None) == (JOB, "reframe")
    assert to_relation(reframed, retry_of=OTHER) == (OTHER, "remix")


@pytest.mark.parametrize(
    ("act", "wish", "words"),
    [
        ("variation", Wish(choice="5"), "1 to 4 variations"),
        ("reframe", Wish(choice="16:9"), "is 16:9 already"),
        ("reframe", Wish(), "Say which. Possible: "),
        ("reframe", Wish(choice="5:4"), "5:4 is none of what can be chosen"),
        ("final", Wish(choice="540p"), "is 540p already"),
        ("audio", Wish(), "Say in a few words"),
        ("join", Wish(other=JOB), "two different clips"),
        ("join", Wish(), "two different clips"),
        ("animate", Wish(), "cannot be done with the clip"),
        ("delete", Wish(), "Nothing is made"),
    ],
)
def test_what_cannot_be_is_refused(act: Act, wish: Wish, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        to_work(act, made(), wish)


def test_a_still_is_animated_and_no_clip_is_made_of_it_otherwise() -> None:
    still = made(ImageWork(prompt="a fox"))
    assert [act for act in ACTS if is_for(act, still)] == [
        "animate",
        "variation",
        "remix",
        "retry",
        "delete",
    ]
    work = to_work("animate", still, Wish(prompt="it leaps"))
    assert isinstance(work, VideoWork)
    assert work.start_frame == ClipFrame(job_id=JOB, is_still=True)
    with pytest.raises(InvalidRequest, match="cannot be done with the picture"):
        to_work("extend", still, Wish())


def test_the_shape_of_a_worked_on_clip_is_that_of_its_pixels() -> None:
    upscaled = made(
        UpscaleWork(model="ray-2", source=SourceClip(job_id=OTHER)), width=1080, height=1920
    )
    assert shape_of(upscaled) == ("9:16", "1080p")
    assert options_of("upscale", upscaled) == ("4k",)
    assert "9:16" not in options_of("reframe", upscaled)


def test_its_size_is_the_one_that_its_service_was_told() -> None:
    square = ReframeWork(model="ray-3.2", source=SourceClip(job_id=OTHER), resolution="720p")
    job = made(square, width=720, height=720)
    assert shape_of(job) == ("1:1", "720p"), "although it has fewer pixels than 720p usually"
    again = to_work("modify", job, Wish(choice="flex_1", prompt="of paper"))
    assert isinstance(again, ModifyWork)
    assert again.source.resolution == "720p"
