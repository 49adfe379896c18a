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
class Desk:
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
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(is_so)

    async def settle(self) -> None:
        """Let everything that is due happen: a job of nobody else goes through all the same."""
        mark = JobId("r-mark")
        count = self.advanced.count(mark)
        self.wake(mark)
        await self.until(lambda: self.advanced.count(mark) > count)
        self.advanced = [each for each in self.advanced if each != mark]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Desk]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.dispatcher.run(self._advance))
            await self.until(lambda: self.sweeps > 0)
            try:
                yield self
            finally:
                task.cancel()


@pytest.fixture
async def desk(clock: MovableClock) -> AsyncIterator[Desk]:
    async with Desk(clock).open() as opened:
        yield opened


# ---- when -------------------------------------------------------------------------------------


async def test_a_job_is_advanced_when_its_time_has_come(desk: Desk) -> None:
    desk.wake(A, 10 * SECOND)
    desk.wake(B, 20 * SECOND)
    await desk.settle()
    assert desk.advanced == []
    desk.clock.move(seconds=11)
    await desk.until(lambda: desk.advanced == [A])
    desk.clock.move(seconds=10)
    await desk.until(lambda: desk.advanced == [A, B])


async def test_what_is_due_first_goes_first(clock: MovableClock) -> None:
    desk = Desk(clock, hands=1)
    for job_id, seconds in ((C, -1), (A, -3), (B, -2)):
        desk.wake(job_id, seconds * SECOND)
    async with desk.open():
        await desk.until(lambda: desk.advanced == [A, B, C])


async def test_nothing_is_woken_before_the_commit(desk: Desk) -> None:
    transaction = Transaction()
    desk.dispatcher.wake(transaction, A, desk.clock.now())
    await desk.settle()
    assert desk.advanced == []
    transaction.commit()
    await desk.until(lambda: desk.advanced == [A])


@pytest.mark.parametrize(("first", "second"), [(5, 30), (30, 5)])
async def test_a_later_wake_replaces_an_earlier(desk: Desk, first: int, second: int) -> None:
    desk.wake(A, first * SECOND)
    desk.wake(A, second * SECOND)
    desk.clock.move(seconds=second - 1)
    await desk.settle()
    assert desk.advanced == []
    desk.clock.move(seconds=2)
    await desk.until(lambda: desk.advanced == [A])
    desk.clock.move(seconds=29)
    await desk.settle()
    assert desk.advanced == [A]


async def test_the_same_wake_again_advances_once(desk: Desk) -> None:
    at = desk.clock.now() + SECOND
    for _ in range(3):
        transaction = Transaction()
        desk.dispatcher.wake(transaction, A, at)
        transaction.commit()
    desk.clock.move(seconds=2)
    await desk.settle()
    assert desk.advanced == [A]


async def test_a_step_may_wake_its_own_job_again(desk: Desk) -> None:
    desk.work = lambda job_id: desk.wake(job_id) if len(desk.advanced) < 5 else None
    desk.wake(A)
    await desk.until(lambda: desk.advanced == [A] * 5)


async def test_what_a_step_says_is_void_once_it_says_that_nothing_is_due(desk: Desk) -> None:
    """As of an intent to submit, whose answer came: nobody looks for it a minute later."""

    def step(job_id: JobId) -> None:
        if job_id == A:
            desk.wake(A, timedelta(seconds=75))
            transaction = Transaction()
            desk.dispatcher.go_on(transaction, A, None)
            transaction.commit()

    desk.work = step
    desk.wake(A)
    await desk.until(lambda: desk.advanced == [A])
    desk.clock.move(seconds=100)
    await desk.settle()
    assert desk.advanced == [A]


async def test_a_wall_clock_set_back_delays_nothing(desk: Desk) -> None:
    desk.wake(A, 10 * SECOND)
    desk.clock.set_wall(hours=-1)
    desk.clock.move(seconds=11)
    await desk.until(lambda: desk.advanced == [A])
    assert desk.times == [desk.woken[A]], "told as the time that the row has"


async def test_what_is_woken_after_the_clock_was_set_back_has_its_own_time(desk: Desk) -> None:
    """A submission in doubt is looked for only when the provider has had its time to list it."""
    desk.clock.set_wall(hours=-1)
    desk.wake(A, 10 * SECOND)
    desk.clock.move(seconds=9)
    await desk.settle()
    assert desk.advanced == []
    desk.clock.move(seconds=2)
    await desk.until(lambda: desk.advanced == [A])


async def test_a_wall_clock_set_forward_is_noticed_by_the_sweep(desk: Desk) -> None:
    """What the rows say holds: a pause of two hours is over once it is three hours later."""
    desk.wake(A, timedelta(hours=2))
    desk.wake(B, timedelta(hours=9))
    desk.rows = dict(desk.woken)
    desk.clock.set_wall(hours=3)
    desk.clock.move(seconds=SWEEP.total_seconds())
    await desk.until(lambda: desk.advanced == [A])


