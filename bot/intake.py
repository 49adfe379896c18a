"""From a request to a job in line: checked, written down, its images read, its money held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from bot.access import Access
from bot.acts import to_asked
from bot.clock import Clock
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
from bot.notices import (
    Accepted,
    Notice,
)
from bot.outlook import to_about
from bot.planning import Planner
from bot.ports import Dispatcher
from bot.refs import JobId
from bot.request import GenerationRequest, clips_of
from bot.screening import Screening
from bot.store import allowances, jobs, ledger, lineage, places, stories
from bot.store.database import Database, Tx
from bot.tables import LimitsTable, micros

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
        return (await self.write_all(lambda tx: [work(tx)]))[0]

    async def write_all(self, work: Callable[[Tx], list[Job]]) -> list[Job]:
        """The same with several jobs, in one transaction."""

        def write(tx: Tx) -> list[Job]:
            every = work(tx)
            for changed in every:
                if changed.next_at is not None:
                    self._dispatcher.wake(tx, changed.id, changed.next_at)
                if changed.film is not None and changed.ended_at is not None:
                    self._dispatcher.wake(tx, changed.film, changed.ended_at)
                tx.after_commit(partial(self._house.announce, changed.id))
            return every

        return await self._database.write(write)

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
    ) -> tuple[Receipt, ...]:
        """Start all of a batch, which ask for the same, or none of them."""
        first = requests[0]
        async with self._alone(first.dedupe_key):
            known, standing, limits = await self._read(first, retry_of)
            if known is not None:
                return await self._first_answers(known)
            await self._access.check(first, standing, name=place_name)
            seen = await self._planner.look_up(first)
            work = self._planner.settle(seen, standing.chosen.merged, limits)
            asked = [to_asked(each, work, retry_of) for each in requests]
            started = await self._insert(asked, retry_of)
            if started is None:
                return await self._first_answers(await self._job_of(first.dedupe_key))
            try:
                for job in started:
                    await self._place(job)
                return await self._prepare(started, standing, is_confirmed=is_confirmed)
            except BotError as error:
                for job in started:
                    await self._end(job, error, is_late=False)
                if isinstance(error, Moderated):
                    error.job_id = started[0].id
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
    ) -> tuple[Job | None, places.Standing, LimitsTable]:
        """All that is looked up before a row is written, in one read."""
        requester, channel, now = request.requester, request.thread.channel, self._clock.now()
        house = self._house.limits
        named = {each for each in (retry_of, request.parent) if each is not None}
        earlier = named | set(clips_of(request.work))
        known, standing, limits, seen = await self._database.read(
            lambda conn: (
                jobs.by_dedupe_key(conn, request.dedupe_key),
                places.standing(conn, requester, channel, now),
                allowances.of_people(conn, requester, channel, house),
                {each: jobs.get_or_none(conn, each) for each in earlier},
            )
        )
        found = {job.id: job for job in seen.values() if job and job.request.is_seen_by(requester)}
        for job_id in named - found.keys():
            raise JobNotFound(f"There is no job {job_id}. `jobs` lists yours.")
        self._screening.check_remix(requester, standing, found.values())
        return known, standing, limits

    async def _insert(
        self, requests: Sequence[GenerationRequest], retry_of: JobId | None
    ) -> list[Job] | None:
        """Their rows; None where somebody else has just written them."""
        now = self._clock.now()

        def insert(tx: Tx) -> list[Job] | None:
            if jobs.by_dedupe_key(tx.conn, requests[0].dedupe_key) is not None:
                return None
            started = [jobs.insert(tx, each, now, retry_of=retry_of)[0] for each in requests]
            for job in started:
                if job.next_at is not None:
                    self._dispatcher.wake(tx, job.id, job.next_at)
            return started

        return await self._database.write(insert)

    async def _first_answer(self, job: Job) -> Receipt:
        return Receipt(job_id=job.id, notice=await self._house.to_notice(job))

    async def _first_answers(self, job: Job) -> tuple[Receipt, ...]:
        """Of a job, and of those that were asked for with it."""
        batch = await self._database.read(lambda conn: lineage.batch(conn, job))
        return tuple([await self._first_answer(each) for each in batch])

    async def _job_of(self, dedupe_key: str) -> Job:
        job = await self._database.read(lambda conn: jobs.by_dedupe_key(conn, dedupe_key))
        assert job is not None
        return job

    async def receipts(self, dedupe_key: str) -> tuple[Receipt, ...]:
        """What became of a request, and of those asked for with it; none where there is none."""
        job = await self._database.read(lambda conn: jobs.by_dedupe_key(conn, dedupe_key))
        return await self._first_answers(job) if job is not None else ()

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
        self, started: Sequence[Job], standing: places.Standing, *, is_confirmed: bool
    ) -> tuple[Receipt, ...]:
        """Read the images, have it all checked, then accept, or ask whether the price is right."""
        try:
            plans = [await self._planner.plan(job, job.request.work) for job in started]
            # The others of a batch ask for the same.
            await self._screening.check(started[0], plans[0], self._screening.policy(standing))
            planned = [replace(job, plan=p) for job, p in zip(started, plans, strict=True)]
            threshold = self._house.limits.confirm_above_usd
            price = sum(plan.price.charged for plan in plans)
            is_dear = threshold is not None and price > micros(threshold)
            if is_confirmed or not is_dear:
                return await self._accept(planned)
            until = self._clock.now() + CONFIRM_WITHIN
            waiting = await self.write_all(
                lambda tx: [jobs.change(tx, job, plan=job.plan, next_at=until) for job in planned]
            )
        except Stale:
            return tuple([await self._answer_now(job.id) for job in started])
        return tuple([await self._first_answer(job) for job in waiting])

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

    async def _accept(self, planned: Sequence[Job]) -> tuple[Receipt, ...]:
        now = self._clock.now()
        try:
            accepted = await self._hold(planned, now)
        except QuotaExceeded as refused:
            full = refused
            await self._database.write(
                lambda tx: ledger.note_refusal(tx, full, self._house.limits, now)
            )
            raise
        first = {(job.plan.shots or (job.plan,))[0].provider for job in planned if job.plan}
        for provider in first:
            self._house.nudge(provider)
        return tuple([await self._to_accepted(job) for job in accepted])

    async def _to_accepted(self, job: Job) -> Receipt:
        parent = None
        if job.parent is not None:
            parent = await self._database.read(lambda conn: lineage.parent(conn, job))
        return Receipt(job_id=job.id, notice=Accepted(about=to_about(job, parent)))

    async def _hold(self, planned: Sequence[Job], now: datetime) -> list[Job]:
        """Hold enough for every way; where a limit has no room for that, for the first alone."""
        limits, accept = self._house.limits, stories.accept_all
        if any(job.plan.others or job.plan.shots for job in planned if job.plan):
            with suppress(QuotaExceeded):
                return await self.write_all(lambda tx: accept(tx, planned, limits, now))
        own = [replace(job, plan=job.plan and alone(job.plan)) for job in planned]
        return await self.write_all(lambda tx: accept(tx, own, limits, now))

    # ---- later ---------------------------------------------------------------------------

    async def confirm(self, job: Job) -> Receipt:
        """Accept a job whose price had to be confirmed first, by the rules of this moment.

        Those that were asked for with it are accepted with it, or none of them is. One that waits
        because its provider takes nothing goes where it costs more.
        """
        if job.state is JobState.ACCEPTED:
            await self.check_again(job)
            return await self._first_answer(await self._send_elsewhere(job))
        if job.state is not JobState.RECEIVED or job.plan is None:
            return await self._first_answer(job)
        await self.check_again(job)
        batch = await self._database.read(lambda conn: lineage.batch(conn, job))
        waiting = [
            replace(each, plan=self._served(each.plan))
            for each in batch
            if each.state is JobState.RECEIVED and each.plan is not None
        ]
        try:
            receipts = await self._accept(waiting)
        except Stale:
            return await self._answer_now(job.id)
        return next(each for each in receipts if each.job_id == job.id)

    def _served(self, plan: Plan) -> Plan:
        """The plan with a provider that is set up today; raises `InvalidRequest` without one."""
        if plan.shots:
            shots = tuple(self._served(each) for each in plan.shots)
            return plan.model_copy(update={"shots": shots})
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

    async def check_again(self, job: Job) -> places.Standing:
        """Its place may have been closed or paused, and its person blocked."""
        _, standing, _ = await self._read(job.request, None)
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
        async with self._alone(job.request.batch or job.request.dedupe_key):
            batch = await self._database.read(
                lambda conn: lineage.batch(conn, jobs.get(conn, job_id))
            )
            is_young = self._clock.now() - job.created_at < RESUME_WITHIN
            is_open = all(each.state is JobState.RECEIVED and each.plan is None for each in batch)
            if not is_open or not is_young:
                return
            try:
                standing = await self.check_again(job)
                for each in batch:
                    await self._place(each)
                await self._prepare(batch, standing, is_confirmed=False)
            except BotError as error:
                for each in batch:
                    await self._end(each, error, is_late=True)
                raise
