"""The provider of Luma's Agents API on finished clips: what is sent, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot import choice, pricing
from bot.clock import SystemClock
from bot.dialects.agents_api import explain, to_failure
from bot.dialects.agents_api_deeds import RAY_AND_DEEDS, to_deed
from bot.errors import InvalidRequest, ProviderRejected, SubmissionUncertain
from bot.ports import CannotTell, FrameHandle, Provider, Submission
from bot.providers.luma_agents import LumaAgents, Settings, create
from bot.refs import GenerationId, JobId
from bot.request import (
    ASPECT_RATIOS,
    AudioWork,
    ClipWork,
    ModifyWork,
    ReframeWork,
    SourceClip,
    UpscaleWork,
    VideoWork,
)
from bot.simulator import Simulator, SimulatorSettings
from bot.simulator.faces.luma_agents import FACE

KEY = "luma-api-0123456789abcdef0123456789"
GIVEN = FrameHandle(generation_id=GenerationId("g-7"), url="https://cdn.example/a.mp4?key=1")


def clip(seconds: float = 5.042, resolution: str = "720p", **more: Any) -> SourceClip:
    made: dict[str, Any] = {"width": 1280, "height": 720, **more}
    return SourceClip.model_validate(
        {
            "job_id": "r-1",
            "provider": "luma_agents",
            "model": "ray-3.2",
            "seconds": seconds,
            "resolution": resolution,
            **made,
        }
    )


def modify(source: SourceClip | None = None, **work: Any) -> ModifyWork:
    asked = {"model": "ray-3.2", "prompt": "of paper", "aspect_ratio": "16:9", **work}
    return ModifyWork.model_validate({"source": source or clip(), "mode": "flex_2", **asked})


def reframe(source: SourceClip | None = None, **work: Any) -> ReframeWork:
    asked = {"model": "ray-3.2", "aspect_ratio": "9:16", **work}
    return ReframeWork.model_validate({"source": source or clip(), **asked})


def to_submission(
    work: ModifyWork | ReframeWork | VideoWork, source: FrameHandle | None = GIVEN
) -> Submission:
    return Submission(
        job_id=JobId("r-2"),
        attempt=1,
        work=work,
        sent_at=SystemClock().now(),
        token_hash="",
        source=source,
        requester_hash="5e3bd1",
    )


def make(**prices: float) -> LumaAgents:
    return create(Settings(prices=prices), clock=SystemClock())


def fit(work: ClipWork) -> tuple[ClipWork, tuple[str, ...]]:
    return choice.fit_provider(work, make())


# ---- what is sent ------------------------------------------------------------------------------


def test_another_look_is_sent_with_its_clip_and_how_far_it_goes() -> None:
    assert to_deed(to_submission(modify(prompt=" of paper\n", resolution="720p"))) == {
        "type": "video_edit",
        "model": "ray-3.2",
        "prompt": "of paper",
        "source": {"generation_id": "g-7"},
        "video": {"resolution": "720p", "edit": {"strength": "flex_2"}},
        "user_id": "5e3bd1",
    }


def test_another_shape_is_sent_with_words_for_what_is_around() -> None:
    assert to_deed(to_submission(reframe(prompt="a red fox", resolution="540p"))) == {
        "type": "video_reframe",
        "model": "ray-3.2",
        "prompt": "a red fox",
        "aspect_ratio": "9:16",
        "source": {"generation_id": "g-7"},
        "video": {"resolution": "540p"},
        "user_id": "5e3bd1",
    }
    assert to_deed(to_submission(reframe(resolution="540p")))["prompt"], "Luma wants some"


@pytest.mark.parametrize(
    ("work", "source", "code"),
    [
        (modify(resolution="720p"), None, "frames"),
        (modify(resolution="720p"), FrameHandle(url="https://cdn.example/a.mp4"), "frames"),
        (reframe(), GIVEN, "frames"),
        (modify(prompt=" ", resolution="720p"), GIVEN, "prompt"),
    ],
)
def test_what_luma_would_not_take_is_not_sent(
    work: ModifyWork, source: FrameHandle | None, code: str
) -> None:
    with pytest.raises(ProviderRejected) as refused:
        to_deed(to_submission(work, source))
    assert refused.value.code == code


# ---- what it costs -----------------------------------------------------------------------------

#: Dollars for a new look of 5 s, and for each second of a new shape: Luma's pricing page.
PUBLISHED = {
    "360p": (0.54, 0.03),
    "540p": (0.72, 0.06),
    "720p": (1.08, 0.12),
    "1080p": (2.16, 0.36),
}


def price(work: ClipWork, provider: LumaAgents | None = None) -> int | None:
    fitted, _ = fit(work)
    tariff = pricing.tariff_of((provider or make()).tariffs, fitted)
    assert pricing.rate_of(tariff) == 0, "known before, so that all of it is held"
    return pricing.estimate(fitted, tariff, can=RAY_AND_DEEDS)


@pytest.mark.parametrize("resolution", PUBLISHED)
def test_prices_are_those_that_luma_publishes(resolution: str) -> None:
    look, second = PUBLISHED[resolution]
    for seconds in (5.042, 10.042):
        source = clip(seconds, resolution)
        assert price(modify(source)) == round(look * 1e6) * int(seconds) // 5
        assert price(reframe(source, aspect_ratio="1:1")) == round(second * 1e6) * int(seconds)


@pytest.mark.parametrize(
    ("seconds", "looks", "begun"),
    [(5.0, 1, 5), (5.042, 1, 5), (5.2, 2, 6), (9.9, 2, 10), (15.042, 3, 15), (17.9, 4, 18)],
)
def test_what_has_begun_is_paid(seconds: float, looks: int, begun: int) -> None:
    source = clip(seconds, "540p")
    assert price(modify(source)) == 720_000 * looks
    assert price(reframe(source)) == 60_000 * begun


@given(st.floats(0.0, 18.0))
def test_it_is_never_too_little(seconds: float) -> None:
    source, frames_over = clip(seconds, "540p"), 2 / pricing.FPS
    assert (price(modify(source)) or 0) >= 720_000 / 5 * (seconds - frames_over)
    assert (price(reframe(source)) or 0) >= 60_000 * (seconds - frames_over)


def test_a_price_of_the_operators_is_of_5_s_at_540p_and_moves_the_others() -> None:
    own = make(**{"ray-3.2/modify": 0.36, "ray-3.2/reframe": 0.6, "ray-3.2": 0.5})
    assert price(modify(clip(10.042, "1080p")), own) == 2_160_000
    assert price(reframe(clip(5.042, "540p")), own) == 600_000
    assert price(reframe(clip(1.0, "360p")), own) == 60_000
    assert price(modify(), make(**{"ray-3.2": 9.0})) == 1_080_000


# ---- what it can -------------------------------------------------------------------------------


def test_it_does_what_luma_documents_with_clips_and_nothing_else() -> None:
    provider: Provider = make()
    for kind in ("video", "modify", "reframe"):
        assert choice.usable(provider, kind) == ("ray-3.2",)
    assert choice.usable(provider, "upscale") == choice.usable(provider, "audio") == ()
    for work in (
        UpscaleWork(source=clip(), model="ray-3.2"),
        AudioWork(source=clip(), model="ray-3.2", prompt="wind"),
    ):
        with pytest.raises(InvalidRequest, match=r"ray-3\.2 of luma_agents, which cannot"):
            choice.choose(work, [provider])


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (modify(clip(19.0)), "up to 18 s"),
        (reframe(clip(31.0)), "up to 30 s"),
        (modify(prompt=" "), "Describe the clip"),
        (modify(prompt="x" * 6001), "yours has 6,001"),
        (reframe(aspect_ratio="9:21", typed={"aspect_ratio"}), "cannot make 9:21"),
        (reframe(aspect_ratio="16:9"), "is 16:9 already"),
    ],
)
def test_what_it_cannot_is_refused_before_any_money(work: ClipWork, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        fit(work)


def size(work: ClipWork) -> tuple[str | None, tuple[str, ...]]:
    fitted, remarks = fit(work)
    assert isinstance(fitted, ModifyWork | ReframeWork)
    return fitted.resolution, remarks


def test_it_keeps_the_size_of_its_clip_where_luma_makes_that() -> None:
    for resolution in RAY_AND_DEEDS.resolutions:
        for ratio in ASPECT_RATIOS:
            looks_like = modify(clip(resolution=resolution), aspect_ratio=ratio)
            assert size(looks_like) == (resolution, ())
        assert size(reframe(clip(resolution=resolution), aspect_ratio="1:1")) == (resolution, ())
    remark = "It becomes 720p, because ray-3.2 cannot reframe 1080p to 9:16."
    assert size(reframe(clip(resolution="1080p"))) == ("720p", (remark,))
    assert size(modify(clip(resolution="4k")))[0] == "1080p"


# ---- at the service ----------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[Simulator]:
    settings = SimulatorSettings(api_key=KEY, manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, face=FACE) as simulator:
        yield simulator


@pytest.fixture
async def luma(server: Simulator) -> AsyncIterator[LumaAgents]:
    table = Settings(api_key=SecretStr(KEY), base_url=server.base_url)
    provider = create(table, clock=SystemClock())
    yield provider
    await provider.aclose()


async def source_of(luma: LumaAgents, server: Simulator) -> FrameHandle:
    """A finished clip there."""
    work = VideoWork(prompt="a red fox", model="ray-3.2", resolution="540p", aspect_ratio="16:9")
    made = await luma.submit(to_submission(work, None))
    await server.finish(made.id)
    return FrameHandle(generation_id=made.id)


async def test_both_are_made_and_paid_as_reckoned(luma: LumaAgents, server: Simulator) -> None:
    source = await source_of(luma, server)
    for work in (modify(clip(resolution="540p")), reframe(clip(resolution="1080p"))):
        fitted, _ = fit(work)
        assert isinstance(fitted, ModifyWork | ReframeWork)
        before = server.balance_cents
        made = await luma.submit(to_submission(fitted, source))
        assert (before - server.balance_cents) * 10_000 == price(work)
        await server.finish(made.id)
        seen = (await luma.check([made.id]))[made.id]
        assert seen.state == "completed"
        assert seen.clip_url
    assert server.requests["POST /files"] == 0, "the clip is there already"


async def test_a_lost_answer_is_never_sent_again(luma: LumaAgents, server: Simulator) -> None:
    submission = to_submission(modify(resolution="540p"), await source_of(luma, server))
    server.faults.drop("create", accepted=True)
    with pytest.raises(SubmissionUncertain):
        await luma.submit(submission)
    assert isinstance(await luma.find(submission, []), CannotTell)


async def test_what_luma_says_of_a_clip_is_told_in_a_sentence(
    luma: LumaAgents, server: Simulator
) -> None:
    sent = to_submission(modify(resolution="540p"), FrameHandle(generation_id=GenerationId("no")))
    with pytest.raises(ProviderRejected) as gone:
        await luma.submit(sent)
    assert gone.value.code == "frames"
    assert "Luma cannot use this clip any more." in gone.value.sentence
    assert not server.generations


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("The source video must be 18 seconds or shorter", "length"),
        ("1080p is coming soon for 9:16", "size"),
        ("Generation g-7 is not completed", "frames"),
    ],
)
def test_its_words_on_clips_have_codes(said: str, code: str) -> None:
    known = explain(said)
    assert known is not None
    assert known.code == code


@pytest.mark.parametrize("kind", ["video_edit", "video_reframe"])
def test_what_cannot_be_read_of_a_clip_was_no_image(kind: str) -> None:
    failure = to_failure({"type": kind, "failure_code": "corrupt_input"})
    assert failure.code == "frames"
    assert to_failure({"type": "video", "failure_code": "corrupt_input"}).code == "image"
