"""Colours and weather for a scene, chosen by the words of a prompt. A table, nothing else."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
Ridge = Literal["peaks", "hills", "dunes", "pines", "skyline", "waves"]
WeatherName = Literal["snow", "motes", "fireflies", "rain", "embers", "glitter", "stars"]
#: Where the sun stands, as a share of the width.
SUN = 0.64


@dataclass(frozen=True, kw_only=True)
class Mood:
    """One kind of landscape. Ridges go from far to near; heights are shares of the picture."""

    words: str
    sky: tuple[Colour, ...]
    sun: Colour
    sun_height: float
    sun_size: float
    far: Colour
    near: Colour
    spark: Colour
    ridges: tuple[Ridge, ...]
    weather: WeatherName
    horizon: float = 0.55
    cloud: Colour = (255, 255, 255)
    clouds: tuple[tuple[float, float], ...] = ()
    aurora: tuple[tuple[Colour, float], ...] = ()
    stars: bool = False
    birds: int = 0


MOODS = (
    Mood(
        words="snow winter ice icy frost frozen arctic polar christmas glacier penguin sled",
        sky=((52, 70, 128), (120, 146, 200), (222, 196, 206), (255, 224, 196)),
        sun=(255, 226, 190),
        sun_height=0.36,
        sun_size=0.045,
        far=(176, 190, 222),
        near=(30, 44, 78),
        spark=(255, 255, 255),
        ridges=("peaks", "peaks", "hills", "pines", "pines"),
        weather="snow",
        horizon=0.5,
        clouds=((0.08, 0.7),),
    ),
    Mood(
        words="sea ocean beach wave waves water lake boat ship sail fish whale island surf river",
        sky=((20, 72, 128), (74, 148, 190), (246, 206, 160), (255, 226, 176)),
        sun=(255, 238, 200),
        sun_height=0.42,
        sun_size=0.055,
        far=(96, 150, 178),
        near=(8, 44, 76),
        spark=(255, 240, 205),
        ridges=("waves",) * 6,
        weather="glitter",
        horizon=0.56,
        clouds=((0.05, 0.75), (0.2, 0.5)),
        birds=4,
    ),
    Mood(
        words="forest tree trees jungle wood woods garden deer bear owl moss fairy rabbit green",
        sky=((28, 62, 72), (86, 132, 122), (206, 208, 158), (252, 226, 164)),
        sun=(255, 236, 170),
        sun_height=0.4,
        sun_size=0.06,
        far=(136, 172, 146),
        near=(8, 30, 30),
        spark=(255, 236, 140),
        ridges=("hills", "pines", "pines", "pines", "pines"),
        weather="fireflies",
        horizon=0.44,
        clouds=((0.1, 0.4),),
        birds=3,
    ),
    Mood(
        words="desert dune dunes sand camel pyramid mars canyon cactus cowboy sahara",
        sky=((64, 70, 140), (186, 112, 130), (250, 170, 110), (255, 214, 150)),
        sun=(255, 232, 170),
        sun_height=0.38,
        sun_size=0.08,
        far=(222, 150, 116),
        near=(84, 34, 40),
        spark=(255, 224, 170),
        ridges=("peaks", "dunes", "dunes", "dunes"),
        weather="motes",
        horizon=0.55,
        clouds=((0.05, 0.35),),
        birds=3,
    ),
    Mood(
        words="city street car cars robot neon cyber cyberpunk building tokyo train road office",
        sky=((16, 12, 46), (58, 26, 96), (160, 50, 120), (255, 120, 110)),
        sun=(255, 150, 130),
        sun_height=0.44,
        sun_size=0.11,
        far=(112, 52, 120),
        near=(10, 8, 30),
        spark=(150, 210, 255),
        ridges=("skyline", "skyline", "skyline"),
        weather="rain",
        horizon=0.42,
        cloud=(255, 150, 170),
        clouds=((0.1, 0.35),),
        stars=True,
    ),
    Mood(
        words="space star stars galaxy moon night astronaut planet rocket aurora dream midnight",
        sky=((6, 8, 30), (14, 28, 66), (24, 62, 96), (58, 110, 120)),
        sun=(226, 236, 255),
        sun_height=0.22,
        sun_size=0.05,
        far=(34, 70, 98),
        near=(4, 10, 24),
        spark=(190, 220, 255),
        ridges=("peaks", "peaks", "hills", "pines"),
        weather="stars",
        horizon=0.6,
        aurora=(((90, 255, 190), 0.5), ((150, 110, 255), -0.6)),
        stars=True,
    ),
    Mood(
        words="fire volcano dragon lava phoenix flame flames explosion hell burning forge",
        sky=((20, 10, 20), (84, 20, 28), (196, 62, 30), (255, 160, 60)),
        sun=(255, 180, 80),
        sun_height=0.5,
        sun_size=0.07,
        far=(130, 44, 36),
        near=(18, 8, 12),
        spark=(255, 190, 90),
        ridges=("peaks", "peaks", "peaks", "hills"),
        weather="embers",
        horizon=0.52,
        cloud=(60, 24, 30),
        clouds=((0.0, 0.9), (0.12, 0.7)),
    ),
    Mood(
        words="mountain mountains hill sunset sunrise evening dusk valley eagle horse",
        sky=((38, 30, 84), (128, 62, 126), (244, 132, 112), (255, 206, 140)),
        sun=(255, 222, 160),
        sun_height=0.45,
        sun_size=0.06,
        far=(190, 112, 138),
        near=(26, 16, 48),
        spark=(255, 226, 180),
        ridges=("peaks", "peaks", "hills", "hills", "pines"),
        weather="motes",
        horizon=0.5,
        cloud=(255, 190, 170),
        clouds=((0.06, 0.6), (0.2, 0.4)),
        birds=5,
    ),
)


def choose_mood(prompt: str, rng: random.Random) -> Mood:
    """The mood that shares most words with the prompt; where none does, any of them."""
    words = set(re.findall(r"\w+", prompt.lower()))
    hits = [len(words & set(mood.words.split())) for mood in MOODS]
    return MOODS[hits.index(max(hits))] if any(hits) else rng.choice(MOODS)
