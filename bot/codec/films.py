"""Verifies clips, takes frames out of them, shrinks and joins them. Runs only in a child."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from bot.codec.images import Unusable, is_of_disk, write

_POSTER_QUALITY = 88
_SCALES = (1.0, 0.75, 0.5, 0.375, 0.25)
#: Below this many bits for each pixel of each frame a smaller picture looks better.
_LEAST_BITS = 0.04
_LEAST_SIDE = 160
#: Frames a second beyond which nothing is made: what declares them lies about its length.
_SLOWEST, _FASTEST = 0.5, 1000
_FAST_START = {"movflags": "+faststart"}
_FIRST_GUESS = 0.92
_NEXT_GUESS = 0.8

av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True, kw_only=True)
class _Packets:
    """What the container really holds, found by walking through it once."""

    count: int
    last_key: int
    last_pts: int


def probe_clip(*, source: str) -> dict[str, Any]:
    """Walk through the container and decode both ends. Raises `Unusable`."""
    with _opened(source) as (container, stream):
        if stream.codec_context.name != "h264":
            raise Unusable(f"The clip is {stream.codec_context.name}, not H.264.")
        # What is only looked over need not be smooth; more threads cost more than they bring.
        stream.codec_context.options = {"skip_loop_filter": "all", "flags2": "fast"}
        stream.codec_context.thread_count = 1
        packets = _walk(container, stream)
        if stream.frames and packets.count != stream.frames:
            raise Unusable(f"The clip declares {stream.frames} frames and holds {packets.count}.")
        seconds = _seconds(stream, packets.count)
        if not _SLOWEST <= packets.count / seconds <= _FASTEST:
            raise Unusable(f"The clip's {packets.count} frames are said to last {seconds:g} s.")
        first = _first(container, stream)
        _last(container, stream, packets)
        return {
            "width": first.width,
            "height": first.height,
            "frames": packets.count,
            "seconds": round(seconds, 3),
        }


def take_frame(*, source: str, target: str, at: str) -> dict[str, Any]:
    """Write the first or last frame in the format that the target's name asks for."""
    with _opened(source) as (container, stream):
        if at == "first":
            frame = _first(container, stream)
        else:
            frame = _last(container, stream, _walk(container, stream))
        picture: Any = frame  # PyAV leaves `to_image` without types.
        if target.endswith(".png"):
            write(picture.to_image(), target, "PNG")
        else:
            write(picture.to_image(), target, "JPEG", quality=_POSTER_QUALITY)
    return {}


def reencode(*, source: str, target: str, max_bytes: int) -> dict[str, Any]:
    """Write it again within so many bytes; an empty answer where no size would do."""
    with _opened(source) as (container, stream):
        seconds = _seconds(stream, stream.frames or _walk(container, stream).count)
        rate = stream.average_rate or Fraction(24)
        width, height = stream.codec_context.width, stream.codec_context.height
        sound = sum(each.bit_rate or 0 for each in _sounds(container))
    bits = max_bytes * 8 / seconds * _FIRST_GUESS - sound
    for scale in _SCALES:
        size = _even(width * scale), _even(height * scale)
        needed = size[0] * size[1] * float(rate) * _LEAST_BITS
        while min(size) >= _LEAST_SIDE and bits >= needed:
            _encode(source, target, size=size, bits=int(bits))
            if Path(target).stat().st_size <= max_bytes:
                return probe_clip(source=target)
            bits *= _NEXT_GUESS
    return {}


def join(*, sources: list[str], target: str) -> dict[str, Any]:
    """Write one clip of several, without sound; anew only where they are not of one kind."""
    if len({_kind_of(source) for source in sources}) == 1:
        _chain(sources, target)
    else:
        _draw_anew(sources, target)
    return probe_clip(source=target)


def _kind_of(source: str) -> tuple[object, ...]:
    """What clips must have in common to stand behind one another in one stream."""
    with _opened(source) as (_, stream):
        context = stream.codec_context
        size = (context.width, context.height)
        extra = bytes(context.extradata or b"")
        return (context.name, size, context.pix_fmt, stream.time_base, extra)


def _chain(sources: list[str], target: str) -> None:
    """Copy the packets, those of each clip later by the length of those before it."""
    with av.open(target, "w", format="mp4", options=_FAST_START) as output:
        video: VideoStream | None = None
        begins = 0
        for source in sources:
            with _opened(source) as (container, stream):
                video = video or output.add_stream_from_template(stream)
                ends = begins
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + begins, packet.dts + begins
                    ends = max(ends, packet.pts + (packet.duration or 0))
                    packet.stream = video
                    output.mux(packet)
                begins = ends


