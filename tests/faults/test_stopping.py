"""A stop in order: what is under way ends or is left, and nothing that is broken delays it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bot.config import Config
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.outages import before, book_of, finish_all, readiness, through

#: By the bot's clock; what is short ends before a test does, and what is long only where it moves.
GRACE, LONG_GRACE = 1.0, 30.0


def states(config: Config) -> list[tuple[str, bool]]:
    """What the rows say once nobody has them open."""
    path = book_of(config)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        return file.execute("SELECT state, generation_id IS NOT NULL FROM jobs").fetchall()


def to_config(
    folder: Path, simulator: Simulator, base_url: str = "", *, grace: float = GRACE
) -> Config:
    bot = {
        "data_dir": str(folder / "data"),
        "public_port": 0,
        "private_port": 0,
        "min_free_bytes": 0,
        "shutdown_grace_seconds": grace,
    }
    luma = {"submit_timeout_seconds": 60, "base_url": base_url or simulator.base_url}
    return to_test_config(folder, simulator, bot=bot, luma=luma)


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_submission_under_way_ends_or_is_left_to_the_next(
    tmp_path: Path,
    simulator: Simulator,
    chat: RecordingAdapter,
    clock: MovableClock,
    *,
    is_answered: bool,
) -> None:
    config = to_config(tmp_path, simulator, grace=LONG_GRACE)
    # A call would tell what the answer does not.
    simulator.faults.break_callback("lost", times=100)
    answer, seen = simulator.faults.hold("create"), {}

    async def answer_late(bot: RunningBot) -> None:
        while (said := await readiness(bot))[0] == 200:
            await asyncio.sleep(0.01)
        seen.update(said[1]["problems"])
        if is_answered:
            answer.set()
        else:
            clock.move(seconds=LONG_GRACE)

    async with asyncio.TaskGroup() as group:
        async with running(config, simulator, chat, clock) as bot:
            await bot.ask()
            await simulator.wait_for_creates(1)
            group.create_task(answer_late(bot))
            began = time.monotonic()
        assert time.monotonic() - began < LONG_GRACE
    answer.set()
    assert seen == {"bot": "It is stopping."}
    assert states(config) == [("generating", True) if is_answered else ("submitting", False)]
    clock.move(seconds=120)
    async with running(config, simulator, chat, clock) as bot:
        job_id = await only_job(bot)
        await bot.until(job_id, JobState.GENERATING)
        await finish_all(simulator)
        await bot.delivered(job_id)
        assert len(simulator.generations) == len(chat.clips()) == 1
        await bot.check_books()


async def only_job(bot: RunningBot) -> JobId:
    [(job_id,)] = await bot.app.database.read(
        lambda conn: conn.exec_driver_sql("SELECT id FROM jobs").all()
    )
    return JobId(job_id)


async def test_a_stop_waits_for_nothing_that_is_broken(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    async with before(simulator.base_url) as wire:
        config = to_config(tmp_path, simulator, through(wire, simulator.base_url))
        with ExitStack() as stack:
            async with running(config, simulator, chat, clock) as bot:
                job_id = await bot.ask()
                await bot.until(job_id, JobState.GENERATING)
                await wire.break_("freeze")
                await finish_all(simulator)
                other = sqlite3.connect(book_of(config), isolation_level=None)
                stack.enter_context(closing(other))
                other.execute("BEGIN IMMEDIATE")
                began = time.monotonic()
            # Two commits that are waited for, each as long as any.
            assert time.monotonic() - began < GRACE + 2 * 5 + 2
        await wire.mend()
        async with running(config, simulator, chat, clock) as bot:
            await bot.delivered(job_id)
            assert len(simulator.generations) == len(chat.clips()) == 1
            await bot.check_books()
