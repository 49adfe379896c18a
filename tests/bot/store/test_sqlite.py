"""SQLite alone: one file, one process, a disk that is full, and a library with a flaw."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bot.errors import BotError, ConfigError, StoreError
from bot.store import sqlite
from bot.store.database import Database, open_database
from bot.store.transaction import Tx
from tests.bot.store.conftest import (
    ROOT,
    Books,
    note,
    opened,
    outcomes,
    start_writer,
    to_url,
)


@pytest.fixture
def url(path: Path) -> str:
    """These are about the file."""
    return to_url(path)


def noted(conn: Connection) -> list[str]:
    """In the order in which they were written."""
    return [row.scope for row in conn.execute(text("SELECT scope FROM settings ORDER BY rowid"))]


async def test_the_writer_syncs_fully_and_keeps_references(books: Books) -> None:
    def pragmas(tx: Tx) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return {name: tx.conn.execute(text(f"PRAGMA {name}")).scalar_one() for name in names}

    assert await books.database.write(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


# ---- a full disk ------------------------------------------------------------------------------


async def test_a_full_disk_tells_nobody_of_success_that_was_undone(database: Database) -> None:
    """SQLite may undo the whole transaction then, with those who had already succeeded in it."""

    def allow_little(tx: Tx) -> None:
        pages = tx.conn.execute(text("PRAGMA page_count")).scalar_one()
        tx.conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")

    await database.write(note("kept"))
    await database.write(allow_little)
    told = await outcomes(database, note("a"), note("large", 1_000_000), note("b"))
    assert [type(each) for each in told] == [StoreError] * 3
    assert all("full" in str(each) for each in told)
    assert await database.read(noted) == ["kept"]
    assert await database.write(note("small")) == "small"
    assert await database.read(noted) == ["kept", "small"]


async def test_nobody_else_reads_a_new_file_whoever_made_its_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    async with opened(to_url(tmp_path / "raybot.db")) as database:
        await database.write(note("kept"))
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.glob("raybot.db*")}
        await database.back_up(tmp_path / "copy.db")
    del modes["raybot.db.lock"]  # It is always empty.
    assert set(modes) == {"raybot.db", "raybot.db-wal", "raybot.db-shm"}
    assert set(modes.values()) == {0o600}
    restored = sqlite.copy_into(tmp_path / "copy.db", tmp_path / "new.db")
    assert restored.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A true file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "raybot-test", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Only root can mount a small disk: {getattr(error, 'stderr', error)}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    async with opened(to_url(small_disk / "raybot.db")) as database:
        told: list[str | BaseException] = []
        for first in range(0, 400, 20):
            works = [note(str(number), 5_000) for number in range(first, first + 20)]
            told += await asyncio.gather(*map(database.write, works), return_exceptions=True)
        kept = [each for each in told if isinstance(each, str)]
        refused = [each for each in told if isinstance(each, StoreError)]
        assert len(kept) + len(refused) == 400
        assert kept
        assert refused
        assert all("full" in each.sentence for each in refused)
        assert await database.read(noted) == kept
        ballast.unlink()
        assert await database.write(note("after")) == "after"
        assert await database.read(noted) == [*kept, "after"]
    async with opened(to_url(small_disk / "raybot.db")) as database:
        assert await database.read(noted) == [*kept, "after"]


def rows_of(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {scope for (scope,) in conn.execute("SELECT scope FROM settings")}


def test_what_was_told_survives_a_disk_that_takes_no_more(path: Path) -> None:
    with start_writer(to_url(path), most_bytes=path.stat().st_size + 300_000) as process:
        out, complaint = process.communicate(timeout=60)
    told = set(out.decode().split())
    assert process.returncode == 7, complaint.decode()
    assert "The database did not take it" in complaint.decode()
    assert told
    assert told <= rows_of(path)


# ---- a copy -----------------------------------------------------------------------------------


async def refusal_of_copy(path: Path, target: Path) -> str:
    """What is said; nothing of a copy is left."""
    there = sorted(target.parent.glob(f"{target.name}*"))
    with pytest.raises(BotError) as refused:
        await open_database(to_url(path)).back_up(target)
    assert sorted(target.parent.glob(f"{target.name}*")) == there
    return refused.value.sentence


@pytest.mark.parametrize("content", [b"this is no database " * 200, None])
async def test_a_database_that_is_broken_leaves_no_copy(
    content: bytes | None, path: Path, tmp_path: Path
) -> None:
    """`None`: one of ours, with a page in it overwritten."""
    held = path.read_bytes()
    path.write_bytes(content or held[:4096] + b"\xff" * 8192 + held[12288:])
    said = await refusal_of_copy(path, tmp_path / "copy.db")
    assert said.startswith(f"{path} was not copied"), said


async def test_a_full_disk_takes_no_part_of_a_copy(small_disk: Path, path: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (2 * 1024**2 - 100_000))
    said = await refusal_of_copy(path, small_disk / "copy.db")
    assert "full" in said or "I/O" in said
    ballast.unlink()
    await open_database(to_url(path)).back_up(small_disk / "copy.db")
    assert len(rows_of(small_disk / "copy.db")) == 1, "it says that it is a copy"


async def test_a_copy_goes_into_a_folder_that_is_there_and_is_for_its_owner(
    path: Path, tmp_path: Path
) -> None:
    said = await refusal_of_copy(path, tmp_path / "none" / "copy.db")
    assert said == f"There is no folder {tmp_path / 'none'}. Make it first."
    await open_database(to_url(path)).back_up(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert await refusal_of_copy(path, tmp_path / "copy.db") == (
        f"{tmp_path / 'copy.db'} exists already."
    )


# ---- one process, one file --------------------------------------------------------------------

LOCKER = """
import sys
from bot.errors import ConfigError
from bot.store.database import open_database
try:
    open_database(sys.argv[1]).lock()
