"""What a create request may say, by Luma's published rules: sizes, prices, refusals. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bot.simulator.camera import CONCEPTS

FrameKind = Literal["none", "image", "generation"]
Deed = Literal["upscale", "audio", "reframe", "modify"]
FPS = 24
#: Width and height at 16:9. Other ratios have about as many pixels.
BASES = {"540p": (960, 540), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
RATIOS = {
    "1:1": (1, 1),
    "16:9": (16, 9),
    "9:16": (9, 16),
    "4:3": (4, 3),
    "3:4": (3, 4),
    "21:9": (21, 9),
    "9:21": (9, 21),
}
SECONDS = {"5s": 5, "9s": 9}
#: US dollars per million output pixels.
RATES = {"ray-flash-2": 0.0022, "ray-2": 0.0064, "ray-1-6": 0.0032}
STILL_RATES = {"photon-1": 0.0073, "photon-flash-1": 0.0019}
PROMPT_CHARS = (3, 5000)
#: Pictures that a picture could be like.
REFERENCES = ("image_ref", "style_ref", "character_ref", "modify_image_ref")
BLOCKED_WORD, MODERATED_WORD = "blacklisted", "moderated"
#: Key frames (first, last) that cannot loop, and the name in Luma's refusal.
NO_LOOP: dict[tuple[FrameKind, FrameKind], str] = {
    ("none", "image"): "end frame",
    ("image", "image"): "keyframes",
    ("none", "generation"): "extend reverse",
    ("generation", "image"): "interpolate video to image",
    ("image", "generation"): "interpolate image to video",
    ("generation", "generation"): "interpolate between two videos",
}


class ApiError(Exception):
    """A refusal as the API words it: a status and `{"detail": …}`."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class KeyFrame:
    """A key frame of a request: the address of an image, or an earlier generation's id.

    `content` is the image itself, where it came along with the request or was uploaded before.
    """

    kind: Literal["image", "generation"]
    value: str = ""
    content: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Order:
    """A create request that was understood. Luma publishes no defaults for size and length.

    `deed` is what is done to the clip of another generation, for that many `cents`; not where its
    link had ended (`is_readable`).
    """

    model: str
    prompt: str
    width: int
    height: int
    seconds: int
    loop: bool
    concepts: tuple[str, ...]
    start: KeyFrame | None
    end: KeyFrame | None
    callback_url: str | None
    deed: Deed | None = None
    has_sound: bool = False
    is_readable: bool = True
    cents: float = 0.0

    @property
    def is_still(self) -> bool:
        """Whether it asks for a picture, as an order without length does."""
        return self.seconds == 0

    @property
    def frames(self) -> int:
        """Frames in the file: one more than are billed."""
        return self.seconds * FPS + 1

    @property
    def cost_cents(self) -> float:
        """The list price in US cents."""
        if self.deed:
            return self.cents
        pixels = self.width * self.height
        if self.is_still:
            return pixels / 1e6 * STILL_RATES[self.model] * 100
        return pixels * FPS * self.seconds / 1e6 * RATES[self.model] * 100

    @property
    def moderation(self) -> str | None:
        """Why the prompt will be refused after the request was accepted."""
        if BLOCKED_WORD in self.prompt.lower():
            return "Contains blacklisted words"
        if MODERATED_WORD in self.prompt.lower():
            return "Advanced prompt moderation failed"
        return None


def clip_size(resolution: str, aspect_ratio: str) -> tuple[int, int]:
    """Pixels of a clip: exact at 16:9 and 9:16, else equal in area, in steps of eight."""
    wide, high = BASES[resolution]
    match aspect_ratio:
        case "16:9":
            return wide, high
        case "9:16":
            return high, wide
    across, down = RATIOS[aspect_ratio]
    width = (wide * high * across / down) ** 0.5
    return 8 * round(width / 8), 8 * round(width * down / across / 8)


def read_order(body: Any) -> Order:
    """Understand a create request; raises `ApiError` with Luma's words where they are known."""
    if not isinstance(body, dict):
        raise ApiError(422, "Input should be a valid object")
    if body.get("generation_type", "video") != "video":
        raise ApiError(400, "Unknown request type")
    model = choice(body, "model", RATES, None)
    start, end = _frames(body)
    loop = _flag(body, "loop")
    concepts = _concepts(body)
    _refuse_loop(start, end, loop=loop)
    if model == "ray-1-6":
        _refuse_old(body, concepts)
    width, height = clip_size(
        choice(body, "resolution", BASES, "720p"), choice(body, "aspect_ratio", RATIOS, "16:9")
    )
    return Order(
        model=model,
        prompt=_prompt(body, start, end),
        width=width,
        height=height,
        seconds=SECONDS[choice(body, "duration", SECONDS, "5s")],
        loop=loop,
        concepts=concepts,
        start=start,
        end=end,
        callback_url=text(body, "callback_url"),
    )


