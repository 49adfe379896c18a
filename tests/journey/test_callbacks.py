"""Callbacks are hints: they make us look at once, and nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import aiohttp
import pytest

from bot.job import JobState
from tests.conftest import RunningBot
from tests.fakes import until
from tests.ports import free_port
from tests.secrecy import lines_about, read_logs


@pytest.fixture
async def called(start_bot: Callable[..., Any]) -> RunningBot:
    """A bot that would look again only in an hour, were it not called."""
    port = free_port()
    bot: RunningBot = await start_bot(
        luma={"look_seconds": 3600, "first_look_seconds": 3600},
        bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
    )
    return bot


@pytest.fixture
def said() -> Iterator[StringIO]:
    with read_logs("json") as log:
        yield log


async def _finish(bot: RunningBot) -> None:
    await bot.simulator.wait_for_creates(1)
    for generation in list(bot.simulator.generations.values()):
        if not generation.is_over:
            await bot.simulator.finish(generation.id)


async def test_a_callback_delivers_at_once(called: RunningBot) -> None:
    # The first one may be heard before the answer to the submission, and cost looks of its own.
    called.simulator.faults.break_callback("lost")
    job_id = await called.ask()
    await called.simulator.wait_for_creates(1)
    await called.until(job_id, JobState.GENERATING)
    await _finish(called)
    await called.delivered(job_id)
    assert called.simulator.requests["GET /generations/{id}"] <= 2


@pytest.mark.parametrize("fault", ["duplicated", "forged", "reordered"])
async def test_repeated_forged_and_late_calls_do_no_harm(called: RunningBot, fault: Any) -> None:
    called.simulator.faults.break_callback(fault, times=6)
    job_id = await called.ask()
    await called.simulator.wait_for_creates(1)
    await called.until(job_id, JobState.GENERATING)
    await _finish(called)
    if fault == "forged":
        called.clock.move(hours=2)
    await called.delivered(job_id)
    assert len(called.chat.clips()) == 1
    await called.check_books()


async def test_a_callback_brings_back_a_lost_reply(called: RunningBot) -> None:
    called.simulator.faults.drop("create", accepted=True)
    job_id = await called.ask()
    await called.simulator.wait_for_creates(1)
    await called.until(job_id, JobState.GENERATING)
    await _finish(called)
    await called.delivered(job_id)
    assert len(called.simulator.generations) == 1
    await called.check_books()


async def test_a_late_generation_of_a_given_up_attempt_is_reported(
    said: StringIO, called: RunningBot
) -> None:
    """The first attempt was absent from the list and sent again, and then turns up after all."""
    called.simulator.faults.hide_new(lists=10)
    called.simulator.faults.break_callback("lost")
    called.simulator.faults.drop("create", accepted=True)
    job_id = await called.ask()
    await called.until(job_id, JobState.SUBMITTING)
    async with asyncio.timeout(30):
        while len(called.simulator.generations) < 2:
            await called.clock.let_pass(seconds=20, moment=0.05)
    await called.until(job_id, JobState.GENERATING)
    for generation in list(called.simulator.generations.values()):
        await called.simulator.finish(generation.id)
    await called.delivered(job_id)
    async with asyncio.timeout(30):
        while not (orphans := await _orphans(called)):
            await asyncio.sleep(0.02)
    assert len(called.chat.clips()) == 1
    # It is logged a moment after it is in its row.
    await until(lambda: "callback.orphan" in said.getvalue())
    [line] = lines_about("callback.orphan", said.getvalue())
    assert (line["job"], f"orphan:{line['generation']}") == (job_id, *orphans)
    await called.check_books()


async def _orphans(bot: RunningBot) -> list[str]:
    from bot.store.schema import operator_notices

    rows = await bot.app.database.read(lambda conn: conn.execute(operator_notices.select()).all())
    return [row.key for row in rows if row.key.startswith("orphan:")]


async def test_an_unknown_token_is_ignored(called: RunningBot) -> None:
    body = {"id": "11111111-2222-3333-4444-555555555555", "state": "completed"}
    url = f"{called.app.public_url}/callbacks/luma/{'x' * 43}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=json.dumps(body)) as response,
    ):
        assert response.status == 200
    job_id = await called.ask()
    await called.simulator.wait_for_creates(1)
    await called.until(job_id, JobState.GENERATING)
    await _finish(called)
    await called.delivered(job_id)
    assert await called.notes() == []


async def test_calls_with_invented_tokens_stop_nothing(called: RunningBot) -> None:
    """Anybody can post; neither a strange id nor a flood of them may hold up the looks."""
    job_id = await called.ask()
    await called.simulator.wait_for_creates(1)
    await called.until(job_id, JobState.GENERATING)
    async with aiohttp.ClientSession() as session:
        for number in range(30):
            body = {"id": "a" * 9000, "state": "completed"}
            url = f"{called.app.public_url}/callbacks/luma/{number:0>43}"
            async with session.post(url, data=json.dumps(body)) as response:
                assert response.status == 200
    await _finish(called)
    await called.delivered(job_id)


async def test_what_is_finished_after_it_was_ended_is_told_to_the_operator(
    called: RunningBot,
) -> None:
    job_id = await called.ask()
    job = await called.until(job_id, JobState.GENERATING)
    await _hear(called, "more than 6 hours", hours=1)
    await called.app.operations.resolve(job_id, "release", generation_id=None, actor="operator")
    await called.simulator.finish(str(job.generation_id))
    await _hear(called, f"of {job_id}, which was ended without it, is finished", seconds=1)
    assert (await called.job(job_id)).state is JobState.FAILED
    await called.check_books()


async def _hear(bot: RunningBot, words: str, **pause: float) -> None:
    """Let time pass until the operator is told this."""
    async with asyncio.timeout(30):
        while not any(words in each.sentence for each in await bot.notes()):
            await bot.clock.let_pass(**pause)


async def test_a_call_while_its_job_waits_to_be_sent_again_is_not_paid_twice(
    start_bot: Callable[..., Any],
) -> None:
    port = free_port()
    bot: RunningBot = await start_bot(
        luma={"running_limit": 1, "creates_per_minute": 1000},
        bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
    )
    bot.simulator.faults.hide_new(lists=2)
    bot.simulator.faults.break_callback("lost")
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    bot.simulator.faults.refuse("create", 401, "Invalid API key is provided", times=50)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is JobState.SUBMITTING:
            await bot.clock.let_pass(seconds=20, moment=0.05)
    await _finish(bot)
    bot.clock.move(minutes=1)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=5, moment=0.05)
    assert len(bot.simulator.generations) == 1
    await bot.check_books()
