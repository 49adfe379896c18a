"""Schema versions, forward only: a start on an older schema migrates it after a backup."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from bot.errors import SchemaTooNew, StoreError
from bot.log import get_logger
from bot.store.database import cause
from bot.store.replace_file import make_private
from bot.store.sqlite import as_copy, writer_engine

log = get_logger(__name__)


def migrate(path: Path, *, is_copy: bool = False) -> None:
    """Bring the file to this version's schema; raises `SchemaTooNew` or `StoreError`.

    One that has an older schema, and is no copy itself, goes to `<name>.<revision>.bak` first.
    """
    engine = writer_engine(path)

    def back_up(current: str) -> None:
        if not is_copy:
            _back_up(path, path.with_name(f"{path.name}.{current}.bak"))

    try:
        # One transaction, DDL included: a crash in the middle leaves the old schema.
        with engine.begin() as conn:
            _upgrade(conn, back_up)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"{path} keeps its old schema, because: {cause(error)}.") from error
    finally:
        engine.dispose()


def migrate_shared(engine: Engine, lock: int) -> None:
    """Migrate PostgreSQL in one process while others wait; raises `SchemaTooNew`.

    Its backup is its operator's: a dump may take longer than a start should.
    """
    with engine.begin() as conn:
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
        _upgrade(conn, lambda current: log.info("store.migrating", since=current))


def _upgrade(conn: Connection, before: Callable[[str], None]) -> None:
    config = _config()
    script = ScriptDirectory.from_config(config)
    current = _current(conn, script)
    if current == script.get_current_head():
        return
    if current is not None:
        before(current)
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _config() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _current(conn: Connection, script: ScriptDirectory) -> str | None:
    current = MigrationContext.configure(conn).get_current_revision()
    if current is not None and current not in {each.revision for each in script.walk_revisions()}:
        raise SchemaTooNew
    return current


def _back_up(path: Path, target: Path) -> None:
    make_private(target)
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute(*as_copy())
        copy.commit()
