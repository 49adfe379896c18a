"""A job is advanced when its time has come, by one pair of hands, and never forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from bot.dispatch.local import SWEEP, SWEEP_AGAIN, LocalDispatcher
from bot.errors import StoreError
from bot.refs import JobId
from tests.fakes import MovableClock

A, B, C = JobId("r-a"), JobId("r-b"), JobId("r-c")
SECOND = timedelta(seconds=1)


class Transaction:
    """A transaction that commits when told."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[], None]] = []

    def after_commit(self, call: Callable[[], None]) -> None:
        self.hooks.append(call)

    def commit(self) -> None:
        for hook in self.hooks:
            hook()


@dataclass
class DispatcherHarness:
    """A running dispatcher, the rows it may sweep, and what was advanced."""

    clock: MovableClock
    hands: int = 32
    rows: dict[JobId, datetime] = field(default_factory=dict)
    advanced: list[JobId] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    woken: dict[JobId, datetime] = field(default_factory=dict)
    sweeps: int = 0
    trouble: Exception | None = None
    busy: Counter[JobId] = field(default_factory=Counter)
    most_busy: int = 0
    work: Callable[[JobId], object] = lambda _: None
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_end.set()
        self.dispatcher = LocalDispatcher(self.clock, self._due_times, hands=self.hands)
        self._changed = asyncio.Condition()

    async def _due_times(self) -> list[tuple[JobId, datetime]]:
        self.sweeps += 1
        await self._tell()
        if self.trouble is not None:
            raise self.trouble
        return list(self.rows.items())

    async def _advance(self, job_id: JobId, at: datetime) -> None:
        self.times.append(at)
        self.busy[job_id] += 1
        assert self.busy[job_id] == 1, "in two hands"
        self.most_busy = max(self.most_busy, self.busy.total())
        self.advanced.append(job_id)
        self.work(job_id)
        await self._tell()
        try:
            await self.may_end.wait()
        finally:
            self.busy[job_id] -= 1

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def wake(self, job_id: JobId, after: timedelta = timedelta(0)) -> None:
        transaction = Transaction()
        self.woken[job_id] = self.clock.now() + after
        self.dispatcher.wake(transaction, job_id, self.woken[job_id])
        transaction.commit()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(is_so)

    async def settle(self) -> None:
        """Let everything that is due happen: a job of nobody else goes through all the same."""
        mark = JobId("r-mark")
        count = self.advanced.count(mark)
        self.wake(mark)
        await self.until(lambda: self.advanced.count(mark) > count)
        self.advanced = [each for each in self.advanced if each != mark]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[DispatcherHarness]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.dispatcher.run(self._advance))
            await self.until(lambda: self.sweeps > 0)
            try:
                yield self
            finally:
                task.cancel()


@pytest.fixture
async def harness(clock: MovableClock) -> AsyncIterator[DispatcherHarness]:
    async with DispatcherHarness(clock).open() as opened:
        yield opened


# ---- when -------------------------------------------------------------------------------------


async def test_a_job_is_advanced_when_its_time_has_come(harness: DispatcherHarness) -> None:
    harness.wake(A, 10 * SECOND)
    harness.wake(B, 20 * SECOND)
    await harness.settle()
    assert harness.advanced == []
    harness.clock.move(seconds=11)
    await harness.until(lambda: harness.advanced == [A])
    harness.clock.move(seconds=10)
    await harness.until(lambda: harness.advanced == [A, B])


async def test_what_is_due_first_goes_first(clock: MovableClock) -> None:
    harness = DispatcherHarness(clock, hands=1)
    for job_id, seconds in ((C, -1), (A, -3), (B, -2)):
        harness.wake(job_id, seconds * SECOND)
    async with harness.open():
        await harness.until(lambda: harness.advanced == [A, B, C])


async def test_nothing_is_woken_before_the_commit(harness: DispatcherHarness) -> None:
    transaction = Transaction()
    harness.dispatcher.wake(transaction, A, harness.clock.now())
    await harness.settle()
    assert harness.advanced == []
    transaction.commit()
    await harness.until(lambda: harness.advanced == [A])


