"""What the figures page shows of the rows: jobs by state, money, and how long jobs took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bot.job import OPEN, JobState
from bot.refs import JobId, Micros
from bot.store.portable import total
from bot.store.schema import job_events, jobs, ledger_entries

_closing = ledger_entries.alias("closing")
_HELD = (
    select(total(ledger_entries.c.micros))
    .outerjoin(_closing, _closing.c.closes == ledger_entries.c.job_id)
    .where(ledger_entries.c.kind == "hold", _closing.c.id.is_(None))
)
_CHARGED = (
    select(jobs.c.provider, jobs.c.model, total(ledger_entries.c.micros))
    .select_from(ledger_entries.join(jobs, jobs.c.id == ledger_entries.c.job_id))
    .where(ledger_entries.c.kind == "settle", jobs.c.provider.is_not(None))
    .group_by(jobs.c.provider, jobs.c.model)
)
#: A person is asked something before their job is accepted.
_IS_QUESTION = (jobs.c.state == JobState.RECEIVED) & jobs.c.plan.is_not(None)
#: A job's parts: from which state to which, and through which it must not have gone.
PARTS = {
    "wait": (JobState.ACCEPTED, JobState.SUBMITTING, None),
    "make": (JobState.SUBMITTING, JobState.FETCHING, None),
    "deliver": (JobState.FETCHING, JobState.DELIVERED, JobState.REVIEWING),
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One look at all jobs. `charged` is by provider and model.

    `oldest_open` counts from when money was held, and leaves out questions about a price.
    """

    by_state: dict[str, int]
    parked: int
    oldest_open: datetime | None
    held: Micros
    charged: dict[tuple[str, str], Micros]


def read(conn: Connection) -> Figures:
    """Count everything once; a few milliseconds at ten thousand jobs."""
    states = conn.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    is_open = jobs.c.state.in_(OPEN)
    parked = select(func.count()).select_from(jobs).where(jobs.c.parked_at.is_not(None))
    charged = conn.execute(_CHARGED)
    is_ours = is_open & ~_IS_QUESTION
    begun = func.coalesce(jobs.c.accepted_at, jobs.c.created_at)
    return Figures(
        by_state={row[0]: row[1] for row in states},
        parked=conn.execute(parked).scalar_one(),
        oldest_open=conn.execute(select(func.min(begun)).where(is_ours)).scalar_one(),
        held=Micros(conn.execute(_HELD).scalar_one()),
        charged={(row[0], row[1]): Micros(row[2]) for row in charged},
    )


def last_event(conn: Connection, until: datetime | None = None) -> int:
    """The newest move of any job, or the newest until a time; 0 where there is none."""
    newest = select(job_events.c.id).order_by(job_events.c.id.desc()).limit(1)
    if until is not None:
        newest = newest.where(job_events.c.at <= until)
    return conn.execute(newest).scalar() or 0


def asking(conn: Connection) -> set[tuple[JobId, int]]:
    """The jobs that wait for an answer of their person's, with their versions."""
    found = conn.execute(select(jobs.c.id, jobs.c.version).where(_IS_QUESTION))
    return {(JobId(row.id), row.version) for row in found}


def spans(conn: Connection, after: int, last: int) -> list[tuple[str, float]]:
    """The parts of all jobs delivered by moves after the one up to the other, with seconds."""
    is_delivered = job_events.c.to_state == JobState.DELIVERED
    is_new = (job_events.c.id > after) & (job_events.c.id <= last) & is_delivered
    delivered = select(job_events.c.job_id).where(is_new)
    rows = conn.execute(
        select(job_events.c.job_id, job_events.c.to_state, job_events.c.at)
        .where(job_events.c.job_id.in_(delivered))
        .order_by(job_events.c.id)
    )
    times: dict[JobId, dict[str, datetime]] = {}
    for row in rows:
        times.setdefault(JobId(row.job_id), {})[row.to_state] = row.at
    return [
        (part, max(0.0, (each[until] - each[since]).total_seconds()))
        for each in times.values()
        for part, (since, until, around) in PARTS.items()
        if since in each and until in each and around not in each
    ]
