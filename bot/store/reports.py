"""What an operator reads of the rows: usage by person, tenant, model or day, and lost generations.

Money that is only held is in no report. What has ended is summed by the database from one index,
within each calendar day that is cut here: no two databases cut the days of a time zone alike.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Label,
    Row,
    Select,
    bindparam,
    func,
    literal,
    null,
    select,
)

from bot.job import OPEN, JobState
from bot.overview import UsageRow
from bot.refs import GenerationId, JobId, Micros
from bot.store import ledger
from bot.store.desk_clips import called
from bot.store.portable import beside
from bot.store.portable import total as sum_of
from bot.store.schema import jobs, operator_notices

Grouping = Literal["person", "tenant", "model", "day"]
Columns = tuple[Column[Any], ...]
_state, _tenant = beside(jobs.c.state), beside(jobs.c.tenant)
#: The operator's notice of a generation that its provider does not know, as the watcher keys it.
MISSING, ENDLESS = "missing:", "endless:"


@dataclass
class Sum:
    """What jobs that are alike add up to."""

    asked: int = 0
    delivered: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    charged: int = 0

    def add(self, row: Any) -> None:
        """Count jobs that ended, or stand, alike as a person's own usage counts them."""
        self.asked += row.jobs
        if row.state == JobState.DELIVERED:
            self.delivered += row.jobs
            self.seconds += row.seconds
        elif row.state == JobState.FAILED:
            is_refused = row.code in ledger.REFUSALS
            self.refused += row.jobs * is_refused
            self.failed += row.jobs * (not is_refused)
        self.charged += row.charged

    def add_sum(self, other: Sum | UsageRow) -> None:
        """Count what was counted elsewhere."""
        self.asked += other.asked
        self.delivered += other.delivered
        self.refused += other.refused
        self.failed += other.failed
        self.seconds += other.seconds
        self.charged += other.charged

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
    """What was asked between two times, a row for each group, in the order of their names."""
    if by == "day":
        days = by_day(conn, start, end, timezone=timezone, tenant=tenant)
        return [each for each in days if each.asked]
    sums: defaultdict[str, Sum] = defaultdict(Sum)
    for _, row in asked(conn, [Day("", start, end)], jobs.c[by], tenant=tenant):
        sums[getattr(row, by)].add(row)
    return [sums[name].to_row(name) for name in sorted(sums)]


def borne(conn: Connection, start: datetime, end: datetime) -> Micros:
    """What services took for jobs of a time that ended without a clip, and nobody was charged."""
    query = select(func.coalesce(func.sum(jobs.c.provider_cost), 0)).where(
        _state == JobState.FAILED.value, jobs.c.created_at >= start, jobs.c.created_at < end
    )
    return Micros(int(conn.execute(query).scalar_one()))


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
    days = days_between(start, end, timezone)
    return list(of_days(conn, days, tenant, person=person).values())


def of_days(
    conn: Connection, days: Sequence[Day], tenant: str | None, *, person: str | None = None
) -> dict[str, UsageRow]:
    """A row for each of these days."""
    sums = {day.name: Sum() for day in days}
    for day, row in asked(conn, days, tenant=tenant, person=person):
        sums[day].add(row)
    return {day: each.to_row(day) for day, each in sums.items()}


def details(
    conn: Connection, start: datetime, end: datetime, *, tenant: str, timezone: str
) -> list[tuple[str, str, UsageRow]]:
    """The usage of a place: day, model, and the person's key as the label, in this order."""
    sums: defaultdict[tuple[str, str, str], Sum] = defaultdict(Sum)
    days = days_between(start, end, timezone)
    for day, row in asked(conn, days, jobs.c.model, jobs.c.person, tenant=tenant):
        sums[day, row.model, row.person].add(row)
    return [(day, model, sums[day, model, who].to_row(who)) for day, model, who in sorted(sums)]


class Day(NamedTuple):
    """A calendar day, or a part of it, from when until when."""

    name: str
    since: datetime
    until: datetime


def days_between(start: datetime, end: datetime, timezone: str) -> list[Day]:
    """Each calendar day that lies between two times, the first and the last maybe in part."""
    zone, days, since = ZoneInfo(timezone), list[Day](), start
    while since < end:
        day = since.astimezone(zone).date()
        # Fold 0: where clocks fall back to midnight, a day begins with the first of its two.
        midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
        until = min(end, midnight.astimezone(UTC))
        days.append(Day(day.isoformat(), since, until))
        since = until
    return days


