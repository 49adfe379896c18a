"""The one writing connection in its thread, and the readers; knows no table.

A store operation is one plain function of a transaction, so no `await` can stand inside one.
What waits in the writer's queue shares one COMMIT, each in a SAVEPOINT of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, StaticPool

from bot.errors import ConfigError, StoreBusy, StoreError
from bot.log import get_logger
from bot.store.schema import HEAD

BATCH = 256
QUEUE = 1000
READERS = 4
log = get_logger(__name__)
R = TypeVar("R")


@dataclass(frozen=True)
class Tx:
    """An open transaction: the connection, and what to do once it is durable."""

    conn: Connection
    hooks: list[Callable[[], None]] = field(default_factory=list)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run this on the event loop once the transaction is durable, before its caller goes on.

        A fault in it undoes nothing: it is logged, and the caller still gets the result.
        """
        self.hooks.append(call)


@dataclass
class _Item(Generic[R]):
    work: Callable[[Tx], R]
    future: asyncio.Future[R]
    hooks: list[Callable[[], None]] = field(default_factory=list)
    result: R | None = None
    error: BaseException | None = None

    def answer(self) -> None:
        """Tell the caller; runs on the event loop, after the commit and the hooks."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # None only if R is


class Database:
    """One SQLite file, opened by one process for writing."""

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url)
        self._queue: queue.Queue[_Item[Any] | None] = queue.Queue(QUEUE)
        self._lock: IO[str] | None = None
        self._writer: Engine | None = None
        self._reader: AsyncEngine | None = None
        self._thread: threading.Thread | None = None

    def lock(self) -> None:
        """Make this the only process that writes; raises `ConfigError` if another one runs."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = self.path.with_name(self.path.name + ".lock").open("a")
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.close()
            raise ConfigError(
                f"Another Raybot already uses {self.path}. Stop it first, or set another data_dir."
            ) from error
        self._lock = handle

    def unlock(self) -> None:
        """Let another process write."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def start(self) -> None:
        """Lock, migrate, then open the writer and the readers."""
        if self._lock is None:
            self.lock()
        if await asyncio.to_thread(_revision, self.path) != HEAD:
            # Here, because Alembic takes half a second that most starts need not spend.
            from bot.store.migrations import migrate

            await asyncio.to_thread(migrate, self.path)
        if (flaw := wal_flaw(sqlite3.sqlite_version_info)) is not None:
            log.info("store.wal_reset_bug", sentence=flaw)
        self._writer = writer_engine(self.path)
        self._reader = reader_engine(self.path)
        self._thread = threading.Thread(target=self._write_all, name="raybot-writer", daemon=True)
        self._thread.start()

    async def start_reading(self) -> None:
        """Open only the readers, for commands that change nothing."""
        if not self.path.exists():
            raise ConfigError(f"There is no database at {self.path} yet. Start the bot once.")
        if await asyncio.to_thread(_revision, self.path) != HEAD:
            raise StoreError("The database is of another version. Run `raybot migrate` once.")
        self._reader = reader_engine(self.path)

    async def stop(self) -> None:
        """Write what waits, then close everything and give the lock back."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(self._queue.put, None)
            await asyncio.to_thread(thread.join)
        if self._reader is not None:
            await self._reader.dispose()
            self._reader = None
        if self._writer is not None:
            self._writer.dispose()
            self._writer = None
        self.unlock()

    async def write(self, work: Callable[[Tx], R]) -> R:
        """Run one transaction; its result is durable when this returns.

        A caller that is cancelled has an unknown outcome. Raises `StoreBusy` where too many wait
        and `StoreError` where the database does not take it.
        """
        if self._thread is None:
            raise StoreError("The database is closed. Nothing was changed.")
        if not self._thread.is_alive():
            raise StoreError("The database's writer has died. Restart Raybot.")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Item(work, future))
        except queue.Full:
            raise StoreBusy from None
        return await future

    async def read(self, work: Callable[[Connection], R]) -> R:
        """Run queries on a read-only connection; raises `StoreError`."""
        assert self._reader is not None, "start() first"
        try:
            async with self._reader.connect() as conn:
                return await conn.run_sync(work)
        except SQLAlchemyError as error:
            raise StoreError(f"The database cannot be read: {_cause(error)}.") from error

    def _write_all(self) -> None:
        assert self._writer is not None
        is_open = True
        with self._writer.connect() as conn:
            while is_open:
                batch, is_open = self._next_batch()
                if not batch:
                    continue
                self._write_batch(conn, batch)
                _resolve(batch)

    def _next_batch(self) -> tuple[list[_Item[Any]], bool]:
        batch: list[_Item[Any]] = []
        with contextlib.suppress(queue.Empty):
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) == BATCH:
                    break
                item = self._queue.get_nowait()
            else:
                return batch, False
        return batch, True

    def _write_batch(self, conn: Connection, batch: list[_Item[Any]]) -> None:
        try:
            with conn.begin():
                for item in batch:
                    _run(conn, item)
        except (SQLAlchemyError, sqlite3.Error) as error:
            log.exception("store.commit_failed", items=len(batch))
            for item in batch:
                item.error = item.error or StoreError(
                    f"The database did not take it: {_cause(error)}. Nothing was changed."
                )
                item.error.__cause__ = error


