"""What a person reads: jobs, alone and in lists, where they came from, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path, PurePosixPath

from bot import quota
from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.errors import BotError, InvalidRequest, JobNotFound, NotAllowed, asks_for_no_clip
from bot.job import DELICATE, Job, JobState
from bot.log import get_logger
from bot.menu import Menu
from bot.notices import for_all
from bot.overview import JobLine, Shown, UsageReport, UsageRow
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import Requester, Work
from bot.routing.planning import Planner
from bot.store import jobs, ledger, lineage, lookup, messages, reports, reviews, settings, timeline
from bot.store.database import Database
from bot.studio.rights import Rights
from bot.studio.showing import to_kept, to_line

log = get_logger(__name__)
#: How many of one's own jobs stand beside one's usage.
LAST_JOBS = 5


class Shelf:
    """Shows people what they may see; what they may not see is not there (`JobNotFound`)."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        clock: Clock,
        context: BotContext,
        menu: Menu,
        rights: Rights,
    ) -> None:
        self._database = database
        self._planner = planner
        self._clips = clips
        self._clock = clock
        self._context = context
        self._menu = menu
        self._rights = rights

    async def show(self, job_id: JobId, requester: Requester) -> Shown:
        """One job, with its clip where it is kept."""
        job = await self._visible(job_id, requester)
        events, family, is_held_back = await self._database.read(
            lambda conn: (
                timeline.of(conn, job_id),
                lineage.family(conn, job, requester),
                reviews.is_held_back(conn, job),
            )
        )
        notice = await self._context.to_notice(job)
        is_own = job.request.requester.person == requester.person
        notice = notice if is_own else for_all(notice)
        is_shown = job.state is not JobState.DELIVERING and not is_held_back
        link = ""
        if job.clip is not None and is_shown:
            try:
                notice = to_kept(
                    job, await self._clips.local(job.clip), notice, acts=self._menu.of(job)
                )
                link = self._context.sign(
                    f"/clips/{job_id}{PurePosixPath(job.clip.key).suffix}", self._link_ends()
                )
            except BotError as error:
                log.info("clip.not_kept", job=job_id, cause=type(error).__name__)
        return Shown(
            line=to_line(job),
            notice=notice,
            events=events,
            parents=family.parents,
            children=family.children,
            link=link,
        )

    def _link_ends(self) -> datetime:
        """A midnight, so that a page that is drawn again says the same."""
        day = self._clock.now() + timedelta(days=2)
        return datetime.combine(day.date(), time(), day.tzinfo)

    async def poster(self, job_id: JobId, requester: Requester) -> Path:
        """A picture of a clip, or a smaller copy of a still, made when it is asked for.

        Raises `JobNotFound` where nothing may be shown, and `ClipError`s.
        """
        job = await self._visible(job_id, requester)
        is_held_back = await self._database.read(lambda conn: reviews.is_held_back(conn, job))
        if job.clip is None or job.state is JobState.DELIVERING or is_held_back:
            raise JobNotFound(f"There is no picture of {job_id}.")
        return await self._clips.poster(job.clip)

    @asks_for_no_clip
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
        known = (*self._planner.providers, *self._planner.draining)
        names = {provider.name for provider in known}
        return tuple(
            to_line(job)
            for job in found
            if job.plan is None or job.is_film or job.plan.provider in names
        )

    @asks_for_no_clip
    async def usage(self, requester: Requester, *, channel: str = "") -> UsageReport:
        """What a person used today and this month, and what is left."""
        now, limits, person = self._clock.now(), self._context.limits, requester.person
        report, own = await self._database.read(
            lambda conn: (
                ledger.report(conn, requester, channel, limits, now),
                jobs.of_person(conn, person, search="", page=1)[:LAST_JOBS],
            )
        )
        return replace(report, last=tuple(to_line(job) for job in own))

    async def draft_of(self, job_id: JobId, requester: Requester) -> Work:
        """What was asked for, to be changed; what a filter refused by its person alone."""
        job = await self._visible(job_id, requester)
        is_own = job.request.requester.person == requester.person
        is_delicate = job.failure is not None and job.failure.code in {*DELICATE, ledger.REFUSED}
        if is_delicate and not is_own:
            raise NotAllowed("Only who asked for it can change that.")
        return job.request.work

    async def usage_by_day(self, requester: Requester) -> tuple[UsageRow, ...]:
        """What a person used on each day of this month."""
        now, timezone = self._clock.now(), self._context.limits.timezone
        start, person = quota.windows(now, timezone).month_start, requester.person
        rows = await self._database.read(
            lambda conn: reports.by_day(conn, start, now, timezone=timezone, person=person)
        )
        return tuple(rows)

    async def work_of(self, job_id: JobId, requester: Requester) -> Work:
        """What was asked for, to be asked for again with changes."""
        return (await self._visible(job_id, requester)).request.work

    async def settled_work_of(self, job_id: JobId, requester: Requester) -> tuple[Work, bool]:
        """How it was made, to be made again with changes; False: that was never settled."""
        job = await self._visible(job_id, requester)
        return job.work, job.plan is not None

    async def thread_of(self, job_id: JobId, requester: Requester) -> ThreadRef:
        """Where it was asked for, and is answered."""
        return (await self._visible(job_id, requester)).request.thread

    async def job_at(self, message: MessageRef) -> JobId | None:
        """The job whose clip or status a message of ours shows; None for any other message."""
        return await self._database.read(lambda conn: messages.job_at(conn, message))

    # ---- who may -------------------------------------------------------------------------

    async def _visible(self, job_id: JobId, requester: Requester) -> Job:
        return await self._database.read(lambda conn: lookup.visible(conn, job_id, requester))

    async def _own(
        self, job_id: JobId, requester: Requester, *, is_moderator: bool = False
    ) -> Job:
        """A job that somebody may act on: their own, of their place, or an operator's any."""
        if is_moderator and self._rights.is_operator(requester):
            return await self._database.read(lambda conn: jobs.get(conn, job_id))
        job = await self._visible(job_id, requester)
        # Rights are held in a place: who asks from outside has none, whatever they hold there.
        may_act = is_moderator and not requester.is_outside
        if job.request.requester.person != requester.person and not may_act:
            raise NotAllowed(f"{job_id} is somebody else's. Only they can do that.")
        return job

    # ---- what an adapter wants kept -----------------------------------------------------

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

    async def claim(self, name: str, value: str, *, job_id: JobId) -> bool:
        """The same of what one job at most may have; False where another one claimed it."""
        return await self._database.write(lambda tx: settings.claim(tx, job_id, name, value))

    async def tell_operator(self, about: str, sentence: str) -> None:
        """Leave a notice for the operator, once a day for what it is `about`."""
        now = self._clock.now()
        key = f"{about}:{now:%Y-%m-%d}"
        await self._database.write(lambda tx: settings.note_operator(tx, key, sentence, now))


def check_whole(job: Job) -> None:
    """Raise `InvalidRequest` for a shot, which goes with its film."""
    if job.film is not None:
        redo = f" To make it again: `redo {job.film} {job.shot}`" if job.shot else ""
        raise InvalidRequest(f"{job.id} is a shot of the film {job.film}; that goes whole.{redo}")
