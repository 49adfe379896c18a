"""Money: holds, settlements and releases, what they add up to, and what must always be true.

Entries are only ever added. `jobs.cost` repeats what a job counts now, in the same transaction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from bot import quota
from bot.config import LimitsTable, micros
from bot.errors import QuotaExceeded
from bot.job import MOVES, OPEN, TERMINAL, Failure, Job, JobState, Plan
from bot.overview import UsageReport, UsageRow
from bot.refs import JobId, Micros, money
from bot.request import Requester
from bot.store import jobs as job_rows
from bot.store import settings
from bot.store.database import Tx
from bot.store.schema import jobs, ledger_entries

#: Why a request ended before it was accepted: refused, or a fault of ours. Its person was told.
REFUSED, NOT_PREPARED = "refused", "not_prepared"
#: The same, found after a restart, when nobody waited for an answer any more.
LATE_REFUSAL, LATE_FAULT = "late_refusal", "late_fault"
REFUSALS = (REFUSED, LATE_REFUSAL)
#: Whoever asked was told as they asked.
TOLD = (REFUSED, NOT_PREPARED)
#: Every clip, those of a film's shots too; a film is made of them and is none itself.
IS_CLIP = or_(jobs.c.story.is_(None), jobs.c.story != jobs.c.id)
#: What usage counts: clips, and films that came to nothing before they had shots.
IS_ASKED = or_(IS_CLIP, jobs.c.accepted_at.is_(None))
_OPEN = [state.value for state in OPEN]
_TERMINAL = [state.value for state in TERMINAL]
_INSERT = ledger_entries.insert()


def accept(tx: Tx, job: Job, plan: Plan, limits: LimitsTable, now: datetime) -> Job:
    """Hold the money and put the job in line, or raise `QuotaExceeded`; all or nothing."""
    check(tx, job, plan.hold, limits, now)
    return hold(tx, job, plan, now)


def check(
    tx: Tx, job: Job, asked: Micros, limits: LimitsTable, now: datetime, *, clips: int = 1
) -> None:
    """Raise `QuotaExceeded` unless so much may be held for so many clips; nothing is held yet."""
    counted = used(tx.conn, job, limits, now)
    is_guest = job.request.requester.is_guest
    quota.check(limits, counted, asked, now, is_guest=is_guest, clips=clips)
    _note_budgets(tx, job, counted, asked, limits, now)


def hold(tx: Tx, job: Job, plan: Plan, now: datetime, **columns: Any) -> Job:
    """Hold the money of a job that was checked, and put it in line."""
    values = {
        "plan": plan,
        "provider": plan.provider,
        "model": plan.work.model,
        "prompt": plan.work.prompt,
        "cost": plan.hold,
        "is_test": plan.price.is_test,
        "list_price": plan.price.micros,
        "accepted_at": now,
        "next_at": None,
    }
    accepted = job_rows.move(
        tx,
        job,
        JobState.ACCEPTED,
        now,
        **{**values, **columns},
    )
    tx.conn.execute(
        _INSERT, {"job_id": job.id, "kind": "hold", "micros": plan.hold, "at": now, "closes": None}
    )
    return accepted


def end(
    tx: Tx, job: Job, to: JobState, now: datetime, *, charged: Micros | None, **columns: Any
) -> Job:
    """End a job: settle `charged` (at most its hold), or release the hold where it is None."""
    hold = job.plan.hold if job.plan is not None and job.accepted_at is not None else None
    cost = Micros(min(charged or 0, hold or 0))
    # The guarded move first: a job that has ended meanwhile is `Stale`, not a second entry.
    ended = job_rows.move(
        tx, job, to, now, cost=cost, ended_at=now, next_at=None, parked_at=None, **columns
    )
    if hold is not None:
        kind = "release" if charged is None else "settle"
        amount = hold if charged is None else cost
        tx.conn.execute(
            _INSERT,
            {"job_id": job.id, "kind": kind, "micros": amount, "at": now, "closes": job.id},
        )
    if job.film is not None:
        _wake_film(tx, job.film, now)
    return ended


def _wake_film(tx: Tx, film_id: JobId, now: datetime) -> None:
    """One of its shots has ended, so that the film goes on; written in the same breath."""
    film = job_rows.get(tx.conn, film_id)
    if film.state is JobState.GENERATING:
        job_rows.change(tx, film, next_at=now)


def fail(tx: Tx, job: Job, now: datetime, failure: Failure, **columns: Any) -> Job:
    """End a job without a clip and give its hold back."""
    return end(tx, job, JobState.FAILED, now, charged=None, failure=failure, **columns)


def _note_budgets(
    tx: Tx, job: Job, before: quota.Used, hold: Micros, limits: LimitsTable, now: datetime
) -> None:
    tenant = job.request.requester.tenant
    for scope, used_before, dollars in (
        ("everyone", before.total_month, limits.usd_total_per_month),
        (tenant, before.tenant_month, limits.usd_per_tenant_per_month),
    ):
        allowed = None if dollars is None else micros(dollars)
        share = quota.crossed(used_before, used_before + hold, allowed)
        if share is not None and allowed is not None:
            month = quota.windows(now, limits.timezone).month_start
            settings.note_operator(
                tx,
                f"budget:{scope}:{month:%Y-%m-%d}:{share}",
                f"{share} % of the month's budget of {money(allowed)} for {scope} is used "
                f"or held ({money(used_before + hold)}).",
                now,
            )


def note_refusal(tx: Tx, refused: QuotaExceeded, limits: LimitsTable, now: datetime) -> None:
    """Tell the operator once a month that a month's budget has no room for a request."""
    month = quota.windows(now, limits.timezone)
    if refused.resets_at == month.month_end:
        key = f"budget:full:{month.month_start:%Y-%m-%d}"
        settings.note_operator(tx, key, f"A request was refused. {refused.sentence}", now)


