"""From a request to a job in line: checked, written down, its images read, its money held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot import consent
from bot.acceptance import Acceptance
from bot.access import Access
from bot.acts import to_asked
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.dispatch.single import SingleProcess
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
from bot.job import Failure, Job, JobState, Question
from bot.log import name_job
from bot.planning import Planner
from bot.ports import Dispatcher
from bot.receipts import Receipt, Receipts
from bot.refs import JobId
from bot.request import GenerationRequest, Requester, has_frames
from bot.screening import Screening
from bot.store import errands, jobs, ledger, lineage, settings
from bot.store.database import Database, Tx
from bot.store.lookup import Known, look_up

Also = Callable[[Tx, Job], None]
CONFIRM_WITHIN = timedelta(hours=1)
#: Whoever is asked may be away for a while.
ANSWER_WITHIN = timedelta(hours=12)
#: After a longer break a person has asked again; paying for the old request would surprise them.
RESUME_WITHIN = timedelta(minutes=10)
#: Where others read along, a limit, a block or a filter that met somebody is not named.
OUR_FAULT = "Something went wrong on our side, so this was not started. Please ask again."
NOT_RESUMED = "After a restart it could not be started any more. Ask again, and you are told why."


class Intake(Receipts):
    """Takes requests in, once for each `dedupe_key`."""

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
        super().__init__(
            database=database,
            dispatcher=dispatcher,
            clock=clock,
            context=context,
            wake_courier=wake_courier,
        )
        self._planner = planner
        self._access = access
        self._screening = Screening(planner=planner, context=context)
        self._acceptance = Acceptance(
            database=database,
            planner=planner,
            screening=self._screening,
            context=context,
            clock=clock,
            write=self.write_all,
        )
        #: One preparation of a request at a time here; the next finds what the first wrote.
        self._alone = SingleProcess().turn

    # ---- submit --------------------------------------------------------------------------

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
        first = requests[0]
        async with self._alone(first.dedupe_key):
            known = await self._read(first, retry_of)
            if known.job is not None:
                return await self._first_answers(known.job)
            await self._check(first, known, name=place_name)
            marked = consent.with_authors(first, known.earlier.values())
            seen = await self._planner.look_up(first.model_copy(update={"work": marked}))
            work = self._planner.settle(seen, known.standing.chosen.merged, known.limits)
            asked = [to_asked(each, work, retry_of) for each in requests]
            if len(asked) == 1 and also is None:
                job = await self._acceptance.outright(
                    asked[0], known, is_confirmed=is_confirmed, retry_of=retry_of
                )
                if job is not None:
                    return (await self._to_accepted(job),)
            started = await self._insert(asked, retry_of, also)
            if started is None:
                return await self._first_answers(await self._job_of(first.dedupe_key))
            name_job(started[0].id)
            try:
                for job in started:
                    await self._place(job)
                return await self._prepare(started, known, is_confirmed=is_confirmed)
            except Exception as error:  # Its person is told so: nothing may be bought later.
                for job in started:
                    await self._end(job, error, is_late=False)
                if isinstance(error, Moderated):
                    error.job_id = started[0].id
                raise

    async def _read(self, request: GenerationRequest, retry_of: JobId | None) -> Known:
        """All that is looked up before a row is written, in one read."""
        now, house = self._clock.now(), self._context.limits
        named = {each for each in (retry_of, request.parent) if each is not None}
        known = await self._database.read(lambda conn: look_up(conn, request, named, house, now))
        for job_id in named - known.earlier.keys():
            raise JobNotFound(f"There is no job {job_id}.")
        return known

    async def _check(self, request: GenerationRequest, known: Known, *, name: str = "") -> None:
        """Raise unless this may be asked here and now, with the images and clips that it uses."""
        standing = known.standing
        sources, policy = known.earlier.values(), self._screening.policy(standing)
        self._screening.check_remix(request.requester, policy, sources)
        await self._access.check(request, standing, name=name)
        consent.check(request, policy, known.others, known.closed)

    async def _insert(
        self,
        requests: Sequence[GenerationRequest],
        retry_of: JobId | None,
        also: Also | None = None,
    ) -> list[Job] | None:
        """Their rows; None where somebody else has just written them.

        Nobody is nudged: only where this process dies are they due as they are, and found late.
        """
        now = self._clock.now()

        def insert(tx: Tx) -> list[Job] | None:
            started: list[Job] = []
            for each in requests:
                job, is_new = jobs.insert(tx, each, now, retry_of=retry_of)
                if not is_new and not started:
                    return None
                started.append(job)
            if also is not None:
                also(tx, started[0])
            return started

        return await self._database.write(insert)

    async def _place(self, job: Job) -> None:
        """Show it before anything is paid where only that proves that a clip can be shown."""
        try:
            await self._context.place(job)
        except ThreadGone as gone:
            raise NotAllowed(gone.sentence) from gone

    async def _prepare(
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
            return await self._go_on(planned, known, is_confirmed=is_confirmed)
        except Stale:
            return tuple([await self._answer_now(job.id) for job in started])

    async def _go_on(
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
            return await self._accept([replace(job, plan=plan) for job, plan in accepted])
        now = self._clock.now()
        until = now + (CONFIRM_WITHIN if question is None else ANSWER_WITHIN)

        def wait(tx: Tx) -> list[Job]:
            waiting = [
                jobs.change(tx, job, plan=plan, next_at=until)
                for job, plan in zip(planned, asked, strict=True)
            ]
            if question is not None and question.kind == "consent":
                errands.ask_consent(tx, waiting[0], now)
            return waiting

        return tuple([await self._first_answer(job) for job in await self.write_all(wait)])

    async def _end(self, job: Job, error: Exception, *, is_late: bool) -> None:
        """End a request that cannot be carried out; shown where nobody waits for the answer.

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

        def end(tx: Tx) -> Job:
            current = jobs.get(tx.conn, job.id)
            # Cancelled meanwhile; or accepted, and then it goes on, whatever its answer met.
            if current.state is not JobState.RECEIVED:
                raise Stale
            return ledger.fail(tx, current, now, failure)

        with suppress(Stale):
            await self.write(end)
            if not is_late:
                # It has no message with a button, so that nobody can ask for another try of it.
                with suppress(ClipUnavailable):
                    await self._planner.forget_images(job)

    async def _accept(self, planned: Sequence[Job]) -> tuple[Receipt, ...]:
        return tuple([await self._to_accepted(job) for job in await self._acceptance.of(planned)])

    # ---- later ---------------------------------------------------------------------------

    async def confirm(self, job: Job) -> Receipt:
        """Accept a job whose price had to be confirmed first, by the rules of this moment.

        Those that were asked for with it are accepted with it, or none of them is. One that waits
        because its provider takes nothing goes where it costs more.
        """
        if job.state is JobState.ACCEPTED:
            await self.check_again(job)
            return await self._first_answer(await self._send_elsewhere(job))
        if job.state is not JobState.RECEIVED or job.plan is None or job.plan.question:
            return await self._first_answer(job)
        await self.check_again(job)
        batch = await self._database.read(lambda conn: lineage.batch(conn, job))
        waiting = [
            replace(each, plan=self._planner.served(each.plan))
            for each in batch
            if each.state is JobState.RECEIVED and each.plan is not None
        ]
        try:
            receipts = await self._accept(waiting)
        except Stale:
            return await self._answer_now(job.id)
        return next(each for each in receipts if each.job_id == job.id)

    async def _send_elsewhere(self, job: Job) -> Job:
        """Take the way that its person was offered, if it still is one."""
        now, failover = self._clock.now(), self._context.failover

        def send(tx: Tx) -> Job:
            current = jobs.get(tx.conn, job.id)
            plan, is_waiting = current.plan, current.state is JobState.ACCEPTED
            if plan is None or not is_waiting or current.admitted_at is not None:
                return current
            if plan.offered is None or not failover.may_take_offer(plan):
                return current
            return failover.take(tx, current, plan.offered, now)

        return await self.write(send)

    async def check_again(self, job: Job) -> Known:
        """Its place may have been closed or paused, and its person blocked."""
        known = await self._read(job.request, None)
        await self._check(job.request, known)
        return known

    async def answer(self, job_id: JobId, actor: Requester, *, is_allowed: bool) -> Receipt:
        """Take the answer to what a request waits for; those asked for with it wait for the same.

        Its person accepts the rules; who posted its image lends it, or not. Raises `NotAllowed`
        from anybody else. What was answered, or is over, stays as it is.
        """
        first = await self._database.read(lambda conn: jobs.get(conn, job_id))
        if first.request.requester.tenant != actor.tenant:
            raise JobNotFound(f"There is no job {job_id}.")
        async with self._alone(first.request.batch or first.request.dedupe_key):
            job = await self._database.read(lambda conn: jobs.get(conn, job_id))
            question = job.plan.question if job.plan is not None else None
            if question is None:
                return await self._first_answer(job)
            if not consent.is_same(question.person or job.request.requester.person, actor):
                raise NotAllowed("Only whoever is asked can answer that.")
            if job.state is not JobState.RECEIVED:
                return await self._first_answer(job)
            batch = await self._database.read(lambda conn: lineage.batch(conn, job))
            try:
                if not is_allowed:
                    raise Refusal(consent.DENIED[question.kind])
                await self._go_on_with(batch, question)
            except Stale:
                pass
            except BotError as error:
                for each in batch:
                    await self._end(each, error, is_late=True)
                if is_allowed and question.kind == "rules":
                    raise
            return await self._answer_now(job_id)

    async def _go_on_with(self, batch: Sequence[Job], question: Question) -> None:
        """Let requests go on whose question was answered with yes."""
        if question.kind == "rules":
            await self._database.write(
                lambda tx: settings.accept_rules(
                    tx, batch[0].request.requester, question.rules, self._clock.now()
                )
            )
        known = await self.check_again(batch[0])
        lent = (question.person,) if question.kind == "consent" else ()
        answered = []
        for job in batch:
            assert job.plan is not None
            plan = self._planner.served(job.plan)
            granted = {"granted": (*plan.granted, *lent)}
            answered.append(replace(job, plan=plan.model_copy(update=granted)))
        await self._go_on(answered, known, is_confirmed=False)

    async def take_up(self, job_id: JobId, *, until: datetime, soon: datetime) -> None:
        """Prepare a request whose preparation was cut off: begun before `until`, or `soon`.

        The latter without images, whose preparation is short: if two are at it, one writes.
        Raises what that meets, and ends the request with it; a database that is away ends nothing.
        """
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        last = until if has_frames(job.request.work) else soon
        is_left = self._clock.now() - RESUME_WITHIN < job.created_at <= last
        if not is_left:
            return
        async with self._alone(job.request.batch or job.request.dedupe_key):
            batch = await self._database.read(
                lambda conn: lineage.batch(conn, jobs.get(conn, job_id))
            )
            if not all(each.state is JobState.RECEIVED and each.plan is None for each in batch):
                return
            try:
                known = await self.check_again(job)
                for each in batch:
                    await self._place(each)
                await self._prepare(batch, known, is_confirmed=False)
            except StoreError:
                raise
            except Exception as error:
                for each in batch:
                    await self._end(each, error, is_late=True)
                raise
