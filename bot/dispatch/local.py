"""The dispatcher of one process on SQLite: due times in memory, rebuilt from the rows."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clock import Clock, to_boottime, to_wall
from bot.errors import StoreError
from bot.log import get_logger
from bot.ports import Transaction
from bot.refs import JobId

SWEEP = timedelta(seconds=60)
SWEEP_AGAIN = timedelta(seconds=5)
#: Two readings of the same time differ by less, unless a clock was set.
JITTER_SECONDS = 1.0
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """The time that a job's row has, and the boot time that this was when it was heard of.

    The pause between is waited for as long as it was meant, whoever sets the wall clock.
    """

    at: datetime
    boottime: float


class LocalDispatcher:
    """A heap of due times; a job is in one pair of hands at a time."""

    def __init__(
        self,
        clock: Clock,
        due_times: Callable[[], Awaitable[list[tuple[JobId, datetime]]]],
        *,
        hands: int = 32,
    ) -> None:
        self._clock = clock
        self._due_times = due_times
        self._hands = hands
        self._heap: list[tuple[float, JobId]] = []
        self._due: dict[JobId, Due] = {}
        self._in_hand: set[JobId] = set()
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()

    def wake(self, tx: Transaction, job_id: JobId, at: datetime) -> None:
        """Let this job be advanced at this time, if the transaction commits."""
        due = self._to_due(at)  # By the clock that `at` was told by, whoever sets it meanwhile.
        tx.after_commit(lambda: self._push(job_id, due))

    def go_on(self, tx: Transaction, job_id: JobId, at: datetime | None) -> None:
        """Like `wake`, but called by the job's own step; None cancels it."""
        if at is None:
            tx.after_commit(lambda: self._forget(job_id))
        else:
            self.wake(tx, job_id, at)

    async def run(self, advance: Callable[[JobId, datetime], Awaitable[None]]) -> None:
        """Advance what is due until cancelled; once a minute, look for rows nobody woke."""
        sweep_at = self._clock.boottime()
        async with asyncio.TaskGroup() as group:
            while True:
                if self._clock.boottime() >= sweep_at:
                    sweep_at = self._clock.boottime() + (await self._sweep()).total_seconds()
                self._changed.clear()
                while (found := self._next()) is not None:
                    job_id, at = found
                    group.create_task(self._advance(advance, job_id, at), name=f"advance {job_id}")
                until = to_wall(self._clock, self._wait_until(sweep_at))
                await self._clock.wait(self._changed, until)

    async def drain(self, seconds: float) -> float:
        """Start nothing more, and give the steps in hand this long to end; the seconds left."""
        self._hands = 0
        until = self._clock.boottime() + seconds
        while self._in_hand and self._clock.boottime() < until:
            self._freed.clear()
            await self._clock.wait(self._freed, to_wall(self._clock, until))
        return max(0.0, until - self._clock.boottime())

    def _wait_until(self, sweep_at: float) -> float:
        if not self._heap or len(self._in_hand) >= self._hands:
            return sweep_at
        return min(sweep_at, self._heap[0][0])

    def _to_due(self, at: datetime) -> Due:
        return Due(at=at, boottime=to_boottime(self._clock, at))

    def _push(self, job_id: JobId, due: Due) -> None:
        known = self._due.get(job_id)
        if known is None or known.at != due.at:
            self._set_due(job_id, due)

    def _forget(self, job_id: JobId) -> None:
        self._due.pop(job_id, None)

    def _set_due(self, job_id: JobId, due: Due) -> None:
        self._due[job_id] = due
        heapq.heappush(self._heap, (due.boottime, job_id))
        self._changed.set()

    async def _sweep(self) -> timedelta:
        """Push the rows that nobody woke; returns when to sweep again."""
        try:
            rows = await self._due_times()
        except StoreError as error:
            log.error("dispatch.store_failed", cause=error.sentence)  # noqa: TRY400
            return SWEEP_AGAIN
        for job_id, at in rows:
            if job_id not in self._in_hand:
                self._take_up(job_id, at)
        return SWEEP

    def _take_up(self, job_id: JobId, at: datetime) -> None:
        """A row that nobody woke, or whose time is nearer since the wall clock was set forward."""
        due, known = self._to_due(at), self._due.get(job_id)
        is_nearer = known is not None and due.boottime < known.boottime - JITTER_SECONDS
        if known is None or (known.at == at and is_nearer):
            self._set_due(job_id, due)

    def _next(self) -> tuple[JobId, datetime] | None:
        now = self._clock.boottime()
        while self._heap and self._heap[0][0] <= now and len(self._in_hand) < self._hands:
            boottime, job_id = heapq.heappop(self._heap)
            due = self._due.get(job_id)
            if due is None or due.boottime != boottime or job_id in self._in_hand:
                continue
            del self._due[job_id]
            self._in_hand.add(job_id)
            return job_id, due.at
        return None

    def _take_due(self, job_id: JobId) -> datetime | None:
        """The time of a job in hand that is due again already."""
        due = self._due.get(job_id)
        if due is None or due.boottime > self._clock.boottime():
            return None
        del self._due[job_id]
        return due.at

    async def _advance(
        self,
        advance: Callable[[JobId, datetime], Awaitable[None]],
        job_id: JobId,
        at: datetime,
    ) -> None:
        try:
            await advance(job_id, at)
            # On to its next step, before others begin: what is nearly done is done first.
            while self._hands and (again := self._take_due(job_id)) is not None:
                await advance(job_id, again)
        finally:
            self._in_hand.discard(job_id)
            if job_id in self._due:
                heapq.heappush(self._heap, (self._due[job_id].boottime, job_id))
            self._changed.set()
            self._freed.set()
