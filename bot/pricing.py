"""What a clip costs, in whole micro-dollars. Pure; knows no provider and no ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import assert_never

from bot.ports import ModelCapabilities, PerClip, PerPicture, PerPixel, Tariff
from bot.refs import Micros, Price
from bot.request import (
    DURATIONS,
    RESOLUTIONS,
    AnyWork,
    AspectRatio,
    Duration,
    Resolution,
    VideoWork,
)

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
#: Encoders work in blocks; an estimate of a side is a multiple of this.
BLOCK = 16


def seconds(duration: Duration) -> int:
    """The nominal length: `9s` is 9."""
    return int(duration.removesuffix("s"))


def ratio(aspect_ratio: AspectRatio) -> float:
    """Width over height."""
    width, height = aspect_ratio.split(":")
    return int(width) / int(height)


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


def estimate(work: AnyWork, tariff: Tariff | None, *, can: ModelCapabilities) -> Micros | None:
    """What this will cost at list price, by the pixels of 16:9; None where it is not sold."""
    if not isinstance(work, VideoWork):
        return tariff.price if isinstance(tariff, PerPicture) else None
    duration, resolution = can.fixed or (work.duration, work.resolution)
    match tariff:
        case None:
            return None
        case PerPixel(rate=rate):
            width, height = SIZES[resolution]
            return settle_price(width, height, seconds(duration), rate)
        case PerClip(clips=clips):
            return clips.get((resolution, duration))
        case PerPicture():
            return None
    assert_never(tariff)


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
