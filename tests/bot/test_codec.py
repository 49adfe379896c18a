"""Real files through the real fork server: what is accepted, refused, bounded and survived."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import av
import pytest
import pytest_asyncio
from PIL import Image

from bot.codec import Bounds, ClipInfo, Codec, ImageInfo
from bot.errors import ClipBroken, ClipHeavy, ClipTooLarge, ClipUnavailable, FrameRejected
from tests import rendered
from tests.fakes import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOMY = Bounds(memory_bytes=1_200_000_000, cpu_seconds=15, seconds=15.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codec() -> AsyncIterator[Codec]:
    codec = Codec()
    yield codec
    await codec.aclose()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def read(path: Path) -> bytes:
    return path.read_bytes()


async def normalise(codec: Codec, content: bytes, folder: Path, **options: int) -> Image.Image:
    source, target = folder / "source", folder / "target.jpg"
    source.write_bytes(content)
    info = await codec.normalise_image(source, target, **options)
    image = Image.open(io.BytesIO(target.read_bytes()))
    image.load()
    assert info == ImageInfo(width=image.width, height=image.height, content_type="image/jpeg")
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image


def is_near(image: Image.Image, at: tuple[float, float], colour: tuple[int, int, int]) -> bool:
    spot = image.getpixel((int(at[0] * (image.width - 1)), int(at[1] * (image.height - 1))))
    assert isinstance(spot, tuple)
    return all(abs(a - b) < 30 for a, b in zip(spot, colour, strict=True))


# ---- images ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(rendered.png(), id="png"),
        pytest.param(rendered.jpeg(), id="jpeg"),
        pytest.param(rendered.drawn("WEBP"), id="webp"),
        pytest.param(rendered.drawn("HEIF"), id="heic"),
        pytest.param(rendered.drawn("AVIF"), id="avif"),
        pytest.param(rendered.drawn("GIF"), id="gif"),
        pytest.param(rendered.drawn("PNG", "P"), id="palette"),
        pytest.param(rendered.drawn("JPEG", "CMYK"), id="cmyk"),
        pytest.param(rendered.drawn("PNG", "RGBA"), id="alpha"),
    ],
)
async def test_every_accepted_kind_becomes_the_same_picture(
    codec: Codec, tmp_path: Path, content: bytes
) -> None:
    image = await normalise(codec, content, tmp_path)

    assert image.size == (683, 512)
    assert is_near(image, (0.3, 0.8), (200, 30, 30))
    assert is_near(image, (0.9, 0.8), (30, 30, 200))


async def test_a_photo_stands_upright_and_forgets_who_took_it(
    codec: Codec, tmp_path: Path
) -> None:
    image = await normalise(codec, rendered.phone_photo(), tmp_path)

    assert image.size == (512, 683)
    assert is_near(image, (0.95, 0.03), (255, 255, 255))
    assert not image.getexif()
    written = (tmp_path / "target.jpg").read_bytes()
    assert b"Secret" not in written
    assert b"Exif" not in written


async def test_an_upright_heic_is_not_turned_twice(codec: Codec, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[rendered.ORIENTATION] = 6
    lying = rendered.encoded(rendered.picture(), "HEIF", exif=exif.tobytes())

    image = await normalise(codec, lying, tmp_path)

    assert image.size == (512, 683)
    assert is_near(image, (0.95, 0.03), (255, 255, 255))


async def test_the_first_frame_of_an_animation_counts(codec: Codec, tmp_path: Path) -> None:
    image = await normalise(codec, rendered.animation(), tmp_path)

    assert is_near(image, (0.5, 0.5), (220, 0, 0))


async def test_transparency_lies_on_white(codec: Codec, tmp_path: Path) -> None:
    clear = Image.new("RGBA", (600, 600), (0, 0, 0, 0))

    for kind in ("PNG", "WEBP"):
        image = await normalise(codec, rendered.encoded(clear, kind), tmp_path)
        assert is_near(image, (0.5, 0.5), (255, 255, 255))


async def test_sixteen_bit_grey_keeps_its_tones(codec: Codec, tmp_path: Path) -> None:
    grey = Image.new("I;16", (600, 600), 0x8000)

    image = await normalise(codec, rendered.encoded(grey, "PNG"), tmp_path)

    assert is_near(image, (0.5, 0.5), (128, 128, 128))


async def test_a_large_image_is_shrunk_and_keeps_its_ratio(codec: Codec, tmp_path: Path) -> None:
    image = await normalise(codec, rendered.jpeg(3000, 1500), tmp_path, max_side=2000)

    assert image.size == (2000, 1000)


async def test_an_image_that_needs_nothing_keeps_its_size(codec: Codec, tmp_path: Path) -> None:
    image = await normalise(codec, rendered.jpeg(801, 599), tmp_path)

    assert image.size == (801, 599)


async def test_a_file_fits_the_bytes_allowed(codec: Codec, tmp_path: Path) -> None:
    noise = rendered.encoded(Image.effect_noise((800, 800), 100), "PNG")

    await normalise(codec, noise, tmp_path, max_bytes=300_000)
    assert (tmp_path / "target.jpg").stat().st_size <= 300_000

    with pytest.raises(FrameRejected, match="too detailed"):
        await normalise(codec, noise, tmp_path, max_bytes=20_000)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "not an image", id="empty"),
        pytest.param(b"just some text, named .png", "not an image", id="text"),
        pytest.param(b"<html><body>404</body></html>", "JPEG, PNG, WebP", id="web page"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image", id="svg"),
        pytest.param(rendered.clip(frames=2), "not an image", id="clip"),
        pytest.param(os.urandom(5000), "not an image", id="noise"),
        pytest.param(rendered.png_bomb(8000, 5000), "40 megapixels or more", id="bomb"),
        pytest.param(
            rendered.png_bomb(30000, 30000, rows=1), "40 megapixels or more", id="big bomb"
        ),
        pytest.param(rendered.png(1, 1), "is 1×1 pixels; each side needs at least 64", id="1×1"),
        pytest.param(rendered.png(4000, 20), "4000×20 pixels", id="stripe"),
        pytest.param(rendered.png(9000, 100), "at most 64 times the other", id="ribbon"),
        pytest.param(rendered.jpeg()[:3000], "damaged or incomplete", id="cut jpeg"),
        pytest.param(rendered.png()[:900], "damaged or incomplete", id="cut png"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + os.urandom(400), "damaged", id="false png"),
        pytest.param(b"\xff\xd8\xff" + os.urandom(400), "damaged", id="false jpeg"),
        pytest.param(rendered.drawn("HEIF")[:700], "damaged", id="cut heic"),
        pytest.param(rendered.drawn("AVIF")[:350], "damaged", id="cut avif"),
        pytest.param(rendered.drawn("WEBP")[:99], "damaged", id="cut webp"),
    ],
)
async def test_what_cannot_be_used_is_refused_in_a_plain_sentence(
    codec: Codec, tmp_path: Path, content: bytes, sentence: str
) -> None:
    with pytest.raises(FrameRejected, match=sentence) as refused:
        await normalise(codec, content, tmp_path)

    assert "Please" in refused.value.sentence
    assert str(tmp_path) not in refused.value.sentence


# ---- bounds and survival ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        (Bounds(memory_bytes=200_000_000, cpu_seconds=15, seconds=15.0), "too much memory"),
        (Bounds(memory_bytes=1_200_000_000, cpu_seconds=15, seconds=0.1), "too long"),
        (Bounds(memory_bytes=1_200_000_000, cpu_seconds=0, seconds=15.0), "too long"),
    ],
    ids=["memory", "time", "cpu"],
)
async def test_a_child_beyond_its_bounds_is_ended_and_the_next_is_fine(
    tmp_path: Path, bounds: Bounds, sentence: str
) -> None:
    codec = Codec(images=bounds)
    try:
        with pytest.raises(FrameRejected, match=sentence):
            await normalise(codec, rendered.png_bomb(6300, 6300), tmp_path)

        clip = tmp_path / "clip.mp4"
        write(clip, rendered.clip())
        assert (await codec.probe_clip(clip)).frames == 25
    finally:
        await codec.aclose()


async def test_a_clip_that_takes_too_long_here_may_be_whole(tmp_path: Path) -> None:
    codec = Codec(probes=Bounds(memory_bytes=2_000_000_000, cpu_seconds=5, seconds=0.001))
    clip = tmp_path / "clip.mp4"
    write(clip, rendered.clip())

    with pytest.raises(ClipHeavy, match="too much time or memory"):
        await codec.probe_clip(clip)
    await codec.aclose()


def server_of(codec: Codec) -> int:
    assert codec._server is not None
    number = codec._server._transport.get_pid()
    assert number is not None
    return number


def children_of(number: int) -> list[str]:
    return Path(f"/proc/{number}/task/{number}/children").read_text().split()


async def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    codec = Codec(images=ROOMY)
    await codec.start()
    first = server_of(codec)
    async with asyncio.TaskGroup() as group:
        lost = group.create_task(refused(codec, rendered.png_bomb(6300, 6300), tmp_path))
        await until(lambda: children_of(first))
        os.kill(first, signal.SIGKILL)

    assert "try again in a minute" in lost.result()
    assert (await normalise(codec, rendered.png(), tmp_path)).size == (683, 512)
    assert server_of(codec) != first
    await codec.aclose()


async def refused(codec: Codec, content: bytes, folder: Path) -> str:
    with pytest.raises(FrameRejected) as error:
        await normalise(codec, content, folder)
    return error.value.sentence


async def test_a_cancelled_call_ends_its_child(codec: Codec, tmp_path: Path) -> None:
    await codec.start()
    server = server_of(codec)
    bomb = rendered.png_bomb(6300, 6300)
    task = asyncio.ensure_future(normalise(codec, bomb, tmp_path))
    await until(lambda: children_of(server))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: not children_of(server))
    assert not (tmp_path / "target.jpg").exists()
    assert (await normalise(codec, rendered.png(), tmp_path)).size == (683, 512)


async def test_many_files_at_once_each_get_their_own_answer(codec: Codec, tmp_path: Path) -> None:
    async def size_of(side: int) -> int:
        folder = tmp_path / str(side)
        folder.mkdir()
        return (await normalise(codec, rendered.png(side, 600), folder)).width

    sides = range(600, 612)
    assert await asyncio.gather(*map(size_of, sides)) == list(sides)


async def test_children_see_no_secrets_and_no_terminal(codec: Codec) -> None:
    await codec.start()
    server = server_of(codec)

    assert read(Path(f"/proc/{server}/environ")) == b""
    assert os.getsid(server) == server


async def test_closing_ends_the_server_also_twice(tmp_path: Path) -> None:
    codec = Codec()
    await normalise(codec, rendered.png(), tmp_path)
    server = server_of(codec)

    await codec.aclose()
    await codec.aclose()

    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


async def test_a_program_without_a_main_guard_is_not_run_again(tmp_path: Path) -> None:
    """The fork server never imports the program that uses it, as `multiprocessing` would."""
    (tmp_path / "in.png").write_bytes(rendered.png())
    program = tmp_path / "raybot"
    program.write_text(
        "import asyncio, pathlib\n"
        "print('started')\n"
        "from bot.codec import Codec\n"
        "async def main():\n"
        "    codec, here = Codec(), pathlib.Path(__file__).parent\n"
        "    print((await codec.normalise_image(here / 'in.png', here / 'out.jpg')).width)\n"
        "    await codec.aclose()\n"
        "asyncio.run(main())\n"
    )
    ended = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    assert await ended.communicate() == (b"started\n683\n", b"")


async def test_a_bot_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    program = (
        "import asyncio\n"
        "from bot.codec import Codec\n"
        "async def main():\n"
        "    codec = Codec()\n"
        "    await codec.start()\n"
        "    print(codec._server._transport.get_pid(), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    bot = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE
    )
    assert bot.stdout is not None
    server = int(await bot.stdout.readline())

    bot.kill()
    await bot.wait()

    await until(lambda: not is_running(server))


def is_running(number: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False


# ---- clips -----------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(rendered.clip())
    return path


@pytest.fixture(scope="module")
def dense() -> bytes:
    """A clip of noise: large for its length."""
    return rendered.clip(400, 224, frames=6, noise=range(6), bit_rate=8_000_000, has_sound=True)


async def test_a_sound_clip_tells_its_measures(codec: Codec, clip: Path) -> None:
    expected = ClipInfo(width=320, height=180, frames=25, seconds=1.042)

    assert await codec.probe_clip(clip) == expected

    write(clip, rendered.clip(has_sound=True))
    assert await codec.probe_clip(clip) == expected


async def test_clips_in_a_row_share_a_child_and_an_image_has_its_own(tmp_path: Path) -> None:
    codec, path, broken = Codec(), tmp_path / "clip.mp4", tmp_path / "broken.mp4"
    write(path, rendered.clip())
    write(broken, b"no clip at all")
    await codec.start()
    server = server_of(codec)
    served: list[str] = []
    for _ in range(20):
        await codec.probe_clip(path)
        # One that had its last file may still be ending.
        await until(lambda: len(children_of(server)) == 1)
        served += children_of(server)
        with pytest.raises(ClipBroken):
            await codec.probe_clip(broken)

    # One that nothing comes to for a second ends sooner, as on a machine that stands still.
    assert max(map(served.count, served)) == 10, "of both kinds"

    await codec.probe_clip(path)
    await until(lambda: len(children_of(server)) == 1)
    (kept,) = children_of(server)
    image = asyncio.ensure_future(normalise(codec, rendered.png_bomb(6300, 6300), tmp_path))
    await until(lambda: set(children_of(server)) - {kept})
    image.cancel()
    await until(lambda: not children_of(server))

    await codec.probe_clip(path)
    os.kill(int(children_of(server)[0]), signal.SIGKILL)
    assert (await codec.probe_clip(path)).frames == 25
    await codec.aclose()


async def test_a_child_that_waits_for_clips_ends_with_its_server(tmp_path: Path) -> None:
    codec, path = Codec(), tmp_path / "clip.mp4"
    write(path, rendered.clip())
    await asyncio.gather(codec.probe_clip(path), codec.probe_clip(path))
    server = server_of(codec)
    waiting = children_of(server)
    assert waiting

    os.kill(server, signal.SIGKILL)

    await until(lambda: not any(is_running(int(each)) for each in waiting))
    await codec.aclose()


@pytest.mark.parametrize("part", [0.2, 0.5, 0.95, 0.999])
async def test_a_truncated_clip_is_broken(codec: Codec, clip: Path, part: float) -> None:
    whole = read(clip)
    assert whole.index(b"moov") < whole.index(b"mdat")  # It still opens without its end.
    write(clip, whole[: int(len(whole) * part)])

    with pytest.raises(ClipBroken):
        await codec.probe_clip(clip)


@pytest.mark.parametrize(
    "content",
    [b"", b"<!doctype html><title>Expired</title>", os.urandom(20_000), b"#EXTM3U\nfile:///etc"],
    ids=["empty", "web page", "noise", "playlist"],
)
async def test_what_is_no_clip_is_broken(codec: Codec, clip: Path, content: bytes) -> None:
    write(clip, bytes(content))

    with pytest.raises(ClipBroken, match="cannot be read as MP4"):
        await codec.probe_clip(clip)


@pytest.mark.parametrize("where", ["front", "end"])
async def test_damaged_pictures_are_noticed_at_both_ends(
    codec: Codec, clip: Path, where: str
) -> None:
    content = bytearray(read(clip))
    first = content.index(b"mdat") + 8
    span = slice(first, first + 1500) if where == "front" else slice(len(content) - 3000, None)
    content[span] = os.urandom(len(content[span]))
    write(clip, bytes(content))

    with pytest.raises(ClipBroken):
        await codec.probe_clip(clip)


async def test_what_a_clip_says_of_itself_may_be_in_any_writing(codec: Codec, clip: Path) -> None:
    write(clip, read(clip).replace(b"Lavf", b"\xe9\xffvf"))

    assert (await codec.probe_clip(clip)).frames == 25


async def test_a_sound_that_nobody_can_read_is_left_out(codec: Codec, clip: Path) -> None:
    content = rendered.clip(400, 224, frames=6, noise=range(6), has_sound=True)
    write(clip, content.replace(b"mp4a", b"xxxx").replace(b"esds", b"xxxx"))
    small = clip.with_name("small.mp4")

    assert (await codec.reencode(clip, small, max_bytes=len(content) // 2)).frames == 6
    with av.open(str(small)) as made:
        assert len(made.streams.audio) == 0


async def test_a_clip_that_lies_about_its_length_is_broken(codec: Codec, clip: Path) -> None:
    content = bytearray(read(clip).replace(b"edts", b"free"))
    # Its ticks in a second stand behind two times.
    at = content.index(b"mdhd") + 16
    content[at : at + 4] = (1).to_bytes(4)
    write(clip, bytes(content))

    with pytest.raises(ClipBroken, match="25 frames are said to last"):
        await codec.probe_clip(clip)


async def test_another_codec_is_named(codec: Codec, clip: Path) -> None:
    write(clip, rendered.clip(codec="mpeg4"))

    with pytest.raises(ClipBroken, match=r"mpeg4, not H\.264"):
        await codec.probe_clip(clip)


async def test_a_file_with_sound_only_is_no_clip(codec: Codec, clip: Path) -> None:
    with av.open(str(clip), "w") as output:
        audio = output.add_stream("aac", rate=44_100)
        for sound in (*rendered.silence(24), None):
            output.mux(audio.encode(sound))

    with pytest.raises(ClipBroken, match="no video"):
        await codec.probe_clip(clip)


async def test_poster_and_frames_show_the_right_moment(
    codec: Codec, clip: Path, tmp_path: Path
) -> None:
    await codec.poster(clip, tmp_path / "poster.jpg")
    await codec.frame_png(clip, tmp_path / "first.png", at="first")
    await codec.frame_png(clip, tmp_path / "last.png", at="last")

    poster, first, last = (
        Image.open(io.BytesIO((tmp_path / name).read_bytes()))
        for name in ("poster.jpg", "first.png", "last.png")
    )
    assert [image.format for image in (poster, first, last)] == ["JPEG", "PNG", "PNG"]
    assert is_near(poster, (0.1, 0.5), (240, 180, 40))
    assert is_near(first, (0.1, 0.5), (240, 180, 40))
    assert is_near(last, (0.1, 0.5), (20, 20, 60))
    assert is_near(last, (0.8, 0.5), (240, 180, 40))


@pytest.mark.parametrize(("part", "side"), [(0.5, 400), (0.1, 400), (0.015, 300)])
async def test_a_clip_is_made_to_fit(
    codec: Codec, clip: Path, dense: bytes, part: float, side: int
) -> None:
    write(clip, dense)
    small = clip.with_name("small.mp4")
    limit = int(len(dense) * part)

    info = await codec.reencode(clip, small, max_bytes=limit)

    content = read(small)
    assert len(content) <= limit
    assert content.index(b"moov") < content.index(b"mdat")
    assert (info.width, info.frames, info.seconds) == (side, 6, 0.25)
    with av.open(str(small)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert len(container.streams.audio) == 1


async def test_a_limit_that_nothing_fits_is_said(codec: Codec, clip: Path, dense: bytes) -> None:
    write(clip, dense)

    with pytest.raises(ClipTooLarge) as refused:
        await codec.reencode(clip, clip.with_name("small.mp4"), max_bytes=1_000)

    assert refused.value.max_bytes == 1_000


async def test_a_broken_clip_cannot_be_made_to_fit(codec: Codec, clip: Path) -> None:
    write(clip, b"nothing")

    with pytest.raises(ClipBroken):
        await codec.reencode(clip, clip.with_name("small.mp4"), max_bytes=100_000)


# ---- films -----------------------------------------------------------------------------------


def write_clips(folder: Path, *sizes: tuple[int, int, int]) -> list[Path]:
    """Clips of these widths, heights and lengths."""
    paths = [folder / f"{number}.mp4" for number in range(len(sizes))]
    for path, (width, height, frames) in zip(paths, sizes, strict=True):
        path.write_bytes(rendered.clip(width, height, frames=frames))
    return paths


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


async def test_clips_of_one_kind_are_joined_as_they_are(codec: Codec, tmp_path: Path) -> None:
    parts = write_clips(tmp_path, (320, 180, 25), (320, 180, 13), (320, 180, 25))
    film = tmp_path / "film.mp4"
    info = await codec.join(parts, film)
    assert (info.width, info.height, info.frames) == (320, 180, 63)
    assert info.seconds == pytest.approx(63 / 24, abs=0.01)
    assert packets_of(film) == [packet for part in parts for packet in packets_of(part)]
    assert (await codec.probe_clip(film)) == info
    head = read(film)
    assert head.index(b"moov") < head.index(b"mdat")
    with av.open(str(film)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 24 for number in range(63)], abs=0.001)


async def test_clips_of_different_sizes_become_one_size(codec: Codec, tmp_path: Path) -> None:
    parts = write_clips(tmp_path, (320, 180, 25), (160, 90, 13))
    film = tmp_path / "film.mp4"
    info = await codec.join(parts, film)
    assert (info.width, info.height, info.frames) == (320, 180, 38)
    assert info.seconds == pytest.approx(38 / 24, abs=0.05)
    with av.open(str(film)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p"


async def test_a_film_of_a_broken_clip_is_broken(codec: Codec, tmp_path: Path) -> None:
    parts = write_clips(tmp_path, (320, 180, 13), (320, 180, 13))
    write(parts[1], b"no clip")
    with pytest.raises(ClipBroken):
        await codec.join(parts, tmp_path / "film.mp4")


# ---- a disk that takes nothing ---------------------------------------------------------------


@pytest.fixture
def full(tmp_path: Path) -> Callable[[str], Path]:
    """Files that can be opened and not be written: Linux keeps a device that is always full."""

    def make(suffix: str) -> Path:
        path = tmp_path / f"full{suffix}"
        path.symlink_to("/dev/full")
        return path

    return make


async def test_a_full_disk_does_not_make_an_image_bad(
    codec: Codec, tmp_path: Path, full: Callable[[str], Path]
) -> None:
    source = tmp_path / "source.png"
    write(source, rendered.png())
    with pytest.raises(ClipUnavailable, match="disk"):
        await codec.normalise_image(source, full(".jpg"))


async def test_a_full_disk_does_not_make_a_clip_broken(
    codec: Codec, tmp_path: Path, full: Callable[[str], Path]
) -> None:
    source = tmp_path / "clip.mp4"
    write(source, rendered.clip(noise=range(25), bit_rate=4_000_000))
    size = source.stat().st_size
    for work in (
        codec.poster(source, full(".jpg")),
        codec.frame_png(source, full(".png"), at="last"),
        codec.reencode(source, full(".small.mp4"), max_bytes=size * 9 // 10),
        codec.join([source, source], full(".mp4")),
    ):
        with pytest.raises(ClipUnavailable, match="disk"):
            await work
