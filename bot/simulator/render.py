"""Draws stills and encodes clips: a scene or key images with a moving camera, as real H.264.

Blocking; runs in a worker thread. Knows nothing of HTTP or generations.
"""

from __future__ import annotations

import functools
import io
import itertools
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import av
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from PIL import Image, ImageOps

from bot.simulator.camera import Camera, View, look
from bot.simulator.caption import overlay
from bot.simulator.scene import Scene

FPS = 24
SCENE_PIXELS = 800 * 450
DRAWN_PIXELS, SAME_PIXELS = 1920 * 1080, 240 * 135
ENCODING = {"preset": "veryfast", "crf": "21"}
#: For clips that nobody looks at.
QUICKLY = {"preset": "ultrafast", "crf": "30"}
MOST_IMAGE_PIXELS = 40_000_000


class Unreadable(Exception):
    """The bytes are no image or clip that can be decoded."""


class Cancelled(Exception):
    """Nobody waits for this clip any more."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Everything a clip is made of. `start` and `end` are the bytes of key images.

    Frames are drawn with at most `drawn_pixels`; larger clips are scaled up while encoding. With
    a `lap`, only so many are drawn, and shown again and again.
    """

    prompt: str
    width: int
    height: int
    frames: int
    loop: bool = False
    concepts: tuple[str, ...] = ()
    start: bytes | None = None
    end: bytes | None = None
    drawn_pixels: int = DRAWN_PIXELS
    lap: int | None = None


class _Picture(Protocol):
    def at(self, moment: float, view: View) -> Image.Image:
        """What the camera sees at a moment from 0 to 1."""


class _Landscape:
    def __init__(self, prompt: str, size: tuple[int, int]) -> None:
        self._scene = Scene(prompt, _within(size, SCENE_PIXELS))
        self._size = size

    def at(self, moment: float, view: View) -> Image.Image:
        return look(self._scene.frame(moment, view.truck), view, self._size)


class _Still:
    def __init__(self, content: bytes, size: tuple[int, int]) -> None:
        self._image = ImageOps.fit(read_image(content), size, Image.Resampling.LANCZOS)

    def at(self, moment: float, view: View) -> Image.Image:
        return look(self._image, view, self._image.size)


def render(shot: Shot, path: Path, *, is_wanted: Callable[[], bool] = lambda: True) -> None:
    """Write the clip to `path` and its thumbnail beside it (`.jpg`).

    Raises `Unreadable` for a key image that is none, `Cancelled` once it is not wanted any more.
    """
    pictures = _pictures(shot)
    if shot.lap is not None:
        pictures = itertools.islice(itertools.cycle(pictures), shot.frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _stream(container, shot)
        for number, picture in enumerate(pictures):
            if not is_wanted():
                raise Cancelled
            if number == shot.frames // 2:
                picture.save(path.with_suffix(".jpg"), quality=85)
            container.mux(stream.encode(_to_frame(picture, shot)))
        container.mux(stream.encode(None))


def render_still(shot: Shot, path: Path) -> None:
    """Write a picture to `path`, as JPEG: how the clip would begin that this could be."""
    picture = next(_pictures(replace(shot, frames=FPS)))
    picture.resize((shot.width, shot.height), Image.Resampling.BICUBIC).save(
        path, "JPEG", quality=90
    )


@functools.cache
def same_clip(width: int, height: int, frames: int) -> tuple[bytes, bytes]:
    """One looping clip and its thumbnail per size and length, kept for the life of the process."""
    shot = Shot(
        prompt="The same clip",
        width=width,
        height=height,
        frames=frames,
        loop=True,
        drawn_pixels=SAME_PIXELS,
        lap=FPS,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "same.mp4")
        render(shot, path)
        return path.read_bytes(), path.with_suffix(".jpg").read_bytes()


def read_image(content: bytes) -> Image.Image:
    """Decode a key image, upright and without transparency; raises `Unreadable`."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_IMAGE_PIXELS:
                raise Unreadable("too many pixels")
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise Unreadable(str(error)) from error


def read_frame(path: Path, *, last: bool) -> bytes:
    """The first or last frame of a clip as PNG; raises `Unreadable` where the clip is gone."""
    try:
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            frame = deque(frames, maxlen=1).pop() if last else next(frames)
    except (OSError, av.FFmpegError) as error:
        raise Unreadable(str(error)) from error
    page = io.BytesIO()
    to_image: Callable[[], Image.Image] = frame.to_image
    to_image().save(page, "png")
    return page.getvalue()


def _within(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """The size, or the largest of the same shape with no more pixels."""
    shrink = min(1.0, (pixels / (size[0] * size[1])) ** 0.5)
    return round(size[0] * shrink), round(size[1] * shrink)


def _pictures(shot: Shot) -> Iterator[Image.Image]:
    size = _within((shot.width, shot.height), shot.drawn_pixels)
    first: _Picture = _Still(shot.start, size) if shot.start else _Landscape(shot.prompt, size)
    last = _Still(shot.end, size) if shot.end else None
    over = overlay("" if shot.start else shot.prompt, size)
    camera = Camera(shot.concepts, loop=shot.loop)
    count = shot.lap or shot.frames
    for number in range(count):
        moment = number / (count - 1)
        picture = first.at(moment, camera.view(moment))
        if last:
            # The end frame comes to rest exactly as it was given.
            arriving = last.at(moment, camera.view(1 - moment))
            picture = Image.blend(picture, arriving, _fade(moment))
        picture.paste(over, (0, 0), over)
        yield picture


def _fade(moment: float) -> float:
    share = max(0.0, min(1.0, (moment - 0.3) / 0.5))
    return share * share * (3 - 2 * share)


def _stream(container: OutputContainer, shot: Shot) -> VideoStream:
    options = QUICKLY if shot.lap else ENCODING
    stream = container.add_stream("libx264", rate=FPS, options=options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = shot.width, shot.height, "yuv420p"
    context.thread_count = 1
    context.colorspace = Colorspace.ITU709
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    context.color_range = ColorRange.MPEG
    return stream


def _to_frame(picture: Image.Image, shot: Shot) -> av.VideoFrame:
    to_frame: Callable[[Image.Image], av.VideoFrame] = av.VideoFrame.from_image
    return to_frame(picture).reformat(
        width=shot.width,
        height=shot.height,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
