"""Whether a finished clip can be worked on as asked, and what of it must be typed."""

from __future__ import annotations

from typing import Any

import pytest

from bot.choice import choose
from bot.clock import SystemClock
from bot.errors import InvalidRequest
from bot.ports import Provider
from bot.pricing import CANVASES, size_of
from bot.providers import replicate
from bot.providers.luma import Settings, create
from bot.refs import JobId
from bot.request import (
    ASPECT_RATIOS,
    AudioWork,
    ClipWork,
    ModifyWork,
    ReframeWork,
    SourceClip,
    UpscaleWork,
    Work,
)
from bot.words import gist, parameters

PRICES = {
    f"{model}/{kind}": 0.01 for model in ("ray-2", "ray-flash-2") for kind in ("upscale", "audio")
}
LUMA: Provider = create(Settings(prices=PRICES), clock=SystemClock())
BARE: Provider = create(Settings(), clock=SystemClock())


def clip(width: int = 960, height: int = 540, seconds: float = 5.042, **more: Any) -> SourceClip:
    made = {"job_id": JobId("r-1"), "provider": "luma", "model": "ray-flash-2", **more}
    return SourceClip(width=width, height=height, seconds=seconds, **made)


def deed(kind: type[ClipWork], source: SourceClip | None = None, **work: Any) -> ClipWork:
    """What somebody typed to be done to a clip."""
    asked = {"model": "ray-flash-2", "source": source or clip(), **work}
    return kind.model_validate({**asked, "typed": frozenset(work)})


def refusal(work: ClipWork, provider: Provider = LUMA) -> str:
    with pytest.raises(InvalidRequest) as refused:
        choose(work, [provider])
    return refused.value.sentence


def test_only_a_sound_must_be_described() -> None:
    for kind in (UpscaleWork, ModifyWork):
        choose(deed(kind), [LUMA])
    choose(deed(ReframeWork, aspect_ratio="9:16"), [LUMA])
    assert refusal(deed(AudioWork)) == "Describe the sound in a few words."
    assert "3 to 5,000" in refusal(deed(ModifyWork, prompt="a"))
    choose(deed(AudioWork, prompt="wind in the trees"), [LUMA])


@pytest.mark.parametrize(
    ("kind", "model", "longest"),
    [
        (ReframeWork, "ray-2", 10),
        (ReframeWork, "ray-flash-2", 30),
        (ModifyWork, "ray-2", 10),
        (ModifyWork, "ray-flash-2", 15),
    ],
)
def test_a_clip_that_is_too_long_is_refused(
    kind: type[ClipWork], model: str, longest: int
) -> None:
    for seconds, fits in ((longest + 0.042, True), (longest + 1.0, False)):
        work = deed(kind, clip(seconds=seconds), model=model, aspect_ratio="9:16")
        if fits:
            choose(work, [LUMA])
        else:
            assert f"up to {longest} s" in refusal(work)


@pytest.mark.parametrize("shape", ASPECT_RATIOS)
def test_no_reframe_to_the_shape_it_has(shape: Any) -> None:
    source = clip(*CANVASES[shape])
    assert f"is {shape} already" in refusal(deed(ReframeWork, source, aspect_ratio=shape))
    other = deed(ReframeWork, source, aspect_ratio="4:3" if shape != "4:3" else "1:1")
    assert choose(other, [LUMA])[1] == other


def test_an_upscale_is_larger_or_refused_and_one_not_typed_becomes_so() -> None:
    large = clip(1920, 1088)
    assert "You can take 4k." in refusal(deed(UpscaleWork, large, resolution="1080p"))
    _, work, remarks = choose(deed(UpscaleWork, large), [LUMA])
    assert isinstance(work, UpscaleWork)
    assert work.resolution == "4k"
    assert remarks == ("It becomes 4k, because r-1 has 1920×1088 pixels.",)
    assert "nothing larger" in refusal(deed(UpscaleWork, clip(3840, 2160)))
    assert size_of(deed(UpscaleWork, clip(544, 960), resolution="1080p")) == (1084, 1913)


def test_what_has_no_price_is_off_until_the_operator_enters_one() -> None:
    sentence = refusal(deed(UpscaleWork), BARE)
    assert 'under [providers.luma] prices, as "ray-flash-2/upscale".' in sentence
    half: Provider = create(Settings(prices={"ray-2/audio": 0.1}), clock=SystemClock())
    assert '"ray-flash-2/audio"' in refusal(deed(AudioWork, prompt="wind"), half)


def test_a_service_that_cannot_says_so() -> None:
    other: Provider = replicate.create(replicate.Settings(), clock=SystemClock())
    made = clip(provider="replicate")
    assert refusal(deed(ModifyWork, made), other) == (
        "r-1 was made by ray-flash-2 of replicate, which cannot modify clips."
    )
    retired: Provider = create(Settings(retired_models=True), clock=SystemClock())
    old = deed(ModifyWork, model="ray-1-6")
    assert "ray-1-6 of luma" in refusal(old, retired)
    large = deed(UpscaleWork, clip(model="ray-1-6")).model_copy(update={"model": "ray-1-6"})
    assert "ray-1-6 of luma, which cannot upscale" in refusal(large)
    work = old.model_copy(update={"typed": frozenset()})
    _, moved, remarks = choose(work, [retired])
    assert moved.model in ("ray-2", "ray-flash-2")
    assert "not available" in remarks[0]


def test_the_words_for_it() -> None:
    works: list[Work] = [
        UpscaleWork(source=clip(), model="ray-2", resolution="4k"),
        AudioWork(source=clip(), model="ray-2", prompt="wind"),
        ReframeWork(source=clip(), model="ray-2", aspect_ratio="9:16", prompt="a wide sea"),
        ModifyWork(source=clip(), model="ray-2", mode="adhere_3"),
    ]
    assert [gist(each) for each in works] == [
        "upscale to 4k",
        "sound wind",
        "reframe to 9:16 a wide sea",
        "modify, adhere 3",
    ]
    assert parameters(works[0]) == "ray-2 · upscale to 4k · of clip r-1"
