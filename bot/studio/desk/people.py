"""Who asks for clips or is blocked: what they used, what they may use, what keeps them out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bot import quota
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.desk_job_views import People, PersonLine, PersonSight, Search
from bot.errors import JobNotFound
from bot.overview import Blocked, Sitting, UsageRow
from bot.refs import Micros
from bot.request import Requester
from bot.store import desk_acts, desk_people, ledger, reports
from bot.store.database import Database
from bot.store.desk_people import Seen
from bot.studio.desk.acts import NOBODY
from bot.studio.desk.clips import ClipsView
from bot.words import labels

PAGE = 50
#: Maximum of people in a file.
MOST_IN_FILE = 5000


class PeopleView:
    """People of the reach of a sitting; the others are not there (`JobNotFound`)."""

    def __init__(
        self, *, database: Database, clock: Clock, context: BotContext, clips: ClipsView
    ) -> None:
        self._database = database
        self._clock = clock
        self._context = context
        self._clips = clips

    async def page(
        self, sitting: Sitting, *, named: str = "", tenant: str = "", page: int = 1
    ) -> People:
        """A page of those who asked or are blocked, the last first; only those called so."""
        return await self._read(sitting, named, tenant, limit=PAGE, offset=PAGE * (page - 1))

    async def everybody(self, sitting: Sitting, *, named: str = "", tenant: str = "") -> People:
        """All of them, up to the most that a file has."""
        return await self._read(sitting, named, tenant, limit=MOST_IN_FILE, offset=0)

    async def _read(
        self, sitting: Sitting, named: str, tenant: str, *, limit: int, offset: int
    ) -> People:
        now, where = self._clock.now(), sitting.tenant or tenant
        span = quota.windows(now, self._context.limits.timezone)
        found, count = await self._database.read(
            lambda conn: desk_people.seen(
                conn, where, now, named=named, limit=limit, offset=offset
            )
        )
        keys = [each.person for each in found]
        used, blocked = await self._database.read(
            lambda conn: (
                ledger.usage(conn, span.month_start, span.month_end, people=keys),
                desk_people.blocked(conn, keys, now),
            )
        )
        # There may be thousands, and the loop has others to serve.
        lines = await asyncio.to_thread(_to_lines, found, used, blocked)
        return People(lines=lines, count=count, month_ends=span.month_end)

    async def one(self, sitting: Sitting, person: str) -> PersonSight:
        """What one person used and may use, and what they asked for last."""
        tenant = person.rpartition(":")[0]
        now, limits = self._clock.now(), self._context.limits
        zone = limits.timezone
        if not sitting.sees(tenant):
            raise JobNotFound(NOBODY)
        last_asked, block = await self._database.read(
            lambda conn: desk_acts.person(conn, person, now)
        )
        if last_asked is None and block is None:
            raise JobNotFound(NOBODY)
        asked, month = last_asked or _unseen(person), quota.windows(now, zone).month_start
        seen, report, days = await self._database.read(
            lambda conn: (
                desk_people.one(conn, person),
                ledger.report(conn, asked, "", limits, now),
                reports.by_day(conn, month, now, timezone=zone, person=person),
            )
        )
        last = await self._clips.page(sitting, Search(person=person))
        line = PersonLine(
            person=person,
            tenant=tenant,
            name=labels({person: asked.display_name})[person],
            last_seen=seen.at if seen else None,
            asked_ever=seen.times if seen else 0,
            month=report.month,
            block=block,
        )
        return PersonSight(
            line=line,
            today=replace(report.today, label="today"),
            month=report.month,
            days=tuple(reversed(days)),
            allowances=report.allowances,
            grants=report.grants,
            last=last.lines[:10],
        )


def _to_lines(
    found: Sequence[Seen], used: Iterable[UsageRow], blocked: Mapping[str, Blocked]
) -> list[PersonLine]:
    by_key = {each.label: each for each in used}
    called = labels({each.person: each.name for each in found})
    return [
        PersonLine(
            person=each.person,
            tenant=each.person.rpartition(":")[0],
            name=called[each.person],
            last_seen=each.at if each.times else None,
            asked_ever=each.times,
            month=by_key.get(each.person, _nothing(each.person)),
            block=blocked.get(each.person),
        )
        for each in found
    ]


def _unseen(person: str) -> Requester:
    """Somebody of whom no more is known than their id."""
    adapter, workspace, user = person.split(":", 2)
    return Requester(adapter=adapter, workspace=workspace, user=user)


def _nothing(label: str) -> UsageRow:
    return UsageRow(
        label=label, asked=0, delivered=0, refused=0, failed=0, seconds=0.0, charged=Micros(0)
    )
