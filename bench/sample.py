"""Some of thousands that run are finished at a steady rate; nobody could take all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from time import perf_counter

from bench.lag_stats import LagStats
from bench.program import Journey
from bench.service import Report, Service

FINISHED, RATE = 80, 5.0
#: Before the first, so that what follows a start has passed; after the last, to be delivered:
#: longer than it takes to read a list of ten thousand once round, at 10 GETs a second or fewer.
BEFORE_SECONDS, AFTER_SECONDS = 4.0, 30.0
#: As long as a generation takes in the other measures, on the average.
MEAN_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Which were finished, what the service saw until the end, and looks for each running job.

    The looks are those of `MEAN_SECONDS`, as every other measure counts a whole job's.
    """

    ids: Sequence[str] = field(repr=False)
    report: Report
    looks: float

    def to_lag_stats(self, journeys: Mapping[str, Journey]) -> LagStats:
        """The lags of those that were finished; of one that was not delivered, infinite."""
        lags = [
            journeys[each].visible - self.report.completed[each] if each in journeys else math.inf
            for each in self.ids
        ]
        return LagStats(lags=lags, looks=self.looks, calls=self.looks + 1)

    @property
    def words(self) -> str:
        """What was done to measure it."""
        return (
            f"{len(self.ids)} of them finish, {RATE:.0f} a second; GETs per job of "
            f"{MEAN_SECONDS:.0f} s; never: not within {AFTER_SECONDS:.0f} s after the last"
        )


def take_sample(service: Service, running: Sequence[str]) -> Sample:
    """Finish some of all ages one after the other, and wait as long as people might."""
    pause = Event()
    pause.wait(BEFORE_SECONDS)
    step = max(1, len(running) // FINISHED)
    ids = running[::step][:FINISHED]
    before, began = service.report().looks, perf_counter()
    for number, each in enumerate(ids):
        pause.wait(max(0.0, began + number / RATE - perf_counter()))
        service.finish([each])
    if ids:
        pause.wait(AFTER_SECONDS)
    report, seconds = service.report(), perf_counter() - began
    looks = (report.looks - before) / seconds * MEAN_SECONDS / max(1, len(running))
    return Sample(ids=ids, report=report, looks=looks)
