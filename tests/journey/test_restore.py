"""A backup while jobs run, and a start from it: nothing is paid twice, nothing posted twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.cli import restore
from bot.cli.checkup import inspect
from bot.clock import SystemClock
from bot.errors import ConfigError, InvalidRequest, SchemaTooNew, StoreError
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Simulator
from bot.store import attempts, jobs, moving, replace_file
from bot.store.database import open_database
from bot.store.schema import COPY
from bot.store.sqlite import SqliteDatabase
from bot.wiring.startup import database_url
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.postgres import empty_database, postgres_database


async def copy(bot: RunningBot, target: Path) -> Path:
    """As `raybot backup` does, while the bot runs."""
    await bot.app.database.back_up(target)
    return target


def put_back(bot: RunningBot, backup: Path) -> str:
    return restore.put_back(open_database(database_url(bot.config)), backup)


@pytest.fixture
def again(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> Callable[..., Any]:
    """The same bot, the same world."""

    def start(**tables: Any) -> Any:
        config = to_test_config(tmp_path, simulator, **tables)
        return running(config, simulator, chat, clock)

    return start


async def finish(bot: RunningBot) -> None:
    for each in list(bot.simulator.generations.values()):
        if not each.is_over:
            await bot.simulator.finish(each.id)


async def test_what_was_done_since_the_backup_is_not_done_again(
    tmp_path: Path, again: Callable[..., Any]
) -> None:
    tables = {"luma": {"running_limit": 1}, "limits": {"confirm_above_usd": 0.15}}
    async with again(**tables) as bot:
        running_one = await bot.ask(resolution="540p")
        await bot.until(running_one, JobState.GENERATING)
        waiting = await bot.ask("a wave", resolution="540p")
        await bot.until(waiting, JobState.ACCEPTED)
        asked = await bot.ask("a dear one", resolution="720p")
        assert (await bot.job(asked)).state is JobState.RECEIVED
        backup = await copy(bot, tmp_path / "copy.db")
        # All three go on: made, paid, posted.
        await finish(bot)
        await bot.delivered(running_one)
        await bot.simulator.wait_for_creates(2)
        await finish(bot)
        await bot.delivered(waiting)
        await bot.studio.confirm(asked, (await bot.job(asked)).request.requester)
        await bot.simulator.wait_for_creates(3)
        await finish(bot)
        await bot.delivered(asked)
        with pytest.raises(ConfigError):
            put_back(bot, backup)
        posted = len(bot.chat.clips())

    said = put_back(bot, backup)
    assert (
        f"`raybot unpark ID` lets it go on, and `raybot resolve ID release` ends it: {waiting}"
        in said
    )
    async with again(**tables) as bot:
        job = await bot.delivered(running_one)
        assert job.cost > 0
        for _ in range(5):
            await bot.clock.let_pass(minutes=10)
        assert len(bot.simulator.generations) == 3
        assert len(bot.chat.clips()) == posted == 3
        assert (await bot.job(asked)).state is JobState.FAILED
        assert (await bot.job(waiting)).parked_at is not None
        assert any(waiting in each.sentence for each in await inspect(bot.app.database))
        # What really waited goes on when its operator says so.
        await bot.app.operations.unpark(waiting, actor="test")
        await bot.simulator.wait_for_creates(4)
        await finish(bot)
        await bot.delivered(waiting)
        await bot.check_books()


def dump(url: str, target: Path) -> datetime:
    """As docs/operations.md says, while the bot runs; when that was."""
    began = SystemClock().now()
    run_tool("pg_dump", "--format=custom", f"--file={target}", url.replace("+psycopg", ""))
    return began


def run_tool(name: str, *arguments: str) -> None:
    if (tool := shutil.which(name)) is None:
        pytest.skip(f"There is no {name}.")
    subprocess.run((tool, *arguments), check=True, timeout=60)


async def test_a_dump_of_postgresql_is_gone_on_from(
    tmp_path: Path, again: Callable[..., Any]
) -> None:
    with postgres_database() as url, empty_database() as other:
        table = {"database_url": url, "single_host": True}
        tables = {
            "bot": table,
            "luma": {"running_limit": 1},
            "limits": {"confirm_above_usd": 0.15},
        }
        async with again(**tables) as bot:
            running_one = await bot.ask(resolution="540p")
            await bot.until(running_one, JobState.GENERATING)
            waiting = await bot.ask("a wave", resolution="540p")
            await bot.until(waiting, JobState.ACCEPTED)
            asked = await bot.ask("a dear one", resolution="720p")
            since = await asyncio.to_thread(dump, url, tmp_path / "raybot.dump")
            await finish(bot)
            await bot.delivered(running_one)
            await bot.simulator.wait_for_creates(2)
            # A bot runs on it: nothing is changed.
            with pytest.raises(ConfigError, match=r"is used by .*Stop every Raybot"):
                await asyncio.to_thread(restore.settle, open_database(url), since.isoformat())
            assert (await bot.job(waiting)).parked_at is None
            await finish(bot)
            await bot.delivered(waiting)
            posted = len(bot.chat.clips())

        target = other.replace("+psycopg", "")
        run_tool("pg_restore", "--no-owner", f"--dbname={target}", str(tmp_path / "raybot.dump"))
        said = restore.settle(open_database(other), since.isoformat())
        assert "is restored. 1 job on its way is looked up at the next start." in said
        assert f"ends it: {waiting}" in said
        table["database_url"] = other
        async with again(**tables) as bot:
            job = await bot.delivered(running_one)
            assert job.cost > 0
            assert (await bot.job(asked)).state is JobState.FAILED
            assert (await bot.job(waiting)).parked_at is not None
            assert len(bot.simulator.generations) == len(bot.chat.clips()) == posted == 2
            await bot.check_books()


async def test_a_doubt_of_before_the_backup_is_never_sent_again_by_itself(
    tmp_path: Path, again: Callable[..., Any]
) -> None:
    """It was refused, sent again and made after the backup, with a secret that nobody knows."""
    async with again() as bot:
        bot.simulator.faults.drop("create", accepted=False)
        job_id = await bot.ask()
        await bot.until(job_id, JobState.SUBMITTING)
        backup = await copy(bot, tmp_path / "copy.db")
    put_back(bot, backup)
    async with again() as bot:
        async with asyncio.timeout(30):
            while (job := await bot.job(job_id)).state is JobState.SUBMITTING:
                await bot.clock.let_pass(seconds=20)
        assert job.state is JobState.UNCERTAIN
        assert not bot.simulator.generations
        await bot.app.operations.resolve(job_id, "release", generation_id=None, actor="test")
        await bot.check_books()


async def test_a_generation_that_failed_after_the_backup_is_not_tried_once_more(
    tmp_path: Path, again: Callable[..., Any]
) -> None:
    async with again() as bot:
        job_id = await bot.ask()
        await bot.until(job_id, JobState.GENERATING)
        backup = await copy(bot, tmp_path / "copy.db")
        # The service fails, and makes it at the second try.
        [first] = bot.simulator.generations
        await bot.simulator.fail(first)
        await bot.simulator.wait_for_creates(2)
        await finish(bot)
        await bot.delivered(job_id)
    put_back(bot, backup)
    async with again() as bot:
        job = await bot.until(job_id, JobState.FAILED)
        assert (job.cost, len(bot.simulator.generations)) == (0, 2)
        await bot.check_books()


async def test_a_backup_is_not_started_from_by_mistake(
    tmp_path: Path, again: Callable[..., Any]
) -> None:
    async with again() as bot:
        await bot.ask()
        backup = await copy(bot, tmp_path / "copy.db")
        path = Path(bot.app.database.place)
    path.write_bytes(backup.read_bytes())
    with pytest.raises(ConfigError, match=r"is a backup.*raybot restore"):
        await again().__aenter__()
    elsewhere = SqliteDatabase(f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(InvalidRequest, match="raybot restore"):
        moving.move(SqliteDatabase(f"sqlite:///{backup}"), elsewhere, lambda *_: None)
    with pytest.raises(StoreError, match="cannot be read as a database"):
        put_back(bot, tmp_path / "data" / "secret.key")
    (live := tmp_path / "live.db").write_bytes(backup.read_bytes())
    with closing(sqlite3.connect(live)) as conn:
        conn.execute("DELETE FROM settings WHERE scope = ?", (COPY,))
        conn.commit()
    with pytest.raises(InvalidRequest, match=rf"^{live} is no copy .* --since TIME"):
        put_back(bot, live)
    # One that was copied by other means, and is in place already.
    put_back(bot, backup)
    said = restore.settle(open_database(database_url(bot.config)), "2026-11-01T00:00Z")
    assert " is restored. " in said
    with pytest.raises(InvalidRequest, match="such as 2026-11-22T03:00Z"):
        restore.settle(open_database(database_url(bot.config)), "yesterday")
    with pytest.raises(InvalidRequest, match=r"^2099-01-01T00:00Z is still to come; it is 20"):
        restore.settle(open_database(database_url(bot.config)), "2099-01-01T00:00Z")


async def test_a_copy_that_is_refused_leaves_nothing_beside_the_database(
    tmp_path: Path, again: Callable[..., Any]
) -> None:
    async with again() as bot:
        newer = await copy(bot, tmp_path / "newer.db")
    with closing(sqlite3.connect(newer)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
        conn.commit()
    there = sorted((tmp_path / "data").iterdir())
    with pytest.raises(SchemaTooNew):
        put_back(bot, newer)
    with pytest.raises(InvalidRequest, match=r"There is no file .*missing\.db"):
        put_back(bot, tmp_path / "missing.db")
    assert sorted((tmp_path / "data").iterdir()) == there


def put_back_until(step: int, path: Path, backup: Path) -> int:
    """In a process of its own that is killed at this change of a name; how it ended."""
    child = os.fork()
    if child == 0:
        left = step

        def on_event(event: str, _: object) -> None:
            nonlocal left
            is_step = event in ("os.rename", "os.remove")
            left -= is_step
            if is_step and left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(on_event)
        with suppress(BaseException):
            restore.put_back(SqliteDatabase(f"sqlite:///{path}"), backup)
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


OLD, COPIED = 1, 2


def whose(path: Path) -> int:
    """Which database it is; it has to be whole."""
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(conn.execute("PRAGMA user_version").fetchone()[0])


def test_a_restore_that_is_killed_anywhere_leaves_a_whole_database(tmp_path: Path) -> None:
    old, backup = tmp_path / "old.db", tmp_path / "copy.db"
    for path in (old, backup):
        SqliteDatabase(f"sqlite:///{path}").migrate()
    with closing(sqlite3.connect(backup)) as conn:
        conn.execute("INSERT INTO settings VALUES (?, ?)", (COPY, '{"at": "2026-11-22T12:00Z"}'))
        conn.execute(f"PRAGMA user_version = {COPIED}")
        conn.commit()
    with closing(sqlite3.connect(old)) as conn:
        conn.execute(f"PRAGMA user_version = {OLD}")
        conn.commit()
        # Its bot was killed: what was written last is not in the file itself yet.
        left = {each.name: each.read_bytes() for each in tmp_path.glob("old.db*")}
    found, ended = list[int](), -signal.SIGKILL
    while ended == -signal.SIGKILL:
        path = tmp_path / str(len(found)) / "old.db"
        path.parent.mkdir()
        for name, held in left.items():
            (path.parent / name).write_bytes(held)
        ended = put_back_until(len(found) + 1, path, backup)
        database = SqliteDatabase(f"sqlite:///{path}")
        assert database.exists()
        if replace_file.pending_path(path).exists():
            with pytest.raises(ConfigError, match="not finished yet"):
                asyncio.run(database.start_reading())
        # Whoever starts next finishes it, or it never was.
        database.lock()
        found.append(whose(path))
        database.unlock()
        kept = [whose(each) for each in path.parent.glob("*.old")]
        assert kept == [OLD] * (found[-1] == COPIED)
    assert ended == 0
    assert found == sorted(found), "from some step on it is the copy"
    assert set(found) == {OLD, COPIED}


async def test_a_backup_of_before_the_first_job_is_one(tmp_path: Path, again: Any) -> None:
    async with again() as bot:
        backup = await copy(bot, tmp_path / "copy.db")
        await bot.ask()
    put_back(bot, backup)
    kept = list((tmp_path / "data").glob("raybot.db.*.old"))
    assert len(kept) == 1
    async with again() as bot:
        assert await bot.app.database.read(jobs.open_ids) == []
        assert not await bot.app.database.read(
            lambda conn: attempts.was_restored(conn, JobId("r-none"))
        )
