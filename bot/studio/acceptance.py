"""Holding the money of requests and putting them in line, in one transaction each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bot import consent
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import QuotaExceeded, Refusal
from bot.job import Job, JobState, Plan
from bot.log import name_job
from bot.refs import JobId, new_job_id
from bot.request import GenerationRequest, ImageWork, VideoWork, frames_of
from bot.routing.failover import without_alternatives
from bot.routing.planning import Planner
from bot.store import ledger, stories
from bot.store.database import Database
from bot.store.lookup import Known
from bot.store.transaction import Tx
from bot.studio.screening import Screening
from bot.tables import micros


class Acceptance:
    """Accepts what was planned, and outright what needs nothing read, shown or asked before."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        screening: Screening,
        context: BotContext,
        clock: Clock,
        write: Callable[[Callable[[Tx], list[Job]]], Awaitable[list[Job]]],
    ) -> None:
        self._database = database
        self._planner = planner
        self._screening = screening
        self._context = context
        self._clock = clock
        self._write = write

    def is_dear(self, price: int) -> bool:
        """Whether so much, in micro-dollars, is confirmed first."""
        most = self._context.limits.confirm_above_usd
        return most is not None and price > micros(most)

    async def of(self, planned: Sequence[Job]) -> list[Job]:
        """The accepted jobs, all of them or none; raises `QuotaExceeded` and `NotAllowed`."""
        now = self._clock.now()
        try:
            accepted = await self._hold(planned, now)
        except QuotaExceeded as refused:
            full, tenant = refused, planned[0].request.requester.tenant
            await self._database.write(
                lambda tx: ledger.note_refusal(tx, full, tenant, self._context.limits, now)
            )
            raise
        for provider in {
            (job.plan.shots or (job.plan,))[0].provider for job in planned if job.plan
        }:
            self._context.nudge(provider)
        return accepted

    async def _hold(self, planned: Sequence[Job], now: datetime) -> list[Job]:
        """Hold the dearest route's price; if over a limit, only the first's."""
        limits, accept = self._context.limits, stories.accept_all
        if any(job.plan.others or job.plan.shots for job in planned if job.plan):
            with suppress(QuotaExceeded):
                return await self._write(lambda tx: accept(tx, planned, limits, now))
        own = [replace(job, plan=job.plan and without_alternatives(job.plan)) for job in planned]
        return await self._write(lambda tx: accept(tx, own, limits, now))

    async def outright(
        self,
        request: GenerationRequest,
        known: Known,
        *,
        is_confirmed: bool,
        retry_of: JobId | None,
    ) -> Job | None:
        """The accepted job; None where nothing was written, because it takes the longer way.

        Refusals also take the slow path, which records them.
        """
        if not self._is_plain(request):
            return None
        now = self._clock.now()
        draft = Job(
            id=new_job_id(now),
            state=JobState.RECEIVED,
            version=1,
            request=request,
            created_at=now,
        )
        try:
            plan = await self._planner.plan(draft, request.work, limits=known.limits)
            if await self._is_open(draft, plan, known, is_confirmed=is_confirmed):
                return None
            return await self._start(request, plan, now, retry_of)
        except Refusal:
            return None

    async def _is_open(self, draft: Job, plan: Plan, known: Known, *, is_confirmed: bool) -> bool:
        """Whether something must be asked first; raises `Moderated`."""
        policy, trust = self._screening.policy(known.standing), known.standing.chosen.trust
        await self._screening.check(draft, plan, policy)
        question = consent.open_question(policy, known.others, trust, plan.granted)
        return question is not None or (self.is_dear(plan.price.charged) and not is_confirmed)

    async def _start(
        self, request: GenerationRequest, plan: Plan, now: datetime, retry_of: JobId | None
    ) -> Job | None:
        limits = self._context.limits

        def start(tx: Tx) -> list[Job]:
            try:
                job, is_new = ledger.start(tx, request, plan, limits, now, retry_of=retry_of)
            except Refusal:
                return []  # Before anything was written, so that what shares the commit stands.
            return [job] if is_new else []

        started = await self._write(start)
        for job in started:
            name_job(job.id)
            self._context.nudge(plan.provider)
        return started[0] if started else None

    def _is_plain(self, request: GenerationRequest) -> bool:
        work = request.work
        return (
            isinstance(work, VideoWork | ImageWork)
            and frames_of(work) == (None, None)
            and not self._screening.asks_others
            and not self._context.is_placed_first(request.thread)
        )
