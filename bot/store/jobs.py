"""The rows of `jobs` and their timeline: the one truth about what is asked and where it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, Unpack

from pydantic import ValidationError
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from bot.errors import JobNotFound, Stale, StoreError
from bot.job import AT_PROVIDER, MOVES, OPEN, Clip, Failure, Job, JobState, Plan
from bot.queue import Waiting
from bot.refs import Frozen, GenerationId, JobId, MessageRef, Micros, new_job_id
from bot.request import GenerationRequest, without_words
from bot.store import timeline
from bot.store.columns import Counts, JobColumns
from bot.store.portable import insert as insert_into
from bot.store.schema import HAS_WORDS, attempts, jobs
from bot.store.transaction import Tx

PAGE = 20
#: A request that is not accepted by then is given up; nothing is held for it.
PREPARE_WITHIN = timedelta(hours=1)
#: What starts anew with every move.
FRESH: Counts = {"crashes": 0, "tries": 0, "broken": 0, "faults": 0}
#: What a person asked for as one thing: not the shots of a film.
IS_WHOLE = or_(jobs.c.story.is_(None), jobs.c.story == jobs.c.id)
#: What waits for a free slot of its provider.
IS_IN_LINE = and_(
    jobs.c.state == JobState.ACCEPTED,
    jobs.c.admitted_at.is_(None),
    jobs.c.parked_at.is_(None),
    jobs.c.waits_for.is_(None),
)
#: What has one of them, whether or not its provider has heard of it yet.
HAS_SLOT = or_(
    and_(jobs.c.state == JobState.ACCEPTED, jobs.c.admitted_at.is_not(None)),
    jobs.c.state.in_(AT_PROVIDER),
)
M = TypeVar("M", bound=Frozen)
#: What a job has of its row.
_FIELDS = frozenset(each.name for each in fields(Job))

# What every step runs is built once: building a statement costs more than running it.
_BY_ID = select(jobs).where(jobs.c.id == bindparam("job_id"))
_STATE = select(jobs.c.state).where(jobs.c.id == bindparam("job_id"))
_BY_DEDUPE_KEY = select(jobs).where(jobs.c.dedupe_key == bindparam("key"))
_INSERT = insert_into(jobs).on_conflict_do_nothing().returning(jobs)
_UPDATE = update(jobs).where(
    jobs.c.id == bindparam("job_id"),
    jobs.c.state.concat("") == bindparam("was_state"),  # So that no index of states is used.
    jobs.c.version == bindparam("was_version"),
)


def insert(
    tx: Tx,
    request: GenerationRequest,
    now: datetime,
    /,
    *,
    state: JobState = JobState.RECEIVED,
    **columns: Unpack[JobColumns],
) -> tuple[Job, bool]:
    """The job of this request and whether it is new; a redelivered request finds the first one.

    With the `state` and columns of an accepted one it is received and accepted in one moment.
    """
    job_id = new_job_id(now)
    values = {
        "dedupe_key": request.dedupe_key,
        "state": state,
        "version": 1 if state is JobState.RECEIVED else 2,
        "adapter": request.requester.adapter,
        "tenant": request.requester.tenant,
        "channel": f"{request.requester.tenant}:{request.thread.channel}",
        "person": request.requester.person,
        "prompt": request.work.prompt,
        "request": request,
        "model": request.work.model,
        "created_at": now,
        "next_at": now + PREPARE_WITHIN,
        "parent": request.parent,
        **columns,
    }
    values = {name: _json(value) for name, value in values.items()}
    while (row := _insert(tx, job_id, values, is_film=request.work.kind == "story")) is None:
        first = by_dedupe_key(tx.conn, request.dedupe_key)
        if first is not None:
            return first, False
        job_id = new_job_id(now)  # Another job has this id.
    timeline.append(tx, job_id, now, None, JobState.RECEIVED, 1)
    if state is not JobState.RECEIVED:
        timeline.append(tx, job_id, now, JobState.RECEIVED, state, 2)
    return to_job(row), True


def _insert(tx: Tx, job_id: JobId, values: dict[str, Any], *, is_film: bool) -> Row[Any] | None:
    own = {"story": job_id} if is_film else {}
    return tx.conn.execute(_INSERT, {"id": job_id, **values, **own}).one_or_none()


def get(conn: Connection, job_id: JobId) -> Job:
    """One job; raises `JobNotFound`."""
    if (job := get_or_none(conn, job_id)) is None:
        raise JobNotFound(f"There is no job {job_id}.")
    return job


def get_or_none(conn: Connection, job_id: JobId) -> Job | None:
    """One job, or None."""
    row = conn.execute(_BY_ID, {"job_id": job_id}).one_or_none()
    return to_job(row) if row is not None else None


def stands(conn: Connection, job: Job) -> bool:
    """Whether a job is still in the state that is known of it."""
    return conn.execute(_STATE, {"job_id": job.id}).scalar() == job.state


def by_dedupe_key(conn: Connection, key: str) -> Job | None:
    """The job that a request with this key started."""
    row = conn.execute(_BY_DEDUPE_KEY, {"key": key}).one_or_none()
    return to_job(row) if row is not None else None


def move(tx: Tx, job: Job, to: JobState, now: datetime, **columns: Unpack[JobColumns]) -> Job:
    """Move a job on, once: raises `Stale` where its state or version is no longer `job`'s."""
    if to not in MOVES[job.state]:
        raise Stale(f"{job.id} cannot go from {job.state} to {to}.")
    moved = _write(tx, job, {"state": to, **FRESH, **columns})
    timeline.append(tx, job.id, now, job.state, to, moved.version, moved.generation_id)
    return moved


