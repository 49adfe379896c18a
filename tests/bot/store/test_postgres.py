"""PostgreSQL alone: several processes write, answers to commits are lost, holders freeze."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Connection, text

from bot.errors import ConfigError, InvalidRequest, StoreError
from bot.store import settings
from bot.store.database import Database, Tx, open_database
from tests.postgres import postgres_database

SCOPE = "discord:1:a"
ENDED = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid")


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_database() as found:
        yield found


@pytest.fixture
async def beside(url: str) -> AsyncIterator[Database]:
    """Another process's way to the same database."""
    opened = open_database(url)
    await opened.start()
    yield opened
    await opened.stop()


def count(conn: Connection) -> int:
    return int(settings.chosen(conn, SCOPE).get("n", "0"))


def add(tx: Tx) -> None:
    """Read, then write: lost where two do it at once."""
    settings.choose(tx, SCOPE, {"n": str(count(tx.conn) + 1)})


async def test_who_reads_and_then_writes_is_alone(database: Database, beside: Database) -> None:
    await asyncio.gather(*(each.write(add) for _ in range(40) for each in (database, beside)))
    assert await database.read(count) == await beside.read(count) == 80


async def test_a_lost_answer_to_a_commit_is_asked_for_again(
    database: Database, beside: Database
) -> None:
    """The connection is cut while COMMIT waits for a deferred trigger, which is the last work."""
    await database.write(_cut_after_commit)
    assert await beside.read(count) == 1
    await database.write(add)
    assert await beside.read(count) == 2


def _cut_after_commit(tx: Tx) -> None:
    add(tx)
    driver = tx.conn.connection.driver_connection
    assert driver is not None
    commit = driver.commit

    def cut() -> None:
        commit()
        driver.close()
        driver.commit = commit
        driver.execute("SELECT 1")

    driver.commit = cut


async def test_what_a_cut_connection_left_undone_is_done_once(
    database: Database, beside: Database
) -> None:
    tries = []

    def cut_at_first(tx: Tx) -> None:
        add(tx)
        pid = tx.conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        tries.append(pid)
        if len(tries) == 1:
            asyncio.run(_end(beside, pid))
            tx.conn.execute(text("SELECT 1"))

    await database.write(cut_at_first)
    assert len(tries) == 2
    assert await beside.read(count) == 1


async def test_what_is_read_over_a_cut_connection_is_read_again(
    database: Database, beside: Database
) -> None:
    pids = []

    def cut_at_first(conn: Connection) -> int:
        pids.append(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
        if len(pids) == 1:
            assert beside._writer is not None
            with beside._writer.connect() as other:
                other.execute(ENDED, {"pid": pids[0]})
        return count(conn)

    assert await database.read(cut_at_first) == 0
    assert len(pids) == 2


async def _end(beside: Database, pid: int) -> None:
    """From another thread, so on another loop: the writer's own thread is what waits."""
    assert beside._writer is not None
    with beside._writer.connect() as conn:
        conn.execute(ENDED, {"pid": pid})


async def test_a_frozen_writer_holds_nobody_up_for_long(
    database: Database, beside: Database
) -> None:
    """What a stopped process looks like from outside: a transaction that says nothing more."""
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()
    thawed = asyncio.Event()

    def freeze(tx: Tx) -> None:
        add(tx)
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(thawed.wait(), loop).result(20)

    frozen = asyncio.ensure_future(database.write(freeze))
    await entered.wait()
    async with asyncio.timeout(10):
        await beside.write(add)
    thawed.set()
    with pytest.raises(StoreError):
        await frozen
    assert await beside.read(count) == 1
    await database.write(add)
    assert await beside.read(count) == 2


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="read-only"):
        await database.read(lambda conn: conn.execute(text("DELETE FROM settings")))


async def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    database = open_database("postgresql+psycopg://raybot:geheim@127.0.0.1:1/raybot")
    with pytest.raises(StoreError, match="cannot be used") as told:
        await database.start()
    assert "geheim" not in str(told.value)
    assert "geheim" not in database.place


@pytest.mark.parametrize("address", ["postgresql://", "postgresql+psycopg://host:x/raybot"])
def test_an_address_that_names_no_database_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="database_url"):
        open_database(address)


async def test_it_is_copied_by_its_own_tool(database: Database, tmp_path: object) -> None:
    with pytest.raises(InvalidRequest, match="pg_dump"):
        database.back_up(tmp_path / "copy")  # type: ignore[operator]  # a path, as pytest gives it
