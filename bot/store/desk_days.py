"""What is read day by day: days that are over, and of which nothing is under way, are kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Generic, TypeVar

from sqlalchemy import Connection

from bot.clock import Clock
from bot.store import desk_pace
from bot.store.database import Database
from bot.store.reports import Day

T = TypeVar("T")
#: Maximum of days of places that this process keeps.
MOST_KEPT = 4000
#: What was asked just before midnight may be written a little later.
MARGIN = timedelta(minutes=5)
Read = Callable[[Connection, Sequence[Day], str | None], Mapping[str, T]]


class Days(Generic[T]):
    """Reads some days at once; what cannot change any more is read once."""

    def __init__(self, read: Read[T], *, database: Database, clock: Clock) -> None:
        self._read = read
        self._database = database
        self._clock = clock
        self._kept: dict[tuple[str | None, Day], T] = {}

    async def read(self, days: Sequence[Day], tenant: str | None) -> list[T]:
        """What there is of each of these days, in their order."""
        known = {day: self._kept[tenant, day] for day in days if (tenant, day) in self._kept}
        lacking = [day for day in days if day not in known]
        now = self._clock.now()
        under_way, found = await self._database.read(
            lambda conn: (desk_pace.open_since(conn), self._pieces(conn, lacking, tenant))
        )
        every = known | {day: found[day.name] for day in lacking}
        if len(self._kept) > MOST_KEPT:
            self._kept.clear()
        for day in lacking:
            if day.until <= now - MARGIN and not _is_any_within(under_way, day):
                self._kept[tenant, day] = every[day]
        return [every[day] for day in days]

    async def settled(self, days: Sequence[Day]) -> Sequence[Day]:
        """The first of these days, as many as are over and have nothing under way."""
        under_way, now = await self._database.read(desk_pace.open_since), self._clock.now()
        return list(
            takewhile(
                lambda day: day.until <= now - MARGIN and not _is_any_within(under_way, day), days
            )
        )

    def _pieces(
        self, conn: Connection, days: Sequence[Day], tenant: str | None
    ) -> Mapping[str, T]:
        return self._read(conn, days, tenant) if days else {}


def _is_any_within(times: Sequence[datetime], day: Day) -> bool:
    at = bisect_left(times, day.since)
    return at < len(times) and times[at] < day.until
