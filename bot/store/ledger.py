"""Money: holds, settlements and releases, what they add up to, and what must always be true.

Entries are only ever added. `jobs.cost` repeats what a job counts now, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import Connection, and_, bindparam, case, exists, func, or_, select

from bot import quota
from bot.errors import QuotaExceeded
from bot.job import DELICATE, TERMINAL, Failure, Job, JobState, Plan, Route
from bot.overview import UsageReport, UsageRow
from bot.refs import JobId, Micros, money
from bot.request import GenerationRequest, Requester
from bot.store import allowances, errands, settings
from bot.store import jobs as job_rows
from bot.store.columns import JobColumns
from bot.store.portable import total
from bot.store.schema import jobs, ledger_entries
from bot.store.transaction import Tx
from bot.tables import LimitsTable, micros

#: Why a request ended before it was accepted: refused, or a fault of ours. Its person was told.
REFUSED, NOT_PREPARED = "refused", "not_prepared"
#: A refusal or a fault found after a restart, when nobody waited for an answer any more.
LATE_REFUSAL, LATE_FAULT = "late_refusal", "late_fault"
REFUSALS = (REFUSED, LATE_REFUSAL)
#: Whoever asked was told as they asked.
TOLD = (REFUSED, NOT_PREPARED)
#: The budgets of a month whose end concerns more than one person.
OF_PLACE, OF_ALL = "usd_per_tenant_per_month", "usd_total_per_month"
SHARED = (OF_PLACE, OF_ALL)
#: What usage counts: clips, and films that came to nothing before they had shots.
IS_ASKED = or_(allowances.IS_CLIP, jobs.c.accepted_at.is_(None))
_INSERT = ledger_entries.insert()
_SETTLED = select(ledger_entries.c.job_id).where(ledger_entries.c.closes == bindparam("of_job"))
#: States in which a clip may be charged already: a moderator looks at it, or has.
_MAY_BE_PAID = (JobState.REVIEWING, JobState.DELIVERING)
_IS_PAID = jobs.c.state.in_(_MAY_BE_PAID) & exists().where(ledger_entries.c.closes == jobs.c.id)
#: What a job was charged so far: for its clip also before that is posted.
CHARGED = case((jobs.c.state.in_(TERMINAL) | _IS_PAID, jobs.c.cost), else_=0)


@dataclass(frozen=True, kw_only=True)
class Room:
    """What was found when there was room: whose limits, what counted for them, what was asked."""

    tenant: str
    limits: LimitsTable
    used: quota.Used
    asked: Micros


def accept(tx: Tx, job: Job, plan: Plan, limits: LimitsTable, now: datetime) -> Job:
    """Hold the money and put the job in line; all or nothing.

    Raises `QuotaExceeded`, or `NotAllowed` for a model or resolution. `limits` are the house's.
    """
    room = check(tx, job.request, (plan, *plan.others), plan.hold, limits, now)
    accepted = hold(tx, job, plan, now)
    note_budgets(tx, room, now)
    return accepted


def start(
    tx: Tx,
    request: GenerationRequest,
    plan: Plan,
    limits: LimitsTable,
    now: datetime,
    *,
    retry_of: JobId | None,
) -> tuple[Job, bool]:
    """Insert a job that is accepted already, and whether it is new; raises as `accept` does."""
    room = check(tx, request, (plan, *plan.others), plan.hold, limits, now)
    values: JobColumns = {**_accepted(plan, now), "retry_of": retry_of}
    job, is_new = job_rows.insert(tx, request, now, state=JobState.ACCEPTED, **values)
    if is_new:
        _enter_hold(tx, job, plan, now)
        note_budgets(tx, room, now)
    return job, is_new


def check(
    tx: Tx,
    request: GenerationRequest,
    ways: Sequence[Route],
    asked: Micros,
    limits: LimitsTable,
    now: datetime,
    *,
    clips: int = 1,
) -> Room:
    """Raise as `accept` does unless so much may be held for so many clips; nothing is held yet."""
    requester, channel = request.requester, request.thread.channel
    own, counted = allowances.holding(tx.conn, requester, channel, limits, now)
    for way in ways:
        quota.check_work(own, way.work)
    quota.check(own, counted, asked, now, is_guest=requester.is_guest, clips=clips)
    return Room(tenant=requester.tenant, limits=own, used=counted, asked=asked)


def hold(tx: Tx, job: Job, plan: Plan, now: datetime, /, **columns: Unpack[JobColumns]) -> Job:
    """Hold the money of a job that was checked, and put it in line."""
    values: JobColumns = {**_accepted(plan, now), **columns}
    accepted = job_rows.move(tx, job, JobState.ACCEPTED, now, **values)
    _enter_hold(tx, accepted, plan, now)
    return accepted


def _accepted(plan: Plan, now: datetime) -> JobColumns:
    return {
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


def _enter_hold(tx: Tx, job: Job, plan: Plan, now: datetime) -> None:
    entry = {"job_id": job.id, "kind": "hold", "micros": plan.hold, "at": now, "closes": None}
    tx.put_off(_insert, entry)


def accept_all(tx: Tx, planned: Sequence[Job], limits: LimitsTable, now: datetime) -> list[Job]:
    """Hold for all of them, or raise `QuotaExceeded` that says for how many there is room."""
    accepted: list[Job] = []
    for job in planned:
        assert job.plan is not None
        try:
            accepted.append(accept(tx, job, job.plan, limits, now))
        except QuotaExceeded as full:
            if not accepted:
                raise
            room, asked = len(accepted), len(planned)
            raise QuotaExceeded(
                f"There is room for {room} of these {asked}, so none of them was started. "
                f"Ask for {room}.",
                resets_at=full.resets_at,
            ) from full
    return accepted


def end(
    tx: Tx,
    job: Job,
    to: JobState,
    now: datetime,
    *,
    charged: Micros | None,
    **columns: Unpack[JobColumns],
) -> Job:
    """End a job: settle `charged` (at most its hold), or release the hold where it is None.

    What was settled before a moderator looked at it stays as it is.
    """
    hold = job.plan.hold if job.plan is not None and job.accepted_at is not None else None
    is_paid = job.state in _MAY_BE_PAID and is_settled(tx.conn, job.id)
    cost = job.cost if is_paid else Micros(min(charged or 0, hold or 0))
    over: JobColumns = {"cost": cost, "ended_at": now, "next_at": None, "parked_at": None}
    values: JobColumns = {**columns, **over}
    # The guarded move first: a job that has ended meanwhile is `Stale`, not a second entry.
    ended = job_rows.move(tx, job, to, now, **values)
    if hold is not None and not is_paid:
        kind = "release" if charged is None else "settle"
        amount = hold if charged is None else cost
        entry = {"job_id": job.id, "kind": kind, "micros": amount, "at": now, "closes": job.id}
        tx.put_off(_insert, entry)
    failure = ended.failure
    if to is JobState.FAILED and failure is not None and failure.code in DELICATE:
        errands.explain(tx, ended, now)
    if job.film is not None:
        _make_film_due(tx, job.film, now)
    return ended


def was_told(job: Job) -> bool:
    """Whether a request was refused to its person's face, so that nobody else need read of it."""
    return job.failure is not None and job.failure.code in TOLD and job.accepted_at is None


