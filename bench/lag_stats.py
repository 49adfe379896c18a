"""Lags and calls per job, of the program or of a peer, from what each side knows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.figures import Score, percentile, spread
from bench.loop import idle_worst, worst
from bench.program import Journey
from bench.service import Report


@dataclass(frozen=True, kw_only=True)
class LagStats:
    """Lags in seconds, and how many looks (GETs) and calls in all each job took.

    `stages` is where the median lag was spent, if that is known.
    """

    lags: Sequence[float]
    looks: float
    calls: float
    stages: str = ""

    @property
    def words(self) -> str:
        """As the table shows it."""
        return f"{spread(self.lags)}; {self.looks:.2f} GETs per job"

    @property
    def p50(self) -> float:
        """The median lag."""
        return percentile(self.lags, 50)

    @property
    def p95(self) -> float:
        """The lag that one in twenty exceeds."""
        return percentile(self.lags, 95)

    def to_score(
        self,
        who: str,
        running: int,
        *,
        late: Sequence[float] = (),
        job_bytes: float = math.nan,
    ) -> Score:
        """For the comparison; `late` is of a loop, judged beside an idle one."""
        return Score(
            who=who,
            running=running,
            p50=self.p50,
            p95=self.p95,
            most=max(self.lags, default=math.nan),
            looks=self.looks,
            stall=worst(late) - idle_worst() if late else math.nan,
            job_bytes=job_bytes,
        )


def to_lag_stats(journeys: Iterable[Mapping[str, Journey]], reports: Sequence[Report]) -> LagStats:
    """Put what the programs did beside what their services know."""
    pairs = [
        (journey, report.completed[generation])
        for own, report in zip(journeys, reports, strict=True)
        for generation, journey in own.items()
        if generation in report.completed
    ]
    stages = {
        "seen": [journey.seen - completed for journey, completed in pairs],
        "kept": [journey.kept - journey.seen for journey, _ in pairs],
        "posted": [journey.visible - journey.kept for journey, _ in pairs],
    }
    lags = [journey.visible - completed for journey, completed in pairs]
    count = sum(len(report.created) for report in reports)
    return LagStats(
        lags=lags,
        looks=sum(report.looks for report in reports) / count,
        calls=sum(report.calls for report in reports) / count,
        stages=", ".join(f"{name} {percentile(each, 50):.2f}" for name, each in stages.items()),
    )


def remark(stats: LagStats) -> str:
    """How many were measured, all calls, and where the time went."""
    where = f"; p50 of stages: {stats.stages} s" if stats.stages else ""
    return f"{len(stats.lags)} clips; {stats.calls:.2f} calls per job with the POST{where}"


def to_peer_stats(visible: Iterable[Mapping[str, float]], reports: Sequence[Report]) -> LagStats:
    """The same of peers, of whom only the end is known."""
    journeys = [
        {each: Journey(seen=at, kept=at, visible=at) for each, at in own.items()}
        for own in visible
    ]
    return replace(to_lag_stats(journeys, reports), stages="")