def change(tx: Tx, job: Job, **columns: Unpack[JobColumns]) -> Job:
    """Write columns without a move; raises `Stale` like `move`."""
    return _write(tx, job, columns)


def _write(tx: Tx, job: Job, columns: Mapping[str, object]) -> Job:
    values = {name: _json(value) for name, value in columns.items()}
    guard = {"job_id": job.id, "was_state": job.state, "was_version": job.version}
    version = job.version + 1
    try:
        written = tx.conn.execute(_UPDATE, {**values, "version": version, **guard})
    except IntegrityError as error:
        if "generation_id" not in columns:
            raise
        raise Stale(f"{job.id}: this generation belongs to another job.") from error
    if written.rowcount == 0:
        raise Stale
    # What was guarded is known, so its many columns need not be read again.
    known: dict[str, Any] = {name: columns[name] for name in _FIELDS & columns.keys()}
    return replace(job, **known, version=version)


# ---- what is due, waiting and running --------------------------------------------------------


def due_times(conn: Connection) -> list[tuple[JobId, datetime]]:
    """Every open, unparked job that has a time to be advanced at."""
    rows = conn.execute(
        select(jobs.c.id, jobs.c.next_at).where(
            jobs.c.state.in_(OPEN), jobs.c.next_at.is_not(None), jobs.c.parked_at.is_(None)
        )
    )
    return [(JobId(row.id), row.next_at) for row in rows]


def open_ids(conn: Connection, *states: JobState) -> list[JobId]:
    """The open jobs in these states (all when none is named), oldest first."""
    wanted = states or tuple(OPEN)
    rows = conn.execute(
        select(jobs.c.id).where(jobs.c.state.in_(wanted)).order_by(jobs.c.created_at)
    )
    return [JobId(row.id) for row in rows]


def worth_showing(conn: Connection, since: datetime) -> list[JobId]:
    """Jobs whose status message may be out of date: open ones, then those ended since a time."""
    wanted = select(jobs.c.id).where(or_(jobs.c.state.in_(OPEN), jobs.c.ended_at >= since))
    rows = conn.execute(wanted.order_by(jobs.c.ended_at.is_not(None)))
    return [JobId(row.id) for row in rows]


