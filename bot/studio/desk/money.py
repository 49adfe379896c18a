"""What was asked and charged, against the budgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot import quota
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.desk_views import Spending
from bot.overview import Sitting, UsageRow
from bot.store import desk_budgets, desk_money, reports
from bot.store.database import Database
from bot.store.desk_days import Days
from bot.store.desk_money import Month, Sums

DAYS = 30
#: What others may read anew; the sums of a month take a moment at a hundred thousand jobs.
FRESH_SECONDS = 10.0
#: Maximum of people that are named, and of places whose budgets are shown: the dearest.
NAMED, BUDGETED = 100, 50
MOST_PLACES_KEPT = 200


class MoneyView:
    """Sums of the reach of a sitting."""

    def __init__(self, *, database: Database, clock: Clock, context: BotContext) -> None:
        self._database = database
        self._clock = clock
        self._context = context
        self._days: Days[UsageRow] = Days(reports.of_days, database=database, clock=clock)
        #: With when each was read.
        self._months: dict[str, tuple[float, Month]] = {}
        self._past: dict[str, tuple[datetime, datetime, Sums]] = {}

    async def read(self, sitting: Sitting, *, days: int = DAYS) -> Spending:
        """Today, this month, and each of the last days."""
        now, zone = self._clock.now(), self._context.limits.timezone
        span, tenant = quota.windows(now, zone), sitting.tenant or None
        since = min(quota.days_before(now, zone, days), span.month_start)
        every = reports.days_between(since, span.day_end, zone)
        # Read at once: today and this month stand side by side.
        usage = await self._days.read(every, tenant)
        this_month = [
            row for day, row in zip(every, usage, strict=True) if day.since >= span.month_start
        ]
        month = await self._month(sitting.tenant, span)
        others, house = [row.label for row in month.places[:BUDGETED]], self._context.limits
        held, budgets = await self._database.read(
            lambda conn: (
                desk_money.held(conn, tenant),
                desk_budgets.in_reach(conn, sitting.tenant, others, house, now),
            )
        )
        return Spending(
            today=replace(usage[-1], label="today"),
            month=replace(reports.total(this_month), label="this month"),
            month_ends=span.month_end,
            held=held,
            days=usage[-days:],
            models=month.models,
            people=month.people,
            places=month.places,
            names=month.names,
            budgets=budgets,
        )

    async def _month(self, tenant: str, span: quota.Windows) -> Month:
        """The sums of this month, a few seconds old at most."""
        began, kept = self._clock.boottime(), self._months.get(tenant)
        if kept is not None and began - kept[0] < FRESH_SECONDS:
            return kept[1]
        sums = await self._sums(tenant, span)
        read = await self._database.read(lambda conn: desk_money.month(conn, sums, named=NAMED))
        if len(self._months) > MOST_PLACES_KEPT:
            self._months.clear()
            self._past.clear()
        self._months[tenant] = began, read
        return read

    async def _sums(self, tenant: str, span: quota.Windows) -> Sums:
        """What changes no more is read once a day."""
        zone, start, end = self._context.limits.timezone, span.month_start, span.month_end
        settled = await self._days.settled(reports.days_between(start, span.day_end, zone))
        until, past = settled[-1].until if settled else start, self._past.get(tenant)
        if past is None or past[:2] != (start, until):
            read = await self._database.read(
                lambda conn: desk_money.sums(conn, start, until, tenant or None)
            )
            past = self._past[tenant] = (start, until, read)
        before = past[2]
        # There may be thousands of people, and the loop has others to serve.
        return await self._database.read(
            lambda conn: Sums(before, desk_money.sums(conn, until, end, tenant or None))
        )
