"""What was measured beside what should be reached, and the table of it. Knows no measure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

#: How the names of figures begin that are not Raybot's own.
PEER = "  peer: "


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one program did with so many running jobs, to be set beside the others.

    Seconds from completion to the clip in the thread; GETs for each job; milliseconds of loop
    stall above an idle loop; memory for each running job. What was not measured is NaN.
    """

    who: str
    running: int
    p50: float
    p95: float
    most: float
    looks: float
    stall: float = math.nan
    job_bytes: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table; `is_reached` is None where it only stands there for comparison."""

    name: str
    measured: str
    goal: str = ""
    is_reached: bool | None = None
    remark: str = ""
    score: Score | None = None

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
    most = max(values, default=math.nan)
    return f"p50 {number(middle)}, p95 {number(high)}, max {number(most)} s"


def number(value: float) -> str:
    """Three digits at the most; what never came, and what is not known, in words."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "never"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}" if value > 99 else f"{value:.1f}"


def show(figures: Iterable[Figure], *, title: str) -> None:
    """Print the table; it is as wide as it needs to be where nobody looks at a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    table = Table(title=title, title_justify="left", show_lines=False)
    for heading in ("figure", "goal", "measured", ""):
        table.add_column(heading, overflow="fold")
    for figure in figures:
        color = "green" if figure.is_reached else "red"
        verdict = f"[{color}]{figure.verdict}[/]" if figure.verdict else ""
        remark = f"\n[dim]{figure.remark}[/]" if figure.remark else ""
        table.add_row(figure.name, figure.goal, f"{figure.measured}{remark}", verdict)
    console.print(table)
