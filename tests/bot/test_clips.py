"""Clips over real HTTP: fetched whole, verified, kept, made to fit and forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio
import stamina
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.clips import Clips, filename
from bot.codec import Codec
from bot.errors import ClipBroken, ClipTooLarge, ClipUnavailable
from bot.job import Clip
from bot.media import Media, open_media
from bot.refs import JobId, MediaKey
from tests import rendered
from tests.bucket import NAME, Bucket
from tests.public_host import ADDRESS, Handler, PublicHost, cut_short, redirect

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB, MP4 = JobId("r-1a2b3c4d5e"), Path("clip.mp4")
URL = "https://cdn.example/result.mp4"
CONTENT = rendered.clip()


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    with stamina.set_testing(testing=True, attempts=3):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codec() -> AsyncIterator[Codec]:
    codec = Codec()
    yield codec
    await codec.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[PublicHost]:
    async with PublicHost() as host:
        host.names = {"cdn.example": [ADDRESS]}
        host.pages["/result.mp4"] = CONTENT
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def media(tmp_path: Path) -> AsyncIterator[Media]:
    media = open_media("", tmp_path)
    yield media
    media.close()


@pytest_asyncio.fixture(loop_scope="module")
async def clips(media: Media, codec: Codec, host: PublicHost) -> Clips:
    return Clips(media, codec, resolve=host.resolve, connect=host.connect)


def read(path: Path) -> bytes:
    return path.read_bytes()


def written(path: Path) -> int:
    return path.stat().st_mtime_ns


def left_over(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "tmp").rglob("*") if path.is_file() and path.suffix]


# ---- fetching --------------------------------------------------------------------------------


async def test_a_clip_is_fetched_verified_and_kept(
    clips: Clips, host: PublicHost, tmp_path: Path
) -> None:
    clip = await clips.fetch(URL, JOB)

    assert clip == Clip(
        key=MediaKey(f"clips/{JOB}.mp4"),
        width=320,
        height=180,
        frames=25,
        seconds=1.042,
        bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    assert read(await clips.local(clip)) == CONTENT
    assert left_over(tmp_path) == []
    [request] = host.heard
    assert "Authorization" not in request.headers
    assert host.dialled == [(ADDRESS, "cdn.example")]


async def test_fetching_again_after_a_crash_is_harmless(clips: Clips, media: Media) -> None:
    assert await clips.fetch(URL, JOB) == await clips.fetch(URL, JOB)
    assert len(await media.list("clips")) == 1


# ---- stills ----------------------------------------------------------------------------------


@cache
def noise() -> bytes:
    """A picture that cannot be compressed well."""
    return rendered.encoded(Image.effect_noise((1500, 1000), 200), "PNG")


def dense() -> bytes:
    """The same as a clip."""
    return rendered.clip(frames=5, noise=range(5), bit_rate=8_000_000)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp")]
)
async def test_a_still_is_fetched_verified_and_kept_as_what_it_is(
    clips: Clips, host: PublicHost, media: Media, kind: str, suffix: str
) -> None:
    content = rendered.drawn(kind)
    host.pages["/result.mp4"] = content  # Neither the link nor the type of a file proves much.

    still = await clips.fetch(URL, JOB, is_still=True)

    assert still == Clip(
        key=MediaKey(f"clips/{JOB}{suffix}"),
        width=640,
        height=480,
        frames=1,
        seconds=0,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    assert read(await clips.local(still)) == content
    assert await clips.fit(still, len(content)) == (await clips.local(still), False)
    await clips.delete(still)
    assert await media.list("clips") == []


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (b"<!doctype html><title>Expired</title>", "no JPEG, PNG or WebP"),
        (CONTENT, "no JPEG, PNG or WebP"),
        (rendered.animation(), "no JPEG, PNG or WebP"),
        (b"", "no JPEG, PNG or WebP"),
        (rendered.jpeg()[:5000], "damaged, incomplete"),
        (rendered.png()[:1000], "damaged, incomplete"),
        (rendered.png_bomb(9000, 9000), "far too large"),
    ],
    ids=["hidden page", "clip", "gif", "empty", "cut jpeg", "cut png", "bomb"],
)
async def test_a_file_that_is_no_whole_picture_is_broken_and_not_kept(
    clips: Clips, host: PublicHost, media: Media, page: bytes | web.Response, sentence: str
) -> None:
    host.pages["/result.mp4"] = page

    with pytest.raises(ClipBroken, match=sentence):
        await clips.fetch(URL, JOB, is_still=True)

    assert await media.list("clips") == []


async def test_a_still_is_made_to_fit_once(clips: Clips, host: PublicHost, media: Media) -> None:
    host.pages["/result.mp4"] = noise()
    still = await clips.fetch(URL, JOB, is_still=True)

    path, is_smaller = await clips.fit(still, 150_000)

    assert (is_smaller, path.suffix) == (True, ".jpg")
    assert path.stat().st_size <= 150_000
    with Image.open(path) as small:
        assert small.width / small.height == pytest.approx(1.5, abs=0.01)
    at = written(path)
    assert await clips.fit(still, 150_000) == (path, True)
    assert written(path) == at
    with pytest.raises(ClipTooLarge):
        await clips.fit(still, 1_000)
    assert (await clips.poster(still)).stat().st_size < len(noise())
    assert read(await clips.local(still)) == noise()
    await clips.delete(still)
    assert await media.list("clips") == []


# ---- of the network --------------------------------------------------------------------------


async def test_a_redirect_of_the_host_is_followed(clips: Clips, host: PublicHost) -> None:
    host.pages["/old.mp4"] = redirect(URL)

    assert (await clips.fetch("https://cdn.example/old.mp4", JOB)).bytes == len(CONTENT)


def flaky(*statuses: int) -> Handler:
    left = list(statuses)

    async def answer(request: web.Request) -> web.StreamResponse:
        if left:
            return web.Response(status=left.pop(0))
        return web.Response(body=CONTENT)

    return answer


async def test_a_busy_host_is_asked_three_times(clips: Clips, host: PublicHost) -> None:
    host.pages["/result.mp4"] = flaky(503, 429)
    assert (await clips.fetch(URL, JOB)).bytes == len(CONTENT)
    assert len(host.heard) == 3

    host.pages["/result.mp4"] = flaky(500, 502, 503)
    with pytest.raises(ClipUnavailable, match="answers with status 503"):
        await clips.fetch(URL, JOB)
    assert len(host.heard) == 6


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204, 206])
async def test_an_expired_link_is_not_asked_again(
    clips: Clips, host: PublicHost, status: int
) -> None:
    """The tracker looks at the generation again, which renews the link."""
    host.pages["/result.mp4"] = web.Response(status=status)

    with pytest.raises(ClipUnavailable, match=f"answers with status {status}"):
        await clips.fetch(URL, JOB)
    assert len(host.heard) == 1


async def test_an_unreachable_host_may_come_back(clips: Clips, host: PublicHost) -> None:
    host.down = {ADDRESS}
    with pytest.raises(ClipUnavailable, match="cannot be reached"):
        await clips.fetch(URL, JOB)
    assert len(host.dialled) == 3

    host.down = set()
    assert (await clips.fetch(URL, JOB)).frames == 25


async def test_a_host_that_hangs_up_without_an_answer_may_come_back(
    clips: Clips, host: PublicHost
) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    host.pages["/result.mp4"] = hang_up
    with pytest.raises(ClipUnavailable, match="cannot be reached"):
        await clips.fetch(URL, JOB)
    assert len(host.heard) == 3


async def test_a_download_that_ends_early_is_no_verdict_on_the_clip(
    clips: Clips, host: PublicHost, media: Media, tmp_path: Path
) -> None:
    host.pages["/result.mp4"] = cut_short(CONTENT[:9000], declared=len(CONTENT))

    with pytest.raises(ClipUnavailable, match="ends too early"):
        await clips.fetch(URL, JOB)

    assert len(host.heard) == 3
    assert await media.list("clips") == []
    assert left_over(tmp_path) == []


async def test_a_second_try_that_is_whole_is_enough(clips: Clips, host: PublicHost) -> None:
    cut = cut_short(CONTENT[:9000], declared=len(CONTENT))

    async def better(request: web.Request) -> web.StreamResponse:
        return await cut(request) if len(host.heard) == 1 else web.Response(body=CONTENT)

    host.pages["/result.mp4"] = better

    clip = await clips.fetch(URL, JOB)
    assert clip.sha256 == hashlib.sha256(CONTENT).hexdigest()


async def test_a_page_that_a_service_shows_meanwhile_is_waited_out(
    clips: Clips, host: PublicHost
) -> None:
    host.pages["/result.mp4"] = web.Response(text="<html>", content_type="text/html")
    with pytest.raises(ClipUnavailable, match="leads to a web page"):
        await clips.fetch(URL, JOB)


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (b"<!doctype html><title>Expired</title>", "cannot be read as MP4"),
        (os.urandom(20_000), "cannot be read as MP4"),
        (b"", "cannot be read as MP4"),
        (CONTENT[:9000], "damaged|holds"),
        (rendered.clip(codec="mpeg4"), "not H.264"),
    ],
    ids=["hidden web page", "noise", "empty", "cut at the source", "mpeg4"],
)
async def test_a_file_that_is_no_whole_clip_is_broken_and_not_kept(
    clips: Clips,
    host: PublicHost,
    media: Media,
    tmp_path: Path,
    page: bytes | web.Response,
    sentence: str,
) -> None:
    host.pages["/result.mp4"] = page

    with pytest.raises(ClipBroken, match=sentence):
        await clips.fetch(URL, JOB)

    assert await media.list("clips") == []
    assert left_over(tmp_path) == []


async def test_a_clip_beyond_all_measure_is_cut_off(
    media: Media, codec: Codec, host: PublicHost
) -> None:
    clips = Clips(media, codec, resolve=host.resolve, connect=host.connect, max_bytes=5_000)

    with pytest.raises(ClipBroken, match="larger than"):
        await clips.fetch(URL, JOB)


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example/result.mp4",
        "https://cdn.example:8443/result.mp4",
        "https://inside.example/result.mp4",
        "https://169.254.169.254/result.mp4",
        "https://cdn.example/away",
        "https://cdn.example/plain",
        "file:///etc/passwd",
    ],
)
async def test_a_provider_cannot_send_us_to_a_private_place(
    clips: Clips, host: PublicHost, url: str
) -> None:
    host.names["inside.example"] = ["192.168.1.1"]
    host.pages["/away"] = redirect("https://inside.example/result.mp4")
    host.pages["/plain"] = redirect("http://cdn.example/result.mp4")

    with pytest.raises(ClipUnavailable, match="cannot be fetched"):
        await clips.fetch(url, JOB)

    assert "/result.mp4" not in [request.path for request in host.heard]


async def test_the_host_that_the_operator_configured_may_be_local(
    media: Media, codec: Codec, host: PublicHost
) -> None:
    local = Clips(media, codec, allow_hosts=frozenset({"127.0.0.1"}))
    url = str(host.server.make_url("/result.mp4"))

    assert (await local.fetch(url, JOB)).bytes == len(CONTENT)
    with pytest.raises(ClipUnavailable, match="cannot be fetched"):
        await Clips(media, codec).fetch(url, JOB)


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """The kernel refuses to make any file of this process larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_fills_up_loses_nothing(
    clips: Clips, host: PublicHost, media: Media, tmp_path: Path
) -> None:
    host.pages["/result.mp4"] = dense()

    with disk_with_room_for(100_000), pytest.raises(ClipUnavailable, match="disk is full"):
        await clips.fetch(URL, JOB)
    assert await media.list("clips") == []
    assert left_over(tmp_path) == []

    assert (await clips.fetch(URL, JOB)).bytes == len(dense())


