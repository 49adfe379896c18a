"""Slack's Web API as our code calls it: whose token, how long, how often, and what errors mean."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack import refusals
from adapters.slack.addresses import Account, Accounts
from bot.errors import DeliveryUnavailable
from bot.log import get_logger
from bot.send_guard import GuardedConnector

log = get_logger(__name__)
API_SECONDS, UPLOAD_SECONDS, DOWNLOAD_SECONDS = 10.0, 120.0, 60.0
#: So long a call that only asks may sleep in itself.
SHORT_SECONDS = 3


class ShortPauses(AsyncRateLimitErrorRetryHandler):
    """Sits out a pause of some seconds; a longer one is for whoever asked to arrange."""

    async def _can_retry_async(self, **given: Any) -> bool:
        if (response := given.get("response")) is None:
            return False
        told = {name.lower(): values[0] for name, values in response.headers.items()}
        after = told.get("retry-after", "")
        is_short = after.isdecimal() and float(after) <= SHORT_SECONDS
        return is_short and await super()._can_retry_async(**given)


class Clients:
    """The open connections to Slack; entered by whoever runs the adapter."""

    def __init__(self, accounts: Accounts, *, base_url: str) -> None:
        self._accounts = accounts
        self._base_url = base_url
        self._sessions: dict[float, aiohttp.ClientSession] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for seconds in (API_SECONDS, UPLOAD_SECONDS, DOWNLOAD_SECONDS):
            session = aiohttp.ClientSession(
                connector=GuardedConnector(), timeout=aiohttp.ClientTimeout(total=seconds)
            )
            self._sessions[seconds] = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sessions.clear()
        await self._stack.aclose()

    async def account(self, workspace: str) -> Account:
        """Who we are there; raises `ThreadGone` where we are nobody any more."""
        return await self._accounts.of(workspace)

    async def api(self, workspace: str) -> AsyncWebClient:
        """For whatever writes: each call is made once."""
        return await self._client(workspace, [])

    async def read(self, workspace: str) -> AsyncWebClient:
        """For calls that only ask; a dropped connection or a short pause is not told of."""
        handlers = [AsyncConnectionErrorRetryHandler(), ShortPauses(max_retry_count=2)]
        return await self._client(workspace, handlers)

    async def _client(self, workspace: str, handlers: list[AsyncRetryHandler]) -> AsyncWebClient:
        account = await self.account(workspace)
        client = AsyncWebClient(
            account.token,
            self._base_url,
            session=self._session(API_SECONDS),
            retry_handlers=handlers,
        )
        # The SDK would take a proxy of the environment for every host, our own included.
        client.proxy = None
        return client

    @property
    def uploads(self) -> aiohttp.ClientSession:
        """Sends a file's bytes."""
        return self._session(UPLOAD_SECONDS)

    @property
    def downloads(self) -> aiohttp.ClientSession:
        """Reads a file's bytes."""
        return self._session(DOWNLOAD_SECONDS)

    def _session(self, seconds: float) -> aiohttp.ClientSession:
        if (session := self._sessions.get(seconds)) is None:
            raise DeliveryUnavailable("Raybot is not connected to Slack yet.", retry_after=2.0)
        return session

    @asynccontextmanager
    async def translated(self, workspace: str, *, is_clip: bool = False) -> AsyncIterator[None]:
        """Call Slack inside; what goes wrong is raised as a `DeliveryError`."""
        # What is called inside has this token or a newer one.
        token = (await self.account(workspace)).token
        try:
            yield
        except SlackApiError as error:
            refused = refusals.read_refusal(error)
            if refused.code in refusals.ENDED:
                await self._accounts.lose(workspace, token)
            raise refusals.to_error(refused, is_clip=is_clip) from error
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryUnavailable("Slack cannot be reached right now.") from error
        except (SlackClientError, AttributeError, UnicodeDecodeError) as error:
            # The SDK trips over an answer that is no JSON object or no UTF-8, as one of a proxy.
            log.exception("slack.strange_answer")
            raise DeliveryUnavailable("Slack does not answer as it should.") from error
