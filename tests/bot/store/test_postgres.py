"""PostgreSQL alone: several processes write, answers to commits are lost, holders freeze."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL
from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from bot.errors import CommitUnknown, ConfigError, InvalidRequest, StoreError
from bot.limits import LIMITS
from bot.store import copy_marker, jobs, ledger, places, postgres, settings
from bot.store.database import Database, open_database
from bot.store.postgres import PostgresDatabase
from bot.store.transaction import Tx
from bot.tables import LimitsTable
from tests.bot.store.conftest import NOW, to_plan
from tests.fakes import to_request
from tests.faults.outages import before
from tests.postgres import at_server, database_at, postgres_database, server

SCOPE = "discord:1:a"
ENDED = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid")
IS_THERE = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
AWAITED = text(
    "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database"
    " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
)
OTHERS_ENDED = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid != pg_backend_pid()"
)


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_database() as found:
        yield found


@pytest.fixture(autouse=True)
def farewells_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server may still see a connection that was closed, longer than people shall wait."""
    monkeypatch.setattr("bot.store.postgres.FAREWELL_SECONDS", 20.0)


@pytest.fixture
async def beside(url: str) -> AsyncIterator[Database]:
    """Another process's way to the same database."""
    opened = open_database(url)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut off is begun again, however long it took until then."""
    monkeypatch.setattr("bot.store.database.AGAIN_SECONDS", 60.0)


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


async def test_a_lost_answer_to_a_commit_is_not_asked_for_for_ever(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "VERDICT_SECONDS", 0.5)
    monkeypatch.setitem(postgres._KEEPALIVES, "connect_timeout", 2)
    async with before(url) as wire:
        behind = make_url(url).set(port=wire.port).render_as_string(hide_password=False)
        database, loop = open_database(behind), asyncio.get_running_loop()
        await database.start()

        def cut_for_good(tx: Tx) -> None:
            driver = tx.conn.connection.driver_connection
            assert driver is not None
            commit = driver.commit

            def cut() -> None:
                commit()
                asyncio.run_coroutine_threadsafe(wire.break_("blackhole"), loop).result(20)
                driver.execute("SELECT 1")

            driver.commit = cut

        async with asyncio.timeout(60):
            with pytest.raises(CommitUnknown):
                await database.write(cut_for_good)
        await wire.mend()
        await database.stop()


async def test_what_a_cut_connection_left_undone_is_done_once(
    database: Database, beside: Database, patient: None
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


async def test_a_connection_that_ended_unused_is_replaced_before_it_is_used(
    database: Database, beside: Database
) -> None:
    tries = []

    def note(tx: Tx) -> int:
        add(tx)
        tries.append(int(tx.conn.execute(text("SELECT pg_backend_pid()")).scalar_one()))
        return tries[-1]

    await _end(beside, await database.write(note))
    async with asyncio.timeout(30):
        while await beside.read(lambda conn: conn.execute(IS_THERE, {"pid": tries[0]}).scalar()):
            await asyncio.sleep(0.01)
    await database.write(note)
    assert len(set(tries)) == len(tries) == 2, "nothing of it ran twice"
    assert await beside.read(count) == 2


async def test_what_the_server_ended_for_its_silence_is_done_once(
    database: Database, beside: Database, patient: None
) -> None:
    """As of a process that was frozen for a while, or behind a wire that drips."""
    tries = []

    def silent_at_first(tx: Tx) -> None:
        add(tx)
        pid = tx.conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        tries.append(pid)
        if len(tries) == 1:
            tx.conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
            assert beside._writer is not None
            with beside._writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                while conn.execute(IS_THERE, {"pid": pid}).scalar_one():
                    pass
            tx.conn.execute(text("SELECT 1"))

    await database.write(silent_at_first)
    assert len(tries) == 2
    assert await beside.read(count) == 1


async def test_a_fault_that_its_transaction_kept_to_itself_is_told_all_the_same(
    database: Database,
) -> None:
    """Else its COMMIT would be a ROLLBACK, and its caller would hear of success."""

    def careless(tx: Tx) -> None:
        add(tx)
        with suppress(DBAPIError):
            tx.conn.execute(text("SELECT nonsense"))

    with pytest.raises(StoreError, match="Nothing was changed"):
        await database.write(careless)
    await database.write(add)
    assert await database.read(count) == 1


async def test_nobody_begins_on_what_is_being_moved_elsewhere(url: str) -> None:
    mover, late = PostgresDatabase(url), PostgresDatabase(url)
    late.migrate()
    with mover.alone() as conn:
        begun = asyncio.create_task(copy_marker.open_for_bot(late))
        while conn.execute(AWAITED).scalar_one() == 0:
            await asyncio.sleep(0)
        copy_marker.leave(conn, "the new one", NOW)
    with pytest.raises((ConfigError, StoreError), match="moved"):
        await begun
    await late.stop()


async def test_who_was_cut_off_during_a_move_writes_nothing_more(
    database: Database, url: str
) -> None:
    await database.write(add)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(OTHERS_ENDED)
    with PostgresDatabase(url).alone() as conn:
        copy_marker.leave(conn, "the new one", NOW)
    with pytest.raises(StoreError, match="moved elsewhere"):
        await database.write(add)
    assert await database.read(count) == 1


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
    async with asyncio.timeout(30):
        await beside.write(add)
    thawed.set()
    with pytest.raises(StoreError):
        await frozen
    assert await beside.read(count) == 1
    await database.write(add)
    assert await beside.read(count) == 2


def test_a_database_that_sorts_by_a_language_is_refused() -> None:
    """A reaction would not find its clip there: names are looked up by ranges of letters."""
    address, name = server(), f"test_{secrets.token_hex(6)}"
    create = "CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    at_server(address, SQL(create), name=name)
    try:
        database = PostgresDatabase(database_at(address, name))
        with pytest.raises(ConfigError, match=r"sorts texts .* --locale=C"):
            database.migrate()
        with database.alone() as conn:
            assert inspect(conn).get_table_names() == []
    finally:
        at_server(address, SQL("DROP DATABASE {name}"), name=name)


async def test_a_text_that_is_too_long_is_refused_in_a_sentence(database: Database) -> None:
    with pytest.raises(StoreError, match="value too long"):
        await database.write(lambda tx: settings.choose(tx, "s" * 201, {"n": "1"}))
    await database.write(add)
    assert await database.read(count) == 1


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
        await database.back_up(tmp_path / "copy")  # type: ignore[operator]  # a path, as pytest gives it


# ---- among many rows --------------------------------------------------------------------------

MANY = """
INSERT INTO jobs (id, dedupe_key, state, version, adapter, tenant, channel, person, prompt,
    request, model, provider, attempt, tries, broken, faults, created_at, accepted_at, ended_at,
    cost, is_test, list_price, provider_cost, seconds, crashes, cancel_requested)