# ---- one pair of hands ------------------------------------------------------------------------


async def test_a_job_in_hand_waits_for_its_next_step(desk: Desk) -> None:
    desk.may_end.clear()
    desk.wake(A)
    await desk.until(lambda: desk.advanced == [A])
    desk.wake(A)
    desk.wake(B)
    await desk.until(lambda: desk.advanced == [A, B])
    desk.may_end.set()
    await desk.until(lambda: desk.advanced == [A, B, A])


async def test_no_job_is_ever_in_two_hands(desk: Desk) -> None:
    """Each step wakes its job and another, now and a little later, two hundred times."""

    def work(job_id: JobId) -> None:
        if len(desk.advanced) < 200:
            other = {A: B, B: C, C: A}[job_id]
            desk.wake(job_id)
            desk.wake(other, timedelta(milliseconds=len(desk.advanced) % 3))

    desk.work = work
    desk.wake(A)
    await desk.until(lambda: len(desk.advanced) >= 200)
    assert desk.most_busy <= 3


async def test_only_so_many_are_in_hand(clock: MovableClock) -> None:
    desk = Desk(clock, hands=2)
    desk.may_end.clear()
    async with desk.open():
        for job_id in (A, B, C):
            desk.wake(job_id)
        await desk.until(lambda: len(desk.advanced) == 2)
        desk.may_end.set()
        await desk.until(lambda: len(desk.advanced) == 3)
    assert desk.most_busy == 2


# ---- the end ----------------------------------------------------------------------------------


async def test_draining_starts_nothing_more_and_waits_for_what_is_in_hand(desk: Desk) -> None:
    desk.may_end.clear()
    desk.wake(A)
    await desk.until(lambda: desk.advanced == [A])
    desk.wake(B, SECOND)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(desk.dispatcher.drain(60))
        desk.clock.move(seconds=2)
        await asyncio.sleep(0)
        assert not draining.done()
        desk.may_end.set()
    assert desk.advanced == [A]
    assert desk.busy[A] == 0


async def test_draining_gives_up_after_its_time(desk: Desk) -> None:
    desk.may_end.clear()
    desk.wake(A)
    await desk.until(lambda: desk.advanced == [A])
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(desk.dispatcher.drain(60))
        await asyncio.sleep(0)
        desk.clock.move(seconds=61)
    assert desk.busy[A] == 1


async def test_draining_an_idle_dispatcher_takes_no_time(desk: Desk) -> None:
    async with asyncio.timeout(1):
        await desk.dispatcher.drain(60)


# ---- the sweep --------------------------------------------------------------------------------


async def test_a_start_takes_up_the_rows_that_are_due(clock: MovableClock) -> None:
    desk = Desk(clock)
    desk.rows = {A: clock.now() - SECOND, B: clock.now() + 10 * SECOND}
    async with desk.open():
        await desk.until(lambda: desk.advanced == [A])
        desk.rows.clear()
        clock.move(seconds=11)
        await desk.until(lambda: desk.advanced == [A, B])


async def test_a_row_that_nobody_woke_is_found_within_a_minute(desk: Desk) -> None:
    desk.rows = {A: desk.clock.now()}
    await desk.settle()
    assert desk.advanced == []
    desk.clock.move(seconds=SWEEP.total_seconds())
    await desk.until(lambda: desk.advanced == [A])
    assert desk.sweeps == 2


async def test_a_sweep_leaves_alone_what_is_in_hand_or_known(desk: Desk) -> None:
    desk.may_end.clear()
    desk.wake(A)
    await desk.until(lambda: desk.advanced == [A])
    desk.wake(B, timedelta(hours=1))
    desk.rows = {A: desk.clock.now(), B: desk.clock.now()}
    desk.clock.move(seconds=SWEEP.total_seconds())
    await desk.until(lambda: desk.sweeps == 2)
    desk.may_end.set()
    await desk.settle()
    assert desk.advanced == [A]


async def test_a_database_that_does_not_answer_is_asked_again_soon(desk: Desk) -> None:
    desk.rows = {A: desk.clock.now()}
    desk.trouble = StoreError("It does not answer.")
    desk.clock.move(seconds=SWEEP.total_seconds())
    await desk.until(lambda: desk.sweeps == 2)
    desk.wake(B)
    await desk.until(lambda: desk.advanced == [B])
    desk.trouble = None
    desk.clock.move(seconds=SWEEP_AGAIN.total_seconds())
    await desk.until(lambda: desk.advanced == [B, A])
