"""What the bench says of ten slots."""

from __future__ import annotations

from bench.service import Report
from bench.ten_slots import SLOTS, busy_share, most_running


def _report(spans: list[tuple[float, float]]) -> Report:
    created = {str(number): began for number, (began, _) in enumerate(spans)}
    completed = {str(number): ended for number, (_, ended) in enumerate(spans)}
    return Report(requests={}, created=created, completed=completed)


def test_one_that_begins_as_another_one_ends_takes_its_slot() -> None:
    report = _report([(0.0, 10.0), (10.0, 20.0)] * SLOTS)
    assert busy_share(report, 20.0) == 1.0
    assert most_running(report) == SLOTS


def test_one_too_many_makes_up_for_none_that_is_idle() -> None:
    """Half the time eleven run, half the time nine: as busy as ten, and not as it should be."""
    report = _report([(0.0, 20.0)] * 9 + [(0.0, 10.0)] * 2)
    assert busy_share(report, 20.0) == 1.0
    assert most_running(report) == SLOTS + 1
