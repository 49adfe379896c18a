"""Images and clips drawn at test time, as bytes: nothing binary lives in the repository."""

from __future__ import annotations

import functools
import io
import struct
import tempfile
import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pillow_heif
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw

ORIENTATION = 0x0112
MAKE = 0x010F

pillow_heif.register_heif_opener()


def picture(width: int = 640, height: int = 480, *, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right, a white corner at the top left."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    pen = ImageDraw.Draw(image)
    pen.rectangle((width // 2, 0, width, height), fill=(30, 30, 200))
    pen.rectangle((0, 0, width // 8, height // 8), fill=(255, 255, 255))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def drawn(kind: str, mode: str = "RGB") -> bytes:
    """The plain picture as a file of this kind."""
    return encoded(picture(mode=mode), kind)


@functools.cache
def png(width: int = 640, height: int = 480) -> bytes:
    """A plain PNG."""
    return encoded(picture(width, height), "PNG")


@functools.cache
def jpeg(width: int = 640, height: int = 480) -> bytes:
    """A plain JPEG."""
    return encoded(picture(width, height), "JPEG", quality=90)


@functools.cache
def phone_photo() -> bytes:
    """A JPEG lying on its side, with the maker's name and a position in its metadata."""
    image = picture(640, 480)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[MAKE] = "SecretPhone"
    exif.get_ifd(0x8825)[1] = "N"
    return encoded(image, "JPEG", exif=exif, comment=b"SecretComment")


@functools.cache
def animation() -> bytes:
    """A GIF whose first frame is red and whose second is green."""
    first = Image.new("RGB", (200, 200), (220, 0, 0))
    second = Image.new("RGB", (200, 200), (0, 220, 0))
    return encoded(first, "GIF", save_all=True, append_images=[second], duration=100)


@functools.cache
def png_bomb(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A grey PNG of this size in a few kilobytes: it unfolds only when it is decoded."""
    packer = zlib.compressobj(1)
    row = b"\x00" * (width + 1)
    count = height if rows is None else rows
    body = b"".join(packer.compress(row) for _ in range(count)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


@functools.cache
def clip(
    width: int = 320,
    height: int = 180,
    *,
    frames: int = 25,
    codec: str = "libx264",
    has_sound: bool = False,
    bit_rate: int = 400_000,
    noise: Iterable[int] = (),
) -> bytes:
    """An MP4 at 24 frames a second; frames named in `noise` cannot be compressed well."""
    noisy = set(noise)
    drawn: Any = VideoFrame  # PyAV leaves `from_image` without types.
    # Moving the index to the front needs a file that can be read back by its name.
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", options={"movflags": "+faststart"}) as output:
            video: Any = output.add_stream(codec, rate=24)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.bit_rate, video.codec_context.gop_size = bit_rate, 12
            # With several, what x264 makes depends on how they took turns.
            video.codec_context.thread_count = 1
            audio = output.add_stream("aac", rate=44_100) if has_sound else None
            for number in range(frames):
                image = _scene(width, height, number / frames, is_noisy=number in noisy)
                output.mux(video.encode(drawn.from_image(image)))
            output.mux(video.encode(None))
            if audio is not None:
                for sound in (*silence(frames), None):
                    output.mux(audio.encode(sound))
        return Path(file.name).read_bytes()


def _scene(width: int, height: int, done: float, *, is_noisy: bool) -> Image.Image:
    if is_noisy:
        return Image.effect_noise((width, height), 120).convert("RGB")
    image = Image.new("RGB", (width, height), (20, 20, 60))
    pen = ImageDraw.Draw(image)
    left = int(done * (width - height // 2))
    pen.ellipse((left, height // 4, left + height // 2, height // 4 * 3), fill=(240, 180, 40))
    return image


def silence(frames: int) -> Iterable[AudioFrame]:
    """Sound as long as so many frames."""
    for start in range(0, frames * 44_100 // 24, 1024):
        frame = AudioFrame(format="fltp", layout="mono", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.sample_rate, frame.time_base = start, 44_100, Fraction(1, 44_100)
        yield frame