def _is_waiting(provider: str) -> ColumnElement[bool]:
    return and_(jobs.c.provider == provider, IS_IN_LINE)


def waiting(
    conn: Connection,
    provider: str,
    now: datetime,
    *,
    slots: int,
    busy: int,
    served: Collection[str] = (),
    unless: ColumnElement[bool] | None = None,
) -> list[Waiting]:
    """Waiting jobs that may go now: enough to fill `slots` fairly where `busy` people run some.

    Of each person the oldest come first, and before those of people who were `served` lately;
    whoever is cut off would not be chosen anyway. `unless` leaves others out.
    """
    oldest = (jobs.c.accepted_at, jobs.c.id)
    rank = func.row_number().over(partition_by=jobs.c.person, order_by=oldest).label("rank")
    ready = or_(jobs.c.next_at.is_(None), jobs.c.next_at <= now)
    ranked = (
        select(jobs.c.id, jobs.c.person, jobs.c.accepted_at, rank)
        .where(_is_waiting(provider), ready, true() if unless is None else not_(unless))
        .subquery()
    )
    rows = conn.execute(
        select(ranked)
        .where(ranked.c.rank <= slots)
        .order_by(ranked.c.rank, ranked.c.person.in_(served), ranked.c.accepted_at, ranked.c.id)
        .limit(slots * (busy + 1) + len(served))
    )
    return _in_line(sorted(rows, key=lambda row: (row.accepted_at, row.id)))


def line(
    conn: Connection,
    provider: str,
    limit: int | None = None,
    *,
    unless: ColumnElement[bool] | None = None,
) -> list[Waiting]:
    """Waiting jobs, oldest first, whether or not they may go now; `unless` leaves some out."""
    rows = conn.execute(
        select(jobs.c.id, jobs.c.person)
        .where(_is_waiting(provider), true() if unless is None else not_(unless))
        .order_by(jobs.c.accepted_at, jobs.c.id)
        .limit(limit)
    )
    return _in_line(rows)


def _in_line(rows: Iterable[Any]) -> list[Waiting]:
    every = enumerate(rows)
    return [Waiting(job_id=JobId(row.id), person=row.person, seq=seq) for seq, row in every]


def running(conn: Connection, provider: str, stale_before: datetime) -> dict[str, int]:
    """How many slots each person occupies; generations older than `stale_before` do not count."""
    fresh = or_(jobs.c.submitted_at.is_(None), jobs.c.submitted_at > stale_before)
    rows = conn.execute(
        select(jobs.c.person, func.count().label("jobs"))
        .where(jobs.c.provider == provider, HAS_SLOT, fresh)
        .group_by(jobs.c.person)
    )
    return {row.person: row.jobs for row in rows}


# ---- crashes ---------------------------------------------------------------------------------


def count_crashes(tx: Tx, now: datetime, park_at: int, *, only: JobId | None) -> list[JobId]:
    """After an unclean stop: blame jobs whose file or post was in hand; those it put aside."""
    which = [] if only is None else [jobs.c.id == only]
    in_hand = and_(jobs.c.state.in_([JobState.FETCHING, JobState.DELIVERING]), *which)
    tx.conn.execute(update(jobs).where(in_hand).values(crashes=jobs.c.crashes + 1))
    rows = tx.conn.execute(
        update(jobs)
        .where(in_hand, jobs.c.crashes >= park_at, jobs.c.parked_at.is_(None))
        .values(parked_at=now, version=jobs.c.version + 1)
        .returning(jobs.c.id)
    )
    return [JobId(row.id) for row in rows]