def read_still(body: Any) -> Order:
    """Understand a request for a picture from words alone; raises `ApiError`."""
    if not isinstance(body, dict):
        raise ApiError(422, "Input should be a valid object")
    if body.get("generation_type", "image") != "image":
        raise ApiError(400, "Unknown request type")
    if any(body.get(each) for each in REFERENCES):
        raise ApiError(400, "The simulator makes pictures from words alone")
    choice(body, "format", {"jpg": 1, "png": 1}, "jpg")
    width, height = clip_size("1080p", choice(body, "aspect_ratio", RATIOS, "16:9"))
    return Order(
        model=choice(body, "model", STILL_RATES, "photon-1"),
        prompt=_prompt(body, None, None),
        width=width,
        height=height,
        seconds=0,
        loop=False,
        concepts=(),
        start=None,
        end=None,
        callback_url=text(body, "callback_url"),
    )


def text(body: dict[str, Any], field: str) -> str | None:
    """A text of a request, None where there is none; raises `ApiError`."""
    value = body.get(field)
    if value is None or isinstance(value, str):
        return value
    raise ApiError(422, f"{field}: Input should be a valid string")


def _flag(body: dict[str, Any], field: str) -> bool:
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ApiError(422, f"{field}: Input should be a valid boolean")


def choice(body: dict[str, Any], field: str, known: dict[str, Any], default: str | None) -> str:
    """One of the known values, or the default; raises `ApiError`."""
    value = text(body, field) or default
    if value is None:
        raise ApiError(422, f"{field}: Field required")
    if value not in known:
        raise ApiError(422, f"{field}: Input should be one of {', '.join(known)}")
    return value


def _prompt(body: dict[str, Any], start: KeyFrame | None, end: KeyFrame | None) -> str:
    prompt = text(body, "prompt") or ""
    least, most = PROMPT_CHARS
    if not prompt:
        if any(frame is not None and frame.kind == "image" for frame in (start, end)):
            return ""
        raise ApiError(400, "Prompt is required")
    if len(prompt) < least:
        raise ApiError(400, f"Prompt is too short, minimum length is {least} characters")
    if len(prompt) > most:
        raise ApiError(400, f"Prompt is too long, maximum length is {most} characters")
    return prompt


def _frames(body: dict[str, Any]) -> tuple[KeyFrame | None, KeyFrame | None]:
    frames = body.get("keyframes")
    if frames is None:
        return None, None
    if not isinstance(frames, dict):
        raise ApiError(422, "keyframes: Input should be a valid object")
    start, end = _frame(frames.get("frame0")), _frame(frames.get("frame1"))
    if start is None and end is None:
        raise ApiError(400, "No keyframes provided")
    return start, end


def _frame(frame: Any) -> KeyFrame | None:
    match frame:
        case None:
            return None
        case {"type": "image", "url": str(url)} if url.startswith(("http://", "https://")):
            return KeyFrame(kind="image", value=url)
        case {"type": "generation", "id": str(id_)}:
            return KeyFrame(kind="generation", value=id_)
        case _:
            raise ApiError(422, "keyframes: Input should be an image url or a generation id")


def _concepts(body: dict[str, Any]) -> tuple[str, ...]:
    concepts = body.get("concepts") or []
    if not isinstance(concepts, list):
        raise ApiError(422, "concepts: Input should be a valid list")
    keys = [str(concept.get("key")) for concept in concepts if isinstance(concept, dict)]
    if len(keys) < len(concepts) or not all(key in CONCEPTS for key in keys):
        raise ApiError(422, "concepts: Input should be keys of the concepts list")
    return tuple(keys)


def _refuse_loop(start: KeyFrame | None, end: KeyFrame | None, *, loop: bool) -> None:
    name = NO_LOOP.get((start.kind if start else "none", end.kind if end else "none"))
    if loop and name:
        raise ApiError(400, f"Loop is not supported for {name}")


def _refuse_old(body: dict[str, Any], concepts: tuple[str, ...]) -> None:
    for field in ("duration", "resolution"):
        if body.get(field) is not None:
            raise ApiError(400, f"400: {field.capitalize()} is not supported in Ray 1.6 API")
    if concepts:
        raise ApiError(400, "400: concepts are not supported for this model")