@pytest.mark.parametrize(("first", "second"), [(50, 300), (300, 50)])
async def test_a_later_wake_replaces_an_earlier(
    harness: DispatcherHarness, first: int, second: int
) -> None:
    harness.wake(A, first * SECOND)
    harness.wake(A, second * SECOND)
    harness.clock.move(seconds=second - 20)
    await harness.settle()
    assert harness.advanced == []
    harness.clock.move(seconds=21)
    await harness.until(lambda: harness.advanced == [A])
    harness.clock.move(seconds=300)
    await harness.settle()
    assert harness.advanced == [A]


async def test_the_same_wake_again_advances_once(harness: DispatcherHarness) -> None:
    at = harness.clock.now() + SECOND
    for _ in range(3):
        transaction = Transaction()
        harness.dispatcher.wake(transaction, A, at)
        transaction.commit()
    harness.clock.move(seconds=2)
    await harness.settle()
    assert harness.advanced == [A]


async def test_a_step_may_wake_its_own_job_again(harness: DispatcherHarness) -> None:
    harness.work = lambda job_id: harness.wake(job_id) if len(harness.advanced) < 5 else None
    harness.wake(A)
    await harness.until(lambda: harness.advanced == [A] * 5)


async def test_what_a_step_says_is_void_once_it_says_that_nothing_is_due(
    harness: DispatcherHarness,
) -> None:
    """As of an intent to submit, whose answer came: nobody looks for it a minute later."""

    def step(job_id: JobId) -> None:
        if job_id == A:
            harness.wake(A, timedelta(seconds=75))
            transaction = Transaction()
            harness.dispatcher.go_on(transaction, A, None)
            transaction.commit()

    harness.work = step
    harness.wake(A)
    await harness.until(lambda: harness.advanced == [A])
    harness.clock.move(seconds=100)
    await harness.settle()
    assert harness.advanced == [A]


async def test_a_wall_clock_set_back_delays_nothing(harness: DispatcherHarness) -> None:
    harness.wake(A, 10 * SECOND)
    harness.clock.set_wall(hours=-1)
    harness.clock.move(seconds=11)
    await harness.until(lambda: harness.advanced == [A])
    assert harness.times == [harness.woken[A]], "told as the time that the row has"


async def test_a_wall_clock_set_back_during_a_commit_delays_nothing(
    harness: DispatcherHarness,
) -> None:
    transaction = Transaction()
    harness.dispatcher.wake(transaction, A, harness.clock.now() + 10 * SECOND)
    harness.clock.set_wall(days=-3)
    transaction.commit()
    harness.clock.move(seconds=11)
    await harness.until(lambda: harness.advanced == [A])


async def test_what_is_woken_after_the_clock_was_set_back_has_its_own_time(
    harness: DispatcherHarness,
) -> None:
    """A submission in doubt is looked for only when the provider has had its time to list it."""
    harness.clock.set_wall(hours=-1)
    harness.wake(A, 50 * SECOND)
    harness.clock.move(seconds=30)
    await harness.settle()
    assert harness.advanced == []
    harness.clock.move(seconds=21)
    await harness.until(lambda: harness.advanced == [A])


async def test_a_wall_clock_set_forward_is_noticed_by_the_sweep(
    harness: DispatcherHarness,
) -> None:
    """What the rows say holds: a pause of two hours is over once it is three hours later."""
    harness.wake(A, timedelta(hours=2))
    harness.wake(B, timedelta(hours=9))
    harness.rows = dict(harness.woken)
    harness.clock.set_wall(hours=3)
    harness.clock.move(seconds=SWEEP.total_seconds())
    await harness.until(lambda: harness.advanced == [A])


# ---- one pair of hands ------------------------------------------------------------------------


async def test_a_job_in_hand_waits_for_its_next_step(harness: DispatcherHarness) -> None:
    harness.may_end.clear()
    harness.wake(A)
    await harness.until(lambda: harness.advanced == [A])
    harness.wake(A)
    harness.wake(B)
    await harness.until(lambda: harness.advanced == [A, B])
    harness.may_end.set()
    await harness.until(lambda: harness.advanced == [A, B, A])


