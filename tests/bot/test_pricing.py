from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import pricing
from bot.dialects.dream_machine import RAY_2 as RAY_2_CAN
from bot.dialects.dream_machine import RETIRED
from bot.ports import ModelCapabilities
from bot.pricing import SIZES, hold_for, pixels, rate_of, ratio, seconds, settle_price
from bot.refs import Micros, Price, money
from bot.request import ASPECT_RATIOS, RESOLUTIONS, AspectRatio, Duration, Resolution, VideoWork
from bot.tariffs import PerClip, PerPixel, Tariff

RAY_2, FLASH = 6400, 2200
#: Luma's published prices, by model and resolution for 5 s and 9 s.
PUBLISHED: dict[tuple[int, Resolution], tuple[str, str]] = {
    (RAY_2, "540p"): ("$0.40", "$0.72"),
    (RAY_2, "720p"): ("$0.71", "$1.27"),
    (RAY_2, "1080p"): ("$1.59", "$2.87"),
    (RAY_2, "4k"): ("$6.37", "$11.47"),
    (FLASH, "540p"): ("$0.14", "$0.25"),
    (FLASH, "720p"): ("$0.24", "$0.44"),
    (FLASH, "1080p"): ("$0.55", "$0.99"),
    (FLASH, "4k"): ("$2.19", "$3.94"),
}
CELLS = [
    (rate, resolution, duration, published)
    for (rate, resolution), cells in PUBLISHED.items()
    for duration, published in zip(("5s", "9s"), cells, strict=True)
]


def estimate(work: VideoWork, tariff: Tariff, can: ModelCapabilities = RAY_2_CAN) -> Micros:
    """The price of something that is sold."""
    micros = pricing.estimate(work, tariff, can=can)
    assert micros is not None
    return micros


@pytest.mark.parametrize(("rate", "resolution", "duration", "published"), CELLS)
def test_the_estimate_is_the_published_price_to_the_cent(
    rate: int, resolution: Resolution, duration: Duration, published: str
) -> None:
    work = VideoWork(prompt="fox", resolution=resolution, duration=duration)
    price = estimate(work, PerPixel(rate=rate))
    assert money(price) == published
    width, height = SIZES[resolution]
    assert settle_price(width, height, seconds(duration), rate) == price


def test_sixteen_prices_are_published() -> None:
    assert len(CELLS) == 16


def test_five_seconds_are_120_frames() -> None:
    assert settle_price(1000, 1000, 5, 1) == 120


def test_half_a_micro_is_rounded_up() -> None:
    assert settle_price(125, 100, 5, 1) == 2  # 1.5
    assert settle_price(104, 100, 5, 1) == 1  # 1.248


def test_a_wide_clip_costs_by_its_true_pixels() -> None:
    """1360 × 752 was seen for 16:9 at 720p: 11 % more than 1280 × 720."""
    estimated = estimate(VideoWork(prompt="fox", resolution="720p"), PerPixel(rate=RAY_2))
    settled = settle_price(1360, 752, 5, RAY_2)
    assert estimated < settled <= hold_for(Price(micros=estimated), RAY_2)


def test_the_estimate_does_not_depend_on_the_ratio() -> None:
    prices = {
        estimate(VideoWork(prompt="fox", aspect_ratio=each), PerPixel(rate=FLASH))
        for each in ASPECT_RATIOS
    }
    assert len(prices) == 1


def test_a_model_with_a_fixed_size_costs_that_size() -> None:
    work = VideoWork(prompt="fox", resolution="4k", duration="9s")
    assert money(estimate(work, PerPixel(rate=3200), RETIRED["ray-1-6"])) == "$0.35"


def test_a_test_has_a_price_but_holds_nothing() -> None:
    micros = estimate(VideoWork(prompt="fox"), PerPixel(rate=FLASH))
    assert micros == 136_858
    assert hold_for(Price(micros=micros, is_test=True), FLASH) == 0


def test_a_price_by_the_clip_is_held_as_it_is() -> None:
    tariff = PerClip(clips={("540p", "5s"): Micros(200_000)})
    micros = estimate(VideoWork(prompt="fox", aspect_ratio="9:21"), tariff)
    assert micros == 200_000
    assert hold_for(Price(micros=micros), rate_of(tariff)) == 200_000
    dearer = VideoWork(prompt="fox", resolution="720p")
    assert pricing.estimate(dearer, tariff, can=RAY_2_CAN) is None
    assert pricing.estimate(dearer, None, can=RAY_2_CAN) is None


@pytest.mark.parametrize(("micros", "held"), [(0, 0), (1, 2), (100, 112), (101, 114)])
def test_a_hold_is_twelve_percent_more_rounded_up(micros: int, held: int) -> None:
    assert hold_for(Price(micros=Micros(micros)), FLASH) == held


@given(st.integers(0, 10**12))
def test_a_hold_never_falls_short_of_twelve_percent(micros: int) -> None:
    held = hold_for(Price(micros=Micros(micros)), FLASH)
    assert micros * 112 <= held * 100 < micros * 112 + 100


@pytest.mark.parametrize(
    ("resolution", "aspect_ratio", "size"),
    [
        ("540p", "16:9", (960, 540)),
        ("540p", "9:16", (540, 960)),
        ("540p", "1:1", (720, 720)),
        ("720p", "4:3", (1104, 832)),
        ("1080p", "1:1", (1440, 1440)),
        ("4k", "16:9", (3840, 2160)),
    ],
)
def test_pixels_of_common_shapes(
    resolution: Resolution, aspect_ratio: AspectRatio, size: tuple[int, int]
) -> None:
    assert pixels(resolution, aspect_ratio) == size


@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_shape_has_about_the_same_area(
    resolution: Resolution, aspect_ratio: AspectRatio
) -> None:
    width, height = pixels(resolution, aspect_ratio)
    wide, high = SIZES[resolution]
    assert width * height == pytest.approx(wide * high, rel=0.03)
    assert width / height == pytest.approx(ratio(aspect_ratio), rel=0.03)
    assert width % 2 == height % 2 == 0
