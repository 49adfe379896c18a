"""Faults a test plans for single calls of the Web API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

When = Literal["before", "after"]
JSON, TEXT = "application/json", "text/plain"
#: The doors for the bytes of files, which no client expects JSON from.
BYTES = frozenset({"upload", "download"})


class Gate:
    """Holds one call until it is opened; `reached` tells that it has come."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the call go on."""
        self._opened.set()

    async def pass_through(self) -> None:
        """Wait at the gate."""
        self.reached.set()
        await self._opened.wait()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer to give instead of the true one; of JSON, `body` is what it says."""

    body: Any
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """What the caller takes it for; "" for success."""
        if isinstance(self.body, dict):
            return str(self.body.get("error", ""))
        return "" if self.status == 200 else str(self.body or self.status)

    def to_response(self) -> web.Response:
        """The answer on the wire."""
        text = json.dumps(self.body) if self.content_type == JSON else str(self.body)
        return web.Response(
            text=text,
            status=self.status,
            content_type=self.content_type,
            headers=self.headers,
        )


@dataclass(kw_only=True, eq=False)
class Fault:
    """What shall happen to the next calls of a method.

    `when`: before the effect (which then does not take place, if there is an answer or a drop)
    or after it.
    """

    method: str
    when: When = "before"
    reply: Reply | None = None
    is_drop: bool = False
    gate: Gate | None = None
    left: int = 1


class Faults:
    """Planned faults, first in, first out.

    A method may be "upload" or "download", too: the doors for the bytes of files.
    """

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    @property
    def left(self) -> int:
        """How many faults have not been used yet."""
        return sum(each.left for each in self._planned)

    def clear(self) -> None:
        """Forget what is planned."""
        self._planned.clear()

    def fail(
        self,
        method: str,
        error: str = "internal_error",
        *,
        status: int = 200,
        retry_after: int | None = None,
        when: When = "before",
        times: int = 1,
        **more: Any,
    ) -> None:
        """Answer with this error; `status` 429 comes with `Retry-After`."""
        if status == 429 and retry_after is None:
            retry_after = 1
        is_text = method in BYTES
        self.answer(
            method,
            error if is_text else {"ok": False, "error": error, **more},
            status=status,
            content_type=TEXT if is_text else JSON,
            headers={"Retry-After": str(retry_after)} if retry_after else {},
            when=when,
            times=times,
        )

    def answer(
        self,
        method: str,
        body: Any,
        *,
        status: int = 200,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
        when: When = "before",
        times: int = 1,
    ) -> None:
        """Answer with just this, whatever is true: JSON, or text of another type."""
        reply = Reply(body=body, status=status, content_type=content_type, headers=headers or {})
        self._planned.append(Fault(method=method, when=when, reply=reply, left=times))

    def drop(self, method: str, *, when: When = "before", times: int = 1) -> None:
        """Cut the connection, before or after the effect."""
        self._planned.append(Fault(method=method, when=when, is_drop=True, left=times))

    def hold(self, method: str, *, when: When = "before") -> Gate:
        """Answer only when the returned gate is opened."""
        gate = Gate()
        self._planned.append(Fault(method=method, when=when, gate=gate))
        return gate

    def take(self, method: str) -> Fault | None:
        """The fault for this call, used up by asking."""
        for each in self._planned:
            if each.method in {method, "*"}:
                each.left -= 1
                if each.left == 0:
                    self._planned.remove(each)
                return each
        return None
