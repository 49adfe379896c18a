"""What the desk shows of money beside the usage: what is held, and who is who."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from bot.job import OPEN
from bot.overview import UsageRow
from bot.refs import Micros
from bot.store import ledger, reports
from bot.store.desk_clips import called
from bot.store.portable import beside, total
from bot.store.reports import Day
from bot.store.schema import jobs, places

_HELD = select(total(jobs.c.cost) - total(ledger.CHARGED)).where(jobs.c.state.in_(OPEN))
_NAME = (
    select(called(jobs))
    .where(jobs.c.person == bindparam("who"))
    .order_by(jobs.c.created_at.desc())
    .limit(1)
)


@dataclass(frozen=True, kw_only=True)
class Month:
    """Usage by model, by person and by place, the dearest first, and who is who."""

    models: list[UsageRow]
    people: list[UsageRow]
    places: list[UsageRow]
    names: dict[str, str]


def held(conn: Connection, tenant: str | None) -> Micros:
    """What is reserved now for what is under way and not paid yet."""
    is_there = [beside(jobs.c.tenant) == tenant] if tenant is not None else []
    return Micros(conn.execute(_HELD.where(*is_there)).scalar_one())


class Sums:
    """Usage by model, by person and by place."""

    def __init__(self, *parts: Sums) -> None:
        self._models = defaultdict[str, reports.Sum](reports.Sum)
        self._people = defaultdict[str, reports.Sum](reports.Sum)
        self._places = defaultdict[str, reports.Sum](reports.Sum)
        for part in parts:
            for own, more in zip(self.every, part.every, strict=True):
                for name, each in more.items():
                    own[name].add_sum(each)

    def add(self, model: str, person: str, place: str, each: reports.Sum) -> None:
        """Count what somebody asked of a model somewhere."""
        for name, sums in zip((model, person, place), self.every, strict=True):
            sums[name].add_sum(each)

    @property
    def models(self) -> list[UsageRow]:
        """A row for each model, as all of these the dearest first."""
        return _dearest(self._models)

    @property
    def people(self) -> list[UsageRow]:
        """A row for each person."""
        return _dearest(self._people)

    @property
    def places(self) -> list[UsageRow]:
        """A row for each place."""
        return _dearest(self._places)

    @property
    def every(self) -> tuple[defaultdict[str, reports.Sum], ...]:
        """The sums in the order of these three."""
        return self._models, self._people, self._places


def sums(conn: Connection, start: datetime, end: datetime, tenant: str | None) -> Sums:
    """What was asked between two times, read once for all three."""
    columns = (jobs.c.person, jobs.c.model, jobs.c.tenant)
    days = [Day("", start, end)] if start < end else []
    alike = defaultdict[tuple[str, str, str], reports.Sum](reports.Sum)
    for _, row in reports.asked(conn, days, *columns, tenant=tenant):
        alike[row.model, row.person, row.tenant].add(row)
    found = Sums()
    for who, each in alike.items():
        found.add(*who, each)
    return found


def month(conn: Connection, sums: Sums, *, named: int) -> Month:
    """The rows of sums, and the names of every place and of so many people, the dearest."""
    people, places = sums.people, sums.places
    keys = [row.label for row in people[:named]], [row.label for row in places]
    return Month(models=sums.models, people=people, places=places, names=names(conn, *keys))


def _dearest(sums: Mapping[str, reports.Sum]) -> list[UsageRow]:
    rows = [each.to_row(name) for name, each in sums.items()]
    return sorted(rows, key=lambda row: (-row.charged, -row.asked, row.label))


def names(conn: Connection, people: Sequence[str], tenants: Sequence[str]) -> dict[str, str]:
    """What people called themselves last, and what places are called, where that is known."""
    found = {each: conn.execute(_NAME, {"who": each}).scalar_one_or_none() for each in people}
    rows = conn.execute(select(places.c.tenant, places.c.name).where(places.c.tenant.in_(tenants)))
    every = {**found, **{row.tenant: row.name for row in rows}}
    return {key: name for key, name in every.items() if name}
