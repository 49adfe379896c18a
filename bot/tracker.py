"""One step of one job: which one its state asks for, and what follows when it fails."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import TypeVar, Unpack, assert_never

from bot.consent import UNANSWERED
from bot.errors import (
    BotError,
    ClipBroken,
    ClipError,
    ClipHeavy,
    ClipTooLarge,
    DeliveryUnavailable,
    InOtherHands,
    ProviderUnavailable,
    Refusal,
    Stale,
    StoreError,
    ThreadGone,
)
from bot.job import STUCK_AFTER, TERMINAL, TRIES_BEFORE_TELLING, Failure, Job, JobState
from bot.log import get_logger, naming
from bot.ports import Generation, Submission
from bot.refs import JobId, money
from bot.routing.claims import reclaim
from bot.steps.delivery import BROKEN_FETCHES, Deliverer, is_past_posting
from bot.steps.reconciliation import Reconciler
from bot.steps.step import StepContext
from bot.steps.submission import Submitter
from bot.store import attempts, errands, jobs, ledger, settings, stories
from bot.store.columns import JobColumns
from bot.store.transaction import Tx
from bot.text import thing

log = get_logger(__name__)
R = TypeVar("R")
FAULTS_BEFORE_PARKING = 5
BROKEN_PAUSE = 10.0
LONGEST_PAUSE = 600.0
#: How many times a job that cannot be prepared is tried before its slot is given to others.
KEEPS_ITS_SLOT = 2
#: How often a clip is made smaller in vain before its person is told that it is kept.
RESIZES = 3
#: The first pause of what this machine lacks time or memory for; each next one is twice as long.
HEAVY_PAUSE = 10.0
#: Maximum pause, and how many tries before the operator hears of it, where people wait for what is
#: perhaps taken or is paid: soon after an outage it is looked for, kept (links end), or shown.
PATIENCE = {
    JobState.SUBMITTING: (60.0, STUCK_AFTER[JobState.SUBMITTING]),
    JobState.FETCHING: (60.0, STUCK_AFTER[JobState.FETCHING]),
    JobState.DELIVERING: (60.0, 30),
}


#: Failures of what a service made, took money for, and does not show any more.
MADE_AND_GONE = frozenset({"expired", "empty"})


class JobTracker:
    """Advances jobs; every write is guarded by the state it was decided on."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._submitter = Submitter(context)
        self._reconciler = Reconciler(context)
        self._deliverer = Deliverer(context)

    async def advance(self, job_id: JobId, at: datetime) -> None:
        """Take one step of one job, if it is due; never raises but for cancellation.

        `at` has come even if the wall clock was set back meanwhile: its pause was waited for.
        """
        try:
            while self._submitter.unkept:
                await self._keep(*self._submitter.unkept.pop())
            job = await self._context.database.read(lambda conn: jobs.get_or_none(conn, job_id))
            now = self._context.clock.now()
            if job is None or job.state in TERMINAL or job.parked_at:
                return
            if job.next_at is None or job.next_at > max(now, at):
                return
            with naming(job.id, job.generation_id):
                kept = await self._guarded(job, self._step(job))
                if kept is not None:
                    # On the row as it was written just now: to read it again would tell no more.
                    # While draining, too: nobody else takes this job before these hands let it go.
                    await self._guarded(kept, self._deliverer.deliver(kept))
        except Stale:
            log.debug("job.stale", job=job_id)
        except StoreError as error:
            log.error("job.store_failed", job=job_id, cause=error.sentence)  # noqa: TRY400

    async def _keep(self, job: Job, submission: Submission, generation: Generation) -> None:
        """Write what was taken by a step that was cut off before it could."""
        with naming(job.id, generation.id):
            await self._guarded(job, self._submitter.keep(job, submission, generation))

    async def _guarded(self, job: Job, step: Awaitable[R]) -> R | None:
        try:
            try:
                return await step
            except StoreError:
                raise
            except InOtherHands as error:
                await self._again(job, error.retry_after, tries=job.tries)
            except BotError as error:
                await self._after(job, error)
        except StoreError:
            raise
        except Exception as error:
            log.exception("job.fault", job=job.id, state=job.state)
            await self._after_fault(job, error)
        return None

    async def _step(self, job: Job) -> Job | None:
        """Take it; returns a job whose clip was kept and is to be delivered at once."""
        match job.state:
            case JobState.RECEIVED:
                await self._context.result(job, self._expire_confirm)
            case JobState.ACCEPTED:
                await self._submitter.submit(job)
            case JobState.SUBMITTING:
                await self._reconciler.reconcile(job)
            case JobState.GENERATING if job.is_film:
                await self._follow(job)
            case JobState.GENERATING:
                await self._judge(job)
            case JobState.FETCHING:
                kept = await self._deliverer.fetch(job)
                return kept if kept.state is JobState.DELIVERING else None
            case JobState.REVIEWING:
                await self._deliverer.ask_moderators(job)
            case JobState.DELIVERING:
                await self._deliverer.deliver(job)
            case JobState.UNCERTAIN | JobState.DELIVERED | JobState.FAILED | JobState.CANCELLED:
                pass
            case _:
                assert_never(job.state)
        return None

    async def _follow(self, film: Job) -> None:
        """Let a film go on from what became of its shots."""
        now = self._context.clock.now()
        await self._context.result(film, lambda tx, current: stories.follow(tx, current, now))
        for name in self._context.providers:
            self._context.hooks.nudge(name)

    def _expire_confirm(self, tx: Tx, job: Job) -> Job:
        now, question = self._context.clock.now(), job.plan.question if job.plan else None
        errands.renew_questions(tx, job.id, now)
        tx.after_commit(self._context.hooks.wake_courier)
        if question is None:
            return ledger.end(tx, job, JobState.CANCELLED, now, charged=None)
        # Of rules that were not accepted nobody else need read.
        code = ledger.REFUSED if question.kind == "rules" else ledger.LATE_REFUSAL
        failure = Failure(code=code, sentence=UNANSWERED[question.kind])
        return ledger.fail(tx, job, now, failure)

    async def _judge(self, job: Job) -> None:
        """A generation failed: an earlier one instead, or once more, or it is given up."""
        failure = job.provider_failure
        if failure is None:
            return
        now = self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            if failure.code in MADE_AND_GONE:
                return _write_off_gone(tx, current, failure, now)
            if (made := reclaim(tx, current, now)) is not None:
                return made
            is_last = attempts.generations(tx.conn, job.id) > 1 or current.cancel_requested
            is_last = is_last or attempts.was_restored(tx.conn, job.id)
            if is_last or failure.code != attempts.WORTH_ANOTHER:
                return ledger.fail(tx, current, now, failure)
            return attempts.put_back(tx, current, now)

        judged = await self._context.result(job, write)
        self._context.hooks.watch(judged)

    async def _after(self, job: Job, error: BotError) -> None:
        """The error's type decides: try again later, or end the job."""
        log.warning("job.step_failed", job=job.id, state=job.state, cause=error.sentence)
        match error:
            case Refusal() if job.state is JobState.ACCEPTED:
                await self._context.fail(job, Failure(code="refused", sentence=error.sentence))
            case ClipBroken() if job.state is JobState.FETCHING:
                await self._after_broken(job, error)
            case ClipHeavy() if job.is_film and job.state is JobState.FETCHING:
                # Each of its shots is kept already.
                await self._after_broken(job, error)
            case ClipTooLarge() | ThreadGone() | ClipBroken():
                await self._deliverer.keep(job, error)
            case ClipHeavy() if job.state is JobState.DELIVERING:
                await self._after_heavy(job, error)
            case ClipHeavy():
                await self._again(job, min(HEAVY_PAUSE * 2.0 ** min(job.tries, 9), LONGEST_PAUSE))
            case DeliveryUnavailable() if is_past_posting(job, self._context.clock.now()):
                await self._deliverer.keep(job, error)
            case ProviderUnavailable() | DeliveryUnavailable():
                await self._again(job, error.retry_after)
            case BotError():
                await self._again(job, None)

    async def _after_broken(self, job: Job, error: ClipError) -> None:
        """A damaged file is fetched again after ever longer pauses, then written off."""
        if job.broken + 1 >= BROKEN_FETCHES:
            await self._deliverer.write_off(job, error)
            return
        await self._again(job, BROKEN_PAUSE * 10**job.broken, broken=job.broken + 1)

    async def _after_heavy(self, job: Job, error: ClipError) -> None:
        """A clip that was not made smaller is so later; posts that failed do not count for it."""
        if job.broken + 1 >= RESIZES:
            await self._deliverer.keep(job, error)
            return
        await self._again(job, HEAVY_PAUSE * 2**job.broken, broken=job.broken + 1)

    async def _again(
        self, job: Job, retry_after: float | None, **columns: Unpack[JobColumns]
    ) -> None:
        longest, last = PATIENCE.get(job.state, (LONGEST_PAUSE, TRIES_BEFORE_TELLING))
        growing = min(2.0 ** min(job.tries, 9), longest)
        delay, now = timedelta(seconds=retry_after or growing), self._context.clock.now()
        if job.state is JobState.ACCEPTED and job.tries >= KEEPS_ITS_SLOT:
            # It keeps no slot from those who can go, and is let in again ever more rarely.
            columns["admitted_at"] = None
            delay = max(delay, timedelta(seconds=growing))

        def write(tx: Tx, current: Job) -> Job:
            values: JobColumns = {"tries": current.tries + 1, "next_at": now + delay, **columns}
            if values["tries"] == last:
                sentence = f"{job.id} is stuck in {job.state}; Raybot keeps trying, see its log."
                if job.state in STUCK_AFTER:
                    sentence += f" `raybot resolve {job.id} charge`, or `… release`, gives it up."
                settings.note_operator(tx, f"stuck:{job.id}:{job.state}", sentence, now, job.id)
            return jobs.change(tx, current, **values)

        await self._context.result(job, write)

    async def _after_fault(self, job: Job, error: Exception) -> None:
        """A fault of our own: again later, and after five of them aside, for the operator."""
        if job.faults + 1 < FAULTS_BEFORE_PARKING:
            await self._again(job, None, faults=job.faults + 1)
            return
        now = self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            settings.note_operator(
                tx,
                f"parked:{job.id}:{current.version}",  # It may happen again.
                f"{job.id} was put aside after {FAULTS_BEFORE_PARKING} faults "
                f"({type(error).__name__}); `raybot check` lists such jobs.",
                now,
                job.id,
            )
            aside: JobColumns = {"parked_at": now, "next_at": None}
            if current.state is JobState.ACCEPTED:
                # Who waits for the operator keeps no slot from others.
                aside["admitted_at"] = None
            return jobs.change(tx, current, **aside)

        await self._context.result(job, write)


def _write_off_gone(tx: Tx, job: Job, failure: Failure, now: datetime) -> Job:
    """Its person pays nothing; we note what we paid."""
    assert job.plan is not None
    cost, service = job.plan.price.charged, job.plan.provider
    sentence = (
        f"{service} made the {thing(job.work)} of {job.id} and does not show it any more; the "
        f"person who asked was not charged. Ask the service for {money(cost)} back."
    )
    settings.note_operator(tx, f"gone:{job.id}", sentence, now, job.id)
    return ledger.fail(tx, job, now, failure, provider_cost=cost)
