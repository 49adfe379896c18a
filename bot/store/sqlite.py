"""SQLite: one file, one process that writes, one writing connection.

Its readers are read-only connections beside it. Nothing else may write to the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.util import LRUCache

from bot.clock import SystemClock
from bot.errors import ConfigError, InvalidRequest, StoreError
from bot.log import get_logger
from bot.store import replace_file
from bot.store.database import SQLITE, Database
from bot.store.plain_text import keep_plain, to_json
from bot.store.revision import refuse_other
from bot.store.schema import COPY, HEAD

READERS = 2
#: Statements as SQL, for the writer and the readers of every file of this process.
_COMPILED: LRUCache[Any, Any] = LRUCache(1000)
log = get_logger(__name__)


class Dialect(SQLiteDialect_pysqlite):
    """SQLite's, equal to every other of its kind: what is compiled by one serves all."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


registry.register("sqlite.raybot", __name__, Dialect.__name__)


class SqliteDatabase(Database):
    """One SQLite file, opened by one process for writing."""

    commit_errors = (SQLAlchemyError, sqlite3.Error)
    item_errors = (OperationalError, sqlite3.OperationalError)
    has_cheap_savepoints = True
    reads_at_once = READERS

    def __init__(self, url: str) -> None:
        super().__init__()
        self.path = sqlite_path(url)
        self._lock: IO[str] | None = None

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def is_shared(self) -> bool:
        """Never."""
        return False

    def exists(self) -> bool:
        """Whether there is such a file."""
        return replace_file.is_there(self.path) or replace_file.is_there(
            replace_file.pending_path(self.path)
        )

    def lock(self) -> None:
        """Make this the only process that writes; raises `ConfigError` if another one runs."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        self._finish_restore()

    def _finish_restore(self) -> None:
        try:
            kept = replace_file.finish(self.path)
        except OSError as error:
            self.unlock()
            raise ConfigError(
                f"{replace_file.pending_path(self.path)} cannot be put in the place of "
                f"{self.path}: {error.strerror}."
            ) from error
        if kept is not None:
            log.warning("store.restore_finished", kept=str(kept))

    def unlock(self) -> None:
        """Let another process write."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """One transaction; the lock keeps others away."""
        engine = writer_engine(self.path)
        try:
            with engine.begin() as conn:
                yield conn
        finally:
            engine.dispose()

    def migrate(self) -> None:
        """Bring the file to this version's schema; one that has an older is copied first."""
        # Here, because Alembic takes half a second that most starts need not spend.
        from bot.store.migrations import migrate

        replace_file.make_private(self.path)
        migrate(self.path)

    async def back_up(self, target: Path) -> str:
        """SQLite's own online copy, which gets its name once it is whole and checked."""
        self._check_copy(target)
        unfinished = target.with_name(f"{target.name}.new")
        try:
            replace_file.remove(unfinished)
            replace_file.make_private(unfinished)
            await self._copy_to(unfinished)
            unfinished.replace(target)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}.") from error
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} was not copied, because: {error}.") from error
        finally:
            replace_file.remove(unfinished)
        return f"Copied to {target}."

    def _check_copy(self, target: Path) -> None:
        if not replace_file.is_there(self.path):
            raise InvalidRequest(f"There is no database at {self.path}.")
        if not self.path.is_file():
            raise StoreError(f"{self.path} is no file, so there is nothing to copy.")
        if replace_file.is_there(target):
            raise InvalidRequest(f"{target} exists already.")
        if not target.parent.is_dir():
            raise InvalidRequest(f"There is no folder {target.parent}. Make it first.")

    async def _copy_to(self, target: Path) -> None:
        async with (
            aiosqlite.connect(f"{sqlite_uri(self.path)}?mode=ro", uri=True) as old,
            aiosqlite.connect(target) as copy,
        ):
            await old.backup(copy)
            if await copy.execute_fetchall(_HAS_REVISION):  # A new file has no tables yet.
                await copy.execute(*as_copy())
                await copy.commit()
            verdicts = await copy.execute_fetchall("PRAGMA integrity_check")
        if (verdict := next(iter(verdicts))[0]) != "ok":
            raise StoreError(f"{self.path} was not copied: the copy is damaged ({verdict}).")

    async def start(self) -> None:
        """Lock, migrate, then open the writer and the readers."""
        if self._lock is None:
            self.lock()
        if await asyncio.to_thread(_revision, self.path) != HEAD:
            await asyncio.to_thread(self.migrate)
        if (flaw := wal_flaw(sqlite3.sqlite_version_info)) is not None:
            log.info("store.wal_reset_bug", sentence=flaw)
        self._open(writer_engine(self.path), reader_engine(self.path))

    async def start_reading(self) -> None:
        """Open only the readers, for commands that change nothing."""
        if replace_file.is_there(replace_file.pending_path(self.path)):
            raise ConfigError(f"A restore of {self.path} is not finished yet. Start the bot once.")
        if not replace_file.is_there(self.path):
            raise ConfigError(f"There is no database at {self.path} yet. Start the bot once.")
        refuse_other(await asyncio.to_thread(_revision, self.path))
        self._open_reading(reader_engine(self.path))

    async def describe(self) -> str:
        """SQLite's version, and its flaw if it has it."""
        version = await self.read(sqlite_version)
        return wal_flaw(version) or f"SQLite {'.'.join(map(str, version))}"

    def _is_open(self, driver: Any) -> bool:
        return bool(driver.in_transaction)


