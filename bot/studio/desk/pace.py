"""How it went day by day: what failed, and how long the others took."""

from __future__ import annotations

from collections.abc import Sequence

from bot import quota
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.desk_views import Pace
from bot.overview import Sitting
from bot.store import desk_pace, reports
from bot.store.database import Database
from bot.store.desk_days import Days


class PaceView:
    """Days of the reach of a sitting."""

    def __init__(self, *, database: Database, clock: Clock, context: BotContext) -> None:
        self._clock = clock
        self._context = context
        self._days: Days[Pace] = Days(desk_pace.read, database=database, clock=clock)

    async def read(self, sitting: Sitting, *, days: int) -> Sequence[Pace]:
        """Each of the last days, by when it was asked."""
        now, zone = self._clock.now(), self._context.limits.timezone
        since, until = quota.days_before(now, zone, days), quota.windows(now, zone).day_end
        asked = reports.days_between(since, until, zone)
        return await self._days.read(asked, sitting.tenant or None)
