"""Which clips people reported, once each, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from bot.notices import Outcome
from bot.refs import JobId
from bot.store.portable import insert_new
from bot.store.schema import jobs, reports
from bot.store.transaction import Tx


@dataclass(frozen=True, kw_only=True)
class Complaints:
    """What was said of one clip, and what was decided, by whom."""

    count: int = 0
    reasons: tuple[str, ...] = ()
    outcome: Outcome | None = None
    decided_by: str = ""


def note(tx: Tx, job_id: JobId, person: str, reason: str, now: datetime) -> bool:
    """Remember that a person reported a clip; False where they did before."""
    row = {"job_id": job_id, "person": person, "reason": reason, "at": now}
    return insert_new(tx, reports, row)


def of_job(conn: Connection, job_id: JobId) -> Complaints:
    """What was said of a clip, oldest first; a decision holds for all that is said later."""
    rows = conn.execute(
        select(reports).where(reports.c.job_id == job_id).order_by(reports.c.at)
    ).all()
    decided = next((row for row in rows if row.outcome is not None), None)
    return Complaints(
        count=len(rows),
        reasons=tuple(row.reason for row in rows if row.reason),
        outcome=decided.outcome if decided is not None else None,
        decided_by=decided.decided_by if decided is not None else "",
    )


def decide(tx: Tx, job_id: JobId, outcome: Outcome, *, by: str, now: datetime) -> None:
    """Remember what was decided about a clip."""
    tx.conn.execute(
        update(reports)
        .where(reports.c.job_id == job_id, reports.c.outcome.is_(None))
        .values(outcome=outcome, decided_by=by, decided_at=now)
    )


def reasons_by(conn: Connection, person: str) -> list[JobId]:
    """The clips of which a person said why they reported them."""
    is_theirs = (reports.c.person == person) & (reports.c.reason != "")
    found = conn.execute(select(reports.c.job_id).where(is_theirs)).scalars()
    return [JobId(each) for each in found]


def forget_reasons(tx: Tx, person: str) -> None:
    """Drop what a person said; that they reported it stays."""
    tx.conn.execute(update(reports).where(reports.c.person == person).values(reason=""))


def forget_said(tx: Tx, job_id: JobId) -> None:
    """Drop what was said of a job."""
    tx.conn.execute(update(reports).where(reports.c.job_id == job_id).values(reason=""))


def not_removed(conn: Connection) -> list[tuple[JobId, str]]:
    """Clips that are to be removed and still are kept, and who decided it."""
    rows = conn.execute(
        select(reports.c.job_id, reports.c.decided_by)
        .join(jobs, jobs.c.id == reports.c.job_id)
        .where(reports.c.outcome == "removed", jobs.c.clip.is_not(None))
        .distinct()
    )
    return [(JobId(row.job_id), row.decided_by) for row in rows]
