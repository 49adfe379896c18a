from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.choice import choose, fit, fit_provider, offered, usable
from bot.clock import SystemClock
from bot.dialects.dream_machine import MODELS, RETIRED
from bot.errors import InvalidRequest
from bot.ports import FrameRule, ModelCapabilities, Provider
from bot.pricing import nearest_ratio, ratio
from bot.providers import luma_agents, replicate
from bot.providers.luma import Luma, Settings, create
from bot.refs import Attachment, JobId, Micros
from bot.request import (
    ASPECT_RATIOS,
    AspectRatio,
    ClipFrame,
    Frame,
    ImageFrame,
    ImageWork,
    LinkFrame,
    Parameter,
    VideoWork,
)
from bot.tariffs import PerClip, PerPixel

FLASH, RAY_1_6 = MODELS["ray-flash-2"], RETIRED["ray-1-6"]
OF_CLIPS = tuple(each for each in get_args(Parameter) if each in VideoWork.model_fields)
IMAGE = ImageFrame(attachment=Attachment(adapter="terminal", id="1"))
LINK = LinkFrame(url="https://example.org/fox.jpg")
CLIP = ClipFrame(job_id=JobId("r-1"))
NARROW = ModelCapabilities(
    model="narrow",
    durations=("5s", "10s"),
    resolutions=("360p", "720p"),
    aspect_ratios=("16:9", "9:16"),
    frames={("none", "none"): FrameRule(), ("image", "none"): FrameRule()},
)


def typed(prompt: str = "a red fox", **values: Any) -> VideoWork:
    """A work whose values the person gave."""
    names = cast("frozenset[Parameter]", frozenset(values))
    return VideoWork(prompt=prompt, **values, typed=names)


def default(prompt: str = "a red fox", **values: Any) -> VideoWork:
    """The same, from settings or defaults."""
    return VideoWork(prompt=prompt, **values)


def refusal(work: VideoWork, capabilities: ModelCapabilities = FLASH) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        fit(work, capabilities)
    return caught.value


# ---- stills ------------------------------------------------------------------------------------


def test_where_nothing_makes_stills_somebody_is_named_who_does() -> None:
    other: Provider = replicate.create(replicate.Settings(), clock=SystemClock())
    with pytest.raises(InvalidRequest, match=r"makes stills\. .* luma_agents"):
        choose(ImageWork(prompt="a red fox"), [other])


def test_a_still_goes_to_whoever_makes_some_and_a_clip_never_does() -> None:
    luma: Provider = create(Settings(), clock=SystemClock())
    agents: Provider = luma_agents.create(luma_agents.Settings(), clock=SystemClock())
    other: Provider = replicate.create(replicate.Settings(), clock=SystemClock())
    asked = ImageWork(prompt="a red fox", aspect_ratio="9:21")
    provider, work, remarks = choose(asked, [other, agents, luma])
    assert (provider, work.model, work.aspect_ratio) == (agents, "uni-1", "9:16")
    assert remarks == ("The aspect ratio is 9:16, because uni-1 cannot make 9:21.",)
    provider, work, remarks = choose(asked, [other, luma, agents])
    assert (provider, work.model, remarks) == (luma, "photon-1", ())
    assert all("video" in each.operations for each in offered([luma, agents]))
    assert [each.model for each in offered([luma, agents], "image")] == [
        "photon-1",
        "photon-flash-1",
        "uni-1",
        "uni-1-max",
    ]
    with pytest.raises(InvalidRequest, match=r"uni-1 makes stills alone\."):
        choose(typed(model="uni-1"), [agents])
    assert choose(default(model="uni-1"), [agents])[1].model == "ray-3.2"


def test_a_still_of_ours_is_an_image_to_start_from() -> None:
    still = ClipFrame(job_id=JobId("r-1"), is_still=True)
    work, _ = fit(typed(start_frame=still), NARROW)
    assert work.start_frame == still
    assert refusal(typed(start_frame=CLIP), NARROW).field == "start_frame"


# ---- what fits stays as it is ------------------------------------------------------------------


def test_what_the_model_can_do_is_left_alone() -> None:
    work = typed(duration="9s", resolution="4k", aspect_ratio="21:9", loop=True, concepts=("pov",))
    assert fit(work, FLASH) == (work, ())


@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_flash_makes_every_ratio(aspect_ratio: AspectRatio) -> None:
    assert fit(typed(aspect_ratio=aspect_ratio), FLASH)[1] == ()


