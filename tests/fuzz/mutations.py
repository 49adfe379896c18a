"""Spoils what was true: drops, retypes, nests and repeats parts of a payload, and its texts."""

from __future__ import annotations

import functools
import json
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st

from bot.errors import BotError

T = TypeVar("T")
RECORDED = Path(__file__).parents[1] / "recorded"
#: So much of our own time may one input take.
CPU_SECONDS = 2.0
TEXTS = (
    *("", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\u202e fox", "\u200b=1+1", "\ufeff"),
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n", "<!channel>", "<@U1>", "&lt;", "`*_~|"),
    *("../../etc/passwd", "%00", "%2e%2e", "http://[", "https://[::1]/x", "file:///", "//", "?"),
    *("0", "-0", "1e999", "NaN", "9" * 400, "true", "null", "{}", "[]", "r-0abcd12345"),
    *("x" * 20_000, "é" * 300, "👩‍👩‍👧‍👦" * 50, "(" * 500, "\\" * 99, "--" * 200, '"' * 33),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**300, 0.5, -0.0, 1e308),
    *(float("inf"), float("nan"), b"bytes"),
)
BOXES = ("[]", "{}", "[[]]", '{"": null}', "[null]", "[{}]", '{"id": {}}', '["x", 1]')


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=40))


def phrases(*known: str) -> st.SearchStrategy[str]:
    """Texts made of what a grammar knows, and of anything else."""
    pieces = st.one_of(st.sampled_from(known), st.sampled_from(known), texts)
    return st.lists(pieces, max_size=8).map(" ".join)


junk = st.one_of(
    st.sampled_from(VALUES),
    texts,
    st.sampled_from(BOXES).map(json.loads),
    st.sampled_from((50, 300)).map(deep),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner)),
        max_leaves=6,
    ),
)


def _spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = tuple(value.items())
    elif isinstance(value, list) and len(path) < 12:
        inner = tuple(enumerate(value[:20]))
    for key, each in inner:
        yield from _spots(each, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    value[path[0]] = _replaced(value[path[0]], path[1:], change)
    return value


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    return _replaced(value, path, lambda _: new)


def _dropped(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return None
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return value


@st.composite
def spoilt(draw: st.DrawFn, *seeds: Any) -> Any:
    """One of these payloads, with up to four of its parts spoilt."""
    value = json.loads(json.dumps(seeds[draw(st.integers(0, len(seeds) - 1))]))
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(list(_spots(value))[:400]))
        match draw(st.sampled_from(("drop", "junk", "junk", "text", "list", "dict", "twice"))):
            case "drop":
                value = _dropped(value, path)
            case "junk" | "text" as kind:
                value = _put(value, path, draw(junk if kind == "junk" else texts))
            case "list":
                value = _replaced(value, path, lambda old: [old])
            case "dict":
                value = _replaced(value, path, lambda old: {"id": old})
            case _:
                value = _replaced(value, path, lambda old: [old, old])
    return value


def _like(old: Any) -> st.SearchStrategy[Any]:
    """Something else of the same type; in place of an id another one."""
    match old:
        case bool():
            return st.booleans()
        case int():
            return st.one_of(st.integers(0, 30), st.integers(0, 2**53))
        case str() if old.isdecimal():
            return st.integers(0, 2**63 - 1).map(str)
        case str():
            return texts
    return st.just(old)


@st.composite
def reworded(draw: st.DrawFn, *seeds: Any) -> Any:
    """One of these payloads, with up to four of its parts left out, doubled, or of other words.

    Their types stay: for services whose own programs make what strangers fill in.
    """
    value = json.loads(json.dumps(seeds[draw(st.integers(0, len(seeds) - 1))]))
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(list(_spots(value))[1:400] or [()]))
        part = functools.reduce(operator.getitem, path, value)
        match draw(st.sampled_from(("drop", "words", "words", "words", "twice"))):
            case "drop" if path:
                value = _dropped(value, path)
            case "twice" if isinstance(part, list):
                value = _put(value, path, [*part, *part])
            case _:
                value = _put(value, path, draw(_like(part)))
    return value


def to_bytes(value: Any) -> bytes:
    """As JSON, where it can be that."""
    try:
        return json.dumps(value, default=repr).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return b"{" * 100_000


@st.composite
def bodies(draw: st.DrawFn, *seeds: Any) -> bytes:
    """A body that a stranger sends: JSON that was spoilt, cut or mixed with other bytes."""
    body = to_bytes(draw(spoilt(*seeds)))
    match draw(st.sampled_from(("whole", "whole", "whole", "cut", "mixed", "other"))):
        case "cut":
            return body[: draw(st.integers(0, len(body)))]
        case "mixed":
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(max_size=8)) + body[at:]
        case "other":
            return draw(st.binary(max_size=64))
    return body


def recorded(*patterns: str) -> list[Any]:
    """True answers, as they were written down."""
    files = sorted(path for each in patterns for path in RECORDED.glob(each))
    assert files, patterns
    return [json.loads(path.read_text("utf-8")) for path in files]


@contextmanager
def bounded(*also: type[Exception]) -> Iterator[None]:
    """Inside, only errors of ours may be raised (or `also` those), and soon."""
    began = time.process_time()
    with suppress(BotError, *also):
        yield
    assert time.process_time() - began < CPU_SECONDS


def tried(call: Callable[[], T], *also: type[Exception]) -> T | None:
    """What it gives, None where it refuses."""
    found: list[T] = []
    with bounded(*also):
        found.append(call())
    return next(iter(found), None)
