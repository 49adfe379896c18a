"""A community moves from one database to another: everything, or nothing."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.cli import restore
from bot.cli.typed import migrate
from bot.errors import ConfigError, InvalidRequest, SchemaTooNew, StoreError
from bot.job import JobState
from bot.overview import Grant, Sitting
from bot.refs import JobId, MessageRef, Micros, ThreadRef
from bot.request import Requester
from bot.store import (
    allowances,
    complaints,
    copy_marker,
    errands,
    inbox,
    integrity,
    jobs,
    messages,
    moving,
    places,
    settings,
    sittings,
    stars,
    vault,
)
from bot.store.database import Database, open_database
from bot.store.moving import Moved
from bot.store.schema import COPY, erasures, metadata
from bot.store.transaction import Tx
from tests.bot.store.conftest import NOW, Books, to_url
from tests.conftest import ROOT
from tests.postgres import postgres_database

TENANT, ANA = "recording:local", "recording:local:ana"
TYPIST = "recording:local:typist"
THREAD = ThreadRef(adapter="recording", workspace="local", channel="general")
TABLES = metadata.sorted_tables
STATES = (JobState.RECEIVED, JobState.ACCEPTED, JobState.GENERATING, JobState.DELIVERED)


async def community(path: Path) -> None:
    """A file in which every table has rows."""
    database = open_database(to_url(path))
    await database.start()
    books = Books(database)
    reached = [await books.reach(state) for state in STATES]
    failed = await books.end(await books.reach(JobState.ACCEPTED))
    await database.write(lambda tx: surroundings(tx, reached[-1].id, failed.id))
    await database.stop()


def surroundings(tx: Tx, shown: JobId, gone: JobId) -> None:
    messages.put(tx, "m", shown, MessageRef(thread=THREAD, message="1"), "digest")
    settings.choose(tx, ANA, {"prefix": "a “wide” shot"})
    settings.block(tx, f"{TENANT}:ben", until=None, reason="spam", now=NOW)
    settings.note_operator(tx, "key", "Look.", NOW, shown)
    settings.boot(tx, NOW)
    settings.write_audit(tx, NOW, actor=ANA, act="pause", target=TENANT, detail="")
    places.ask(tx, TENANT, name="Die Kächen", by=ANA, now=NOW)
    places.pause(tx, TENANT, at=NOW, by=ANA, message="Back soon")
    tx.conn.execute(erasures.insert(), {"job_id": gone, "is_gone": False})
    given = Grant(micros=Micros(5_000_000), at=NOW, until=NOW + timedelta(days=1))
    allowances.grant(tx, ANA, given, by="op")
    complaints.note(tx, shown, ANA, "odd", NOW)
    stars.put(tx, shown, ANA, NOW)
    errands.begin(tx, "e", shown, "letter", THREAD, NOW)
    who = Requester(adapter="operator", workspace="local", user="root")
    at_desk = Sitting(
        who=who, tenant="", has_desk=True, ends_at=NOW + timedelta(minutes=9), checked_at=NOW
    )
    sittings.add_link(tx, "a" * 64, at_desk)
    sittings.sit_down(tx, "b" * 64, at_desk)
    inbox.note(tx, "slack", "Ev1", {"text": "hello"}, NOW, by="one")
    vault.put(tx, "slack", "T1", "sealed", NOW)


@pytest.fixture(scope="module")
def filled(empty_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "raybot.db"
    shutil.copy(empty_file, path)
    asyncio.run(community(path))
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path / "raybot.db"))


@pytest.fixture(autouse=True)
def farewells_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server may still see a connection that was closed, longer than people shall wait."""
    monkeypatch.setattr("bot.store.postgres.FAREWELL_SECONDS", 20.0)


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of another database, with nothing in it."""
    if request.param == "sqlite":
        yield to_url(tmp_path / "other" / "raybot.db")
    else:
        with postgres_database() as found:
            yield found


@pytest.fixture
def shared() -> Iterator[str]:
    with postgres_database() as found:
        yield found


def moved(source: str, target: str) -> Moved:
    return moving.move(open_database(source), open_database(target), lambda *_: None)


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows but for the mark of what was moved away, as the program reads them."""
    database = open_database(url)
    with database.alone() as conn:
        return {
            each.name: [
                tuple(row)
                for row in conn.execute(select(each).order_by(*each.primary_key))
                if row[0] != COPY
            ]
            for each in metadata.sorted_tables
        }


