"""Many transactions share a commit, each alone succeeds or fails, and what was told is durable."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from bot.errors import ConfigError, InvalidRequest, SchemaTooNew, StoreBusy, StoreError
from bot.store import database as store
from bot.store.database import SQLITE, Database, open_database
from bot.store.sqlite import sqlite_path
from bot.store.transaction import Tx
from tests.bot.store.conftest import (
    Books,
    Gate,
    note,
    noted,
    one_batch,
    opened,
    outcomes,
    put_off,
    start_write,
    start_writer,
)

READS = 30

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


async def test_what_fails_alone_leaves_nothing(database: Database) -> None:
    def refused(tx: Tx) -> None:
        note("half done")(tx)
        put_off("half put off")(tx)
        raise InvalidRequest("No.")

    with pytest.raises(InvalidRequest):
        await database.write(refused)
    assert await database.write(note("after")) == "after"
    assert await database.read(noted) == ["after"]


async def test_what_is_put_off_is_written_with_its_own(database: Database) -> None:
    def refused(tx: Tx) -> None:
        put_off("never")(tx)
        raise InvalidRequest("No.")

    told = await outcomes(database, put_off("late"), refused, put_off("later"), note("now"))
    assert [told[0], told[2], told[3]] == ["late", "later", "now"]
    assert await database.read(noted) == ["late", "later", "now"]


async def test_what_cannot_be_put_off_spoils_nobody_elses_commit(database: Database) -> None:
    told = await outcomes(database, note("first"), put_off("first"), put_off("second"))
    assert [told[0], told[2]] == ["first", "second"]
    assert type(told[1]).__name__ == "IntegrityError", "the name is taken"
    assert await database.read(noted) == ["first", "second"]


async def test_what_cannot_be_put_off_fails_alone(database: Database) -> None:
    await database.write(note("first"))
    (told,) = await outcomes(database, put_off("first"))
    assert type(told).__name__ == "IntegrityError", "the name is taken"
    assert await database.write(put_off("second")) == "second"


async def test_a_fault_of_the_database_is_told_as_ours(database: Database) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        await database.write(lambda tx: tx.conn.execute(text("DELETE FROM nowhere")).rowcount)
    with pytest.raises(StoreError, match="nowhere"):
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

    async with asyncio.timeout(30):
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
    assert await database.read(noted) == ["next", "written"]
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
    with pytest.raises(StoreError, match=r"read-?only"):
        await database.read(lambda conn: note("a")(Tx(conn)))
    assert await database.read(noted) == []


async def test_readers_do_not_wait_for_the_writer(database: Database) -> None:
    await database.write(note("before"))
    async with one_batch(database), asyncio.timeout(30):
        reads = [database.read(noted) for _ in range(READS)]
        assert await asyncio.gather(*reads) == [["before"]] * len(reads)


async def test_commands_read_beside_the_running_bot(database: Database, url: str) -> None:
    await database.write(note("seen"))
    beside = open_database(url)
    await beside.start_reading()
    try:
        assert await beside.read(noted) == ["seen"]
        with pytest.raises(StoreError, match="closed"):
            await beside.write(note("not mine"))
    finally:
        await beside.stop()


async def test_another_version_is_not_read(books: Books, url: str) -> None:
    await books.sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(StoreError, match="raybot migrate"):
        await open_database(url).start_reading()
    await books.sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="written by a newer Raybot"):
        await open_database(url).start_reading()


# ---- the end of the process -------------------------------------------------------------------


async def test_what_was_told_survives_kill_9(url: str) -> None:
    with start_writer(url) as process:
        assert process.stdout is not None
        told = {process.stdout.readline().decode().strip() for _ in range(200)}
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
    # The last line may have been cut by the signal.
    told |= set(rest.decode().split("\n")[:-1])
    assert process.returncode == -signal.SIGKILL
    assert len(told) >= 200
    if url.startswith(SQLITE):
        with closing(sqlite3.connect(sqlite_path(url))) as conn:
            assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with opened(url) as database:
        assert told <= set(await database.read(noted))


async def test_an_orderly_stop_writes_what_waits(url: str) -> None:
    database = open_database(url)
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
    async with opened(url) as database:
        assert await database.read(noted) == ["last"]


# ---- its address ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "raybot.db", "sqlite+aiosqlite:///", "mysql://127.0.0.1/raybot"]
)
def test_only_a_database_that_is_known_is_taken(url: str) -> None:
    with pytest.raises(ConfigError, match="must look like sqlite"):
        open_database(url)
