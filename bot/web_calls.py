"""Calls on the public listener that an adapter answers, and what it answers; knows no library."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class WebCall:
    """A call on the public listener, from anybody: nothing in it is proved.

    Names of headers are in lower case. `client` is the caller's address, as far as it is known.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    client: str = ""


@dataclass(frozen=True, kw_only=True)
class WebReply:
    """What the caller gets; a header may come twice. `stream`, if any, is sent after the body.

    It goes on until it ends, its caller leaves, or the listener closes. `streamer` is who reads
    it, such as a session: each has so many at once; empty: nobody knows.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    stream: AsyncGenerator[bytes, None] | None = None
    streamer: str = field(default="", repr=False)


WebHandler = Callable[[WebCall], Awaitable[WebReply]]


@dataclass(frozen=True, kw_only=True)
class WebRoute:
    """Who answers a call whose body may be larger than the listener's own limit.

    `knock` is asked before it is read: with status 100 it may come, all else is the answer.
    """

    knock: WebHandler
    answer: WebHandler
    max_bytes: int

    async def __call__(self, call: WebCall) -> WebReply:
        """Answer it."""
        return await self.answer(call)
