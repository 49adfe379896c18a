"""What a request may say that works on a finished clip, by Luma's published rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.simulator.order import (
    BASES,
    FPS,
    PROMPT_CHARS,
    RATES,
    RATIOS,
    ApiError,
    Deed,
    Order,
    choice,
    text,
)

TYPES: Mapping[Deed, str] = {
    "upscale": "upscale_video",
    "audio": "add_audio",
    "reframe": "reframe_video",
    "modify": "modify_video",
}
MODES = tuple(f"{name}_{step}" for name in ("adhere", "flex", "reimagine") for step in (1, 2, 3))
CANVASES = {
    "1:1": (1536, 1536),
    "4:3": (1792, 1344),
    "3:4": (1344, 1792),
    "16:9": (2048, 1152),
    "9:16": (1152, 2048),
    "21:9": (2432, 1024),
    "9:21": (1024, 2432),
}
MODIFY_RATES = {"ray-flash-2": 0.00544, "ray-2": 0.01582}
#: Seconds that a clip may have.
REFRAMED = {"ray-flash-2": 30, "ray-2": 10}
MODIFIED = {"ray-flash-2": 15, "ray-2": 10}
#: Luma publishes neither: here an upscale costs what its model does, and a sound five cents.
SOUND_CENTS = 5.0


def read_deed(deed: Deed, body: Any, source: Order) -> Order:
    """Understand what is to be done to the clip of `source`; raises `ApiError`."""
    if not isinstance(body, dict):
        raise ApiError(422, "Input should be a valid object")
    if body.get("generation_type", TYPES[deed]) != TYPES[deed]:
        raise ApiError(400, "Unknown request type")
    if source.is_still:
        raise ApiError(400, "The generation is not a video")
    asked = replace(
        source,
        prompt=_prompt(body, is_needed=deed == "audio"),
        start=None,
        end=None,
        callback_url=text(body, "callback_url"),
        deed=deed,
        has_sound=source.has_sound or deed == "audio",
    )
    match deed:
        case "upscale":
            return _upscaled(asked, body)
        case "audio":
            return replace(asked, cents=SOUND_CENTS)
        case "reframe":
            return _reframed(asked, body)
        case "modify":
            return _modified(asked, body)


def _upscaled(asked: Order, body: dict[str, Any]) -> Order:
    wide, high = BASES[choice(body, "resolution", BASES, "1080p")]
    grow = (wide * high / (asked.width * asked.height)) ** 0.5
    if grow < 1.1:
        raise ApiError(400, "The resolution is not larger than that of the generation")
    return _priced(asked, _even(asked.width * grow), _even(asked.height * grow), RATES)


def _reframed(asked: Order, body: dict[str, Any]) -> Order:
    model = _model(asked, body, REFRAMED)
    width, height = CANVASES[choice(body, "aspect_ratio", RATIOS, None)]
    return _priced(replace(asked, model=model), width, height, RATES)


def _modified(asked: Order, body: dict[str, Any]) -> Order:
    model = _model(asked, body, MODIFIED)
    choice(body, "mode", dict.fromkeys(MODES), None)
    return _priced(replace(asked, model=model), asked.width, asked.height, MODIFY_RATES)


def _model(asked: Order, body: dict[str, Any], longest: Mapping[str, int]) -> str:
    model = choice(body, "model", dict(longest), None)
    if asked.seconds > longest[model]:
        raise ApiError(400, f"The video is too long, maximum length is {longest[model]} seconds")
    return model


def _priced(asked: Order, width: int, height: int, rates: Mapping[str, float]) -> Order:
    cents = width * height * FPS * asked.seconds / 1e6 * rates[asked.model] * 100
    return replace(asked, width=width, height=height, cents=cents)


def _even(side: float) -> int:
    return 2 * round(side / 2)


def _prompt(body: dict[str, Any], *, is_needed: bool) -> str:
    prompt = text(body, "prompt") or ""
    least, most = PROMPT_CHARS
    if not prompt and is_needed:
        raise ApiError(400, "Prompt is required")
    if prompt and len(prompt) < least:
        raise ApiError(400, f"Prompt is too short, minimum length is {least} characters")
    if len(prompt) > most:
        raise ApiError(400, f"Prompt is too long, maximum length is {most} characters")
    return prompt
