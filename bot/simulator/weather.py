"""What moves through a scene: flakes, sparks, glitter, birds. All of it ends where it began."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageChops, ImageDraw

from bot.simulator.moods import SUN, Colour, Mood, WeatherName

Size = tuple[int, int]
#: Brightness steps of what twinkles.
STEPS = 5
#: Positions of a beating wing.
WINGS = 8


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One weather. Sizes and sways are shares of the picture's height; `passes` per clip."""

    count: int
    size: float
    shape: Literal["dot", "fall", "lie"] = "dot"
    passes: int = 0
    sway: float = 0.0
    top: float = 0.0
    bottom: float = 1.0
    spread: float | None = None
    can_twinkle: bool = False


KINDS: dict[WeatherName, Kind] = {
    "snow": Kind(count=110, size=0.02, passes=1, sway=0.012),
    "motes": Kind(count=36, size=0.02, sway=0.03, top=0.3, can_twinkle=True),
    "fireflies": Kind(count=34, size=0.045, sway=0.035, top=0.5, can_twinkle=True),
    "rain": Kind(count=120, size=0.07, shape="fall", passes=7),
    "embers": Kind(count=70, size=0.02, passes=-1, sway=0.02, can_twinkle=True),
    "glitter": Kind(
        count=220, size=0.05, shape="lie", top=0.57, spread=0.1, sway=0.008, can_twinkle=True
    ),
    "stars": Kind(count=40, size=0.018, bottom=0.45, can_twinkle=True),
}


@dataclass(frozen=True, kw_only=True)
class _Particle:
    x: float
    y: float
    passes: int
    sway: float
    phase: float
    sprites: tuple[Image.Image, ...]


class Particles:
    """The weather of one scene."""

    def __init__(self, mood: Mood, size: Size, rng: random.Random) -> None:
        self._size = size
        self._colour = mood.spark
        kind = KINDS[mood.weather]
        # Light on water stays under its sun.
        self._parallax = 0.08 if kind.spread is None else 0.0
        sets = [_sprites(kind, size[1], share) for share in (0.4, 0.65, 1.0)]
        self._all = [_particle(kind, sets, rng) for _ in range(kind.count)]

    def draw(self, picture: Image.Image, moment: float, truck: float) -> None:
        """Draw the weather at `moment` (0 to 1), the camera moved by `truck` (-1 to 1)."""
        width, height = self._size
        for each in self._all:
            turn = math.tau * (moment + each.phase)
            x = (each.x + each.sway * math.sin(2 * turn) - self._parallax * truck) % 1
            y = each.y + each.sway * math.cos(turn)
            if each.passes:
                y = (y + each.passes * moment) % 1
            shine = 0.5 + 0.5 * math.sin(3 * turn)
            sprite = each.sprites[round(shine * (len(each.sprites) - 1))]
            left = round(x * width * 1.1 - width * 0.05 - sprite.width / 2)
            top = round(y * height * 1.2 - height * 0.1 if each.passes else y * height)
            picture.paste(self._colour, (left, top), sprite)


def _particle(kind: Kind, sets: list[tuple[Image.Image, ...]], rng: random.Random) -> _Particle:
    near = rng.randrange(len(sets))
    y = kind.top + (kind.bottom - kind.top) * rng.random()
    # Light on water widens towards the viewer.
    spread = None if kind.spread is None else kind.spread * (0.3 + 2.2 * (y - kind.top))
    return _Particle(
        x=rng.random() if spread is None else rng.gauss(SUN, spread),
        y=y,
        passes=kind.passes * (near + 1),
        sway=kind.sway * rng.uniform(0.4, 1.0),
        phase=rng.random(),
        sprites=sets[near],
    )


def _sprites(kind: Kind, height: int, share: float) -> tuple[Image.Image, ...]:
    side = max(3, round(height * kind.size * share))
    thin = max(1, round(side * 0.06))
    shape = {"dot": (side, side), "fall": (thin, side), "lie": (side, max(1, round(side * 0.13)))}
    light = glow(shape[kind.shape], power=1.2 if kind.shape == "dot" else 0.8)
    strength = 0.4 + 0.6 * share
    if not kind.can_twinkle:
        return (dimmed(light, strength * (0.55 if kind.shape == "fall" else 0.9)),)
    return tuple(dimmed(light, strength * (0.1 + 0.9 * n / (STEPS - 1))) for n in range(STEPS))


class Birds:
    """A few birds gliding to and fro."""

    def __init__(self, mood: Mood, size: Size, rng: random.Random) -> None:
        self._size = size
        self._colour: Colour = mood.near
        x, y = rng.uniform(0.2, 0.4), rng.uniform(0.16, 0.26)
        self._flock = [
            (x + 0.05 * n + rng.uniform(-0.015, 0.015), y + 0.03 * abs(n - 1), rng.random())
            for n in range(mood.birds)
        ]
        spans = [round(size[1] * share) for share in (0.034, 0.044, 0.052)]
        self._sprites = [[_bird(span, n / WINGS) for n in range(WINGS)] for span in spans]

    def draw(self, picture: Image.Image, moment: float) -> None:
        """Draw them at `moment` (0 to 1)."""
        width, height = self._size
        for number, (x, y, phase) in enumerate(self._flock):
            turn = math.tau * moment
            sprites = self._sprites[number % len(self._sprites)]
            sprite = sprites[int((moment * 7 + phase) % 1 * WINGS)]
            left = round((x + 0.1 * math.sin(turn / 2 - 0.8) ** 2) * width)
            top = round((y + 0.012 * math.sin(turn + phase * 6)) * height)
            picture.paste(self._colour, (left, top), sprite)


def _bird(span: int, beat: float) -> Image.Image:
    fine = 6
    side = span * fine
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    lift = side * 0.22 * math.sin(math.tau * beat)
    middle, body = side / 2, side * 0.5 + lift * 0.3
    for way in (-1, 1):
        elbow = (middle + way * side * 0.24, body - lift * 0.9 - side * 0.06)
        tip = (middle + way * side * 0.47, body - lift * 0.3 + side * 0.03)
        draw.polygon(((middle, body), elbow, tip, (elbow[0], elbow[1] + side * 0.05)), fill=255)
        draw.polygon(
            (
                (middle, body),
                elbow,
                (elbow[0], elbow[1] + side * 0.06),
                (middle, body + side * 0.07),
            ),
            fill=255,
        )
    return mask.resize((span, span), Image.Resampling.LANCZOS)


def glow(size: Size, *, power: float = 2.0) -> Image.Image:
    """A soft round light as a mask."""
    light = ImageChops.invert(Image.radial_gradient("L"))
    light = light.point([round(255 * max(0.0, (n - 75) / 180) ** power) for n in range(256)])
    return light.resize(size, Image.Resampling.BICUBIC)


def dimmed(mask: Image.Image, strength: float) -> Image.Image:
    """The mask at a share of its strength."""
    return mask.point([round(n * strength) for n in range(256)])
