"""What waits and runs, as those who run a place see it."""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, or_, select

from bot.job import AT_PROVIDER, OPEN, Job, JobState
from bot.store.jobs import to_job
from bot.store.schema import jobs


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
    admitted = and_(jobs.c.state == JobState.ACCEPTED, jobs.c.admitted_at.is_not(None))
    query = select(func.count()).where(
        jobs.c.provider == provider, or_(admitted, jobs.c.state.in_(AT_PROVIDER))
    )
    return int(conn.execute(query).scalar_one())
