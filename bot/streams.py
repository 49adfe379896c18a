"""Answers that go on: bounded in number, and ended at once where the listener closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from bot.log import get_logger
from bot.ports import WebReply

#: Maximum of callers that are told of what happens; each costs a connection.
MOST = 256
#: Maximum of them that one reader has, such as a browser with a page in each tab.
MOST_EACH = 10
AGAIN_SECONDS = 5

log = get_logger(__name__)


class Streams:
    """The streams that are open now."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        #: Each with whose it is.
        self._open: dict[asyncio.Task[object], tuple[web.Request, str]] = {}
        self._is_closed = False

    async def send(
        self, request: web.Request, reply: WebReply, chunks: AsyncGenerator[bytes, None]
    ) -> web.StreamResponse:
        """Send what comes, until it ends, the caller leaves, or all is closed."""
        async with aclosing(chunks):
            if not self._has_room(reply.streamer):
                return web.Response(status=503, headers={"Retry-After": str(AGAIN_SECONDS)})
            task = asyncio.current_task()
            assert task is not None
            self._open[task] = request, reply.streamer
            response = web.StreamResponse(status=reply.status, headers=reply.headers)
            try:
                await response.prepare(request)
                if reply.body:
                    await response.write(reply.body)
                async for chunk in chunks:
                    await response.write(chunk)
            except ConnectionError:
                log.debug("stream.caller_left")
            except asyncio.CancelledError:
                if not self._is_closed:
                    raise
                task.uncancel()  # It was us: what was sent so far ends in order.
            finally:
                self._open.pop(task, None)
            return response

    def _has_room(self, streamer: str) -> bool:
        """Whether one more may be open; that a caller left is else noticed with the next word."""
        if self._is_full(streamer):
            left = [task for task, (request, _) in self._open.items() if request.transport is None]
            for task in left:
                del self._open[task]
                task.cancel()
        return not self._is_closed and not self._is_full(streamer)

    def _is_full(self, streamer: str) -> bool:
        """Whether all have too many open, or this reader has."""
        theirs = sum(streamer == whose for _, whose in self._open.values()) if streamer else 0
        return len(self._open) >= self._most or theirs >= MOST_EACH

    def close(self) -> None:
        """End all that are open, and begin none."""
        self._is_closed = True
        for task in self._open:
            task.cancel()
