"""All that an adapter may call: what a person can ask of the bot, decided and written down."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import assert_never

from bot import choice
from bot.clips import Clips
from bot.clips import filename as clip_filename
from bot.clock import Clock
from bot.config import AccessTable, LimitsTable, micros
from bot.errors import (
    BotError,
    InvalidRequest,
    JobNotFound,
    NotAllowed,
    QuotaExceeded,
    Refusal,
    Stale,
    StoreBusy,
    StoreError,
)
from bot.job import Failure, Job, JobState
from bot.log import get_logger
from bot.notices import Accepted, ConfirmNeeded, Delivered, Notice, to_about, took
from bot.planning import Planner
from bot.ports import (
    Dispatcher,
    JobLine,
    ModelCapabilities,
    UsageReport,
)
from bot.refs import JobId, Micros, ThreadRef
from bot.request import GenerationRequest, Requester
from bot.store import jobs, ledger, settings
from bot.store.database import Database, Tx

log = get_logger(__name__)
CONFIRM_WITHIN = timedelta(hours=1)
#: After a longer break a person has asked again; paying for the old request would surprise them.
RESUME_WITHIN = timedelta(minutes=10)
LOCAL = "local"
ZERO = Micros(0)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a request at once."""

    job_id: JobId
    notice: Notice


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One job in full; `notice` is `Delivered` where the clip is kept."""

    line: JobLine
    notice: Notice
    events: tuple[tuple[datetime, str], ...]


@dataclass(frozen=True, kw_only=True)
class House:
    """The rules of this bot, and whom the studio tells of a change."""

    limits: LimitsTable
    access: AccessTable
    data_dir: Path
    min_free_bytes: int
    announce: Callable[[JobId], None]
    nudge: Callable[[str], None]
    to_notice: Callable[[Job], Awaitable[Notice]]
    cancel_generation: Callable[[Job], Awaitable[bool]]


class Studio:
    """Submit, confirm, cancel, retry, show, jobs, usage, settings."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        dispatcher: Dispatcher,
        clock: Clock,
        house: House,
    ) -> None:
        self._database = database
        self._planner = planner
        self._clips = clips
        self._dispatcher = dispatcher
        self._clock = clock
        self._house = house
        self._at_work: dict[str, asyncio.Lock] = {}

    # ---- submit --------------------------------------------------------------------------

    async def submit(
        self,
        request: GenerationRequest,
        *,
        is_confirmed: bool = False,
        retry_of: JobId | None = None,
    ) -> Receipt:
        """Start a job, once for each `dedupe_key`; raises `Refusal`s, then nothing is charged."""
        async with self._alone(request.dedupe_key):
            return await self._submit(request, is_confirmed=is_confirmed, retry_of=retry_of)

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

    async def _submit(
        self, request: GenerationRequest, *, is_confirmed: bool, retry_of: JobId | None
    ) -> Receipt:
        requester, now = request.requester, self._clock.now()
        known, is_blocked, chosen = await self._database.read(
            lambda conn: (
                jobs.by_dedupe_key(conn, request.dedupe_key),
                settings.is_blocked(conn, requester.person, now),
                settings.chosen(conn, requester.person),
            )
        )
        if known is not None:
            return await self._first_answer(known)
        self._check_access(requester, is_blocked=is_blocked)
        work = self._planner.settle(request.work, chosen)
        asked = request.model_copy(update={"work": work})
        job, is_new = await self._database.write(lambda tx: self._insert(tx, asked, now, retry_of))
        if not is_new:
            return await self._first_answer(job)
        return await self._prepare(job, is_confirmed=is_confirmed)

    def _insert(
        self, tx: Tx, request: GenerationRequest, now: datetime, retry_of: JobId | None
    ) -> tuple[Job, bool]:
        job, is_new = jobs.insert(tx, request, now, retry_of=retry_of)
        if is_new and job.next_at is not None:
            self._dispatcher.wake(tx, job.id, job.next_at)
        return job, is_new

    async def _first_answer(self, job: Job) -> Receipt:
        return Receipt(job_id=job.id, notice=await self._house.to_notice(job))

    def _check_access(self, requester: Requester, *, is_blocked: bool) -> None:
        access = self._house.access
        served = (LOCAL, *access.servers, *access.workspaces)
        if requester.workspace not in served:
            raise NotAllowed("This place is not set up for Raybot. Its operator can add it.")
        now = self._clock.now()
        least, since = self._house.limits.min_member_days, requester.member_since
        if since is not None and now - since < timedelta(days=least):
            raise NotAllowed(f"You can use Raybot here {least} days after you joined.")
        if is_blocked:
            raise NotAllowed("You cannot use Raybot here. Ask the people who run this place.")
        if shutil.disk_usage(self._house.data_dir).free < self._house.min_free_bytes:
            raise StoreBusy(
                "The disk is nearly full, so nothing new is started. Ask the operator."
            )

    async def _prepare(self, job: Job, *, is_confirmed: bool) -> Receipt:
        """Read the images and accept, or end the row with the reason and raise it."""
        try:
            plan = await self._planner.plan(job, job.request.work)
            threshold = self._house.limits.confirm_above_usd
            if (
                not is_confirmed
                and threshold is not None
                and plan.price.charged > micros(threshold)
            ):
                until = self._clock.now() + CONFIRM_WITHIN
                waiting = await self._write(
                    lambda tx: jobs.change(tx, job, plan=plan, next_at=until)
                )
                about = to_about(waiting)
                return Receipt(job_id=job.id, notice=ConfirmNeeded(about=about, expires_at=until))
            return await self._accept(replace(job, plan=plan))
        except Stale:
            return await self._first_answer(await self._visible(job.id, job.request.requester))
        except BotError as error:
            code = ledger.REFUSED if isinstance(error, Refusal) else "not_prepared"
            failure = Failure(code=code, sentence=error.sentence)
            with suppress(Stale):  # Its person may have cancelled it meanwhile.
                await self._write(
                    lambda tx: ledger.fail(
                        tx, jobs.get(tx.conn, job.id), self._clock.now(), failure
                    )
                )
            raise

    async def _accept(self, job: Job) -> Receipt:
        plan = job.plan
        assert plan is not None
        now = self._clock.now()
        try:
            accepted = await self._write(
                lambda tx: ledger.accept(tx, job, plan, self._house.limits, now)
            )
        except QuotaExceeded as refused:
            full = refused
            await self._database.write(
                lambda tx: ledger.note_refusal(tx, full, self._house.limits, now)
            )
            raise
        self._house.nudge(plan.provider)
        return Receipt(job_id=job.id, notice=Accepted(about=to_about(accepted)))

    async def _write(self, work: Callable[[Tx], Job]) -> Job:
        def write(tx: Tx) -> Job:
            changed = work(tx)
            if changed.next_at is not None:
                self._dispatcher.wake(tx, changed.id, changed.next_at)
            tx.after_commit(lambda: self._house.announce(changed.id))
            return changed

        return await self._database.write(write)

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
            if job.state is JobState.RECEIVED and job.plan is None and is_young:
                await self._prepare(job, is_confirmed=False)

    async def confirm(self, job_id: JobId, requester: Requester) -> Receipt:
        """Accept a job whose price had to be confirmed first."""
        job = await self._own(job_id, requester)
        if job.state is not JobState.RECEIVED or job.plan is None:
            return await self._first_answer(job)
        try:
            return await self._accept(job)
        except Stale:
            return await self._first_answer(await self._visible(job_id, requester))

    # ---- cancel and retry ----------------------------------------------------------------

    async def cancel(self, job_id: JobId, requester: Requester) -> Notice:
        """Take a job back: free while it waits; once it runs, only where the provider stops it."""
        job = await self._own(job_id, requester)
        is_stopped = job.state is JobState.GENERATING and await self._house.cancel_generation(job)
        ended = await self._write(lambda tx: self._cancel(tx, job_id, is_stopped=is_stopped))
        if job.plan is not None:
            self._house.nudge(job.plan.provider)
        return await self._house.to_notice(ended)

    def _cancel(self, tx: Tx, job_id: JobId, *, is_stopped: bool) -> Job:
        job = jobs.get(tx.conn, job_id)
        match job.state:
            case JobState.DELIVERING | JobState.DELIVERED | JobState.FAILED | JobState.CANCELLED:
                raise InvalidRequest(f"{job_id} has already ended or is being posted.")
            case JobState.RECEIVED | JobState.ACCEPTED:
                is_free = True
            case JobState.SUBMITTING | JobState.UNCERTAIN | JobState.FETCHING:
                is_free = False
            case JobState.GENERATING:
                is_free = is_stopped
            case _:
                assert_never(job.state)
        if is_free:
            return ledger.end(tx, job, JobState.CANCELLED, self._clock.now(), charged=None)
        return jobs.change(tx, job, cancel_requested=True)

    async def retry(
        self, job_id: JobId, requester: Requester, *, dedupe_key: str, thread: ThreadRef
    ) -> Receipt:
        """Ask for the same again, as a new job at its own price."""
        job = await self._visible(job_id, requester)
        request = GenerationRequest(
            dedupe_key=dedupe_key, requester=requester, thread=thread, work=job.request.work
        )
        return await self.submit(request, retry_of=job.id)

    # ---- what a person reads -------------------------------------------------------------

    async def show(self, job_id: JobId, requester: Requester) -> Shown:
        """One job, with its clip where it is kept."""
        job = await self._visible(job_id, requester)
        events = await self._database.read(lambda conn: jobs.timeline(conn, job_id))
        notice = await self._house.to_notice(job)
        if job.clip is not None and job.state is not JobState.DELIVERING:
            try:
                notice = await self._kept(job)
            except BotError as error:
                log.info("clip.not_kept", job=job_id, cause=type(error).__name__)
        return Shown(line=_to_line(job), notice=notice, events=events)

    async def _kept(self, job: Job) -> Delivered:
        assert job.clip is not None
        return Delivered(
            about=to_about(job),
            path=str(await self._clips.local(job.clip)),
            filename=clip_filename(job.id, model=job.work.model, prompt=job.work.prompt),
            width=job.clip.width,
            height=job.clip.height,
            seconds=job.clip.seconds,
            bytes=job.clip.bytes,
            charged=job.cost,
            took=took(job),
        )

    async def jobs(
        self, requester: Requester, *, search: str = "", page: int = 1
    ) -> tuple[JobLine, ...]:
        """One page of one's own jobs, newest first."""
        found = await self._database.read(
            lambda conn: jobs.of_person(conn, requester.person, search=search, page=page)
        )
        return tuple(_to_line(job) for job in found)

    async def open_jobs(self, requester: Requester) -> tuple[JobLine, ...]:
        """One's own jobs on the way, oldest first; not those of a provider that is gone."""
        found = await self._database.read(lambda conn: jobs.open_of(conn, requester.person))
        names = {provider.name for provider in self._planner.providers}
        return tuple(
            _to_line(job) for job in found if job.plan is None or job.plan.provider in names
        )

    async def usage(self, requester: Requester, *, channel: str = "") -> UsageReport:
        """What a person used today and this month, and what is left."""
        now, limits = self._clock.now(), self._house.limits
        return await self._database.read(
            lambda conn: ledger.report(conn, requester, channel, limits, now)
        )

    async def settings(self, requester: Requester) -> Mapping[str, str]:
        """A person's own defaults."""
        return await self._database.read(lambda conn: settings.chosen(conn, requester.person))

    async def change_settings(
        self, requester: Requester, changes: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Change own defaults (an empty value takes one back); raises `InvalidRequest`."""
        self._planner.check_chosen({**await self.settings(requester), **changes})
        return await self._database.write(
            lambda tx: settings.choose(tx, requester.person, changes)
        )

    def models(self) -> tuple[ModelCapabilities, ...]:
        """What can be asked for, by model, in the order of the providers."""
        return tuple(
            provider.capabilities[model]
            for provider in self._planner.providers
            for model in choice.usable(provider)
        )

    # ---- who may -------------------------------------------------------------------------

    async def _visible(self, job_id: JobId, requester: Requester) -> Job:
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        if job.request.requester.tenant != requester.tenant:
            raise JobNotFound(f"There is no job {job_id}. `jobs` lists yours.")
        return job

    async def _own(self, job_id: JobId, requester: Requester) -> Job:
        job = await self._visible(job_id, requester)
        if job.request.requester.person != requester.person:
            raise NotAllowed(f"{job_id} is somebody else's. Only they can do that.")
        return job


def _to_line(job: Job) -> JobLine:
    return JobLine(
        job_id=job.id,
        state=job.state,
        prompt=job.work.prompt,
        created_at=job.created_at,
        price=job.plan.price.micros if job.plan else ZERO,
        message=job.message,
    )
