"""Who may go to a provider now, and who hears of its troubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.dispatch.local import LocalDispatcher
from bot.durations import STALE_AT_LEAST
from bot.errors import ProviderAuthError
from bot.job import Job
from bot.providers.luma import Luma, Settings
from bot.refs import JobId
from bot.routing.failover import Failover
from bot.store import jobs, ledger, settings
from bot.store.database import open_database
from bot.store.transaction import Tx
from bot.watching.account_watch import AccountWatch
from bot.watching.admission import SHOWN_IN_LINE, TOLD_A_SECOND, Admission
from tests.bot.store.conftest import NOW, UNLIMITED, Books, to_plan
from tests.fakes import MovableClock, to_request


class AdmissionHarness:
    """The admission of a provider on a true database, and what it wanted to be shown."""

    def __init__(self, books: Books, clock: MovableClock) -> None:
        self.books, self.clock = books, clock
        self.shown: list[tuple[JobId, float]] = []
        self._changed = asyncio.Event()
        database = books.database
        self.admission = Admission(
            Luma(Settings(running_limit=1, min_balance_usd=0), clock=clock),
            database=database,
            dispatcher=LocalDispatcher(clock, lambda: database.read(jobs.due_times)),
            clock=clock,
            stale_after=lambda: STALE_AT_LEAST,
            announce=self._announce,
            failover=Failover(
                is_open=lambda _: False,
                is_well=lambda _: False,
                confirm_above_usd=None,
                moved=lambda *_: None,
            ),
        )

    def _announce(self, job_id: JobId, *, after: float = 0.0) -> None:
        self.shown.append((job_id, after))
        self._changed.set()

    async def wait(self, *, people: int, each: int) -> list[Job]:
        """Jobs in line, the first person's all before the second's first."""
        made = []
        for number in range(people * each):
            job = await self.books.received(user=f"person{number // each}")
            made.append(await self.books.accept(job, at=NOW + timedelta(seconds=number)))
        return made

    async def until_let_in(self) -> JobId:
        """Who got the slot."""
        query = "SELECT id FROM jobs WHERE state = 'accepted' AND admitted_at IS NOT NULL"
        async with asyncio.timeout(30):
            while not (rows := await self.books.rows(query)):
                await self.clock.let_pass(seconds=2, moment=0.01)
        return JobId(rows[0][0])

    async def until_shown(self, count: int) -> list[tuple[JobId, float]]:
        """What was to be shown, once it is so much; then all is forgotten."""
        async with asyncio.timeout(30):
            while len(self.shown) < count:
                self._changed.clear()
                await self._changed.wait()
        shown, self.shown = self.shown, []
        return shown


@pytest.fixture
async def harness(tmp_path: Path, clock: MovableClock) -> AsyncIterator[AdmissionHarness]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path / 'raybot.db'}")
    await database.start()
    opened = AdmissionHarness(Books(database), clock)
    # The one slot is taken, so nobody goes.
    taken = await opened.books.accept(await opened.books.received(user="early"))
    await opened.books.change(taken, admitted_at=clock.now())
    async with asyncio.TaskGroup() as group:
        account = AccountWatch(opened.admission._provider, database=database, clock=clock)
        tasks = [group.create_task(each.run()) for each in (opened.admission, account)]
        yield opened
        for task in tasks:
            task.cancel()
    await database.stop()


async def test_everyone_who_waits_hears_once_that_it_is_down_and_once_that_it_is_back(
    harness: AdmissionHarness,
) -> None:
    waiting = await harness.wait(people=20, each=4)
    for _ in range(3):
        harness.admission.trouble(ProviderAuthError("The key is refused.", provider="luma"))
    down = await harness.until_shown(len(waiting))
    assert {job_id for job_id, _ in down} == {job.id for job in waiting}
    assert harness.admission.trouble_sentence == "The key is refused."
    harness.clock.move(minutes=6)
    harness.admission.trouble(ProviderAuthError("The key is refused.", provider="luma"))
    harness.admission.taken()
    back = await harness.until_shown(len(waiting))
    assert {job_id for job_id, _ in back} == {job.id for job in waiting}
    assert harness.shown == []
    assert harness.admission.trouble_sentence is None


async def test_news_for_a_long_line_comes_in_turn_and_not_as_a_flood(
    harness: AdmissionHarness,
) -> None:
    waiting = await harness.wait(people=20, each=4)
    harness.admission.trouble(ProviderAuthError(provider="luma"))
    shown = await harness.until_shown(len(waiting))
    early = {job_id for job_id, after in shown if after == 0.0}
    assert len(early) == SHOWN_IN_LINE
    assert early >= {job.id for job in waiting[::4]}, "one of each person's"
    assert max(after for _, after in shown) == (len(waiting) - SHOWN_IN_LINE) / TOLD_A_SECOND


async def test_whoever_asks_at_the_same_time_reads_the_same_line(
    harness: AdmissionHarness,
) -> None:
    waiting = await harness.wait(people=3, each=1)
    places = await asyncio.gather(*(harness.admission.positions() for _ in waiting))
    assert [found[job.id] for found, job in zip(places, waiting, strict=True)] == [1, 2, 3]


async def test_a_farewell_of_the_service_is_told_once(harness: AdmissionHarness) -> None:
    provider = harness.admission._provider
    assert isinstance(provider, Luma)
    provider._api.sunset = "Sat, 24 Oct 2026 00:00:00 GMT"
    for _ in range(3):
        await harness.clock.let_pass(minutes=11, moment=0.05)
    async with asyncio.timeout(30):
        while not (told := await harness.books.database.read(settings.untold)):
            await harness.clock.let_pass(minutes=11, moment=0.05)
    [notice] = told
    assert "luma says that it will close its address (Sat, 24 Oct 2026" in notice.sentence


async def test_a_wall_clock_set_back_does_not_prolong_a_pause(harness: AdmissionHarness) -> None:
    [job] = await harness.wait(people=1, each=1)
    harness.admission.trouble(ProviderAuthError(provider="luma"))
    await harness.until_shown(1)
    await harness.books.sql("UPDATE jobs SET state = 'cancelled' WHERE person LIKE '%early'")
    harness.clock.set_wall(hours=-1)
    harness.clock.move(minutes=6)
    async with asyncio.timeout(30):
        while (await harness.books.get(job.id)).admitted_at is None:
            await asyncio.sleep(0.01)


async def test_two_hundred_of_one_do_not_stand_before_ten_others(
    harness: AdmissionHarness,
) -> None:
    """With one slot, none of the ten waits behind more than one of the two hundred."""

    def flood(tx: Tx) -> None:
        for number in range(200):
            request = to_request(key=f"f{number}", user="flood")
            job, _ = jobs.insert(tx, request, NOW)
            at = NOW + timedelta(milliseconds=number)
            ledger.accept(tx, job, to_plan(request), UNLIMITED, at)

    await harness.books.database.write(flood)
    others = await harness.wait(people=10, each=1)
    left, went = {job.id for job in others}, list[JobId]()
    while left:
        await harness.books.sql(
            "UPDATE jobs SET state = 'cancelled', ended_at = created_at "
            "WHERE state = 'accepted' AND admitted_at IS NOT NULL"
        )
        went.append(await harness.until_let_in())
        left.discard(went[-1])
    assert len(went) <= 11
