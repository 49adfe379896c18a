"""Notices and pages on a terminal: a live row for each running job, plain lines, or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text as Styled

from adapters.terminal.records import to_record, words
from bot import notices as n
from bot.clock import Clock
from bot.refs import JobId
from bot.text import Text, clean, parameters, span

Passing = n.Received | n.Queued | n.Generating | n.Filming | n.Waiting | n.Fetching
SYMBOLS = {
    "info": ("•", "cyan"),
    "good": ("✓", "bold green"),
    "bad": ("✗", "bold red"),
    "wait": ("…", "yellow"),
}
INDENT = 2
PLAIN_WIDTH = 100
LINE_CHARS = 2000
LINK = ("https://", "http://")
MAX_ROWS = 8


# ---- pure ------------------------------------------------------------------------------------


def to_block(text: Text, *, number: str = "", path: str = "") -> Group:
    """A message as lines; nothing in it is read as markup or control characters."""
    symbol, style = SYMBOLS[text.tone]
    head = Styled.assemble((symbol, style), " ", (f"[{number}] " if number else "", "bold cyan"))
    head.append(clean(text.title, limit=LINE_CHARS), "bold")
    if text.quote:
        head.append(f"  “{clean(text.quote, limit=80)}”", "dim italic")
    lines = [clean(line, limit=LINE_CHARS) for line in text.lines]
    table = [_indented(to_table(text))] if text.table else []
    where = [_whole(path)] if path else []
    body = (_whole(each) if each.startswith(LINK) else _indented(Styled(each)) for each in lines)
    return Group(head, *where, *table, *body)


def _whole(path: str) -> RenderableType:
    """A path or a link, which stays in one piece, to be copied or clicked."""
    return Styled(" " * INDENT + path, "bold", no_wrap=True, overflow="ignore")


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, INDENT), expand=False)


def to_table(text: Text) -> Table:
    """The text's table, numbers to the right."""
    head, *rows = text.table
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(head):
        is_number = all(re.match(r"[$0-9]", row[at]) for row in rows) and at > 0
        table.add_column(Styled(clean(name)), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Styled(clean(cell, limit=LINE_CHARS)) for cell in row))
    return table


# ---- screens ---------------------------------------------------------------------------------


class PlainScreen:
    """Plain lines, each when it is new: for files, pipes and logs."""

    def __init__(self, console: Console, *, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._said: dict[JobId, str] = {}

    def echo(self, number: str, line: str) -> None:
        """The line that a script typed."""
        self._console.print()
        shown = Styled.assemble((f"[{number}] ", "bold cyan"), ("❯ ", "magenta"))
        self._console.print(shown.append(clean(line, limit=LINE_CHARS)))

    def page(
        self, text: Text, record: Mapping[str, Any], *, number: str = "", path: Path | None = None
    ) -> None:
        """An answer that is no notice; `record` is the same for scripts."""
        del record
        self._print(to_block(text, number=number if path else "", path=str(path or "")))

    def show(self, notice: n.Notice, *, number: str = "", path: Path | None = None) -> None:
        """A notice, unless its job's last one said the same."""
        text = words(notice)
        if isinstance(notice, n.Jobless):
            self._print(to_block(text))
            return
        job_id = notice.about.job_id
        is_new = self._said.get(job_id) != text.title or path is not None
        self._said[job_id] = text.title
        if isinstance(notice, Passing):
            self._pass(notice, text, is_new=is_new)
            return
        if not isinstance(notice, n.Accepted):
            self._end(job_id)
        if is_new and not isinstance(notice, n.Done):
            self._print(to_block(text, number=number if path else "", path=str(path or "")))

    def _print(self, block: Group) -> None:
        self._console.print(block, crop=False)

    def _pass(self, notice: Passing, text: Text, *, is_new: bool) -> None:
        if not is_new:
            return
        symbol, style = SYMBOLS[text.tone]
        line = Styled.assemble((symbol, style), " ", text.title)
        hint = hint_of(notice, text)
        self._console.print(line.append(f"{hint and ' · '}{hint} · {notice.about.job_id}", "dim"))

    def _end(self, job_id: JobId) -> None:
        """The job no longer has a live row."""

    def close(self) -> None:
        """There is nothing to put away."""


def hint_of(notice: Passing, text: Text) -> str:
    """What a running job's line says beside its title, where there is something."""
    return text.lines[0] if text.lines[0] != parameters(notice.about.work) else ""


class LiveScreen(PlainScreen):
    """The running jobs as rows that pulse below the lines; there is no percentage to show."""

    def __init__(self, console: Console, *, clock: Clock) -> None:
        super().__init__(console, clock=clock)
        one_line = Column(no_wrap=True, overflow="ellipsis")
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=one_line),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("{task.fields[hint]}", markup=False, style="dim", table_column=one_line),
            console=console,
            transient=True,
        )
        self._rows: dict[JobId, TaskID] = {}

    def close(self) -> None:
        """Take the live rows away and give the cursor back."""
        self._progress.stop()

    def _pass(self, notice: Passing, text: Text, *, is_new: bool) -> None:
        del is_new  # A row may change as often as it likes.
        job_id, hint = notice.about.job_id, hint_of(notice, text) or f"“{text.quote}”"
        if job_id not in self._rows:
            self._rows[job_id] = self._progress.add_task("", total=None, hint="")
        self._progress.update(self._rows[job_id], description=text.title, hint=hint)
        self._progress.start()

    def _end(self, job_id: JobId) -> None:
        if job_id in self._rows:
            self._progress.remove_task(self._rows.pop(job_id))
        if not self._rows:
            self._progress.stop()