def unserved(conn: Connection, serving: Collection[str], draining: Collection[str]) -> list[Job]:
    """Open jobs of providers other than those that serve; of those draining only what waits."""
    rows = conn.execute(
        select(jobs).where(
            jobs.c.state.in_(OPEN),
            jobs.c.provider.is_not(None),
            jobs.c.provider.not_in(list(serving)),
            or_(jobs.c.state == JobState.ACCEPTED, jobs.c.provider.not_in(list(draining))),
        )
    )
    return [to_job(row) for row in rows]


def parked(conn: Connection) -> list[Job]:
    """The jobs that were put aside."""
    rows = conn.execute(select(jobs).where(jobs.c.parked_at.is_not(None)))
    return [to_job(row) for row in rows]


# ---- what a person lists ---------------------------------------------------------------------


def of_person(conn: Connection, person: str, *, search: str, page: int) -> Sequence[Job]:
    """One page of a person's own jobs, newest first, whose prompt contains `search`."""
    where = [jobs.c.person == person, IS_WHOLE, jobs.c.erased_at.is_(None)]
    if search:
        where.append(jobs.c.prompt.icontains(search, autoescape=True))
    rows = conn.execute(
        select(jobs)
        .where(*where)
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        .limit(PAGE)
        .offset(PAGE * (max(1, page) - 1))
    )
    return [to_job(row) for row in rows]


def open_of(conn: Connection, person: str) -> list[Job]:
    """A person's jobs that have not ended, oldest first."""
    rows = conn.execute(
        select(jobs)
        .where(jobs.c.person == person, jobs.c.state.in_(OPEN), IS_WHOLE)
        .order_by(jobs.c.created_at, jobs.c.id)
    )
    return [to_job(row) for row in rows]


def forget_prompts(tx: Tx, before: datetime) -> int:
    """Blank the prompts of jobs that ended before this time; returns how many."""
    rows = tx.conn.execute(
        select(jobs).where(jobs.c.ended_at < before, HAS_WORDS).limit(500)
    ).all()
    for row in rows:
        job = to_job(row)
        request = job.request.model_copy(update={"work": without_words(job.request.work)})
        bare = {"work": without_words(job.work), "others": (), "offered": None, "shots": ()}
        plan = job.plan and job.plan.model_copy(update=bare)
        change(tx, job, prompt="", request=request, plan=plan)
        tx.conn.execute(update(attempts).where(attempts.c.job_id == job.id).values(submission={}))
    return len(rows)


def to_job(row: Row[Any]) -> Job:
    """A row as a value; raises `StoreError` where another version wrote it."""
    try:
        return _to_job(row)
    except ValidationError as error:
        raise StoreError(f"{row.id} cannot be read; another version wrote it.") from error


def _to_job(row: Row[Any]) -> Job:
    return Job(
        id=JobId(row.id),
        state=JobState(row.state),
        version=row.version,
        request=GenerationRequest.model_validate(row.request),
        created_at=row.created_at,
        plan=_value(Plan, row.plan),
        attempt=row.attempt,
        tries=row.tries,
        broken=row.broken,
        faults=row.faults,
        next_at=row.next_at,
        accepted_at=row.accepted_at,
        admitted_at=row.admitted_at,
        submitted_at=row.submitted_at,
        completed_at=row.completed_at,
        ended_at=row.ended_at,
        generation_id=GenerationId(row.generation_id) if row.generation_id else None,
        clip_url=row.clip_url,
        clip=_value(Clip, row.clip),
        failure=_value(Failure, row.failure),
        provider_failure=_value(Failure, row.provider_failure),
        message=_value(MessageRef, row.message),
        cost=Micros(row.cost),
        crashes=row.crashes,
        parked_at=row.parked_at,
        cancel_requested=row.cancel_requested,
        retry_of=JobId(row.retry_of) if row.retry_of else None,
        parent=JobId(row.parent) if row.parent else None,
        story=JobId(row.story) if row.story else None,
        shot=row.shot,
        erased_at=row.erased_at,
    )


def _value(model: type[M], stored: Any) -> M | None:
    return model.model_validate(stored) if stored is not None else None


def _json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Frozen) else value
