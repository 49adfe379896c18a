"""Reconcile: what became of a submission whose answer was lost, without paying for it again."""

from __future__ import annotations

from datetime import timedelta

from bot.job import Job, JobState
from bot.ports import Absent, CannotTell, Found, Provider, Submission
from bot.routing.claims import reclaim
from bot.steps.step import StepContext
from bot.store import attempts, jobs, settings, stops
from bot.store.transaction import Tx

ABSENCE_GAP = timedelta(seconds=15)
#: How long before its job was asked for a generation may seem to be sent: clocks differ.
CLOCKS_APART = timedelta(days=2)
#: How many generations of ours are looked for in an account, to know it by them.
ENOUGH_TO_KNOW = 5
PAUSED_GAP = timedelta(minutes=1)


class Reconciler:
    """Finds out whether a provider took a submission."""

    def __init__(self, context: StepContext) -> None:
        self._context = context

    async def reconcile(self, job: Job) -> None:
        """Look for a submission whose answer was lost: adopt it, send it again once, or ask."""
        attempt = await self._context.database.read(
            lambda conn: attempts.get(conn, job.id, job.attempt)
        )
        if attempt is None:
            await self._become_uncertain(job)
            return
        provider = self._context.provider(attempt.provider)
        if provider.finding_may_buy and await self._is_stopped(job):
            return
        if not await self._is_same_account(attempt.submission, provider):
            await self._become_uncertain(job)
            return
        owned = await self._context.database.read(
            lambda conn: attempts.owned(conn, provider.name, job.created_at - CLOCKS_APART)
        )
        match await provider.find(attempt.submission, owned):
            case Found(generations=found):
                now = self._context.clock.now()
                generating = await self._context.result(
                    job,
                    lambda tx, current: attempts.take(tx, current, found[0], "adopted", now),
                )
                self._context.hooks.watch(generating)
            case Absent() if self._context.clock.now() >= attempt.submission.sent_at:
                self._context.hooks.watch(await self._context.result(job, self._count_absence))
            case Absent() | CannotTell():
                # Of what was sent by a clock that was ahead nobody knows how old it is.
                await self._become_uncertain(job)

    async def _is_stopped(self, job: Job) -> bool:
        """Whether nothing may be bought for it now: then it waits, or its operator looks."""
        now = self._context.clock.now()
        was_restored, is_blocked, paused = await self._context.database.read(
            lambda conn: (
                attempts.was_restored(conn, job.id),
                stops.is_blocked(conn, job, now),
                stops.why_paused(conn, job),
            )
        )
        if job.cancel_requested or was_restored or is_blocked:
            await self._become_uncertain(job)
            return True
        if paused is not None:
            later = now + PAUSED_GAP
            await self._context.result(
                job, lambda tx, current: jobs.change(tx, current, next_at=later)
            )
        return paused is not None

    async def _is_same_account(self, submission: Submission, provider: Provider) -> bool:
        """Whether the account that may have taken it can be asked still.

        Where its key was changed since, one that shows what was made before is the same: nothing
        that another one does not show is absent.
        """
        if provider.is_test or submission.account in ("", provider.account):
            return True
        earlier = await self._context.database.read(
            lambda conn: attempts.newest_owned(
                conn, provider.name, submission.sent_at, most=ENOUGH_TO_KNOW
            )
        )
        return bool(earlier) and bool(await provider.check(earlier))

    def _count_absence(self, tx: Tx, job: Job) -> Job:
        now = self._context.clock.now()
        if attempts.count_absence(tx, job.id, job.attempt) < 2:
            return jobs.change(tx, job, next_at=now + ABSENCE_GAP)
        attempts.finish(tx, job.id, job.attempt, "absent")
        if (made := reclaim(tx, job, now)) is not None:
            return made
        if attempts.doubtful(tx.conn, job.id) > 1:
            return self._ask_operator(tx, job)
        return attempts.put_back(tx, job, now)

    async def _become_uncertain(self, job: Job) -> None:
        await self._context.result(job, self._ask_operator)

    def _ask_operator(self, tx: Tx, job: Job) -> Job:
        now = self._context.clock.now()
        wish = " It was cancelled meanwhile." if job.cancel_requested else ""
        settings.note_operator(
            tx,
            f"uncertain:{job.id}:{job.attempt}",
            f"Nobody can tell whether {job.id} was taken by the video service.{wish} Look there, "
            f"then run `raybot resolve {job.id} adopt GENERATION`, `… charge` or `… release`.",
            now,
            job.id,
        )
        return jobs.move(tx, job, JobState.UNCERTAIN, now, next_at=None)
