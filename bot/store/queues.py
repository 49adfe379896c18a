"""What waits and runs, as those who run a place see it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, or_, select, update

from bot.job import AT_PROVIDER, OPEN, Job, JobState
from bot.refs import JobId
from bot.store.jobs import HAS_SLOT, to_job
from bot.store.portable import time_of
from bot.store.schema import jobs
from bot.store.transaction import Tx

_BY_STEPS = (
    JobState.ACCEPTED,
    JobState.SUBMITTING,
    JobState.GENERATING,
    JobState.FETCHING,
    JobState.DELIVERING,
)
#: Where a job goes on by itself, and how long it sleeps at most; a film that is woken only looks.
LONGEST_SLEEP = {
    **dict.fromkeys(_BY_STEPS, timedelta(hours=6)),
    # Moderators are asked again after a day.
    JobState.REVIEWING: timedelta(hours=30),
}
SOON = timedelta(minutes=1)


def open_in(conn: Connection, tenant: str) -> list[Job]:
    """The jobs of a place that have not ended, oldest first."""
    rows = conn.execute(
        select(jobs)
        .where(jobs.c.state.in_(OPEN), jobs.c.tenant == tenant)
        .order_by(jobs.c.created_at, jobs.c.id)
    )
    return [to_job(row) for row in rows]


def occupied(conn: Connection, provider: str) -> int:
    """How many of a provider's slots are in use, by anybody."""
    query = select(func.count()).where(jobs.c.provider == provider, HAS_SLOT)
    return int(conn.execute(query).scalar_one())


def left(conn: Connection, provider: str) -> int:
    """How many jobs need a provider still that lets no more in."""
    needs_it = jobs.c.state.in_({*AT_PROVIDER, JobState.FETCHING})
    query = select(func.count()).where(jobs.c.provider == provider, needs_it)
    return int(conn.execute(query).scalar_one())


def wake_overslept(
    tx: Tx, now: datetime, *, submit_seconds: float
) -> list[tuple[JobId, datetime]]:
    """Let go on soon what a wall clock that was ahead put off for long; returns what, and when.

    Soon is when what another process submits, for so long at most, has been answered.
    """
    now = time_of(tx.conn, now)
    too_late = or_(
        *(
            and_(jobs.c.state == state, jobs.c.next_at > now + longest)
            for state, longest in LONGEST_SLEEP.items()
        )
    )
    soon = now + SOON + timedelta(seconds=submit_seconds)
    values = {"next_at": soon, "version": jobs.c.version + 1}
    woken = update(jobs).where(too_late).values(values).returning(jobs.c.id)
    return [(JobId(job_id), soon) for job_id in tx.conn.execute(woken).scalars()]