# ---- what was used ---------------------------------------------------------------------------


def used(conn: Connection, job: Job, limits: LimitsTable, now: datetime) -> quota.Used:
    """What counts against this job's person, channel and tenant; only limits that are set."""
    requester = job.request.requester
    channel = f"{requester.tenant}:{job.request.thread.channel}"
    own = quota.limits_of(limits, is_guest=requester.is_guest)
    return used_by(conn, requester.person, channel, requester.tenant, own, now)


def used_by(
    conn: Connection,
    person: str,
    channel: str,
    tenant: str,
    limits: LimitsTable,
    now: datetime,
) -> quota.Used:
    """The same by keys."""
    span = quota.windows(now, limits.timezone)
    day, month = span.day_start, span.month_start
    is_own, is_open = jobs.c.person == person, jobs.c.state.in_(_OPEN)
    counts = or_(jobs.c.state.in_([*_OPEN, JobState.DELIVERED.value]), jobs.c.cost > 0)
    is_on = jobs.c.waits_for.is_(None)
    is_accepted, today = jobs.c.accepted_at.is_not(None), jobs.c.accepted_at >= day
    return quota.Used(
        running=_count(
            conn, limits.running_per_person, is_own, is_accepted, is_open, IS_CLIP, is_on
        ),
        clips_today=_count(conn, limits.clips_per_person_per_day, is_own, today, counts, IS_CLIP),
        person_today=_cost(conn, limits.usd_per_person_per_day, day, is_own),
        channel_today=_cost(conn, limits.usd_per_channel_per_day, day, jobs.c.channel == channel),
        tenant_month=_cost(conn, limits.usd_per_tenant_per_month, month, jobs.c.tenant == tenant),
        total_month=_cost(conn, limits.usd_total_per_month, month),
    )


def _cost(
    conn: Connection, limit: float | None, start: datetime, *where: ColumnElement[bool]
) -> Micros:
    """Money held and settled since `start`; not asked for where there is no limit."""
    if limit is None:
        return Micros(0)
    query = select(func.coalesce(func.sum(jobs.c.cost), 0))
    return Micros(conn.execute(query.where(jobs.c.accepted_at >= start, *where)).scalar_one())


