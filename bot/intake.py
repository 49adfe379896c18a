"""From a request to a job in line: checked, written down, its images read, its money held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.access import Access
from bot.clock import Clock
from bot.config import micros
from bot.errors import (
    BotError,
    ClipUnavailable,
    InvalidRequest,
    JobNotFound,
    Moderated,
    NotAllowed,
    QuotaExceeded,
    Refusal,
    Stale,
    StoreError,
    ThreadGone,
)
from bot.failover import alone, move
from bot.house import House
from bot.job import Failure, Job, JobState, Plan
from bot.log import get_logger
from bot.notices import Accepted, ConfirmNeeded, Notice, to_about
from bot.planning import Planner
from bot.ports import Dispatcher
from bot.refs import JobId
from bot.request import GenerationRequest
from bot.screening import Screening
from bot.store import jobs, ledger, places
from bot.store.database import Database, Tx

log = get_logger(__name__)
CONFIRM_WITHIN = timedelta(hours=1)
#: After a longer break a person has asked again; paying for the old request would surprise them.
RESUME_WITHIN = timedelta(minutes=10)
#: Where others read along, a limit, a block or a filter that met somebody is not named.
NOT_RESUMED = "After a restart it could not be started any more. Ask again, and you are told why."


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a request at once."""

    job_id: JobId
    notice: Notice


