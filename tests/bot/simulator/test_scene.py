from __future__ import annotations

import random

import pytest
from PIL import ImageChops, ImageFont, ImageStat

from bot.simulator.caption import LINES, drawable, overlay, wrap
from bot.simulator.land import noise, ridge, windows
from bot.simulator.moods import MOODS, Mood, Ridge, choose_mood
from bot.simulator.scene import Scene, gradient, mix

SIZE = (240, 136)
FONT = ImageFont.load_default(20)


@pytest.mark.parametrize("mood", MOODS, ids=lambda mood: mood.words.split()[0])
def test_every_mood_draws_and_moves(mood: Mood) -> None:
    scene = Scene(f"{mood.words.split()[0]} 1", SIZE)
    first, later = scene.frame(0.0, 0.0), scene.frame(0.4, 0.5)
    assert first.size == SIZE
    assert sum(ImageStat.Stat(ImageChops.difference(first, later)).mean) > 0.5
    assert max(ImageStat.Stat(first).stddev) > 15


@pytest.mark.parametrize("mood", MOODS, ids=lambda mood: mood.words.split()[0])
def test_everything_in_a_scene_comes_back(mood: Mood) -> None:
    scene = Scene(mood.words.split()[0], SIZE)
    assert ImageChops.difference(scene.frame(0, 0), scene.frame(1, 0)).getbbox() is None


def test_the_camera_may_go_to_both_ends() -> None:
    scene = Scene("a red fox in snow", SIZE)
    left, right = scene.frame(0, -1), scene.frame(0, 1)
    assert ImageChops.difference(left, right).getbbox() is not None


def test_moods_follow_the_words() -> None:
    rng = random.Random(1)
    assert "snow" in choose_mood("A red FOX in Snow", rng).words
    assert "ocean" in choose_mood("ocean waves", rng).words
    assert choose_mood("nothing that is known", rng) in MOODS
    assert choose_mood("", rng) in MOODS


def test_noise_stays_between_0_and_1() -> None:
    line = noise(random.Random(3), 500, octaves=5, waves=4)
    assert len(line) == 500
    assert 0 <= min(line) < max(line) <= 1


@pytest.mark.parametrize("kind", ["peaks", "hills", "dunes", "pines", "skyline", "waves"])
@pytest.mark.parametrize("near", [0.0, 1.0])
def test_the_ground_fills_the_foot(kind: Ridge, near: float) -> None:
    mask = ridge(kind, (300, 120), random.Random(2), near=near)
    assert mask.size == (300, 120)
    assert mask.crop((0, 116, 290, 120)).getextrema() == (255, 255)
    assert mask.crop((0, 0, 300, 2)).getextrema()[0] == 0


def test_windows_are_lit_only_inside_buildings() -> None:
    rng = random.Random(2)
    mask = ridge("skyline", (400, 200), rng, near=0.5)
    lit = windows(mask, rng, near=0.5)
    outside = ImageChops.multiply(lit, ImageChops.invert(mask))
    assert ImageStat.Stat(lit).extrema[0][1] > 80
    assert ImageStat.Stat(outside).extrema[0][1] < 60


def test_colours_blend() -> None:
    assert mix((0, 100, 200), (100, 0, 200), 0.5) == (50, 50, 200)
    image = gradient(((255, 0, 0), (0, 0, 255)), (3, 100))
    assert image.getpixel((1, 0)) == pytest.approx((255, 0, 0), abs=3)
    assert image.getpixel((2, 99)) == pytest.approx((0, 0, 255), abs=3)


def test_lines_are_wrapped_and_the_rest_is_cut() -> None:
    lines = wrap("one two three four five six seven eight nine ten " * 4, FONT, 200)
    assert len(lines) == LINES
    assert all(FONT.getlength(line) <= 200 for line in lines)
    assert lines[-1].endswith("…")
    assert wrap("short", FONT, 200) == ["short"]


def test_a_word_wider_than_the_picture_is_cut() -> None:
    (line,) = wrap("a" * 300, FONT, 200)
    assert line.endswith("…")
    assert FONT.getlength(line) <= 200


def test_signs_the_font_lacks_are_left_out() -> None:
    assert drawable("a fox 🦊 \n and  more", FONT) == "a fox and more"
    assert drawable("狐", FONT) == ""


@pytest.mark.parametrize("prompt", ["", "🦊", "word", "many words " * 400, "a" * 5000])
@pytest.mark.parametrize("size", [(240, 136), (104, 240), (1104, 472)])
def test_any_prompt_can_be_drawn(prompt: str, size: tuple[int, int]) -> None:
    layer = overlay(prompt, size)
    assert (layer.size, layer.mode) == (size, "RGBA")
    assert ImageStat.Stat(layer.getchannel("A")).extrema[0][1] > 100


def test_without_a_prompt_only_the_mark_is_drawn() -> None:
    layer = overlay("", (480, 272))
    left, top, _, bottom = layer.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert left > 300
    assert 0 < top < bottom < 60