except ConfigError as error:
    sys.exit(error.sentence)
"""


def lock_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOCKER, to_url(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_second_process_is_refused_in_plain_words(path: Path) -> None:
    async with opened(to_url(path)):
        second = await asyncio.to_thread(lock_elsewhere, path)
        assert second.returncode == 1
        assert second.stderr == (
            f"Another Raybot already uses {path}. Stop it first, or set another data_dir.\n"
        )
        with pytest.raises(ConfigError, match="already uses"):
            await open_database(to_url(path)).start()
    async with opened(to_url(path)) as database:
        assert await database.write(note("mine now")) == "mine now"


async def test_there_is_nothing_to_read_before_the_first_start(tmp_path: Path) -> None:
    missing = open_database(to_url(tmp_path / "none.db"))
    with pytest.raises(ConfigError, match="Start the bot once"):
        await missing.start_reading()
    await missing.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["my clips", "50%", "%41", "a#b", "what?", "ü&x=1", "a;b"])
async def test_a_folder_may_have_any_name(folder: str, empty_file: Path, tmp_path: Path) -> None:
    path = tmp_path / folder / "raybot.db"
    path.parent.mkdir()
    path.write_bytes(empty_file.read_bytes())
    async with opened(to_url(path)) as database:
        await database.write(note("here"))
        assert await database.read(noted) == ["here"]
    assert rows_of(path) == {"here"}
    assert [each.name for each in tmp_path.iterdir()] == [folder]


@pytest.mark.parametrize("content", [b"this is no database " * 200, None])
async def test_something_else_in_its_place_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "raybot.db"
    path.mkdir() if content is None else path.write_bytes(content)
    database = open_database(to_url(path))
    with pytest.raises(StoreError, match=r"raybot\.db cannot be read as a database"):
        await database.start()
    await database.stop()


async def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    database = open_database(to_url(tmp_path / "file" / "raybot.db"))
    with pytest.raises(ConfigError, match=r"file/raybot\.db cannot be used"):
        await database.start()


@pytest.mark.parametrize("prefix", ["sqlite+aiosqlite:///", "sqlite:///"])
def test_a_path_may_be_relative_or_absolute(prefix: str) -> None:
    assert sqlite.sqlite_path(f"{prefix}data/raybot.db") == Path("data/raybot.db")
    assert sqlite.sqlite_path(f"{prefix}/var/raybot.db") == Path("/var/raybot.db")


# ---- the library ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "has_bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 9), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_the_wal_reset_bug_is_told_by_version(version: tuple[int, ...], has_bug: bool) -> None:
    assert sqlite.has_wal_reset_bug(version) is has_bug


def test_the_flaw_is_told_in_a_sentence() -> None:
    flaw = sqlite.wal_flaw((3, 50, 6))
    assert flaw is not None
    assert flaw.startswith("SQLite 3.50.6 has the WAL-reset bug")
    assert sqlite.wal_flaw((3, 51, 3)) is None


async def test_a_start_names_the_flaw_of_this_sqlite(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with opened(to_url(path)):
            pass
    told = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    flaw = sqlite.wal_flaw(sqlite3.sqlite_version_info)
    sentences = [each["sentence"] for each in told if each["event"] == "store.wal_reset_bug"]
    assert sentences == ([flaw] if flaw else [])


async def test_the_version_in_use_is_known(database: Database) -> None:
    assert await database.read(sqlite.sqlite_version) == sqlite3.sqlite_version_info
