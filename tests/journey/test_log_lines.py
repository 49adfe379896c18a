"""Every line of a job's life names it, and its generation, also where it ends without a clip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest

from bot.errors import StoreError
from bot.job import JobState
from bot.refs import JobId
from bot.store.transaction import Tx
from tests.conftest import RunningBot
from tests.fakes import to_requester, until
from tests.journey.test_paid_once import _let_pass as let_reconcile
from tests.ports import free_port
from tests.secrecy import life_of, lines_about, read_logs


@pytest.fixture
def said() -> Iterator[StringIO]:
    with read_logs("json") as log:
        yield log


async def life_to(end: str, job_id: JobId, said: StringIO) -> list[str]:
    """Its life, once the log tells of the end, which it does a moment after the row."""
    await until(lambda: f"job.{end}" in said.getvalue())
    return life_of(job_id, said.getvalue(), end=end)


async def test_of_one_that_fails_at_its_service(said: StringIO, bot: RunningBot) -> None:
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask("something blacklisted")
    await let_reconcile(bot, job_id, JobState.FAILED)
    life = await life_to("failed", job_id, said)
    assert "job.submission_uncertain" in life


async def test_of_one_that_is_cancelled_while_it_runs(said: StringIO, bot: RunningBot) -> None:
    job_id = await bot.ask()
    job = await bot.until(job_id, JobState.GENERATING)
    await bot.studio.cancel(job_id, to_requester())
    await bot.simulator.finish(str(job.generation_id))
    await bot.until(job_id, JobState.CANCELLED)
    assert "job.generating" in await life_to("cancelled", job_id, said)


@pytest.mark.parametrize("how", ["charge", "release"])
async def test_of_one_that_its_operator_ends(said: StringIO, bot: RunningBot, how: Any) -> None:
    bot.simulator.faults.drop("create", accepted=False, times=2)
    job_id = await bot.ask()
    await let_reconcile(bot, job_id, JobState.UNCERTAIN)
    await bot.app.operations.resolve(job_id, how, generation_id=None, actor="test")
    life = await life_to("failed", job_id, said)
    assert life.count("job.submission_uncertain") == 2
    assert "job.uncertain" in life


async def test_of_one_whose_lost_answer_a_call_brings_back(
    said: StringIO, start_bot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database takes it not at once, so it is tried again."""
    port = free_port()
    bot: RunningBot = await start_bot(
        luma={"look_seconds": 3600, "first_look_seconds": 3600},
        bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
    )
    write, refused = bot.app.database.write, 0

    async def away(work: Callable[[Tx], Any]) -> Any:
        nonlocal refused
        if "Callbacks.adopt" in work.__qualname__ and refused < 2:
            refused += 1
            raise StoreError
        return await write(work)

    monkeypatch.setattr(bot.app.database, "write", away)
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    [generation] = bot.simulator.generations
    await bot.simulator.finish(generation)
    # Before the list is asked, which would find it, too.
    await until(lambda: refused)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=0.5, moment=0.01)
    assert "callback.not_taken" in await life_to("delivered", job_id, said)
    lines = lines_about("callback.not_taken", said.getvalue())
    assert {(each["job"], each["generation"]) for each in lines} == {(job_id, generation)}
