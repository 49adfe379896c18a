"""One writer of transactions in its thread, and the readers; knows no table and no database.

A store operation is one plain function of a transaction, so no `await` can stand inside one.
What waits in the writer's queue shares one COMMIT, and each that fails is undone alone: so it may
be run twice before its caller hears of it. Which database it is, `bot.store.sqlite` and
`bot.store.postgres` know.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from logging import ERROR, WARNING
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.errors import ConfigError, StoreBusy, StoreError
from bot.log import get_logger
from bot.store.transaction import Item, Tx, resolve

BATCH = 256
QUEUE = 1000
#: How long a cut-off write is tried again before its callers hear of it, and the pause between.
AGAIN_SECONDS, AGAIN_PAUSE_SECONDS = 2.0, 0.2
#: What fails for the same cause is logged no more often.
TELL_SECONDS = 10.0
SQLITE = ("sqlite+aiosqlite:///", "sqlite:///")
POSTGRES = ("postgresql+psycopg://", "postgresql://")
log = get_logger(__name__)
R = TypeVar("R")


class _Alone(Exception):
    """The only item of a transaction failed, so that the whole of it is undone."""


class _Again(Exception):
    """One of several failed, and nothing tells its writes from theirs: all run once more."""


class _Told:
    """Logs what fails again and again while a database is away: each cause now and then."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str], float] = {}
        self._times: dict[tuple[str, str], int] = {}

    def tell(self, level: int, what: str, error: Exception, *, items: int) -> None:
        """A line, unless there was one just now; `times` counts those that had none, too."""
        log.debug("store.traceback", of=what, exc_info=error)
        kind, now = type(getattr(error, "orig", None) or error).__name__, time.monotonic()
        times = self._times[what, kind] = self._times.get((what, kind), 0) + 1
        if now - self._at.get((what, kind), -math.inf) >= TELL_SECONDS:
            self._at[what, kind], self._times[what, kind] = now, 0
            log.log(level, what, kind=kind, cause=cause(error), items=items, times=times)


