"""Ridges, trees, roofs and waves as masks: the ground of a scene, from far to near."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from bot.simulator.moods import Ridge

Size = tuple[int, int]
#: Masks are drawn this much larger and shrunk, for smooth edges.
FINE = 2


def noise(rng: random.Random, width: int, *, octaves: int, waves: float) -> list[float]:
    """A smooth random line of values between 0 and 1."""
    total = [0.0] * width
    weight = 0.0
    for octave in range(octaves):
        cells = max(2, round(waves * 2**octave))
        knots = [rng.random() for _ in range(cells + 2)]
        share = 0.5**octave
        weight += share
        for x in range(width):
            cell, rest = divmod(x * cells / width, 1)
            smooth = rest * rest * (3 - 2 * rest)
            low, high = knots[int(cell)], knots[int(cell) + 1]
            total[x] += share * (low + (high - low) * smooth)
    return [value / weight for value in total]


def ridge(kind: Ridge, size: Size, rng: random.Random, *, near: float) -> Image.Image:
    """The mask of one ridge; `near` from 0 (far) to 1; the ground fills the lower part."""
    fine = (size[0] * FINE, size[1] * FINE)
    mask = Image.new("L", fine)
    draw = ImageDraw.Draw(mask)
    match kind:
        case "skyline":
            _roofs(draw, fine, rng, near)
        case "pines":
            tall = fine[0] * (0.03 + 0.1 * near**2)
            line = [
                tall * 1.3 + row for row in _outline(fine, _profile("hills", fine[0], rng), 0.15)
            ]
            _ground(draw, fine, line)
            _trees(draw, fine, line, rng, tall)
        case "waves":
            _ground(
                draw, fine, _outline(fine, _profile(kind, fine[0], rng, near), 0.02 + 0.08 * near)
            )
        case _:
            _ground(draw, fine, _outline(fine, _profile(kind, fine[0], rng), 0.6))
    return mask.reduce(FINE)


def windows(mask: Image.Image, rng: random.Random, *, near: float) -> Image.Image:
    """Lit windows inside a skyline's mask."""
    width, height = mask.size
    lights = Image.new("L", mask.size)
    draw = ImageDraw.Draw(lights)
    step = max(4, round(width / (170 - 80 * near)))
    for x in range(step // 2, width - step, step):
        for y in range(step, height - step, step):
            wall = mask.crop((x, y - step // 2, x + step // 2, y + step))
            if rng.random() < 0.24 and wall.getextrema()[0] == 255:
                window = (x, y, x + step // 3, y + step // 2)
                draw.rectangle(window, fill=rng.choice((90, 150, 230)))
    return lights


def _profile(kind: Ridge, width: int, rng: random.Random, near: float = 1) -> list[float]:
    match kind:
        case "peaks":
            sharp = noise(rng, width, octaves=6, waves=5)
            return [1 - abs(2 * value - 1) ** 0.8 for value in sharp]
        case "dunes":
            shift, long = rng.random(), noise(rng, width, octaves=2, waves=2)
            return [
                0.35 + 0.3 * math.sin(math.tau * (shift + 1.7 * x / width)) + 0.35 * long[x]
                for x in range(width)
            ]
        case "waves":
            swell = noise(rng, width, octaves=2, waves=30 - 18 * near)
            return [value**2 for value in swell]
        case _:
            return noise(rng, width, octaves=4, waves=4)


def _outline(size: Size, profile: list[float], share: float) -> list[float]:
    """Heights as rows: the crest moves within the upper `share` of the mask."""
    height = size[1]
    return [height * share * (1 - value) + height * 0.02 for value in profile]


def _ground(draw: ImageDraw.ImageDraw, size: Size, line: list[float]) -> None:
    width, height = size
    draw.polygon([*enumerate(line), (width, height), (0, height)], fill=255)


def _trees(
    draw: ImageDraw.ImageDraw, size: Size, line: list[float], rng: random.Random, mean: float
) -> None:
    crowd = noise(rng, size[0], octaves=2, waves=5)
    x = 0.0
    while x < size[0] - 1:
        tall = mean * rng.uniform(0.5, 1.25)
        _pine(draw, x, line[int(x)] + tall * 0.12, tall)
        x += mean * (0.15 + 1.6 * crowd[int(x)] ** 3 + 0.2 * rng.random())


def _pine(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float) -> None:
    draw.rectangle((x - tall * 0.025, foot - tall * 0.3, x + tall * 0.025, foot + tall), fill=255)
    for tier in range(5):
        top = foot - tall + tall * 0.17 * tier
        half = tall * (0.07 + 0.045 * tier)
        low = top + tall * 0.3
        draw.polygon(
            ((x, top), (x + half, low), (x, low - tall * 0.05), (x - half, low)), fill=255
        )


def _roofs(draw: ImageDraw.ImageDraw, size: Size, rng: random.Random, near: float) -> None:
    width, height = size
    x = 0.0
    while x < width:
        wide = width * rng.uniform(0.02, 0.05) * (0.7 + near)
        top = height * (0.05 + 0.5 * rng.random() ** 1.4)
        draw.rectangle((x, top, x + wide, height), fill=255)
        if rng.random() < 0.4:
            draw.rectangle((x + wide * 0.25, top - height * 0.04, x + wide * 0.7, top), fill=255)
        if rng.random() < 0.25:
            mast = x + wide * rng.uniform(0.3, 0.7)
            draw.line((mast, top - height * 0.13, mast, top), fill=255, width=2)
        x += wide * rng.uniform(0.8, 1.0)
