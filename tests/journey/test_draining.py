"""A service is taken off the list while it works: what it has comes, nothing new goes there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.cli import checkup
from bot.clock import SystemClock
from bot.config import Config, to_config
from bot.job import Job, JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator
from bot.simulator.faces.fal import FACE as FAL
from bot.simulator.faces.luma import FACE as LUMA
from bot.store import jobs
from bot.store.transaction import Tx
from bot.text import describe_queue
from tests.adapters.web.test_desk_health import sit_down
from tests.adapters.web.visitor import browsing, pages_in
from tests.conftest import MANUAL, RunningBot, running
from tests.fakes import MovableClock, RecordingAdapter, to_requester
from tests.journey.test_failover import to_community_config
from tests.postgres import postgres_database

S = JobState
CREATE = "POST /generations/video"


@dataclass
class Moving:
    """An operator who goes from Luma to fal, with a bot that is started anew for it."""

    folder: Path
    luma: Simulator
    fal: Simulator
    chat: RecordingAdapter
    clock: MovableClock
    database: str = ""

    def config(self, *names: str, **luma: Any) -> Config:
        """These services on the list; the tables of both are there, with their keys."""
        tables = dict(to_community_config(self.folder, self.luma, self.fal).tables)
        tables["defaults"] |= {"providers": list(names)}
        tables["providers"]["luma"] |= {"min_balance_usd": 5, **luma}
        if self.database:
            tables["bot"] |= {"database_url": self.database, "single_host": True}
        return to_config(tables)

    def start(self, *names: str, **luma: Any) -> AbstractAsyncContextManager[RunningBot]:
        config = self.config(*names, **luma)
        pages = pages_in(self.folder, self.clock)
        return running(config, self.luma, self.chat, self.clock, web=pages)

    async def begin(self) -> JobId:
        """A job that Luma works at as the bot stops."""
        async with self.start("luma", "fal") as bot:
            job_id = await bot.ask()
            await bot.until(job_id, S.GENERATING)
        return job_id

    async def let_pass(self, bot: RunningBot, job_id: JobId, *states: JobState) -> Job:
        async with asyncio.timeout(30):
            while (job := await bot.job(job_id)).state not in states:
                await bot.clock.let_pass(seconds=10)
        return job

    async def end(self, bot: RunningBot, job_id: JobId, at: Simulator) -> Job:
        """Let this service make all it has; the job's clip is its, paid once."""
        for each in [one for one in at.generations.values() if not one.is_over]:
            await at.finish(each.id)
        job = await bot.delivered(job_id)
        assert (job.plan and job.plan.provider) == ("luma" if at is self.luma else "fal")
        assert len(self.chat.clips(job_id)) == 1
        await bot.check_books()
        return job


