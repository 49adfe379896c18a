"""Faults a test plans for single requests, and rate limits it sets."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.discord_server.problems import Json
from tests.discord_server.wire import Reply, Request

#: Discord's proxy puts this on its answers; without it a 429 comes from Cloudflare.
VIA = {"Via": "1.1 google"}

When = Literal["before", "after"]


class Gate:
    """Holds one request until it is opened; `reached` tells that it has come."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the request go on."""
        self._opened.set()

    async def pass_through(self) -> None:
        """Wait at the gate."""
        self.reached.set()
        await self._opened.wait()


@dataclass(kw_only=True, eq=False)
class Fault:
    """What shall happen to the next requests that match.

    `when`: before the effect (which then does not take place, if there is an answer or a drop)
    or after it.
    """

    method: str
    path: re.Pattern[str]
    when: When = "before"
    reply: Reply | None = None
    is_drop: bool = False
    seconds: float = 0.0
    gate: Gate | None = None
    left: int = 1

    def __str__(self) -> str:
        what = f"status {self.reply.status}" if self.reply else "drop" if self.is_drop else "wait"
        return f"{what} {self.when}"


class Faults:
    """Planned faults, first in, first out; each is used up by the requests it meets."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    @property
    def left(self) -> int:
        """How many faults have not been used yet."""
        return sum(each.left for each in self._planned)

    def clear(self) -> None:
        """Forget what is planned."""
        self._planned.clear()

    def add(
        self,
        method: str,
        path: str,
        *,
        status: int,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        when: When = "before",
        times: int = 1,
    ) -> None:
        """Answer with this instead of what is true; `path` is a regular expression."""
        body = json if json is not None else {"message": "Planned fault", "code": 0}
        reply = Reply(body, status=status, headers=dict(headers or {}))
        self._plan(method, path, when=when, reply=reply, left=times)

    def error(
        self,
        method: str,
        path: str,
        status: int,
        code: int,
        message: str = "Planned fault",
        *,
        times: int = 1,
    ) -> None:
        """An error of Discord's own kind, e.g. `error("POST", "/messages$", 400, 240000)`."""
        body = {"message": message, "code": code}
        self.add(method, path, status=status, json=body, headers=VIA, times=times)

    def too_many(
        self,
        method: str,
        path: str,
        *,
        retry_after: float = 0.05,
        via: bool = True,
        is_global: bool = False,
        code: int = 0,
        times: int = 1,
    ) -> None:
        """A 429; without `via` it looks like Cloudflare's, which no client waits for."""
        body: Json = {
            "message": "You are being rate limited.",
            "retry_after": retry_after,
            "global": is_global,
            "code": code,
        }
        headers = {
            "Retry-After": str(max(1, round(retry_after))),
            "X-RateLimit-Scope": "global" if is_global else "user",
            **(VIA if via else {}),
        }
        self.add(method, path, status=429, json=body, headers=headers, times=times)

    def drop(self, method: str, path: str, *, when: When = "before", times: int = 1) -> None:
        """Cut the connection, before or after the effect."""
        self._plan(method, path, when=when, is_drop=True, left=times)

    def delay(
        self, method: str, path: str, seconds: float, *, when: When = "before", times: int = 1
    ) -> None:
        """Answer late, in real seconds."""
        self._plan(method, path, when=when, seconds=seconds, left=times)

    def hold(self, method: str, path: str, *, when: When = "before") -> Gate:
        """Answer only when the returned gate is opened."""
        gate = Gate()
        self._plan(method, path, when=when, gate=gate)
        return gate

    def _plan(self, method: str, path: str, **known: Any) -> None:
        self._planned.append(Fault(method=method, path=re.compile(path), **known))

    def take(self, request: Request) -> Fault | None:
        """The fault for this request, used up by asking."""
        for each in self._planned:
            if each.method in {request.method, "*"} and each.path.search(request.path):
                each.left -= 1
                if each.left == 0:
                    self._planned.remove(each)
                return each
        return None


@dataclass(kw_only=True, eq=False)
class _Limit:
    method: str
    path: re.Pattern[str]
    count: int
    seconds: float
    recent: deque[float] = field(default_factory=deque)


class RateLimits:
    """Real windows for some routes; all others are told generous numbers."""

    def __init__(self) -> None:
        self._limits: list[_Limit] = []

    def add(self, method: str, path: str, *, count: int, seconds: float) -> None:
        """Allow so many requests in so many real seconds; all that match share them."""
        self._limits.append(
            _Limit(method=method, path=re.compile(path), count=count, seconds=seconds)
        )

    def headers(self, request: Request) -> tuple[dict[str, str], float | None]:
        """The headers for this request and, if it is one too many, how long to wait."""
        for number, each in enumerate(self._limits):
            if each.method == request.method and each.path.search(request.path):
                return self._count(each, f"limit-{number}")
        return _headers(f"{request.method} {request.route}", 1000, 999, 1.0), None

    def _count(self, limit: _Limit, bucket: str) -> tuple[dict[str, str], float | None]:
        now = asyncio.get_running_loop().time()
        while limit.recent and now - limit.recent[0] >= limit.seconds:
            limit.recent.popleft()
        wait = limit.seconds - (now - limit.recent[0]) if limit.recent else limit.seconds
        if len(limit.recent) >= limit.count:
            return _headers(bucket, limit.count, 0, wait) | VIA, wait
        limit.recent.append(now)
        return _headers(bucket, limit.count, limit.count - len(limit.recent), wait), None


def _headers(bucket: str, limit: int, remaining: int, reset_after: float) -> dict[str, str]:
    return {
        "X-RateLimit-Bucket": bucket,
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset-After": f"{reset_after:.3f}",
    }