# ---- typed is refused with the nearest, a default moves ---------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "near"),
    [
        ("duration", "9s", "10s"),
        ("resolution", "540p", "360p"),
        ("resolution", "1080p", "720p"),
        ("aspect_ratio", "21:9", "16:9"),
        ("aspect_ratio", "3:4", "9:16"),
    ],
)
def test_a_typed_value_is_refused_and_a_default_moves_to_the_nearest(
    field: str, value: str, near: str
) -> None:
    given_values = {"duration": "5s", "resolution": "360p", "aspect_ratio": "16:9", field: value}
    error = refusal(typed(**given_values), NARROW)
    assert error.field == field
    assert near in error.sentence
    assert value in error.sentence
    moved, remarks = fit(default(**given_values), NARROW)
    assert getattr(moved, field) == near
    assert len(remarks) == 1
    assert near in remarks[0]


def test_several_defaults_move_with_a_remark_each() -> None:
    moved, remarks = fit(default(duration="9s", resolution="4k", aspect_ratio="1:1"), NARROW)
    assert (moved.duration, moved.resolution) == ("10s", "720p")
    assert len(remarks) == 3


def test_a_model_without_choices_takes_its_own_values() -> None:
    moved, remarks = fit(default(model="ray-1-6"), RAY_1_6)
    assert (moved.duration, moved.resolution) == ("5s", "720p")
    assert len(remarks) == 1, "the length is as it was; only the resolution moved"


@pytest.mark.parametrize(("field", "value"), [("duration", "5s"), ("resolution", "720p")])
def test_a_model_without_choices_refuses_a_typed_one(field: str, value: str) -> None:
    error = refusal(typed(**{field: value}), RAY_1_6)
    assert error.field == field
    assert "Leave it out" in error.sentence


def test_a_choice_a_model_lacks_altogether_is_refused() -> None:
    assert refusal(default(), replace(NARROW, aspect_ratios=())).field == "aspect_ratio"


# ---- frames and loops -------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, IMAGE, LINK, CLIP])
def test_without_an_end_frame_flash_may_loop(start: Frame | None) -> None:
    work = typed(start_frame=start, loop=True)
    assert fit(work, FLASH) == (work, ())


@pytest.mark.parametrize("end", [IMAGE, LINK, CLIP])
@pytest.mark.parametrize("start", [None, IMAGE, LINK, CLIP])
def test_with_an_end_frame_flash_may_not_loop(start: Frame | None, end: Frame) -> None:
    frames: dict[str, Any] = {"start_frame": start, "end_frame": end}
    error = refusal(typed(**frames, loop=True))
    assert error.field == "loop"
    assert "cannot loop" in error.sentence
    moved, remarks = fit(default(**frames, loop=True), FLASH)
    assert not moved.loop
    assert len(remarks) == 1
    assert fit(typed(**frames, loop=False), FLASH)[1] == ()


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (CLIP, None, "start_frame"),
        (None, IMAGE, "end_frame"),
        (IMAGE, IMAGE, "end_frame"),
        (IMAGE, CLIP, "end_frame"),
    ],
)
def test_frames_that_a_model_does_not_take_are_refused(
    start: Frame | None, end: Frame | None, field: str
) -> None:
    error = refusal(typed(start_frame=start, end_frame=end), NARROW)
    assert error.field == field
    assert "It can start with" in error.sentence


def test_a_model_without_any_frames_says_so() -> None:
    error = refusal(typed(start_frame=IMAGE), replace(NARROW, frames={}))
    assert error.field == "start_frame"


def test_the_start_frame_is_named_where_only_the_end_would_work() -> None:
    only_end = replace(NARROW, frames={("none", "image"): FrameRule()})
    error = refusal(typed(start_frame=IMAGE, end_frame=IMAGE), only_end)
    assert error.field == "start_frame"
    assert "nothing and end with an image" in error.sentence


# ---- prompts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", "   \n", "hi", " hi ", "🦊", "x" * 5001])
def test_too_short_and_too_long_prompts_are_refused(prompt: str) -> None:
    assert refusal(typed(prompt)).field == "prompt"


def test_a_prompt_that_is_too_short_is_told_how_long_one_has_to_be() -> None:
    needs = "A prompt needs 3 to 5,000 characters; yours has 2."
    assert refusal(typed("hi")).sentence == needs


@pytest.mark.parametrize("prompt", ["fox", "🦊🦊🦊", "x" * 3000, "a fox\n\tin snow", "狐狸跑"])
def test_prompts_of_three_to_five_thousand_characters_fit(prompt: str) -> None:
    assert fit(typed(prompt), FLASH)[0].prompt == prompt


@pytest.mark.parametrize(
    "prompt", ["fox\x00fox", "\x89PNG\r\n\x1a\n", "fox \ud800 fox", "\x9b31m"]
)
def test_binary_garbage_is_refused(prompt: str) -> None:
    error = refusal(typed(prompt))
    assert error.field == "prompt"
    assert "not text" in error.sentence
    error.sentence.encode()


