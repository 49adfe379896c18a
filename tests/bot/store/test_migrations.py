"""A file gets this version's schema once, keeps what it held, and is never taken back."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from bot.cli import restore
from bot.errors import ConfigError, SchemaTooNew, StoreError
from bot.store import copy_marker, migrations, schema
from bot.store.database import open_database
from bot.store.migrations import migrate
from bot.store.sqlite import writer_engine
from tests.bot.store.conftest import Books, to_url

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def url(path: Path) -> str:
    """These are about the file."""
    return to_url(path)


def dump(path: Path) -> list[str]:
    """All that a file holds, as SQL."""
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


def without_mark(path: Path) -> list[str]:
    """The same of a copy, which says that it is one and when it was made."""
    held = dump(path)
    [mark] = [line for line in held if line.startswith("INSERT INTO \"settings\" VALUES('copy',")]
    return [line for line in held if line != mark]


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as conn:
        for statement in statements:
            conn.execute(statement)
        conn.commit()


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as conn:
        found: str = conn.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        return found


async def start(path: Path) -> None:
    database = open_database(to_url(path))
    try:
        await database.start()
    finally:
        await database.stop()


# ---- the schema of this version ---------------------------------------------------------------


def test_the_named_head_is_the_newest_revision() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [schema.HEAD]


def test_revisions_follow_one_another_from_the_first() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    found = [each.revision for each in script.walk_revisions()]
    assert found == [f"{number:04}" for number in range(len(found), 0, -1)]


def test_the_tables_in_code_and_in_the_file_agree(path: Path) -> None:
    assert agrees(path)


# ---- starts -----------------------------------------------------------------------------------


async def test_a_new_file_gets_the_newest_schema(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "raybot.db"
    await start(path)
    assert revision(path) == schema.HEAD
    with closing(sqlite3.connect(path)) as conn:
        tables = {name for (name,) in conn.execute("SELECT name FROM sqlite_master")}
    assert set(schema.metadata.tables) <= tables
    assert sorted(each.name for each in path.parent.iterdir()) == ["raybot.db", "raybot.db.lock"]


async def test_a_second_start_changes_nothing(books: Books, path: Path) -> None:
    await books.received()
    await books.database.stop()
    before = dump(path)
    await start(path)
    assert dump(path) == before
    assert list(path.parent.glob("*.bak")) == []


LIGHT = """
import asyncio, sys
from bot.store.database import open_database
async def main():
    database = open_database(sys.argv[1])
    await database.start()
    await database.stop()
asyncio.run(main())
sys.exit("alembic" in sys.modules)
"""


def test_a_start_on_this_schema_does_not_load_alembic(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, to_url(path)], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "before",
    [
        (),
        ("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",),
    ],
)
async def test_an_empty_database_gets_the_schema(before: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "raybot.db"
    sql(path, "PRAGMA user_version = 1", *before)
    await start(path)
    assert revision(path) == schema.HEAD
    assert list(tmp_path.glob("*.bak")) == []


async def test_a_newer_schema_is_refused_and_left_alone(books: Books, path: Path) -> None:
    await books.received()
    await books.database.stop()
    sql(path, "UPDATE alembic_version SET version_num = '9999'", "CREATE TABLE newer (a)")
    before = dump(path)
    with pytest.raises(SchemaTooNew, match="newer Raybot"):
        await start(path)
    assert dump(path) == before
    assert list(path.parent.glob("*.bak")) == []


async def test_tables_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "raybot.db"
    sql(path, "CREATE TABLE jobs (mine)", "INSERT INTO jobs VALUES (1)")
    before = dump(path)
    with pytest.raises(StoreError, match=r"keeps its old schema, because: table jobs already"):
        await start(path)
    assert dump(path) == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "raybot.db"
    path.write_bytes(b"this is no database " * 200)
    with pytest.raises(StoreError, match=r"raybot\.db keeps its old schema"):
        migrate(path)


# ---- earlier releases ------------------------------------------------------------------------


def migrate_to(path: Path, revision: str) -> None:
    """A file as an earlier release left it."""
    config, engine = migrations._config(), writer_engine(path)
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, revision)
    engine.dispose()


def agrees(path: Path) -> bool:
    """Whether the file has exactly the tables of this version."""
    engine = writer_engine(path)
    with engine.connect() as conn:
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "compare_server_default": True}
        )
        differences: list[Any] = compare_metadata(context, schema.metadata)
    engine.dispose()
    return not differences


@pytest.mark.parametrize("before", [f"{number:04}" for number in range(1, int(schema.HEAD))])
async def test_every_earlier_schema_is_brought_here_with_what_it_held(
    before: str, tmp_path: Path
) -> None:
    path = tmp_path / "raybot.db"
    migrate_to(path, before)
    sql(
        path,
        "INSERT INTO settings VALUES ('recording:local:ana', '{\"loop\": \"true\"}')",
        "INSERT INTO blocks VALUES ('recording:local:ben', NULL, 'spam', '2026-11-22 12:00:00')",
    )
    held = dump(path)
    await start(path)
    assert revision(path) == schema.HEAD
    assert agrees(path)
    assert without_mark(path.with_name(f"raybot.db.{before}.bak")) == held
    assert {line for line in held if "INSERT" in line and "alembic" not in line} <= set(dump(path))


# ---- the next release -------------------------------------------------------------------------

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{before}"


def upgrade():
    op.add_column("jobs", sa.Column("mood", sa.Text(), nullable=True))
    op.execute("UPDATE jobs SET mood = 'glad'")
    {more}
"""

