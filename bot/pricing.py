"""What a clip costs, in whole micro-dollars. Pure; knows no provider and no ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bot.job import Clip, Job
from bot.ports import ModelCapabilities, Operation
from bot.refs import Micros, Price
from bot.request import (
    ASPECT_RATIOS,
    DURATIONS,
    RESOLUTIONS,
    AnyWork,
    AspectRatio,
    ClipWork,
    Duration,
    ImageWork,
    ModifyWork,
    ReframeWork,
    Resolution,
    UpscaleWork,
    VideoWork,
)
from bot.tariffs import PerClip, PerPiece, PerPixel, PerSource, Tariff

FPS = 24
#: Clips of other ratios than 16:9 have up to this many percent more pixels.
HOLD_PERCENT = 112
#: The pixels of 16:9; Luma's published prices follow them to the cent.
SIZES: dict[Resolution, tuple[int, int]] = {
    "360p": (640, 360),
    "540p": (960, 540),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "4k": (3840, 2160),
}
#: What Luma paints when a clip is reframed, whatever the clip's own size.
CANVASES: dict[AspectRatio, tuple[int, int]] = {
    "1:1": (1536, 1536),
    "4:3": (1792, 1344),
    "3:4": (1344, 1792),
    "16:9": (2048, 1152),
    "9:16": (1152, 2048),
    "21:9": (2432, 1024),
    "9:21": (1024, 2432),
}
#: Encoders work in blocks; an estimate of a side is a multiple of this.
BLOCK = 16


def seconds(duration: Duration) -> int:
    """The nominal length: `9s` is 9."""
    return int(duration.removesuffix("s"))


def ratio(aspect_ratio: AspectRatio) -> float:
    """Width over height."""
    width, height = aspect_ratio.split(":")
    return int(width) / int(height)


def nearest_ratio(width: int, height: int) -> AspectRatio:
    """The ratio closest in shape to an image or clip of this many pixels."""
    shape = math.log(max(width, 1) / max(height, 1))
    return min(ASPECT_RATIOS, key=lambda each: abs(math.log(ratio(each)) - shape))


def pixels(resolution: Resolution, aspect_ratio: AspectRatio) -> tuple[int, int]:
    """About how wide and high a clip becomes: the area of 16:9 in another shape."""
    wide, high = SIZES[resolution]
    match aspect_ratio:
        case "16:9":
            return wide, high
        case "9:16":
            return high, wide
        case _:
            width = math.sqrt(wide * high * ratio(aspect_ratio))
            height = wide * high / width
            return _to_block(width), _to_block(height)


def _to_block(side: float) -> int:
    return max(1, round(side / BLOCK)) * BLOCK


def settle_price(
    width: int, height: int, seconds_nominal: int, rate_micros_per_megapixel: int
) -> Micros:
    """The price of a finished clip: width × height × 24 × seconds × rate, half a micro up.

    Luma bills 120 frames for 5 s although the file holds 121.
    """
    millionths = width * height * FPS * seconds_nominal * rate_micros_per_megapixel
    return Micros((millionths + 500_000) // 1_000_000)


def tariff_key(model: str, operation: Operation) -> str:
    """What a price is called: by the model that makes something anew, else `ray-2/upscale`."""
    return model if operation in ("video", "image") else f"{model}/{operation}"


def tariff_of(tariffs: Mapping[str, Tariff], work: AnyWork) -> Tariff | None:
    """The tariff of a work; None where it is not sold."""
    return tariffs.get(tariff_key(work.model, work.kind))


def estimate(work: AnyWork, tariff: Tariff | None, *, can: ModelCapabilities) -> Micros | None:
    """What this will cost at list price; None where it is not sold.

    A new clip is taken to have the pixels of 16:9, as the published prices do.
    """
    match tariff, work:
        case PerPixel(rate=rate), VideoWork():
            width, height = SIZES[can.fixed[1] if can.fixed else work.resolution]
            return settle_price(width, height, billed_seconds(work, can=can), rate)
        case PerPixel(rate=rate), ClipWork():
            width, height = size_of(work)
            return settle_price(width, height, billed_seconds(work), rate)
        case PerClip(clips=clips), VideoWork():
            duration, resolution = can.fixed or (work.duration, work.resolution)
            return clips.get((resolution, duration))
        case PerPiece(price=price), ImageWork() | ClipWork():
            return price
        case PerSource(prices=prices, seconds=step), ReframeWork() | ModifyWork():
            each = prices.get(work.resolution) if work.resolution else None
            return Micros(each * -(-begun_seconds(work) // step)) if each is not None else None
    return None


def billed_seconds(work: VideoWork | ClipWork, *, can: ModelCapabilities | None = None) -> int:
    """The whole seconds that are paid for: 24 frames each, of what is made or worked on."""
    if isinstance(work, VideoWork):
        return seconds(can.fixed[0] if can and can.fixed else work.duration)
    return max(1, round(work.source.seconds))


def begun_seconds(work: ClipWork) -> int:
    """The seconds that have begun of what is worked on; a frame over is none: files have one."""
    return max(1, math.ceil(work.source.seconds - 1.5 / FPS))


def size_of(work: ClipWork) -> tuple[int, int]:
    """About how wide and high the clip becomes that is made of another."""
    width, height = work.source.width, work.source.height
    match work:
        case ReframeWork():
            return CANVASES[work.aspect_ratio]
        case UpscaleWork():
            wide, high = SIZES[work.resolution]
            grow = math.sqrt(wide * high / max(width * height, 1))
            return round(width * grow), round(height * grow)
        case _:
            return width, height


@dataclass(frozen=True, kw_only=True)
class Cheapest:
    """The size and length of a model that cost least."""

    duration: Duration
    resolution: Resolution
    micros: Micros


def cheapest(tariff: Tariff | None, *, can: ModelCapabilities) -> Cheapest | None:
    """What costs least of a model; None where nothing of it is sold."""
    durations = can.durations or DURATIONS
    sizes = can.resolutions or RESOLUTIONS
    if can.fixed:
        durations, sizes = (can.fixed[0],), (can.fixed[1],)
    sold = [
        Cheapest(duration=duration, resolution=size, micros=micros)
        for duration in durations
        for size in sizes
        for work in (VideoWork(model=can.model, duration=duration, resolution=size),)
        if (micros := estimate(work, tariff, can=can)) is not None
    ]
    return min(sold, key=lambda each: each.micros, default=None)


def rate_of(tariff: Tariff | None) -> int:
    """The rate by which a finished clip is settled; 0 where its price is fixed beforehand."""
    return tariff.rate if isinstance(tariff, PerPixel) else 0


def hold_for(price: Price, rate: int) -> Micros:
    """What is set aside: the price, and 12 % more where the true size decides, rounded up."""
    return Micros(-(-price.charged * HOLD_PERCENT // 100)) if rate else price.charged


def price_of(job: Job, clip: Clip) -> Micros:
    """What a clip of this size costs its person: never above the hold, nothing for a test."""
    assert job.plan is not None
    if job.plan.price.is_test:
        return Micros(0)
    if not job.plan.rate:
        return job.plan.price.charged
    assert isinstance(job.work, VideoWork | ClipWork)
    length = billed_seconds(job.work)
    price = settle_price(clip.width, clip.height, length, job.plan.rate)
    return Micros(min(price, job.plan.hold))
