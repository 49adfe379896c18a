"""Socket Mode: several connections to Slack, and who watches them."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.alongside import alongside
from bot.clock import Clock
from bot.log import get_logger

log = get_logger(__name__)
#: A socket is looked at so often; one that was down for so long is replaced.
LOOK, DOWN_SECONDS = timedelta(seconds=15), 60.0
PING_SECONDS = 10.0
#: Enough to close a socket in order.
CLOSE_SECONDS = 2.0


class Sockets:
    """Several connections at once, so that one of them can be renewed without a gap."""

    def __init__(
        self,
        app: AsyncApp,
        *,
        token: str,
        base_url: str,
        count: int,
        clock: Clock,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._app = app
        self._token = token
        self._base_url = base_url
        self._count = count
        self._clock = clock
        self._ping_seconds = ping_seconds
        #: The numbers of those that were connected at the last look.
        self.well: set[int] = set()
        self._logger = logging.getLogger("slack_sdk.socket_mode")
        self._logger.addFilter(_without_traceback)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._stay(number), name=f"slack socket {number}")

    async def _stay(self, number: int) -> None:
        while True:
            handler = AsyncSocketModeHandler(
                self._app,
                self._token,
                logger=self._logger,
                web_client=AsyncWebClient(
                    base_url=self._base_url, retry_handlers=[], logger=self._logger
                ),
                ping_interval=self._ping_seconds,
            )
            # The SDK would take a proxy of the environment for every host, our own included.
            handler.client.proxy = handler.client.web_client.proxy = None
            try:
                await self._watch(handler, number)
            finally:
                self.well.discard(number)
                await _close(handler)
            log.warning("slack.socket_replaced", number=number)

    async def _watch(self, handler: AsyncSocketModeHandler, number: int) -> None:
        """Stay while it is well; with a dead ticket the SDK would knock forever."""
        async with alongside(self._connect(handler, number)):
            well_at = self._clock.boottime()
            while self._clock.boottime() - well_at < DOWN_SECONDS:
                await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK)
                if await handler.client.is_connected():
                    well_at = self._clock.boottime()
                    self.well.add(number)
                else:
                    self.well.discard(number)

    async def _connect(self, handler: AsyncSocketModeHandler, number: int) -> None:
        await handler.connect_async()  # type: ignore[no-untyped-call]  # slack-bolt's
        self.well.add(number)
        log.info("slack.connected", number=number)


async def _close(handler: AsyncSocketModeHandler) -> None:
    """Close it with all that belongs to it; a broken one may not answer."""
    client = handler.client
    works = (client.message_processor, client.current_session_monitor, client.message_receiver)
    tasks = {each for each in works if each is not None}
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await handler.close_async()  # type: ignore[no-untyped-call]  # slack-bolt's
    except (TimeoutError, aiohttp.ClientError, OSError, SlackClientError) as error:
        log.info("slack.socket_not_closed", cause=type(error).__name__)
        await client.aiohttp_client_session.close()
    for each in tasks:
        each.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _without_traceback(record: logging.LogRecord) -> bool:
    """The SDK logs each vain try to connect with its whole traceback."""
    record.exc_info = None
    return True