START = """
import asyncio, sys
from bot.errors import StoreError
from bot.store.database import open_database
async def main():
    database = open_database(sys.argv[1])
    try:
        await database.start()
        await database.write(lambda tx: None)
    except StoreError as error:
        sys.exit(error.sentence)
    finally:
        await database.stop()
asyncio.run(main())
"""


def start_next_release(
    tmp_path: Path, path: Path, more: str = ""
) -> subprocess.CompletedProcess[str]:
    """Start the program as it will be once it has one more revision."""
    package = tmp_path / "next" / "bot"
    shutil.copytree(ROOT / "bot", package, ignore=shutil.ignore_patterns("__pycache__"))
    revision = NEXT.format(before=schema.HEAD, more=more)
    (package / "store" / "migrations" / "versions" / "9001_mood.py").write_text(revision)
    tables = package / "store" / "schema.py"
    tables.write_text(tables.read_text().replace(f'HEAD = "{schema.HEAD}"', 'HEAD = "9001"'))
    return subprocess.run(
        [sys.executable, "-c", START, to_url(path)],
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_an_older_schema_is_migrated_after_a_backup(
    books: Books, path: Path, tmp_path: Path
) -> None:
    job = await books.received(prompt="kept over the update")
    await books.database.stop()
    before = dump(path)
    done = start_next_release(tmp_path, path)
    assert done.returncode == 0, done.stderr
    assert revision(path) == "9001"
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT id, prompt, mood FROM jobs").fetchall() == [
            (job.id, "kept over the update", "glad")
        ]
    assert without_mark(path.with_name(f"raybot.db.{schema.HEAD}.bak")) == before
    with pytest.raises(SchemaTooNew):
        await start(path)


async def test_the_copy_before_a_migration_is_restored_and_not_started_from(
    books: Books, path: Path, tmp_path: Path
) -> None:
    """What waited then may have been made and paid by the next release."""
    job = await books.accept(await books.received(), 100)
    await books.database.stop()
    assert start_next_release(tmp_path, path).returncode == 0
    kept = path.with_name(f"raybot.db.{schema.HEAD}.bak")
    by_hand = tmp_path / "by hand.db"
    by_hand.write_bytes(kept.read_bytes())
    database = open_database(to_url(by_hand))
    with pytest.raises(ConfigError, match=r"is a backup.*raybot restore"):
        await copy_marker.open_for_bot(database)
    await database.stop()
    said = restore.put_back(open_database(to_url(path)), kept)
    assert f"ends it: {job.id}" in said
    await start(path)


async def test_a_restored_backup_of_an_earlier_schema_leaves_no_copy_of_itself(
    tmp_path: Path,
) -> None:
    earlier, backup = tmp_path / "earlier.db", tmp_path / "backup.db"
    migrate_to(earlier, "0005")
    await open_database(to_url(earlier)).back_up(backup)
    path = tmp_path / "data" / "raybot.db"
    restore.put_back(open_database(to_url(path)), backup)
    assert revision(path) == schema.HEAD
    assert sorted(each.name for each in path.parent.iterdir()) == ["raybot.db", "raybot.db.lock"]


async def test_a_migration_that_fails_leaves_the_old_schema(
    books: Books, path: Path, tmp_path: Path
) -> None:
    await books.received()
    await books.database.stop()
    before = dump(path)
    done = start_next_release(tmp_path, path, more='op.execute("UPDATE nowhere SET a = 1")')
    assert done.returncode == 1
    assert "raybot.db keeps its old schema, because: no such table: nowhere." in done.stderr
    assert "Traceback" not in done.stderr
    assert dump(path) == before
    await start(path)
