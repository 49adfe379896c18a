"""Files that people send: whatever they are, they become a JPEG or a refusal, in bounds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.codec.images import Unusable, normalise_image, probe_picture, sniff
from tests.fuzz import few, fuzz
from tests.fuzz.mutations import tried

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF")
MOST_PIXELS = 1_000_000


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((40, 30), 60).convert("RGB").save(file, kind)
    return file.getvalue()


WHOLE = [picture(kind) for kind in KINDS]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A true picture with bytes changed, cut, doubled, or with the head of another."""
    content = bytearray(WHOLE[draw(st.integers(0, len(WHOLE) - 1))])
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content) - 1))
        match draw(st.sampled_from(("byte", "cut", "insert", "head", "size"))):
            case "byte":
                content[at] = draw(st.integers(0, 255))
            case "cut":
                del content[max(1, at) :]
            case "insert":
                content[at:at] = draw(st.binary(max_size=9))
            case "head":
                head = WHOLE[draw(st.integers(0, len(WHOLE) - 1))][:32]
                content[: len(head)] = head
            case _:  # Huge sizes where the format has them.
                content[16:24] = b"\x00\x00\xff\xff\x00\x00\xff\xff"
    return bytes(content)


@fuzz
@given(st.one_of(files(), st.binary(max_size=80)))
def test_a_head_is_sniffed(content: bytes) -> None:
    kinds = tried(lambda: sniff(content[:64]))
    assert kinds is not None
    assert set(kinds) <= {*KINDS}


@pytest.fixture(autouse=True)
def _leave_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process: what reads a picture in the bot sets its own, and ends with it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


# In the bot a child process reads one file and ends, and whatever it left open with it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@few
@given(content=files())
def test_a_file_becomes_a_picture_within_bounds_or_is_refused(
    tmp_path_factory: object, content: bytes
) -> None:
    folder = Path(getattr(tmp_path_factory, "getbasetemp")())  # noqa: B009 - pytest's own
    source, target = folder / "source", folder / "target.jpg"
    source.write_bytes(content)
    made = tried(
        lambda: normalise_image(
            source=str(source),
            target=str(target),
            max_side=64,
            min_side=8,
            max_bytes=100_000,
            max_pixels=MOST_PIXELS,
        ),
        Unusable,
    )
    if made is not None:
        with Image.open(target, formats=("JPEG",)) as image:
            assert max(image.size) <= 64
            assert not image.getexif()
        assert target.stat().st_size <= 100_000
    tried(lambda: probe_picture(source=str(source), max_pixels=MOST_PIXELS), Unusable)
