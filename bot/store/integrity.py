"""Which files the rows name, and what was paid although no job has it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, or_, select, union

from bot.job import TERMINAL
from bot.refs import GenerationId, JobId, MediaKey
from bot.store.schema import attempts, errands, job_events, jobs, ledger_entries, messages


def known(conn: Connection) -> set[JobId]:
    """The jobs there are whose files may be kept."""
    return {
        JobId(row.id) for row in conn.execute(select(jobs.c.id).where(jobs.c.erased_at.is_(None)))
    }


def without_job(conn: Connection) -> list[str]:
    """What is written of jobs that there are not: none, unless somebody wrote past our rules."""
    of_jobs = (ledger_entries, attempts, messages, job_events, errands)
    every = union(*(select(table.c.job_id) for table in of_jobs)).subquery()
    rows = conn.execute(select(every.c.job_id).where(every.c.job_id.not_in(select(jobs.c.id))))
    return [str(row.job_id) for row in rows]


def clips(conn: Connection, since: datetime) -> dict[JobId, MediaKey]:
    """The files that must be there: those of jobs that are open, or have ended since a time."""
    is_open = jobs.c.state.not_in([each.value for each in TERMINAL])
    rows = conn.execute(
        select(jobs.c.id, jobs.c.clip).where(
            jobs.c.clip.is_not(None), or_(is_open, jobs.c.ended_at >= since)
        )
    )
    return {JobId(row.id): MediaKey(row.clip["key"]) for row in rows}


def given_up(conn: Connection) -> list[tuple[JobId, GenerationId]]:
    """Generations of attempts that were given up: probably paid, and delivered to nobody."""
    rows = conn.execute(
        select(attempts.c.job_id, attempts.c.generation_id)
        .where(attempts.c.outcome == "orphan", attempts.c.generation_id.is_not(None))
        .order_by(attempts.c.sent_at)
    )
    return [(JobId(row.job_id), GenerationId(row.generation_id)) for row in rows]
