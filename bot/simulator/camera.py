"""Camera moves: which part of a picture is seen at each moment, by the concepts of a request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, kw_only=True)
class View:
    """The part that is seen: its middle as shares of the size, zoom (1 is all), roll in degrees.

    `truck` moves the camera sideways past near and far things.
    """

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0
    truck: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Move:
    """What one concept adds from the first to the last frame."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 0.0
    roll: float = 0.0
    truck: float = 0.0
    is_reversed: bool = False
    shake: float = 0.0


CLOSER = Move(zoom=0.12, truck=0.15)
#: Luma's concepts. Those that name a point of view rather than a move come slowly closer.
CONCEPTS: dict[str, Move] = {
    "truck_left": Move(truck=-0.9, zoom=0.06, x=-0.025),
    "truck_right": Move(truck=0.9, zoom=0.06, x=0.025),
    "pan_left": Move(x=-0.08, truck=-0.3),
    "pan_right": Move(x=0.08, truck=0.3),
    "tilt_up": Move(y=-0.09),
    "tilt_down": Move(y=0.09),
    "pedestal_up": Move(y=-0.07, zoom=0.02),
    "pedestal_down": Move(y=0.07, zoom=0.02),
    "crane_up": Move(y=-0.08, zoom=0.08),
    "crane_down": Move(y=0.08, zoom=0.08),
    "orbit_left": Move(truck=-0.8, x=0.05, roll=1.2),
    "orbit_right": Move(truck=0.8, x=-0.05, roll=-1.2),
    "roll_left": Move(roll=9.0),
    "roll_right": Move(roll=-9.0),
    "zoom_in": Move(zoom=0.4),
    "zoom_out": Move(zoom=0.4, is_reversed=True),
    "push_in": Move(zoom=0.3, truck=0.1),
    "pull_out": Move(zoom=0.3, truck=0.1, is_reversed=True),
    "dolly_zoom": Move(zoom=0.35, truck=-0.5),
    "bolt_cam": Move(zoom=0.45, truck=0.8, roll=3.0),
    "static": Move(),
    "handheld": Move(zoom=0.05, shake=1.0),
    "selfie": Move(zoom=0.08, shake=0.6),
    "pov": Move(zoom=0.14, shake=0.5),
    "over_the_shoulder": Move(zoom=0.1, truck=0.25),
    "low_angle": Move(zoom=0.1, y=-0.04),
    "high_angle": Move(zoom=0.1, y=0.04),
    "eye_level": CLOSER,
    "ground_level": Move(zoom=0.12, y=0.05),
    "overhead": Move(zoom=0.15, roll=4.0),
    "aerial": Move(zoom=0.1, truck=0.7),
    "aerial_drone": Move(zoom=0.18, truck=0.6, y=-0.03),
    "tiny_planet": Move(zoom=0.2, roll=12.0),
    "elevator_doors": CLOSER,
}


class Camera:
    """The moves of one clip. A loop goes there and back, so that it ends where it began."""

    def __init__(self, concepts: Sequence[str], *, loop: bool) -> None:
        self._moves = [CONCEPTS.get(key, CLOSER) for key in concepts] or [CLOSER]
        self._loop = loop

    def view(self, moment: float) -> View:
        """What is seen at `moment`, from 0 (first frame) to 1 (last frame)."""
        eased = math.sin(math.pi * moment) ** 2 if self._loop else moment**2 * (3 - 2 * moment)
        x = y = roll = truck = 0.0
        zoom = 1.0
        for move in self._moves:
            share = 1 - eased if move.is_reversed else eased
            shake = move.shake * math.sin(math.pi * moment)
            zoom += move.zoom * share + 0.03 * abs(shake)
            x += move.x * share + 0.006 * shake * math.sin(math.tau * 5 * moment)
            y += move.y * share + 0.006 * shake * math.sin(math.tau * 7 * moment)
            roll += move.roll * share
            truck += move.truck * (2 * share - 1)
        return View(x=x, y=y, zoom=zoom, roll=roll, truck=max(-1.0, min(1.0, truck)))


def look(picture: Image.Image, view: View, size: tuple[int, int]) -> Image.Image:
    """The part of the picture that is seen, without ever showing what lies beyond its edges."""
    width, height = picture.size
    angle = math.radians(view.roll)
    turned = math.cos(angle) + abs(math.sin(angle)) * max(width / height, height / width)
    zoom = max(view.zoom * turned, turned / (1 - 2 * max(abs(view.x), abs(view.y))))
    middle_x, middle_y = width * (0.5 + view.x), height * (0.5 + view.y)
    half_x, half_y = width / zoom / 2, height / zoom / 2
    if view.roll == 0:
        box = (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)
        return picture.resize(size, Image.Resampling.BILINEAR, box=_inside(box, picture.size))
    step_x, step_y = 2 * half_x / size[0], 2 * half_y / size[1]
    a, b = math.cos(angle) * step_x, -math.sin(angle) * step_y
    d, e = math.sin(angle) * step_x, math.cos(angle) * step_y
    c = middle_x - a * size[0] / 2 - b * size[1] / 2
    f = middle_y - d * size[0] / 2 - e * size[1] / 2
    plan = (a, b, c, d, e, f)
    return picture.transform(size, Image.Transform.AFFINE, plan, Image.Resampling.BILINEAR)


def _inside(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Rounding may leave a box a millionth of a pixel outside, which Pillow refuses."""
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(size[0], right), min(size[1], bottom)
