"""All that an adapter may call: what a person can ask of the bot, decided and written down.

What a request goes through is in `bot.studio.intake`, what those who run a place do in
`bot.studio.administration`.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.courier import Courier
from bot.errors import (
    BotError,
    InvalidRequest,
    NoSuchValue,
    NotNow,
    TooLate,
    asks_for_no_clip,
)
from bot.job import TERMINAL, Job, JobState
from bot.log import get_logger
from bot.menu import Menu
from bot.notices import Notice
from bot.ports import Dispatcher
from bot.refs import GenerationId, JobId, ThreadRef
from bot.request import GenerationRequest, Requester
from bot.routing.planning import Planner
from bot.store import jobs, ledger, lineage, places, reviews, settings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.access import Access
from bot.studio.administration import Administration
from bot.studio.care import Care
from bot.studio.departures import Departures
from bot.studio.desk import Desk
from bot.studio.erasure import Erasure
from bot.studio.gallery import Gallery
from bot.studio.inbox import Inbox
from bot.studio.intake import Intake
from bot.studio.leftovers import Leftovers
from bot.studio.preferences import Preferences
from bot.studio.receipts import Receipt
from bot.studio.removal import Removal, is_deleted
from bot.studio.retry_for_others import Retries
from bot.studio.reviews import Reviews
from bot.studio.rights import Rights
from bot.studio.shelf import Shelf, check_whole
from bot.studio.sign_in import Entry
from bot.studio.stories import Stories
from bot.studio.works import Works
from bot.text import thing
from bot.upkeep import keep_going
from bot.vault import Vault

log = get_logger(__name__)


class Studio(Shelf):
    """Submit, confirm, cancel, retry, delete, show, jobs, usage.

    `preferences` are what holds where somebody types nothing; `works` is what becomes of a clip,
    `stories` is for films under way; `care` is for clips that trouble somebody, `gallery` for
    those that people like, `reviews` for those that wait for a moderator, `retries` for what those
    who run a place ask again for others; `erasure` forgets people, `departures` hears of places
    that left; `entry` lets people in at the `desk`. `admin` is for those who run a place; `inbox`
    keeps what a platform delivered until it was dealt with, `vault` the secrets that an adapter
    was given.
    """

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        dispatcher: Dispatcher,
        clock: Clock,
        context: BotContext,
        vault: Vault,
        courier: Courier,
    ) -> None:
        by_name = {provider.name: provider for provider in planner.providers}
        self._access = Access(database=database, clock=clock, context=context)
        super().__init__(
            database=database,
            planner=planner,
            clips=clips,
            clock=clock,
            context=context,
            menu=Menu(providers=by_name, limits=context.limits),
            rights=Rights(database=database, clock=clock, context=context, access=self._access),
        )
        self._intake = Intake(
            database=database,
            planner=planner,
            dispatcher=dispatcher,
            clock=clock,
            context=context,
            access=self._access,
            wake_courier=courier.wake,
        )
        self.vault = vault
        self.replicas = context.replicas
        self.inbox = Inbox(database=database, clock=clock, process=context.replicas.name)
        self._open_works(planner)
        self._open_community(courier)
        self._open_desk()
        self._open_erasure(courier)

    def _open_works(self, planner: Planner) -> None:
        database, clock, context, intake = self._database, self._clock, self._context, self._intake
        self.leftovers = Leftovers(
            database=database,
            intake=intake,
            clock=clock,
            replicas=context.replicas,
            adapters=planner.adapters,
        )
        self.works = Works(database=database, intake=intake, menu=self._menu)
        self.preferences = Preferences(
            database=database, planner=planner, access=self._access, limits=context.limits
        )
        self.stories = Stories(
            database=database,
            planner=planner,
            intake=self._intake,
            clock=clock,
            context=context,
            own=self._own,
            audit=self._audit,
        )

    def _open_community(self, courier: Courier) -> None:
        database, clock, context = self._database, self._clock, self._context
        self._courier, rights = courier, self._rights
        self.admin = Administration(
            database=database,
            planner=self._planner,
            clock=clock,
            context=context,
            access=self._access,
            rights=rights,
            cancel=self.cancel,
        )
        self._removal = Removal(
            database=database,
            planner=self._planner,
            clips=self._clips,
            clock=clock,
            context=context,
            courier=courier,
        )
        self.gallery = Gallery(
            database=database, clock=clock, access=self._access, courier=courier
        )
        self.reviews = Reviews(
            database=database,
            clock=clock,
            intake=self._intake,
            rights=rights,
            courier=courier,
        )
        self.care = Care(
            database=database,
            clock=clock,
            context=context,
            rights=rights,
            removal=self._removal,
            courier=courier,
        )
        self.retries = Retries(database=database, intake=self._intake, rights=rights)

    def _open_desk(self) -> None:
        database, clock, context = self._database, self._clock, self._context
        rights = self._rights
        self.entry = Entry(database=database, clock=clock, context=context, rights=rights)
        self.desk = Desk(
            database=database,
            planner=self._planner,
            clips=self._clips,
            clock=clock,
            context=context,
            rights=rights,
        )

    def _open_erasure(self, courier: Courier) -> None:
        database, clock = self._database, self._clock
        self.erasure = Erasure(
            database=database,
            planner=self._planner,
            clips=self._clips,
            clock=clock,
            context=self._context,
            rights=self._rights,
            courier=courier,
            cancel=self.cancel,
        )
        self.departures = Departures(
            database=database, clock=clock, access=self._access, wake_erasure=self.erasure.wake
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

    async def answer(self, job_id: JobId, requester: Requester, *, is_allowed: bool) -> Receipt:
        """Accept the rules that a request waits for, or lend it one's image; or do neither."""
        return await self._intake.answer(job_id, requester, is_allowed=is_allowed)

    async def receipt(self, dedupe_key: str) -> Receipt | None:
        """What became of what was asked with this key; None where no job was made of it."""
        return next(iter(await self._intake.receipts.of(dedupe_key)), None)

    async def take_up(self) -> None:
        """Take up what is left half prepared, until cancelled; each process knows its own."""
        await keep_going((self.leftovers.run,), self._clock)

    async def run(self) -> None:
        """Remove what is to go, until cancelled."""
        await keep_going((self.care.run, self.erasure.run), self._clock)

    # ---- cancel, retry, delete -----------------------------------------------------------

    @asks_for_no_clip
    async def cancel(
        self, job_id: JobId, requester: Requester, *, is_moderator: bool = False
    ) -> Notice:
        """Take a job back: free while it waits; once it runs, only where the provider stops it.

        A moderator of its place may, too, which is remembered.
        """
        job = await self._own(job_id, requester, is_moderator=is_moderator)
        check_whole(job)
        if job.is_film and job.state is not JobState.REVIEWING:
            return await self.stories.cancel(job, requester)
        is_running = job.state is JobState.GENERATING
        is_stopped = is_running and await self._context.cancel_generation(job)
        stopped = job.generation_id if is_stopped else None

        def cancel(tx: Tx) -> list[Job]:
            self._audit(tx, job, requester, "cancel")
            ended = self._cancel(tx, job_id, stopped=stopped)
            # What was asked for at once is confirmed at once, and so taken back.
            batch = lineage.batch(tx.conn, job) if job.state is JobState.RECEIVED else []
            others = (each for each in batch if each.id != job_id)
            waiting = [each.id for each in others if each.state is JobState.RECEIVED]
            return [ended, *(self._cancel(tx, each, stopped=None) for each in waiting)]

        ended = (await self._intake.receipts.write_all(cancel))[0]
        if job.plan is not None:
            self._context.nudge(job.plan.provider)
        return await self._context.to_notice(ended)

    def _cancel(self, tx: Tx, job_id: JobId, *, stopped: GenerationId | None) -> Job:
        job = jobs.get(tx.conn, job_id)
        match job.state:
            case JobState.DELIVERING | JobState.DELIVERED | JobState.FAILED | JobState.CANCELLED:
                raise TooLate(f"{job_id} has already ended or is being posted.")
            case JobState.RECEIVED | JobState.ACCEPTED:
                is_free = True
            case JobState.SUBMITTING | JobState.UNCERTAIN | JobState.FETCHING:
                is_free = False
            case JobState.GENERATING:
                # It may have another one meanwhile.
                is_free = stopped is not None and job.generation_id == stopped
            case JobState.REVIEWING:
                tx.after_commit(self._courier.wake)
                return reviews.withdraw(tx, job, self._clock.now())
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
        asked_at: datetime | None = None,
        is_age_restricted: bool = False,
        is_private: bool = False,
    ) -> Receipt:
        """Ask for the same again, as a new job at its own price.

        Raises `InvalidRequest` where others would read of what was for one person's eyes.
        """
        job = await self._visible(job_id, requester)
        check_whole(job)
        if job.request.is_private and not is_private:
            raise InvalidRequest(
                f"{job_id} is private. Use the buttons under it, which keep it so."
            )
        request = GenerationRequest(
            dedupe_key=dedupe_key,
            requester=requester,
            thread=thread,
            work=await self.draft_of(job_id, requester),
            asked_at=asked_at,
            is_age_restricted=is_age_restricted,
            is_private=is_private,
            parent=job.id,
            relation="retry",
        )
        return await self.submit(request, retry_of=job.id)

    @asks_for_no_clip
    async def delete(
        self, job_id: JobId, requester: Requester, *, is_moderator: bool = False
    ) -> Notice:
        """Remove a clip: its post, the kept file, its images, and so every link to it.

        The job and what it cost stay. A moderator of its place may, too, which is remembered.
        Raises `InvalidRequest` without a clip, `PostStays`, and `NotRemoved`: then ask again.
        """
        job = await self._own(job_id, requester, is_moderator=is_moderator)
        if is_deleted(job):
            # A message that its platform kept then may be let go of now.
            await self._removal.remove_post(job)
            return await self._context.to_notice(job)
        check_whole(job)
        if job.state not in TERMINAL:
            raise NotNow(f"{job_id} is still being made. Cancel it instead.")
        every = await self.stories.every(job)
        if not any(each.clip for each in every):
            raise InvalidRequest(f"{job_id} has no {thing(job.work)}.")
        removed = await self._removal.remove(job, by=requester.person)
        return await self._context.to_notice(removed)

    def _audit(self, tx: Tx, job: Job, requester: Requester, act: str) -> None:
        """Remember what a moderator did to somebody else's job."""
        if job.request.requester.person != requester.person:
            now, actor, owner = self._clock.now(), requester.person, job.request.requester.person
            settings.write_audit(tx, now, actor=actor, act=act, target=job.id, detail=owner)

    # ---- what an adapter asks ------------------------------------------------------------

    def reworded(self, error: BotError) -> BotError:
        """The error as it is said here: of a value it offers only what may be made here."""
        if isinstance(error, NoSuchValue) and error.field is not None:
            error.among(self.preferences.choices(error.field))
        return error

    async def serves(self, tenant: str) -> bool:
        """Whether a place is served."""
        state = await self._database.read(lambda conn: places.state(conn, tenant))
        return self._access.is_served(tenant, state)

    async def served(self, adapter: str) -> list[str]:
        """The workspaces that are served; some of those that are configured are of others."""
        return await self._access.served(adapter)
