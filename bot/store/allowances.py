"""What holds for somebody now, and what counts against it: limits, grants and sums."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    bindparam,
    case,
    func,
    or_,
    select,
    true,
)

from bot import quota
from bot.job import JobState
from bot.limits import LIMITS, Limit, Rules, Whose, in_force
from bot.overview import Grant, PlaceLimit
from bot.refs import Micros
from bot.request import Requester
from bot.store.portable import insert_new, total
from bot.store.schema import grants, jobs, settings
from bot.store.settings import chosen_both, rules_scope
from bot.store.transaction import Tx
from bot.tables import LimitsTable

# Built once, because they run inside every submit.
_RULES_OF = {
    name: select(settings.c.chosen).where(settings.c.scope == bindparam(name))
    for name in ("place", "there")
}
_LAST_GRANT = select(func.max(grants.c.until)).where(grants.c.person == bindparam("of_person"))
_GRANTS = select(grants).where(grants.c.person == bindparam("who")).order_by(grants.c.id)
_SPENT = select(jobs.c.accepted_at, jobs.c.cost).where(
    jobs.c.person == bindparam("who"), jobs.c.accepted_at >= bindparam("since"), jobs.c.cost > 0
)
#: Every clip, those of a film's shots, too; a film is made of them and is none itself.
IS_CLIP = or_(jobs.c.story.is_(None), jobs.c.story != jobs.c.id)
_MONEY = select(total(jobs.c.cost).label("usd"))
# What counts as a clip; whatever else there is costs nothing. In this order it is tested quickest.
_CLIPS = _MONEY.add_columns(func.count().label("clips")).where(
    or_(jobs.c.cost > 0, jobs.c.state.not_in([JobState.FAILED.value, JobState.CANCELLED.value])),
    IS_CLIP,
)
_COLUMNS = {"person": jobs.c.person, "channel": jobs.c.channel, "tenant": jobs.c.tenant}
# As the partial index has it.
_RUNNING = select(
    func.count(case((jobs.c.person == bindparam("of_person"), 1))).label("person"),
    func.count(case((jobs.c.channel == bindparam("of_channel"), 1))).label("channel"),
    func.count().label("tenant"),
).where(
    jobs.c.tenant == bindparam("of_tenant"),
    jobs.c.ended_at.is_(None),
    jobs.c.accepted_at.is_not(None),
    # What waits for a moderator waits for nothing of its person's, and is paid.
    jobs.c.state != JobState.REVIEWING.value,
    # Of a film's shots one runs at a time.
    jobs.c.waits_for.is_(None),
    IS_CLIP,
)

NO_RULES = Rules(place={}, channel={})
_LIMIT = re.compile(r"(?:limit|role\.(?P<role>[\w-]+))\.(?P<name>\w+)")


# ---- what holds ------------------------------------------------------------------------------


def rules(conn: Connection, tenant: str, channel: str) -> Rules:
    """What was set in chat for a place and one channel of it."""
    place, there = chosen_both(conn, rules_scope(tenant), rules_scope(tenant, channel))
    return Rules(place=place, channel=there if channel else {})


def rules_in(conn: Connection, tenant: str) -> tuple[PlaceLimit, ...]:
    """All limits that were set in chat in a place, its own first."""
    place = rules_scope(tenant)
    of_channels = settings.c.scope.startswith(f"{place}:", autoescape=True)
    rows = conn.execute(
        select(settings).where((settings.c.scope == place) | of_channels).order_by("scope")
    )
    return tuple(
        PlaceLimit(name=name, value=value, channel=channel, role=role)
        for row in rows
        for channel in (row.scope.removeprefix(place).removeprefix(":"),)
        for key, value in sorted(row.chosen.items())
        if (found := _LIMIT.fullmatch(key))
        for role, name in ((found["role"] or "", found["name"]),)
    )


def of_people(
    conn: Connection, requester: Requester, channel: str, house: LimitsTable
) -> LimitsTable:
    """The limits that hold for somebody in a channel, without what they were granted."""
    return under(rules(conn, requester.tenant, channel), requester, house)


def under(rules: Rules, requester: Requester, house: LimitsTable) -> LimitsTable:
    """The limits that hold for somebody where these rules do."""
    return quota.limits_of(in_force(house, requester, rules), is_guest=requester.is_guest)


def holding(
    conn: Connection, requester: Requester, channel: str, house: LimitsTable, now: datetime
) -> tuple[LimitsTable, quota.Used]:
    """The limits that hold for somebody in a channel at this moment, and what counts for them."""
    counted = _count(conn, requester, channel, under(NO_RULES, requester, house), now)
    limits = under(counted.rules, requester, house)
    if not _set(limits) <= counted.used.keys():
        counted = _count(conn, requester, channel, limits, now)
    month = quota.windows(now, limits.timezone).month_start
    if counted.granted_until is not None and counted.granted_until > month:
        limits = _with_grants(conn, requester.person, limits, now)
    return limits, counted.used


def _with_grants(conn: Connection, person: str, limits: LimitsTable, now: datetime) -> LimitsTable:
    given = granted(conn, person)
    month = quota.windows(now, limits.timezone).month_start
    since = min((each.at for each in given if each.until > month), default=None)
    if since is None:
        return limits
    # What an earlier one paid for may lie in the same days.
    for each in sorted(given, key=lambda each: each.at, reverse=True):
        if each.at < since < each.until:
            since = each.at
    since = quota.windows(since, limits.timezone).month_start
    rows = conn.execute(_SPENT, {"who": person, "since": since})
    spent = [(row.accepted_at, Micros(row.cost)) for row in rows]
    return quota.raised(limits, [each for each in given if each.until > since], spent, now)


# ---- grants ----------------------------------------------------------------------------------


def granted(conn: Connection, person: str) -> tuple[Grant, ...]:
    """Every grant that a person ever had."""
    return tuple(
        Grant(micros=Micros(row.micros), at=row.at, until=row.until)
        for row in conn.execute(_GRANTS, {"who": person})
    )


def grant(tx: Tx, person: str, given: Grant, *, by: str, form: str | None = None) -> bool:
    """Let somebody spend more, once for each form; False where it was given before."""
    row = {"person": person, "micros": given.micros, "at": given.at, "until": given.until}
    return insert_new(tx, grants, {**row, "by": by, "form": form})


# ---- what counts -----------------------------------------------------------------------------


def used(
    conn: Connection, requester: Requester, channel: str, limits: LimitsTable, now: datetime
) -> quota.Used:
    """What counts against a person, their channel and their tenant; only limits that are set."""
    return _count(conn, requester, channel, limits, now).used


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """What counts, what was set in chat, and until when somebody's last grant holds."""

    used: quota.Used
    rules: Rules
    granted_until: datetime | None


