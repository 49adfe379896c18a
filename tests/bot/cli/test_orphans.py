"""A check finds files without a job, jobs without their file, and payments that nobody has."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.cli import checkup
from bot.cli.orphans import compare
from bot.refs import JobId, MediaKey
from bot.store.schema import attempts, messages
from bot.store.transaction import Tx
from tests.conftest import RunningBot


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)


async def said(bot: RunningBot) -> tuple[str, str]:
    """What is well, and what needs the operator."""
    findings = await checkup._look_at_files(bot.config, bot.app.database, bot.app._media)
    findings += await checkup.inspect(bot.app.database)
    well = "\n".join(each.sentence for each in findings if each.is_well)
    return well, "\n".join(each.sentence for each in findings if not each.is_well)


async def test_what_belongs_to_nobody_is_found(bot: RunningBot, tmp_path: Path) -> None:
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.simulator.finish(next(iter(bot.simulator.generations)))
    job = await bot.delivered(job_id)
    assert await said(bot) == ("The books add up", "")

    media = tmp_path / "data" / "media"
    (media / "clips" / "r-nobody0000.mp4").write_bytes(b"clip")
    (media / "frames" / "r-nobody0001").mkdir(parents=True)
    (media / "frames" / "r-nobody0001" / "start.jpg").write_bytes(b"image")
    well, amiss = await said(bot)
    assert "2 kept files belong to no job" in well
    assert "clips/r-nobody0000.mp4, frames/r-nobody0001/start.jpg" in well
    assert amiss == ""

    assert job.clip is not None
    (media / job.clip.key).unlink()
    await bot.app.database.write(_give_up)
    well, amiss = await said(bot)
    assert f"The clips of 1 jobs are not kept any more: {job_id}" in amiss
    assert f"Generation {job.generation_id} of {job_id} was probably paid" in well


def _give_up(tx: Tx) -> None:
    tx.conn.execute(attempts.update().values(outcome="orphan"))


async def test_a_row_without_its_job_is_found(bot: RunningBot) -> None:
    with closing(sqlite3.connect(bot.app.database.place)) as file, file:
        row = ("r-nobody:status", "r-nobody", "{}")
        file.execute(f"INSERT INTO {messages.name} (key, job_id, memo) VALUES (?, ?, ?)", row)
    assert "Rows tell of jobs that there are not: r-nobody" in (await said(bot))[1]


class _Counted(str):
    """A key that counts how often it is looked up."""

    __slots__ = ()
    looked_up = 0

    def __hash__(self) -> int:
        type(self).looked_up += 1
        return super().__hash__()


def test_ten_times_the_clips_are_ten_times_the_work() -> None:
    keys = {JobId(f"r-{number:010}"): f"clips/r-{number:010}.mp4" for number in range(1000)}
    files = [MediaKey(_Counted(key)) for key in keys.values()]
    named = {job_id: MediaKey(key) for job_id, key in keys.items()}
    named[JobId("r-gone000000")] = MediaKey("clips/r-gone000000.mp4")
    strays, gone = compare(files[:-1], set(keys) - {JobId("r-0000000003")}, named)
    assert strays == ["clips/r-0000000003.mp4"]
    assert gone == ["r-0000000999", "r-gone000000"]
    assert _Counted.looked_up <= 2 * len(files)