class Database(ABC):
    """One database, with this process's one writer and its readers."""

    #: What a commit fails with, and what one transaction does where the database is at fault.
    commit_errors: tuple[type[Exception], ...]
    item_errors: tuple[type[Exception], ...]
    #: Whether each of several transactions gets a savepoint; else only once one of them failed.
    has_cheap_savepoints: bool
    #: Maximum of reads at the same time, each on a connection of its own.
    reads_at_once: int

    def __init__(self) -> None:
        self._queue: queue.Queue[Item[Any] | None] = queue.Queue(QUEUE)
        self._writer: Engine | None = None
        self._reader: Engine | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._thread: threading.Thread | None = None
        self._told = _Told()

    # ---- which one it is -----------------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people; without any secret."""

    @property
    @abstractmethod
    def is_shared(self) -> bool:
        """Whether other processes of this bot may write to it at the same time."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is one yet; True where that only shows on connecting."""

    @abstractmethod
    def lock(self) -> None:
        """Be the only process that writes, where only one may; raises `ConfigError` if not."""

    @abstractmethod
    def unlock(self) -> None:
        """Let another process write."""

    @abstractmethod
    def alone(self) -> contextlib.AbstractContextManager[Connection]:
        """One long transaction, under `lock()`; raises `ConfigError` where others are here."""

    @abstractmethod
    def migrate(self) -> None:
        """Bring it to this version's schema; raises `SchemaTooNew` and `StoreError`."""

    @abstractmethod
    async def back_up(self, target: Path) -> str:
        """Copy it while it is used, and say so; raises `InvalidRequest` and `StoreError`."""

    @abstractmethod
    async def start(self) -> None:
        """Lock, migrate, then open the writer and the readers."""

    @abstractmethod
    async def start_reading(self) -> None:
        """Open only the readers, for commands that change nothing."""

    @abstractmethod
    async def describe(self) -> str:
        """What it is and what its operator should know of it."""

    # ---- what is the same everywhere -----------------------------------------------------

    def _open(self, writer: Engine, reader: Engine) -> None:
        self._open_reading(reader)
        self._writer = writer
        self._thread = threading.Thread(target=self._write_all, name="raybot-writer", daemon=True)
        self._thread.start()

    def _open_reading(self, reader: Engine) -> None:
        self._reader = reader
        self._readers = ThreadPoolExecutor(self.reads_at_once, thread_name_prefix="raybot-reader")

    async def stop(self) -> None:
        """Write what waits, then close everything and give the lock back."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(self._queue.put, None)
            await asyncio.to_thread(thread.join)
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
            self._readers = None
        if self._reader is not None:
            self._reader.dispose()
            self._reader = None
        if self._writer is not None:
            self._writer.dispose()
            self._writer = None
        self.unlock()

    async def write(self, work: Callable[[Tx], R]) -> R:
        """Run one transaction; its result is durable when this returns.

        It may be run twice, so it changes nothing but rows; the rest is for `after_commit`.
        A caller that is cancelled has an unknown outcome. Raises `StoreBusy` where too many wait
        and `StoreError` where the database does not take it.
        """
        if self._thread is None:
            raise StoreError("The database is closed. Nothing was changed.")
        if not self._thread.is_alive():
            raise StoreError("The database's writer has died. Restart Raybot.")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(Item(work, future))
        except queue.Full:
            raise StoreBusy from None
        return await future

    async def read(self, work: Callable[[Connection], R]) -> R:
        """Run queries on a read-only connection, in a thread of its own; raises `StoreError`."""
        assert self._readers is not None, "start() first"
        loop = asyncio.get_running_loop()
        # One hop for all of its queries: asked one by one, each would cost more than the query.
        return await loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Connection], R]) -> R:
        try:
            try:
                return self._read_once(work)
            except SQLAlchemyError as error:
                if not self._is_cut_off(error):
                    raise
                return self._read_once(work)
        except SQLAlchemyError as error:
            if self._is_cut_off(error):
                raise StoreError("The database cannot be reached. Try again.") from error
            raise StoreError(f"The database cannot be read: {cause(error)}.") from error

    def _read_once(self, work: Callable[[Connection], R]) -> R:
        assert self._reader is not None
        with self._reader.connect() as conn:
            return work(conn)

    def _write_all(self) -> None:
        assert self._writer is not None
        is_open = True
        while is_open:
            batch, is_open = self._next_batch()
            if not batch:
                continue
            self._write_batch(self._writer, batch)
            resolve(batch)

    def _next_batch(self) -> tuple[list[Item[Any]], bool]:
        batch: list[Item[Any]] = []
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

    def _write_batch(self, writer: Engine, batch: list[Item[Any]]) -> None:
        until = time.monotonic() + AGAIN_SECONDS
        is_again = False
        while True:
            try:
                self._commit(writer, batch)
            except StoreError as error:
                log.exception("store.not_committed", items=len(batch))
                for item in batch:
                    item.error = item.error or error
            except self.commit_errors as error:
                if self._is_cut_off(error) and time.monotonic() < until:
                    if not is_again:
                        self._told.tell(WARNING, "store.cut_off", error, items=len(batch))
                    is_again = True
                    for item in batch:
                        item.start_over()
                    threading.Event().wait(AGAIN_PAUSE_SECONDS)
                    continue
                self._told.tell(ERROR, "store.commit_failed", error, items=len(batch))
                self._fail(batch, error)
            return

    def _fail(self, batch: list[Item[Any]], error: Exception) -> None:
        # Do not leak connection details into chat.
        why = (
            "cannot be reached" if self._is_cut_off(error) else f"did not take it: {cause(error)}"
        )
        for item in (each for each in batch if each.error is None):
            item.error = StoreError(f"The database {why}. Nothing was changed.")
            item.error.__cause__ = error

    def _is_cut_off(self, error: Exception) -> bool:
        """Whether only the connection ended, so that a new one may do it, from its beginning."""
        del error
        return False

    @contextlib.contextmanager
    def _transaction(self, conn: Connection) -> Iterator[None]:
        """One COMMIT; raises what the database does where it did not take it, or `StoreError`."""
        with conn.begin():
            yield

    def _commit(self, writer: Engine, batch: list[Item[Any]]) -> None:
        """One transaction for all, and where one of several fails another, with each apart."""
        try:
            self._commit_once(writer, batch, is_each=False)
        except _Again:
            for item in batch:
                item.start_over()
            self._commit_once(writer, batch, is_each=True)

    def _commit_once(self, writer: Engine, batch: list[Item[Any]], *, is_each: bool) -> None:
        with (
            contextlib.suppress(_Alone),
            writer.connect() as conn,
            self._transaction(conn),
        ):
            self._run_all(conn, batch, is_each=is_each)

    def _run_all(self, conn: Connection, batch: list[Item[Any]], *, is_each: bool) -> None:
        """Run them all; what they put off comes last, at once, unless `is_each`.

        Raises `_Alone` where the only one failed, and `_Again` where it takes another run, with
        `is_each`, to know which one failed and undo no other.
        """
        whole, is_alone = Tx(conn), len(batch) == 1
        for item in batch:
            self._run(whole, item, is_alone=is_alone, is_each=is_each or is_alone)
        try:
            whole.write_late()
        except Exception:
            if not self._is_open(conn.connection.driver_connection):
                raise
            raise _Again from None

    def _run(self, whole: Tx, item: Item[Any], *, is_alone: bool, is_each: bool) -> None:
        """Run one item; where it fails, only it is undone. Raises as `_run_all` does."""
        tx = Tx(whole.conn)
        # Asked of the driver itself: through SQLAlchemy a savepoint costs as much as a query.
        driver: Any = whole.conn.connection.driver_connection
        is_apart = not is_alone and (is_each or self.has_cheap_savepoints)
        if is_apart:
            # Savepoints reuse one name and are never released; COMMIT drops them.
            driver.execute("SAVEPOINT item")
        try:
            item.result = item.work(tx)
            if is_each:
                tx.write_late()
        except self.item_errors as error:
            # A full disk or a lost connection took the whole batch, not only one item.
            if not self._is_open(driver):
                raise
            item.error = StoreError(f"The database did not take it: {cause(error)}.")
            item.error.__cause__ = error
        except Exception as error:  # noqa: BLE001 - one item's failure is its caller's alone
            item.error = error
        else:
            item.hooks = tx.hooks
            for write, rows in () if is_each else tx.late.items():
                whole.late.setdefault(write, []).extend(rows)
            return
        if is_alone:
            raise _Alone
        if not is_apart:
            raise _Again
        driver.execute("ROLLBACK TO SAVEPOINT item")

    @abstractmethod
    def _is_open(self, driver: Any) -> bool:
        """Whether the driver's transaction can go on after an error."""


def open_database(url: str) -> Database:
    """The database at this address, still closed; raises `ConfigError` for an unknown one."""
    # Each where it is needed: a driver that is not used need not be there.
    if url.startswith(SQLITE):
        from bot.store.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if url.startswith(POSTGRES):
        try:
            from bot.store.postgres import PostgresDatabase
        except ImportError as error:
            raise ConfigError(
                "PostgreSQL needs more packages: install raybot[postgres], in a checkout with "
                "`make postgres`, for the image with PACKAGES=postgres in .env and a new build."
            ) from error

        return PostgresDatabase(url)
    raise ConfigError(
        "[bot] database_url must look like sqlite+aiosqlite:///data/raybot.db or "
        "postgresql+psycopg://raybot@host/raybot."
    )


def cause(error: BaseException) -> str:
    """What the database said of an error, in a line."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0].rstrip(".") if said else type(error).__name__
