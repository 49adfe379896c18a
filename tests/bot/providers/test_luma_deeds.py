"""Luma's provider on finished clips: what is sent, what it costs, how a lost answer is found."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from bot import choice, pricing
from bot.clock import SystemClock
from bot.dialects.dream_machine import to_payload
from bot.dialects.dream_machine_deeds import bare, is_shared, to_deed
from bot.errors import ProviderRejected, SubmissionUncertain
from bot.ports import Absent, CannotTell, Found, FrameHandle, Provider, Submission
from bot.providers.luma import Luma, Settings, create
from bot.refs import GenerationId, JobId
from bot.request import (
    AudioWork,
    ClipWork,
    ModifyWork,
    ReframeWork,
    SourceClip,
    UpscaleWork,
    VideoWork,
)
from bot.simulator import Simulator, SimulatorSettings

SOURCE = SourceClip(
    job_id=JobId("r-1"), provider="luma", model="ray-2", width=1280, height=720, seconds=5.042
)
WORKS: tuple[ClipWork, ...] = (
    UpscaleWork(source=SOURCE, model="ray-2", resolution="1080p"),
    AudioWork(source=SOURCE, model="ray-2", prompt=" wind ", negative_prompt="voices"),
    ReframeWork(source=SOURCE, model="ray-2", aspect_ratio="9:16"),
    ModifyWork(source=SOURCE, model="ray-2", mode="flex_2", prompt="of paper"),
)
GIVEN = FrameHandle(
    generation_id=GenerationId("g-1#r-0.00"), url="https://cdn.example/a.mp4?key=1"
)


def to_submission(
    work: ClipWork, *, job: str = "r-2", callback: bool = False, source: FrameHandle = GIVEN
) -> Submission:
    token = f"token-of-{job}"
    return Submission(
        job_id=JobId(job),
        attempt=1,
        work=work,  # type: ignore[arg-type]
        sent_at=SystemClock().now(),
        token_hash=hashlib.sha256(token.encode()).hexdigest(),
        source=source,
        callback_url=f"http://127.0.0.1:9/callbacks/luma/{token}" if callback else None,
        has_callback=callback,
    )


# ---- what is sent, and what it costs -----------------------------------------------------------


def test_each_goes_where_luma_takes_it() -> None:
    media = {"url": "https://cdn.example/a.mp4?key=1"}
    assert [to_deed(to_submission(work)) for work in WORKS] == [
        (
            "generations/g-1/upscale",
            {"resolution": "1080p", "generation_type": "upscale_video"},
        ),
        (
            "generations/g-1/audio",
            {"prompt": "wind", "negative_prompt": "voices", "generation_type": "add_audio"},
        ),
        (
            "generations/video/reframe",
            {
                "aspect_ratio": "9:16",
                "model": "ray-2",
                "media": media,
                "generation_type": "reframe_video",
            },
        ),
        (
            "generations/video/modify",
            {
                "mode": "flex_2",
                "model": "ray-2",
                "media": media,
                "prompt": "of paper",
                "generation_type": "modify_video",
            },
        ),
    ]


def test_a_clip_that_goes_on_under_anothers_name_is_continued_by_that() -> None:
    work = VideoWork(prompt="it runs")
    sent = to_submission(WORKS[0]).model_copy(update={"work": work, "start_frame": GIVEN})
    assert to_payload(sent)["keyframes"] == {"frame0": {"type": "generation", "id": "g-1"}}


def make(**prices: float) -> Luma:
    return create(Settings(prices=prices), clock=SystemClock())


def price(luma: Luma, work: ClipWork) -> int | None:
    tariff = pricing.tariff_of(luma.tariffs, work)
    return pricing.estimate(work, tariff, can=luma.capabilities[work.model])


def test_what_is_published_has_a_price_and_the_rest_none() -> None:
    upscale, audio, reframe, modify = WORKS
    luma = make()
    assert price(luma, modify) == 1_749_565, "$1.75, as Luma's docs say"
    assert price(luma, reframe) == 1152 * 2048 * 120 * 6400 // 1_000_000
    assert price(luma, upscale) is price(luma, audio) is None
    provider: Provider = luma
    assert choice.usable(provider, "upscale") == choice.usable(provider, "audio") == ()
    assert choice.usable(provider, "modify") == ("ray-flash-2", "ray-2")
    own = make(**{"ray-2/upscale": 0.001, "ray-2/audio": 0.07, "ray-2": 0.01})
    assert price(own, upscale) == 1920 * 1080 * 120 * 1000 // 1_000_000
    assert price(own, audio) == 70_000
    assert price(own, reframe) == 1152 * 2048 * 120 * 10_000 // 1_000_000
    assert choice.usable(own, "upscale") == ("ray-2",)
    test: Provider = create(Settings(), clock=SystemClock(), name="simulator", is_test=True)
    assert choice.usable(test, "audio") == ("ray-flash-2", "ray-2")


# ---- at the service ----------------------------------------------------------------------------


@dataclass
class Stage:
    """A provider and its service, with one finished clip there."""

    luma: Luma
    server: Simulator
    source: FrameHandle

    async def lose(self, submission: Submission) -> None:
        self.server.faults.drop("create", accepted=True)
        with pytest.raises(SubmissionUncertain):
            await self.luma.submit(submission)

    async def finish_last(self) -> None:
        await self.server.finish(list(self.server.generations)[-1])


@pytest.fixture
async def open_stage() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Stage:
            settings = SimulatorSettings(manual=True, same_clip=True, full_size=False, **changes)
            server = await stack.enter_async_context(Simulator(settings))
            table = Settings(api_key=SecretStr(settings.api_key), base_url=server.base_url)
            luma = create(table, clock=SystemClock())
            stack.push_async_callback(luma.aclose)
            work = VideoWork(prompt="a red fox", model="ray-2")
            made = await luma.submit(
                to_submission(WORKS[0], job="r-1").model_copy(
                    update={"work": work, "source": None}
                )
            )
            await server.finish(made.id)
            done = (await luma.check([made.id]))[made.id]
            return Stage(luma, server, FrameHandle(generation_id=made.id, url=done.clip_url))

        yield start


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.kind)
@pytest.mark.parametrize("callback", [True, False])
async def test_a_lost_answer_is_found(
    open_stage: Callable[..., Any], work: ClipWork, callback: bool
) -> None:
    stage: Stage = await open_stage()
    submission = to_submission(work, callback=callback, source=stage.source)
    owned = [GenerationId(str(stage.source.generation_id))]
    assert isinstance(await stage.luma.find(submission, owned), Absent)
    await stage.lose(submission)
    found = await stage.luma.find(submission, owned)
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == list(stage.server.generations)[1:]
    other = to_submission(WORKS[1 if work is WORKS[0] else 0], job="r-3", source=stage.source)
    assert not isinstance(await stage.luma.find(other, owned), Found)


async def test_of_two_lost_upscales_nobody_can_tell_which_is_whose(
    open_stage: Callable[..., Any],
) -> None:
    """Their echo does not name the clip."""
    stage: Stage = await open_stage()
    first, second = (to_submission(WORKS[0], job=job, source=stage.source) for job in ("a", "b"))
    await stage.lose(first)
    await stage.lose(second)
    assert isinstance(await stage.luma.find(first, []), CannotTell)


async def test_under_the_same_id_it_is_told_apart(open_stage: Callable[..., Any]) -> None:
    stage: Stage = await open_stage(same_id=True)
    known = GenerationId(str(stage.source.generation_id))
    sent = to_submission(WORKS[0], source=stage.source)
    begun = await stage.luma.submit(sent)
    assert is_shared(begun.id)
    assert bare(begun.id) == known
    assert len(begun.id) <= 120
    assert begun.state == "running", "the old file is not the new one"
    ids = [begun.id, known]
    assert (await stage.luma.check(ids))[begun.id].state == "running"
    await stage.finish_last()
    seen = await stage.luma.check([begun.id])
    assert seen[begun.id].state == "completed"
    assert seen[begun.id].clip_url != stage.source.url


@pytest.mark.parametrize("callback", [True, False])
async def test_under_the_same_id_a_lost_answer_is_never_taken_for_absent(
    open_stage: Callable[..., Any], callback: bool
) -> None:
    stage: Stage = await open_stage(same_id=True)
    known = GenerationId(str(stage.source.generation_id))
    submission = to_submission(WORKS[0], callback=callback, source=stage.source)
    assert isinstance(await stage.luma.find(submission, [known]), Absent)
    await stage.lose(submission)
    for _ in range(2):
        found = await stage.luma.find(submission, [known])
        if callback:
            assert isinstance(found, Found)
            assert [is_shared(each.id) for each in found.generations] == [True]
        else:
            assert isinstance(found, CannotTell)
        await stage.finish_last()
    other = to_submission(WORKS[0], job="r-3", callback=True, source=stage.source)
    assert isinstance(await stage.luma.find(other, [known]), CannotTell)


async def test_a_clip_that_is_gone_ends_the_job_and_closes_nothing(
    open_stage: Callable[..., Any],
) -> None:
    stage: Stage = await open_stage()
    gone = FrameHandle(generation_id=GenerationId("gone"), url="https://cdn.example/a.mp4")
    with pytest.raises(ProviderRejected) as refused:
        await stage.luma.submit(to_submission(WORKS[0], source=gone))
    assert refused.value.code == "source"
    stage.server.faults.refuse("create", 404, "Not Found")
    with pytest.raises(ProviderRejected) as retired:
        await stage.luma.submit(to_submission(WORKS[2], source=stage.source))
    assert retired.value.code == "retired"
    with pytest.raises(ProviderRejected):
        to_deed(to_submission(WORKS[2], source=FrameHandle(generation_id=GenerationId("g"))))
