"""What must always be true of the rows, which files they name, and what was paid for no job."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, or_, select, text, union

from bot.job import MOVES, TERMINAL
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


# ---- what must always be true ----------------------------------------------------------------

_LEGAL = " OR ".join(
    f"(from_state = '{before}' AND to_state = '{after}')"
    for before, afters in MOVES.items()
    for after in sorted(afters)
)
_ENDED = "('delivered', 'failed', 'cancelled')"
INVARIANTS = {
    "every accepted job has a hold": """
        SELECT id FROM jobs WHERE accepted_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM ledger_entries WHERE job_id = jobs.id AND kind = 'hold')""",
    "a job with a hold is settled or released once: at its end, or before it was reviewed": f"""
        SELECT jobs.id FROM jobs JOIN ledger_entries AS hold
        ON hold.job_id = jobs.id AND hold.kind = 'hold'
        WHERE (SELECT count(*) FROM ledger_entries WHERE closes = jobs.id)
        != (CASE WHEN jobs.state IN {_ENDED} OR EXISTS (SELECT 1 FROM job_events
        WHERE job_id = jobs.id AND to_state = 'reviewing') THEN 1 ELSE 0 END)""",
    "a job's cost is what its entries say": """
        SELECT id FROM jobs WHERE cost != coalesce(
        (SELECT CASE kind WHEN 'settle' THEN micros ELSE 0 END
         FROM ledger_entries WHERE closes = jobs.id),
        (SELECT micros FROM ledger_entries WHERE job_id = jobs.id AND kind = 'hold'), 0)""",
    "nothing is settled above its hold": """
        SELECT settle.job_id FROM ledger_entries AS settle JOIN ledger_entries AS hold
        ON hold.job_id = settle.job_id AND hold.kind = 'hold'
        WHERE settle.kind = 'settle' AND settle.micros > hold.micros""",
    "nothing is charged without a generation": """
        SELECT id FROM jobs WHERE cost > 0 AND generation_id IS NULL AND failure IS NULL
        AND EXISTS (SELECT 1 FROM ledger_entries WHERE closes = jobs.id AND kind = 'settle')""",
    "a generation belongs to one job": """
        SELECT min(job_id) FROM attempts WHERE generation_id IS NOT NULL
        GROUP BY provider, generation_id HAVING count(DISTINCT job_id) > 1""",
    "a delivered job names its message": """
        SELECT id FROM jobs WHERE state = 'delivered' AND message IS NULL
        AND (story IS NULL OR story = id)""",
    "the timeline ends in the job's state": """
        SELECT id FROM jobs WHERE state != (SELECT to_state FROM job_events
        WHERE job_id = jobs.id ORDER BY version DESC LIMIT 1)""",
    "every move was a legal one": f"""
        SELECT DISTINCT job_id FROM job_events WHERE from_state IS NOT NULL AND NOT ({_LEGAL})""",
    "a grant is of money and ends after it began": """
        SELECT person FROM grants WHERE micros <= 0 OR until <= at""",
    "versions only grow": """
        SELECT DISTINCT later.job_id FROM job_events AS later JOIN job_events AS earlier
        ON earlier.job_id = later.job_id AND earlier.id < later.id
        WHERE earlier.version >= later.version""",
}


def broken_invariants(conn: Connection) -> dict[str, list[str]]:
    """Each rule that does not hold, with the jobs that break it; empty when all is right."""
    found = {
        rule: [str(row[0]) for row in conn.execute(text(query))]
        for rule, query in INVARIANTS.items()
    }
    return {rule: ids for rule, ids in found.items() if ids}
