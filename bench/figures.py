"""What was measured beside what should be reached, and the table of it. Knows no measure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table; `is_reached` is None where it only stands there for comparison."""

    name: str
    measured: str
    goal: str = ""
    is_reached: bool | None = None
    remark: str = ""

    @property
    def verdict(self) -> str:
        """The last column."""
        if self.is_reached is None:
            return ""
        return "reached" if self.is_reached else "NOT reached"


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest rank: the smallest value that `percent` of all do not exceed; NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> str:
    """Seconds as `p50 0.61, p95 1.20, max 1.31 s`."""
    middle, high = percentile(values, 50), percentile(values, 95)
    return f"p50 {middle:.2f}, p95 {high:.2f}, max {max(values, default=math.nan):.2f} s"


def show(figures: Iterable[Figure], *, title: str) -> None:
    """Print the table; it is as wide as it needs to be where nobody looks at a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    table = Table(title=title, title_justify="left", show_lines=False)
    for heading in ("figure", "goal", "measured", ""):
        table.add_column(heading, overflow="fold")
    for figure in figures:
        color = {True: "green", False: "red"}.get(figure.is_reached or False, "")
        verdict = f"[{color}]{figure.verdict}[/]" if figure.verdict else ""
        measured = f"{figure.measured}\n[dim]{figure.remark}[/]" if figure.remark else None
        table.add_row(figure.name, figure.goal, measured or figure.measured, verdict)
    console.print(table)
