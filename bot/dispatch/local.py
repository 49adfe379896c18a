"""The dispatcher of one process on SQLite: due times in memory, rebuilt from the rows."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from bot.clock import Clock
from bot.errors import StoreError
from bot.log import get_logger
from bot.ports import Transaction
from bot.refs import JobId

SWEEP = timedelta(seconds=60)
SWEEP_AGAIN = timedelta(seconds=5)
log = get_logger(__name__)


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
        self._heap: list[tuple[datetime, JobId]] = []
        self._due: dict[JobId, datetime] = {}
        self._in_hand: set[JobId] = set()
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()

    def wake(self, tx: Transaction, job_id: JobId, at: datetime) -> None:
        """Let this job be advanced at this time, if the transaction commits."""
        tx.after_commit(lambda: self._push(job_id, at))

    async def run(self, advance: Callable[[JobId], Awaitable[None]]) -> None:
        """Advance what is due until cancelled; once a minute, look for rows nobody woke."""
        sweep_at = self._clock.now()
        async with asyncio.TaskGroup() as group:
            while True:
                if self._clock.now() >= sweep_at:
                    sweep_at = self._clock.now() + await self._sweep()
                self._changed.clear()
                while (job_id := self._next()) is not None:
                    group.create_task(self._advance(advance, job_id), name=f"advance {job_id}")
                await self._clock.wait(self._changed, self._wait_until(sweep_at))

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and give the steps in hand this long to end."""
        self._hands = 0
        until = self._clock.now() + timedelta(seconds=seconds)
        while self._in_hand and self._clock.now() < until:
            self._freed.clear()
            await self._clock.wait(self._freed, until)

    def _wait_until(self, sweep_at: datetime) -> datetime:
        if not self._heap or len(self._in_hand) >= self._hands:
            return sweep_at
        return min(sweep_at, self._heap[0][0])

    def _push(self, job_id: JobId, at: datetime) -> None:
        if self._due.get(job_id) == at:
            return
        self._due[job_id] = at
        heapq.heappush(self._heap, (at, job_id))
        self._changed.set()

    async def _sweep(self) -> timedelta:
        """Push the rows that nobody woke; returns when to sweep again."""
        try:
            rows = await self._due_times()
        except StoreError as error:
            log.error("dispatch.store_failed", cause=error.sentence)  # noqa: TRY400
            return SWEEP_AGAIN
        for job_id, at in rows:
            if job_id not in self._in_hand and job_id not in self._due:
                self._push(job_id, at)
        return SWEEP

    def _next(self) -> JobId | None:
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now and len(self._in_hand) < self._hands:
            at, job_id = heapq.heappop(self._heap)
            if self._due.get(job_id) != at or job_id in self._in_hand:
                continue
            del self._due[job_id]
            self._in_hand.add(job_id)
            return job_id
        return None

    def _is_due(self, job_id: JobId) -> bool:
        return job_id in self._due and self._due[job_id] <= self._clock.now()

    async def _advance(self, advance: Callable[[JobId], Awaitable[None]], job_id: JobId) -> None:
        try:
            await advance(job_id)
            # On to its next step, before others begin: what is nearly done is done first.
            while self._hands and self._is_due(job_id):
                del self._due[job_id]
                await advance(job_id)
        finally:
            self._in_hand.discard(job_id)
            if job_id in self._due:
                heapq.heappush(self._heap, (self._due[job_id], job_id))
            self._changed.set()
            self._freed.set()
