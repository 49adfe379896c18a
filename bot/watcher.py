"""One provider's watcher: admits waiting jobs into free slots and looks at what runs there.

A callback is only a hint; what is written down was read from the provider with our own key.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Collection
from datetime import datetime, timedelta

from bot.bot_context import Announce
from bot.clock import Clock, to_past_boottime, to_wall
from bot.durations import REMEMBERED, STALE_AT_LEAST, Durations, Running, to_work_class
from bot.errors import ProviderError, ProviderUnavailable, StoreError
from bot.job import Failure, Job, JobState, UnderWay
from bot.log import get_logger
from bot.outlook import PASSING_SECONDS, Outlook
from bot.ports import Dispatcher, Generation, Provider
from bot.refs import GenerationId
from bot.routing import claims
from bot.routing.failover import Failover
from bot.store import under_way
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.upkeep import keep_going
from bot.watching.account_watch import AccountWatch
from bot.watching.admission import Admission
from bot.watching.callbacks import UNDER_WAY, Callbacks, Hint

log = get_logger(__name__)
#: Calls that come this soon after others are many, and share a look after this little pause.
MANY_CALLS_SECONDS, HINTS_GATHER_SECONDS = 1.0, 0.3
CALLBACKS_ARE_FRESH_SECONDS = 600.0
#: How many times rarer looks are where callbacks arrive, or nobody knows how long one takes.
RARER_WITH_CALLBACKS, RARER_UNKNOWN = 10, 1.25
#: How many must run before a list is asked, where there is one.
CROWD = 3
#: Maximum of generations on the pages that one look reads.
COMPANY, FASTER_TOGETHER = 2000, 3
#: How many ended generations are remembered, to ignore late callbacks.
ENDED = 1000
TEST_IS_GONE_SECONDS, PAID_IS_MISSING_SECONDS = 120.0, 1800.0
STORE_PAUSE_SECONDS, REREAD_SECONDS, LEARN_SECONDS = 5.0, 1.0, 60.0


class ProviderWatcher:
    """Looks after what runs at one provider; its `admission` lets waiting jobs in."""

    def __init__(
        self,
        provider: Provider,
        *,
        database: Database,
        dispatcher: Dispatcher,
        clock: Clock,
        announce: Announce,
        failover: Failover,
    ) -> None:
        self._provider = provider
        self._database = database
        self._dispatcher = dispatcher
        self._clock = clock
        self._announce = announce
        self._durations = Durations()
        self._running: dict[GenerationId, Running] = {}
        self._look_at: dict[GenerationId, float] = {}
        self._slow: set[GenerationId] = set()
        self._ended: deque[GenerationId] = deque(maxlen=ENDED)
        self._callbacks = Callbacks(database=database, clock=clock, announce=announce)
        self._called_at = self._reread_at = self._learnt_at = -math.inf
        self._is_on_duty = not database.is_shared  # A callback may come before the first look.
        self.admission = Admission(
            provider,
            database=database,
            dispatcher=dispatcher,
            clock=clock,
            stale_after=self._stale_after,
            announce=announce,
            failover=failover,
        )
        self._account = AccountWatch(provider, database=database, clock=clock)
        self._looking = asyncio.Event()

    # ---- what others tell it -------------------------------------------------------------

    def watch(self, job: Job | UnderWay) -> None:
        """Look after this job's generation from now on, where that is done here."""
        is_known = job.generation_id in self._running
        if job.generation_id is None or is_known or not self._is_on_duty:
            return
        key, now = to_work_class(job.work), self._clock.now()
        since = to_past_boottime(self._clock, began := job.submitted_at or now)
        at = since + self._durations.first_look(key, self._provider.limits.first_look_seconds)
        running = Running(job_id=job.id, key=key, since=since, first_at=at, is_timed=began <= now)
        self._running[job.generation_id], self._look_at[job.generation_id] = running, at
        self._looking.set()

    def hint(self, hint: Hint) -> bool:
        """A callback arrived, which is looked into soon; False: another one may have to know."""
        told = hint.generation.id
        # Without news it still shows, once its secret was compared, that callbacks arrive.
        if self._is_on_duty and (self._is_news(told, hint) or not self._has_callbacks()):
            self._callbacks.add(hint)
            self._looking.set()
        return self._is_on_duty and (told in self._running or told in self._ended)

    @property
    def running(self) -> int:
        """How many generations are under watch here."""
        return len(self._running) if self._is_on_duty else 0

    async def outlook(self, job: Job) -> Outlook:
        """Its place in line, how long it should take, and what is wrong with the provider."""
        work_class = to_work_class(job.work)
        if not self._is_on_duty and self._clock.boottime() - self._learnt_at > LEARN_SECONDS:
            await self.learn()
        if job.state is not JobState.ACCEPTED:
            # Where it is watched elsewhere, the row tells as much.
            age = self._clock.now() - (job.submitted_at or self._clock.now())
            is_slow = not self._is_on_duty and self._durations.is_slow(work_class, age)
            return Outlook(
                expected=self._durations.expected(work_class),
                is_slow=is_slow or job.generation_id in self._slow,
            )
        places = await self.admission.positions()
        position = places.get(job.id, len(places) + 1)
        slots = self._provider.limits.running
        return Outlook(
            position=position,
            expected=self._durations.expected_wait(work_class, position=position, slots=slots),
            provider_trouble=self.admission.trouble_sentence,
        )

    def _stale_after(self) -> timedelta:
        """The age at which no running generation counts as occupying its slot any more."""
        kinds = {each.key for each in self._running.values()}
        return max(map(self._durations.stale_after, kinds), default=STALE_AT_LEAST)

    # ---- life ----------------------------------------------------------------------------

    async def learn(self) -> None:
        """Know how long it took lately, by whomever it was watched; raises `StoreError`."""
        name, self._learnt_at = self._provider.name, self._clock.boottime()
        past = await self._database.read(lambda conn: under_way.finished(conn, name, REMEMBERED))
        self._durations = Durations((to_work_class(job.work), seconds) for job, seconds in past)

    async def run(self) -> None:
        """Take up what runs, then admit and look until cancelled."""
        for generation_id in list(self._running):
            self._forget(generation_id)
        self._is_on_duty, self._reread_at = True, -math.inf
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look_forever(), name=f"look {self._provider.name}")
                if not self.admission.is_draining:
                    group.create_task(self.admission.run(), name=f"admit {self._provider.name}")
                    group.create_task(keep_going((self._account.run,), self._clock))
        finally:
            self._is_on_duty = False

    async def _reread(self) -> None:
        """Take up what runs, as the rows say; of what other processes began, every second."""
        now = self._clock.boottime()
        if now - self._reread_at < (REREAD_SECONDS if self._database.is_shared else math.inf):
            return
        if self._reread_at == -math.inf and self._database.is_shared:
            await self.learn()
        name, known = self._provider.name, set(self._running)
        ids, new = await self._database.read(lambda conn: under_way.generating(conn, name, known))
        self._reread_at = now
        for job in new:
            self.watch(job)
        for generation_id in known - ids:
            self._forget(generation_id)

    # ---- looking -------------------------------------------------------------------------

    async def _look_forever(self) -> None:
        failures = 0
        while True:
            self._looking.clear()
            began = self._clock.boottime()
            try:
                await self._reread()
                await self._look()
                failures = 0
                self.admission.looked()
            except StoreError as error:
                log.error("watcher.store_failed", cause=error.sentence)  # noqa: TRY400
                await self._rest(began + STORE_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - it is logged, and ends no other's work
                failures = min(failures + 1, 5)
                asked_for = await self._could_not_look(error)
                await self._rest(began + (asked_for or min(2.0**failures, 30.0)))
            await self._clock.wait(self._looking, self._next_look(began))

    async def _could_not_look(self, error: Exception) -> float | None:
        """Say why; returns for how many seconds the provider asked to be left alone, if it did."""
        name = self._provider.name
        await self._account.not_seen(error)
        if not isinstance(error, ProviderError):
            log.error("provider.look_fault", provider=name, exc_info=error)
            error = ProviderUnavailable("Its answer cannot be read.", provider=name)
        self.admission.could_not_look(error.sentence)
        log.warning("provider.look_failed", provider=name, cause=error.sentence)
        return error.retry_after

    async def _rest(self, until: float) -> None:
        await self._clock.wait(asyncio.Event(), to_wall(self._clock, until))

    def _next_look(self, last: float) -> datetime | None:
        if self._callbacks.since is not None:
            return self._clock.now()
        reread = last + REREAD_SECONDS if self._database.is_shared else math.inf
        look = max(last + self._pace(), min(self._look_at.values(), default=math.inf))
        soon = min(look, reread, self._callbacks.next_at)
        return to_wall(self._clock, soon) if soon < math.inf else None

    def _pace(self) -> float:
        """Seconds from one look to the next; fewer where one call tells of many."""
        pace = self._provider.limits.look_seconds
        return pace / FASTER_TOGETHER if self._is_crowd() else pace

    def _is_crowd(self) -> bool:
        """Whether one call tells of all, so that nobody costs more."""
        return self._provider.limits.has_list and len(self._running) >= CROWD

    async def _look(self) -> None:
        self._callbacks.take_up()
        await self._gather_calls()
        calls = await self._callbacks.take()
        now = self._clock.boottime()
        due, news = self._due(now), {each for each in calls if self._is_news(each, calls[each])}
        if not due | news:
            return
        self._called_at = now if news else self._called_at
        strangers = news - self._running.keys()
        for generation_id in news - strangers:
            self._running[generation_id].seen_at = now
        try:
            seen = await self._check(self._with_company(due, news))
        except Exception:
            self._callbacks.put_back({each: calls[each] for each in calls.keys() - strangers})
            for generation_id in strangers:
                self._callbacks.put_off(calls[generation_id])
            self._notice_slow(due)
            raise
        for generation_id in due & self._running.keys():
            # Or another one's turn was first, so this one's comes soon.
            gap = self._gap() if generation_id in seen else self._pace()
            self._look_at[generation_id] = self._look_again(generation_id, now, gap)
        for each in filter(lambda told: told.id in self._running, seen.values()):
            self._running[each.id].see(now, is_over=each.state not in UNDER_WAY)
        for generation_id in (news - seen.keys()) & self._running.keys():
            self._look_at[generation_id] = now + self._pace()
        known = strangers & seen.keys()
        await asyncio.gather(*(self._take_in(calls[each], seen[each]) for each in known))
        for generation_id in strangers - known:
            await self._look_alone(generation_id, calls[generation_id])
        self._notice_slow(due)
        await self._notice_missing(due - seen.keys(), now)
        looked = due & seen.keys() & self._running.keys()
        await self._account.endless({each: self._running[each] for each in looked}, now)

    async def _look_alone(self, generation_id: GenerationId, hint: Hint) -> None:
        """Nobody else looks at this one, so it may not miss its turn."""
        try:
            seen = await self._provider.check([generation_id])
        except ProviderError:
            self._callbacks.put_off(hint)
            return
        if generation_id in seen:
            await self._take_in(hint, seen[generation_id])

    async def _check(self, ids: Collection[GenerationId]) -> dict[GenerationId, Generation]:
        """What the provider tells of these; those that ended go on while it still tells."""
        recorded: dict[GenerationId, asyncio.Task[None]] = {}

        def hear(told: Generation) -> None:
            is_end = told.state not in UNDER_WAY and told.id in self._running
            if is_end and told.id not in recorded:
                recorded[told.id] = asyncio.ensure_future(self._record(told))  # noqa: TID251

        try:
            return dict(await self._provider.check(ids, hear))
        finally:
            await asyncio.gather(*recorded.values())

    async def _gather_calls(self) -> None:
        """Let calls collect that come one upon the other; a lone end is looked into at once.

        A first call may be quicker than the answer to its submission, so it waits, too.
        """
        since = self._callbacks.since
        if since is None:
            return
        if since < self._called_at + MANY_CALLS_SECONDS or not self._callbacks.has_end:
            await self._rest(since + HINTS_GATHER_SECONDS)

    def _is_news(self, generation_id: GenerationId, hint: Hint) -> bool:
        """Whether it is worth a look; the answer to a submission may come after its first call."""
        is_end = hint.generation.state not in UNDER_WAY
        return generation_id not in self._ended and (is_end or generation_id not in self._running)

    def _with_company(self, due: set[GenerationId], news: set[GenerationId]) -> set[GenerationId]:
        """In a crowd, whoever is not slow comes along: a list tells of all.

        So one that is done before its first look, or while the pages are read, is seen with the
        others. One call alone is answered sooner, and more than one look reads costs more.
        """
        asked = due | news
        if not self._is_crowd() or (not due and len(news) == 1):
            return asked
        company = self._running.keys() - self._slow
        return asked | company if len(company) <= COMPANY else asked

    async def _take_in(self, hint: Hint, seen: Generation) -> None:
        """Adopt it, unless the answer to its submission came while it was looked at."""
        if seen.id in self._running:
            if seen.state not in UNDER_WAY:
                await self._record(seen)
            return
        job = await self._callbacks.adopt(hint, seen)
        if job is not None:
            self.watch(job)
            self._look_at[seen.id] = self._clock.boottime()

    def _due(self, now: float) -> set[GenerationId]:
        """What to look at now; in a crowd, whoever would soon be due comes along for free."""
        soon = now + self._gap() if self._is_crowd() else now
        is_time = any(at <= now for at in self._look_at.values())
        return {each for each, at in self._look_at.items() if is_time and at <= soon}

    def _has_callbacks(self) -> bool:
        """Whether callbacks arrive these days."""
        at = self._callbacks.last_at
        return at is not None and self._clock.boottime() - at < CALLBACKS_ARE_FRESH_SECONDS

    def _gap(self) -> float:
        """Seconds from one look at a young generation to the next, callbacks considered."""
        if self._has_callbacks():
            return self._provider.limits.look_seconds * RARER_WITH_CALLBACKS
        return self._pace()

    def _look_again(self, generation_id: GenerationId, now: float, gap: float) -> float:
        """Each sweep while it is young; ever less often when it takes unusually long."""
        running = self._running[generation_id]
        gap *= 1 if self._durations.knows(running.key) else RARER_UNKNOWN
        return now + max(gap, min(60.0, (now - running.since - 300) / 30))

    def _notice_slow(self, ids: Collection[GenerationId]) -> None:
        now = self._clock.boottime()
        for generation_id in self._running.keys() & (set(ids) - self._slow):
            running = self._running[generation_id]
            if self._durations.is_slow(running.key, timedelta(seconds=now - running.since)):
                self._slow.add(generation_id)
                self._announce(running.job_id)

    async def _notice_missing(self, ids: Collection[GenerationId], now: float) -> None:
        """A generation its provider knows no more: a test ends, for a paid one a person looks."""
        for generation_id in ids:
            running = self._running.get(generation_id)
            if running is None:
                continue
            missing_for = running.miss(now)
            if self._provider.is_test and missing_for > TEST_IS_GONE_SECONDS:
                failure = Failure(code="gone", sentence="The simulator was restarted. Ask again.")
                await self._record(Generation(id=generation_id, state="failed", failure=failure))
            elif missing_for > PAID_IS_MISSING_SECONDS:
                await self._account.missing(running.job_id, generation_id)

    async def _record(self, generation: Generation) -> None:
        """Write down a generation that ended; its job goes on from there."""
        running, now = self._running[generation.id], self._clock.now()

        def write(tx: Tx) -> None:
            if claims.end(tx, running.job_id, generation, now):
                self._dispatcher.wake(tx, running.job_id, now)

        try:
            await self._database.write(write)
        except StoreError as error:
            # It stays under watch, so the next look tries again.
            ids = {"job": running.job_id, "generation": generation.id}
            log.error("watcher.store_failed", cause=error.sentence, **ids)  # noqa: TRY400
            return
        if generation.state == "completed":
            self._durations.learn(running, self._clock.boottime())
        self._forget(generation.id)
        self._ended.append(generation.id)
        self._announce(running.job_id, after=PASSING_SECONDS)
        self.admission.nudge()

    def _forget(self, generation_id: GenerationId) -> None:
        self._running.pop(generation_id, None)
        self._look_at.pop(generation_id, None)
        self._slow.discard(generation_id)
