"""Which provider takes a request, for a clip or a still, and what it becomes there. Pure.

A value that the person typed is never changed: it fits, or is refused with the nearest that
works. A default may move to the nearest, which a remark tells.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar, cast

from bot import deeds, pricing
from bot.errors import InvalidRequest
from bot.ports import FrameKind, FrameRule, ModelCapabilities, Operation, Provider
from bot.pricing import ratio, seconds, tariff_of
from bot.refs import Micros
from bot.request import (
    CONTEXT_TOKENS,
    RESOLUTIONS,
    AnyWork,
    AudioWork,
    ClipWork,
    Frame,
    ImageWork,
    ModifyWork,
    Parameter,
    ReframeWork,
    VideoWork,
    estimate_tokens,
    frames_of,
)
from bot.tariffs import PerPiece

T = TypeVar("T", bound=str)
P = TypeVar("P", bound=Provider)
W = TypeVar("W", bound=AnyWork)
NOT_TEXT = {"Cc", "Cs"}
TEXT_CONTROLS = "\n\r\t"
WORDS: dict[Parameter, str] = {
    "duration": "length",
    "resolution": "resolution",
    "aspect_ratio": "aspect ratio",
}
NO_STILLS = "No video service here makes stills. The operator can add luma or luma_agents."
#: What a model makes, and how it is asked for.
MAKES: dict[Operation, tuple[str, str]] = {
    "video": ("clips", "Leave the still out."),
    "image": ("stills", "Ask for a still."),
}
WITH_FRAMES, LOOPING = " from these images", " that loops"


def is_draining(provider: Provider) -> bool:
    """Whether nothing new goes there, and only what it has already is looked after."""
    return provider.limits.running == 0


def usable(provider: Provider, operation: Operation = "video") -> tuple[str, ...]:
    """The models people may choose; without a known price only a test shows one."""
    return tuple(
        model
        for model, can in provider.capabilities.items()
        if operation in can.operations
        and (provider.is_test or pricing.tariff_key(model, operation) in provider.tariffs)
    )


def offered(
    providers: Iterable[Provider], operation: Operation = "video"
) -> tuple[ModelCapabilities, ...]:
    """What people may choose, by model, in the order of the providers."""
    return tuple(
        provider.capabilities[model]
        for provider in providers
        for model in usable(provider, operation)
    )


def cheapest(provider: Provider) -> dict[str, pricing.Cheapest]:
    """Of each model that is sold, the clip that costs least."""
    return {
        model: least
        for model in usable(provider)
        if (
            least := pricing.cheapest(
                provider.tariffs.get(model), can=provider.capabilities[model]
            )
        )
    }


def stills(provider: Provider) -> list[tuple[str, Micros]]:
    """The models that make stills, and what one costs."""
    sold = ((model, provider.tariffs.get(model)) for model in usable(provider, "image"))
    return [(model, each.price) for model, each in sold if isinstance(each, PerPiece)]


def candidates(
    work: W, providers_in_order: Sequence[P], sizes: Collection[str] = RESOLUTIONS
) -> list[tuple[P, W, tuple[str, ...]]]:
    """Every provider that can, in order, the work as it would be sent there, and remarks.

    Raises the `InvalidRequest` of the first provider when none can. No size is proposed but of
    these `sizes`.
    """
    able = [each for each in providers_in_order if usable(each, work.kind)]
    if work.kind == "image" and not able:
        raise InvalidRequest(NO_STILLS, field="model")
    if isinstance(work, ClipWork) and not able:
        able_ones = (can for each in providers_in_order for can in each.capabilities.values())
        is_able = any(work.kind in can.operations for can in able_ones)
        refused = deeds.refuse(work, work.source.provider, is_able=is_able)
        raise InvalidRequest(refused, field="source")
    found: list[tuple[P, W, tuple[str, ...]]] = []
    first_refusal: InvalidRequest | None = None
    for provider in able or providers_in_order:
        try:
            fitted, remarks = fit_provider(work, provider, sizes)
        except InvalidRequest as error:
            first_refusal = first_refusal or error
        else:
            found.append((provider, fitted, remarks))
    if not found:
        raise first_refusal or InvalidRequest("No video service is set up here.", field="model")
    return found


def choose(work: W, providers_in_order: Sequence[P]) -> tuple[P, W, tuple[str, ...]]:
    """The first of the `candidates`."""
    return candidates(work, providers_in_order)[0]


def fit_provider(
    work: W, provider: Provider, sizes: Collection[str] = RESOLUTIONS
) -> tuple[W, tuple[str, ...]]:
    """`fit`, to the asked model or, where nobody typed it, to the provider's nearest."""
    models = usable(provider, work.kind)
    if not models:
        raise InvalidRequest(
            f"{provider.name} has no model with a known price for that.", field="model"
        )
    moved: tuple[str, ...] = ()
    if work.model not in models:
        near = _closest_word(work.model, models)
        if "model" in work.typed or work.kind in deeds.BY_ITS_MODEL:
            raise InvalidRequest(_model_refusal(work, provider, near), field="model")
        if not isinstance(work, ImageWork):
            moved = (f"The model is {near}, because {work.model} is not available.",)
        else:
            near = models[0]  # Nobody chose the other one.
        work = work.model_copy(update={"model": near})
    fitted, remarks = fit(work, provider.capabilities[work.model], sizes)
    if not is_sold(fitted, provider):
        what = fitted.model
        if isinstance(fitted, VideoWork):
            what = f"{fitted.resolution} and {fitted.duration} of {what}"
        sentence = f"{provider.name} has no known price for {what}."
        raise InvalidRequest(sentence, field="resolution")
    return fitted, (*moved, *remarks)


