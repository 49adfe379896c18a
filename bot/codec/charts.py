"""Draws a place's usage by day as a picture. Runs only in a child, and only with matplotlib."""

from __future__ import annotations

import os
from typing import Any

_INCHES, _DOTS = (9.0, 5.4), 110
_INK, _FAINT = "#1f2328", "#d8dee4"
#: Maximum of days that have room on the axis for a label each.
_LABELLED = 10
#: How many days a chart is laid out for at least, so that none is drawn wider.
_LEAST_DAYS = 14
#: Above, gaps between bars would be thinner than a dot.
_MOST_GAPS = 62


def draw_usage(
    target: str, cache: str, title: str, days: list[str], panels: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write a PNG with one row of bars for each panel, a bar for each day.

    A panel has `title`, `colour`, `values`, and of its axis `ticks`, their `labels` and the `top`.
    """
    # Where it keeps its list of fonts, which takes seconds to make: it has no home here. Threads
    # of its mathematics would ask for more memory than a child may have.
    os.environ |= {"MPLCONFIGDIR": cache, "OPENBLAS_NUM_THREADS": "1"}
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A dollar begins no formula.
    with mpl.rc_context({"text.parse_math": False, "font.size": 10}):
        figure = Figure(figsize=_INCHES, dpi=_DOTS, facecolor="white")
        figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.1)
        figure.suptitle(title, color=_INK, fontsize=13, fontweight="bold")
        every = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(every, panels, strict=True):
            _draw_panel(axes, panel)
        _name_days(every[-1], days)
        figure.savefig(target, format="png")
    return {}


def _draw_panel(axes: Any, panel: dict[str, Any]) -> None:
    width = 0.78 if len(panel["values"]) <= _MOST_GAPS else 1.0
    axes.bar(range(len(panel["values"])), panel["values"], width=width, color=panel["colour"])
    axes.set_title(panel["title"], loc="left", color=_INK, fontsize=11)
    axes.set_ylim(0, panel["top"])
    axes.set_yticks(panel["ticks"], panel["labels"])
    axes.tick_params(colors=_INK, length=0)
    axes.grid(axis="y", color=_FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_INK)


def _name_days(axes: Any, days: list[str]) -> None:
    step = -(-len(days) // _LABELLED)
    axes.set_xticks(range(0, len(days), step), days[::step])
    space = max(0.0, (_LEAST_DAYS - len(days)) / 2)
    axes.set_xlim(-0.5 - space, len(days) - 0.5 + space)