async def test_no_job_is_ever_in_two_hands(harness: DispatcherHarness) -> None:
    """Each step wakes its job and another, now and a little later, two hundred times."""

    def work(job_id: JobId) -> None:
        if len(harness.advanced) < 200:
            other = {A: B, B: C, C: A}[job_id]
            harness.wake(job_id)
            harness.wake(other, timedelta(milliseconds=len(harness.advanced) % 3))

    harness.work = work
    harness.wake(A)
    await harness.until(lambda: len(harness.advanced) >= 200)
    assert harness.most_busy <= 3


async def test_only_so_many_are_in_hand(clock: MovableClock) -> None:
    harness = DispatcherHarness(clock, hands=2)
    harness.may_end.clear()
    async with harness.open():
        for job_id in (A, B, C):
            harness.wake(job_id)
        await harness.until(lambda: len(harness.advanced) == 2)
        harness.may_end.set()
        await harness.until(lambda: len(harness.advanced) == 3)
    assert harness.most_busy == 2


# ---- the end ----------------------------------------------------------------------------------


async def test_draining_starts_nothing_more_and_waits_for_what_is_in_hand(
    harness: DispatcherHarness,
) -> None:
    harness.may_end.clear()
    harness.wake(A)
    await harness.until(lambda: harness.advanced == [A])
    harness.wake(B, SECOND)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(harness.dispatcher.drain(60))
        harness.clock.move(seconds=2)
        await asyncio.sleep(0)
        assert not draining.done()
        harness.may_end.set()
    assert harness.advanced == [A]
    assert harness.busy[A] == 0


async def test_draining_gives_up_after_its_time(harness: DispatcherHarness) -> None:
    harness.may_end.clear()
    harness.wake(A)
    await harness.until(lambda: harness.advanced == [A])
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(harness.dispatcher.drain(60))
        await asyncio.sleep(0)
        harness.clock.move(seconds=61)
    assert harness.busy[A] == 1


async def test_draining_an_idle_dispatcher_takes_no_time(harness: DispatcherHarness) -> None:
    before = harness.clock.boottime()
    assert await harness.dispatcher.drain(3600) > 3600 - (harness.clock.boottime() - before) - 1


# ---- the sweep --------------------------------------------------------------------------------


async def test_a_start_takes_up_the_rows_that_are_due(clock: MovableClock) -> None:
    harness = DispatcherHarness(clock)
    harness.rows = {A: clock.now() - SECOND, B: clock.now() + 10 * SECOND}
    async with harness.open():
        await harness.until(lambda: harness.advanced == [A])
        harness.rows.clear()
        clock.move(seconds=11)
        await harness.until(lambda: harness.advanced == [A, B])


async def test_a_row_that_nobody_woke_is_found_within_a_minute(harness: DispatcherHarness) -> None:
    harness.rows = {A: harness.clock.now()}
    await harness.settle()
    assert harness.advanced == []
    harness.clock.move(seconds=SWEEP.total_seconds())
    await harness.until(lambda: harness.advanced == [A])
    assert harness.sweeps == 2


async def test_a_sweep_leaves_alone_what_is_in_hand_or_known(harness: DispatcherHarness) -> None:
    harness.may_end.clear()
    harness.wake(A)
    await harness.until(lambda: harness.advanced == [A])
    harness.wake(B, timedelta(hours=1))
    harness.rows = {A: harness.clock.now(), B: harness.clock.now()}
    harness.clock.move(seconds=SWEEP.total_seconds())
    await harness.until(lambda: harness.sweeps == 2)
    harness.may_end.set()
    await harness.settle()
    assert harness.advanced == [A]


async def test_a_database_that_does_not_answer_is_asked_again_soon(
    harness: DispatcherHarness,
) -> None:
    harness.rows = {A: harness.clock.now()}
    harness.trouble = StoreError("It does not answer.")
    harness.clock.move(seconds=SWEEP.total_seconds())
    await harness.until(lambda: harness.sweeps == 2)
    harness.wake(B)
    await harness.until(lambda: harness.advanced == [B])
    harness.trouble = None
    harness.clock.move(seconds=SWEEP_AGAIN.total_seconds())
    await harness.until(lambda: harness.advanced == [B, A])
