"""The points at which a process can die: before and after each commit and each outside effect."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import psycopg
from aiohttp import ClientSession, FormData
from sqlalchemy import Connection, Engine, event

from bot.clips import Clips
from bot.codec import Codec
from bot.courier import Courier
from bot.errors import BotError
from bot.job import Clip
from bot.media import Media
from bot.notices import ClipForm
from bot.providers.luma import Luma
from bot.providers.replicate import Replicate
from bot.store.database import Database
from bot.store.errands import Errand

#: What no message depends on: it is read, or says that somebody is typing.
READS = {"GET", "HEAD"}
WRITER = "raybot-writer"
#: Which point: by its number, none for 0, or the first one with a name that looks like this.
Where = int | str
_CHANGE = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
#: The column of a table that tells what a change of it is.
_TOLD_BY = {"jobs": "state", "errands": "kind", "audit_log": "act"}
#: Whose a call is, where what it brings is for others than the person who asked.
_whose: ContextVar[str] = ContextVar("whose", default="")
#: What stands for the clip in a call that shows it.
_form: ContextVar[str] = ContextVar("form", default="")
FORMS: Mapping[ClipForm, str] = {"original": "", "smaller": "smaller ", "poster": "picture's "}


class Points:
    """Counts the points that a life passes; at one of them it ends without any goodbye.

    Or it freezes there, until somebody thaws it.
    """

    def __init__(self, file: Path, die_at: Where, *, freezes: bool = False) -> None:
        self._file = file
        self._die_at = die_at
        self._signal = signal.SIGSTOP if freezes else signal.SIGKILL
        self._passed: list[str] = []

    def cross(self, name: str, last_act: Callable[[], object] = lambda: None) -> None:
        """Go on, or die here; `last_act` is what a process still does at the very end."""
        self._passed.append(name)
        if self._is_the_end(name):
            self.write()
            last_act()
            os.kill(os.getpid(), self._signal)

    def _is_the_end(self, name: str) -> bool:
        if isinstance(self._die_at, int):
            return len(self._passed) == self._die_at
        # Once only: a frozen process goes on.
        here = re.match(self._die_at, name) is not None
        return here and not any(re.match(self._die_at, each) for each in self._passed[:-1])

    def write(self) -> None:
        """Leave what was passed for whoever looks on; the last is where the life ended."""
        self._file.write_text(json.dumps(self._passed))


def watch(points: Points) -> None:
    """Have this process's outside effects and commits counted."""
    _around_commits(points)
    _around(Luma, "submit", lambda *_: "POST that is paid", points)
    _around(Replicate, "submit", lambda *_: "other POST that is paid", points)
    look = _once("check of the generation")
    _around(Luma, "check", look, points)
    _around(Replicate, "check", look, points)
    _around(Clips, "fetch", lambda *_, **__: "fetch of the clip", points)
    _around(Codec, "probe_clip", lambda *_: "probe of the clip", points)
    _around(Clips, "join", lambda *_: "joining of the film", points)
    _around(Codec, "reencode", lambda *_, **__: "making it smaller", points)
    _around(Codec, "poster", lambda *_: "drawing of its picture", points)
    _around(Media, "put", lambda *_: "keeping of the file", points)
    _around(ClientSession, "_request", _call_name, points)
    _name_calls_for_moderators()
    _name_calls_by_form()


def _around_commits(points: Points) -> None:
    """A commit is named after the rows that it changes."""
    changed: dict[str, None] = {}

    def is_writer() -> bool:
        return threading.current_thread().name == WRITER

    @event.listens_for(Engine, "begin")
    def on_begin(_conn: object) -> None:
        if is_writer():
            changed.clear()

    @event.listens_for(Engine, "before_cursor_execute")
    def on_statement(
        _conn: object, _cursor: object, statement: str, _given: object, context: Any, _many: object
    ) -> None:
        if is_writer() and (match := _CHANGE.match(statement)) is not None:
            rows = context.compiled_parameters if context.compiled else ()
            changed[_change_name(match[1], rows[0] if rows else {})] = None

    @event.listens_for(Engine, "commit")
    def on_commit(conn: Connection) -> None:
        if is_writer() and changed:
            _cross_commit(conn, points, ", ".join(changed))

    true, method = Database._write_batch, "_write_batch"

    def write_batch(*args: Any) -> None:
        true(*args)
        if changed:
            points.cross(f"after commit of {', '.join(changed)}")

    setattr(Database, method, write_batch)


def _change_name(table: str, row: Mapping[str, Any]) -> str:
    """A table, and what is written there."""
    is_wish = table == "jobs" and row.get("cancel_requested")
    what = "cancel asked" if is_wish else row.get(_TOLD_BY.get(table, ""))
    return f"{table} {what}" if what else table


def _cross_commit(conn: Connection, points: Points, rows: str) -> None:
    points.cross(f"before commit of {rows}")
    if conn.dialect.name == "postgresql":
        points.cross(f"between COMMIT and its answer, of {rows}", lambda: _send_commit(conn))


def _send_commit(conn: Connection) -> None:
    """Let PostgreSQL hear of it, and do not wait for what it says."""
    wire = cast("psycopg.Connection", conn.connection.driver_connection).pgconn
    wire.send_query(b"COMMIT")
    wire.flush()


def _once(name: str) -> Callable[..., str]:
    """A name for the first look of a life: the others are as many as there was time for."""
    left = [name]
    return lambda *_, **__: left.pop() if left else ""


def _call_name(_session: ClientSession, method: str, url: object, **more: Any) -> str:
    if method.upper() in READS:
        return ""
    path = re.sub(r"^https?://[^/]+", "", str(url)).partition("?")[0]
    # Ids and secrets would make each name another one.
    short = re.sub(r"/[\w.=-]*\d{5,}[\w.=-]*|/[\w-]{20,}|(?<=/upload)/\w+", "/…", path)
    with_what = " with a file" if isinstance(more.get("data"), FormData) else ""
    return f"{_whose.get()}{_form.get()}{method.upper()} {short}{with_what}"


def _name_calls_for_moderators() -> None:
    """What asks them, and tells them what was decided, has other names than what Ana reads."""
    true, method = Courier._carry, "_carry"

    async def carry(self: Courier, errand: Errand) -> None:
        mark = _whose.set("moderators' " if errand.kind == "review" else "")
        try:
            await true(self, errand)
        finally:
            _whose.reset(mark)

    setattr(Courier, method, carry)


def _name_calls_by_form() -> None:
    """What shows a clip that was made to fit has other names than what shows it as it came."""
    true, method = Clips.fitted, "fitted"

    async def fitted(
        self: Clips, clip: Clip, max_bytes: int, *, has_link: bool
    ) -> tuple[Path, ClipForm]:
        path, form = await true(self, clip, max_bytes, has_link=has_link)
        _form.set(FORMS[form])
        return path, form

    setattr(Clips, method, fitted)


def _around(owner: type, method: str, to_name: Callable[..., str], points: Points) -> None:
    true: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not (name := to_name(*args, **kwargs)):
            return await true(*args, **kwargs)
        points.cross(f"before {name}")
        try:
            result = await true(*args, **kwargs)
        except BotError:
            points.cross(f"after {name}, refused")
            raise
        points.cross(f"after {name}")
        return result

    setattr(owner, method, wrapped)
