"""PostgreSQL: one database that several processes of one bot write to, one transaction at a time.

Whoever writes holds one lock for as long as the transaction takes, so that limits, slots and
budgets are counted as with one writer: docs/decisions/0012-replicas.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    DisconnectionError,
    InternalError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import QueuePool

from bot.errors import CommitUnknown, ConfigError, InvalidRequest, StoreError
from bot.log import get_logger, register_secret
from bot.store.database import Database, cause
from bot.store.plain_text import keep_plain, to_json
from bot.store.revision import refuse_other
from bot.store.schema import COPY, HEAD, settings

READERS = 6
CONNECT_SECONDS = 5
#: How long the outcome of a commit is asked for whose answer was lost.
VERDICT_SECONDS = 10.0
VERDICT_PAUSE_SECONDS = 0.2
#: A connection that was closed is seen for a moment longer.
FAREWELL_SECONDS = 1.0
#: The lock of whoever writes, and the one of whoever migrates; any numbers of our own.
WRITING, MIGRATING = 0x5241_5942, 0x5241_594D
#: What ends only a connection: its failure, the server's end or start, an idle transaction's end.
CUT_OFF = ("08", "57P", "25P03")
log = get_logger(__name__)

#: A frozen process holds nothing up for longer: its transaction is ended by the server.
_SESSION = {
    "timezone": "UTC",
    # What is read after the lock was waited for is what holds then.
    "default_transaction_isolation": "read\\ committed",
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "20s",
    "statement_timeout": "60s",
}
#: A machine that is gone is noticed in about ten seconds.
_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": CONNECT_SECONDS,
}
_LOCK = f"SELECT pg_advisory_xact_lock({WRITING}), pg_current_xact_id()::text"
#: In one round trip; behind it waits for the lock whoever writes at the same time.
_BEGIN = f"BEGIN; {_LOCK}"
#: When a connection was used last, and how long it is as good as proved then.
USED_AT, FRESH_SECONDS = "used at", 1.0
#: What a connection knows once this was not found, behind the lock of whoever writes.
PROVED = "is not moved"
_MARK = select(settings.c.scope).where(settings.c.scope == COPY)
_IS_PLAIN = text("SELECT current_setting('server_encoding') = 'UTF8' AND 'B' < 'a'")
_HAS_REVISION = text("SELECT to_regclass('alembic_version')")
_REVISION = text("SELECT version_num FROM alembic_version")


_UNTIMED = text(
    "SELECT set_config('statement_timeout', '0', true), "
    "set_config('idle_in_transaction_session_timeout', '1h', true)"
)
#: Who else is connected; what the server itself runs there has no user.
_OTHERS = text(
    "SELECT DISTINCT coalesce(nullif(application_name, ''), 'a program') || ' of ' || usename "
    "FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid() "
    "AND usename IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'"
)
#: Sizes and the like, for which nobody asks.
_UNTOLD = (None,) * 5
_LOOK_AGAIN = text("SELECT pg_stat_clear_snapshot()")


class _BriefCursor(psycopg.Cursor[Any]):
    """Tells of its columns only their names and types.

    Whole descriptions of the forty of a job, made anew for each statement, cost more than its row.
    """

    @property
    def description(self) -> Any:
        """As the DB-API has it, with nothing in the last five places."""
        result = self.pgresult
        if result is None or result.status != ExecStatus.TUPLES_OK:
            return super().description
        names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
        return [(name, result.ftype(at), *_UNTOLD) for at, name in enumerate(names)]


class PostgresDatabase(Database):
    """One PostgreSQL database, shared with other processes of this bot."""

    commit_errors = (SQLAlchemyError, psycopg.Error)
    item_errors = (InternalError, OperationalError, ProgrammingError, DataError, psycopg.Error)
    # Each would be a round trip of its own, and few transactions fail.
    has_cheap_savepoints = False
    reads_at_once = READERS

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = postgres_url(url)

    @property
    def place(self) -> str:
        """Its name and its server."""
        where = self.url.host or "this machine"
        return f"PostgreSQL database {self.url.database} on {where}"

    @property
    def is_shared(self) -> bool:
        """Always."""
        return True

    def exists(self) -> bool:
        """It is made by its administrator; connecting shows whether it was."""
        return True

    def lock(self) -> None:
        """Nothing: each transaction takes the lock."""

    def unlock(self) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """One transaction under the lock of whoever writes, while nobody else is connected."""
        engine = writer_engine(self.url)
        try:
            with engine.begin() as conn:
                conn.execute(_UNTIMED)
                conn.exec_driver_sql(_LOCK)
                self._refuse_company(conn)
                yield conn
        finally:
            engine.dispose()

    def _refuse_company(self, conn: Connection) -> None:
        until = time.monotonic() + FAREWELL_SECONDS
        while others := conn.execute(_OTHERS).scalars().all():
            if time.monotonic() >= until:
                raise ConfigError(
                    f"{self.place} is used by {', '.join(others)}. Stop every Raybot and whatever "
                    "else is connected to it, and begin again."
                )
            threading.Event().wait(VERDICT_PAUSE_SECONDS)
            conn.execute(_LOOK_AGAIN)

    def migrate(self) -> None:
        """Bring the schema to this version, one process at a time."""
        from bot.store.migrations import migrate_shared

        engine = writer_engine(self.url)
        try:
            self._refuse_unfit(engine)
            migrate_shared(engine, MIGRATING)
        except (SQLAlchemyError, psycopg.Error) as error:
            raise StoreError(f"{self.place} keeps its schema, because: {cause(error)}.") from error
        finally:
            engine.dispose()

    def _refuse_unfit(self, engine: Engine) -> None:
        """Names are compared letter by letter, as in SQLite, and any letter can be typed."""
        with engine.connect() as conn:
            if not conn.execute(_IS_PLAIN).scalar_one():
                raise ConfigError(
                    f"{self.place} sorts texts by the rules of a language, or is not in UTF-8. "
                    "Make it anew: createdb --template=template0 --encoding=UTF8 --locale=C …"
                )

    async def back_up(self, target: Path) -> str:
        """PostgreSQL's own tool does it better."""
        address = self.url.set(drivername="postgresql", password=None)
        raise InvalidRequest(
            f"PostgreSQL copies itself: pg_dump --format=custom --file={target} "
            f"'{address.render_as_string()}', and pg_restore brings it back."
        )

    async def start(self) -> None:
        """Migrate, then open the writer and the readers."""
        if await asyncio.to_thread(self._revision) != HEAD:
            await asyncio.to_thread(self.migrate)
        self._open(batch_engine(self.url), reader_engine(self.url))

    async def start_reading(self) -> None:
        """Open only the readers, for commands that change nothing."""
        refuse_other(await asyncio.to_thread(self._revision))
        self._open_reading(reader_engine(self.url))

    async def describe(self) -> str:
        """PostgreSQL's version."""
        version = await self.read(
            lambda conn: conn.execute(text("SHOW server_version")).scalar_one()
        )
        return f"PostgreSQL {version}"

    def _revision(self) -> str | None:
        engine = writer_engine(self.url)
        try:
            with engine.connect() as conn:
                if conn.execute(_HAS_REVISION).scalar_one() is None:
                    return None
                return conn.execute(_REVISION).scalar_one_or_none()
        except SQLAlchemyError as error:
            raise StoreError(f"{self.place} cannot be used: {cause(error)}.") from error
        finally:
            engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, conn: Connection) -> Iterator[None]:
        """One COMMIT under the lock of whoever writes; a lost answer to it is asked for again."""
        is_committing = False
        number = ""
        try:
            with conn.begin():
                number = _begin(conn.connection.driver_connection)
                self._prove(conn)
                yield
                if self._has_failed(conn):
                    # Else the commit would undo it all and say nothing.
                    raise StoreError("The database did not take it. Nothing was changed.")
                is_committing = True
        except (DBAPIError, psycopg.Error):
            if not is_committing or not self._was_committed(number):
                raise
            log.warning("store.commit_answer_lost", transaction=number)

    def _prove(self, conn: Connection) -> None:
        """Refuse to write to what was moved elsewhere while this process was not connected."""
        if PROVED in conn.info:
            return
        if conn.execute(_MARK).first() is not None:
            raise StoreError("The database was moved elsewhere. Nothing was changed.")
        conn.info[PROVED] = True

    def _has_failed(self, conn: Connection) -> bool:
        driver: Any = conn.connection.driver_connection
        return bool(driver.info.transaction_status == TransactionStatus.INERROR)

    def _was_committed(self, number: str) -> bool:
        """What became of a transaction whose COMMIT was sent; raises `CommitUnknown`."""
        until = time.monotonic() + VERDICT_SECONDS
        verdict = None
        while verdict in (None, "in progress"):
            if time.monotonic() >= until:
                raise CommitUnknown
            try:
                with psycopg.connect(
                    conninfo(self.url), autocommit=True, **connect_args()
                ) as conn:
                    row = conn.execute("SELECT pg_xact_status(%s::xid8)", (number,)).fetchone()
                    verdict = row[0] if row is not None else "aborted"
            except psycopg.Error as error:
                log.warning("store.verdict_awaited", cause=cause(error))
            if verdict in (None, "in progress"):
                threading.Event().wait(VERDICT_PAUSE_SECONDS)
        return verdict == "committed"

    def _is_cut_off(self, error: Exception) -> bool:
        found = error.orig if isinstance(error, DBAPIError) else error
        # The end of an idle transaction is of the latter kind.
        if not isinstance(found, psycopg.OperationalError | psycopg.InternalError):
            return False
        return found.sqlstate is None or found.sqlstate.startswith(CUT_OFF)

    def _is_open(self, driver: Any) -> bool:
        status = driver.info.transaction_status
        return status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)


