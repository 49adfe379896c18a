"""Notices and pages on a terminal: a live row for each running job, plain lines, or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text as Styled

from bot import notices as n
from bot.clock import Clock
from bot.errors import BotError, Refusal
from bot.refs import JobId
from bot.studio import Allowance, JobLine, Offered, Relative, Shown, UsageReport, UsageRow
from bot.text import Text, clean, describe, parameters, span

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
MAX_ROWS = 8


# ---- pure ------------------------------------------------------------------------------------


def words(notice: n.Notice) -> Text:
    """The words of a notice; at a terminal the operator is at hand and is told what to type."""
    text = describe(notice)
    if not isinstance(notice, n.Uncertain):
        return text
    choice = "adopt <generation> | charge | release"
    told = f"To decide: raybot resolve {notice.about.job_id} {choice}"
    return replace(text, lines=(*text.lines, told))


def to_block(text: Text, *, number: str = "", path: str = "") -> Group:
    """A message as lines; nothing in it is read as markup or control characters."""
    symbol, style = SYMBOLS[text.tone]
    head = Styled.assemble((symbol, style), " ", (f"[{number}] " if number else "", "bold cyan"))
    head.append(clean(text.title, limit=LINE_CHARS), "bold")
    if text.quote:
        head.append(f"  “{clean(text.quote, limit=80)}”", "dim italic")
    lines = [Styled(clean(line, limit=LINE_CHARS)) for line in text.lines]
    body: list[RenderableType] = [to_table(text), *lines] if text.table else [*lines]
    # A path stays in one piece, to be copied or clicked.
    where = [Styled(" " * INDENT + path, "bold", no_wrap=True, overflow="ignore")] if path else []
    indented = (Padding(each, (0, 0, 0, INDENT), expand=False) for each in body)
    return Group(head, *where, *indented)


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


def to_record(notice: n.Notice, *, number: str, path: Path | None) -> dict[str, Any]:
    """A notice for a script: one JSON object with the same keys for every notice."""
    about = getattr(notice, "about", None)
    price = about.price if about else None
    charged = getattr(notice, "charged", None)
    record: dict[str, Any] = {
        "notice": snake(type(notice).__name__),
        "job_id": about.job_id if about else getattr(notice, "job_id", None),
        "message": number or None,
        "sentence": sentence_of(notice),
        "price_usd": dollars(price.micros) if price else None,
        "charged_usd": None if charged is None else dollars(charged),
        "is_test": bool(price and price.is_test),
        "path": str(path) if path else None,
    }
    for name in (
        "position",
        "number",
        "is_slow",
        "code",
        "expires_at",
        "width",
        "height",
        "seconds",
    ):
        if hasattr(notice, name):
            record[name] = plain(getattr(notice, name))
    if about and about.shots:
        record["shots"] = [_shot_record(shot) for shot in about.shots]
    for name in ("expected", "took"):
        if hasattr(notice, name):
            record[f"{name}_seconds"] = plain(getattr(notice, name))
    if about and about.parent is not None:
        record["parent"] = parent_record(about.parent)
    if hasattr(notice, "acts"):
        record["acts"] = [act_record(each) for each in notice.acts]
    return record


def _shot_record(shot: n.Shot) -> dict[str, Any]:
    money = {"price_usd": dollars(shot.price.micros), "charged_usd": dollars(shot.charged)}
    known = {"number": shot.number, "job_id": shot.job_id, "prompt": shot.prompt}
    return known | {"state": shot.state, "seconds": shot.seconds} | money


def parent_record(parent: n.Parent | Relative) -> dict[str, Any]:
    """A job that another came of, for a script."""
    return {"job_id": parent.job_id, "relation": parent.relation}


def act_record(offer: Offered) -> dict[str, Any]:
    """What can be done with a clip, for a script."""
    options = {
        each.value: dollars(each.price.micros) if each.price else None for each in offer.options
    }
    price = dollars(offer.price.micros) if offer.price else None
    return {"act": offer.act, "price_usd": price, "options": options}


def family_record(shown: Shown) -> dict[str, Any]:
    """Where a clip comes from and what came of it, for a script."""
    return {
        "parents": [parent_record(each) for each in shown.parents],
        "children": [{**parent_record(each), "state": each.state} for each in shown.children],
    }


def sentence_of(notice: n.Notice) -> str:
    """A notice in one plain sentence, for a script to pass on."""
    if isinstance(notice, n.Uncertain):
        return " ".join((*words(notice).lines[:2], words(notice).lines[-1]))
    return clean(getattr(notice, "sentence", "") or words(notice).title, limit=500)


def snake(name: str) -> str:
    """`ConfirmNeeded` as `confirm_needed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def dollars(micros: int) -> float:
    """Micro-dollars as the dollars of a JSON object."""
    return round(micros / 1_000_000, 6)


def plain(value: Any) -> Any:
    """A value as JSON takes it: times as ISO 8601, lengths in seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value


def error_record(error: BotError, text: Text, *, job_id: JobId | None) -> dict[str, Any]:
    """A refusal or an error for a script."""
    return {
        "notice": "refused" if isinstance(error, Refusal) else "error",
        "code": snake(type(error).__name__),
        "field": getattr(error, "field", None),
        "job_id": job_id,
        "sentence": clean(error.sentence, limit=500),
        "advice": list(text.lines[1:]),
        "resets_at": plain(getattr(error, "resets_at", None)),
    }


def usage_record(report: UsageReport) -> dict[str, Any]:
    """A usage report for a script."""

    def row(used: UsageRow) -> dict[str, Any]:
        counts = {"asked": used.asked, "delivered": used.delivered, "refused": used.refused}
        more = {"failed": used.failed, "seconds": used.seconds}
        return counts | more | {"charged_usd": dollars(used.charged)}

    def limit(each: Allowance) -> dict[str, Any]:
        shown = dollars if each.is_money else int
        allowed = None if each.allowed is None else shown(each.allowed)
        used = {"name": each.name, "used": shown(each.used), "allowed": allowed}
        return used | {
            "unit": "usd" if each.is_money else "clips",
            "resets_at": plain(each.resets_at),
        }

    return {
        "notice": "usage",
        "today": row(report.today),
        "month": row(report.month),
        "limits": [limit(each) for each in report.allowances],
        "test_clips": report.test_clips,
        "test_usd": dollars(report.test_micros),
    }


def job_record(line: JobLine) -> dict[str, Any]:
    """One of one's own jobs for a script."""
    return {
        "job_id": line.job_id,
        "state": line.state,
        "prompt": line.prompt,
        "created_at": plain(line.created_at),
        "price_usd": dollars(line.price),
    }


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
        if isinstance(notice, n.Operator):
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
        if not isinstance(notice, n.Operator):
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
