"""All that the rows tell of one job, and which jobs have not ended, as the desk shows them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from bot.desk_job_views import Complaint, Entry, Kin, Sent, Step
from bot.job import OPEN, Job
from bot.refs import GenerationId, JobId, Micros
from bot.request import Relation
from bot.store import complaints, desk_clips, timeline
from bot.store.jobs import to_job
from bot.store.schema import attempts, job_events, jobs, ledger_entries

#: Maximum of earlier and later jobs that are shown.
MOST_PARENTS, MOST_CHILDREN = 10, 50


def pulse(conn: Connection) -> int:
    """A number that grows whenever a job, anybody's, reaches another state."""
    return int(conn.execute(select(func.coalesce(func.max(job_events.c.id), 0))).scalar_one())


def unfinished(
    conn: Connection, tenant: str, limit: int
) -> tuple[list[tuple[Job, JobId | None]], int]:
    """The oldest jobs that have not ended, of a place or of all, and how many there are.

    Each with the one that must end before it, where it is a shot.
    """
    is_there = [jobs.c.tenant.concat("") == tenant] if tenant else []
    which = (jobs.c.state.in_(OPEN), *is_there)
    rows = conn.execute(
        select(jobs).where(*which).order_by(jobs.c.created_at, jobs.c.id).limit(limit)
    )
    count = conn.execute(select(func.count()).select_from(jobs).where(*which)).scalar_one()
    found = [(to_job(row), row.waits_for) for row in rows]
    shown = desk_clips.nameless(conn, [job for job, _ in found])
    return [(job, first) for job, (_, first) in zip(shown, found, strict=True)], int(count)


def steps(conn: Connection, job_id: JobId) -> tuple[Step, ...]:
    """The states that a job reached, and how long it was in each."""
    found = timeline.of(conn, job_id)
    ends = [at for at, _ in found[1:]]
    lengths = [(end - at).total_seconds() for (at, _), end in zip(found, ends, strict=False)]
    return tuple(
        Step(state=state, at=at, seconds=seconds)
        for (at, state), seconds in zip(found, [*lengths, None], strict=False)
    )


def sent(conn: Connection, job_id: JobId) -> tuple[Sent, ...]:
    """Each time that a job was sent to a video service."""
    rows = conn.execute(
        select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.attempt)
    )
    return tuple(
        Sent(
            number=row.attempt,
            provider=row.provider,
            at=row.sent_at,
            outcome=row.outcome,
            generation_id=GenerationId(row.generation_id) if row.generation_id else None,
            absences=row.absences,
        )
        for row in rows
    )


def entries(conn: Connection, job_id: JobId) -> tuple[Entry, ...]:
    """What the ledger says of a job."""
    rows = conn.execute(
        select(ledger_entries)
        .where(ledger_entries.c.job_id == job_id)
        .order_by(ledger_entries.c.id)
    )
    return tuple(Entry(kind=row.kind, micros=Micros(row.micros), at=row.at) for row in rows)


def provider_cost(conn: Connection, job_id: JobId) -> Micros:
    """What the service took for a clip that its person did not pay for."""
    query = select(jobs.c.provider_cost).where(jobs.c.id == job_id)
    return Micros(conn.execute(query).scalar_one())


def complaint(conn: Connection, job_id: JobId) -> Complaint | None:
    """What people said of a clip; None where nobody reported it."""
    found = complaints.of_job(conn, job_id)
    if not found.count:
        return None
    return Complaint(
        count=found.count,
        reasons=found.reasons,
        outcome=found.outcome,
        decided_by=found.decided_by,
    )


# ---- relatives -------------------------------------------------------------------------------

_RELATION = jobs.c.request["relation"].as_string().label("relation")
_KIN: Select[Any] = select(*desk_clips.COLUMNS, _RELATION)


def parents(conn: Connection, job: Job, reader: str) -> tuple[Kin, ...]:
    """What a job came of, the nearest first, each with how the one before came of it."""
    found: list[Kin] = []
    above, relation = job.parent, job.request.relation
    tenant = job.request.requester.tenant
    while above is not None and len(found) < MOST_PARENTS:
        which = (jobs.c.id == above, jobs.c.tenant.concat("") == tenant)
        row = conn.execute(_KIN.where(*which)).one_or_none()
        if row is None:
            break
        found.append(_to_kin(row, reader, relation))
        above, relation = row.parent, row.relation
    return tuple(found)


def children(conn: Connection, job: Job, reader: str) -> tuple[Kin, ...]:
    """What was made of a job, the oldest first."""
    return _kin(conn, reader, jobs.c.parent == job.id, job)


def shots(conn: Connection, job: Job, reader: str) -> tuple[Kin, ...]:
    """The shots of a film, with those that were made again; nothing of another job."""
    which = (jobs.c.story == job.id) & (jobs.c.id != job.id)
    return _kin(conn, reader, which, job) if job.is_film else ()


def _kin(conn: Connection, reader: str, which: ColumnElement[bool], job: Job) -> tuple[Kin, ...]:
    is_there = jobs.c.tenant.concat("") == job.request.requester.tenant
    rows = conn.execute(
        _KIN.where(which, is_there)
        .order_by(jobs.c.shot, jobs.c.created_at, jobs.c.id)
        .limit(MOST_CHILDREN)
    )
    return tuple(_to_kin(row, reader, row.relation) for row in rows)


def _to_kin(row: Row[Any], reader: str, relation: Relation | None) -> Kin:
    line = desk_clips.to_line(row, reader)
    return Kin(
        job_id=line.job_id,
        state=line.state,
        prompt=line.prompt,
        relation=relation,
        shot=line.shot,
        is_hidden=line.is_hidden,
    )