class PromptScreen(PlainScreen):
    """The running jobs as rows below the line that a person is typing."""

    def __init__(self, console: Console, *, clock: Clock) -> None:
        super().__init__(console, clock=clock)
        self._rows: dict[JobId, tuple[str, datetime, str]] = {}

    def toolbar(self) -> str:
        """The rows, with the time each has taken so far."""
        now = self._clock.now()
        pulse = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(now.timestamp() * 8) % 10]
        rows = [
            f"{pulse} {title} · {span(now - since)} · {rest}"
            for title, since, rest in self._rows.values()
        ]
        more = len(rows) - MAX_ROWS
        return "\n".join(rows[:MAX_ROWS] + ([f"… and {more} more"] if more > 0 else []))

    def _pass(self, notice: Passing, text: Text, *, is_new: bool) -> None:
        del is_new  # A row may change as often as it likes.
        job_id, hint = notice.about.job_id, hint_of(notice, text)
        _, since, _ = self._rows.get(job_id, ("", self._clock.now(), ""))
        rest = f"{hint}{hint and ' · '}“{clean(text.quote, limit=40)}” · {job_id}"
        self._rows[job_id] = (text.title, since, rest)

    def _end(self, job_id: JobId) -> None:
        self._rows.pop(job_id, None)


class JsonScreen:
    """One JSON object a line, and nothing else."""

    def __init__(self, stdout: TextIO, *, clock: Clock) -> None:
        self._stdout = stdout
        self._clock = clock
        self._last: dict[JobId, n.Notice] = {}

    def echo(self, number: str, line: str) -> None:
        """A script knows what it typed."""

    def page(
        self, text: Text, record: Mapping[str, Any], *, number: str = "", path: Path | None = None
    ) -> None:
        """An answer that is no notice."""
        where = {"path": str(path.absolute())} if path else {}
        self._write({**record, **where, "message": number or None, "at": self._at()})

    def show(self, notice: n.Notice, *, number: str = "", path: Path | None = None) -> None:
        """A notice, unless it is the same as its job's last one."""
        if not isinstance(notice, n.Jobless):
            if self._last.get(notice.about.job_id) == notice:
                return
            self._last[notice.about.job_id] = notice
        where = path and path.absolute()
        self._write({**to_record(notice, number=number, path=where), "at": self._at()})

    def close(self) -> None:
        """There is nothing to put away."""

    def _at(self) -> str:
        return self._clock.now().isoformat()

    def _write(self, record: Mapping[str, Any]) -> None:
        # ASCII, so that no encoding, control or bidi character can break a line.
        try:
            self._stdout.write(json.dumps(record) + "\n")
            self._stdout.flush()
        except BrokenPipeError:
            # The reader is gone, as with Rich; jobs go on at the next start.
            raise SystemExit(1) from None


Screen = PlainScreen | LiveScreen | PromptScreen | JsonScreen
