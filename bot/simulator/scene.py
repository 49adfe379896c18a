"""A small moving landscape for every prompt: the mood from its words, the rest from its letters.

Knows pictures only. Everything is a grey mask painted in one colour or gradient, because that is
what Pillow does fast.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from bot.simulator.land import noise, ridge, windows
from bot.simulator.moods import SUN, Colour, Mood, choose_mood
from bot.simulator.weather import Birds, Particles, Size, dimmed, glow

#: Widths of the picture that the nearest layer can travel.
ROOM = 0.4
LAMP: Colour = (255, 214, 130)
STARLIGHT: Colour = (255, 250, 235)


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A mask wider than the picture, its paint, and how fast it passes (1 is nearest)."""

    mask: Image.Image
    paint: Image.Image | Colour
    depth: float
    top: int
    drift: float = 0.0


class Scene:
    """The landscape of one prompt; `frame` draws it at any moment of the clip."""

    def __init__(self, prompt: str, size: Size) -> None:
        self._width = size[0]
        rng = random.Random(prompt)  # noqa: S311 - a picture, not a secret
        mood = choose_mood(prompt, rng)
        self._sky = _sky(mood, size, rng)
        self._layers = [*_air(mood, size, rng), *_land(mood, size, rng)]
        self._particles = Particles(mood, size, rng)
        self._birds = Birds(mood, size, rng)

    def frame(self, moment: float, truck: float) -> Image.Image:
        """The picture at `moment` (0 to 1), the camera moved sideways by `truck` (-1 to 1)."""
        picture = self._sky.copy()
        for layer in self._layers:
            self._paint(picture, layer, moment, truck)
        self._birds.draw(picture, moment)
        self._particles.draw(picture, moment, truck)
        return picture

    def _paint(self, picture: Image.Image, layer: _Layer, moment: float, truck: float) -> None:
        swing = truck * layer.depth + layer.drift * math.sin(math.tau * moment)
        room = (layer.mask.width - self._width) / 2
        left = room * (1 + max(-1.0, min(1.0, swing)))
        mask = layer.mask.resize(
            (self._width, layer.mask.height),
            Image.Resampling.BILINEAR,
            box=(left, 0, left + self._width, layer.mask.height),
        )
        picture.paste(layer.paint, (0, layer.top), mask)


def gradient(colours: Sequence[Colour], size: Size) -> Image.Image:
    """Colours one below the other, blended."""
    strip = Image.new("RGB", (1, len(colours)))
    for row, colour in enumerate(colours):
        strip.putpixel((0, row), colour)
    # From the middle of the first to the middle of the last: no flat bands at the ends.
    box = (0, 0.5, 1, len(colours) - 0.5)
    return strip.resize((1, size[1]), Image.Resampling.BICUBIC, box=box).resize(size)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _sky(mood: Mood, size: Size, rng: random.Random) -> Image.Image:
    width, height = size
    sky = gradient(mood.sky, size)
    if mood.stars:
        sky.paste(STARLIGHT, (0, 0), _stars(size, rng))
    x, y = round(width * SUN), round(height * mood.sun_height)
    for share, strength in ((2.2, 0.5), (0.9, 0.5), (0.4, 0.5)):
        side = round(height * share)
        light = dimmed(glow((side, side)), strength)
        sky.paste(mood.sun, (x - side // 2, y - side // 2), light)
    disc = round(height * mood.sun_size)
    sky.paste(mix(mood.sun, (255, 255, 255), 0.5), (x - disc, y - disc), _disc(disc * 2))
    return sky


def _disc(side: int) -> Image.Image:
    fine = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(fine).ellipse((4, 4, side * 4 - 5, side * 4 - 5), fill=255)
    return fine.resize((side, side), Image.Resampling.LANCZOS)


def _stars(size: Size, rng: random.Random) -> Image.Image:
    width, height = size
    mask = Image.new("L", size)
    for _ in range(width * height // 2600):
        place = (rng.randrange(width), int(height * 0.75 * rng.random() ** 1.5))
        mask.putpixel(place, rng.randrange(70, 255))
    for _ in range(14):
        side = max(3, round(height * rng.choice((0.009, 0.013, 0.017))))
        place = (rng.randrange(width), rng.randrange(height // 2))
        mask.paste(255, place, glow((side, side)))
    return mask


def _air(mood: Mood, size: Size, rng: random.Random) -> list[_Layer]:
    width, height = size
    wide = round(width * (1 + ROOM))
    air = []
    for colour, drift in mood.aurora:
        mask = _aurora((wide, round(height * 0.62)), rng)
        air.append(_Layer(mask=mask, paint=colour, depth=0.05, top=0, drift=drift))
    for top, strength in mood.clouds:
        mask = _clouds((wide, round(height * 0.4)), rng, strength)
        top_row = round(height * top)
        air.append(_Layer(mask=mask, paint=mood.cloud, depth=0.12, top=top_row, drift=0.12))
    return air


def _clouds(size: Size, rng: random.Random, strength: float) -> Image.Image:
    field = Image.new("L", size, 128)
    for cells, share in (((7, 4), 1.0), ((15, 9), 0.45), ((36, 20), 0.22), ((80, 44), 0.1)):
        grains = Image.frombytes("L", cells, rng.randbytes(cells[0] * cells[1]))
        field = Image.blend(field, grains.resize(size, Image.Resampling.BICUBIC), share)
    curve = [round(255 * strength * max(0.0, min(1.0, (n - 118) / 90))) for n in range(256)]
    black, white = (0, 0, 0), (255, 255, 255)
    fade = gradient((black, white, white, black), size).convert("L")
    return ImageChops.multiply(field.point(curve), fade)


def _aurora(size: Size, rng: random.Random) -> Image.Image:
    width, height = size
    rays = Image.frombytes("L", (40, 1), rng.randbytes(40)).resize(size, Image.Resampling.BICUBIC)
    shape = Image.new("L", size)
    draw = ImageDraw.Draw(shape)
    for x, value in enumerate(noise(rng, width, octaves=2, waves=4)):
        foot = height * (0.35 + 0.55 * value)
        for step in range(8):
            top = foot - height * 0.05 * step
            draw.line((x, top, x, top - height * 0.05), fill=240 - 30 * step)
    soft = shape.filter(ImageFilter.GaussianBlur(height / 40))
    return ImageChops.multiply(soft, rays)


def _land(mood: Mood, size: Size, rng: random.Random) -> list[_Layer]:
    width, height = size
    wide = round(width * (1 + ROOM))
    land: list[_Layer] = []
    for number, kind in enumerate(mood.ridges):
        near = number / (len(mood.ridges) - 1)
        lift = {"pines": 0.08 + 0.2 * near**2, "waves": 0.0, "hills": 0.08}.get(kind, 0.12)
        top = round(height * (mood.horizon - lift + (0.86 - mood.horizon) * near))
        mask = ridge(kind, (wide, height - top), rng, near=near)
        crest = mix(mood.far, mood.near, near)
        # Mist lies at the foot of far ridges; the nearest stands dark.
        foot = mix(mood.far, mood.near, near if near == 1 or kind == "waves" else near * 0.5)
        depth = 0.15 + 0.85 * near**1.5
        drift = 0.07 * (-1) ** number if kind == "waves" else 0.0
        paint = gradient((crest, foot), (width, height - top))
        land.append(_Layer(mask=mask, paint=paint, depth=depth, top=top, drift=drift))
        if kind == "skyline":
            lit = windows(mask, rng, near=near)
            land.append(_Layer(mask=lit, paint=LAMP, depth=depth, top=top))
    return land