def _count(conn: Connection, limit: int | None, *where: ColumnElement[bool]) -> int:
    """How many jobs; not asked for where there is no limit."""
    if limit is None:
        return 0
    return int(conn.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one())


def usage(
    conn: Connection, start: datetime, end_: datetime, *, person: str | None = None
) -> list[UsageRow]:
    """Usage between two times, a row per person; label is the person's key."""
    is_delivered = jobs.c.state == JobState.DELIVERED.value
    is_refused = func.json_extract(jobs.c.failure, "$.code").in_(REFUSALS)
    is_failed = jobs.c.state == JobState.FAILED.value
    rows = conn.execute(
        select(
            jobs.c.person,
            func.count().label("asked"),
            func.sum(case((is_delivered, 1), else_=0)).label("delivered"),
            func.sum(case((and_(is_failed, is_refused), 1), else_=0)).label("refused"),
            func.sum(case((is_failed, 1), else_=0)).label("ended"),
            func.sum(case((is_delivered, jobs.c.seconds), else_=0.0)).label("seconds"),
            func.sum(case((jobs.c.state.in_(_TERMINAL), jobs.c.cost), else_=0)).label("charged"),
        )
        .where(
            jobs.c.created_at >= start,
            jobs.c.created_at < end_,
            IS_ASKED,
            *([jobs.c.person == person] if person else []),
        )
        .group_by(jobs.c.person)
        .order_by(jobs.c.person)
    )
    return [
        UsageRow(
            label=row.person,
            asked=row.asked,
            delivered=row.delivered,
            refused=row.refused,
            failed=row.ended - row.refused,
            seconds=float(row.seconds),
            charged=Micros(row.charged),
        )
        for row in rows
    ]


def report(
    conn: Connection, requester: Requester, channel: str, limits: LimitsTable, now: datetime
) -> UsageReport:
    """What a person used today and this month, and what is left of each limit."""
    person, tenant = requester.person, requester.tenant
    span = quota.windows(now, limits.timezone)
    own = quota.limits_of(limits, is_guest=requester.is_guest)
    counted = used_by(conn, person, f"{tenant}:{channel}", tenant, own, now)
    clips, worth = test_use(conn, person, span.month_start)
    today = usage(conn, span.day_start, span.day_end, person=person)
    month = usage(conn, span.month_start, span.month_end, person=person)
    return UsageReport(
        today=_labelled("today", today),
        month=_labelled("this month", month),
        allowances=tuple(
            each for each in quota.allowances(own, counted, now) if each.allowed is not None
        ),
        test_clips=clips,
        test_micros=worth,
    )


def _labelled(label: str, rows: list[UsageRow]) -> UsageRow:
    nothing = UsageRow(
        label=label, asked=0, delivered=0, refused=0, failed=0, seconds=0.0, charged=Micros(0)
    )
    return replace(rows[0], label=label) if rows else nothing


def test_use(conn: Connection, person: str, start: datetime) -> tuple[int, Micros]:
    """How many test clips a person got since `start`, and what they would have cost."""
    row = conn.execute(
        select(func.count(), func.coalesce(func.sum(jobs.c.list_price), 0)).where(
            jobs.c.person == person,
            jobs.c.is_test,
            jobs.c.state == JobState.DELIVERED.value,
            jobs.c.created_at >= start,
        )
    ).one()
    return int(row[0]), Micros(row[1])


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
    "an ended job with a hold is settled or released once, an open one never": f"""
        SELECT jobs.id FROM jobs JOIN ledger_entries AS hold
        ON hold.job_id = jobs.id AND hold.kind = 'hold'
        WHERE (SELECT count(*) FROM ledger_entries WHERE closes = jobs.id)
        != (CASE WHEN jobs.state IN {_ENDED} THEN 1 ELSE 0 END)""",
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