@pytest.mark.parametrize("frames", [{"start_frame": IMAGE}, {"end_frame": LINK}])
def test_an_image_needs_no_prompt(frames: dict[str, Frame]) -> None:
    assert fit(typed("", **frames), FLASH)[1] == ()


def test_a_model_may_want_words_beside_an_image() -> None:
    wants = replace(FLASH, needs_prompt=True)
    assert refusal(typed("", start_frame=IMAGE), wants).field == "prompt"


def test_an_image_does_not_excuse_a_prompt_that_is_too_short() -> None:
    assert refusal(typed("ab", start_frame=IMAGE)).field == "prompt"


def test_continuing_a_clip_needs_a_prompt() -> None:
    assert refusal(typed("", start_frame=CLIP)).field == "prompt"


@pytest.mark.parametrize(
    ("prompt", "is_long"),
    [("x" * 4000, False), ("x" * 4001, True), ("狐" * 1000, False), ("狐" * 1001, True)],
)
def test_a_prompt_beyond_the_context_window_is_remarked(prompt: str, is_long: bool) -> None:
    work, remarks = fit(typed(prompt), FLASH)
    assert work.prompt == prompt
    assert any("ignored" in each for each in remarks) == is_long


# ---- camera moves -----------------------------------------------------------------------------


def test_an_unknown_camera_move_gets_the_nearest() -> None:
    error = refusal(typed(concepts=("orbit_lft",)))
    assert error.field == "concepts"
    assert "orbit_left" in error.sentence


def test_at_most_four_camera_moves() -> None:
    moves = ("pov", "aerial", "static", "selfie", "handheld")
    assert fit(typed(concepts=moves[:4]), FLASH)[1] == ()
    assert "At most 4" in refusal(typed(concepts=moves)).sentence


def test_a_model_without_camera_moves_refuses_typed_ones_and_drops_others() -> None:
    assert refusal(typed(concepts=("pov",)), NARROW).field == "concepts"
    moved, remarks = fit(
        default(concepts=("pov",), aspect_ratio="16:9", resolution="720p"), NARROW
    )
    assert moved.concepts == ()
    assert len(remarks) == 1


# ---- ratios -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "near"),
    [
        ((4000, 3000), "4:3"),
        ((3000, 4000), "3:4"),
        ((1920, 1080), "16:9"),
        ((1080, 2400), "9:21"),
        ((3440, 1440), "21:9"),
        ((1000, 1001), "1:1"),
        ((1, 1), "1:1"),
        ((10_000, 1), "21:9"),
        ((0, 0), "1:1"),
    ],
)
def test_the_nearest_ratio(size: tuple[int, int], near: str) -> None:
    assert nearest_ratio(*size) == near


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_the_nearest_ratio_turns_with_the_image(width: int, height: int) -> None:
    turned = ":".join(reversed(nearest_ratio(width, height).split(":")))
    other = nearest_ratio(height, width)
    shape = height / width
    # On the line between two ratios either may be taken.
    assert other == turned or ratio(other) * ratio(turned) == pytest.approx(shape**2)  # type: ignore[arg-type]


# ---- providers --------------------------------------------------------------------------------


def offer(
    name: str,
    capabilities: Mapping[str, ModelCapabilities],
    rates: Mapping[str, int],
    *,
    is_test: bool = False,
) -> Luma:
    """A provider of this name with other models and prices."""
    provider = create(Settings(), clock=SystemClock(), name=name, is_test=is_test)
    provider.capabilities = dict(capabilities)
    provider.tariffs = {model: PerPixel(rate=rate) for model, rate in rates.items()}
    return provider


LUMA = offer("luma", MODELS, {"ray-flash-2": 2200, "ray-2": 6400})
OTHER = offer("other", {"narrow": NARROW}, {"narrow": 1})


def test_the_first_that_can_is_taken() -> None:
    provider, work, remarks = choose(typed(resolution="720p"), [LUMA, OTHER])
    assert (provider.name, work.model, remarks) == ("luma", "ray-flash-2", ())


def test_another_takes_what_the_first_cannot() -> None:
    work = typed(duration="10s", aspect_ratio="16:9", resolution="360p")
    provider, work, remarks = choose(work, [LUMA, OTHER])
    assert (provider.name, work.model) == ("other", "narrow")
    assert "narrow" in remarks[0]


def test_when_none_can_the_first_says_why() -> None:
    with pytest.raises(InvalidRequest, match=r"ray-flash-2 cannot make 10s.*9s"):
        choose(typed(duration="10s", aspect_ratio="1:1"), [LUMA, OTHER])


