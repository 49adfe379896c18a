"""From a request to a job in line: taken in once, confirmed, answered for, taken up again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from bot import consent
from bot.acts import is_for, to_asked
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.dispatch.single import SingleProcess
from bot.errors import (
    BotError,
    DeliveryUnavailable,
    JobNotFound,
    Moderated,
    NotAllowed,
    Refusal,
    Stale,
    StoreError,
    TooLate,
)
from bot.job import Job, JobState, Question
from bot.log import name_job
from bot.ports import Dispatcher
from bot.refs import JobId
from bot.request import GenerationRequest, Requester
from bot.routing.planning import Planner
from bot.store import jobs, lineage, settings
from bot.store.database import Database
from bot.store.lookup import Known
from bot.store.transaction import Tx
from bot.studio.access import Access
from bot.studio.preparation import Preparation
from bot.studio.receipts import Receipt, Receipts

Also = Callable[[Tx, Job], None]
#: After a longer break a person has asked again; paying for the old request would surprise them.
RESUME_WITHIN = timedelta(minutes=10)
CUT_OFF = "Raybot was cut off after you asked, and it is too late to start it now. Ask again."
#: So long a request is kept whose chat platform is away; then its person hears of it.
WAIT_FOR_CHAT = timedelta(minutes=9)


class Intake:
    """Takes requests in, once for each `dedupe_key`; `receipts` are what became of them."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        dispatcher: Dispatcher,
        clock: Clock,
        context: BotContext,
        access: Access,
        wake_courier: Callable[[], None],
    ) -> None:
        self._database = database
        self._planner = planner
        self._clock = clock
        self._failover = context.failover
        self._replicas = context.replicas
        self.receipts = Receipts(
            database=database,
            dispatcher=dispatcher,
            clock=clock,
            context=context,
            wake_courier=wake_courier,
        )
        self.preparation = Preparation(
            database=database,
            planner=planner,
            clock=clock,
            context=context,
            access=access,
            receipts=self.receipts,
        )
        #: One preparation of a request at a time here; the next finds what the first wrote.
        self._alone = SingleProcess()

    async def submit(
        self,
        request: GenerationRequest,
        *,
        is_confirmed: bool,
        retry_of: JobId | None = None,
        place_name: str = "",
    ) -> Receipt:
        """Start a job; raises `Refusal`s, then nothing is charged."""
        every = await self.submit_all(
            [request], is_confirmed=is_confirmed, retry_of=retry_of, place_name=place_name
        )
        return every[0]

    async def submit_all(
        self,
        requests: Sequence[GenerationRequest],
        *,
        is_confirmed: bool,
        retry_of: JobId | None = None,
        place_name: str = "",
        also: Also | None = None,
    ) -> tuple[Receipt, ...]:
        """Start all of a batch, which ask the same, and do `also` with their rows, or nothing."""
        first, heard_at = requests[0], self._clock.now()
        async with self._alone.turn(first.dedupe_key):
            known = await self.preparation.read(first, retry_of)
            if known.job is not None:
                return await self.receipts.first_answers(known.job)
            await self.preparation.check(first, known, name=place_name)
            asked = await self._settle(requests, known, retry_of)
            async with self._turn(first):
                if also is None and (repeated := await self._repeated(asked[0], heard_at)):
                    return repeated
                if len(asked) == 1 and also is None:
                    receipt = await self.preparation.outright(
                        asked[0], known, is_confirmed=is_confirmed, retry_of=retry_of
                    )
                    if receipt is not None:
                        return (receipt,)
                started = await self._insert(asked, retry_of, also)
            if started is None:
                return await self.receipts.of(first.dedupe_key)
            return await self._prepare_new(started, known, is_confirmed=is_confirmed)

    async def _prepare_new(
        self, started: Sequence[Job], known: Known, *, is_confirmed: bool
    ) -> tuple[Receipt, ...]:
        """Take further what was just written down; what cannot be is ended, and raises."""
        name_job(started[0].id)
        try:
            for job in started:
                await self.preparation.place(job)
            return await self.preparation.prepare(started, known, is_confirmed=is_confirmed)
        except Exception as error:  # Its person is told so: nothing may be bought later.
            await self.preparation.end_all(started, error)
            if isinstance(error, Moderated) and is_for("remix", started[0]):
                error.job_id = started[0].id
            raise

    async def _settle(
        self, requests: Sequence[GenerationRequest], known: Known, retry_of: JobId | None
    ) -> list[GenerationRequest]:
        """The requests with what their person did not say filled in."""
        first = requests[0]
        marked = consent.with_authors(first, known.earlier.values())
        seen = await self._planner.look_up(first.model_copy(update={"work": marked}))
        work = self._planner.settle(seen, known.standing.chosen.merged, known.limits)
        return [to_asked(each, work, retry_of) for each in requests]

    def _turn(self, request: GenerationRequest) -> AbstractAsyncContextManager[None]:
        """Presses under one clip wait for each other, in any process: one sees the other's row."""
        if request.parent is None:
            return nullcontext()
        return self._replicas.turn(f"{request.requester.person} {request.parent}")

    async def _repeated(
        self, request: GenerationRequest, heard_at: datetime
    ) -> tuple[Receipt, ...]:
        """What the first of two presses started; nothing where it was the only one."""
        if request.parent is None:
            return ()
        now = self._clock.now()
        job = await self._database.read(
            lambda conn: lineage.pressed_before(conn, request, heard_at, now)
        )
        every = await self.receipts.first_answers(job) if job is not None else ()
        return tuple(replace(each, is_repeat=True) for each in every)

    async def _insert(
        self,
        requests: Sequence[GenerationRequest],
        retry_of: JobId | None,
        also: Also | None = None,
    ) -> list[Job] | None:
        """Their rows; None where somebody else has just written them.

        Nobody is nudged: only where this process dies are they due as they are, and found late.
        """
        now, by = self._clock.now(), self._replicas.name

        def insert(tx: Tx) -> list[Job] | None:
            started: list[Job] = []
            for each in requests:
                job, is_new = jobs.insert(tx, each, now, retry_of=retry_of, prepared_by=by)
                if not is_new and not started:
                    return None
                started.append(job)
            if also is not None:
                also(tx, started[0])
            return started

        return await self._database.write(insert)

    # ---- later ---------------------------------------------------------------------------

    async def confirm(self, job: Job) -> Receipt:
        """Accept a job whose price had to be confirmed first, by the rules of this moment.

        Those that were asked for with it are accepted with it, or none of them is. One that waits
        because its provider takes nothing goes where it costs more.
        """
        if job.state is JobState.ACCEPTED:
            await self.preparation.check_again(job)
            return await self.receipts.first_answer(await self._send_elsewhere(job))
        if job.state is not JobState.RECEIVED or job.plan is None or job.plan.question:
            return await self.receipts.first_answer(job)
        await self.preparation.check_again(job)
        batch = await self._database.read(lambda conn: lineage.batch(conn, job))
        waiting = [
            replace(each, plan=self._planner.served(each.plan))
            for each in batch
            if each.state is JobState.RECEIVED and each.plan is not None
        ]
        try:
            receipts = await self.preparation.accept(waiting)
        except Stale:
            return await self.receipts.answer_now(job.id)
        return next(each for each in receipts if each.job_id == job.id)

    async def _send_elsewhere(self, job: Job) -> Job:
        """Take the way that its person was offered, if it still is one."""
        now, failover = self._clock.now(), self._failover

        def send(tx: Tx) -> Job:
            current = jobs.get(tx.conn, job.id)
            plan, is_waiting = current.plan, current.state is JobState.ACCEPTED
            if plan is None or not is_waiting or current.admitted_at is not None:
                return current
            if plan.offered is None or not failover.may_take_offer(plan):
                return current
            return failover.take(tx, current, plan.offered, now)

        return await self.receipts.write(send)

    async def answer(self, job_id: JobId, actor: Requester, *, is_allowed: bool) -> Receipt:
        """Take the answer to what a request waits for; those asked for with it wait for the same.

        Its person accepts the rules; who posted its image lends it, or not. Raises `NotAllowed`
        from anybody else. What was answered, or is over, stays as it is.
        """
        first = await self._database.read(lambda conn: jobs.get(conn, job_id))
        if first.request.requester.tenant != actor.tenant:
            raise JobNotFound(f"There is no job {job_id}.")
        async with self._alone.turn(first.request.batch or first.request.dedupe_key):
            job = await self._database.read(lambda conn: jobs.get(conn, job_id))
            question = job.plan.question if job.plan is not None else None
            if question is None:
                return await self.receipts.first_answer(job)
            if not consent.is_same(question.person or job.request.requester.person, actor):
                raise NotAllowed("Only whoever is asked can answer that.")
            if job.state is not JobState.RECEIVED:
                return await self.receipts.first_answer(job)
            batch = await self._database.read(lambda conn: lineage.batch(conn, job))
            try:
                if not is_allowed:
                    raise Refusal(consent.DENIED[question.kind])
                await self._go_on_with(batch, question)
            except Stale:
                pass
            except BotError as error:
                await self.preparation.end(batch, error, is_late=True)
                if is_allowed and question.kind == "rules":
                    raise
            return await self.receipts.answer_now(job_id)

    async def _go_on_with(self, batch: Sequence[Job], question: Question) -> None:
        """Let requests go on whose question was answered with yes."""
        if question.kind == "rules":
            await self._database.write(
                lambda tx: settings.accept_rules(
                    tx, batch[0].request.requester, question.rules, self._clock.now()
                )
            )
        known = await self.preparation.check_again(batch[0])
        lent = (question.person,) if question.kind == "consent" else ()
        answered = []
        for job in batch:
            assert job.plan is not None
            plan = self._planner.served(job.plan)
            granted = {"granted": (*plan.granted, *lent)}
            answered.append(replace(job, plan=plan.model_copy(update=granted)))
        await self.preparation.go_on(answered, known, is_confirmed=False)

    async def take_up(self, job_id: JobId) -> None:
        """Prepare a request whose preparation was cut off, unless it is in hand here.

        Raises what that meets, and ends the request with it; a database that is away ends nothing,
        nor does a chat platform for a while: after a start it may not be connected yet.
        """
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        key = job.request.batch or job.request.dedupe_key
        age = self._clock.now() - job.created_at
        if self._alone.is_taken(key) or age >= jobs.PREPARE_WITHIN:
            return
        async with self._alone.turn(key):
            batch = await self._database.read(
                lambda conn: lineage.batch(conn, jobs.get(conn, job_id))
            )
            if not all(each.state is JobState.RECEIVED and each.plan is None for each in batch):
                return
            if age >= RESUME_WITHIN:
                late = TooLate(CUT_OFF)
                await self.preparation.end(batch, late, is_late=True)
                raise late
            try:
                known = await self.preparation.check_again(job)
                for each in batch:
                    await self.preparation.place(each)
                await self.preparation.prepare(batch, known, is_confirmed=False)
            except StoreError:
                raise
            except Exception as error:
                is_away = isinstance(error, DeliveryUnavailable)
                if is_away and self._clock.now() < job.created_at + WAIT_FOR_CHAT:
                    raise
                await self.preparation.end(batch, error, is_late=True)
                raise