def _model_refusal(work: AnyWork, provider: Provider, near: str) -> str:
    other: Operation = "video" if work.kind == "image" else "image"
    can = provider.capabilities.get(work.model)
    if isinstance(work, ClipWork) and (can or work.kind in deeds.BY_ITS_MODEL):
        is_able = can is not None and work.kind in can.operations
        return deeds.refuse(work, provider.name, is_able=is_able)
    if work.model in usable(provider, other):
        made, how = MAKES[other]
        return f"{work.model} makes {made} alone. {how}"
    return f"There is no model {work.model!r} here. The nearest is {near}."


def is_sold(work: AnyWork, provider: Provider) -> bool:
    """Whether a work that fits a model has a known price; a test needs none."""
    tariff = tariff_of(provider.tariffs, work)
    can = provider.capabilities[work.model]
    return provider.is_test or pricing.estimate(work, tariff, can=can) is not None


def fit(
    work: W, capabilities: ModelCapabilities, sizes: Collection[str] = RESOLUTIONS
) -> tuple[W, tuple[str, ...]]:
    """The work as this model can do it, and a remark for each default that had to move.

    Raises `InvalidRequest` with the field and the nearest value that works.
    """
    remarks: list[str] = []
    fitted = _fit_prompt(work, capabilities, remarks)
    if not isinstance(fitted, ClipWork) or isinstance(fitted, ReframeWork):
        fitted = _fit_ratio(fitted, capabilities, remarks)
    if isinstance(fitted, ClipWork):
        fitted = cast("W", deeds.fit(fitted, capabilities, remarks))
    if isinstance(fitted, VideoWork):
        clip: VideoWork = _fit_duration(fitted, capabilities, remarks)
        clip = _fit_resolution(clip, capabilities, remarks, sizes)
        clip = _fit_frames(clip, capabilities, remarks)
        fitted = cast("W", _fit_concepts(clip, capabilities, remarks))
    return fitted, tuple(remarks)


def _fit_prompt(work: W, can: ModelCapabilities, remarks: list[str]) -> W:
    prompt = work.full_prompt if work.prompt.strip() else ""
    shortest, longest = can.prompt_chars
    has_image = "image" in map(_kind, frames_of(work))
    is_told = isinstance(work, AudioWork) or (can.needs_prompt and isinstance(work, ModifyWork))
    is_optional = isinstance(work, ClipWork) and not is_told
    if not prompt and (is_optional or (has_image and not can.needs_prompt)):
        return work
    if not prompt:
        if isinstance(work, AudioWork):
            raise InvalidRequest("Describe the sound in a few words.", field="prompt")
        what = "picture" if work.kind == "image" else "clip"
        raise InvalidRequest(f"Describe the {what} in a few words.", field="prompt")
    # What can be printed is text, which is quicker to tell.
    if not prompt.isprintable() and any(map(_is_noise, prompt)):
        raise InvalidRequest(
            "The prompt holds characters that are not text. Please type it in words.",
            field="prompt",
        )
    if not shortest <= len(prompt) <= longest:
        raise InvalidRequest(
            f"A prompt needs {shortest} to {longest:,} characters; yours has {len(prompt):,}.",
            field="prompt",
        )
    if estimate_tokens(prompt) > CONTEXT_TOKENS:
        remarks.append(
            f"The prompt is longer than the model reads (about {CONTEXT_TOKENS:,} tokens); the "
            "end of it may be ignored."
        )
    return work


def _is_noise(letter: str) -> bool:
    return unicodedata.category(letter) in NOT_TEXT and letter not in TEXT_CONTROLS


def _fit_duration(work: VideoWork, can: ModelCapabilities, remarks: list[str]) -> VideoWork:
    if not can.durations and can.fixed:
        return _fix(work, "duration", can.fixed[0], remarks)
    return _settle(work, "duration", can.durations, seconds, remarks)


def _fit_resolution(
    work: VideoWork, can: ModelCapabilities, remarks: list[str], sizes: Collection[str]
) -> VideoWork:
    if work.is_draft and can.resolutions:
        smallest = min(can.resolutions, key=RESOLUTIONS.index)
        return work.model_copy(update={"resolution": smallest})
    if not can.resolutions and can.fixed:
        return _fix(work, "resolution", can.fixed[1], remarks)
    place = RESOLUTIONS.index
    return _settle(work, "resolution", can.resolutions, place, remarks, proposed=sizes)


def _fit_ratio(work: W, can: ModelCapabilities, remarks: list[str]) -> W:
    return _settle(
        work, "aspect_ratio", can.aspect_ratios, lambda each: math.log(ratio(each)), remarks
    )


