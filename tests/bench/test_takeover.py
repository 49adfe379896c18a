"""What the bench says of a takeover."""

from __future__ import annotations

from bench.options import RunOptions
from bench.takeover import measure_takeover, to_figure
from tests.replicas.stories import Told


def test_the_slowest_is_judged_and_what_was_not_measured_is_not_reached() -> None:
    told = Told(story="", measured={"gateway back": 0.5, "its jobs go on": 6.25})
    figure = to_figure("kill -9", told, ["its jobs go on", "gateway back"], 10.0)
    assert (figure.measured, figure.goal, figure.is_reached) == ("6.25 s", "< 10 s", True)
    assert figure.remark == "the slowest of each: gateway back 0.50 s, its jobs go on 6.25 s"
    assert to_figure("kill -9", told, ["its jobs go on"], 6.25).is_reached is False
    assert to_figure("kill -9", told, ["watch luma back"], 10.0).is_reached is False


def test_nothing_is_said_where_there_is_no_postgresql() -> None:
    assert measure_takeover(RunOptions()) == []
