"""Submit: the step that costs money, and how it never does so twice."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import Literal, TypeVar

from bot.budget import OPERATOR_PAUSE_SECONDS
from bot.errors import (
    InvalidRequest,
    ProviderClosed,
    ProviderError,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    Stale,
    StoreError,
    SubmissionUncertain,
)
from bot.job import TRIES_BEFORE_TELLING, Failure, Job, JobState
from bot.log import get_logger, name_job
from bot.ports import FrameHandle, Generation, Provider, Submission
from bot.refs import JobId
from bot.request import ClipFrame, ClipWork, as_sent, frames_of
from bot.routing.claims import claim, reclaim
from bot.routing.failover import may_leave
from bot.send_guard import send_only_while
from bot.steps.step import StepContext
from bot.store import attempts, jobs, ledger, settings, stops
from bot.store.transaction import Tx

log = get_logger(__name__)
FREEZE_SECONDS = 5.0
VISIBLE = timedelta(seconds=10)
#: How many refusals have a short pause, and the longest one later, in which others try.
PATIENT_TRIES, LONGEST_PAUSE = 5, 300.0
#: Longer than a provider is left alone that takes nothing: then somebody else tries it first.
AFTER_OTHERS_SECONDS = OPERATOR_PAUSE_SECONDS + 5.0
#: Before an answer is written again, in seconds; nobody else may touch the job meanwhile.
PAUSES = (0.5, 1.0, 2.0, 5.0)
WAIT_FOR_OPERATOR = timedelta(hours=24)
#: How often a service that takes others refuses one before that is given up.
OWN_REFUSALS = 3
OTHERS_ARE_TAKEN = "Others are taken, so this one was given up; nothing was charged."
T = TypeVar("T")


class Submitter:
    """Takes an admitted job to the provider."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        #: By provider: since when it takes nothing for its operator's sake, and when it last took.
        self._closed_since: dict[str, datetime] = {}
        self._took_at: dict[str, datetime] = {}
        #: What was taken, and could not be written before its step was cut off.
        self.unkept: list[tuple[Job, Submission, Generation]] = []

    async def submit(self, job: Job) -> None:
        """Write the intent, send one POST, write what came of it."""
        if job.cancel_requested:
            await self._context.result(job, self._take_back)
            return
        if job.admitted_at is None:
            await self._release_if_hopeless(job)
            return
        job = await self._context.with_start(job)
        assert job.plan is not None
        provider = self._context.provider(job.plan.provider, is_for_new=True)
        submission = await self._prepare(job, provider, secrets.token_urlsafe(32))
        frozen_since = self._context.clock.boottime()
        intent = await self._write_intent(job, provider, submission)
        if intent.state is not JobState.SUBMITTING:
            return
        # Since when nobody takes it was told by the row before.
        job = replace(intent, provider_failure=job.provider_failure)
        if self._context.clock.boottime() - frozen_since >= FREEZE_SECONDS:
            await self._not_taken(job, submission, None)
            return
        # Reconciliation starts only after this deadline.
        until = frozen_since + FREEZE_SECONDS + provider.limits.submit_seconds
        with send_only_while(lambda: self._context.clock.boottime() < until):
            await self._send(job, provider, submission)

    async def _send(self, job: Job, provider: Provider, submission: Submission) -> None:
        try:
            generation = await provider.submit(submission)
        except SubmissionUncertain:
            # Waiting jobs see an outage, not this job's uncertainty.
            self._context.hooks.trouble(provider.name, ProviderUnavailable(provider=provider.name))
            log.warning("job.submission_uncertain", job=job.id, provider=provider.name)
            await self._context.result(
                job,
                lambda tx, current: jobs.change(
                    tx, current, next_at=self._context.clock.now() + VISIBLE
                ),
            )
        except ProviderRejected as error:
            if error.code == "image" and await self._is_worth_a_fresh_link(
                job, provider, submission
            ):
                await self._not_taken(job, submission, None)
                return
            failure = Failure(code=error.code, sentence=error.sentence)
            await self._end_attempt(job, submission, failure)
        except ProviderError as error:
            await self._after_refusal(job, submission, error)
        else:
            await self.keep(job, submission, generation)

    async def _after_refusal(self, job: Job, submission: Submission, error: ProviderError) -> None:
        """Back in line, with all others where its provider takes none of them."""
        is_own = self._is_its_own(job, error)
        if not is_own:
            self._context.hooks.trouble(error.provider, error)
        elif submission.attempt >= OWN_REFUSALS:
            failure = Failure(code="refused", sentence=f"{error.sentence} {OTHERS_ARE_TAKEN}")
            await self._end_attempt(job, submission, failure)
            return
        await self._not_taken(job, submission, error, is_own=is_own)

    async def keep(self, job: Job, submission: Submission, generation: Generation) -> None:
        """Write what a provider took; raises nothing while the database is away, but waits."""
        assert job.plan is not None
        provider, now = job.plan.provider, self._context.clock.now()
        self._context.hooks.taken(provider)
        self._took_at[provider] = now
        self._closed_since.pop(provider, None)
        # The log knows it also where its row has to wait, or this process is cut off first.
        name_job(job.id, generation.id)
        log.info("job.taken", provider=provider)
        try:
            taken = await self._keep(
                job, lambda tx, current: attempts.take(tx, current, generation, "taken", now)
            )
            self._context.hooks.watch(taken)
        except Stale:
            # The database was away so long that another process has given this attempt up.
            await self._take_late(submission, generation)
        except asyncio.CancelledError:
            self.unkept.append((job, submission, generation))
            raise

    def _is_its_own(self, job: Job, error: ProviderError) -> bool:
        """Whether others were taken since its operator had to help, and none was refused.

        A model that is gone, or a price beyond what is left, is no reason to send nothing else.
        """
        since = job.provider_failure.since if job.provider_failure else None
        took = self._took_at.get(error.provider)
        if since is None or took is None or error.provider in self._closed_since:
            return False
        return isinstance(error, ProviderClosed) and since < took

    async def _take_late(self, submission: Submission, generation: Generation) -> None:
        """Give what was paid to its job, if it can have it still; the operator hears of others."""
        now = self._context.clock.now()

        def write(tx: Tx) -> Job | None:
            job = claim(tx, submission.token_hash, generation.id, now)
            if job is not None and generation.state == "completed":
                job = attempts.complete(tx, job, generation.clip_url, now)
                self._context.dispatcher.go_on(tx, job.id, job.next_at)
            if job is not None:
                tx.after_commit(lambda: self._context.hooks.announce(submission.job_id))
            return job

        job = await self._until_kept(
            submission.job_id, lambda: self._context.database.write(write)
        )
        if job is not None and job.state is JobState.GENERATING:
            self._context.hooks.watch(job)

    async def _is_worth_a_fresh_link(
        self, job: Job, provider: Provider, submission: Submission
    ) -> bool:
        """Whether an image that could not be fetched may only have had a link that ended."""
        model = provider.capabilities[job.work.model]
        return submission.attempt == 1 and await self._context.is_hosted(job, model.image_input)

    async def _prepare(self, job: Job, provider: Provider, token: str) -> Submission:
        attempt = job.attempt + 1
        start = await self._hand_over(job, "start", attempt, provider)
        end = await self._hand_over(job, "end", attempt, provider)
        source = await self._source(job, provider)
        callback = self._callback_url(provider, token)
        return Submission(
            job_id=job.id,
            attempt=attempt,
            work=as_sent(job.work),
            sent_at=self._context.clock.now(),
            token_hash=hashlib.sha256(token.encode()).hexdigest(),
            start_frame=start,
            end_frame=end,
            source=source,
            callback_url=callback,
            has_callback=callback is not None,
            requester_hash=self._context.hooks.pseudonym(job.request.requester.person),
            account=provider.account,
        )

    async def _write_intent(self, job: Job, provider: Provider, submission: Submission) -> Job:
        """The job as it goes out; else back in line or taken back, as it was stopped meanwhile."""
        now = self._context.clock.now()
        patience = timedelta(seconds=FREEZE_SECONDS + provider.limits.submit_seconds) + VISIBLE

        def write(tx: Tx, current: Job) -> Job:
            if stops.is_blocked(tx.conn, current, now):
                return self._take_back(tx, current)
            if stops.why_paused(tx.conn, current) is not None:
                return jobs.change(tx, current, admitted_at=None, next_at=None)
            # The guarded move first: where somebody else was faster it is `Stale`.
            moved = jobs.move(
                tx,
                current,
                JobState.SUBMITTING,
                now,
                attempt=submission.attempt,
                submitted_at=now,
                provider_failure=None,
                next_at=now + patience,
            )
            attempts.begin(tx, provider.name, submission)
            return moved

        return await self._context.result(job, write)

    def _callback_url(self, provider: Provider, token: str) -> str | None:
        if not self._context.hooks.public_url:
            return None
        return f"{self._context.hooks.public_url.rstrip('/')}/callbacks/{provider.name}/{token}"

    async def _hand_over(
        self, job: Job, slot: Literal["start", "end"], attempt: int, provider: Provider
    ) -> FrameHandle | None:
        assert job.plan is not None
        is_start = slot == "start"
        asked = frames_of(job.work)[0 if is_start else 1]
        stored = job.plan.start_frame if is_start else job.plan.end_frame
        if stored is None and isinstance(asked, ClipFrame):
            parent = await self._context.database.read(lambda conn: jobs.get(conn, asked.job_id))
            return FrameHandle(generation_id=parent.generation_id)
        if stored is None:
            return None
        model = provider.capabilities[job.work.model]
        return await self._context.frames.hand_over(
            stored,
            job_id=job.id,
            attempt=attempt,
            slot=slot,
            image_input=model.image_input,
            now=self._context.clock.now(),
            chat_link=await self._context.chat_link(
                job, stored, slot=slot, image_input=model.image_input
            ),
        )

    async def _source(self, job: Job, provider: Provider) -> FrameHandle | None:
        """The clip that is worked on, with the link that its provider shows now: links end."""
        if not isinstance(job.work, ClipWork):
            return None
        named = job.work.source.job_id
        made = await self._context.database.read(lambda conn: jobs.get(conn, named))
        if made.generation_id is None:
            raise InvalidRequest(f"{named} has no finished clip any more.", field="source")
        seen = (await provider.check([made.generation_id])).get(made.generation_id)
        url = (seen.clip_url if seen else None) or made.clip_url
        if url is None:
            raise InvalidRequest(f"{provider.name} has {named} no more.", field="source")
        return FrameHandle(generation_id=made.generation_id, url=url, content_type="video/mp4")

    async def _not_taken(
        self,
        job: Job,
        submission: Submission,
        error: ProviderError | None,
        *,
        is_own: bool = False,
    ) -> None:
        """Put a job that the provider certainly did not take back in line."""
        failure = self._note_closed(job, error, is_own=is_own)
        assert job.plan is not None
        failover, plan = self._context.hooks.failover, job.plan
        route = failover.next(plan) if may_leave(error) else None
        offer = failover.offer(plan) if may_leave(error) else None
        growing = min(2.0 ** max(0, min(submission.attempt - PATIENT_TRIES, 9)), LONGEST_PAUSE)
        pause = AFTER_OTHERS_SECONDS if isinstance(error, ProviderClosed) else growing
        delay = timedelta(seconds=error.retry_after or pause if error else 0.0)
        now = self._context.clock.now()

        def write(tx: Tx, current: Job) -> Job:
            _note_refusal(tx, submission, error, now)
            waiting = attempts.put_back(tx, current, now, until=now + delay, why=failure)
            if route is not None:
                return failover.take(tx, waiting, route, now)
            if offer != plan.offered:
                return jobs.change(tx, waiting, plan=plan.model_copy(update={"offered": offer}))
            return waiting

        await self._keep_refusal(job, submission, write)

    def _note_closed(
        self, job: Job, error: ProviderError | None, *, is_own: bool
    ) -> Failure | None:
        """Since when it is not taken for want of credits or a good key; the row outlives us."""
        if not isinstance(error, ProviderClosed):
            return None
        since = job.provider_failure.since if job.provider_failure else None
        took = self._took_at.get(error.provider)
        if since is None or (not is_own and took is not None and since < took):
            since = self._context.clock.now()
        if not is_own:
            since = min(since, self._closed_since.get(error.provider, since))
            self._closed_since[error.provider] = since
        return Failure(code="operator", sentence=error.sentence, since=since)

    async def _end_attempt(self, job: Job, submission: Submission, failure: Failure) -> None:
        await self._keep_refusal(
            job,
            submission,
            lambda tx, current: ledger.fail(tx, current, self._context.clock.now(), failure),
        )

    async def _keep_refusal(
        self, job: Job, submission: Submission, write: Callable[[Tx, Job], Job]
    ) -> None:
        """Write that this attempt was not taken; what an earlier one made is what is wanted."""

        def write_refusal(tx: Tx, current: Job) -> Job:
            attempts.finish(tx, job.id, submission.attempt, "refused")
            return reclaim(tx, current, self._context.clock.now()) or write(tx, current)

        self._context.hooks.watch(await self._keep(job, write_refusal))

    async def _keep(self, job: Job, write: Callable[[Tx, Job], Job]) -> Job:
        """Write what the provider answered, if the job still stands where it was sent from."""
        return await self._until_kept(job.id, lambda: self._context.result(job, write))

    async def _until_kept(self, job_id: JobId, write: Callable[[], Awaitable[T]]) -> T:
        """As soon as the database takes it: a provider answers once."""
        clock, pauses = self._context.clock, chain(PAUSES, repeat(PAUSES[-1]))
        while True:
            try:
                return await write()
            except Stale:
                raise
            except StoreError as error:
                log.error("job.answer_waits", job=job_id, cause=error.sentence)  # noqa: TRY400
                await clock.wait(asyncio.Event(), clock.now() + timedelta(seconds=next(pauses)))

    def _take_back(self, tx: Tx, job: Job) -> Job:
        """Its person may have nothing started, or cancelled while nobody knew whether it was."""
        return ledger.end(tx, job, JobState.CANCELLED, self._context.clock.now(), charged=None)

    async def _release_if_hopeless(self, job: Job) -> None:
        """Give the hold back when the operator mended nothing for a day of its waiting."""
        closed_since = self._closed_since.get(job.plan.provider) if job.plan else None
        refusal = job.provider_failure
        if closed_since is None or refusal is None or refusal.since is None:
            return
        since = max(closed_since, job.accepted_at or job.created_at)
        if self._context.clock.now() < since + WAIT_FOR_OPERATOR:
            return
        failure = Failure(
            code="provider_closed",
            sentence="The video service took no jobs for a day, so this one was given up.",
        )
        await self._context.fail(job, failure)


def _note_refusal(
    tx: Tx, submission: Submission, error: ProviderError | None, now: datetime
) -> None:
    """Tell the operator of what only they can mend, and of a job that is refused for ever."""
    job_id, model = submission.job_id, submission.work.model
    if isinstance(error, ProviderClosed):
        key = settings.closed_key(error, now, model)
        is_of_model = model and isinstance(error, ProviderRetired)
        which = f" It was asked for {model}." if is_of_model else ""
        settings.note_operator(tx, key, f"{error.sentence}{which}", now, job_id)
    elif submission.attempt >= TRIES_BEFORE_TELLING:
        sentence = f"{job_id} cannot be submitted; Raybot keeps trying, see its log."
        settings.note_operator(tx, f"stuck:{job_id}:submit", sentence, now, job_id)