def _settle(
    work: W,
    field: Parameter,
    choices: Sequence[T],
    place: Callable[[T], float],
    remarks: list[str],
    *,
    what: str = "",
    proposed: Collection[str] | None = None,
) -> W:
    """The value if the model takes it, else the nearest by its `place` on a line.

    `what` is the kind of clip for which there are no other choices. Where it was typed, only what
    may be `proposed` is.
    """
    value: T = getattr(work, field)
    if value in choices:
        return work
    if not choices:
        raise InvalidRequest(f"{work.model} takes no {WORDS[field]}.", field=field)
    by_distance = sorted(choices, key=lambda each: abs(place(each) - place(value)))
    if field in work.typed:
        refused = f"{work.model} cannot make {value} ({WORDS[field]}){what}."
        may = (each for each in by_distance if proposed is None or each in proposed)
        hint = next((f" The nearest it can is {each}." for each in may), "")
        raise InvalidRequest(f"{refused}{hint}", field=field)
    near = by_distance[0]
    remarks.append(
        f"The {WORDS[field]} is {near}, because {work.model} cannot make {value}{what}."
    )
    return work.model_copy(update={field: near})


def _fix(work: VideoWork, field: Parameter, value: str, remarks: list[str]) -> VideoWork:
    if field in work.typed:
        raise InvalidRequest(
            f"{work.model} chooses the {WORDS[field]} by itself (about {value}). Leave it out.",
            field=field,
        )
    if getattr(work, field) != value:
        remarks.append(f"{work.model} chooses the {WORDS[field]} by itself: about {value}.")
    return work.model_copy(update={field: value})


def _kind(frame: Frame | None) -> FrameKind:
    if frame is None:
        return "none"
    return "clip" if frame.kind == "clip" and not frame.is_still else "image"


def frame_kinds(work: VideoWork) -> tuple[FrameKind, FrameKind]:
    """What a work starts from and ends with, as a model's capabilities name it."""
    return _kind(work.start_frame), _kind(work.end_frame)


def _fit_frames(work: VideoWork, can: ModelCapabilities, remarks: list[str]) -> VideoWork:
    pair = frame_kinds(work)
    rule = can.frames.get(pair)
    if rule is None:
        raise InvalidRequest(_frames_refusal(work.model, pair, can), field=_frame_field(pair, can))
    if rule.durations is not None:
        work = _settle(work, "duration", rule.durations, seconds, remarks, what=WITH_FRAMES)
    return _fit_loop(work, can, rule, remarks)


def _fit_loop(
    work: VideoWork, can: ModelCapabilities, rule: FrameRule, remarks: list[str]
) -> VideoWork:
    if not work.loop:
        return work
    problem = rule.loop_refusal
    if problem is None and can.loop_durations is not None:
        if work.duration in can.loop_durations:
            return work
        if "duration" not in work.typed:
            return _settle(work, "duration", can.loop_durations, seconds, remarks, what=LOOPING)
        problem = f"{work.model} loops only {' or '.join(can.loop_durations)}."
    if problem is None:
        return work
    if "loop" in work.typed:
        raise InvalidRequest(problem, field="loop")
    remarks.append(f"It does not loop. {problem}")
    return work.model_copy(update={"loop": False})


def _frame_field(pair: tuple[FrameKind, FrameKind], can: ModelCapabilities) -> Parameter:
    if pair[1] == "none" or (pair[0] != "none" and ("none", pair[1]) in can.frames):
        return "start_frame"
    return "end_frame"


def _frames_refusal(model: str, pair: tuple[FrameKind, FrameKind], can: ModelCapabilities) -> str:
    words = {"none": "nothing", "image": "an image", "clip": "an earlier clip"}
    start, end = pair
    refused = f"{model} cannot start with {words[start]} and end with {words[end]}"
    for near in ((start, "none"), ("none", end), ("image", "none"), ("none", "none")):
        if near in can.frames and near != pair:
            return f"{refused}. It can start with {words[near[0]]} and end with {words[near[1]]}."
    return f"{refused}."


def _fit_concepts(work: VideoWork, can: ModelCapabilities, remarks: list[str]) -> VideoWork:
    if not work.concepts:
        return work
    problem = _concepts_refusal(work, can)
    if problem is None:
        return work
    if "concepts" in work.typed:
        raise InvalidRequest(problem, field="concepts")
    remarks.append(f"No camera moves are used. {problem}")
    return work.model_copy(update={"concepts": ()})


def _concepts_refusal(work: VideoWork, can: ModelCapabilities) -> str | None:
    if not can.concepts:
        return f"{work.model} takes no camera moves. Describe the move in the prompt."
    for concept in work.concepts:
        if concept not in can.concepts:
            near = _closest_word(concept, can.concepts)
            return f"{concept!r} is no camera move. The nearest is {near}."
    if len(work.concepts) > can.max_concepts:
        return f"At most {can.max_concepts} camera moves are possible; leave some out."
    return None


def _closest_word(word: str, known: Sequence[str]) -> str:
    return difflib.get_close_matches(word, known, n=1, cutoff=0.0)[0]
