"""The folder and the bucket behave alike, survive faults, and sign what they hand out."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ClipBroken, ClipUnavailable, ConfigError
from bot.media import LinkSigner, Media, open_media
from bot.refs import MediaKey
from tests.bucket import ACCESS_KEY, NAME, REGION, SECRET_KEY, Bucket

CLIP = MediaKey("clips/r-1.mp4")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    async with Bucket() as bucket:
        yield bucket


@pytest.fixture(params=["folder", "bucket"])
def media(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> Iterator[Media]:
    if request.param == "folder":
        media = open_media("", tmp_path)
    else:
        media = open_media(f"s3://{NAME}", tmp_path, options=bucket.options)
    yield media
    media.close()


@pytest.fixture
def shared(bucket: Bucket, tmp_path: Path) -> Iterator[Media]:
    media = open_media(f"s3://{NAME}/ray", tmp_path, options=bucket.options)
    yield media
    media.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Media]:
    media = open_media("", tmp_path)
    yield media
    media.close()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(path: Path) -> bytes:
    return path.read_bytes()


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    )


# ---- what both can do ------------------------------------------------------------------------


async def test_what_is_put_is_fetched(media: Media, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)

    await media.put(CLIP, write(tmp_path / "source", content))

    assert read(await media.fetch(CLIP)) == content
    assert read(tmp_path / "source") == content


async def test_the_last_put_counts(media: Media, tmp_path: Path) -> None:
    await media.put(CLIP, write(tmp_path / "source", b"first"))
    await media.put(CLIP, write(tmp_path / "source", b"second"))

    assert read(await media.fetch(CLIP)) == b"second"


async def test_what_is_deleted_is_gone(media: Media, tmp_path: Path) -> None:
    await media.put(CLIP, write(tmp_path / "source", b"content"))

    await media.delete(CLIP)
    await media.delete(CLIP)

    with pytest.raises(ClipBroken, match="no longer kept"):
        await media.fetch(CLIP)
    assert await media.list("clips/") == []


async def test_a_folder_is_listed_with_sizes_and_times(media: Media, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(3):
        await media.put(MediaKey(f"clips/r-{number}.mp4"), write(source, b"x" * number))
    await media.put(MediaKey("frames/r-1/start.jpg"), source)

    found = await media.list("clips/")

    assert {each.key: each.size for each in found} == {f"clips/r-{n}.mp4": n for n in range(3)}
    assert all(each.modified.tzinfo == UTC for each in found)
    assert [each.key for each in await media.list("frames")] == ["frames/r-1/start.jpg"]
    assert await media.list("nothing") == []


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../secret", "a/../b", "a//b", "a/", "./a", "A.mp4", "a b", "a\n", "ä"],
)
async def test_a_key_cannot_leave_the_store(media: Media, tmp_path: Path, key: str) -> None:
    source = write(tmp_path / "source", b"content")

    with pytest.raises(ValueError, match="no media key"):
        await media.put(MediaKey(key), source)
    with pytest.raises(ValueError, match="no media key"):
        await media.fetch(MediaKey(key))
    with pytest.raises(ValueError, match="no media key"):
        await media.delete(MediaKey(key))


async def test_nothing_unfinished_stays(media: Media, tmp_path: Path) -> None:
    with media.scratch(".mp4") as path:
        await media.put(CLIP, write(path, b"content"))

    assert files(tmp_path / "tmp") == []


# ---- the folder ------------------------------------------------------------------------------


async def test_a_folder_is_for_one_machine(folder: Media, tmp_path: Path) -> None:
    await folder.put(CLIP, write(tmp_path / "source", b"content"))

    assert await folder.presign(CLIP, 60) is None
    assert await folder.fetch(CLIP) == tmp_path / "media" / CLIP


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """The kernel refuses to make any file of this process larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_old_file_and_no_half_one(
    folder: Media, tmp_path: Path
) -> None:
    source = write(tmp_path / "source", b"old")
    await folder.put(CLIP, source)
    write(source, os.urandom(500_000))

    with disk_with_room_for(100_000), pytest.raises(ClipUnavailable, match="disk is full"):
        await folder.put(CLIP, source)

    assert read(await folder.fetch(CLIP)) == b"old"
    assert files(tmp_path / "media") == [CLIP]


