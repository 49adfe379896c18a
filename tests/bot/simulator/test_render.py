from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from bot.simulator.render import (
    Cancelled,
    Shot,
    Unreadable,
    read_frame,
    read_image,
    render,
    same_clip,
)

SMALL = Shot(prompt="a red fox in snow", width=240, height=136, frames=25)


def png(colour: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> bytes:
    """A picture with a white bar on its left side."""
    image = Image.new("RGB", size, colour)
    image.paste((255, 255, 255), (0, 0, size[0] // 5, size[1]))
    page = io.BytesIO()
    image.save(page, "png")
    return page.getvalue()


def decode(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        frames: list[Any] = list(container.decode(video=0))
        return [frame.to_image() for frame in frames]


def difference(first: Image.Image, second: Image.Image) -> float:
    """The mean difference of two pictures, from 0 to 255."""
    bands = ImageStat.Stat(ImageChops.difference(first.convert("RGB"), second.convert("RGB"))).mean
    return float(sum(bands) / len(bands))


def clip(shot: Shot, folder: Path) -> list[Image.Image]:
    render(shot, folder / "clip.mp4")
    return decode(folder / "clip.mp4")


def test_a_clip_is_what_luma_sends(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    render(Shot(prompt="a fox", width=320, height=184, frames=121), path)
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        video = container.streams.video[0]
        assert video.codec_context.name == "h264"
        assert (video.width, video.height, video.pix_fmt) == (320, 184, "yuv420p")
        assert video.average_rate == 24
        assert video.frames == 121
        assert sum(1 for _ in container.decode(video)) == 121
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "players start before the end"
    with Image.open(path.with_suffix(".jpg")) as thumb:
        assert thumb.size == (320, 184)


def test_a_scene_moves_and_differs_by_prompt(tmp_path: Path) -> None:
    snow = clip(SMALL, tmp_path)
    assert len(snow) == 25
    assert difference(snow[0], snow[12]) > 2
    sea = clip(Shot(prompt="waves on the ocean", width=240, height=136, frames=2), tmp_path)
    assert difference(snow[0], sea[0]) > 20


def test_the_same_prompt_gives_the_same_scene(tmp_path: Path) -> None:
    two = Shot(prompt="a red fox in snow", width=240, height=136, frames=2)
    assert difference(clip(two, tmp_path)[0], clip(two, tmp_path)[0]) == 0


def test_the_prompt_and_the_mark_are_drawn(tmp_path: Path) -> None:
    """Light letters stand in the dark foot of the picture and in the pill at the top right."""
    shot = Shot(prompt="dragon fire over a lava field", width=480, height=272, frames=2)
    foot = clip(shot, tmp_path)[0].convert("L").crop((20, 200, 460, 262))
    pill = clip(shot, tmp_path)[0].convert("L").crop((380, 4, 476, 40))
    assert ImageStat.Stat(foot).extrema[0][1] > 220
    assert ImageStat.Stat(pill).extrema[0][1] > 180


def test_a_loop_ends_where_it_began(tmp_path: Path) -> None:
    looped = Shot(prompt="a red fox in snow", width=240, height=136, frames=25, loop=True)
    frames = clip(looped, tmp_path)
    assert difference(frames[0], frames[-1]) < 4 < difference(frames[0], frames[12])
    once = clip(SMALL, tmp_path)
    assert difference(once[0], once[-1]) > 5


def test_the_start_frame_is_the_first_frame(tmp_path: Path) -> None:
    start = png((200, 40, 40), (240, 136))
    shot = Shot(prompt="zoom", width=240, height=136, frames=25, start=start)
    frames = clip(shot, tmp_path)
    assert difference(frames[0], read_image(start)) < 12
    assert difference(frames[0], frames[-1]) > 1


def test_start_and_end_frame_are_faded_into_each_other(tmp_path: Path) -> None:
    start, end = png((200, 40, 40), (240, 136)), png((20, 60, 210), (240, 136))
    shot = Shot(prompt="", width=240, height=136, frames=25, start=start, end=end)
    frames = clip(shot, tmp_path)
    assert difference(frames[0], read_image(start)) < 12
    assert difference(frames[-1], read_image(end)) < 12
    red, _, blue = ImageStat.Stat(frames[13].crop((120, 60, 200, 100))).mean
    assert 60 < red < 180
    assert 60 < blue < 180


def test_an_end_frame_alone_ends_a_scene(tmp_path: Path) -> None:
    end = png((20, 60, 210), (240, 136))
    shot = Shot(prompt="mountain sunset", width=240, height=136, frames=25, end=end)
    frames = clip(shot, tmp_path)
    assert difference(frames[-1], read_image(end)) < 15
    assert difference(frames[0], read_image(end)) > 25


def test_a_key_image_of_another_shape_fills_the_picture(tmp_path: Path) -> None:
    start = png((200, 40, 40), (100, 400))
    shot = Shot(prompt="", width=240, height=136, frames=2, start=start)
    picture = clip(shot, tmp_path)[0]
    for box in ((225, 60, 240, 70), (225, 120, 240, 136)):
        red, green, _ = ImageStat.Stat(picture.crop(box)).mean
        assert red > 150 > green


@pytest.mark.parametrize("size", [(136, 240), (320, 136), (136, 320)])
def test_other_shapes(tmp_path: Path, size: tuple[int, int]) -> None:
    shot = Shot(prompt="neon city", width=size[0], height=size[1], frames=3)
    assert [frame.size for frame in clip(shot, tmp_path)] == [size] * 3


def test_clips_beyond_full_hd_are_scaled_up(tmp_path: Path) -> None:
    shot = Shot(prompt="night sky", width=2560, height=1440, frames=2)
    assert clip(shot, tmp_path)[0].size == (2560, 1440)


def test_one_clip_per_size_and_length() -> None:
    first, second = same_clip(240, 134, 121), same_clip(240, 134, 121)
    assert first[0] is second[0]
    assert same_clip(134, 240, 121)[0] != first[0]
    with av.open(io.BytesIO(first[0])) as container:
        assert container.streams.video[0].frames == 121
    assert first[1][:2] == b"\xff\xd8"


def test_a_clip_nobody_wants_is_not_drawn_to_the_end(tmp_path: Path) -> None:
    asked: list[None] = []

    def is_wanted() -> bool:
        asked.append(None)
        return len(asked) < 3

    with pytest.raises(Cancelled):
        render(SMALL, tmp_path / "clip.mp4", is_wanted=is_wanted)
    assert len(asked) == 3


def test_a_picture_on_its_side_is_turned() -> None:
    image = Image.new("RGB", (40, 20), (9, 9, 9))
    exif = Image.Exif()
    exif[0x0112] = 6
    page = io.BytesIO()
    image.save(page, "jpeg", exif=exif)
    assert read_image(page.getvalue()).size == (20, 40)


@pytest.mark.parametrize("content", [b"", b"no picture", png((1, 2, 3))[:60]])
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_image(content)


@pytest.mark.parametrize("size", [(8000, 6000), (14000, 13000)])
def test_pictures_that_are_too_large_are_not_decoded(size: tuple[int, int]) -> None:
    page = io.BytesIO()
    Image.new("1", size).save(page, "png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(Unreadable):
            read_image(page.getvalue())


def test_first_and_last_frame_of_a_clip(tmp_path: Path) -> None:
    start, end = png((200, 40, 40), (240, 136)), png((20, 60, 210), (240, 136))
    path = tmp_path / "clip.mp4"
    render(Shot(prompt="", width=240, height=136, frames=9, start=start, end=end), path)
    assert difference(read_image(read_frame(path, last=False)), read_image(start)) < 12
    assert difference(read_image(read_frame(path, last=True)), read_image(end)) < 12


def test_frames_of_a_clip_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        read_frame(tmp_path / "gone.mp4", last=True)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip at all")
    with pytest.raises(Unreadable):
        read_frame(broken, last=False)