def sql(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(statement, values)
        conn.commit()


# ---- everything -------------------------------------------------------------------------------


def test_every_table_is_moved_as_it_was(
    path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(to_url(path))
    assert [name for name, rows in before.items() if not rows] == [], "tables this test leaves out"
    migrate(source=to_url(path), target=target)
    assert content(target) == before == content(to_url(path))
    said = capsys.readouterr().out
    for name, rows in before.items():
        assert f"  {name.ljust(16)}  {len(rows):>9}\n" in said
    assert "secret.key" in said
    assert "but for a mark: a bot that is started on it says where it was moved to" in said
    assert ("single_host" in said) is target.startswith("postgres")


async def test_the_program_goes_on_where_it_was(path: Path, shared: str, tmp_path: Path) -> None:
    """Ids are counted on, and the way back is the same."""
    await asyncio.to_thread(moved, to_url(path), shared)
    database = open_database(shared)
    await database.start()
    books = Books(database)
    await books.reach(JobState.DELIVERED, user="new")
    [waiting] = await database.read(lambda conn: jobs.open_ids(conn, JobState.ACCEPTED))
    await books.end(await books.get(waiting))
    await database.write(lambda tx: settings.boot(tx, NOW))
    assert await books.broken() == {}
    await database.stop()
    back = to_url(tmp_path / "back.db")
    await asyncio.to_thread(moved, shared, back)
    assert content(back) == content(shared)


def test_what_cannot_be_kept_is_replaced_and_counted(
    path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier Raybot kept them; JSON holds halves of pairs, too."""
    sql(path, "UPDATE blocks SET reason = ?", "a\x00b")
    sql(
        path,
        "UPDATE settings SET chosen = ?",
        json.dumps({"prefix": "\ud83d\x00", "a": "\\u0000"}),
    )
    migrate(source=to_url(path), target=target)
    assert "in these rows: 1 of blocks, 1 of settings." in capsys.readouterr().out
    found = content(target)
    assert found["blocks"][0][2] == "a\ufffdb"
    assert found["settings"][0][1] == {"prefix": "\ufffd\ufffd", "a": "\\u0000"}


def test_more_than_one_batch(path: Path, shared: str) -> None:
    with closing(sqlite3.connect(path)) as conn:
        rows = [(f"n{n}", "2026-11-22 12:00:00.000000", "word") for n in range(moving.BATCH * 2)]
        conn.executemany("INSERT INTO operator_notices (key, at, sentence) VALUES (?, ?, ?)", rows)
        conn.commit()
    told: list[tuple[str, int, int]] = []
    done = moving.move(
        open_database(to_url(path)), open_database(shared), lambda *each: told.append(each)
    )
    most = moving.BATCH * 2 + 1
    assert done.rows["operator_notices"] == most
    notices = [each for each in told if each[0] == "operator_notices"]
    assert notices == [("operator_notices", n, most) for n in (1000, 2000, 2001)]


# ---- or nothing ---------------------------------------------------------------------------------


def test_a_bot_that_runs_is_not_moved(path: Path, shared: str) -> None:
    bot = open_database(to_url(path))
    bot.lock()
    with pytest.raises(ConfigError, match="already uses"):
        moved(to_url(path), shared)
    bot.unlock()
    assert not any(content(shared).values())


async def test_whoever_is_connected_is_named(
    path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = open_database(shared)
    await bot.start()
    await bot.write(lambda tx: None)
    with monkeypatch.context() as soon:
        soon.setattr("bot.store.postgres.FAREWELL_SECONDS", 0.3)
        with pytest.raises(ConfigError, match=r"is used by a program of .*Stop every Raybot"):
            await asyncio.to_thread(moved, to_url(path), shared)
    await bot.stop()
    assert not any(content(shared).values())


def test_what_holds_rows_is_no_target(path: Path, filled: Path, target: str) -> None:
    moved(to_url(path), target)
    before = content(target)
    path.write_bytes(filled.read_bytes())
    with pytest.raises(InvalidRequest, match=r"is not empty: there are rows in \w+\."):
        moved(to_url(path), target)
    assert content(target) == before


async def test_no_bot_begins_on_what_was_moved_until_it_is_said_what_became_of_the_other(
    path: Path, shared: str, tmp_path: Path
) -> None:
    there, place = tmp_path / "there.db", open_database(shared).place
    ways = ((to_url(path), shared, place), (shared, to_url(there), str(there)))
    sentences = []
    for source, target, to in ways:
        await asyncio.to_thread(moved, source, target)
        bot = open_database(source)
        with pytest.raises(ConfigError, match=f"was moved to {re.escape(to)} at ") as refused:
            await copy_marker.open_for_bot(bot)
        await bot.stop()
        sentences.append(str(refused.value))
        with pytest.raises(InvalidRequest, match="was moved to"):
            await asyncio.to_thread(moved, source, to_url(tmp_path / "third.db"))
    await back_from(path, sentences[0])
    new = open_database(to_url(there))
    await copy_marker.open_for_bot(new)
    await new.stop()


async def back_from(path: Path, sentence: str) -> None:
    """Do as the sentence says: what waited is not made by itself, it may have been elsewhere."""
    backup = path.with_name("backup.db")
    await open_database(to_url(path)).back_up(backup)
    for each in (path, backup):
        since = re.search(r"`raybot restore --since (\S+)`", sentence)
        assert since
        assert "put aside" in await asyncio.to_thread(
            restore.settle, open_database(to_url(each)), since[1]
        )
        old = open_database(to_url(each))
        await copy_marker.open_for_bot(old)
        await old.stop()


def test_what_cannot_be_marked_is_not_moved(path: Path, target: str) -> None:
    no_mark(path)
    with pytest.raises(StoreError, match="Nothing was moved"):
        moved(to_url(path), target)
    assert not any(content(target).values())


def no_mark(path: Path, but: str = "") -> None:
    """Let no mark be written that does not have this in it."""
    does_not = f"AND NEW.chosen NOT LIKE '%{but}%'" if but else ""
    sql(
        path,
        f"CREATE TRIGGER no_mark BEFORE INSERT ON settings WHEN NEW.scope = 'copy' {does_not} "
        "BEGIN SELECT RAISE(ABORT, 'no'); END",
    )


async def is_refused(url: str) -> str:
    """Why no bot begins on a database; empty where one does."""
    bot = open_database(url)
    try:
        await copy_marker.open_for_bot(bot)
    except ConfigError as error:
        return error.sentence
    finally:
        await bot.stop()
    return ""


async def test_a_move_that_is_cut_off_before_its_mark_leaves_one_to_begin_on(
    path: Path, target: str, tmp_path: Path
) -> None:
    before, place = content(to_url(path)), open_database(target).place
    no_mark(path, but="moving")
    with pytest.raises(StoreError, match=r"not known.*Run the same `raybot migrate` again"):
        await asyncio.to_thread(moved, to_url(path), target)
    assert content(target) == before
    assert f"was being moved to {place}" in await is_refused(to_url(path))
    with pytest.raises(InvalidRequest, match="was being moved to"):
        await asyncio.to_thread(moved, to_url(path), to_url(tmp_path / "third.db"))
    sql(path, "DROP TRIGGER no_mark")
    done = await asyncio.to_thread(moved, to_url(path), target)
    assert done.rows == {name: len(rows) for name, rows in before.items()}
    assert content(target) == before
    assert f"was moved to {place}" in await is_refused(to_url(path))
    assert await is_refused(target) == ""


async def test_what_went_on_since_a_move_was_cut_off_is_left_as_it_is(
    path: Path, target: str
) -> None:
    no_mark(path, but="moving")
    with pytest.raises(StoreError):
        await asyncio.to_thread(moved, to_url(path), target)
    sql(path, "DROP TRIGGER no_mark")
    with open_database(target).alone() as conn:
        settings.boot(Tx(conn), NOW)
    after = content(target)
    with pytest.raises(InvalidRequest, match="Where a bot went on there since, nothing is left"):
        await asyncio.to_thread(moved, to_url(path), target)
    assert content(target) == after
    assert "was being moved to" in await is_refused(to_url(path))


KILLED = """
import os, signal, sys
from bot.store import moving
moving.move(*moving.open_ends(*sys.argv[1:]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


async def test_a_move_that_is_killed_is_begun_anew(path: Path, target: str) -> None:
    before = content(to_url(path))
    command = (sys.executable, "-c", KILLED, to_url(path), target)
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert "Run the same `raybot migrate` again" in await is_refused(to_url(path))
    await asyncio.to_thread(moved, to_url(path), target)
    assert content(target) == before


def test_what_is_no_raybot_is_no_source(shared: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="There is no database"):
        moved(to_url(tmp_path / "none.db"), shared)
    other = tmp_path / "other.db"
    sql(other, "CREATE TABLE jobs (mine)")
    with pytest.raises(InvalidRequest, match="holds no Raybot"):
        moved(to_url(other), shared)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("none")] == []


@pytest.mark.parametrize(
    ("source", "target"), [("sqlite:///a.db", None), (None, "sqlite:///b.db")]
)
def test_a_move_needs_both_ends(source: str | None, target: str | None) -> None:
    with pytest.raises(InvalidRequest, match="needs both"):
        migrate(source=source, target=target)


def test_the_end_that_is_wrong_is_named_by_its_option(path: Path, tmp_path: Path) -> None:
    here = to_url(path)
    for source, target, says in (
        ("banana", here, "^--from must look like sqlite"),
        (here, "postgresql://fox@host", "^--to names no database"),
        (here, here, "^--from and --to are the same database"),
        (here, to_url(tmp_path / "folder" / ".." / path.name), "are the same database"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            migrate(source=source, target=target)


def test_a_newer_schema_is_refused(path: Path, shared: str) -> None:
    sql(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew):
        moved(to_url(path), shared)


def test_a_text_that_is_too_long_is_named(path: Path, shared: str) -> None:
    sql(path, "UPDATE operator_notices SET key = ?", "k" * 201)
    with pytest.raises(StoreError, match=r"operator_notices\.key of kkk+ has 201 characters"):
        moved(to_url(path), shared)
    assert not any(content(shared).values())


LOSES = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lose BEFORE INSERT ON stars FOR EACH ROW EXECUTE FUNCTION lose();
"""
ALTERS = """
CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN NEW.micros := NEW.micros + 1; RETURN NEW; END';
CREATE TRIGGER alter_it BEFORE INSERT ON ledger_entries FOR EACH ROW EXECUTE FUNCTION alter_it();
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (LOSES, "stars would differ, rows 1 in the one and rows 0 in the other"),
        (ALTERS, "ledger_entries would differ, .*micros 600 .*micros 606"),
    ],
)
def test_a_difference_is_named_and_takes_all_back(
    fault: str, said: str, path: Path, shared: str
) -> None:
    with open_database(shared).alone() as conn:
        conn.exec_driver_sql(fault)
    with pytest.raises(StoreError, match=said):
        moved(to_url(path), shared)
    assert not any(content(shared).values())


def test_a_move_that_died_is_begun_again(path: Path, target: str) -> None:
    class Killed(BaseException):
        """What nothing catches."""

    def die(table: str, *_: int) -> None:
        if table == "messages":
            raise Killed

    with pytest.raises(Killed):
        moving.move(open_database(to_url(path)), open_database(target), die)
    assert not any(content(target).values())
    moved(to_url(path), target)
    assert content(target) == content(to_url(path))


def test_broken_books_are_moved_as_they_are(
    path: Path, shared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(path, "UPDATE grants SET micros = 0")
    migrate(source=to_url(path), target=shared)
    assert "held on neither side, see raybot check: a grant is of money" in capsys.readouterr().out
    with open_database(shared).alone() as conn:
        assert list(integrity.broken_invariants(conn)) == [
            "a grant is of money and ends after it began"
        ]


# ---- the edge -----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("typed", ["a\x00b", "a\ud83db"])
async def test_what_people_type_can_always_be_kept_and_looked_for(
    typed: str, database: Database
) -> None:
    async def search(words: str) -> list[str]:
        found = await database.read(
            lambda conn: jobs.of_person(conn, TYPIST, search=words, page=1)
        )
        return [job.request.work.prompt for job in found]

    books = Books(database)
    job = await books.received(prompt=typed, key="typed", user="typist")
    assert job.request.work.prompt == "a\ufffdb"
    assert await search(typed) == await search("a\ufffd") == ["a\ufffdb"]
    assert await database.read(lambda conn: jobs.get_or_none(conn, JobId(typed))) is None
    await database.write(lambda tx: settings.choose(tx, TYPIST, {"suffix": typed, "a": "\\u0000"}))
    chosen = await database.read(lambda conn: settings.chosen(conn, TYPIST))
    assert chosen == {"suffix": "a\ufffdb", "a": "\\u0000"}