def postgres_url(url: str) -> URL:
    """The address for psycopg; its password is kept out of every log. Raises `ConfigError`."""
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:
        raise ConfigError("[bot] database_url is no address of a database.") from error
    if not parsed.database:
        raise ConfigError("[bot] database_url names no database after the host.")
    if parsed.password:
        register_secret(str(parsed.password))
    return parsed


def connect_args(**more: str) -> dict[str, Any]:
    """What each connection is opened with; `more` are settings of its session."""
    options = " ".join(f"-c {name}={value}" for name, value in (_SESSION | more).items())
    return {**_KEEPALIVES, "options": options}


def conninfo(url: URL) -> str:
    """The address as libpq reads it; with its password, so never to be shown."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def writer_engine(url: URL, **more: Any) -> Engine:
    """An engine of one writing connection, which is opened with `more`."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,  # Errors are logged, and rows hold what people wrote.
        connect_args=connect_args() | {"cursor_factory": _BriefCursor} | more,
        json_serializer=to_json,
    )
    keep_plain(engine)
    event.listen(engine, "checkout", _prove_alive)
    return engine


def batch_engine(url: URL) -> Engine:
    """The engine of whoever begins each transaction by `_begin`; the driver begins none."""
    return writer_engine(url, autocommit=True)


def _begin(driver: Any) -> str:
    """Begin a transaction and wait for the lock of whoever writes; returns its number."""
    cursor = driver.execute(_BEGIN)
    cursor.nextset()
    return str(cursor.fetchone()[1])


def has_spoken(driver: Any) -> bool:
    """Whether the server sent something that nobody asked for, such as its farewell."""
    idle = poll()
    idle.register(driver.fileno(), POLLIN)
    return bool(idle.poll(0))


def _prove_alive(driver: Any, record: Any, _: object) -> None:
    """Have a dead connection replaced; one that was used just now costs no round trip.

    Of that one only the farewell of its server is heard.
    """
    now = time.monotonic()
    is_fresh = now - record.info.get(USED_AT, -math.inf) < FRESH_SECONDS
    record.info[USED_AT] = now
    if not is_fresh or has_spoken(driver):
        try:
            driver.execute("")
            driver.rollback()  # Some drivers begin by themselves.
        except psycopg.Error as error:
            raise DisconnectionError from error


def reader_engine(url: URL) -> Engine:
    """An engine of read-only connections, not proved before use: a read that fails is repeated."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        # Each query sees what holds then anyway; to begin and to end costs as much as the query.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args=connect_args(default_transaction_read_only="on")
        | {"cursor_factory": _BriefCursor},
        json_serializer=to_json,
    )
    keep_plain(engine)
    return engine