def copy_into(copy: Path, target: Path) -> Path:
    """A backup as a file of this version; raises `InvalidRequest` and `StoreError`."""
    if _revision(copy) is None:
        raise InvalidRequest(f"{copy} is no backup of Raybot.")
    replace_file.remove(target)  # What a restore that was killed left there belongs to none.
    replace_file.make_private(target)
    with (
        contextlib.closing(sqlite3.connect(f"{sqlite_uri(copy)}?mode=ro", uri=True)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        verdict = new.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise StoreError(f"{copy} is damaged: {verdict}.")
    if _revision(target) != HEAD:
        from bot.store.migrations import migrate  # It takes half a second, as in `migrate` above.

        migrate(target, is_copy=True)
    return target


def as_copy() -> tuple[str, tuple[str, str]]:
    """What lets a copy say that it is one: nobody goes on from it as if nothing had been since.

    What is a copy itself, or was moved elsewhere, says since when already.
    """
    at = json.dumps({"at": SystemClock().now().isoformat()})
    return "INSERT OR IGNORE INTO settings VALUES (?, ?)", (COPY, at)


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
    for prefix in SQLITE:
        if url.startswith(prefix) and len(url) > len(prefix):
            return Path(url.removeprefix(prefix))
    raise ConfigError("[bot] database_url must look like sqlite+aiosqlite:///data/raybot.db here.")


def writer_engine(path: Path) -> Engine:
    """The engine of the one writing connection: WAL, full fsync, immediate transactions."""
    engine = create_engine(
        URL.create("sqlite+raybot", database=str(path)),
        poolclass=StaticPool,
        execution_options={"compiled_cache": _COMPILED},
        # Every transaction ends by itself.
        pool_reset_on_return=None,
        hide_parameters=True,  # Errors are logged, and rows hold what people wrote.
        connect_args={"check_same_thread": False},
        json_serializer=to_json,
    )
    keep_plain(engine)

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


def reader_engine(path: Path) -> Engine:
    """An engine of read-only connections."""
    engine = create_engine(
        URL.create(
            "sqlite+raybot",
            database=sqlite_uri(path),
            query={"mode": "ro", "uri": "true"},
        ),
        poolclass=QueuePool,
        execution_options={"compiled_cache": _COMPILED},
        hide_parameters=True,
        pool_size=READERS,
        max_overflow=0,
        # A reader has nothing to roll back; doing so costs a sixth of a read.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        connect_args={"timeout": 5, "check_same_thread": False},
        json_serializer=to_json,
    )
    keep_plain(engine)
    return engine


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
