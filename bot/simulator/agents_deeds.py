"""What a request to Luma's Agents API may say that works on a finished clip of Ray 3.2. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.simulator.agents_order import PieceOrder, choice, size
from bot.simulator.deeds import MODES
from bot.simulator.order import RATIOS, ApiError, Deed

TYPES: Mapping[str, Deed] = {"video_edit": "modify", "video_reframe": "reframe"}
#: US cents: for each 5 s that have begun, and for each second.
EDIT_CENTS = {"360p": 54, "540p": 72, "720p": 108, "1080p": 216}
REFRAME_CENTS = {"360p": 3, "540p": 6, "720p": 12, "1080p": 36}
#: Seconds that a clip may have.
LONGEST: Mapping[Deed, int] = {"modify": 18, "reframe": 30}
UPRIGHT = ("9:16", "3:4")
#: What does not go with a clip that is there already.
NOT_WITH: Mapping[Deed, tuple[str, ...]] = {
    "modify": ("loop", "end_frame", "keyframes", "source_position", "hdr", "exr_export"),
    "reframe": ("loop", "start_frame", "end_frame", "keyframes", "edit", "hdr", "exr_export"),
}
OWN_ALONE = "The simulator works on its own clips alone"


def read_source(body: dict[str, Any]) -> str:
    """The id of the generation that is to be worked on; raises `ApiError`."""
    source = body.get("source")
    if not isinstance(source, dict):
        raise ApiError(422, "source: Field required")
    given = {key: value for key, value in source.items() if value and key != "media_type"}
    if len(given) != 1 or not given.keys() <= {"url", "data", "generation_id", "file_id"}:
        raise ApiError(400, "source: provide exactly one of url, data, generation_id, file_id")
    if isinstance(id_ := given.get("generation_id"), str):
        return id_
    is_video = str(source.get("media_type") or "").startswith("video/")
    if "file_id" not in given and not is_video:
        raise ApiError(400, "source: a video 'media_type' is required")
    raise ApiError(400, OWN_ALONE)


def read_deed(body: dict[str, Any], source: PieceOrder) -> PieceOrder:
    """Understand what is to be done to the clip of `source`; raises `ApiError`."""
    deed, video = TYPES[body["type"]], body.get("video") or {}
    for name in NOT_WITH[deed]:
        if video.get(name):
            raise ApiError(422, f"video.{name} is not supported for type {body['type']!r}")
    if body.get("image_ref"):
        raise ApiError(422, f"image_ref is not supported for type {body['type']!r}")
    if source.is_still:
        raise ApiError(400, "The source generation is not a video")
    if source.seconds > LONGEST[deed]:
        raise ApiError(422, f"The source video must be {LONGEST[deed]} seconds or shorter")
    resolution = choice(video, "resolution", EDIT_CENTS, "720p")
    if deed == "modify":
        _check_edit(video.get("edit"))
        width, height = _same_shape(source, resolution)
        cents = EDIT_CENTS[resolution] * -(-source.seconds // 5)
    else:
        width, height = _canvas(body, source, resolution)
        cents = REFRAME_CENTS[resolution] * source.seconds
    return replace(
        source,
        prompt=str(body["prompt"]),
        width=width,
        height=height,
        resolution=resolution,
        start=None,
        end=None,
        deed=deed,
        cents=cents,
    )


def _check_edit(edit: Any) -> None:
    """How far it may leave its clip: by itself, by a strength, or by controls."""
    if edit is None:
        return
    if not isinstance(edit, dict):
        raise ApiError(422, "video.edit: Input should be a valid object")
    choice(edit, "strength", dict.fromkeys(MODES), MODES[0])
    if edit.get("auto_controls") and (edit.get("strength") or edit.get("controls")):
        raise ApiError(422, "auto_controls cannot be combined with strength or controls")
    if edit.get("keyframes") or edit.get("controls"):
        raise ApiError(400, "The simulator edits clips by their strength alone")


def _same_shape(source: PieceOrder, resolution: str) -> tuple[int, int]:
    """The clip's own shape, in another size where it is told."""
    if source.resolution == resolution:
        return source.width, source.height
    wide, high = size(resolution, "16:9")
    grow = (wide * high / (source.width * source.height)) ** 0.5
    return 2 * round(source.width * grow / 2), 2 * round(source.height * grow / 2)


def _canvas(body: dict[str, Any], source: PieceOrder, resolution: str) -> tuple[int, int]:
    ratio = body.get("aspect_ratio")
    if ratio is None:
        raise ApiError(422, "aspect_ratio: Field required")
    if resolution == "1080p" and ratio in UPRIGHT:
        raise ApiError(422, f"1080p is coming soon for {ratio}")
    across, down = RATIOS[ratio]
    if abs(source.width / source.height * down / across - 1) < 0.02:
        raise ApiError(422, f"The source video is {ratio} already")
    if (body.get("video") or {}).get("source_position"):
        raise ApiError(400, "The simulator puts clips into the middle of their canvas alone")
    return size(resolution, ratio)
