"""What runs at a provider and how long it took lately, as its watcher asks for it."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, and_, select

from bot.errors import StoreError
from bot.job import Job, JobState, UnderWay
from bot.refs import GenerationId, JobId
from bot.request import Work
from bot.store.jobs import to_job
from bot.store.schema import jobs

_WORK: TypeAdapter[Work] = TypeAdapter(Work)


def generating(
    conn: Connection, provider: str, known: Set[GenerationId] = frozenset()
) -> tuple[set[GenerationId], list[UnderWay]]:
    """What the provider works on, and the jobs of it whose generation is not known."""
    is_running = and_(
        jobs.c.provider == provider,
        jobs.c.state == JobState.GENERATING,
        jobs.c.provider_failure.is_(None),
        jobs.c.generation_id.is_not(None),
    )
    ids = set(conn.execute(select(jobs.c.generation_id).where(is_running)).scalars())
    # At a start nothing is known, and so many may run that no list of them can be asked for.
    which = jobs.c.generation_id.in_(ids - known) if known else is_running
    work = jobs.c.plan["work"].label("work")
    columns = (jobs.c.id, jobs.c.generation_id, jobs.c.submitted_at, work)
    rows = conn.execute(select(*columns).where(is_running, which)) if ids - known else ()
    return ids, [_to_under_way(row) for row in rows]


def finished(conn: Connection, provider: str, limit: int) -> list[tuple[Job, float]]:
    """The last finished generations and how many seconds each took."""
    rows = conn.execute(
        select(jobs)
        .where(jobs.c.provider == provider, jobs.c.completed_at.is_not(None))
        .order_by(jobs.c.created_at.desc())
        .limit(limit)
    )
    found = [to_job(row) for row in rows]
    return [
        (job, (job.completed_at - job.submitted_at).total_seconds())
        for job in reversed(found)
        if job.completed_at and job.submitted_at
    ]


def _to_under_way(row: Any) -> UnderWay:
    try:
        work = _WORK.validate_python(row.work)
    except ValidationError as error:
        raise StoreError(f"{row.id} cannot be read; another version wrote it.") from error
    generation_id, submitted_at = GenerationId(row.generation_id), row.submitted_at
    return UnderWay(
        id=JobId(row.id), generation_id=generation_id, work=work, submitted_at=submitted_at
    )
