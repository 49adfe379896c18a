"""What the table of the bench shows of a figure."""

from __future__ import annotations

import pytest

from bench.figures import Figure, show

KEPT = Figure(name="kept", measured="1 s", goal="< 2 s", is_reached=True, remark="of two")
MISSED = Figure(name="missed", measured="3 s", goal="< 2 s", is_reached=False)
BESIDE = Figure(name="beside", measured="9 s")


def test_each_figure_has_its_row_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    show([KEPT, MISSED, BESIDE], title="Figures")
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("│")
    ]
    assert cells == [
        ["kept", "< 2 s", "1 s", "reached"],
        ["", "", "of two", ""],
        ["missed", "< 2 s", "3 s", "NOT reached"],
        ["beside", "", "9 s", ""],
    ]
