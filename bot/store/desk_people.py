"""Who asked for clips or is blocked, as the desk lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from bot.overview import Blocked
from bot.request import Requester
from bot.store.desk_clips import called
from bot.store.schema import blocks, jobs
from bot.store.settings import IS_BLOCKED, to_blocked


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Somebody: what they called themselves last, when that was, and how often they asked.

    Of who never asked it is when they were blocked.
    """

    person: str
    name: str
    at: datetime
    times: int


def seen(
    conn: Connection,
    tenant: str,
    now: datetime,
    *,
    named: str = "",
    limit: int,
    offset: int = 0,
) -> tuple[list[Seen], int]:
    """Some of those who asked in a place, or anywhere, the last first; and how many there are.

    Only those with `named` in their name or id; also who never asked and is blocked.
    """
    everybody = union_all(_asked(tenant), _never_asked(tenant)).subquery()
    person, name = everybody.c.person, _name_of(everybody.c.person)
    is_meant = [_is_meant(person, name, named)] if named else []
    counted = select(func.count()).select_from(everybody).where(*is_meant)
    count = conn.execute(counted, {"now": now}).scalar_one()
    rows = conn.execute(
        select(everybody, name.label("name"))
        .where(*is_meant)
        .order_by(everybody.c.at.desc(), person)
        .limit(limit)
        .offset(offset),
        {"now": now},
    )
    found = [
        Seen(person=row.person, name=row.name or "", at=row.at, times=row.times) for row in rows
    ]
    return found, int(count)


def _asked(tenant: str) -> Select[tuple[str, datetime, int]]:
    # An index has all that this takes.
    return (
        select(
            jobs.c.person.label("person"),
            func.max(jobs.c.created_at).label("at"),
            func.count().label("times"),
        )
        .where(*_within(jobs.c.person, tenant))
        .group_by(jobs.c.person)
    )


def _never_asked(tenant: str) -> Select[tuple[str, datetime, int]]:
    has_asked = exists().where(jobs.c.person == blocks.c.person)
    return select(blocks.c.person, blocks.c.at, literal(0)).where(
        IS_BLOCKED, ~has_asked, *_within(blocks.c.person, tenant)
    )


def _within(person: ColumnElement[str], tenant: str) -> list[ColumnElement[bool]]:
    return [person.startswith(f"{tenant}:", autoescape=True)] if tenant else []


def one(conn: Connection, person: str) -> Seen | None:
    """Somebody who asked; None where nobody like that did."""
    row = conn.execute(
        select(func.max(jobs.c.created_at).label("at"), func.count().label("times")).where(
            jobs.c.person == person
        )
    ).one()
    return Seen(person=person, name="", at=row.at, times=row.times) if row.times else None


def requester(conn: Connection, person: str) -> Requester | None:
    """Somebody as they were when they asked last: their roles, and what they are called.

    Who asked to be forgotten has no name.
    """
    row = conn.execute(
        select(jobs.c.request["requester"].label("who"), called(jobs).label("name"))
        .where(jobs.c.person == person)
        .order_by(jobs.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Requester.model_validate({**row.who, "display_name": row.name or ""})


def blocked(conn: Connection, people: Sequence[str], now: datetime) -> dict[str, Blocked]:
    """Who of these people may ask for nothing now."""
    rows = conn.execute(
        select(blocks).where(blocks.c.person.in_(people), IS_BLOCKED), {"now": now}
    )
    return {row.person: to_blocked(row) for row in rows}


def _name_of(person: ColumnElement[str]) -> ColumnElement[str]:
    last = jobs.alias()
    return (
        select(called(last))
        .where(last.c.person == person)
        .order_by(last.c.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )


def _is_meant(
    person: ColumnElement[str], name: ColumnElement[str], named: str
) -> ColumnElement[bool]:
    return or_(
        name.icontains(named, autoescape=True), person.icontains(f":{named}", autoescape=True)
    )