def _count(
    conn: Connection, requester: Requester, channel: str, limits: LimitsTable, now: datetime
) -> _Counted:
    """All of it in one query, because it is asked in every submit."""
    tenant, span, keys = requester.tenant, quota.windows(now, limits.timezone), _set(limits)
    asked = {
        "of_person": requester.person,
        "of_channel": f"{tenant}:{channel}",
        "of_tenant": tenant,
        "day": span.day_start,
        "month": span.month_start,
        "place": rules_scope(tenant),
        "there": rules_scope(tenant, channel),
    }
    row = conn.execute(_counting(keys), asked).mappings().one()
    return _Counted(
        used={key: row[key] for key in keys},
        rules=Rules(place=row["place"] or {}, channel=(channel and row["there"]) or {}),
        granted_until=row["granted_until"],
    )


def _set(limits: LimitsTable) -> frozenset[str]:
    return frozenset(each.key for each in LIMITS if getattr(limits, each.key) is not None)


@cache
def _counting(keys: frozenset[str]) -> Select[Any]:
    """One row, with a column for each of these limits; of each kind there are only so many."""
    columns: list[ColumnElement[Any]] = [
        _LAST_GRANT.scalar_subquery().label("granted_until"),
        *(_RULES_OF[name].scalar_subquery().label(name) for name in _RULES_OF),
    ]
    source: FromClause | None = None
    wanted = sorted((each for each in LIMITS if each.key in keys), key=_source)
    for (whose, per), limits in groupby(wanted, key=_source):
        group = list(limits)
        is_counted = any(each.what == "clips" for each in group)
        sums = (_sums(whose, per, is_counted=is_counted) if per else _RUNNING).subquery()
        source = sums if source is None else source.join(sums, true())
        columns += [sums.c[each.what if per else each.whose].label(each.key) for each in group]
    query = select(*columns)
    return query if source is None else query.select_from(source)


def _source(limit: Limit) -> tuple[str, str]:
    """What is counted together: all that runs, or what somebody asked for since a time."""
    return (limit.whose, limit.per) if limit.per else ("", "")


def _sums(whose: str, per: str, *, is_counted: bool) -> Select[Any]:
    found = (_CLIPS if is_counted else _MONEY).where(jobs.c.accepted_at >= bindparam(per))
    return found if whose == "total" else found.where(_COLUMNS[whose] == bindparam(f"of_{whose}"))


def only(found: quota.Used, *whose: Whose) -> quota.Used:
    """What of it counts for these."""
    keys = {limit.key for limit in LIMITS if limit.whose in whose}
    return {key: value for key, value in found.items() if key in keys}
