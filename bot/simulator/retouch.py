"""Makes a clip of a clip: larger, on another canvas, in other colours, or with a sound.

Blocking; runs in a worker thread. The pictures never leave the encoder's own library, so that it
takes no longer than drawing them did.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from bot.simulator.order import Deed
from bot.simulator.render import ENCODING, FPS, Cancelled, Unreadable, read_frame

#: The lowest note of a sound, in hertz; the words of the prompt choose among two octaves above.
LOWEST, OCTAVES = 110, 2


@dataclass(frozen=True, kw_only=True)
class Retouch:
    """What is done to a clip, and how large it becomes."""

    deed: Deed
    prompt: str
    width: int
    height: int


def retouch(
    source: Path, path: Path, wanted: Retouch, *, is_wanted: Callable[[], bool] = lambda: True
) -> None:
    """Write the clip to `path` and its thumbnail beside it (`.jpg`).

    Raises `Unreadable` where the source is gone, `Cancelled` once it is not wanted any more.
    """
    try:
        with (
            av.open(str(source)) as given,
            av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as made,
        ):
            if wanted.deed == "audio":
                _add_sound(given, made, wanted)
            else:
                _repaint(given, made, wanted, is_wanted)
    except (OSError, av.FFmpegError) as error:
        raise Unreadable(str(error)) from error
    path.with_suffix(".jpg").write_bytes(read_frame(path, last=False))


def _repaint(
    given: InputContainer, made: OutputContainer, wanted: Retouch, is_wanted: Callable[[], bool]
) -> None:
    pictures = given.streams.video[0]
    stream = made.add_stream("libx264", rate=FPS, options=ENCODING)
    stream.width, stream.height, stream.pix_fmt = wanted.width, wanted.height, "yuv420p"
    stream.codec_context.thread_count = 1
    sounds = {each.index: made.add_stream_from_template(each) for each in given.streams.audio}
    brush = _brush(pictures, wanted)
    for packet in given.demux():
        if not is_wanted():
            raise Cancelled
        if packet.stream.index in sounds and packet.dts is not None:
            packet.stream = sounds[packet.stream.index]
            made.mux(packet)
        elif packet.stream.index == pictures.index:
            for frame in pictures.codec_context.decode(packet):
                made.mux(stream.encode(brush(frame)))
    made.mux(stream.encode(None))


def _brush(pictures: VideoStream, wanted: Retouch) -> Callable[[VideoFrame], VideoFrame]:
    graph = Graph()
    source, sink = graph.add_buffer(template=pictures), graph.add("buffersink")
    size = f"{wanted.width}:{wanted.height}"
    match wanted.deed:
        case "reframe":
            _canvas(graph, source, sink, size)
        case "modify":
            _chain(graph, source, graph.add("hue", "h=140:s=1.6"), graph.add("scale", size), sink)
        case _:
            _chain(graph, source, graph.add("scale", size), sink)
    graph.configure()

    def paint(frame: VideoFrame) -> VideoFrame:
        graph.push(frame)
        return graph.vpull()

    return paint


def _canvas(graph: Graph, source: FilterContext, sink: FilterContext, size: str) -> None:
    """The clip in the middle, and around it what is made up: here its own colours, stretched."""
    split, over = graph.add("split"), graph.add("overlay", "(W-w)/2:(H-h)/2")
    blurred = (graph.add("scale", "16:16"), graph.add("scale", size))
    fitted = graph.add("scale", f"{size}:force_original_aspect_ratio=decrease")
    source.link_to(split)
    split.link_to(blurred[0], 0, 0)
    blurred[0].link_to(blurred[1])
    blurred[1].link_to(over, 0, 0)
    split.link_to(fitted, 1, 0)
    fitted.link_to(over, 0, 1)
    over.link_to(sink)


def _chain(graph: Graph, *filters: FilterContext) -> None:
    for one, next_one in itertools.pairwise(filters):
        one.link_to(next_one)


def _add_sound(given: InputContainer, made: OutputContainer, wanted: Retouch) -> None:
    pictures = given.streams.video[0]
    copied = made.add_stream_from_template(pictures)
    sound = made.add_stream("aac", rate=44_100, layout="mono")
    seconds = pictures.frames / FPS
    for packet in given.demux(pictures):
        if packet.dts is not None:
            packet.stream = copied
            made.mux(packet)
    for frame in _hum(wanted.prompt, seconds):
        made.mux(sound.encode(frame))
    made.mux(sound.encode(None))


def _hum(prompt: str, seconds: float) -> Iterator[AudioFrame]:
    """A note that the words of the prompt choose."""
    note = LOWEST * 2 ** (zlib.crc32(prompt.encode()) % (12 * OCTAVES) / 12)
    graph = Graph()
    sink = graph.add("abuffersink")
    shape = graph.add("aformat", "sample_fmts=fltp:channel_layouts=mono:sample_rates=44100")
    tone = graph.add("sine", f"frequency={note:.2f}:sample_rate=44100:duration={seconds:.3f}")
    _chain(graph, tone, shape, sink)
    graph.configure()
    while True:
        try:
            pulled = graph.pull()
        except (av.EOFError, av.BlockingIOError):
            return
        assert isinstance(pulled, AudioFrame)
        yield pulled
