"""Days as a chart: what the script draws, and the words at its axes. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from bot.refs import money
from bot.words import day_words, span

#: How many days can be chosen.
CHOICES = (7, 30, 90)
DAYS = 30
MOST_STEPS = 4
CENT = 10_000
#: The values of a chart: micro-dollars, seconds, or how many.
Unit = Literal["money", "seconds", "count"]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one part of each bar; a day without a value has None."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Values of days, the earliest first; bars stand upon each other. `table` has the same."""

    title: str
    table: str
    unit: Unit
    days: Sequence[str]
    series: Sequence[Series]
    shape: Literal["bars", "lines"] = "bars"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be seen."""
        return not any(value for each in self.series for value in each.values)

    @property
    def json(self) -> str:
        """All that the script needs; every word at it is ours."""
        ticks = ticks_to(self._most, CENT if self.unit == "money" else 1)
        drawn: dict[str, Any] = {
            "shape": self.shape,
            "days": [day_words(date.fromisoformat(day)) for day in self.days],
            "ticks": ticks,
            "labels": [_said(self.unit)(tick) for tick in ticks],
            "series": [
                {
                    "name": each.name,
                    "values": list(each.values),
                    "said": ["–" if v is None else _said(self.unit)(v) for v in each.values],
                }
                for each in self.series
            ],
        }
        return json.dumps(drawn, separators=(",", ":"))

    @property
    def _most(self) -> float:
        if self.shape == "lines":
            return max((value or 0 for each in self.series for value in each.values), default=0)
        every = zip(*(each.values for each in self.series), strict=True)
        return max((sum(value or 0 for value in day) for day in every), default=0)


def ticks_to(most: float, least: int) -> list[int]:
    """Round values from zero to the first that is not below `most`; steps are 1, 2, 5, 10 …."""
    step, at = least, 0
    while step * MOST_STEPS < most:
        at += 1
        step = least * (1, 2, 5)[at % 3] * 10 ** (at // 3)
    count = max(1, -(-int(most * 1000) // (step * 1000)))
    return [step * each for each in range(count + 1)]


def days_of(query: str) -> int:
    """How many days a page was asked for."""
    return int(query) if query in map(str, CHOICES) else DAYS


def _said(unit: Unit) -> Callable[[float], str]:
    if unit == "money":
        return lambda value: money(int(value))
    if unit == "seconds":
        return lambda value: f"{value:.1f} s" if value % 1 else span(timedelta(seconds=value))
    return lambda value: f"{value:,.0f}"
