"""Money: what was asked and charged, against the budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from adapters.web.desk.charts import CHOICES, Chart, Series, days_of
from adapters.web.desk.tables import Column, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from bot.desk_views import Budget, Spending
from bot.ports import WebCall, WebReply
from bot.text import clean

if TYPE_CHECKING:
    from bot.studio import Studio, UsageRow

MEASURES = (
    Column(name="asked", kind="number"),
    Column(name="delivered", kind="number"),
    Column(name="refused", kind="number"),
    Column(name="failed", kind="number"),
    Column(name="video", kind="span"),
    Column(name="charged", kind="money"),
)
NAME_CHARS = 60
#: So many rows are on the page; the file has all of them.
SHOWN = 25
BARS = 12
BY_DAY = "By day"


class Money:
    """The first page."""

    def __init__(self, studio: Studio) -> None:
        self._view = studio.desk.money

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The page, and each of its tables as a file."""
        return {
            ("GET", "/desk"): self._page,
            **{("GET", _file(name)): partial(self._file, name) for name in TABLES},
        }

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        days = days_of(call.query.get("days", ""))
        spent = await self._view.read(visit.sitting, days=days)
        return visit.page(
            "money.html",
            here="/desk",
            spent=spent,
            bars=to_bars(spent),
            budgets_file=_file("budgets"),
            charts=to_charts(spent.days),
            days=days,
            choices=CHOICES,
            by_day=replace(_days(spent), file=f"{_file('days')}?days={days}"),
            tables=[dearest(name, spent) for name in SHARES if _is_shown(name, visit)],
        )

    async def _file(self, name: str, call: WebCall, visit: DeskVisit) -> WebReply:
        days = days_of(call.query.get("days", ""))
        spent = await self._view.read(visit.sitting, days=days)
        return await as_file(partial(TABLES[name], spent), name)


def to_charts(days: Sequence[UsageRow]) -> list[Chart]:
    """What was charged on each day, and what became of what was asked."""
    names = [each.label for each in days]
    charged = Series(name="charged", values=[each.charged for each in days])
    counts = (
        Series(name="delivered", values=[each.delivered for each in days]),
        Series(name="failed", values=[each.failed for each in days]),
        Series(name="refused", values=[each.refused for each in days]),
    )
    return [
        Chart(title="Charged", table=BY_DAY, unit="money", days=names, series=[charged]),
        Chart(title="Clips", table=BY_DAY, unit="count", days=names, series=counts),
    ]


def to_bars(spent: Spending) -> list[Mapping[str, Any]]:
    """What holds for all first, then the limits that are reached soonest."""
    bars = [to_bar(each, spent) for each in spent.budgets]
    return sorted(bars, key=lambda bar: (bool(bar["place"]), -bar["share"]))[:BARS]


def to_bar(budget: Budget, spent: Spending) -> Mapping[str, Any]:
    """A limit and its use, as a bar with words."""
    limit, allowed = budget.allowance, budget.allowance.allowed or 0
    share = round(100 * limit.used / allowed) if allowed else 100 if limit.used else 0
    return {
        "name": limit.name.removeprefix("this place's "),
        "place": _named(budget.tenant, spent) if budget.tenant else "",
        "kind": "money" if limit.is_money else "number",
        "used": limit.used,
        "allowed": allowed,
        "share": share,
        # Without a width there is no bar; nothing may be used, then.
        "full": max(1, allowed),
        "resets_at": limit.resets_at,
    }


def _usage(title: str, what: str, name: str, rows: Sequence[UsageRow]) -> Table:
    return to_usage(title, what, rows, file=_file(name))


def to_usage(title: str, what: str, rows: Sequence[UsageRow], *, file: str) -> Table:
    """Usage as a table."""
    return Table(
        title=title,
        columns=(Column(name=what), *MEASURES),
        rows=[
            (
                each.label,
                each.asked,
                each.delivered,
                each.refused,
                each.failed,
                each.seconds,
                each.charged,
            )
            for each in rows
        ],
        file=file,
    )


def _named(key: str, spent: Spending) -> str:
    """Somebody, or a place, by their name, and always by the key that tells them apart."""
    name = clean(spent.names.get(key, ""), limit=NAME_CHARS)
    return f"{name} ({key})" if name else key


def _days(spent: Spending) -> Table:
    return _usage(BY_DAY, "day", "days", list(reversed(spent.days)))


def _models(spent: Spending) -> Table:
    return _usage("By model, this month", "model", "models", spent.models)


def _people(spent: Spending) -> Table:
    table = _usage("By person, this month", "person", "people", spent.people)
    return _with_names(table, spent)


def _places(spent: Spending) -> Table:
    table = _usage("By place, this month", "place", "places", spent.places)
    return _with_names(table, spent)


def _with_names(table: Table, spent: Spending) -> Table:
    return replace(table, rows=[(_named(str(key), spent), *rest) for key, *rest in table.rows])


def _budgets(spent: Spending) -> Table:
    columns = ("place", "limit", "used", "allowed", "unit", "resets")
    return Table(
        title="Budgets",
        columns=[Column(name=each) for each in columns],
        rows=[
            (
                each.tenant or "every place",
                each.allowance.name,
                _amount(each, each.allowance.used),
                _amount(each, each.allowance.allowed or 0),
                "USD" if each.allowance.is_money else "clips",
                each.allowance.resets_at,
            )
            for each in spent.budgets
        ],
        file=_file("budgets"),
    )


def _amount(budget: Budget, value: int) -> str:
    return f"{value / 1_000_000:.6f}" if budget.allowance.is_money else str(value)


def dearest(name: str, spent: Spending) -> Table:
    """A table as it is on the page: with the dearest rows."""
    rows: Sequence[UsageRow] = getattr(spent, name)
    shown: Mapping[str, Any] = {name: rows[:SHOWN]}
    table = TABLES[name](replace(spent, **shown))
    if len(rows) <= SHOWN:
        return table
    return replace(table, title=f"{table.title}: the {SHOWN} dearest of {len(rows):,}")


def _is_shown(name: str, visit: DeskVisit) -> bool:
    """One place needs no table of places."""
    return name != "places" or not visit.sitting.tenant


def _file(name: str) -> str:
    return "/desk/days.csv" if name == "days" else f"/desk/money/{name}.csv"


TABLES: Mapping[str, Callable[[Spending], Table]] = {
    "budgets": _budgets,
    "days": _days,
    "models": _models,
    "people": _people,
    "places": _places,
}
SHARES = ("models", "people", "places")