@pytest.fixture
async def moving(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> AsyncIterator[Moving]:
    one_by_one = replace(MANUAL, running_limit=1)
    async with (
        Simulator(MANUAL, Faults(), face=LUMA) as luma,
        Simulator(one_by_one, Faults(), face=FAL) as fal,
    ):
        yield Moving(tmp_path, luma, fal, chat, clock)


@pytest.fixture(params=["sqlite", "postgres"])
def anywhere(request: pytest.FixtureRequest, moving: Moving) -> Iterator[Moving]:
    if request.param == "sqlite":
        yield moving
        return
    with postgres_database() as url:
        moving.database = url
        yield moving


async def test_what_runs_is_delivered_and_then_the_service_hears_no_more(anywhere: Moving) -> None:
    moving = anywhere
    old = await moving.begin()
    async with moving.start("fal") as bot:
        new = await bot.ask(key="new")
        await bot.until(new, S.GENERATING)
        assert [line.job_id for line in await bot.studio.open_jobs(to_requester())] == [old, new]
        job = await moving.end(bot, old, moving.luma)
        assert job.cost > 0
        await moving.end(bot, new, moving.fal)
        assert await bot.notes() == []
        heard = moving.luma.requests.total()
        for _ in range(4):
            await bot.clock.let_pass(minutes=11)
        assert moving.luma.requests.total() == heard
    assert moving.luma.requests[CREATE] == len(moving.luma.generations) == 1


async def test_who_waits_in_its_line_goes_elsewhere(moving: Moving) -> None:
    async with moving.start("luma", "fal", running_limit=1) as bot:
        first = await bot.ask()
        await bot.until(first, S.GENERATING)
        second = await bot.ask()
    async with moving.start("fal") as bot:
        await bot.until(second, S.GENERATING)
        await moving.end(bot, second, moving.fal)
        await moving.end(bot, first, moving.luma)
    assert len(moving.luma.generations) == 1


async def test_who_is_refused_elsewhere_waits_and_does_not_come_back(moving: Moving) -> None:
    moving.luma.faults.refuse("create", 402, "Insufficient credits")
    moving.fal.faults.refuse("create", 402, "Insufficient credits", times=3)

    def asked_at_fal() -> int:
        return sum(n for each, n in moving.fal.requests.items() if each.startswith("POST"))

    async with moving.start("luma", "fal") as bot:
        job_id = await bot.ask()
        async with asyncio.timeout(30):
            while not asked_at_fal():
                await bot.clock.let_pass(seconds=1)
        await bot.until(job_id, S.ACCEPTED)
    async with moving.start("fal") as bot:
        async with asyncio.timeout(30):
            while not moving.fal.generations:
                await bot.clock.let_pass(minutes=1)
        await bot.until(job_id, S.GENERATING)
        await moving.end(bot, job_id, moving.fal)
    assert asked_at_fal() == 4
    assert moving.luma.requests[CREATE] == 1


async def test_what_a_process_that_ends_let_in_is_not_submitted_by_the_next(
    moving: Moving,
) -> None:
    with postgres_database() as moving.database:
        async with moving.start("luma", "fal", running_limit=1) as bot:
            await bot.until(await bot.ask(), S.GENERATING)
            second = await bot.ask()
        async with moving.start("fal") as bot:

            def let_in(tx: Tx) -> None:
                now = bot.clock.now()
                job = jobs.get(tx.conn, second)
                jobs.change(tx, job, admitted_at=now, next_at=now)
                bot.app._dispatcher.wake(tx, second, now)

            await bot.app.database.write(let_in)
            async with asyncio.timeout(30):
                while not (await bot.job(second)).tries:
                    await asyncio.sleep(0.02)
                while not moving.fal.generations:
                    await bot.clock.let_pass(minutes=1)
                    # The database's clock, by which nudges are due, does not move along.
                    await bot.app.database.write(
                        lambda tx: bot.app._dispatcher.wake(tx, second, SystemClock().now())
                    )
            await bot.until(second, S.GENERATING)
            await bot.check_books()
    assert moving.luma.requests[CREATE] == 1


async def test_a_lost_answer_is_looked_for_and_found(moving: Moving) -> None:
    moving.luma.faults.drop("create", accepted=True)
    async with moving.start("luma", "fal") as bot:
        job_id = await bot.ask()
        await moving.luma.wait_for_creates(1)
        await bot.until(job_id, S.SUBMITTING)
    async with moving.start("fal") as bot:
        await moving.let_pass(bot, job_id, S.GENERATING)
        await moving.end(bot, job_id, moving.luma)
    assert moving.luma.requests[CREATE] == 1
    assert not moving.fal.generations


async def test_what_it_never_took_goes_elsewhere(moving: Moving) -> None:
    moving.luma.faults.drop("create", accepted=False)
    async with moving.start("luma", "fal") as bot:
        job_id = await bot.ask()
        await bot.until(job_id, S.SUBMITTING)
        async with asyncio.timeout(30):
            while not moving.luma.requests[CREATE]:
                await asyncio.sleep(0.01)
    async with moving.start("fal") as bot:
        await moving.let_pass(bot, job_id, S.GENERATING)
        await moving.end(bot, job_id, moving.fal)
    assert not moving.luma.generations


async def test_what_fails_there_is_tried_again_elsewhere(moving: Moving) -> None:
    job_id = await moving.begin()
    async with moving.start("fal") as bot:
        [generation] = moving.luma.generations
        await moving.luma.fail(generation)
        async with asyncio.timeout(30):
            while not moving.fal.generations:
                await bot.clock.let_pass(seconds=10)
        await bot.until(job_id, S.GENERATING)
        await moving.end(bot, job_id, moving.fal)
    assert moving.luma.requests[CREATE] == 1


async def test_a_file_is_fetched_by_a_fresh_link(moving: Moving) -> None:
    job_id = await moving.begin()
    moving.luma.faults.break_clip("missing", times=2)
    async with moving.start("luma", "fal") as bot:
        [generation] = moving.luma.generations
        await moving.luma.finish(generation)
        await bot.until(job_id, S.FETCHING)
    moving.luma.expire_links()
    async with moving.start("fal") as bot:
        await moving.let_pass(bot, job_id, S.DELIVERED)
        await moving.end(bot, job_id, moving.luma)


async def test_what_runs_there_is_cancelled_there(moving: Moving) -> None:
    async with moving.start("fal", "luma") as bot:
        runs = await bot.ask()
        await bot.until(runs, S.GENERATING)
        in_its_queue = await bot.ask()
        await bot.until(in_its_queue, S.GENERATING)
    async with moving.start("luma") as bot:
        await bot.studio.cancel(in_its_queue, to_requester())
        assert (await bot.until(in_its_queue, S.CANCELLED)).cost == 0
        await moving.end(bot, runs, moving.fal)


async def test_whoever_is_forgotten_is_forgotten_there_too(moving: Moving) -> None:
    async with moving.start("luma", "fal") as bot:
        job_id = await bot.ask()
        await bot.until(job_id, S.GENERATING)
        await moving.end(bot, job_id, moving.luma)
    async with moving.start("fal") as bot:
        await bot.studio.erasure.forget(to_requester(), is_confirmed=True)
        async with asyncio.timeout(30):
            while any(not each.is_deleted for each in moving.luma.generations.values()):
                await bot.clock.let_pass(minutes=1)


async def test_the_operator_sees_it_until_nothing_is_left(moving: Moving) -> None:
    job_id = await moving.begin()
    idle = "luma: its key has no effect until [defaults] providers names luma"
    async with moving.start("fal") as bot, browsing(bot) as visitor:
        said = {each.sentence: each.is_well for each in await checkup.look(bot.config)}
        assert said["luma: draining, 1 generation is left there; nothing new goes there"]
        assert any(each.startswith("luma: the key is good") for each in said)
        assert idle not in said
        await sit_down(visitor, is_operator=True)
        page = (await visitor.get("/desk/services")).html
        assert "Draining: nothing new goes there" in page
        assert "<dt>Running</dt><dd>1</dd>" in page
        assert "It is draining" in (await visitor.get("/desk/queue")).html
        queue = await bot.studio.admin.queue("recording:local")
        assert describe_queue(queue).lines == (
            "fal: 0 of 10 slots in use.",
            "luma: 1 left. It is draining: nothing new goes there.",
        )
        await moving.end(bot, job_id, moving.luma)
        assert idle in {each.sentence for each in await checkup.look(bot.config)}
        assert "Draining" not in (await visitor.get("/desk/services")).html
        queue = await bot.studio.admin.queue("recording:local")
        assert [each.name for each in queue.providers] == ["fal"]


@pytest.mark.parametrize(
    "wrong", [{"api_key": "luma-…"}, {"base_url": "http://a:port/"}, {"api_key": ""}]
)
async def test_one_that_cannot_be_asked_keeps_no_bot_from_starting(
    moving: Moving, wrong: dict[str, str]
) -> None:
    job_id = await moving.begin()
    async with moving.start("fal", **wrong) as bot:
        async with asyncio.timeout(30):
            while not (notes := await bot.notes()):
                await asyncio.sleep(0.01)
        [note] = notes
        assert note.sentence == (
            f"{job_id} is generating at luma, which is not configured any more. It goes on once "
            "[providers.luma] has its key again."
        )
    async with moving.start("fal") as bot:
        await moving.end(bot, job_id, moving.luma)