def _run(conn: Connection, item: _Item[Any]) -> None:
    tx = Tx(conn)
    # Asked of the driver itself: through SQLAlchemy a savepoint costs as much as a small query.
    driver: Any = conn.connection.driver_connection
    driver.execute("SAVEPOINT item")
    try:
        item.result = item.work(tx)
        driver.execute("RELEASE item")
    except (OperationalError, sqlite3.OperationalError) as error:
        item.error = StoreError(f"The database did not take it: {_cause(error)}.")
        item.error.__cause__ = error
        # A full disk may have rolled back the whole batch, not only one item.
        if not driver.in_transaction:
            raise
        _undo(driver)
    except Exception as error:  # noqa: BLE001 - one item's failure is its caller's, not the batch's
        item.error = error
        _undo(driver)
    else:
        item.hooks = tx.hooks


def _undo(driver: Any) -> None:
    driver.execute("ROLLBACK TO item")
    driver.execute("RELEASE item")


def _resolve(batch: list[_Item[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Item[Any]]] = {}
    for item in batch:
        by_loop.setdefault(item.future.get_loop(), []).append(item)
    for loop, items in by_loop.items():
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(_resolve_all, items, loop)


def _resolve_all(items: list[_Item[Any]], loop: asyncio.AbstractEventLoop) -> None:
    """Each hook and each answer is a call of its own, in order.

    So one that raises is logged by the loop, and nobody in the batch waits for ever.
    """
    for item in items:
        if item.error is None:
            for hook in item.hooks:
                loop.call_soon(hook)
        loop.call_soon(item.answer)


def _cause(error: SQLAlchemyError | sqlite3.Error) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _revision(path: Path) -> str | None:
    """The schema's version as the file names it; None for a file that is new or empty."""
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{sqlite_uri(path)}?mode=ro", uri=True)) as conn:
            if not conn.execute(_HAS_REVISION).fetchone():
                return None
            row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read as a database: {error}.") from error
    return str(row[0]) if row else None


_HAS_REVISION = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"


def sqlite_uri(path: Path) -> str:
    """The file as SQLite names it in a URI: a folder's name may hold any character."""
    return f"file:{quote(str(path.absolute()))}"


def sqlite_path(url: str) -> Path:
    """The file behind `sqlite+aiosqlite:///path`; raises `ConfigError` for anything else."""
    for prefix in ("sqlite+aiosqlite:///", "sqlite:///"):
        if url.startswith(prefix) and len(url) > len(prefix):
            return Path(url.removeprefix(prefix))
    raise ConfigError(
        "[bot] database_url must look like sqlite+aiosqlite:///data/raybot.db in this version."
    )


def writer_engine(path: Path) -> Engine:
    """The engine of the one writing connection: WAL, full fsync, immediate transactions."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=StaticPool,
        hide_parameters=True,  # Errors are logged, and rows hold what people wrote.
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=5000",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reader_engine(path: Path) -> AsyncEngine:
    """An engine of read-only connections."""
    return create_async_engine(
        URL.create(
            "sqlite+aiosqlite",
            database=sqlite_uri(path),
            query={"mode": "ro", "uri": "true"},
        ),
        poolclass=AsyncAdaptedQueuePool,
        hide_parameters=True,
        pool_size=READERS,
        max_overflow=0,
        # A reader has nothing to roll back; doing so costs a sixth of a read.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        connect_args={"timeout": 5},
    )


def sqlite_version(conn: Connection) -> tuple[int, ...]:
    """The version of the SQLite library in use."""
    version = conn.execute(text("SELECT sqlite_version()")).scalar_one()
    return tuple(int(part) for part in str(version).split("."))


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose commits when two connections write (sqlite.org/wal.html)."""
    fixed_branches = ((3, 44, 6), (3, 50, 7))
    if version >= (3, 51, 3):
        return False
    return not any(version[:2] == fix[:2] and version >= fix for fix in fixed_branches)


def wal_flaw(version: tuple[int, ...]) -> str | None:
    """What the operator should know of this SQLite's WAL-reset bug; None where it has none."""
    if not has_wal_reset_bug(version):
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} has the WAL-reset bug (mended in 3.51.3, 3.50.7 "
        "and 3.44.6). Raybot's one writer avoids it, so let nothing else write to the file."
    )
