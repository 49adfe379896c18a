"""What a clip costs, in whole micro-dollars. Pure; knows no provider and no ledger."""

from __future__ import annotations

import math

from bot.refs import Micros, Price
from bot.request import AspectRatio, Duration, Resolution, VideoWork

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


def estimate(
    work: VideoWork,
    rate_micros_per_megapixel: int,
    *,
    is_test: bool,
    fixed: tuple[Duration, Resolution] | None = None,
) -> Price:
    """What this will cost at list price, by the pixels of 16:9.

    `fixed` is the length and size of a model that lets nobody choose them.
    """
    duration, resolution = fixed or (work.duration, work.resolution)
    width, height = SIZES[resolution]
    price = settle_price(width, height, seconds(duration), rate_micros_per_megapixel)
    return Price(micros=price, is_test=is_test)


def hold_for(price: Price) -> Micros:
    """What is set aside until the true size is known: the estimate and 12 %, rounded up."""
    return Micros(-(-price.charged * HOLD_PERCENT // 100))
