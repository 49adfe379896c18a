from __future__ import annotations

import pytest
from PIL import Image

from bot.simulator.camera import CONCEPTS, Camera, View, look

MOMENTS = [n / 24 for n in range(25)]


def framed() -> Image.Image:
    """Red within, and blue where a camera that looks too far would see it."""
    return Image.new("RGB", (160, 90), (200, 40, 40))


@pytest.mark.parametrize("concept", CONCEPTS)
@pytest.mark.parametrize("loop", [True, False])
def test_no_move_looks_beyond_the_edges(concept: str, loop: bool) -> None:
    """Pixels outside a picture are black; none is ever seen."""
    camera = Camera((concept,), loop=loop)
    for moment in MOMENTS:
        seen = look(framed(), camera.view(moment), (80, 45))
        assert seen.size == (80, 45)
        assert seen.getextrema() == ((200, 200), (40, 40), (40, 40))


def test_several_moves_together_stay_inside() -> None:
    camera = Camera(("orbit_left", "roll_left", "crane_up", "handheld"), loop=False)
    for moment in MOMENTS:
        extrema = look(framed(), camera.view(moment), (80, 45)).getextrema()
        assert extrema == ((200, 200), (40, 40), (40, 40))


@pytest.mark.parametrize("concept", CONCEPTS)
def test_loops_end_where_they_began(concept: str) -> None:
    camera = Camera((concept,), loop=True)
    first, last = camera.view(0), camera.view(1)
    for field in ("x", "y", "zoom", "roll", "truck"):
        assert getattr(last, field) == pytest.approx(getattr(first, field), abs=1e-9)


def test_the_first_frame_is_the_whole_picture_unless_the_camera_backs_off() -> None:
    for concept, move in CONCEPTS.items():
        first = Camera((concept,), loop=False).view(0)
        assert (first.x, first.y, first.roll) == (0, 0, 0)
        assert (first.zoom > 1) is move.is_reversed


def test_directions() -> None:
    assert Camera(("pan_left",), loop=False).view(1).x < 0
    assert Camera(("pan_right",), loop=False).view(1).x > 0
    assert Camera(("tilt_up",), loop=False).view(1).y < 0
    assert Camera(("zoom_in",), loop=False).view(1).zoom > 1.3
    assert Camera(("zoom_out",), loop=False).view(1).zoom == 1
    assert Camera(("truck_left",), loop=False).view(1).truck < 0
    assert Camera(("static",), loop=False).view(1) == View()


def test_without_a_concept_the_camera_comes_closer() -> None:
    assert Camera((), loop=False).view(1).zoom > Camera((), loop=False).view(0).zoom == 1


def test_an_unknown_concept_does_no_harm() -> None:
    assert Camera(("unknown",), loop=False).view(0.5).zoom > 1