def test_without_providers_there_is_a_sentence() -> None:
    with pytest.raises(InvalidRequest, match="No video service"):
        choose(typed(), [])


def test_a_typed_model_that_nobody_has_gets_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="nearest is ray-flash-2") as caught:
        fit_provider(typed(model="ray-flsh-2"), LUMA)
    assert caught.value.field == "model"


def test_a_model_without_a_price_is_hidden_unless_it_is_a_test() -> None:
    capabilities = {**MODELS, "ray-9": FLASH}
    assert usable(offer("a", capabilities, {"ray-2": 1})) == ("ray-2",)
    assert "ray-9" in usable(offer("a", capabilities, {}, is_test=True))
    with pytest.raises(InvalidRequest):
        fit_provider(typed(model="ray-9"), LUMA)


def test_a_provider_without_any_price_refuses() -> None:
    with pytest.raises(InvalidRequest, match="known price") as caught:
        fit_provider(default(), offer("bare", MODELS, {}))
    assert caught.value.field == "model"


def test_an_untyped_model_moves_and_then_everything_is_checked_against_it() -> None:
    moved, remarks = fit_provider(default(), OTHER)
    assert moved.model == "narrow"
    assert moved.resolution in NARROW.resolutions
    assert moved.aspect_ratio in NARROW.aspect_ratios
    assert len(remarks) == 3


def test_a_size_without_a_price_is_refused_although_the_model_makes_it() -> None:
    provider = offer("clips", MODELS, {})
    provider.tariffs = {"ray-2": PerClip(clips={("540p", "5s"): Micros(330_000)})}
    assert fit_provider(default(model="ray-2"), provider)[0].model == "ray-2"
    with pytest.raises(InvalidRequest, match=r"no known price for 720p and 5s of ray-2"):
        fit_provider(default(model="ray-2", resolution="720p"), provider)


# ---- lengths that go with frames and loops -----------------------------------------------------

TIED = replace(
    NARROW,
    frames={
        ("none", "none"): FrameRule(),
        ("image", "none"): FrameRule(durations=("5s",)),
    },
    loop_durations=("5s",),
)


def test_a_length_that_does_not_go_with_an_image_is_refused_or_moves() -> None:
    given_values: dict[str, Any] = {"aspect_ratio": "16:9", "resolution": "360p"}
    error = refusal(typed(start_frame=IMAGE, duration="10s", **given_values), TIED)
    assert (error.field, "5s" in error.sentence) == ("duration", True)
    moved, remarks = fit(default(start_frame=IMAGE, duration="10s", **given_values), TIED)
    assert moved.duration == "5s"
    assert remarks == ("The length is 5s, because ray-flash-2 cannot make 10s from these images.",)
    assert fit(default(duration="10s", **given_values), TIED)[1] == ()


def test_a_loop_moves_a_length_that_nobody_typed_and_yields_to_one_that_was() -> None:
    given_values: dict[str, Any] = {"aspect_ratio": "16:9", "resolution": "360p"}
    fits = VideoWork(prompt="fox", loop=True, duration="10s", **given_values)
    moved, _ = fit(fits, TIED)
    assert (moved.duration, moved.loop) == ("5s", True)
    kept, remarks = fit(fits.model_copy(update={"typed": frozenset({"duration"})}), TIED)
    assert (kept.duration, kept.loop) == ("10s", False)
    assert remarks == ("It does not loop. ray-flash-2 loops only 5s.",)
    both = fits.model_copy(update={"typed": frozenset({"duration", "loop"})})
    assert refusal(both, TIED).field == "loop"


frames = st.sampled_from([None, IMAGE, LINK, CLIP])
works = st.builds(
    VideoWork,
    prompt=st.text(max_size=30),
    model=st.sampled_from(["ray-2", "ray-flash-2", "narrow", "ray-1-6", "nonsense"]),
    start_frame=frames,
    end_frame=frames,
    concepts=st.lists(st.sampled_from(["pov", "aerial", "zzz"]), max_size=6).map(tuple),
    typed=st.frozensets(st.sampled_from(OF_CLIPS)),
)


@given(works)
def test_it_fits_or_is_refused_and_typed_values_never_change(work: VideoWork) -> None:
    try:
        _, settled, _ = choose(work, [LUMA, OTHER])
    except InvalidRequest as error:
        assert (error.field, error.sentence) > ("", "")  # noqa: PT017 - either end is right
        return
    for name in work.typed:
        assert getattr(settled, name) == getattr(work, name)
    assert choose(settled, [LUMA, OTHER])[1] == settled, "what fits once fits again"
