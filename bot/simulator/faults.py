"""What goes wrong, planned ahead: each fault is used up by the next request it fits. No I/O."""

from __future__ import annotations

import asyncio
import difflib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from bot.errors import ConfigError

Operation = Literal[
    "ping", "credits", "create", "list", "get", "delete", "concepts", "clip", "other"
]
#: garbage, empty, html: not a clip at all. missing: 404. cut: half of the file, honestly measured.
#: short, long: fewer, or more, bytes announced than sent. stalled: half, then silence.
ClipFault = Literal["garbage", "empty", "html", "missing", "cut", "short", "long", "stalled"]
#: duplicated: sent twice. forged: before the true one, a finished state with a foreign clip.
#: lost: never sent. reordered: sent after the next one of its generation; the last has none.
CallbackFault = Literal["duplicated", "forged", "lost", "reordered"]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """The connection closes without a reply; `accepted` tells whether the work was done."""

    accepted: bool


@dataclass(frozen=True, kw_only=True)
class Delay:
    """The work is done at once, the reply comes this many seconds later."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Hold:
    """The work is done at once, the reply comes once it is `released`."""

    released: asyncio.Event


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """An error is the reply, once it is `released`; `accepted`: the work was done all the same."""

    status: int
    detail: str
    retry_after: float | None = None
    accepted: bool = False
    released: asyncio.Event | None = None


T = TypeVar("T")
ReplyFault = Drop | Delay | Hold | Refuse


class Faults:
    """Faults to come, in the order they were planned; `times` is for how many requests."""

    def __init__(self) -> None:
        self._replies: dict[Operation, deque[ReplyFault]] = defaultdict(deque)
        self._clips: deque[ClipFault] = deque()
        self._callbacks: deque[CallbackFault] = deque()
        self._slow: deque[float] = deque()
        self._hidden: deque[int] = deque()
        self._failures: deque[str] = deque()
        self._numbered: dict[int, str] = {}
        self.is_down = False

    # ---- planning ----------------------------------------------------------------------------

    def drop(self, operation: Operation = "create", *, accepted: bool, times: int = 1) -> None:
        """Close the connection without a reply, after the work or instead of it."""
        self._replies[operation].extend([Drop(accepted=accepted)] * times)

    def delay(self, operation: Operation, seconds: float, *, times: int = 1) -> None:
        """Do the work at once and reply `seconds` later."""
        self._replies[operation].extend([Delay(seconds=seconds)] * times)

    def hold(self, operation: Operation = "create") -> asyncio.Event:
        """Do the work at once and reply once the returned event is set."""
        released = asyncio.Event()
        self._replies[operation].append(Hold(released=released))
        return released

    def too_many(
        self, operation: Operation = "create", *, retry_after: float | None = None, times: int = 1
    ) -> None:
        """Answer 429, with a Retry-After header in seconds or without one."""
        fault = Refuse(status=429, detail="Rate limit exceeded", retry_after=retry_after)
        self._replies[operation].extend([fault] * times)

    def server_error(
        self,
        operation: Operation = "create",
        *,
        accepted: bool = False,
        status: int = 500,
        times: int = 1,
    ) -> None:
        """Answer a 5xx, after the work or instead of it."""
        fault = Refuse(status=status, detail="Internal Server Error", accepted=accepted)
        self._replies[operation].extend([fault] * times)

    def refuse(self, operation: Operation, status: int, detail: str, *, times: int = 1) -> None:
        """Answer this status and detail, e.g. 410 for a retired endpoint."""
        self._replies[operation].extend([Refuse(status=status, detail=detail)] * times)

    def hold_refusal(self, operation: Operation, status: int, detail: str) -> asyncio.Event:
        """Answer this once the returned event is set."""
        released = asyncio.Event()
        fault = Refuse(status=status, detail=detail, released=released)
        self._replies[operation].append(fault)
        return released

    def slow(self, factor: float, *, times: int = 1) -> None:
        """Let the next generations take `factor` times as long as drawn."""
        self._slow.extend([factor] * times)

    def fail(
        self, reason: str = "Job failed", *, number: int | None = None, times: int = 1
    ) -> None:
        """Let the next generations fail when they are due, or the `number`th ever created."""
        if number is None:
            self._failures.extend([reason] * times)
        else:
            self._numbered[number] = reason

    def break_clip(self, fault: ClipFault, *, times: int = 1) -> None:
        """Spoil the next downloads."""
        self._clips.extend([fault] * times)

    def break_callback(self, fault: CallbackFault, *, times: int = 1) -> None:
        """Spoil the next callbacks."""
        self._callbacks.extend([fault] * times)

    def hide_new(self, lists: int, *, times: int = 1) -> None:
        """Leave the next generations out of the first `lists` lists after their creation."""
        self._hidden.extend([lists] * times)

    def down(self) -> None:
        """Answer 503 to everything, until `up`."""
        self.is_down = True

    def up(self) -> None:
        """Be reachable again."""
        self.is_down = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Faults:
        """Read `name` or `name=value`, as the command line gives them; raises `ConfigError`."""
        faults = cls()
        for text in texts:
            name, has_value, value = text.partition("=")
            if name not in _NAMED:
                near = difflib.get_close_matches(name, _NAMED, n=1, cutoff=0.0)
                raise ConfigError(f"There is no fault {name!r}. Did you mean {near[0]!r}?")
            convert, plan = _NAMED[name]
            try:
                plan(faults, convert(value) if has_value else _DEFAULTS.get(name, 1))
            except ValueError as error:
                raise ConfigError(f"{value!r} is no value for the fault {name!r}.") from error
        return faults

    # ---- what the simulator asks ---------------------------------------------------------------

    def take_reply(self, operation: Operation) -> ReplyFault | None:
        """The fault for this request, used up by asking."""
        return _take(self._replies[operation])

    def take_clip(self) -> ClipFault | None:
        """The fault for this download, used up by asking."""
        return _take(self._clips)

    def take_callback(self) -> CallbackFault | None:
        """The fault for this callback, used up by asking."""
        return _take(self._callbacks)

    def take_slow(self) -> float:
        """How many times longer this new generation takes."""
        return _take(self._slow) or 1.0

    def take_hidden(self) -> int:
        """How many lists this new generation is left out of."""
        return _take(self._hidden) or 0

    def take_failure(self, number: int) -> str | None:
        """Why this new generation will fail, if it will; `number` counts from 1."""
        return self._numbered.pop(number, None) or _take(self._failures)

    @property
    def left(self) -> int:
        """How many planned faults have not been used yet."""
        queues: list[deque[Any]] = [
            *self._replies.values(),
            self._clips,
            self._callbacks,
            self._slow,
            self._hidden,
            self._failures,
        ]
        return sum(len(queue) for queue in queues) + len(self._numbered)


def _take(queue: deque[T]) -> T | None:
    return queue.popleft() if queue else None


def _one_of(kind: Any) -> Callable[[str], str]:
    def convert(value: str) -> str:
        if value not in get_args(kind):
            raise ValueError(value)
        return value

    return convert


#: The names on the command line: how the value is read, and what it plans.
_NAMED: dict[str, tuple[Callable[[str], Any], Callable[[Faults, Any], None]]] = {
    "drop-reply": (int, lambda faults, times: faults.drop(accepted=True, times=times)),
    "drop-request": (int, lambda faults, times: faults.drop(accepted=False, times=times)),
    "delay-reply": (float, lambda faults, seconds: faults.delay("create", seconds)),
    "too-many": (int, lambda faults, times: faults.too_many(times=times)),
    "retry-after": (float, lambda faults, seconds: faults.too_many(retry_after=seconds)),
    "server-error": (int, lambda faults, times: faults.server_error(times=times)),
    "server-error-accepted": (
        int,
        lambda faults, times: faults.server_error(accepted=True, times=times),
    ),
    "slow": (float, lambda faults, factor: faults.slow(factor)),
    "fail": (str, lambda faults, reason: faults.fail(reason)),
    "fail-number": (int, lambda faults, number: faults.fail(number=number)),
    "clip": (_one_of(ClipFault), lambda faults, fault: faults.break_clip(fault)),
    "callback": (_one_of(CallbackFault), lambda faults, fault: faults.break_callback(fault)),
    "hide-new": (int, lambda faults, lists: faults.hide_new(lists)),
    "down": (str, lambda faults, _: faults.down()),
}
FAULT_NAMES = tuple(_NAMED)
_DEFAULTS: dict[str, Any] = {
    "delay-reply": 90.0,
    "retry-after": 2.0,
    "slow": 10.0,
    "fail": "Job failed",
    "clip": "cut",
    "callback": "duplicated",
}
