"""What an operator reads of the rows: usage by person, tenant, model or day, and lost generations.

Money that is only held is in no report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, literal, select

from bot.job import JobState
from bot.overview import UsageRow
from bot.refs import GenerationId, JobId, Micros
from bot.store import ledger
from bot.store.schema import jobs, operator_notices

Grouping = Literal["person", "tenant", "model", "day"]
#: The operator's notice of a generation that its provider does not know, as the watcher keys it.
MISSING = "missing:"


@dataclass
class _Sum:
    asked: int = 0
    delivered: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    charged: int = 0

    def add(self, row: Any) -> None:
        """Count one job the way a person's own usage counts it."""
        self.asked += 1
        if row.state == JobState.DELIVERED:
            self.delivered += 1
            self.seconds += row.seconds
        elif row.state == JobState.FAILED:
            is_refused = (row.failure or {}).get("code") in ledger.REFUSALS
            self.refused += is_refused
            self.failed += not is_refused
        self.charged += row.charged

    def to_row(self, label: str) -> UsageRow:
        """The sum under a name."""
        return UsageRow(
            label=label,
            asked=self.asked,
            delivered=self.delivered,
            refused=self.refused,
            failed=self.failed,
            seconds=self.seconds,
            charged=Micros(self.charged),
        )


def usage(
    conn: Connection,
    start: datetime,
    end: datetime,
    *,
    by: Grouping,
    timezone: str,
    tenant: str | None = None,
) -> list[UsageRow]:
    """What was asked between two times, a row for each group, in the order of their names.

    Rows are summed here: no two databases cut the calendar days of a time zone alike.
    """
    label = _label(by, timezone)
    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    for row in _asked(conn, start, end, tenant):
        sums[label(row)].add(row)
    return [sums[name].to_row(name) for name in sorted(sums)]


def by_day(
    conn: Connection,
    start: datetime,
    end: datetime,
    *,
    timezone: str,
    tenant: str | None = None,
    person: str | None = None,
) -> list[UsageRow]:
    """A row for each day, the earliest first, also for those on which nothing was asked."""
    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    label, zone = _label("day", timezone), ZoneInfo(timezone)
    for row in _asked(conn, start, end, tenant, person):
        sums[label(row)].add(row)
    last_moment = end - timedelta(microseconds=1)
    first, last = (each.astimezone(zone).date() for each in (start, last_moment))
    every = (first + timedelta(days=at) for at in range((last - first).days + 1))
    return [sums[day.isoformat()].to_row(day.isoformat()) for day in every]


def details(
    conn: Connection, start: datetime, end: datetime, *, tenant: str, timezone: str
) -> list[tuple[str, str, UsageRow]]:
    """The usage of a place: day, model, and the person's key as the label, in this order."""
    day = _label("day", timezone)
    sums: defaultdict[tuple[str, str, str], _Sum] = defaultdict(_Sum)
    for row in _asked(conn, start, end, tenant):
        sums[day(row), row.model, row.person].add(row)
    return [(day, model, sums[day, model, who].to_row(who)) for day, model, who in sorted(sums)]


def names(conn: Connection, start: datetime, end: datetime, *, tenant: str) -> dict[str, str]:
    """How the people of a place called themselves last, by their key."""
    name = jobs.c.request["requester"]["display_name"].as_string()
    rows = conn.execute(
        select(jobs.c.person, name.label("name"))
        .where(jobs.c.created_at >= start, jobs.c.created_at < end, jobs.c.tenant == tenant)
        .order_by(jobs.c.created_at)
    )
    return {row.person: row.name or "" for row in rows}


def _asked(
    conn: Connection,
    start: datetime,
    end: datetime,
    tenant: str | None = None,
    person: str | None = None,
) -> Iterable[Row[Any]]:
    """What counts of each job that was asked between two times, in one place or in all."""
    is_there = [jobs.c.tenant == tenant] if tenant is not None else []
    is_theirs = [jobs.c.person == person] if person is not None else []
    return conn.execute(
        select(
            jobs.c.person,
            jobs.c.tenant,
            jobs.c.model,
            jobs.c.created_at,
            jobs.c.state,
            jobs.c.failure,
            jobs.c.seconds,
            ledger.CHARGED.label("charged"),
        )
        .where(jobs.c.created_at >= start, jobs.c.created_at < end, ledger.IS_ASKED)
        .where(*is_there, *is_theirs)
        .execution_options(yield_per=1000)
    )


def _label(by: Grouping, timezone: str) -> Callable[[Any], str]:
    if by == "day":
        zone = ZoneInfo(timezone)
        return lambda row: row.created_at.astimezone(zone).date().isoformat()
    return lambda row: str(getattr(row, by))


def total(rows: Sequence[UsageRow]) -> UsageRow:
    """All rows in one."""
    return UsageRow(
        label="total",
        asked=sum(row.asked for row in rows),
        delivered=sum(row.delivered for row in rows),
        refused=sum(row.refused for row in rows),
        failed=sum(row.failed for row in rows),
        seconds=sum(row.seconds for row in rows),
        charged=Micros(sum(row.charged for row in rows)),
    )


def lost(conn: Connection) -> list[tuple[JobId, GenerationId]]:
    """Jobs whose generation was missing at its provider for so long that the operator was told."""
    rows = conn.execute(
        select(jobs.c.id, jobs.c.generation_id)
        .join(operator_notices, operator_notices.c.key == literal(MISSING) + jobs.c.generation_id)
        .where(jobs.c.state == JobState.GENERATING)
        .order_by(jobs.c.created_at)
    )
    return [(JobId(row.id), GenerationId(row.generation_id)) for row in rows]
