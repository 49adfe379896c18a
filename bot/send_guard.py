"""What may leave only in time: a process that froze just before sends nothing once it is thawed.

Whether it is in time is asked at the last moment, when there is a connection for a request; who
waits for less than that has no say. Knows nothing of what is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import aiohttp
from aiohttp.tracing import Trace

_MAY_LEAVE: ContextVar[Callable[[], bool]] = ContextVar("may_leave", default=lambda: True)


@contextmanager
def send_only_while(may_leave: Callable[[], bool]) -> Iterator[None]:
    """Requests inside leave only while this is so, where a `GuardedConnector` connects them."""
    token = _MAY_LEAVE.set(may_leave)
    try:
        yield
    finally:
        _MAY_LEAVE.reset(token)


class GuardedConnector(aiohttp.TCPConnector):
    """Gives out no connection for what may not leave any more; to aiohttp that is a timeout."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as aiohttp calls it
    ) -> aiohttp.connector.Connection:
        """A connection, or `TimeoutError`."""
        connection = await super().connect(req, traces, timeout)
        if not _MAY_LEAVE.get()():
            connection.close()
            raise TimeoutError("It is too late to send this.")
        return connection
