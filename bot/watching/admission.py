"""Who may go to a provider now: free slots, its budget of creates, and its troubles."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from bot.bot_context import Announce
from bot.budget import OPERATOR_PAUSE_SECONDS, CircuitBreaker, TokenBucket
from bot.choice import is_draining
from bot.clock import Clock, to_wall
from bot.desk_views import Health
from bot.errors import (
    ProviderClosed,
    ProviderError,
    StoreError,
)
from bot.job import JobState, Route
from bot.log import get_logger
from bot.ports import Dispatcher, Provider
from bot.queue import Waiting, next_up, positions
from bot.queue import line as in_turn
from bot.refs import JobId
from bot.routing.failover import Failover
from bot.store import jobs, stops
from bot.store.database import Database
from bot.store.transaction import Tx

log = get_logger(__name__)
#: How many waiting people see their new place at once.
SHOWN_IN_LINE = 50
#: The others hear of a provider's trouble a few at a time; chats take about one edit a second.
TOLD_A_SECOND = 2
#: How many recently served people rank last among equals.
REMEMBERED = 100
#: Maximum of jobs that one transaction lets in.
TOGETHER = 20
#: Places in line that are counted exactly; reading ten thousand each second would stall.
PLACES = 1000
SAFETY_SECONDS = 1.0
#: How many of a line look for another way while a provider takes nothing, and how often.
LEAVE_AT_ONCE, ELSEWHERE_SECONDS = 50, 5.0
STORE_PAUSE_SECONDS = 5.0


class Admission:
    """Lets waiting jobs into one provider's free slots, the fairest first."""

    def __init__(
        self,
        provider: Provider,
        *,
        database: Database,
        dispatcher: Dispatcher,
        clock: Clock,
        stale_after: Callable[[], timedelta],
        announce: Announce,
        failover: Failover,
    ) -> None:
        self._provider = provider
        self._database = database
        self._dispatcher = dispatcher
        self._clock = clock
        self._stale_after = stale_after
        self._announce = announce
        self._failover = failover
        limits = provider.limits
        self._creates = TokenBucket(
            limits.creates_per_minute / 60,
            burst=max(1, min(limits.running, limits.creates_per_minute)),
        )
        self._breaker = CircuitBreaker()
        self._paused_until: float | None = None
        self._trouble: str | None = None
        self._told_trouble: str | None = None
        self._unseen: str | None = None
        self._paused: frozenset[str] = frozenset()
        self._looked_at: datetime | None = None
        self._changed = asyncio.Event()
        self._left_off = 0
        #: Who was let in lately, in this order.
        self._served: dict[str, int] = {}
        self._turns = 0
        self._places: dict[JobId, int] = {}
        self._counted_at = -math.inf
        self._counting = asyncio.Lock()

    def nudge(self) -> None:
        """A job was accepted or a slot became free."""
        self._changed.set()

    async def positions(self) -> dict[JobId, int]:
        """Everyone's place in line, counted at most once a second."""
        async with self._counting:
            boottime = self._clock.boottime()
            if boottime - self._counted_at >= 1.0:
                name, stale = self._provider.name, self._clock.now() - self._stale_after()
                line = await self._database.read(
                    lambda conn: jobs.line(conn, name, PLACES, unless=stops.is_paused())
                )
                busy = await self._database.read(lambda conn: jobs.running(conn, name, stale))
                self._places, self._counted_at = positions(line, busy, self._served), boottime
            return self._places

    def trouble(self, error: ProviderError) -> None:
        """A submission was not taken: slow down, and say so where a person can read it."""
        now = self._clock.boottime()
        if isinstance(error, ProviderClosed):
            self._pause(now + OPERATOR_PAUSE_SECONDS, error.sentence)
        elif error.retry_after is not None:
            self._creates.penalise(now, error.retry_after)
        else:
            self._breaker.failed(now)
            if self._breaker.is_open:
                self._pause(None, error.sentence)
        self.nudge()

    def taken(self) -> None:
        """A submission was taken: whatever trouble there was is over."""
        self._breaker.succeeded(self._clock.boottime())
        if self._trouble is not None:
            self._trouble, self._paused_until = None, None
            log.warning("provider.back", provider=self._provider.name)
            self.nudge()

    @property
    def trouble_sentence(self) -> str | None:
        """Why nothing can be submitted now, if so."""
        return self._trouble

    @property
    def is_draining(self) -> bool:
        """Whether nothing new goes there at all, so that nobody need be let in."""
        return is_draining(self._provider)

    @property
    def is_well(self) -> bool:
        """Whether jobs go there, without any trouble since the last."""
        return self._trouble is None and not self.is_draining

    @property
    def is_open(self) -> bool:
        """Whether a job may go there now: there is no trouble, or it is time to try again."""
        now = self._clock.boottime()
        is_over = self._paused_until is None or self._paused_until <= now
        may_try = self._trouble is None or (is_over and self._breaker.wait(now) <= 0)
        return may_try and not self.is_draining

    @property
    def look_trouble(self) -> str | None:
        """Why nothing is seen of what runs, if so."""
        return self._unseen

    def looked(self) -> None:
        """What runs was seen just now."""
        self._unseen, self._looked_at = None, self._clock.now()

    def could_not_look(self, sentence: str) -> None:
        """Record why the last look failed."""
        self._unseen = sentence

    @property
    def health(self) -> Health:
        """A snapshot of this provider's health."""
        return Health(
            trouble=self._trouble or "",
            unseen=self._unseen or "",
            may_try=self.is_open,
            is_draining=self.is_draining,
            looked_at=self._looked_at,
        )

    def _pause(self, until: float | None, sentence: str) -> None:
        is_news = self._trouble is None
        self._paused_until, self._trouble = until, sentence
        if is_news:
            log.warning("provider.paused", provider=self._provider.name, reason=sentence)

    async def run(self) -> None:
        """Admit until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._tell_trouble()
                await self._tell_paused()
                again = await self._admit()
            except StoreError as error:
                log.error("watcher.store_failed", cause=error.sentence)  # noqa: TRY400
                again = self._clock.boottime() + STORE_PAUSE_SECONDS
            await self._clock.wait(self._changed, to_wall(self._clock, again))

    async def _tell_trouble(self) -> None:
        """Everyone who waits hears once that the provider is down, and once that it is back.

        They hear in the order of their turn, so that each person soon hears of one of theirs.
        """
        news, name = self._trouble, self._provider.name
        if news == self._told_trouble:
            return
        waiting = await self._database.read(lambda conn: jobs.line(conn, name))
        self._told_trouble = news
        self._announce_all(in_turn(waiting, {}))

    async def _tell_paused(self) -> None:
        """Who waits in a place that was paused, or goes on, hears of it, whoever decided it."""
        paused, name = await self._database.read(stops.paused), self._provider.name
        if not (changed := paused ^ self._paused):
            return
        waiting = await self._database.read(
            lambda conn: stops.in_line(conn, changed, provider=name)
        )
        self._paused = paused
        self._announce_all(waiting)

    def _announce_all(self, job_ids: Iterable[JobId]) -> None:
        for place, job_id in enumerate(job_ids, start=1):
            self._announce(job_id, after=max(0, place - SHOWN_IN_LINE) / TOLD_A_SECOND)

    async def _announce_line(self) -> None:
        name = self._provider.name
        line = await self._database.read(
            lambda conn: jobs.line(conn, name, SHOWN_IN_LINE, unless=stops.is_paused())
        )
        for waiting in line:
            self._announce(waiting.job_id)

    async def _admit(self) -> float:
        """Fill free slots, the fairest job first; returns the boot time to try again unasked."""
        began, now = self._clock.boottime(), self._clock.now()
        if not self.is_open and await self._send_elsewhere():
            return began + ELSEWHERE_SECONDS
        if self._paused_until is not None and began < self._paused_until:
            return self._paused_until
        if not self._breaker.allows(began):
            return began + self._breaker.wait(began)
        name = self._provider.name
        stale = now - self._stale_after()
        busy = await self._database.read(lambda conn: jobs.running(conn, name, stale))
        free = self._provider.limits.running - sum(busy.values())
        if self._trouble is not None:
            free = min(free, 1)
        if free <= 0:
            return began + SAFETY_SECONDS
        line = await self._first_in_line(busy, free, now)
        people = {each.job_id: each.person for each in line}
        picked = deque(next_up(line, busy, self._served, slots=free))
        if not picked:
            return began + SAFETY_SECONDS
        while picked:
            boottime = self._clock.boottime()
            if not (some := self._take_turns(picked, boottime)):
                return boottime + self._creates.wait(boottime)
            await self._let_in(some)
            for job_id in some:
                self._note_served(people[job_id])
        await self._announce_line()
        return began + SAFETY_SECONDS

    async def _first_in_line(
        self, busy: Mapping[str, int], free: int, now: datetime
    ) -> list[Waiting]:
        """As many as may be chosen for the free slots, without those whose place is paused."""
        return await self._database.read(
            lambda conn: jobs.waiting(
                conn,
                self._provider.name,
                now,
                slots=free,
                busy=len(busy),
                served=self._served,
                unless=stops.is_paused(),
            )
        )

    def _take_turns(self, picked: deque[JobId], boottime: float) -> list[JobId]:
        """The next of them, as far as creates are left this minute."""
        some = list[JobId]()
        while picked and len(some) < TOGETHER and self._creates.take(boottime):
            some.append(picked.popleft())
        return some

    def _note_served(self, person: str) -> None:
        self._turns += 1
        self._served.pop(person, None)
        self._served[person] = self._turns
        if len(self._served) > REMEMBERED:
            del self._served[next(iter(self._served))]

    async def _send_elsewhere(self) -> bool:
        """Reroute waiting jobs; return whether any that was looked at has alternatives."""
        name, now = self._provider.name, self._clock.now()

        line = await self._database.read(lambda conn: jobs.line(conn, name))
        # Of a long one the next part each time: nobody stands behind those who cannot go.
        start = self._left_off if self._left_off < len(line) else 0
        self._left_off, line = start + LEAVE_AT_ONCE, line[start : start + LEAVE_AT_ONCE]
        waiting = await self._database.read(
            lambda conn: [jobs.get(conn, each.job_id) for each in line]
        )
        for job in waiting:
            if job.plan is None or not job.plan.others:
                continue
            if (route := self._failover.next_of_line(job.plan)) is not None:
                await self._send_one(job.id, route, now)
            elif (offer := self._failover.offer(job.plan)) != job.plan.offered:
                await self._offer_one(job.id, offer)
        return any(job.plan is not None and job.plan.others for job in waiting)

    async def _send_one(self, job_id: JobId, route: Route, now: datetime) -> None:
        def write(tx: Tx) -> None:
            job = jobs.get(tx.conn, job_id)
            is_waiting = job.state is JobState.ACCEPTED and job.admitted_at is None
            if is_waiting and job.plan is not None and job.plan.provider == self._provider.name:
                self._failover.take(tx, job, route, now)
                tx.after_commit(lambda: self._announce(job_id))

        await self._database.write(write)

    async def _offer_one(self, job_id: JobId, offer: Route | None) -> None:
        """Note what its person is asked about, so that nothing else is taken for their word."""

        def write(tx: Tx) -> None:
            job = jobs.get(tx.conn, job_id)
            if job.state is JobState.ACCEPTED and job.admitted_at is None and job.plan is not None:
                jobs.change(tx, job, plan=job.plan.model_copy(update={"offered": offer}))
                tx.after_commit(lambda: self._announce(job_id))

        await self._database.write(write)

    async def _let_in(self, job_ids: Sequence[JobId]) -> None:
        """Let in jobs that still wait, as far as slots are free."""
        now, name = self._clock.now(), self._provider.name
        # Now, because what is written is written in another thread.
        stale = now - self._stale_after()

        def write(tx: Tx) -> None:
            free = self._free(tx, stale) if self._database.is_shared else len(job_ids)
            for job_id in job_ids:
                job = jobs.get(tx.conn, job_id)
                is_ours = job.plan is not None and job.plan.provider == name
                is_waiting = job.state is JobState.ACCEPTED and job.admitted_at is None
                if free > 0 and is_ours and is_waiting:
                    jobs.change(tx, job, admitted_at=now, next_at=now)
                    self._dispatcher.wake(tx, job_id, now)
                    free -= 1

        await self._database.write(write)

    def _free(self, tx: Tx, stale: datetime) -> int:
        """How many slots are free still: for a moment, two processes may be in charge."""
        busy = jobs.running(tx.conn, self._provider.name, stale)
        return self._provider.limits.running - sum(busy.values())
