"""What holds for somebody now, and what counts against it: limits, grants and sums."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import Connection, bindparam, case, func, or_, select

from bot import quota
from bot.job import JobState
from bot.limits import LIMITS, Rules, Whose, in_force
from bot.overview import Grant, PlaceLimit
from bot.refs import Micros
from bot.request import Requester
from bot.store.database import Tx
from bot.store.portable import insert_new, total
from bot.store.schema import grants, jobs, settings
from bot.store.settings import rules_scope
from bot.tables import LimitsTable

# Built once, because they run inside every submit.
_RULES = select(settings).where(settings.c.scope.in_([bindparam("place"), bindparam("there")]))
_GRANTS = select(grants).where(grants.c.person == bindparam("who")).order_by(grants.c.id)
_SPENT = select(jobs.c.accepted_at, jobs.c.cost).where(
    jobs.c.person == bindparam("who"), jobs.c.accepted_at >= bindparam("since"), jobs.c.cost > 0
)
#: Every clip, those of a film's shots, too; a film is made of them and is none itself.
IS_CLIP = or_(jobs.c.story.is_(None), jobs.c.story != jobs.c.id)
_SINCE = jobs.c.accepted_at >= bindparam("since")
_MONEY = select(total(jobs.c.cost).label("usd")).where(_SINCE)
# What counts as a clip; whatever else there is costs nothing. In this order it is tested quickest.
_CLIPS = _MONEY.add_columns(func.count().label("clips")).where(
    or_(jobs.c.cost > 0, jobs.c.state.not_in([JobState.FAILED.value, JobState.CANCELLED.value])),
    IS_CLIP,
)
_COLUMNS = {"person": jobs.c.person, "channel": jobs.c.channel, "tenant": jobs.c.tenant}
_SUMS = {
    (whose, is_counted): (_CLIPS if is_counted else _MONEY).where(column == bindparam("who"))
    for whose, column in _COLUMNS.items()
    for is_counted in (True, False)
}
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

_LIMIT = re.compile(r"(?:limit|role\.(?P<role>[\w-]+))\.(?P<name>\w+)")


# ---- what holds ------------------------------------------------------------------------------


def rules(conn: Connection, tenant: str, channel: str) -> Rules:
    """What was set in chat for a place and one channel of it, in one query."""
    place, there = rules_scope(tenant), rules_scope(tenant, channel)
    found = {
        row.scope: row.chosen for row in conn.execute(_RULES, {"place": place, "there": there})
    }
    return Rules(place=found.get(place, {}), channel=found.get(there, {}) if channel else {})


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
    found = in_force(house, requester, rules(conn, requester.tenant, channel))
    return quota.limits_of(found, is_guest=requester.is_guest)


def holding(
    conn: Connection, requester: Requester, channel: str, house: LimitsTable, now: datetime
) -> LimitsTable:
    """The limits that hold for somebody in a channel at this moment."""
    limits = of_people(conn, requester, channel, house)
    return _with_grants(conn, requester.person, limits, now)


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
    tenant = requester.tenant
    who = {"person": requester.person, "channel": f"{tenant}:{channel}", "tenant": tenant}
    span = quota.windows(now, limits.timezone)
    wanted = [each for each in LIMITS if getattr(limits, each.key) is not None]
    found: dict[str, int] = {}
    if any(each.what == "running" for each in wanted):
        of = {f"of_{whose}": key for whose, key in who.items()}
        running = conn.execute(_RUNNING, of).mappings().one()
        found |= {f"running_per_{whose}": running[whose] for whose in who}
    for per, since in (("day", span.day_start), ("month", span.month_start)):
        for whose, key in who.items():
            whats = {each.what for each in wanted if each.whose == whose and each.per == per}
            if whats:
                query = _SUMS[whose, "clips" in whats]
                sums = conn.execute(query, {"who": key, "since": since}).mappings().one()
                found |= {f"{what}_per_{whose}_per_{per}": int(sums[what]) for what in whats}
    if limits.usd_total_per_month is not None:
        spent = conn.execute(_MONEY, {"since": span.month_start}).scalar_one()
        found["usd_total_per_month"] = int(spent)
    return found


def only(found: quota.Used, *whose: Whose) -> quota.Used:
    """What of it counts for these."""
    keys = {limit.key for limit in LIMITS if limit.whose in whose}
    return {key: value for key, value in found.items() if key in keys}