def _draw_anew(sources: list[str], target: str) -> None:
    """Encode every frame again, in the size and at the rate of the first clip."""
    with _opened(sources[0]) as (_, stream):
        rate = stream.average_rate or Fraction(24)
        size = _even(stream.codec_context.width), _even(stream.codec_context.height)
    with av.open(target, "w", format="mp4", options=_FAST_START) as output:
        video = output.add_stream("libx264", rate=rate)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = 1 / rate
        video.options = {"preset": "veryfast", "crf": "18"}
        begins, last = Fraction(0), -1
        for source in sources:
            with _opened(source) as (container, stream):
                for frame in container.decode(stream):
                    at = round((begins + Fraction(frame.time or 0)) * rate)
                    if at > last:
                        drawn = frame.reformat(width=size[0], height=size[1], format="yuv420p")
                        drawn.pts, drawn.time_base, last = at, 1 / rate, at
                        output.mux(video.encode(drawn))
                begins += Fraction(_seconds(stream, stream.frames))
        output.mux(video.encode(None))


@contextmanager
def _opened(source: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open as MP4 and nothing else: a playlist format could name other files or hosts."""
    try:
        # What it says of itself is not read, so it may be in any writing.
        with av.open(source, format="mov", metadata_errors="replace") as container:
            if not container.streams.video:
                raise Unusable("The file holds no video.")
            stream = container.streams.video[0]
            if not _has_decoder(stream):
                raise Unusable("The clip is in a format that cannot be read.")
            yield container, stream
    except (av.FFmpegError, EOFError) as error:
        if is_of_disk(error):
            raise
        raise Unusable("The clip cannot be read as MP4; it is damaged or incomplete.") from error


def _has_decoder(stream: VideoStream | AudioStream) -> bool:
    """Whether FFmpeg knows its format; PyAV's types say that it always does."""
    return getattr(stream, "codec_context", None) is not None


def _sounds(container: InputContainer) -> list[AudioStream]:
    """The sounds that can be kept."""
    return [each for each in container.streams.audio if _has_decoder(each)]


def _walk(container: InputContainer, stream: VideoStream) -> _Packets:
    count = last_key = last_pts = 0
    for packet in container.demux(stream):
        if packet.size == 0 or packet.pts is None:
            continue  # The end of the stream is a packet, too.
        if packet.is_corrupt:
            raise Unusable("The clip is damaged or incomplete.")
        count += 1
        last_pts = max(last_pts, packet.pts)
        if packet.is_keyframe:
            last_key = packet.pts
    if not count:
        raise Unusable("The clip holds no frames.")
    return _Packets(count=count, last_key=last_key, last_pts=last_pts)


def _first(container: InputContainer, stream: VideoStream) -> VideoFrame:
    container.seek(0, stream=stream)
    for frame in container.decode(stream):
        return _sound(frame)
    raise Unusable("The clip's first frame cannot be shown.")


def _last(container: InputContainer, stream: VideoStream, packets: _Packets) -> VideoFrame:
    """Decode from the last key frame on only what the last frame is made of."""
    container.seek(packets.last_key, stream=stream)
    context = stream.codec_context
    for packet in container.demux(stream):
        context.skip_frame = "DEFAULT" if packet.pts == packets.last_pts else "NONREF"
        for frame in context.decode(packet):
            if frame.pts == packets.last_pts:
                return _sound(frame)
    raise Unusable("The clip's last frame cannot be shown.")


def _sound(frame: VideoFrame) -> VideoFrame:
    if frame.is_corrupt:
        raise Unusable("The clip's pictures are damaged.")
    return frame


def _seconds(stream: VideoStream, frames: int) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(frames / (stream.average_rate or Fraction(24)))


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def _encode(source: str, target: str, *, size: tuple[int, int], bits: int) -> None:
    with (
        _opened(source) as (container, stream),
        av.open(target, "w", format="mp4", options=_FAST_START) as output,
    ):
        video = _video_stream(output, stream, size=size, bits=bits)
        sounds = {each.index: output.add_stream_from_template(each) for each in _sounds(container)}
        for packet in container.demux():
            if packet.stream.index in sounds and packet.dts is not None:
                packet.stream = sounds[packet.stream.index]
                output.mux(packet)
            elif packet.stream.index == stream.index:
                for frame in stream.codec_context.decode(packet):
                    small = frame.reformat(width=size[0], height=size[1], format="yuv420p")
                    output.mux(video.encode(small))
        output.mux(video.encode(None))


def _video_stream(
    output: OutputContainer, stream: VideoStream, *, size: tuple[int, int], bits: int
) -> VideoStream:
    video = output.add_stream("libx264", rate=stream.average_rate or Fraction(24))
    video.width, video.height = size
    video.pix_fmt = "yuv420p"
    video.bit_rate = bits
    video.codec_context.time_base = stream.time_base or 1 / Fraction(video.rate)
    video.options = {
        "preset": "veryfast",
        "maxrate": str(bits),
        "bufsize": str(bits),
    }
    return video
