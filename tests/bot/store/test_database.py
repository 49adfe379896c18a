"""Many transactions share a commit, each alone succeeds or fails, and what was told is durable."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bot.errors import ConfigError, InvalidRequest, StoreBusy, StoreError
from bot.store import database as store
from bot.store import sqlite
from bot.store.database import Database, Tx, open_database
from tests.bot.store.conftest import Books, Gate, one_batch, start_write, to_url

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def url(path: Path) -> str:
    """These are about the file."""
    return to_url(path)


INSERT = text("INSERT INTO settings (scope, chosen) VALUES (:scope, :chosen)")


def note(scope: str, size: int = 2) -> Callable[[Tx], str]:
    """A transaction that writes one row of so many bytes."""

    def work(tx: Tx) -> str:
        tx.conn.execute(INSERT, {"scope": scope, "chosen": "x" * size})
        return scope

    return work


def noted(conn: Connection) -> list[str]:
    return [row.scope for row in conn.execute(text("SELECT scope FROM settings ORDER BY rowid"))]


async def outcomes(
    database: Database, *works: Callable[[Tx], object]
) -> list[object | BaseException]:
    """What became of transactions that went into one commit."""
    tasks: list[asyncio.Task[object]] = []
    async with one_batch(database):
        tasks = [asyncio.ensure_future(database.write(work)) for work in works]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


# ---- one commit, many fates -------------------------------------------------------------------


async def test_one_bad_item_does_not_spoil_its_batch(database: Database) -> None:
    def refused(tx: Tx) -> None:
        note("half done")(tx)
        raise InvalidRequest("No.")

    told = await outcomes(database, note("a"), refused, note("a"), note("b"))
    assert [told[0], told[3]] == ["a", "b"]
    assert isinstance(told[1], InvalidRequest)
    assert type(told[2]).__name__ == "IntegrityError", "the name is taken"
    assert await database.read(noted) == ["a", "b"]


async def test_a_fault_of_the_database_is_told_as_ours(database: Database) -> None:
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await database.write(lambda tx: tx.conn.execute(text("DELETE FROM nowhere")).rowcount)
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await database.read(lambda conn: conn.execute(text("SELECT 1 FROM nowhere")).all())
    assert await database.write(note("after")) == "after"


async def test_nothing_is_told_before_the_commit(database: Database) -> None:
    told: list[str] = []
    slow = Gate(database)

    def first(tx: Tx) -> str:
        tx.after_commit(lambda: told.append("hook"))
        return note("first")(tx)

    async with asyncio.TaskGroup() as group:
        async with one_batch(database):
            task = start_write(group, database, first)
            task.add_done_callback(lambda _: told.append("result"))
            start_write(group, database, slow.work)
            await asyncio.sleep(0)
        await slow.entered.wait()
        assert await database.read(noted) == []
        assert told == []
        slow.open()
        await task
    assert told == ["hook", "result"]
    assert await database.read(noted) == ["first"]


async def test_only_what_was_written_calls_its_hooks(database: Database) -> None:
    called: list[str] = []

    def good(tx: Tx) -> None:
        tx.after_commit(lambda: called.append("good"))

    def bad(tx: Tx) -> None:
        tx.after_commit(lambda: called.append("bad"))
        raise InvalidRequest("No.")

    await outcomes(database, bad, good)
    assert called == ["good"]


async def test_a_hook_that_raises_holds_nobody_up(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """What was written is durable, so its caller hears so; the fault is logged."""
    called: list[str] = []

    def faulty(tx: Tx) -> str:
        tx.after_commit(lambda: called.append("before"))
        tx.after_commit(lambda: called.remove("nothing"))
        tx.after_commit(lambda: called.append("after"))
        return note("faulty")(tx)

    def sound(tx: Tx) -> str:
        tx.after_commit(lambda: called.append("sound"))
        return note("sound")(tx)

    async with asyncio.timeout(5):
        assert await outcomes(database, faulty, sound, note("third")) == [
            "faulty",
            "sound",
            "third",
        ]
    assert called == ["before", "after", "sound"]
    assert await database.read(noted) == ["faulty", "sound", "third"]
    [fault] = [record for record in caplog.records if record.exc_info]
    assert fault.levelname == "ERROR"
    assert fault.exc_info is not None
    assert fault.exc_info[0] is ValueError


async def test_more_than_one_batch_may_wait(database: Database) -> None:
    count = store.BATCH * 2 + 3
    told = await outcomes(database, *(note(str(number)) for number in range(count)))
    assert told == [str(number) for number in range(count)]
    assert len(await database.read(noted)) == count


async def test_a_cancelled_caller_leaves_a_whole_transaction(database: Database) -> None:
    called: list[str] = []

    def work(tx: Tx) -> None:
        tx.after_commit(lambda: called.append("hook"))
        note("written")(tx)

    async with one_batch(database):
        task = asyncio.ensure_future(database.write(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await database.write(note("next"))
    assert await database.read(noted) == ["written", "next"]
    assert called == ["hook"], "whoever waits for the row is told all the same"


async def test_too_many_waiting_are_turned_away_at_once(database: Database) -> None:
    async with asyncio.TaskGroup() as group, one_batch(database):
        for number in range(store.QUEUE):
            start_write(group, database, note(str(number)))
        await asyncio.sleep(0)
        with pytest.raises(StoreBusy, match="Nothing was started"):
            await database.write(note("one too many"))
    assert await database.write(note("later")) == "later"
    rows = await database.read(noted)
    assert len(rows) == store.QUEUE + 1
    assert "one too many" not in rows


# ---- readers ----------------------------------------------------------------------------------


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await database.read(lambda conn: conn.execute(INSERT, {"scope": "a", "chosen": "x"}))
    assert await database.read(noted) == []


async def test_readers_do_not_wait_for_the_writer(database: Database) -> None:
    await database.write(note("before"))
    async with one_batch(database), asyncio.timeout(5):
        reads = [database.read(noted) for _ in range(sqlite.READERS * 5)]
        assert await asyncio.gather(*reads) == [["before"]] * len(reads)


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
    async with opened(small_disk / "raybot.db") as database:
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
    async with opened(small_disk / "raybot.db") as database:
        assert await database.read(noted) == [*kept, "after"]


# ---- the end of the process -------------------------------------------------------------------

WRITER = """
import asyncio, os, resource, sys
from sqlalchemy import text
from bot.errors import StoreError
from bot.store.database import open_database