async def test_many_clips_at_once_are_each_their_own(clips: Clips, host: PublicHost) -> None:
    kinds = {f"/{frames}.mp4": rendered.clip(frames=frames) for frames in range(2, 6)}
    host.pages |= kinds

    kept = await asyncio.gather(
        *(clips.fetch(f"https://cdn.example{path}", JobId(f"r{path[1]}")) for path in kinds)
    )

    assert [clip.frames for clip in kept] == list(range(2, 6))


# ---- what is made of a clip ------------------------------------------------------------------


async def test_a_clip_that_fits_is_posted_as_it_is(clips: Clips) -> None:
    clip = await clips.fetch(URL, JOB)

    assert await clips.fit(clip, clip.bytes) == (await clips.local(clip), False)


async def test_a_clip_that_is_too_large_is_made_to_fit_once(
    clips: Clips, host: PublicHost
) -> None:
    host.pages["/result.mp4"] = dense()
    clip = await clips.fetch(URL, JOB)

    path, is_reencoded = await clips.fit(clip, clip.bytes // 4)
    made = (read(path), written(path))
    again, _ = await clips.fit(clip, clip.bytes // 4)

    assert is_reencoded
    assert len(made[0]) <= clip.bytes // 4
    assert (read(again), written(again)) == made
    assert read(await clips.local(clip)) == dense()

    smaller, _ = await clips.fit(clip, len(made[0]) - 1)
    assert len(read(smaller)) < len(made[0])


async def test_a_clip_that_cannot_fit_is_said(clips: Clips) -> None:
    clip = await clips.fetch(URL, JOB)

    with pytest.raises(ClipTooLarge) as refused:
        await clips.fit(clip, 500)
    assert refused.value.max_bytes == 500


async def test_a_poster_is_made_when_it_is_asked_for(clips: Clips, media: Media) -> None:
    clip = await clips.fetch(URL, JOB)
    assert len(await media.list("clips")) == 1

    poster = await clips.poster(clip)

    assert read(poster).startswith(b"\xff\xd8\xff")
    assert await clips.poster(clip) == poster
    assert len(await media.list("clips")) == 2


async def test_deleting_a_clip_forgets_all_that_was_made_of_it(
    clips: Clips, host: PublicHost, media: Media
) -> None:
    host.pages["/result.mp4"] = dense()
    clip = await clips.fetch(URL, JOB)
    other = await clips.fetch(URL, JobId("r-other"))
    await clips.poster(clip)
    await clips.fit(clip, clip.bytes // 4)

    await clips.delete(clip)
    await clips.delete(clip)

    assert [each.key for each in await media.list("clips")] == [other.key]
    with pytest.raises(ClipBroken, match="no longer kept"):
        await clips.local(clip)


async def test_old_clips_are_swept(clips: Clips, media: Media) -> None:
    clip = await clips.fetch(URL, JOB)
    [kept] = await media.list("clips")

    assert await clips.sweep(kept.modified + timedelta(days=29), days=30) == 0
    assert read(await clips.local(clip)) == CONTENT
    late = kept.modified + timedelta(days=31)
    assert await clips.sweep(late, days=30, spare=[JOB]) == 0
    assert await clips.sweep(late, days=30) == 1
    assert await media.list("clips") == []


async def test_a_bucket_keeps_clips_for_every_machine(
    codec: Codec, host: PublicHost, tmp_path: Path
) -> None:
    async with Bucket() as bucket:
        here = open_media(f"s3://{NAME}", tmp_path / "here", options=bucket.options)
        there = open_media(f"s3://{NAME}", tmp_path / "there", options=bucket.options)
        clips = Clips(here, codec, resolve=host.resolve, connect=host.connect)

        clip = await clips.fetch(URL, JOB)

        assert read(await Clips(there, codec).local(clip)) == CONTENT
        assert bucket.types[clip.key] == "video/mp4"
        for media in (here, there):
            media.close()


# ---- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox. It runs v2.5...", "ray-flash-2_r-1_a-red-fox-it-runs-v2.5.mp4"),
        ("A red fox", "ray-flash-2_r-1_a-red-fox.mp4"),
        ("  Füchse & Élan!  ", "ray-flash-2_r-1_fuchse-elan.mp4"),
        ("../../etc/passwd\x00", "ray-flash-2_r-1_etc-passwd.mp4"),
        ("狐狸 🦊", "ray-flash-2_r-1.mp4"),
        ("", "ray-flash-2_r-1.mp4"),
    ],
)
async def test_a_files_name_tells_what_it_is(prompt: str, name: str) -> None:
    assert filename(JobId("r-1"), MP4, model="ray-flash-2", prompt=prompt) == name


@given(st.text(), st.text(min_size=1))
async def test_a_files_name_is_safe_everywhere(prompt: str, model: str) -> None:
    name = filename(JobId("r-1"), MP4, model=model, prompt=prompt)

    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert name.endswith(".mp4")
    assert not name.startswith((".", "-"))
    assert len(name) < 120