def is_settled(conn: Connection, job_id: JobId) -> bool:
    """Whether a job is charged already, or its hold given back."""
    return conn.execute(_SETTLED, {"of_job": job_id}).one_or_none() is not None


def settle(
    tx: Tx, job: Job, now: datetime, *, charged: Micros, **columns: Unpack[JobColumns]
) -> Job:
    """Charge a clip that is kept and waits for a moderator: it is paid, whatever they say."""
    assert job.plan is not None
    cost = Micros(min(charged, job.plan.hold))
    values: JobColumns = {**columns, "cost": cost, "next_at": now}
    kept = job_rows.move(tx, job, JobState.REVIEWING, now, **values)
    entry = {"job_id": job.id, "kind": "settle", "micros": cost, "at": now, "closes": job.id}
    _insert(tx.conn, [entry])  # At once: a cancel in the same commit asks whether it is paid.
    return kept


def _insert(conn: Connection, entries: list[dict[str, Any]]) -> None:
    conn.execute(_INSERT, entries)


def _make_film_due(tx: Tx, film_id: JobId, now: datetime) -> None:
    """One of its shots has ended, so that the film goes on; written in the same breath."""
    film = job_rows.get(tx.conn, film_id)
    if film.state is JobState.GENERATING:
        job_rows.change(tx, film, next_at=now)


