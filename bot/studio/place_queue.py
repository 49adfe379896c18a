"""What waits and runs for a place, and how its video services do."""

from __future__ import annotations

from bot.bot_context import BotContext
from bot.job import Job
from bot.notices import ConfirmNeeded, Notice, Queued, Received, Waiting
from bot.overview import ProviderLoad, QueueLine, QueueView
from bot.refs import Micros
from bot.routing.planning import Planner
from bot.store import desk_clips, queues
from bot.store.database import Database
from bot.words import clean

QUEUE_LINES = 50
DRAINING = "It is draining: nothing new goes there."
NAME_CHARS = 80


async def view_queue(
    database: Database, planner: Planner, context: BotContext, tenant: str
) -> QueueView:
    """The first jobs of a place that have not ended, oldest first."""
    found = await database.read(lambda conn: queues.open_in(conn, tenant))
    first = await database.read(lambda conn: desk_clips.nameless(conn, found[:QUEUE_LINES]))
    shown = [(job, await context.to_notice(job)) for job in first]
    loads = await view_loads(database, planner, context)
    lines = tuple(_to_queue_line(job, notice) for job, notice in shown)
    return QueueView(lines=lines, count=len(found), providers=loads)


async def view_loads(
    database: Database, planner: Planner, context: BotContext
) -> tuple[ProviderLoad, ...]:
    """How each service does, of all places; one that is draining while something is left there."""
    running, left = await database.read(
        lambda conn: (
            {each.name: queues.occupied(conn, each.name) for each in planner.providers},
            {each.name: queues.left(conn, each.name) for each in planner.draining},
        )
    )
    serving = (
        ProviderLoad(
            name=each.name,
            running=running[each.name],
            slots=each.limits.running,
            trouble=context.trouble_of(each.name) or "",
        )
        for each in planner.providers
    )
    draining = (
        ProviderLoad(name=name, running=count, slots=0, trouble=DRAINING)
        for name, count in left.items()
        if count
    )
    return (*serving, *draining)


def _to_queue_line(job: Job, notice: Notice) -> QueueLine:
    is_waiting = isinstance(notice, Queued | Waiting | Received | ConfirmNeeded)
    started = None if is_waiting else job.submitted_at or job.admitted_at
    return QueueLine(
        job_id=job.id,
        person=clean(job.request.requester.display_name, limit=NAME_CHARS)
        or job.request.requester.user,
        model=job.work.model,
        since=started or job.accepted_at or job.created_at,
        is_running=not is_waiting,
        position=notice.position if isinstance(notice, Queued) else 0,
        price=job.plan.price.micros if job.plan else Micros(0),
    )
