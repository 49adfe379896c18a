"""What a request to Luma's Agents API may say for new clips of Ray 3.2, and stills. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.simulator.order import (
    BLOCKED_WORD,
    MODERATED_WORD,
    ApiError,
    KeyFrame,
    Order,
    clip_size,
)

MODEL = "ray-3.2"
#: US cents for a still of each.
STILLS = {"uni-1": 4.04, "uni-1-max": 10.0}
STILL_SIDE, STILL_BLOCK = 2048, 16
RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9", "21:9")
STILL_RATIOS = ("3:1", "2:1", "3:2", "2:3", "1:2", "1:3", *RATIOS)
KINDS = ("video", "video_edit", "video_reframe", "image")
NOTHING_ELSE = "The simulator makes clips, and stills from words alone"
SECONDS = {"5s": 5, "10s": 10}
#: US cents for 5 s and for 10 s.
CENTS = {"360p": (6, 18), "540p": (15, 45), "720p": (30, 90), "1080p": (120, 360)}
MOST_PROMPT, MOST_FRAMES = 6000, 64
FLAGGED = "Generation output was flagged by our content moderation system."
#: The bytes of an uploaded file, by its id and where the request names it; raises `ApiError`.
ReadFile = Callable[[str, str], bytes]


@dataclass(frozen=True, kw_only=True)
class PieceOrder(Order):
    """Something that is sold by the piece; `resolution` is empty for a still."""

    resolution: str = ""

    @property
    def cost_cents(self) -> float:
        """The list price in US cents."""
        if self.deed:
            return self.cents
        if self.is_still:
            return STILLS[self.model]
        short, long = CENTS[self.resolution]
        return short if self.seconds == SECONDS["5s"] else long

    @property
    def moderation(self) -> str | None:
        """Why the prompt will be refused after the request was accepted."""
        words = (BLOCKED_WORD, MODERATED_WORD)
        return FLAGGED if any(each in self.prompt.lower() for each in words) else None


def read_order(body: dict[str, Any], read_file: ReadFile) -> PieceOrder:
    """Understand a checked request for a clip or a still; raises `ApiError`."""
    ratio = body.get("aspect_ratio")
    if body.get("type") != "video":
        return _read_still(body, ratio or "1:1")
    video = body.get("video") or {}
    resolution = choice(video, "resolution", CENTS, "720p")
    duration = choice(video, "duration", SECONDS, "5s")
    start, end = _read_anchors(video, SECONDS[duration], read_file)
    _check_together(video, start, end)
    width, height = size(resolution, ratio or "16:9")
    return PieceOrder(
        model=MODEL,
        prompt=str(body["prompt"]),
        width=width,
        height=height,
        seconds=SECONDS[duration],
        loop=bool(video.get("loop")),
        concepts=(),
        start=start,
        end=end,
        callback_url=None,
        resolution=resolution,
    )


def _read_still(body: dict[str, Any], ratio: str) -> PieceOrder:
    """A picture of about 2K from words alone, whose longer side is always the same."""
    if body.get("output_format") not in (None, "png", "jpeg"):
        raise ApiError(422, "output_format: Input should be 'png' or 'jpeg'")
    if body.get("image_ref") or body.get("source") or body.get("video"):
        raise ApiError(400, NOTHING_ELSE)
    across, down = map(int, ratio.split(":"))
    short = round(STILL_SIDE * min(across, down) / max(across, down) / STILL_BLOCK) * STILL_BLOCK
    wide, high = (STILL_SIDE, short) if across >= down else (short, STILL_SIDE)
    return PieceOrder(
        model=body.get("model") or next(iter(STILLS)),
        prompt=str(body["prompt"]),
        width=wide,
        height=high,
        seconds=0,
        loop=False,
        concepts=(),
        start=None,
        end=None,
        callback_url=None,
    )


def _read_anchors(
    video: dict[str, Any], seconds: int, read_file: ReadFile
) -> tuple[KeyFrame | None, KeyFrame | None]:
    """The first and the last picture, from either way to name them."""
    start, end = (_read_ref(video, name, read_file) for name in ("start_frame", "end_frame"))
    frames, places = video.get("keyframes"), video.get("keyframe_indexes")
    if not frames and not places:
        return start, end
    if start or end:
        raise ApiError(422, "keyframes cannot be combined with start_frame or end_frame")
    frames, places = frames or [], places or []
    is_grid = all(isinstance(each, int) and 0 <= each <= seconds * 24 for each in places)
    if not 1 <= len(frames) == len(places) == len(set(places)) <= MOST_FRAMES or not is_grid:
        raise ApiError(422, "keyframe_indexes must match keyframes and lie within the clip")
    anchors = {
        place: _read_ref({"keyframes": frame}, "keyframes", read_file)
        for place, frame in sorted(zip(places, frames, strict=True))
    }
    if any(each and each.kind == "generation" for each in anchors.values()):
        raise ApiError(422, "keyframes: generation_id must be that of an image")
    return anchors.get(min(anchors)), anchors.get(seconds * 24)


def _read_ref(video: dict[str, Any], name: str, read_file: ReadFile) -> KeyFrame | None:
    ref, where = video.get(name), f"video.{name}"
    if ref is None:
        return None
    if not isinstance(ref, dict):
        raise ApiError(422, f"{where}: Input should be a valid object")
    given = {key: value for key, value in ref.items() if value and key != "media_type"}
    match given:
        case {"url": str(url), **rest} if not rest:
            return KeyFrame(kind="image", value=url)
        case {"data": str(text), **rest} if not rest:
            return KeyFrame(kind="image", content=_read_base64(text, where, ref))
        case {"file_id": str(id_), **rest} if not rest:
            return KeyFrame(kind="image", value=id_, content=read_file(id_, where))
        case {"generation_id": str(id_), **rest} if not rest:
            return KeyFrame(kind="generation", value=id_)
        case _:
            raise ApiError(
                400, f"{where}: provide exactly one of url, data, generation_id, file_id"
            )


def check_kind(body: dict[str, Any]) -> None:
    """Want work of Ray 3.2, or a still, with a prompt and a ratio that is known, if any."""
    model, kind = body.get("model") or next(iter(STILLS)), body.get("type") or "image"
    if model not in (MODEL, *STILLS):
        raise ApiError(400, f"Unknown model: {model}")
    is_video = str(kind).startswith("video")
    if is_video != (model == MODEL):
        raise ApiError(400, f"Type {kind!r} is not supported for model {model!r}")
    if kind not in KINDS:
        raise ApiError(400, NOTHING_ELSE)
    prompt, ratio = body.get("prompt"), body.get("aspect_ratio")
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= MOST_PROMPT:
        raise ApiError(400, f"Prompt must be between 1 and {MOST_PROMPT} characters")
    ratios = RATIOS if is_video else STILL_RATIOS
    if ratio is not None and ratio not in ratios:
        raise ApiError(400, f"Invalid aspect_ratio {ratio!r}. Valid: {', '.join(ratios)}")
    if not isinstance(body.get("video") or {}, dict):
        raise ApiError(422, "video: Input should be a valid object")


def _check_together(video: dict[str, Any], start: KeyFrame | None, end: KeyFrame | None) -> None:
    """Refuse what does not go together."""
    is_long, has_list = video.get("duration") == "10s", bool(video.get("keyframes"))
    kinds = [each.kind for each in (start, end) if each]
    if video.get("hdr") or video.get("exr_export"):
        raise ApiError(422, "hdr is not available to this client")
    if is_long and kinds and not has_list:
        raise ApiError(422, "start_frame and end_frame are not supported with duration=10s")
    if video.get("loop") and (is_long or has_list or end):
        raise ApiError(422, "loop is not supported with duration=10s, end_frame or keyframes")
    if "generation" in kinds and len(kinds) > 1:
        raise ApiError(422, "Extend takes exactly one of start_frame and end_frame")


def choice(video: dict[str, Any], name: str, known: Mapping[str, Any], default: str) -> str:
    """One of the known values of an option of a clip, or the default; raises `ApiError`."""
    value = video.get(name) or default
    if value not in known:
        raise ApiError(422, f"video.{name}: Input should be one of {', '.join(known)}")
    return str(value)


def size(resolution: str, ratio: str) -> tuple[int, int]:
    """Pixels of a clip of Ray 3.2."""
    if resolution != "360p":
        return clip_size(resolution, ratio)
    width, height = clip_size("720p", ratio)
    return width // 2, height // 2


def _read_base64(text: str, where: str, ref: dict[str, Any]) -> bytes:
    if not ref.get("media_type"):
        raise ApiError(400, f"{where}: 'media_type' is required with 'data'")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ApiError(422, f"{where}: invalid base64 data") from error