SELECT 'r-' || n, 'many' || n, CASE WHEN is_open THEN 'accepted' ELSE 'delivered' END, 5,
    'recording', place, place || ':' || mod(n, 60), place || ':' || mod(n, 400),
    repeat('word ', 300), '{}', 'ray-flash-2', 'luma', 1, 0, 0, 0, at, at,
    CASE WHEN NOT is_open THEN at END, 100, false, 0, 0, 5, 0, false
FROM (SELECT n, mod(n, 50) = 0 AS is_open,
    'recording:' || CASE mod(n, 20) WHEN 1 THEN 'local' ELSE mod(n, 20)::text END AS place,
    timestamptz '2026-11-22 12:00Z' - n * interval '10 minutes' AS at
    FROM generate_series(1, 5000) AS n) AS each
"""
ALL_LIMITS = LimitsTable.model_validate(
    {each.key: 1_000_000 for each in LIMITS} | {"usd_per_person_per_day": 10_000}
)


ARE_ALL_SEEN = "SELECT relpages = relallvisible FROM pg_class WHERE relname = 'jobs'"


def plan_of(conn: Connection, calls: Callable[[Connection], object]) -> list[str]:
    """What the server would do for each statement that a function runs."""
    ran: list[tuple[str, Any]] = []

    def note(
        _conn: object, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        ran.append((statement, parameters))
        return statement, parameters

    event.listen(conn, "before_cursor_execute", note, retval=True)
    calls(conn)
    event.remove(conn, "before_cursor_execute", note)
    rows = [conn.exec_driver_sql(f"EXPLAIN {sql}", values) for sql, values in ran]
    return [str(row[0]) for found in rows for row in found]


def submit(conn: Connection) -> None:
    """All that a request reads and writes until it is accepted and let go."""
    tx, request = Tx(conn), to_request()
    places.standing(conn, request.requester, "general", NOW)
    job, _ = jobs.insert(tx, request, NOW)
    ledger.accept(tx, job, to_plan(request), ALL_LIMITS, NOW)
    jobs.line(conn, "luma")
    jobs.waiting(conn, "luma", NOW, slots=5, busy=2)
    jobs.running(conn, "luma", NOW)
    jobs.due_times(conn)


def settle(url: str) -> None:
    """Vacuum until all rows are known to be there for all; whoever just connects holds that up."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
        for _ in range(50):
            conn.execute("VACUUM (ANALYZE) jobs")
            if conn.execute(ARE_ALL_SEEN).fetchone() == (True,):
                return
    raise AssertionError("Something else holds an old snapshot.")


def test_a_request_reads_no_whole_table_of_jobs(url: str) -> None:
    database = PostgresDatabase(url)
    with database.alone() as conn:
        # Or VACUUM cannot tell yet that the rows are there for everybody.
        conn.exec_driver_sql("SET LOCAL synchronous_commit = on")
        conn.exec_driver_sql(MANY)
    settle(url)
    with database.alone() as conn:
        assert any("Seq Scan on jobs" in line for line in plan_of(conn, jobs.parked))
        plan = plan_of(conn, submit)
        assert [line for line in plan if "Seq Scan on jobs" in line] == []
        of_sums = [line for line in plan if "_accepted_at on jobs" in line]
        assert len(of_sums) >= 7, "a sum for each limit"
        [update] = [line for before, line in pairwise(plan) if before.startswith("Update on jobs")]
        assert "Index Scan using pk_jobs" in update, "not by its state, which many may have"
        conn.rollback()