def test_a_process_killed_while_writing_leaves_whole_files_only(tmp_path: Path) -> None:
    """It writes the same key again and again; whenever it dies, the key holds one whole file."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from bot.media import open_media\n"
        "async def main(root):\n"
        "    media = open_media('', root)\n"
        "    source = root / 'source'\n"
        "    for number in range(10_000):\n"
        "        source.write_bytes(bytes([number % 256]) * 300_000)\n"
        "        await media.put('clips/r-1.mp4', source)\n"
        "        if number == 3: print('going', flush=True)\n"
        "asyncio.run(main(pathlib.Path(sys.argv[1])))\n"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"going\n"
            writer.send_signal(signal.SIGKILL)

        content = (tmp_path / "media" / CLIP).read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1


async def test_an_unfinished_write_of_a_killed_process_is_listed_and_can_be_swept(
    folder: Media, tmp_path: Path
) -> None:
    await folder.put(CLIP, write(tmp_path / "source", b"content"))
    left = MediaKey("clips/.r-1.mp4.0badcafe")
    write(tmp_path / "media" / left, b"half")

    assert {each.key for each in await folder.list("clips")} == {CLIP, left}
    await folder.delete(left)
    assert {each.key for each in await folder.list("clips")} == {CLIP}


# ---- the bucket ------------------------------------------------------------------------------


async def test_a_presigned_link_works_for_anyone_and_only_as_signed(
    shared: Media, tmp_path: Path
) -> None:
    key = MediaKey("frames/r-1/start.jpg")
    await shared.put(key, write(tmp_path / "source", b"a picture"))

    link = await shared.presign(key, 60)

    assert link is not None
    async with httpx.AsyncClient() as anyone:
        answer = await anyone.get(link)
        assert (answer.status_code, answer.content) == (200, b"a picture")
        assert answer.headers["Content-Type"] == "image/jpeg"
        forged = link.replace("X-Amz-Expires=60", "X-Amz-Expires=6000")
        assert (await anyone.get(forged)).status_code == 403
        assert (await anyone.get(link.replace("start", "end"))).status_code == 403
        assert (await anyone.get(link.partition("?")[0])).status_code == 403


async def test_the_prefix_of_the_url_is_kept(
    shared: Media, bucket: Bucket, tmp_path: Path
) -> None:
    await shared.put(CLIP, write(tmp_path / "source", b"content"))

    assert list(bucket.objects) == [f"ray/{CLIP}"]
    assert [each.key for each in await shared.list("clips")] == [CLIP]


async def test_posting_right_after_keeping_needs_no_second_transfer(
    shared: Media, bucket: Bucket, tmp_path: Path
) -> None:
    await shared.put(CLIP, write(tmp_path / "source", b"content"))
    bucket.calls.clear()

    assert read(await shared.fetch(CLIP)) == b"content"
    assert bucket.calls == []


async def test_another_machine_fetches_once_and_remembers(
    shared: Media, bucket: Bucket, tmp_path: Path
) -> None:
    await shared.put(CLIP, write(tmp_path / "source", b"content"))
    other = open_media(f"s3://{NAME}/ray", tmp_path / "elsewhere", options=bucket.options)
    bucket.calls.clear()

    for _ in range(2):
        assert read(await other.fetch(CLIP)) == b"content"

    assert bucket.calls == ["GET"]
    other.close()


async def test_the_cache_forgets_but_the_bucket_does_not(bucket: Bucket, tmp_path: Path) -> None:
    media = open_media(f"s3://{NAME}", tmp_path, cache_bytes=1, options=bucket.options)
    keys = [MediaKey(f"clips/r-{number}.mp4") for number in range(40)]
    for key in keys:
        await media.put(key, write(tmp_path / "source", key.encode()))

    assert len(files(tmp_path / "cache")) == 32
    assert [read(await media.fetch(key)).decode() for key in keys] == keys
    media.close()


def shrink_disk(monkeypatch: pytest.MonkeyPatch, cache: Path, size: int) -> None:
    """From now on every disk seems to have so many bytes, used by nothing but a cache."""

    def usage(_folder: Path) -> SimpleNamespace:
        used = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        return SimpleNamespace(free=size - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)


async def test_copies_never_fill_a_small_disk(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{NAME}"
    media = open_media(url, tmp_path, min_free_bytes=200, options=bucket.options)
    shrink_disk(monkeypatch, tmp_path / "cache", 5000)
    for number in range(60):
        source = write(tmp_path / "source", b"x" * 100)
        await media.put(MediaKey(f"clips/r-{number}.mp4"), source)
        assert await media.has_room()

    assert len(files(tmp_path / "cache")) == 38
    assert len(bucket.objects) == 60
    media.close()


async def test_a_disk_that_new_clips_filled_has_room_again_once_nobody_uses_them(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{NAME}"
    media = open_media(url, tmp_path, min_free_bytes=200, options=bucket.options)
    shrink_disk(monkeypatch, tmp_path / "cache", 5000)
    for number in range(32):
        source = write(tmp_path / "source", b"x" * 155)
        await media.put(MediaKey(f"clips/r-{number}.mp4"), source)
    assert not await media.has_room()

    for path in (tmp_path / "cache" / "clips").iterdir():
        os.utime(path, (0, 0))

    assert await media.has_room()
    media.close()


async def test_whoever_reads_it_while_it_is_deleted_does_not_bring_it_back(
    shared: Media, bucket: Bucket, tmp_path: Path
) -> None:
    await shared.put(CLIP, write(tmp_path / "source", b"content"))
    bucket.before_delete = lambda: shared.fetch(CLIP)
    await shared.delete(CLIP)
    with pytest.raises(ClipBroken):
        await shared.fetch(CLIP)


async def test_a_bucket_that_is_down_can_be_tried_again(bucket: Bucket, tmp_path: Path) -> None:
    media = open_media(f"s3://{NAME}", tmp_path, options=bucket.options)
    source = write(tmp_path / "source", b"content")

    bucket.is_down = True
    with pytest.raises(ClipUnavailable, match="cannot be reached"):
        await media.put(CLIP, source)
    with pytest.raises(ClipUnavailable, match="cannot be reached"):
        await media.fetch(CLIP)

    bucket.is_down = False
    await media.put(CLIP, source)
    assert read(await media.fetch(CLIP)) == b"content"
    media.close()


async def test_a_wrong_key_is_said(bucket: Bucket, tmp_path: Path) -> None:
    media = open_media(
        f"s3://{NAME}", tmp_path, options=bucket.options | {"access_key_id": "wrong"}
    )

    with pytest.raises(ClipUnavailable):
        await media.put(CLIP, write(tmp_path / "source", b"content"))
    media.close()


async def test_the_clouds_own_environment_is_enough(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_REGION", REGION)
    media = open_media(f"s3://{NAME}", tmp_path)

    await media.put(CLIP, write(tmp_path / "source", b"content"))

    assert bucket.objects == {CLIP: b"content"}
    media.close()


@pytest.mark.parametrize("url", ["ftp://clips", "clips", "https://example.com/clips", "s3:clips"])
def test_another_kind_of_store_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="media_url must begin with s3://"):
        open_media(url, tmp_path)


def test_an_option_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="media_url cannot be used"):
        open_media("s3://clips", tmp_path, options={"no_such_option": "1"})


def test_what_a_bucket_lacks_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigError, match=r"Account must be specified\.\Z"):
        open_media("az://clips", tmp_path)


# ---- links -----------------------------------------------------------------------------------

SIGNER = LinkSigner(b"a secret")
PATH = "/frames/r-1/2/start"


def parts(link: str) -> tuple[str, str, str]:
    url = httpx.URL(link)
    return url.path, url.params["exp"], url.params["sig"]


def test_a_signed_link_holds_until_it_expires() -> None:
    link = SIGNER.sign(PATH, NOW + timedelta(hours=1))

    assert SIGNER.verify(*parts(link), NOW)
    assert SIGNER.verify(*parts(link), NOW + timedelta(minutes=59))
    assert not SIGNER.verify(*parts(link), NOW + timedelta(hours=1))


def test_a_changed_link_does_not_hold() -> None:
    path, exp, sig = parts(SIGNER.sign(PATH, NOW + timedelta(hours=1)))

    assert not SIGNER.verify("/frames/r-2/2/start", exp, sig, NOW)
    assert not SIGNER.verify(path, str(int(exp) + 1), sig, NOW)
    assert not SIGNER.verify(path, exp, sig[:-1], NOW)
    assert not SIGNER.verify(path, exp, "", NOW)
    assert not LinkSigner(b"another secret").verify(path, exp, sig, NOW)


def test_a_signature_needs_no_escaping_in_a_url() -> None:
    for minute in range(200):
        link = SIGNER.sign(PATH, NOW + timedelta(minutes=minute))
        assert str(httpx.URL(link)) == link


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_the_check(path: str, exp: str, sig: str) -> None:
    assert not SIGNER.verify(path, exp, sig, NOW)
