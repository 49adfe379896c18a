"""How what was asked on a day failed, and how long it took to be delivered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from bot.desk_views import Pace, Percentiles
from bot.job import OPEN, JobState
from bot.store import ledger, reports
from bot.store.portable import beside, seconds_between
from bot.store.reports import Day
from bot.store.schema import audit_log, jobs

# From the index of what has ended alone.
_TOOK = select(
    jobs.c.id,
    seconds_between(jobs.c.ended_at, jobs.c.completed_at),
    seconds_between(jobs.c.ended_at, jobs.c.accepted_at),
).where(
    jobs.c.ended_at.is_not(None),
    beside(jobs.c.state) == JobState.DELIVERED.value,
    jobs.c.completed_at.is_not(None),
)
_REVIEWED = select(audit_log.c.target).where(audit_log.c.act == "review post")
#: What a failure's code stands for; whatever else there is went wrong here.
CLASSES = {
    **dict.fromkeys(ledger.REFUSALS, "refused"),
    **dict.fromkeys(("moderation", "image_moderation", "names", "withheld"), "filtered"),
    **dict.fromkeys(("image", "frames", "prompt", "source"), "input"),
    **dict.fromkeys(
        (
            *("service", "service_final", "unknown", "gone", "retired"),
            *("interrupted", "provider_closed", "failed"),
        ),
        "service",
    ),
    **dict.fromkeys(("clip_broken", "kept", "thread_gone"), "delivery"),
}
OTHER = "other"


def open_since(conn: Connection) -> list[datetime]:
    """When each job that has not ended was asked, the earliest first."""
    rows = conn.execute(select(jobs.c.created_at).where(jobs.c.state.in_(OPEN)))
    return sorted(rows.scalars())


def read(conn: Connection, days: Sequence[Day], tenant: str | None) -> dict[str, Pace]:
    """How it went on each of these days."""
    failures: dict[str, Counter[str]] = {day.name: Counter() for day in days}
    for day, row in reports.asked(conn, days, tenant=tenant):
        if row.state == JobState.FAILED:
            failures[day][CLASSES.get(row.code, OTHER)] += row.jobs
    # A person's time is not ours.
    reviewed = frozenset(conn.execute(_REVIEWED).scalars())
    return {day.name: _pace(conn, day, tenant, failures[day.name], reviewed) for day in days}


def _pace(
    conn: Connection,
    day: Day,
    tenant: str | None,
    failures: Counter[str],
    reviewed: frozenset[str],
) -> Pace:
    created = jobs.c.created_at
    is_there = [beside(jobs.c.tenant) == tenant] if tenant is not None else []
    asked = _TOOK.where(created >= day.since, created < day.until, *is_there)
    took = [(post, whole) for job_id, post, whole in conn.execute(asked) if job_id not in reviewed]
    return Pace(
        day=day.name,
        failures=failures,
        post=_percentiles([each for each, _ in took]),
        whole=_percentiles([each for _, each in took if each is not None]),
    )


def _percentiles(seconds: list[float]) -> Percentiles | None:
    """Nearest rank: each of both was one of them."""
    if not seconds:
        return None
    ranked, last = sorted(seconds), len(seconds) - 1
    median, p95 = (max(0.0, ranked[round(share * last)]) for share in (0.5, 0.95))
    return Percentiles(count=len(ranked), median=median, p95=p95)
