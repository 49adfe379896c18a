"""Images from streams and links become frames; what cannot is refused before any money."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image

from bot.clips import Clips
from bot.codec import Codec
from bot.errors import ClipUnavailable, FrameRejected
from bot.frames import Frames, frame_key, relay_path
from bot.job import StoredFrame
from bot.media import LinkSigner, Media, open_media
from bot.refs import JobId, MediaKey
from tests import rendered
from tests.bucket import NAME, Bucket
from tests.public_host import ADDRESS, PublicHost, redirect

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB = JobId("r-1a2b3c4d5e")
KEY = MediaKey("frames/r-1a2b3c4d5e/start.jpg")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNER = LinkSigner(b"a secret")
CLOSED = "https://10.1.2.3:9000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codec() -> AsyncIterator[Codec]:
    codec = Codec()
    yield codec
    await codec.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[PublicHost]:
    async with PublicHost() as host:
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def media(tmp_path: Path) -> AsyncIterator[Media]:
    media = open_media("", tmp_path)
    yield media
    media.close()


@pytest_asyncio.fixture(loop_scope="module")
async def frames(media: Media, codec: Codec, host: PublicHost) -> Frames:
    return frames_of(media, codec, host)


def frames_of(
    media: Media, codec: Codec, host: PublicHost, *, public_url: str = "", seconds: float = 10.0
) -> Frames:
    return Frames(
        media,
        codec,
        signer=SIGNER,
        public_url=public_url,
        resolve=host.resolve,
        connect=host.connect,
        link_seconds=seconds,
    )


async def stream(content: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def image_of(media: Media, frame: StoredFrame) -> Image.Image:
    path = await media.fetch(frame.key)
    return Image.open(io.BytesIO(await asyncio.to_thread(path.read_bytes)))


def left_over(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "tmp").rglob("*") if path.is_file() and path.suffix]


# ---- keeping ---------------------------------------------------------------------------------


async def test_an_attached_image_is_kept_upright(frames: Frames, media: Media) -> None:
    frame = await frames.keep(JOB, "start", stream(rendered.phone_photo()))

    assert frame == StoredFrame(key=KEY, content_type="image/jpeg", width=512, height=683)
    image = await image_of(media, frame)
    assert (image.format, image.size) == ("JPEG", (512, 683))


async def test_start_and_end_are_kept_apart(frames: Frames, media: Media) -> None:
    start = await frames.keep(JOB, "start", stream(rendered.png(600, 600)))
    end = await frames.keep(JOB, "end", stream(rendered.png(800, 600)))

    assert (await image_of(media, start)).size == (600, 600)
    assert (await image_of(media, end)).size == (800, 600)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"only text, whatever its name", "not an image"),
        (rendered.png_bomb(8000, 5000), "40 megapixels"),
        (rendered.png(1, 1), "1×1"),
        (rendered.jpeg()[:2000], "damaged"),
        (b"", "not an image"),
        (b"\xff\xd8\xff" + bytes(20_000_000), "larger than 20 MB"),
    ],
    ids=["text", "bomb", "1×1", "cut", "empty", "large"],
)
async def test_what_cannot_be_used_is_refused_and_leaves_nothing(
    frames: Frames, media: Media, tmp_path: Path, content: bytes, sentence: str
) -> None:
    with pytest.raises(FrameRejected, match=sentence):
        await frames.keep(JOB, "start", stream(content, 1_000_000))

    assert await media.list("frames") == []
    assert left_over(tmp_path) == []


async def test_a_store_that_is_down_refuses_before_any_money(
    codec: Codec, host: PublicHost, tmp_path: Path
) -> None:
    async with Bucket() as bucket:
        media = open_media(f"s3://{NAME}", tmp_path, options=bucket.options)
        bucket.is_down = True
        with pytest.raises(FrameRejected, match=r"cannot be kept: .* try again later"):
            await frames_of(media, codec, host).keep(JOB, "start", stream(rendered.png()))
        media.close()


# ---- links -----------------------------------------------------------------------------------


async def test_a_typed_link_is_fetched_and_remembered(
    frames: Frames, media: Media, host: PublicHost
) -> None:
    host.pages["/fox.heic"] = rendered.drawn("HEIF")
    link = "https://images.example/fox.heic"

    frame = await frames.keep_link(JOB, "start", link)

    assert frame.link == link
    assert (await image_of(media, frame)).size == (683, 512)
    assert host.dialled == [(ADDRESS, "images.example")]


@pytest.mark.parametrize(
    "link",
    [
        "http://169.254.169.254/latest/meta-data/iam/",
        "http://localhost/fox.png",
        "http://images.example/inside",
        "http://images.example/metadata",
        "https://inside.example/fox.png",
        "http://images.example:8080/fox.png",
        "http://someone:secret@images.example/fox.png",
        "file:///etc/passwd",
    ],
)
async def test_a_link_to_a_private_place_is_refused(
    frames: Frames, media: Media, host: PublicHost, link: str
) -> None:
    host.names |= {"inside.example": ["10.1.2.3"], "localhost": ["127.0.0.1"]}
    host.pages["/inside"] = redirect("http://inside.example/fox.png")
    host.pages["/metadata"] = redirect("http://169.254.169.254/")
    host.pages["/fox.png"] = rendered.png()

    with pytest.raises(FrameRejected, match="Please attach the image instead"):
        await frames.keep_link(JOB, "start", link)

    assert "/fox.png" not in [request.path for request in host.heard]
    assert await media.list("frames") == []


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (web.Response(status=404), "answers with status 404"),
        (web.Response(status=403, body=rendered.png()), "status 403.* signing in, or attach"),
        (web.Response(status=429), "status 429.* try again later, or attach"),
        (web.Response(status=503), "status 503.* try again later, or attach"),
        (b"<!doctype html><title>Sign in</title>", "not an image"),
        (b"\xff\xd8\xff" + bytes(20_000_000), "larger than 20 MB"),
    ],
    ids=["missing", "forbidden", "too many", "down", "web page", "large"],
)
async def test_a_link_without_a_usable_image_says_why(
    frames: Frames, host: PublicHost, page: bytes | web.Response, sentence: str
) -> None:
    host.pages["/fox.png"] = page

    with pytest.raises(FrameRejected, match=sentence):
        await frames.keep_link(JOB, "start", "http://images.example/fox.png")


async def test_an_unreachable_link_says_so(frames: Frames, host: PublicHost) -> None:
    host.names["down.example"] = [ADDRESS]
    host.down = {ADDRESS}

    for link in ("https://down.example/fox.png", "https://nowhere.example/fox.png"):
        with pytest.raises(FrameRejected, match="cannot be reached"):
            await frames.keep_link(JOB, "start", link)


async def test_a_link_that_drips_is_given_up(media: Media, codec: Codec, host: PublicHost) -> None:
    """Each byte is in time, the whole is not."""

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b"\xff\xd8\xff")
            await asyncio.sleep(0.01)
        return response

    host.pages["/drip"] = dripping
    frames = frames_of(media, codec, host, seconds=0.1)

    with pytest.raises(FrameRejected, match=r"longer than 0\.1 seconds"):
        await frames.keep_link(JOB, "start", "http://images.example/drip")


# ---- handing over ----------------------------------------------------------------------------


def kept(link: str | None = None) -> StoredFrame:
    return StoredFrame(key=KEY, content_type="image/jpeg", width=600, height=600, link=link)


async def link_from(frames: Frames, frame: StoredFrame, chat_link: str | None = None) -> str:
    handle = await frames.hand_over(
        frame,
        job_id=JOB,
        attempt=2,
        slot="start",
        image_input="link",
        now=NOW,
        chat_link=chat_link,
    )
    assert handle.path is None
    assert handle.url is not None
    return handle.url


async def test_a_provider_that_takes_bytes_gets_the_file(frames: Frames, media: Media) -> None:
    frame = await frames.keep(JOB, "start", stream(rendered.png()))

    handle = await frames.hand_over(
        frame, job_id=JOB, attempt=1, slot="start", image_input="bytes", now=NOW
    )

    assert (handle.url, handle.path) == (None, str(await media.fetch(KEY)))
    assert handle.content_type == "image/jpeg"
    assert await frames.local(frame) == await media.fetch(KEY)


async def test_a_frame_that_was_swept_asks_for_the_request_again(frames: Frames) -> None:
    with pytest.raises(FrameRejected, match="no longer kept"):
        await frames.hand_over(
            kept(), job_id=JOB, attempt=1, slot="start", image_input="bytes", now=NOW
        )


async def test_our_own_relay_is_signed_for_a_day(
    media: Media, codec: Codec, host: PublicHost
) -> None:
    frames = frames_of(media, codec, host, public_url="https://ray.example/")

    url = httpx.URL(await link_from(frames, kept(), chat_link="https://chat.example/fox.jpg"))

    assert (url.host, url.path) == ("ray.example", f"/frames/{JOB}/2/start")
    assert url.path == relay_path(JOB, 2, "start")
    exp, sig = url.params["exp"], url.params["sig"]
    assert SIGNER.verify(url.path, exp, sig, NOW + timedelta(hours=23))
    assert not SIGNER.verify(url.path, exp, sig, NOW + timedelta(hours=24))


def bucket_at(endpoint: str, folder: Path) -> Media:
    """A bucket that is asked for links alone, which takes no network."""
    return open_media(f"s3://{NAME}", folder, options=Bucket.keys | {"endpoint": endpoint})


async def test_a_link_of_the_bucket_comes_before_those_of_others(
    codec: Codec, host: PublicHost, tmp_path: Path
) -> None:
    media = bucket_at("https://storage.example", tmp_path)
    chat = "https://chat.example/fox.jpg"

    for address in ("", "http://127.0.0.1:8080"):
        frames = frames_of(media, codec, host, public_url=address)
        url = httpx.URL(await link_from(frames, kept(), chat_link=chat))
        assert (url.host, url.path) == ("storage.example", f"/{NAME}/{KEY}")
        assert url.params["X-Amz-Expires"] == "86400"
    media.close()


@pytest.mark.parametrize(
    "endpoint", ["http://minio:9000", "http://storage.example", "https://minio:9000", CLOSED]
)
async def test_a_link_of_a_bucket_that_others_cannot_reach_is_never_handed_over(
    codec: Codec, host: PublicHost, tmp_path: Path, endpoint: str
) -> None:
    media = bucket_at(endpoint, tmp_path)
    bare = frames_of(media, codec, host)
    public = frames_of(media, codec, host, public_url="https://ray.example")
    chat = "https://chat.example/fox.jpg"

    assert httpx.URL(await link_from(public, kept())).host == "ray.example"
    assert await link_from(bare, kept(), chat_link=chat) == chat
    with pytest.raises(FrameRejected, match=r"bot\.public_url or bot\.media_url"):
        await link_from(bare, kept())
    assert not await bare.can_hand_over("link", has_link=False)
    media.close()


async def test_without_both_the_chats_link_or_the_typed_one_serves(frames: Frames) -> None:
    typed = "https://images.example/fox.png"
    chat = "https://chat.example/fox.png"

    assert await link_from(frames, kept(typed), chat_link=chat) == chat
    assert await link_from(frames, kept(typed)) == typed


@pytest.mark.parametrize("link", [None, "http://images.example/fox.png"])
async def test_without_any_link_it_is_said_what_to_set(frames: Frames, link: str | None) -> None:
    with pytest.raises(FrameRejected, match=r"bot\.public_url or bot\.media_url"):
        await link_from(frames, kept(link))


async def test_whether_it_can_be_handed_over_is_known_before(
    media: Media, codec: Codec, host: PublicHost, tmp_path: Path
) -> None:
    bare = frames_of(media, codec, host)
    public = frames_of(media, codec, host, public_url="https://ray.example")

    assert await bare.can_hand_over("bytes", has_link=False)
    assert await bare.can_hand_over("link", has_link=True)
    assert not await bare.can_hand_over("link", has_link=False)
    assert await public.can_hand_over("link", has_link=False)

    shared = bucket_at("https://storage.example", tmp_path / "other")
    assert await frames_of(shared, codec, host).can_hand_over("link", has_link=False)
    shared.close()


# ---- forgetting ------------------------------------------------------------------------------


async def test_old_images_are_swept_but_for_jobs_that_need_them(
    frames: Frames, media: Media
) -> None:
    waiting, done = JobId("r-waiting"), JobId("r-done")
    for job in (waiting, done):
        await frames.keep(job, "start", stream(rendered.png()))
    [written, _] = [each.modified for each in await media.list("frames")]

    assert await frames.sweep(written + timedelta(hours=23), hours=24, days=30) == 0
    later = written + timedelta(hours=25)
    assert await frames.sweep(later, hours=24, days=30, spare={waiting}) == 1
    assert [each.key for each in await media.list("frames")] == [frame_key(waiting, "start")]
    assert await frames.sweep(later, hours=24, days=30) == 1


async def test_an_image_that_nobody_else_has_stays_as_long_as_clips(
    frames: Frames, media: Media
) -> None:
    waiting, done = JobId("r-waiting"), JobId("r-done")
    kept = await frames.keep(done, "start", stream(rendered.png()), is_fleeting=True)
    await frames.keep(waiting, "start", stream(rendered.png()), is_fleeting=True)
    assert kept.key == frame_key(done, "start", is_fleeting=True)
    [written, _] = [each.modified for each in await media.list("uploads")]

    assert await frames.sweep(written + timedelta(days=29), hours=24, days=30) == 0
    later = written + timedelta(days=31)
    assert await frames.sweep(later, hours=24, days=30, spare={waiting}) == 1
    with pytest.raises(FrameRejected, match="no longer kept"):
        await frames.local(kept)


async def test_another_try_has_a_copy_that_is_not_drawn_anew(frames: Frames, media: Media) -> None:
    first, again = JobId("r-first"), JobId("r-again")
    kept = await frames.keep(first, "end", stream(rendered.png()), is_fleeting=True)
    content = (await frames.local(kept)).read_bytes()
    copy = await frames.keep_copy(again, "end", kept, is_fleeting=True)
    await frames.forget(first)
    assert copy is not None
    assert copy == kept.model_copy(update={"key": frame_key(again, "end", is_fleeting=True)})
    assert (await frames.local(copy)).read_bytes() == content
    assert await frames.keep_copy(again, "start", kept) is None


async def test_one_jobs_images_are_forgotten_and_no_others(frames: Frames, media: Media) -> None:
    mine, other = JobId("r-mine"), JobId("r-mine2")
    for job in (mine, other):
        await frames.keep(job, "start", stream(rendered.png()))
        await frames.keep(job, "end", stream(rendered.png()), is_fleeting=True)
    await frames.forget(mine)
    await frames.forget(mine)
    left = {each.key for folder in ("frames", "uploads") for each in await media.list(folder)}
    assert left == {frame_key(other, "start"), frame_key(other, "end", is_fleeting=True)}


async def test_names_that_nobody_answers_hold_up_no_clip(
    media: Media, codec: Codec, host: PublicHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are a stranger's; where a clip is, a service says."""
    asked, is_over = list[str](), threading.Event()

    def look_up(name: str, port: int, **_: object) -> list[object]:
        asked.append(name)
        if name == "mute.example":
            is_over.wait()
        return [(None, None, None, "", (ADDRESS, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    frames = Frames(media, codec, signer=SIGNER, connect=host.connect)
    clips = Clips(media, codec, connect=host.connect)
    link = "https://mute.example/fox.png"
    links = [asyncio.ensure_future(frames.keep_link(JOB, "start", link)) for _ in range(64)]
    try:
        async with asyncio.timeout(10):
            while len(asked) < 4:
                await asyncio.sleep(0.01)
            with pytest.raises(ClipUnavailable, match="answers with status 404"):
                await clips.fetch("https://cdn.example/gone.mp4", JOB)
    finally:
        is_over.set()
        await asyncio.gather(*links, return_exceptions=True)
