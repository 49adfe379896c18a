"""What each request goes through: checked, its images read, its price known, its money held."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from bot import consent
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import (
    BotError,
    ClipUnavailable,
    JobNotFound,
    Moderated,
    NotAllowed,
    QuotaExceeded,
    Refusal,
    Stale,
    StoreError,
    ThreadGone,
)
from bot.job import Failure, Job, JobState
from bot.refs import JobId
from bot.request import GenerationRequest
from bot.routing.planning import Planner
from bot.store import errands, jobs, ledger
from bot.store.database import Database
from bot.store.lookup import Known, look_up
from bot.store.transaction import Tx
from bot.studio.acceptance import Acceptance
from bot.studio.access import Access
from bot.studio.receipts import Receipt, Receipts
from bot.studio.screening import Screening

CONFIRM_WITHIN = timedelta(hours=1)
#: Whoever is asked may be away for a while.
ANSWER_WITHIN = timedelta(hours=12)
OUR_FAULT = "Something went wrong on our side, so this was not started. Please ask again."
GOES_ON_LATER = (
    "The database does not answer, so {job_id} has to wait. Raybot goes on with it by itself or "
    "says here why not. Please do not ask again."
)
#: Where others read along, a limit, a block or a filter that met somebody is not named.
NOT_RESUMED = "After a restart it could not be started any more. Ask again, and you are told why."


class Preparation:
    """Takes a request that is written down as far as the line, or as far as what is open."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clock: Clock,
        context: BotContext,
        access: Access,
        receipts: Receipts,
    ) -> None:
        self._database = database
        self._planner = planner
        self._clock = clock
        self._context = context
        self._access = access
        self._receipts = receipts
        self._screening = Screening(planner=planner, context=context)
        self._acceptance = Acceptance(
            database=database,
            planner=planner,
            screening=self._screening,
            context=context,
            clock=clock,
            write=receipts.write_all,
        )

    async def read(self, request: GenerationRequest, retry_of: JobId | None) -> Known:
        """All that is looked up before a row is written, in one read."""
        now, house = self._clock.now(), self._context.limits
        named = {each for each in (retry_of, request.parent) if each is not None}
        known = await self._database.read(lambda conn: look_up(conn, request, named, house, now))
        for job_id in named - known.earlier.keys():
            raise JobNotFound(f"There is no job {job_id}.")
        return known

    async def check(self, request: GenerationRequest, known: Known, *, name: str = "") -> None:
        """Raise unless this may be asked here and now, with the images and clips that it uses."""
        standing = known.standing
        sources, policy = known.earlier.values(), self._screening.policy(standing)
        self._screening.check_remix(request.requester, policy, sources)
        await self._access.check(request, standing, name=name)
        consent.check(request, policy, known.others, known.closed)

    async def check_again(self, job: Job) -> Known:
        """Its place may have been closed or paused, and its person blocked."""
        known = await self.read(job.request, None)
        await self.check(job.request, known)
        return known

    async def place(self, job: Job) -> None:
        """Show it before anything is paid where only that proves that a clip can be shown."""
        try:
            await self._context.place(job)
        except ThreadGone as gone:
            raise NotAllowed(gone.sentence) from gone

    async def prepare(
        self, started: Sequence[Job], known: Known, *, is_confirmed: bool
    ) -> tuple[Receipt, ...]:
        """Read the images and have it all checked, then accept it, or ask first."""
        policy = self._screening.policy(known.standing)
        try:
            plans = [
                await self._planner.plan(job, job.request.work, limits=known.limits)
                for job in started
            ]
            # The others of a batch ask for the same.
            await self._screening.check(started[0], plans[0], policy)
            planned = [replace(job, plan=p) for job, p in zip(started, plans, strict=True)]
            return await self.go_on(planned, known, is_confirmed=is_confirmed)
        except Stale:
            return tuple([await self._receipts.answer_now(job.id) for job in started])

    async def go_on(
        self, planned: Sequence[Job], known: Known, *, is_confirmed: bool
    ) -> tuple[Receipt, ...]:
        """Accept them, or ask what is open: the rules, somebody's consent, the price."""
        plans = [job.plan for job in planned if job.plan is not None]
        policy, trust = self._screening.policy(known.standing), known.standing.chosen.trust
        question = consent.open_question(policy, known.others, trust, plans[0].granted)
        consent.check_asked(question, known.asked)
        is_dear = self._acceptance.is_dear(sum(plan.price.charged for plan in plans))
        asked = [plan.model_copy(update={"question": question}) for plan in plans]
        if question is None and (is_confirmed or not is_dear):
            accepted = zip(planned, asked, strict=True)
            return await self.accept([replace(job, plan=plan) for job, plan in accepted])
        now = self._clock.now()
        # Whoever waited for the answer of others may be away by now, too.
        is_late = question is None and bool(plans[0].granted)
        is_here = question is None and not is_late
        until = now + (CONFIRM_WITHIN if is_here else ANSWER_WITHIN)

        def wait(tx: Tx) -> list[Job]:
            waiting = [
                jobs.change(tx, job, plan=plan, next_at=until)
                for job, plan in zip(planned, asked, strict=True)
            ]
            if question is not None and question.kind == "consent":
                errands.ask_consent(tx, waiting[0], now)
            if is_late:
                errands.ask_price(tx, waiting[0], now)
            return waiting

        waiting = await self._receipts.write_all(wait)
        return tuple([await self._receipts.first_answer(job) for job in waiting])

    async def outright(
        self,
        request: GenerationRequest,
        known: Known,
        *,
        is_confirmed: bool,
        retry_of: JobId | None,
    ) -> Receipt | None:
        """Accept a request that needs nothing of all this; None where it does."""
        job = await self._acceptance.outright(
            request, known, is_confirmed=is_confirmed, retry_of=retry_of
        )
        return await self._receipts.to_accepted(job) if job is not None else None

    async def accept(self, planned: Sequence[Job]) -> tuple[Receipt, ...]:
        """Accept what was planned, all of it or nothing."""
        accepted = await self._acceptance.of(planned)
        return tuple([await self._receipts.to_accepted(job) for job in accepted])

    async def end_all(self, started: Sequence[Job], error: Exception) -> None:
        """End what was just asked for; what cannot be ended goes on later, and is told to."""
        try:
            await self.end(started, error, is_late=False)
        except StoreError as away:
            raise StoreError(GOES_ON_LATER.format(job_id=started[0].id)) from away

    async def end(self, batch: Sequence[Job], error: Exception, *, is_late: bool) -> None:
        """End requests that cannot be carried out; shown where nobody waits for the answer.

        Where somebody does, it is told to them alone, and what was placed of it is taken down.
        """
        is_refusal = isinstance(error, Refusal)
        if is_late:
            code = ledger.LATE_REFUSAL if is_refusal else ledger.LATE_FAULT
        else:
            code = ledger.REFUSED if is_refusal else ledger.NOT_PREPARED
        is_theirs = isinstance(error, NotAllowed | QuotaExceeded | Moderated)
        sentence = error.sentence if isinstance(error, BotError) else OUR_FAULT
        sentence = NOT_RESUMED if is_late and is_theirs else sentence
        failure, now = Failure(code=code, sentence=sentence), self._clock.now()

        def end(tx: Tx) -> list[Job]:
            every = [(job, jobs.get(tx.conn, job.id)) for job in batch]
            # Not what was cancelled meanwhile, or accepted: that goes on, whatever its answer met.
            open_ones = [pair for pair in every if pair[1].state is JobState.RECEIVED]
            return [
                ledger.fail(tx, each, now, failure)
                for job, each in open_ones
                # Nor what another process has begun to ask its person about.
                if not (is_late and job.plan is None and each.plan is not None)
            ]

        for ended in await self._receipts.write_all(end):
            if not is_late:
                # It has no message with a button, so that nobody can ask for another try of it.
                with suppress(ClipUnavailable):
                    await self._planner.forget_images(ended)