def names(conn: Connection, start: datetime, end: datetime, *, tenant: str) -> dict[str, str]:
    """How the people of a place called themselves last, by their key.

    Who asked to be forgotten has no name.
    """
    rows = conn.execute(
        select(jobs.c.person, called(jobs).label("name"))
        .where(jobs.c.created_at >= start, jobs.c.created_at < end, jobs.c.tenant == tenant)
        .order_by(jobs.c.created_at)
    )
    return {row.person: row.name or "" for row in rows}


def asked(
    conn: Connection,
    days: Sequence[Day],
    *groups: Column[Any],
    tenant: str | None = None,
    person: str | None = None,
) -> Iterator[tuple[str, Row[Any]]]:
    """How many `jobs` were asked on each of some days, alike in these columns, state and failure.

    In one place or in all, the earliest day first. `code` is that of a failure; `seconds` and
    `charged` are sums.
    """
    said = {"tenant": tenant, "person": person}
    whose = {name: value for name, value in said.items() if value is not None}
    for day in days:
        values = {**whose, "since": day.since, "until": day.until}
        for query in (_ended(groups, tuple(whose)), _failed(groups, tuple(whose))):
            for row in conn.execute(query, values):
                yield day.name, row
    if not days:
        return
    starts = [day.since for day in days]
    values = {**whose, "since": starts[0], "until": days[-1].until}
    for row in conn.execute(_under_way(groups, tuple(whose)), values):
        day = days[bisect_right(starts, row.created_at) - 1]
        if row.created_at < day.until:
            yield day.name, row


@cache
def _ended(groups: Columns, whose: tuple[str, ...]) -> Select[Any]:
    """What has ended, but for failures; all of it is in one index."""
    query = _sums(groups, null().label("code"), whose)
    return query.where(_state != JobState.FAILED.value).group_by(*groups, jobs.c.state)


@cache
def _failed(groups: Columns, whose: tuple[str, ...]) -> Select[Any]:
    """Failures, with their codes; of these few the rows are read."""
    code = jobs.c.failure["code"].as_string()
    query = _sums(groups, code.label("code"), whose)
    return query.where(_state == JobState.FAILED.value).group_by(*groups, jobs.c.state, code)


def _sums(groups: Columns, code: Label[Any], whose: tuple[str, ...]) -> Select[Any]:
    return select(
        *groups,
        jobs.c.state,
        code,
        func.count().label("jobs"),
        func.sum(jobs.c.seconds).label("seconds"),
        sum_of(jobs.c.cost).label("charged"),
    ).where(jobs.c.ended_at.is_not(None), *_is_asked(whose))


@cache
def _under_way(groups: Columns, whose: tuple[str, ...]) -> Select[Any]:
    """What has not ended, which is little, job by job."""
    return select(
        *groups,
        jobs.c.created_at,
        jobs.c.state,
        null().label("code"),
        literal(1).label("jobs"),
        jobs.c.seconds,
        ledger.CHARGED.label("charged"),
    ).where(jobs.c.ended_at.is_(None), jobs.c.state.in_(OPEN), *_is_asked(whose))


def _is_asked(whose: tuple[str, ...]) -> Iterator[ColumnElement[bool]]:
    yield jobs.c.created_at >= bindparam("since")
    yield jobs.c.created_at < bindparam("until")
    yield ledger.IS_ASKED
    if "tenant" in whose:
        yield _tenant == bindparam("tenant")
    if "person" in whose:
        yield jobs.c.person == bindparam("person")


def total(rows: Sequence[UsageRow]) -> UsageRow:
    """All rows in one."""
    whole = Sum()
    for row in rows:
        whole.add_sum(row)
    return whole.to_row("total")


def lost(conn: Connection) -> list[tuple[JobId, GenerationId]]:
    """Jobs whose generation was missing at its provider for so long that the operator was told."""
    return _told_of(conn, MISSING)


def endless(conn: Connection) -> list[tuple[JobId, GenerationId]]:
    """Jobs whose generation ran for so long that the operator was told."""
    return _told_of(conn, ENDLESS)


def _told_of(conn: Connection, what: str) -> list[tuple[JobId, GenerationId]]:
    rows = conn.execute(
        select(jobs.c.id, jobs.c.generation_id)
        .join(operator_notices, operator_notices.c.key == literal(what) + jobs.c.generation_id)
        .where(_state == JobState.GENERATING)
        .order_by(jobs.c.created_at)
    )
    return [(JobId(row.id), GenerationId(row.generation_id)) for row in rows]
