"""All that an adapter may call: what a person can ask of the bot, decided and written down.

What a request goes through is in `bot.intake`, what those who run a place do in
`bot.administration`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import assert_never

from bot.access import LOCAL, Access
from bot.administration import Administration
from bot.clips import Clips
from bot.clock import Clock
from bot.errors import BotError, InvalidRequest, JobNotFound, NotAllowed, ThreadGone
from bot.house import House
from bot.inbox import Inbox, Noted
from bot.intake import Intake, Receipt
from bot.job import TERMINAL, Failure, Job, JobState
from bot.log import get_logger
from bot.notices import Notice
from bot.overview import (
    Allowance,
    Blocked,
    JobLine,
    Offer,
    PlaceLimits,
    PlaceRules,
    Setting,
    Shown,
    UsageReport,
    UsageRow,
)
from bot.planning import Planner
from bot.ports import Dispatcher
from bot.preferences import Preferences
from bot.refs import JobId, ThreadRef
from bot.request import GenerationRequest, Requester, Work
from bot.showing import DELETED, is_deleted, to_kept, to_line
from bot.store import jobs, ledger, places, settings
from bot.store.database import Database, Tx
from bot.stories import Stories
from bot.text import thing
from bot.vault import Vault

__all__ = [
    "LOCAL",
    "Administration",
    "Allowance",
    "Blocked",
    "House",
    "Inbox",
    "JobLine",
    "Noted",
    "Offer",
    "PlaceLimits",
    "PlaceRules",
    "Receipt",
    "Setting",
    "Shown",
    "Studio",
    "UsageReport",
    "UsageRow",
    "Vault",
]
log = get_logger(__name__)


class Studio:
    """Submit, confirm, cancel, retry, delete, show, jobs, usage.

    `preferences` are what holds where somebody types nothing, `stories` is for films under way.
    `admin` is for those who run a place; `inbox` keeps what a platform delivered until it was
    dealt with, `vault` the secrets that an adapter was given.
    """

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        dispatcher: Dispatcher,
        clock: Clock,
        house: House,
        vault: Vault,
    ) -> None:
        self._database = database
        self._planner = planner
        self._clips = clips
        self._clock = clock
        self._house = house
        self._access = Access(database=database, clock=clock, house=house)
        self._intake = Intake(
            database=database,
            planner=planner,
            dispatcher=dispatcher,
            clock=clock,
            house=house,
            access=self._access,
        )
        self.vault = vault
        self.preferences = Preferences(database=database, planner=planner, access=self._access)
        self.inbox = Inbox(database=database, clock=clock)
        self.stories = Stories(
            database=database,
            planner=planner,
            intake=self._intake,
            clock=clock,
            house=house,
            own=self._own,
            audit=self._audit,
        )
        self.admin = Administration(
            database=database, planner=planner, clock=clock, house=house, access=self._access
        )

    # ---- submit --------------------------------------------------------------------------

    async def submit(
        self,
        request: GenerationRequest,
        *,
        is_confirmed: bool = False,
        retry_of: JobId | None = None,
        place_name: str = "",
    ) -> Receipt:
        """Start a job, once for each `dedupe_key`; raises `Refusal`s, then nothing is charged.

        `retry_of` is the job that this is a new try or a change of. `place_name` is what the
        operator is told of a place that is not served yet.
        """
        return await self._intake.submit(
            request, is_confirmed=is_confirmed, retry_of=retry_of, place_name=place_name
        )

    async def confirm(self, job_id: JobId, requester: Requester) -> Receipt:
        """Accept a job whose price had to be confirmed first."""
        return await self._intake.confirm(await self._own(job_id, requester))

    async def receipt(self, dedupe_key: str) -> Receipt | None:
        """What became of what was asked with this key; None where no job was made of it."""
        return await self._intake.receipt(dedupe_key)

    async def resume(self) -> None:
        """Take up requests whose images were being read when the process ended."""
        await self._intake.resume()

    # ---- cancel, retry, delete -----------------------------------------------------------

    async def cancel(
        self, job_id: JobId, requester: Requester, *, is_moderator: bool = False
    ) -> Notice:
        """Take a job back: free while it waits; once it runs, only where the provider stops it.

        A moderator of its place may, too, which is remembered.
        """
        job = await self._own(job_id, requester, is_moderator=is_moderator)
        _check_whole(job)
        if job.is_film:
            return await self.stories.cancel(job, requester)
        is_stopped = job.state is JobState.GENERATING and await self._house.cancel_generation(job)

        def cancel(tx: Tx) -> Job:
            self._audit(tx, job, requester, "cancel")
            return self._cancel(tx, job_id, is_stopped=is_stopped)

        ended = await self._intake.write(cancel)
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
        self,
        job_id: JobId,
        requester: Requester,
        *,
        dedupe_key: str,
        thread: ThreadRef,
        is_age_restricted: bool = False,
        is_private: bool = False,
    ) -> Receipt:
        """Ask for the same again, as a new job at its own price.

        Raises `InvalidRequest` where others would read of what was for one person's eyes.
        """
        job = await self._visible(job_id, requester)
        _check_whole(job)
        if job.request.is_private and not is_private:
            raise InvalidRequest(
                f"{job_id} is private. Use the Retry button under it, which keeps it so."
            )
        request = GenerationRequest(
            dedupe_key=dedupe_key,
            requester=requester,
            thread=thread,
            work=job.request.work,
            is_age_restricted=is_age_restricted,
            is_private=is_private,
        )
        return await self.submit(request, retry_of=job.id)

    async def delete(
        self, job_id: JobId, requester: Requester, *, is_moderator: bool = False
    ) -> Notice:
        """Remove a clip: its post, the kept file, its images, and so every link to it.

        The job and what it cost stay. A moderator of its place may, too, which is remembered.
        Raises `InvalidRequest` where there is no clip, and `DeliveryError`s: then ask again.
        """
        job = await self._own(job_id, requester, is_moderator=is_moderator)
        if is_deleted(job):
            return await self._house.to_notice(job)
        _check_whole(job)
        if job.state not in TERMINAL:
            raise InvalidRequest(f"{job_id} is still being made. Cancel it instead.")
        every = await self.stories.every(job)
        if not any(each.clip for each in every):
            raise InvalidRequest(f"{job_id} has no {thing(job.work)}.")
        # The effects first: whoever asks again after a crash has them all once more.
        if job.message is not None:
            with suppress(ThreadGone):
                await self._house.delete_post(job.message)
        for each in every:
            if each.clip is not None:
                await self._clips.delete(each.clip)
            await self._planner.forget_images(each)

        def note(tx: Tx) -> Job:
            for each in every:
                if each.clip is not None:
                    self._note_deleted(tx, each.id, requester)
            return self._note_deleted(tx, job_id, requester)

        return await self._house.to_notice(await self._intake.write(note))

    def _note_deleted(self, tx: Tx, job_id: JobId, requester: Requester) -> Job:
        job = jobs.get(tx.conn, job_id)
        if is_deleted(job):
            return job
        self._audit(tx, job, requester, "delete")
        is_own = job.request.requester.person == requester.person
        who = "the person who asked for it" if is_own else "a moderator"
        failure = Failure(code=DELETED, sentence=f"The {thing(job.work)} was deleted by {who}.")
        return jobs.change(tx, job, clip=None, clip_url=None, failure=failure)

    def _audit(self, tx: Tx, job: Job, requester: Requester, act: str) -> None:
        """Remember what a moderator did to somebody else's job."""
        if job.request.requester.person != requester.person:
            now, actor, owner = self._clock.now(), requester.person, job.request.requester.person
            settings.write_audit(tx, now, actor=actor, act=act, target=job.id, detail=owner)

    # ---- what a person reads -------------------------------------------------------------

    async def show(self, job_id: JobId, requester: Requester) -> Shown:
        """One job, with its clip where it is kept."""
        job = await self._visible(job_id, requester)
        events = await self._database.read(lambda conn: jobs.timeline(conn, job_id))
        notice = await self._house.to_notice(job)
        if job.clip is not None and job.state is not JobState.DELIVERING:
            try:
                notice = to_kept(job, await self._clips.local(job.clip), notice)
            except BotError as error:
                log.info("clip.not_kept", job=job_id, cause=type(error).__name__)
        return Shown(line=to_line(job), notice=notice, events=events)

    async def jobs(
        self, requester: Requester, *, search: str = "", page: int = 1
    ) -> tuple[JobLine, ...]:
        """One page of one's own jobs, newest first."""
        found = await self._database.read(
            lambda conn: jobs.of_person(conn, requester.person, search=search, page=page)
        )
        return tuple(to_line(job) for job in found)

    async def open_jobs(self, requester: Requester) -> tuple[JobLine, ...]:
        """One's own jobs on the way, oldest first; not those of a provider that is gone."""
        found = await self._database.read(lambda conn: jobs.open_of(conn, requester.person))
        names = {provider.name for provider in self._planner.providers}
        return tuple(
            to_line(job)
            for job in found
            if job.plan is None or job.is_film or job.plan.provider in names
        )

    async def usage(self, requester: Requester, *, channel: str = "") -> UsageReport:
        """What a person used today and this month, and what is left."""
        now, limits = self._clock.now(), self._house.limits
        return await self._database.read(
            lambda conn: ledger.report(conn, requester, channel, limits, now)
        )

    async def work_of(self, job_id: JobId, requester: Requester) -> Work:
        """What was asked for, to be asked for again with changes."""
        return (await self._visible(job_id, requester)).request.work

    async def thread_of(self, job_id: JobId, requester: Requester) -> ThreadRef:
        """Where it was asked for, and is answered."""
        return (await self._visible(job_id, requester)).request.thread

    async def serves(self, tenant: str) -> bool:
        """Whether a place is served."""
        state = await self._database.read(lambda conn: places.state(conn, tenant))
        return self._access.is_served(tenant, state)

    async def recall(self, adapter: str, name: str, *, job_id: JobId | None = None) -> str:
        """What an adapter wants to know again after a restart; empty where it never said."""
        scope = settings.adapter_scope(adapter, job_id)
        kept = await self._database.read(lambda conn: settings.chosen(conn, scope))
        return kept.get(name, "")

    async def remember(
        self, adapter: str, name: str, value: str, *, job_id: JobId | None = None
    ) -> None:
        """Keep something for an adapter; what is about a job, until some days after its end."""
        scope = settings.adapter_scope(adapter, job_id)
        await self._database.write(lambda tx: settings.choose(tx, scope, {name: value}))

    # ---- who may -------------------------------------------------------------------------

    async def _visible(self, job_id: JobId, requester: Requester) -> Job:
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        if not job.request.is_seen_by(requester):
            raise JobNotFound(f"There is no job {job_id}. `jobs` lists yours.")
        return job

    async def _own(
        self, job_id: JobId, requester: Requester, *, is_moderator: bool = False
    ) -> Job:
        job = await self._visible(job_id, requester)
        # Rights are held in a place: who asks from outside has none, whatever they hold there.
        may_act = is_moderator and not requester.is_outside
        if job.request.requester.person != requester.person and not may_act:
            raise NotAllowed(f"{job_id} is somebody else's. Only they can do that.")
        return job


def _check_whole(job: Job) -> None:
    """A shot goes with its film."""
    if job.film is not None:
        redo = f" To make it again: redo {job.film} {job.shot}" if job.shot else ""
        raise InvalidRequest(f"{job.id} is a shot of the film {job.film}; that goes whole.{redo}")
