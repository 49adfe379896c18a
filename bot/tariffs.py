"""What video services ask for their work, as data; `bot.pricing` reckons with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.refs import Micros
from bot.request import Duration, Resolution


@dataclass(frozen=True, kw_only=True)
class PerPixel:
    """A price by output pixels, in micro-dollars per million of them."""

    rate: int


@dataclass(frozen=True, kw_only=True)
class PerClip:
    """A price by the clip, whatever its shape; a size and length that is missing is not sold."""

    clips: Mapping[tuple[Resolution, Duration], Micros]


@dataclass(frozen=True, kw_only=True)
class PerPiece:
    """A price by the still, or by the clip that is worked on, whatever its shape."""

    price: Micros


@dataclass(frozen=True, kw_only=True)
class PerSource:
    """A price by each `seconds` that are begun of the clip that is worked on, by the new size."""

    prices: Mapping[Resolution, Micros]
    seconds: int


Tariff = PerPixel | PerClip | PerPiece | PerSource
