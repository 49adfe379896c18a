"""A table as the page shows it and as a file."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from adapters.web.site import reply
from bot.ports import WebReply
from bot.words import cell

CELL_CHARS = 2000
#: How a value is drawn: money is micro-dollars, a time is aware, or words where none comes; a span
#: is seconds, and so are `seconds`, of which parts matter. A `text` is long; a `name` is cut where
#: it would be long.
Kind = Literal[
    "words", "name", "text", "number", "money", "time", "span", "seconds", "state", "job"
]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column."""

    name: str
    kind: Kind = "words"


@dataclass(frozen=True, kw_only=True)
class Link:
    """Words that lead somewhere."""

    words: str
    href: str


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A state in which a job is no more."""

    state: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under columns; `file` is where the whole of it can be fetched as CSV, `more` the rest.

    Where there are no rows, `empty` says so.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    file: str = ""
    more: str = ""
    empty: str = "Nothing yet."


def to_csv(table: Table) -> str:
    """The same as a file: exact dollars, times in UTC, and no formulas."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([each.name for each in table.columns])
    for row in table.rows:
        pairs = zip(table.columns, row, strict=True)
        writer.writerow([_written(column.kind, value) for column, value in pairs])
    return file.getvalue()


async def as_file(to_table: Callable[[], Table], name: str) -> WebReply:
    """A table as a file to be kept; it is made beside the loop, which has others to serve."""
    return reply(
        await asyncio.to_thread(lambda: to_csv(to_table())),
        kind="text/csv; charset=utf-8",
        headers=(("Content-Disposition", f'attachment; filename="raybot-{name}.csv"'),),
    )


def _written(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Link):
        value = value.words
    if isinstance(value, Passed):
        value = value.state
    if kind == "money":
        return f"{value / 1_000_000:.6f}"
    if kind == "seconds":
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return cell(str(value), limit=CELL_CHARS)