class Intake:
    """Takes requests in, once for each `dedupe_key`."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        dispatcher: Dispatcher,
        clock: Clock,
        house: House,
        access: Access,
    ) -> None:
        self._database = database
        self._planner = planner
        self._dispatcher = dispatcher
        self._clock = clock
        self._house = house
        self._access = access
        self._screening = Screening(planner=planner, house=house)
        self._at_work: dict[str, asyncio.Lock] = {}

    async def write(self, work: Callable[[Tx], Job]) -> Job:
        """Change a job, let it be advanced when it is due, and show how it stands."""

        def write(tx: Tx) -> Job:
            changed = work(tx)
            if changed.next_at is not None:
                self._dispatcher.wake(tx, changed.id, changed.next_at)
            tx.after_commit(lambda: self._house.announce(changed.id))
            return changed

        return await self._database.write(write)

    # ---- submit --------------------------------------------------------------------------

    async def submit(
        self,
        request: GenerationRequest,
        *,
        is_confirmed: bool,
        retry_of: JobId | None,
        place_name: str,
    ) -> Receipt:
        """Start a job; raises `Refusal`s, then nothing is charged."""
        async with self._alone(request.dedupe_key):
            known, standing = await self._read(request, retry_of)
            if known is not None:
                return await self._first_answer(known)
            await self._access.check(request, standing, name=place_name)
            seen = await self._planner.read_frames(request)
            work = self._planner.settle(seen, standing.chosen.merged)
            asked, now = request.model_copy(update={"work": work}), self._clock.now()
            job, is_new = await self._database.write(
                lambda tx: self._insert(tx, asked, now, retry_of)
            )
            if not is_new:
                return await self._first_answer(job)
            try:
                await self._place(job)
                return await self._prepare(job, standing, is_confirmed=is_confirmed)
            except BotError as error:
                await self._end(job, error, is_late=False)
                raise

    @asynccontextmanager
    async def _alone(self, dedupe_key: str) -> AsyncIterator[None]:
        """One preparation of a request at a time; the next finds what the first wrote."""
        lock = self._at_work.setdefault(dedupe_key, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._at_work.pop(dedupe_key, None)

    async def _read(
        self, request: GenerationRequest, retry_of: JobId | None
    ) -> tuple[Job | None, places.Standing]:
        """All that is looked up before a row is written, in one read."""
        requester, channel, now = request.requester, request.thread.channel, self._clock.now()
        known, standing, first = await self._database.read(
            lambda conn: (
                jobs.by_dedupe_key(conn, request.dedupe_key),
                places.standing(conn, requester, channel, now),
                jobs.get_or_none(conn, retry_of) if retry_of is not None else None,
            )
        )
        is_theirs = first is not None and first.request.is_seen_by(requester)
        if retry_of is not None and not is_theirs:
            raise JobNotFound(f"There is no job {retry_of}. `jobs` lists yours.")
        return known, standing

    def _insert(
        self, tx: Tx, request: GenerationRequest, now: datetime, retry_of: JobId | None
    ) -> tuple[Job, bool]:
        job, is_new = jobs.insert(tx, request, now, retry_of=retry_of)
        if is_new and job.next_at is not None:
            self._dispatcher.wake(tx, job.id, job.next_at)
        return job, is_new

    async def _first_answer(self, job: Job) -> Receipt:
        return Receipt(job_id=job.id, notice=await self._house.to_notice(job))

    async def receipt(self, dedupe_key: str) -> Receipt | None:
        """What became of a request, if it was taken in."""
        job = await self._database.read(lambda conn: jobs.by_dedupe_key(conn, dedupe_key))
        return await self._first_answer(job) if job is not None else None

    async def _answer_now(self, job_id: JobId) -> Receipt:
        """For who came too late: how the job stands after somebody else changed it."""
        return await self._first_answer(
            await self._database.read(lambda conn: jobs.get(conn, job_id))
        )

    async def _place(self, job: Job) -> None:
        """Show it before anything is paid where only that proves that a clip can be shown."""
        try:
            await self._house.place(job)
        except ThreadGone as gone:
            raise NotAllowed(gone.sentence) from gone

    async def _prepare(
        self, job: Job, standing: places.Standing, *, is_confirmed: bool
    ) -> Receipt:
        """Read the images, have it all checked, then accept, or ask whether the price is right."""
        try:
            plan = await self._planner.plan(job, job.request.work)
            await self._screening.check(job, plan, self._screening.policy(standing))
            threshold = self._house.limits.confirm_above_usd
            is_dear = threshold is not None and plan.price.charged > micros(threshold)
            if is_confirmed or not is_dear:
                return await self._accept(replace(job, plan=plan))
            until = self._clock.now() + CONFIRM_WITHIN
            waiting = await self.write(lambda tx: jobs.change(tx, job, plan=plan, next_at=until))
        except Stale:
            return await self._answer_now(job.id)
        about = to_about(waiting)
        return Receipt(job_id=job.id, notice=ConfirmNeeded(about=about, expires_at=until))

    async def _end(self, job: Job, error: BotError, *, is_late: bool) -> None:
        """End a request that cannot be carried out; shown where nobody waits for the answer.

        Where somebody does, it is told to them alone, and what was placed of it is taken down.
        """
        is_refusal = isinstance(error, Refusal)
        if is_late:
            code = ledger.LATE_REFUSAL if is_refusal else ledger.LATE_FAULT
        else:
            code = ledger.REFUSED if is_refusal else ledger.NOT_PREPARED
        is_theirs = isinstance(error, NotAllowed | QuotaExceeded | Moderated)
        sentence = NOT_RESUMED if is_late and is_theirs else error.sentence
        failure, now = Failure(code=code, sentence=sentence), self._clock.now()

        def end(tx: Tx) -> Job:
            return ledger.fail(tx, jobs.get(tx.conn, job.id), now, failure)

        with suppress(Stale):  # Its person may have cancelled it meanwhile.
            await self.write(end)
        if not is_late:
            # It has no message with a button, so that nobody can ask for another try of it.
            with suppress(ClipUnavailable):
                await self._planner.forget_images(job)

    async def _accept(self, job: Job) -> Receipt:
        plan = job.plan
        assert plan is not None
        now = self._clock.now()
        try:
            accepted = await self._hold(job, plan, now)
        except QuotaExceeded as refused:
            full = refused
            await self._database.write(
                lambda tx: ledger.note_refusal(tx, full, self._house.limits, now)
            )
            raise
        self._house.nudge(plan.provider)
        return Receipt(job_id=job.id, notice=Accepted(about=to_about(accepted)))

    async def _hold(self, job: Job, plan: Plan, now: datetime) -> Job:
        """Hold enough for every way; where a limit has no room for that, for the first alone."""
        limits = self._house.limits
        if plan.others:
            with suppress(QuotaExceeded):
                return await self.write(lambda tx: ledger.accept(tx, job, plan, limits, now))
        own = alone(plan)
        return await self.write(lambda tx: ledger.accept(tx, job, own, limits, now))

    # ---- later ---------------------------------------------------------------------------

    async def confirm(self, job: Job) -> Receipt:
        """Accept a job whose price had to be confirmed first, by the rules of this moment.

        One that waits because its provider takes nothing goes where it costs more.
        """
        if job.state is JobState.ACCEPTED:
            await self._check_again(job)
            return await self._first_answer(await self._send_elsewhere(job))
        if job.state is not JobState.RECEIVED or job.plan is None:
            return await self._first_answer(job)
        await self._check_again(job)
        try:
            return await self._accept(replace(job, plan=self._served(job.plan)))
        except Stale:
            return await self._answer_now(job.id)

    def _served(self, plan: Plan) -> Plan:
        """The plan with a provider that is set up today; raises `InvalidRequest` without one."""
        if plan.provider in {each.name for each in self._planner.providers}:
            return plan
        if (route := self._house.failover.next(plan)) is None:
            raise InvalidRequest(f"{plan.provider} is not set up here any more. Ask again.")
        return move(plan, route)

    async def _send_elsewhere(self, job: Job) -> Job:
        """Take the way that its person was offered, if it still is one."""
        now, failover = self._clock.now(), self._house.failover

        def send(tx: Tx) -> Job:
            current = jobs.get(tx.conn, job.id)
            plan, is_waiting = current.plan, current.state is JobState.ACCEPTED
            if plan is None or not is_waiting or current.admitted_at is not None:
                return current
            if plan.offered is None or not failover.may_take_offer(plan):
                return current
            return failover.take(tx, current, plan.offered, now)

        return await self.write(send)

    async def _check_again(self, job: Job) -> places.Standing:
        """Its place may have been closed or paused, and its person blocked."""
        _, standing = await self._read(job.request, None)
        await self._access.check(job.request, standing)
        return standing

    async def resume(self) -> None:
        """Take up requests whose images were being read when the process ended."""
        try:
            ids = await self._database.read(lambda conn: jobs.open_ids(conn, JobState.RECEIVED))
        except StoreError as error:
            log.error("studio.store_failed", cause=error.sentence)  # noqa: TRY400
            return
        for job_id in ids:
            try:
                await self._resume(job_id)
            except BotError as error:
                log.info("job.not_resumed", job=job_id, cause=type(error).__name__)

    async def _resume(self, job_id: JobId) -> None:
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        async with self._alone(job.request.dedupe_key):
            job = await self._database.read(lambda conn: jobs.get(conn, job_id))
            is_young = self._clock.now() - job.created_at < RESUME_WITHIN
            if job.state is not JobState.RECEIVED or job.plan is not None or not is_young:
                return
            try:
                standing = await self._check_again(job)
                await self._place(job)
                await self._prepare(job, standing, is_confirmed=False)
            except BotError as error:
                await self._end(job, error, is_late=True)
                raise
