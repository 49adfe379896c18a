"""Clips as services deliver them: whatever their bytes are, measures in bounds or a refusal.

They are read where the bot reads them, in a child of the fork server, so that a decoder that
crashes ends that child alone. An error of ours there is a fault, though the bot would live on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.codec import Bounds, Codec
from bot.errors import ClipBroken, ClipTooLarge
from tests import rendered
from tests.bot.test_codec import server_of
from tests.fuzz import EXAMPLES, fuzz

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: A small clip takes a few hundredths of a second.
BOUNDS = Bounds(memory_bytes=2_000_000_000, cpu_seconds=20, seconds=60)
FRAMES = 6
#: Of those that `make check` tries: so many are needed to meet most kinds of lies.
SAMPLE = 60
#: What has boxes in it, and how far behind its beginning they lie.
INNER = {
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta"), 8),
    b"stsd": 16,
    b"avc1": 86,
}
LIES = (0, 1, 7, 8, 9, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def boxes(content: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Where each box of an MP4 begins and ends, those inside others after them."""
    end = len(content) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(content[start : start + 4])
        if size < 8:
            return
        yield start, start + size
        if inner := INNER.get(content[start + 4 : start + 8]):
            yield from boxes(content, start + inner, start + size)
        start += size


WHOLE = [
    rendered.clip(64, 48, frames=FRAMES),
    rendered.clip(64, 48, frames=FRAMES, has_sound=True),
    rendered.clip(64, 48, frames=2, codec="mpeg4"),
]
BOXES = [list(boxes(each)) for each in WHOLE]


@st.composite
def clips(draw: st.DrawFn) -> bytes:
    """A true clip with bits flipped, boxes that lie, and then cut, grown or mixed."""
    which = draw(st.sampled_from((0, 0, 0, 1, 1, 2)))
    content = bytearray(WHOLE[which])
    for _ in range(draw(st.integers(0, 4))):
        start, end = draw(st.sampled_from(BOXES[which]))
        match draw(st.sampled_from(("bit", "size", "more", "kind", "field", "field"))):
            case "bit":
                content[draw(st.integers(start, end - 1))] ^= 1 << draw(st.integers(0, 7))
            case "size":
                content[start : start + 4] = draw(st.sampled_from(LIES)).to_bytes(4)
            case "more":
                size = max(0, end - start + draw(st.integers(-16, 16)))
                content[start : start + 4] = size.to_bytes(4)
            case "kind":
                other, _ = draw(st.sampled_from(BOXES[which]))
                content[start + 4 : start + 8] = WHOLE[which][other + 4 : other + 8]
            case _:
                at = draw(st.integers(start + 8, max(start + 8, min(end, start + 200) - 4)))
                content[at : at + 4] = draw(st.sampled_from(LIES)).to_bytes(4)
    return _reshaped(draw, bytes(content))


def _reshaped(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    match draw(st.sampled_from(("whole", "whole", "whole", "cut", "grown", "mixed", "twice"))):
        case "cut":
            return content[:at]
        case "grown":
            return content + draw(st.binary(max_size=64))
        case "mixed":
            return content[:at] + draw(st.binary(max_size=16)) + content[at:]
        case "twice":
            return content + content
    return content


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codec() -> AsyncIterator[Codec]:
    codec = Codec(probes=BOUNDS, encodes=BOUNDS)
    yield codec
    await codec.aclose()


@pytest.mark.timeout(600)
async def test_a_clip_is_measured_within_bounds_or_refused(
    codec: Codec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt: list[bytes] = [*WHOLE]

    @settings(fuzz, max_examples=EXAMPLES or SAMPLE)
    @given(clips())
    def collect(content: bytes) -> None:
        spoilt.append(content)

    collect()
    await codec.start()
    server = server_of(codec)
    caplog.set_level(logging.DEBUG, logger="bot.codec")
    accepted = 0
    for number, content in enumerate(spoilt):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content)
        accepted += await _read(codec, path)
        assert "Traceback" not in caplog.text, path
        path.unlink()
    assert server_of(codec) == server
    assert 2 <= accepted < len(spoilt)


async def _read(codec: Codec, path: Path) -> bool:
    """Whether it is taken; then all that is done with it is done."""
    try:
        info = await codec.probe_clip(path)
    except ClipBroken:
        return False
    assert 0 < info.width <= 16_384, path
    assert 0 < info.height <= 16_384, path
    assert 0 < info.frames <= 2 * FRAMES, path
    assert info.frames / 1001 <= info.seconds <= 2 * info.frames + 0.01, path
    await _use(codec, path)
    return True


async def _use(codec: Codec, path: Path) -> None:
    """All that is done with a clip that was taken; what comes out is one, too."""
    made = path.with_name("made.mp4")
    with suppress(ClipBroken):
        await codec.poster(path, path.with_name("poster.jpg"))
        await codec.frame_png(path, path.with_name("last.png"), at="last")
    with suppress(ClipBroken, ClipTooLarge):
        await codec.reencode(path, made, max_bytes=2_000)
        assert made.stat().st_size <= 2_000, path
    with suppress(ClipBroken):
        joined = await codec.join([path, path], made)
        assert joined.frames <= 4 * FRAMES, path