INSERT = text("INSERT INTO settings (scope, chosen) VALUES (:scope, '{}')")

async def write(database, name):
    for number in range(100_000):
        scope = f"{name}-{number}"
        await database.write(lambda tx: tx.conn.execute(INSERT, {"scope": scope}).rowcount)
        os.write(1, scope.encode() + b"\\n")

async def main(url, most_bytes):
    database = open_database(url)
    await database.start()
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    await asyncio.gather(*(write(database, name) for name in range(20)))

try:
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
except StoreError as error:
    sys.stderr.write(str(error))
    os._exit(7)
"""


def start_writer(path: Path, most_bytes: int = 0) -> subprocess.Popen[bytes]:
    """A process that writes without end and tells each row that was acknowledged."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, to_url(path), str(most_bytes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )


def rows_of(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {scope for (scope,) in conn.execute("SELECT scope FROM settings")}


def test_what_was_told_survives_kill_9(path: Path) -> None:
    with start_writer(path) as process:
        assert process.stdout is not None
        told = {process.stdout.readline().decode().strip() for _ in range(200)}
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
    # The last line may have been cut by the signal.
    told |= set(rest.decode().split("\n")[:-1])
    assert process.returncode == -signal.SIGKILL
    assert len(told) >= 200
    assert told <= rows_of(path)


def test_what_was_told_survives_a_disk_that_takes_no_more(path: Path) -> None:
    with start_writer(path, most_bytes=path.stat().st_size + 300_000) as process:
        out, complaint = process.communicate(timeout=15)
    told = set(out.decode().split())
    assert process.returncode == 7, complaint.decode()
    assert "The database did not take it" in complaint.decode()
    assert told
    assert told <= rows_of(path)


async def test_an_orderly_stop_writes_what_waits(path: Path) -> None:
    database = open_database(to_url(path))
    await database.start()
    async with one_batch(database):
        waiting = asyncio.ensure_future(database.write(note("last")))
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(database.stop())
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="closed"):
            await database.write(note("too late"))
    await stopping
    assert await waiting == "last"
    with pytest.raises(StoreError, match="closed"):
        await database.write(note("much too late"))
    assert rows_of(path) == {"last"}


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
    async with opened(path):
        second = await asyncio.to_thread(lock_elsewhere, path)
        assert second.returncode == 1
        assert second.stderr == (
            f"Another Raybot already uses {path}. Stop it first, or set another data_dir.\n"
        )
        with pytest.raises(ConfigError, match="already uses"):
            await open_database(to_url(path)).start()
    async with opened(path) as database:
        assert await database.write(note("mine now")) == "mine now"


async def test_commands_read_beside_the_running_bot(database: Database, path: Path) -> None:
    await database.write(note("seen"))
    beside = open_database(to_url(path))
    await beside.start_reading()
    try:
        assert await beside.read(noted) == ["seen"]
        with pytest.raises(StoreError, match="closed"):
            await beside.write(note("not mine"))
    finally:
        await beside.stop()


async def test_there_is_nothing_to_read_before_the_first_start(tmp_path: Path) -> None:
    missing = open_database(to_url(tmp_path / "none.db"))
    with pytest.raises(ConfigError, match="Start the bot once"):
        await missing.start_reading()
    await missing.stop()
    assert list(tmp_path.iterdir()) == []


async def test_another_version_is_not_read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '0000'")
        conn.commit()
    with pytest.raises(StoreError, match="raybot migrate"):
        await open_database(to_url(path)).start_reading()


@pytest.mark.parametrize("folder", ["my clips", "50%", "%41", "a#b", "what?", "ü&x=1", "a;b"])
async def test_a_folder_may_have_any_name(folder: str, empty_file: Path, tmp_path: Path) -> None:
    path = tmp_path / folder / "raybot.db"
    path.parent.mkdir()
    path.write_bytes(empty_file.read_bytes())
    async with opened(path) as database:
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


@pytest.mark.parametrize(
    "url", ["", "raybot.db", "sqlite+aiosqlite:///", "mysql://127.0.0.1/raybot"]
)
def test_only_a_database_that_is_known_is_taken(url: str) -> None:
    with pytest.raises(ConfigError, match="must look like sqlite"):
        open_database(url)


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
        async with opened(path):
            pass
    told = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    flaw = sqlite.wal_flaw(sqlite3.sqlite_version_info)
    sentences = [each["sentence"] for each in told if each["event"] == "store.wal_reset_bug"]
    assert sentences == ([flaw] if flaw else [])


async def test_the_version_in_use_is_known(database: Database) -> None:
    assert await database.read(sqlite.sqlite_version) == sqlite3.sqlite_version_info


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = open_database(to_url(path))
    await database.start()
    try:
        yield database
    finally:
        await database.stop()
