"""Faults a test plans for single calls of the Web API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

When = Literal["before", "after"]


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
    """An answer: JSON, or a text of this type."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Fault:
    """What shall happen to the next calls of a method.

    `when`: before the effect (which then does not take place, if there is an answer or a drop)
    or after it.
    """

    method: str
    when: When = "before"
    error: str = ""
    more: dict[str, Any] | None = None
    status: int = 200
    retry_after: int | None = None
    is_drop: bool = False
    gate: Gate | None = None
    #: Any answer at all, in place of an error of Slack's.
    reply: Reply | None = None
    left: int = 1


class Faults:
    """Planned faults, first in, first out.

    A method may be "upload" or "download", too: the doors of the bytes.
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
        self._planned.append(
            Fault(
                method=method,
                when=when,
                error=error,
                more=more,
                status=status,
                retry_after=retry_after,
                left=times,
            )
        )

    def answer(self, method: str, body: Any = "", *, times: int = 1, **more: Any) -> None:
        """Answer with this; `more` are the fields of a `Reply`."""
        reply = Reply(body=body, **more)
        self._planned.append(Fault(method=method, reply=reply, status=reply.status, left=times))

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
