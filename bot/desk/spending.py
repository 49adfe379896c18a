"""What was asked and charged, against the budgets."""

from __future__ import annotations

from dataclasses import replace

from bot import quota
from bot.clock import Clock
from bot.house import House
from bot.overview import Sitting
from bot.sights import Spending
from bot.store import reports
from bot.store.database import Database

DAYS = 30
BY: tuple[reports.Grouping, ...] = ("model", "tenant")


class SpendingView:
    """Sums of the reach of a sitting."""

    def __init__(self, *, database: Database, clock: Clock, house: House) -> None:
        self._database = database
        self._clock = clock
        self._house = house

    async def read(self, sitting: Sitting) -> Spending:
        """Today, this month, and each of the last days."""
        now, zone = self._clock.now(), self._house.limits.timezone
        span, tenant = quota.windows(now, zone), sitting.tenant or None
        since = min(span.month_start, quota.days_before(now, zone, DAYS))

        days, models, places = await self._database.read(
            lambda conn: (
                reports.by_day(conn, since, span.day_end, timezone=zone, tenant=tenant),
                *(
                    reports.usage(
                        conn,
                        span.month_start,
                        span.month_end,
                        by=each,
                        timezone=zone,
                        tenant=tenant,
                    )
                    for each in BY
                ),
            )
        )
        return Spending(
            today=replace(days[-1], label="today"),
            month=replace(reports.total(places), label="this month"),
            month_ends=span.month_end,
            days=days[-DAYS:],
            models=models,
            places=places,
        )
