"""Streams, unfinished files, durable copies and the cache, on a real file system."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.disk import Cache, Saved, Scratch, copy_durably, save
from bot.errors import ClipUnavailable


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes = b"") -> Path:
    path.write_bytes(content)
    return path


async def test_a_stream_is_saved_and_hashed(tmp_path: Path) -> None:
    parts = [os.urandom(300_000) for _ in range(9)]
    whole = b"".join(parts)

    saved = await save(chunks(*parts), tmp_path / "file", max_bytes=len(whole))

    sha256 = hashlib.sha256(whole).hexdigest()
    assert saved == Saved(bytes=len(whole), sha256=sha256, is_whole=True)
    assert read(tmp_path / "file") == whole


async def test_a_second_try_starts_from_nothing(tmp_path: Path) -> None:
    await save(chunks(b"half of"), tmp_path / "file")
    await save(chunks(b"whole"), tmp_path / "file")

    assert read(tmp_path / "file") == b"whole"


async def test_an_empty_stream_is_an_empty_file(tmp_path: Path) -> None:
    assert (await save(chunks(), tmp_path / "file")).bytes == 0
    assert read(tmp_path / "file") == b""


async def test_a_stream_that_is_too_long_is_left_unread(tmp_path: Path) -> None:
    endless = chunks(*[b"x" * 1000] * 100)

    saved = await save(endless, tmp_path / "file", max_bytes=2500)

    assert (saved.is_whole, saved.bytes) == (False, 3000)
    assert [len(part) async for part in endless] == [1000] * 97


async def test_a_full_disk_is_said_in_a_sentence() -> None:
    """Linux keeps a device that is always full."""
    with pytest.raises(ClipUnavailable, match="disk is full"):
        await save(chunks(b"something"), Path("/dev/full"))


async def test_other_complaints_of_the_disk_are_translated(tmp_path: Path) -> None:
    with pytest.raises(ClipUnavailable, match="disk reports: Is a directory"):
        await save(chunks(b"something"), tmp_path)


# ---- unfinished files ------------------------------------------------------------------------


def test_an_unfinished_file_is_gone_afterwards(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "tmp")
    with scratch.file(".mp4") as first, scratch.file(".mp4") as second:
        assert first != second
        assert first.suffix == ".mp4"
        write(first)

    assert not first.exists()


def test_closing_leaves_nothing(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "tmp")
    with scratch.file() as path:
        write(path)
        scratch.close()

    assert [each.name for each in (tmp_path / "tmp").iterdir()] == [".lock"]


def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_writes(
    tmp_path: Path,
) -> None:
    root = tmp_path / "tmp"
    living = Scratch(root)
    program = (
        "import sys, time, pathlib\n"
        "from bot.disk import Scratch\n"
        "with Scratch(pathlib.Path(sys.argv[1])).file() as path:\n"
        "    path.write_bytes(b'half')\n"
        "    print(path, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with (
        living.file() as mine,
        subprocess.Popen(
            [sys.executable, "-c", program, root], stdout=subprocess.PIPE, text=True
        ) as other,
    ):
        write(mine, b"still writing")
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        Scratch(root).close()
        assert theirs.exists()

        other.send_signal(signal.SIGKILL)
        other.wait()
        Scratch(root).close()

        assert not theirs.parent.exists()
        assert mine.read_bytes() == b"still writing"
    living.close()


# ---- durable copies --------------------------------------------------------------------------


def test_a_copy_is_whole_and_leaves_the_source(tmp_path: Path) -> None:
    source = write(tmp_path / "source", os.urandom(3_000_000))
    target = tmp_path / "media" / "clips" / "r-1.mp4"

    copy_durably(source, target)
    copy_durably(source, target)

    assert target.read_bytes() == source.read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = write(tmp_path / "target", b"old")

    with pytest.raises(ClipUnavailable):
        copy_durably(tmp_path / "missing", target)

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


# ---- the cache -------------------------------------------------------------------------------


def filled(cache: Cache, tmp_path: Path, names: range) -> None:
    for number in names:
        path = cache.take(f"clips/{number}", write(tmp_path / "new", b"x" * 100))
        os.utime(path, (number, number))


def kept(tmp_path: Path) -> list[int]:
    return sorted(int(path.name) for path in (tmp_path / "cache" / "clips").iterdir())


def test_the_longest_unused_copies_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=4_000)
    filled(cache, tmp_path, range(40))
    assert kept(tmp_path) == list(range(40))

    assert cache.find("clips/0") is not None
    cache.take("clips/99", write(tmp_path / "new", b"x" * 100))

    assert kept(tmp_path) == [0, *range(2, 40), 99]


def test_the_newest_stay_even_in_a_cache_that_is_too_small(tmp_path: Path) -> None:
    """One of them is being posted right now."""
    cache = Cache(tmp_path / "cache", max_bytes=1)
    filled(cache, tmp_path, range(40))

    assert kept(tmp_path) == list(range(8, 40))


def test_a_full_disk_keeps_no_copy_that_nobody_uses(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=10**9, unused=10**18)
    for number in range(40):
        cache.take(f"clips/{number}", write(tmp_path / "new", b"x" * 100))
    assert kept(tmp_path) == list(range(8, 40))

    for path in (tmp_path / "cache" / "clips").iterdir():
        os.utime(path, (int(path.name), int(path.name)))
    assert cache.find("clips/20") is not None
    cache.trim()

    assert kept(tmp_path) == [20]


def test_many_may_let_go_of_the_same_copies_at_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=1)

    def take(number: int) -> Path:
        return cache.take(f"clips/{number}", write(tmp_path / f"new{number}", b"x"))

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(take, range(400)))) == 400


def test_a_copy_is_found_until_it_is_dropped(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=1000)
    assert cache.find("a/b") is None

    cache.take("a/b", write(tmp_path / "new", b"content"))
    found = cache.find("a/b")
    assert found is not None
    assert found.read_bytes() == b"content"

    cache.drop("a/b")
    cache.drop("a/b")
    assert cache.find("a/b") is None
