"""What waits and runs, and everything of one job."""

from __future__ import annotations

from dataclasses import replace

from bot.bot_context import BotContext
from bot.desk_job_views import ClipLine, JobView, Queue, Standing
from bot.job import Failure, Job, JobState
from bot.notices import ConfirmNeeded, ConsentNeeded, Notice, Queued, Received, RulesFirst, Waiting
from bot.overview import Sitting
from bot.refs import JobId, Micros
from bot.request import VideoWork, Work, without_words
from bot.routing.planning import Planner
from bot.store import desk_jobs
from bot.store.database import Database
from bot.studio.desk.clips import ClipsView
from bot.studio.place_queue import view_loads
from bot.words import NAME_CHARS, clean

LINES = 50
IDLE = (Queued, Waiting, Received, ConfirmNeeded, ConsentNeeded, RulesFirst)


class JobsView:
    """Jobs in the reach of a sitting; the others are not there (`JobNotFound`)."""

    def __init__(
        self, *, database: Database, planner: Planner, context: BotContext, clips: ClipsView
    ) -> None:
        self._database = database
        self._planner = planner
        self._context = context
        self._clips = clips

    async def pulse(self) -> int:
        """A number that grows whenever something may have changed."""
        return await self._database.read(desk_jobs.pulse)

    async def queue(self, tenant: str, *, most: int = LINES) -> Queue:
        """The oldest jobs of a place, or of all of them, that have not ended."""
        found, count = await self._database.read(
            lambda conn: desk_jobs.unfinished(conn, tenant, most)
        )
        loads = await view_loads(self._database, self._planner, self._context)
        lines = [
            _to_standing(job, await self._context.to_notice(job), waits_for)
            for job, waits_for in found
        ]
        return Queue(lines=lines, count=count, providers=loads)

    async def job(self, sitting: Sitting, job_id: JobId) -> JobView:
        """Everything of one job."""
        line, job = await self._clips.job(sitting, job_id)
        reader = sitting.who.person
        steps, sent, entries, cost, said = await self._database.read(
            lambda conn: (
                desk_jobs.steps(conn, job_id),
                desk_jobs.sent(conn, job_id),
                desk_jobs.entries(conn, job_id),
                desk_jobs.provider_cost(conn, job_id),
                desk_jobs.complaint(conn, job_id),
            )
        )
        parents, children, shots = await self._database.read(
            lambda conn: (
                desk_jobs.parents(conn, job, reader),
                desk_jobs.children(conn, job, reader),
                desk_jobs.shots(conn, job, reader),
            )
        )
        return replace(
            _to_view(job, line),
            steps=steps,
            sent=sent,
            entries=entries,
            provider_cost=cost,
            complaint=said,
            parents=parents,
            children=children,
            shots=shots,
        )


def _to_view(job: Job, line: ClipLine) -> JobView:
    """What its own row tells of a job."""
    plan, clip = job.plan, job.clip
    is_shown = clip is not None and line.has_clip
    return JobView(
        line=line,
        work=_bare(job.work) if line.is_hidden else job.work,
        channel=job.request.thread.channel,
        hold=plan.hold if plan is not None and job.accepted_at is not None else None,
        generation_id=job.generation_id,
        remarks=() if plan is None else tuple(filter(None, (plan.detour, *plan.remarks))),
        failure=_told(job.failure, line),
        trouble=_told(job.provider_failure, line),
        size=(clip.width, clip.height, clip.frames, clip.bytes) if clip and is_shown else None,
        next_at=job.next_at,
        parked_at=job.parked_at,
        crashes=job.crashes,
        is_taken_back=job.is_taken_back,
    )


def _to_standing(job: Job, notice: Notice, waits_for: JobId | None) -> Standing:
    is_idle = isinstance(notice, IDLE) and job.state in (JobState.RECEIVED, JobState.ACCEPTED)
    started = None if is_idle else job.submitted_at or job.admitted_at
    who = job.request.requester
    return Standing(
        job_id=job.id,
        tenant=who.tenant,
        person=who.person,
        name=clean(who.display_name, limit=NAME_CHARS) or who.user,
        model=job.work.model,
        state=job.state,
        provider=job.plan.provider if job.plan is not None else "",
        since=started or job.accepted_at or job.created_at,
        is_running=not is_idle,
        position=notice.position if isinstance(notice, Queued) and waits_for is None else 0,
        price=job.plan.price.micros if job.plan is not None else Micros(0),
        trouble=notice.sentence if isinstance(notice, Waiting) else "",
        waits_for=waits_for,
        is_film=job.is_film,
        shot=job.shot,
    )


def _bare(work: Work) -> Work:
    """What was asked for without words and images."""
    bare = without_words(work)
    if isinstance(bare, VideoWork):
        bare = bare.model_copy(update={"start_frame": None, "end_frame": None})
    return bare


def _told(failure: Failure | None, line: ClipLine) -> tuple[str, str] | None:
    """The class of a failure with its sentence, which may tell of what is hidden."""
    if failure is None:
        return None
    return failure.code, "" if line.is_hidden else failure.sentence
