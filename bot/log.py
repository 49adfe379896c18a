"""Structured logs for our own and other people's loggers, with secrets taken out.

Knows nothing of the application; whoever reads a secret registers it here.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
SHORTEST_SECRET = 6
#: They log addresses with their queries, rows with their values, or all that a chat tells them.
QUIET = (
    *("httpx", "httpcore", "aiohttp", "sqlalchemy", "aiosqlite", "alembic", "asyncio"),
    *("stamina", "discord", "slack_bolt", "slack_sdk", "procrastinate", "psycopg"),
)

#: What may stand before the secret is group 1 and stays.
_PATTERNS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(\b(?:Bearer|Basic)\s+)[\w.~+/=-]{16,}",  # An Authorization header.
        r"(\bxox[a-z]-)[\w-]+",
        r"(\bxapp-)[\w-]+",
        r"(\bluma-)(?=[\w-]*\d)[\w-]{20,}",
        r"()\b[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}",  # A Discord bot token.
        r"(/callbacks/[\w-]+/)[^\s/?#\"'<>]+",
        r"(/frames/)[^\s?#\"'<>]+",
        r"(/(?:webhooks|interactions)/\d+/)[^\s/?#\"'<>]+",
        r"(\bhooks\.slack\.com/\w+/)[^\s?#\"'<>]+",
        r"(\bfiles\.slack\.com/upload/)[^\s?#\"'<>]+",
        r"(\w+://[^\s/:@]+:)[^\s/@]+(?=@)",  # The password of a database address.
        r"(\w+://[^\s?#\"'<>]+\?)[^\s\"'<>]+",  # A signature is in the query.
    )
)
#: Each of them asks for one of these; most names and values of a line have none.
_MARK = re.compile(r"[-./\s]")

_ROW = re.compile(r"^(DETAIL:\s+).+$", re.MULTILINE)


class _Registry:
    """The secrets this process read, longest first, so that none hides part of another."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        #: How many of them the pattern knows: they only ever grow.
        self._compiled: tuple[int, re.Pattern[str] | None] = (0, None)

    def add(self, value: str) -> None:
        if len(value) >= SHORTEST_SECRET:
            self._values.add(value)

    @property
    def pattern(self) -> re.Pattern[str] | None:
        """Made when a line is logged: hundreds of workspaces may bring their tokens at once."""
        count, pattern = self._compiled
        if count != len(self._values):
            longest_first = sorted(self._values, key=len, reverse=True)
            pattern = re.compile("|".join(map(re.escape, longest_first)))
            self._compiled = (len(longest_first), pattern)
        return pattern


_registry = _Registry()


def register_secret(value: str) -> None:
    """Hide this exact value from every log line from now on; very short ones are left."""
    _registry.add(value)


def redact(text: str) -> str:
    """The text without registered secrets and without what looks like one."""
    if (pattern := _registry.pattern) is not None:
        text = pattern.sub(HIDDEN, text)
    if _MARK.search(text) is None:
        return text
    for each in _PATTERNS:
        text = each.sub(rf"\g<1>{HIDDEN}", text)
    return text


def _redact_value(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case bool() | int() | float() | None:
            return value
        case bytes():
            return f"[{len(value)} bytes]"
        case Mapping():
            return {_redact_value(key): _redact_value(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redact_value(each) for each in value]
        case _:
            return redact(str(value))


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    kept = {key: value for key, value in event.items() if key.startswith("_")}
    return {**cast("MutableMapping[str, Any]", _redact_value(event)), **kept}


def _hide_rows(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """PostgreSQL shows the row that it does not take, and rows hold what people wrote."""
    if "exception" in event:
        event["exception"] = _ROW.sub(rf"\g<1>{HIDDEN}", event["exception"])
    return event


def _hide_in_line(_logger: WrappedLogger, _method: str, line: str) -> str:
    """Once more on the finished line: a traceback or a renderer may have added something."""
    return redact(line)


def _leave_out_unknown(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in _NAMED:
        if not event.get(name, True):
            del event[name]
    return event


#: What a line is about.
_NAMED = ("job", "generation")
_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    _leave_out_unknown,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _hide_rows,
    _hide_secrets,
)


def get_logger(name: str) -> BoundLogger:
    """A structured logger; its events are words with dots, as in `job.submitted`."""
    return structlog.stdlib.get_logger(name)


@contextmanager
def naming(job: str = "", generation: str | None = None) -> Iterator[None]:
    """Let each line that is logged inside name this job, and its generation once it is known.

    Those of libraries, too. Without a job it is named inside, by `name_job`.
    """
    with structlog.contextvars.bound_contextvars(job=job, generation=generation):
        yield


def name_job(job: str, generation: str | None = None) -> None:
    """From here on, lines are about this job; until the end of what is `naming`, if anything."""
    structlog.contextvars.bind_contextvars(job=job, generation=generation)


def _route_to_stdlib() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_SHARED,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that setting up twice replaces it and leaves those of others alone."""


def setup_logging(
    level: str = "info", *, fmt: Literal["text", "json"] = "text", stream: TextIO | None = None
) -> None:
    """Send every logger through one handler to `stream` (standard error by default)."""
    target = stream or sys.stderr
    handler = _Handler(target)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _renderer(fmt, has_colors=target.isatty()),
                cast("Processor", _hide_in_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each, _Handler)]
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _renderer(fmt: Literal["text", "json"], *, has_colors: bool) -> Processor:
    if fmt == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.dev.ConsoleRenderer(
        colors=has_colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


# At import, so that nothing of ours reaches standard output where nobody sets up logging.
_route_to_stdlib()
