from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from bot.simulator.order import Deed
from bot.simulator.render import Cancelled, Shot, Unreadable, read_frame, read_image, render
from bot.simulator.retouch import Retouch, retouch


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "source.mp4"
    render(Shot(prompt="a red fox", width=240, height=136, frames=25), path)
    return path


def first(path: Path) -> Image.Image:
    return read_image(read_frame(path, last=False))


def unlike(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures are apart, of 255."""
    of_one_size = other.resize(one.size)
    return sum(ImageStat.Stat(ImageChops.difference(one, of_one_size)).mean) / 3


def made(
    source: Path,
    folder: Path,
    deed: Deed,
    size: tuple[int, int] = (240, 136),
    is_wanted: Callable[[], bool] = lambda: True,
) -> Path:
    path = folder / f"{deed}.mp4"
    wanted = Retouch(deed=deed, prompt="wind in trees", width=size[0], height=size[1])
    retouch(source, path, wanted, is_wanted=is_wanted)
    with av.open(str(path)) as clip:
        picture = clip.streams.video[0]
        assert (picture.codec_context.name, picture.frames) == ("h264", 25)
        assert (picture.width, picture.height) == size
    assert path.with_suffix(".jpg").exists()
    return path


def test_larger_it_shows_the_same(source: Path, tmp_path: Path) -> None:
    larger = made(source, tmp_path, "upscale", (480, 272))
    assert unlike(first(source), first(larger)) < 5


def test_on_another_canvas_the_clip_stands_in_the_middle(source: Path, tmp_path: Path) -> None:
    tall = first(made(source, tmp_path, "reframe", (240, 426)))
    middle = tall.crop((0, 145, 240, 281))
    assert unlike(first(source), middle) < 8
    assert max(ImageStat.Stat(tall.crop((0, 0, 240, 100))).mean) > 5, "and something around it"


def test_another_look_is_seen(source: Path, tmp_path: Path) -> None:
    assert unlike(first(source), first(made(source, tmp_path, "modify"))) > 10


def test_a_sound_is_as_long_as_the_clip_and_stays(source: Path, tmp_path: Path) -> None:
    loud = made(source, tmp_path, "audio")
    larger = made(loud, tmp_path, "upscale", (480, 272))
    for path in (loud, larger):
        with av.open(str(path)) as clip:
            [sound] = clip.streams.audio
            assert sound.codec_context.name == "aac"
            assert sound.duration is not None
            assert sound.time_base is not None
            assert float(sound.duration * sound.time_base) == pytest.approx(25 / 24, abs=0.1)
            heard = sum(packet.size for packet in clip.demux(sound))
            assert heard > 2_000, "more than silence"


def test_without_a_clip_nothing_is_made(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        made(tmp_path / "gone.mp4", tmp_path, "upscale")
    with pytest.raises(Cancelled):
        made(source, tmp_path, "upscale", is_wanted=lambda: False)