def fail(
    tx: Tx, job: Job, now: datetime, failure: Failure, /, **columns: Unpack[JobColumns]
) -> Job:
    """End a job without a clip and give its hold back."""
    values: JobColumns = {**columns, "failure": failure}
    return end(tx, job, JobState.FAILED, now, charged=None, **values)


def note_budgets(tx: Tx, room: Room, now: datetime) -> None:
    """Tell the operator of each share of a month's budget that what was just held reaches."""
    limits, hold = room.limits, room.asked
    for scope, key, dollars in (
        ("everyone", OF_ALL, limits.usd_total_per_month),
        (room.tenant, OF_PLACE, limits.usd_per_tenant_per_month),
    ):
        allowed, used_before = None if dollars is None else micros(dollars), room.used.get(key, 0)
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


def note_refusal(
    tx: Tx, refused: QuotaExceeded, tenant: str, limits: LimitsTable, now: datetime
) -> None:
    """Tell the operator once a month of each month's budget that has no room for a request."""
    if refused.limit in SHARED:
        month = quota.windows(now, limits.timezone).month_start
        scope = tenant if refused.limit == OF_PLACE else "everyone"
        key = f"budget:full:{scope}:{month:%Y-%m-%d}"
        sentence = f"A request in {tenant} was refused. {refused.sentence}"
        settings.note_operator(tx, key, sentence, now)


# ---- what was used ---------------------------------------------------------------------------


def usage(
    conn: Connection, start: datetime, end_: datetime, *, people: Collection[str] | None = None
) -> list[UsageRow]:
    """Usage between two times, a row per person, of all or of some; label is the person's key."""
    is_delivered = jobs.c.state == JobState.DELIVERED.value
    is_refused = jobs.c.failure["code"].as_string().in_(REFUSALS)
    is_failed = jobs.c.state == JobState.FAILED.value
    rows = conn.execute(
        select(
            jobs.c.person,
            func.count().label("asked"),
            func.sum(case((is_delivered, 1), else_=0)).label("delivered"),
            func.sum(case((and_(is_failed, is_refused), 1), else_=0)).label("refused"),
            func.sum(case((is_failed, 1), else_=0)).label("ended"),
            func.sum(case((is_delivered, jobs.c.seconds), else_=0.0)).label("seconds"),
            total(CHARGED).label("charged"),
        )
        .where(
            jobs.c.created_at >= start,
            jobs.c.created_at < end_,
            IS_ASKED,
            *([jobs.c.person.in_(people)] if people is not None else []),
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
    person, span = requester.person, quota.windows(now, limits.timezone)
    own, counted = allowances.holding(conn, requester, channel, limits, now)
    clips, worth = test_use(conn, person, span.month_start)
    today = usage(conn, span.day_start, span.day_end, people=[person])
    month = usage(conn, span.month_start, span.month_end, people=[person])
    return UsageReport(
        today=_labelled("today", today),
        month=_labelled("this month", month),
        allowances=tuple(
            each for each in quota.allowances(own, counted, now) if each.allowed is not None
        ),
        test_clips=clips,
        test_micros=worth,
        grants=tuple(each for each in allowances.granted(conn, person) if each.until > now),
    )


def _labelled(label: str, rows: list[UsageRow]) -> UsageRow:
    nothing = UsageRow(
        label=label, asked=0, delivered=0, refused=0, failed=0, seconds=0.0, charged=Micros(0)
    )
    return replace(rows[0], label=label) if rows else nothing


def test_use(conn: Connection, person: str, start: datetime) -> tuple[int, Micros]:
    """How many test clips a person got since `start`, and what they would have cost."""
    row = conn.execute(
        select(func.count(), total(jobs.c.list_price)).where(
            jobs.c.person == person,
            jobs.c.is_test,
            jobs.c.state == JobState.DELIVERED.value,
            jobs.c.created_at >= start,
        )
    ).one()
    return int(row[0]), Micros(row[1])
