"""Schema versions, forward only: a start on an older schema migrates it after a backup."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from bot.errors import SchemaTooNew, StoreError
from bot.store.database import writer_engine


def migrate(path: Path) -> None:
    """Bring the file to this version's schema; raises `SchemaTooNew` or `StoreError`.

    A file that has an older schema is copied to `<name>.<revision>.bak` first.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    engine = writer_engine(path)
    try:
        # One transaction, DDL included: a crash in the middle leaves the old schema.
        with engine.begin() as conn:
            current = _current(conn, script)
            if current == script.get_current_head():
                return
            if current is not None:
                _back_up(path, path.with_name(f"{path.name}.{current}.bak"))
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = str(getattr(error, "orig", None) or error)
        raise StoreError(f"{path} keeps its old schema, because: {cause}.") from error
    finally:
        engine.dispose()


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
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
