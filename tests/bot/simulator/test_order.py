from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.simulator.order import BASES, RATIOS, ApiError, Order, clip_size, read_order

BODY = {"model": "ray-flash-2", "prompt": "a red fox", "resolution": "540p", "duration": "5s"}
IMAGE = {"type": "image", "url": "http://127.0.0.1/fox.png"}
CLIP = {"type": "generation", "id": "123e4567-e89b-12d3-a456-426614174000"}


def refusal(**fields: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        read_order({**BODY, **fields})
    return caught.value.status, caught.value.detail


@pytest.mark.parametrize("resolution", BASES)
@pytest.mark.parametrize("ratio", RATIOS)
def test_every_ratio_has_about_the_pixels_of_16_to_9(resolution: str, ratio: str) -> None:
    width, height = clip_size(resolution, ratio)
    across, down = RATIOS[ratio]
    wide, high = BASES[resolution]
    assert width % 2 == height % 2 == 0
    assert width / height == pytest.approx(across / down, rel=0.02)
    assert width * height == pytest.approx(wide * high, rel=0.02)


def test_sizes_that_are_published_are_exact() -> None:
    assert clip_size("540p", "16:9") == (960, 540)
    assert clip_size("1080p", "9:16") == (1080, 1920)
    assert clip_size("540p", "1:1") == (720, 720)


@pytest.mark.parametrize(
    ("model", "resolution", "duration", "dollars"),
    [
        ("ray-flash-2", "540p", "5s", 0.14),
        ("ray-flash-2", "720p", "9s", 0.44),
        ("ray-flash-2", "4k", "9s", 3.94),
        ("ray-2", "540p", "5s", 0.40),
        ("ray-2", "1080p", "9s", 2.87),
    ],
)
def test_prices_agree_with_the_published_ones(
    model: str, resolution: str, duration: str, dollars: float
) -> None:
    fields = {"model": model, "resolution": resolution, "duration": duration}
    order = read_order({**BODY, **fields, "aspect_ratio": "16:9"})
    assert round(order.cost_cents / 100, 2) == dollars


def test_a_full_request_is_understood() -> None:
    order = read_order(
        {
            **BODY,
            "aspect_ratio": "9:16",
            "duration": "9s",
            "keyframes": {"frame0": IMAGE, "frame1": CLIP},
            "concepts": [{"key": "orbit_left"}, {"key": "push_in"}],
            "callback_url": "https://example.org/callbacks/luma/token",
        }
    )
    assert (order.width, order.height, order.frames) == (540, 960, 217)
    assert order.start is not None
    assert (order.start.kind, order.start.value) == ("image", IMAGE["url"])
    assert order.end is not None
    assert (order.end.kind, order.end.value) == ("generation", CLIP["id"])
    assert order.concepts == ("orbit_left", "push_in")


@pytest.mark.parametrize(
    ("prompt", "detail"),
    [
        (None, "Prompt is required"),
        ("", "Prompt is required"),
        ("ab", "Prompt is too short, minimum length is 3 characters"),
        ("a" * 5001, "Prompt is too long, maximum length is 5000 characters"),
    ],
)
def test_prompt_lengths(prompt: str | None, detail: str) -> None:
    assert refusal(prompt=prompt) == (400, detail)


def test_an_image_needs_no_prompt_but_an_earlier_clip_does() -> None:
    assert read_order({**BODY, "prompt": None, "keyframes": {"frame1": IMAGE}}).prompt == ""
    assert refusal(prompt="", keyframes={"frame0": CLIP}) == (400, "Prompt is required")


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        (None, IMAGE, "end frame"),
        (IMAGE, IMAGE, "keyframes"),
        (None, CLIP, "extend reverse"),
        (CLIP, IMAGE, "interpolate video to image"),
        (IMAGE, CLIP, "interpolate image to video"),
        (CLIP, CLIP, "interpolate between two videos"),
    ],
)
def test_loops_that_are_refused(start: object, end: object, name: str) -> None:
    frames = {"frame0": start, "frame1": end}
    assert refusal(loop=True, keyframes=frames) == (400, f"Loop is not supported for {name}")
    assert not read_order({**BODY, "loop": False, "keyframes": frames}).loop


@pytest.mark.parametrize("frames", [None, {"frame0": IMAGE}, {"frame0": CLIP}])
def test_loops_that_are_allowed(frames: object) -> None:
    assert read_order({**BODY, "loop": True, "keyframes": frames}).loop


def test_the_retired_model_takes_neither_length_nor_size_nor_concepts() -> None:
    old = {"model": "ray-1-6", "resolution": None, "duration": None}
    assert refusal(model="ray-1-6")[1] == "400: Duration is not supported in Ray 1.6 API"
    assert refusal(**{**old, "resolution": "720p"})[1] == (
        "400: Resolution is not supported in Ray 1.6 API"
    )
    assert refusal(**old, concepts=[{"key": "static"}])[1] == (
        "400: concepts are not supported for this model"
    )
    assert read_order({**BODY, **old}).seconds == 5


@pytest.mark.parametrize(
    ("fields", "status", "detail"),
    [
        ({"model": None}, 422, "model: Field required"),
        ({"model": "ray-9"}, 422, "model: Input should be one of ray-flash-2, ray-2, ray-1-6"),
        ({"aspect_ratio": "5:4"}, 422, "aspect_ratio: Input should be one of"),
        ({"resolution": "480p"}, 422, "resolution: Input should be one of"),
        ({"duration": 5}, 422, "duration: Input should be a valid string"),
        ({"loop": "yes"}, 422, "loop: Input should be a valid boolean"),
        ({"generation_type": "image"}, 400, "Unknown request type"),
        ({"keyframes": {}}, 400, "No keyframes provided"),
        ({"keyframes": [IMAGE]}, 422, "keyframes: Input should be a valid object"),
        ({"keyframes": {"frame0": {"type": "image"}}}, 422, "keyframes: Input should be an image"),
        (
            {"keyframes": {"frame0": {"type": "image", "url": "data:image/png;base64,AA"}}},
            422,
            "keyframes: Input should be an image url",
        ),
        ({"concepts": [{"key": "levitate"}]}, 422, "concepts: Input should be keys"),
        ({"concepts": ["static"]}, 422, "concepts: Input should be keys"),
        ({"concepts": 3}, 422, "concepts: Input should be a valid list"),
        ({"callback_url": 3}, 422, "callback_url: Input should be a valid string"),
    ],
)
def test_refusals(fields: dict[str, Any], status: int, detail: str) -> None:
    code, words = refusal(**fields)
    assert code == status
    assert words.startswith(detail)


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_a_body_that_is_no_object(body: object) -> None:
    with pytest.raises(ApiError, match="valid object"):
        read_order(body)


def test_prompts_that_are_moderated_later() -> None:
    assert read_order({**BODY, "prompt": "A BLACKLISTED fox"}).moderation == (
        "Contains blacklisted words"
    )
    assert read_order({**BODY, "prompt": "a moderated fox"}).moderation == (
        "Advanced prompt moderation failed"
    )
    assert read_order(BODY).moderation is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*BODY, "keyframes", "concepts", "loop"]), _JSON))
def test_anything_else_is_refused_in_words(fields: dict[str, Any]) -> None:
    try:
        outcome: Order | ApiError = read_order({**BODY, **fields})
    except ApiError as error:
        outcome = error
    assert isinstance(outcome, Order) or outcome.status in (400, 422)
