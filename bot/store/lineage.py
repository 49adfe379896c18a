"""Where a clip comes from, and what came of it. Nothing is named that its reader may not see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from bot.job import DELETED, DELICATE, Job, JobState
from bot.notices import Parent
from bot.overview import Relative
from bot.refs import JobId, MessageRef
from bot.request import GenerationRequest, Requester
from bot.store import jobs as rows
from bot.store.schema import jobs

#: Maximum of earlier and later jobs that are shown.
MOST_PARENTS, MOST_CHILDREN = 10, 20
#: A second press of the same button so soon is a slip of the finger.
PRESSED_TWICE = timedelta(seconds=2)
#: What a process left is carried out no later than that, and some time for it.
CARRIED_OUT_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A job's forebears, the nearest first, and what was made of it, the oldest first."""

    parents: tuple[Relative, ...]
    children: tuple[Relative, ...]


def parent(conn: Connection, job: Job) -> Parent | None:
    """The job that this one came of, for whoever reads of this one."""
    found = _above(conn, job)
    if found is None or not _may_name(found, job, job.request.requester):
        return None
    return Parent(job_id=found.id, relation=job.request.relation, message=stands_at(found))


def family(conn: Connection, job: Job, reader: Requester) -> Family:
    """All of a job's relatives that somebody may read of who reads of it."""
    parents: list[Relative] = []
    at: Job | None = job
    while at is not None and len(parents) < MOST_PARENTS:
        above = _above(conn, at)
        if above is None or not _may_name(above, job, reader):
            break
        parents.append(_to_relative(above, at, reader))
        at = above
    found = conn.execute(
        select(jobs)
        .where(jobs.c.parent == job.id)
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(MOST_CHILDREN)
    )
    children = (rows.to_job(row) for row in found)
    return Family(
        parents=tuple(parents),
        children=tuple(_to_relative(e, e, reader) for e in children if _may_name(e, job, reader)),
    )


def retries(conn: Connection, job_id: JobId) -> list[Job]:
    """The jobs that ask for the very same as this one once more."""
    found = conn.execute(select(jobs).where(jobs.c.parent == job_id))
    every = (rows.to_job(row) for row in found)
    return [each for each in every if each.request.relation == "retry"]


def pressed_before(
    conn: Connection, request: GenerationRequest, heard_at: datetime, now: datetime
) -> Job | None:
    """The job for which its person asked the very same of the same clip a moment before or after.

    Each press of a button has a key of its own, so that the key alone would buy both. What a
    process left may be carried out minutes later; then the times count that the platform tells.
    """
    found = conn.execute(
        select(jobs)
        .where(
            jobs.c.parent == request.parent,
            jobs.c.person == request.requester.person,
            jobs.c.created_at.between(now - CARRIED_OUT_WITHIN, now + PRESSED_TWICE),
            jobs.c.state.not_in((JobState.FAILED, JobState.CANCELLED)),
        )
        .order_by(jobs.c.created_at, jobs.c.id)
    )
    asked = _asked(request)
    alike = (job for job in map(rows.to_job, found) if _asked(job.request) == asked)
    return next((job for job in alike if _is_pressed_twice(job, request, heard_at)), None)


def _is_pressed_twice(job: Job, request: GenerationRequest, heard_at: datetime) -> bool:
    first, second = job.request.asked_at, request.asked_at
    if first is not None and second is not None:
        return abs(second - first) <= PRESSED_TWICE
    return job.created_at >= heard_at - PRESSED_TWICE


def keys_of(dedupe_key: str, count: int) -> list[str]:
    """The keys of so many jobs that are asked for at once; the first is that of asking."""
    return [dedupe_key, *(f"{dedupe_key}#{number}" for number in range(2, count + 1))]


def batch(conn: Connection, job: Job) -> list[Job]:
    """A job with those that were asked for at once with it."""
    if not job.request.batch:
        return [job]
    keys = keys_of(job.request.batch, job.request.batch_size)
    found = conn.execute(select(jobs).where(jobs.c.dedupe_key.in_(keys)))
    every = {each.request.dedupe_key: each for each in map(rows.to_job, found)}
    return [every[key] for key in keys if key in every]


def stands_at(job: Job) -> MessageRef | None:
    """The message with its clip, unless that was deleted."""
    return None if job.failure is not None and job.failure.code == DELETED else job.message


def _asked(request: GenerationRequest) -> tuple[object, ...]:
    # Where it is answered in private, each press has a thread of its own.
    place = request.thread.channel, request.is_private
    return request.relation, request.work, request.batch_size, place


def _above(conn: Connection, job: Job) -> Job | None:
    return rows.get_or_none(conn, job.parent) if job.parent is not None else None


def _may_name(relative: Job, job: Job, reader: Requester) -> bool:
    # Others may read along where a job is shown that is not private.
    is_hidden = relative.request.is_private and not job.request.is_private
    return relative.request.is_seen_by(reader) and not is_hidden


def _to_relative(job: Job, younger: Job, reader: Requester) -> Relative:
    code = job.failure.code if job.failure is not None else ""
    is_deleted, is_own = code == DELETED, job.request.requester.person == reader.person
    # Of what was not let pass nobody else reads what it was.
    is_veiled = code in DELICATE and not is_own
    return Relative(
        job_id=job.id,
        relation=younger.request.relation,
        state="deleted" if is_deleted else job.state,
        prompt="" if is_veiled else job.work.prompt,
        message=stands_at(job),
    )
