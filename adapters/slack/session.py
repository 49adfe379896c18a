"""The connection to Slack: bolt's app, its sockets and who watches them, or its HTTP routes.

What comes in is kept first, then acknowledged, then carried out; nothing that can fail stands
between the last two.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack import setup
from adapters.slack.addresses import Account
from adapters.slack.heard import Heard, read
from adapters.slack.manifest import SCOPES
from adapters.slack.settings import Settings
from adapters.slack.tokens import Installations, OneWorkspace, States
from bot.clock import Clock
from bot.errors import DeliveryUnavailable, StoreError
from bot.log import get_logger
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.studio import Vault

log = get_logger(__name__)
EVENTS, INSTALL, REDIRECT = "/slack/events", "/slack/install", "/slack/oauth_redirect"
#: A socket is looked at so often; one that was down for so long is replaced.
LOOK, DOWN_SECONDS = timedelta(seconds=15), 60.0
PING_SECONDS = 10.0
#: Between tries to find out who we are, where Slack does not answer; each may take so long.
SOON, LATE = timedelta(seconds=5), timedelta(minutes=5)
PROVE_SECONDS = 15.0
#: Enough to close a socket in order.
CLOSE_SECONDS = 2.0
ANY = re.compile(r".*", re.DOTALL)


class Hears(Protocol):
    """Who hears what comes in."""

    async def on_heard(self, heard: Heard) -> Mapping[str, Any] | None:
        """Keep it, so that it can be acknowledged; what Slack is answered with, if anything.

        Raises `StoreError` where it cannot be kept; then Slack tells it again, or its person.
        """


class Knows(Protocol):
    """Who knows our account in a workspace."""

    async def at(self, workspace: str) -> Account | None:
        """Our account for what a workspace tells us."""


def to_app(
    hears: Hears, knows: Knows, *, signing_secret: str, oauth: AsyncOAuthFlow | None
) -> AsyncApp:
    """An app of bolt's: it checks signatures, finds our account, and passes on what it hears.

    Everything is given to it, so that no variable of another Slack tool means anything.
    """
    logger = logging.getLogger("slack_bolt")
    # Below a warning bolt and the SDK log what people wrote.
    logger.setLevel(logging.WARNING)
    logging.getLogger("slack_sdk").setLevel(logging.WARNING)

    async def authorize(
        context: AsyncBoltContext, team_id: str | None, enterprise_id: str | None
    ) -> AuthorizeResult | None:
        account = await knows.at(team_id or "")
        if account is None:
            return None
        context["account"] = account
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=account.workspace,
            bot_user_id=account.bot_user,
            bot_id=account.bot_id,
            bot_token=account.token,
        )

    app = AsyncApp(
        name="raybot",
        logger=logger,
        signing_secret=signing_secret,
        client=AsyncWebClient(retry_handlers=[], logger=logger),
        authorize=authorize,
        oauth_flow=oauth,
    )

    async def keep(
        body: dict[str, Any],
        context: AsyncBoltContext,
        next: Callable[[], Awaitable[None]],  # noqa: A002 - bolt's name
    ) -> BoltResponse | None:
        account = context.get("account")
        workspace = account.workspace if account else context.team_id or ""
        heard = read(body, workspace)
        answer = await _keep(hears, heard) if heard is not None else None
        if answer is not None:
            return BoltResponse(status=200, body=dict(answer))
        await next()
        return None

    async def acknowledge(ack: AsyncAck) -> None:
        await ack()

    app.middleware(keep)
    for every in (app.command, app.shortcut, app.action, app.view, app.event):
        every(ANY)(acknowledge)
    return app


async def _keep(hears: Hears, heard: Heard) -> Mapping[str, Any] | None:
    try:
        return await hears.on_heard(heard)
    except StoreError as error:
        log.error("slack.not_kept", kind=heard.kind, cause=error.sentence)  # noqa: TRY400
        if heard.kind != "command":
            raise
        # Slack tells a command only once; its person has to know.
        return {"response_type": "ephemeral", "text": error.sentence}


# ---- Socket Mode -----------------------------------------------------------------------------


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
            try:
                await self._watch(handler)
            finally:
                await _close(handler)
            log.warning("slack.socket_replaced", number=number)

    async def _watch(self, handler: AsyncSocketModeHandler) -> None:
        """Stay while it is well; with a dead ticket the SDK would knock forever."""
        connecting = asyncio.ensure_future(handler.connect_async())
        well_at = self._clock.boottime()
        try:
            while self._clock.boottime() - well_at < DOWN_SECONDS:
                await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK)
                if await handler.client.is_connected():
                    well_at = self._clock.boottime()
        finally:
            connecting.cancel()
            await asyncio.wait({connecting})


async def _close(handler: AsyncSocketModeHandler) -> None:
    """Close it with all that belongs to it; a broken one may not answer."""
    client = handler.client
    works = (client.message_processor, client.current_session_monitor, client.message_receiver)
    tasks = {each for each in works if each is not None}
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await handler.close_async()
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


# ---- HTTP ------------------------------------------------------------------------------------

Serve = Callable[[WebCall], Awaitable[WebReply]]


def to_routes(app: AsyncApp, oauth: AsyncOAuthFlow | None) -> dict[tuple[str, str], Serve]:
    """One route for all that Slack tells, and two for those who install the bot."""

    async def hear(call: WebCall) -> WebReply:
        # bolt answers 500 where the time stamp is no number.
        if not _is_number(call.headers.get("x-slack-request-timestamp", "")):
            return WebReply(status=401)
        return to_reply(await app.async_dispatch(to_request(call)))

    routes: dict[tuple[str, str], Serve] = {("POST", EVENTS): hear}
    if oauth is not None:
        flow = oauth

        async def install(call: WebCall) -> WebReply:
            return to_reply(await flow.handle_installation(to_request(call)))

        async def redirect(call: WebCall) -> WebReply:
            return to_reply(await flow.handle_callback(to_request(call)))

        routes |= {("GET", INSTALL): install, ("GET", REDIRECT): redirect}
    return routes


def to_oauth(settings: Settings, installations: Installations, states: States) -> AsyncOAuthFlow:
    """Bolt's way to install the bot in many workspaces, over our own store."""
    wanted = AsyncOAuthSettings(
        client_id=settings.client_id,
        client_secret=secret(settings.client_secret),
        scopes=list(SCOPES),
        user_scopes=[],
        install_path=INSTALL,
        redirect_uri_path=REDIRECT,
        authorization_url=settings.authorize_url or None,
        installation_store=installations,
        state_store=states,
    )
    # The SDK reads this from the environment of other tools; Slack knows the app's only one.
    wanted.redirect_uri = wanted.authorize_url_generator.redirect_uri = None
    client = AsyncWebClient(base_url=settings.api_base_url, retry_handlers=[])
    return AsyncOAuthFlow(client=client, logger=logging.getLogger("slack_bolt"), settings=wanted)


def to_request(call: WebCall) -> AsyncBoltRequest:
    """A call at our public door as bolt takes it; what is no UTF-8 no signature fits."""
    return AsyncBoltRequest(
        body=call.body.decode("utf-8", "replace"),
        query=dict(call.query),
        headers=dict(call.headers),
    )


def to_reply(response: BoltResponse) -> WebReply:
    """What bolt answers, for our public door."""
    headers = tuple((name, each) for name, values in response.headers.items() for each in values)
    return WebReply(status=response.status, headers=headers, body=response.body.encode())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


# ---- both ------------------------------------------------------------------------------------


class Session:
    """Connected as the settings say: by sockets, or by Slack's calls at our public door."""

    def __init__(
        self,
        hears: Hears,
        accounts: OneWorkspace | Installations,
        settings: Settings,
        vault: Vault,
        *,
        clock: Clock,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._accounts = accounts
        self._settings = settings
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._oauth = (
            to_oauth(settings, accounts, States(vault, clock))
            if isinstance(accounts, Installations)
            else None
        )
        self._app = to_app(
            hears, accounts, signing_secret=secret(settings.signing_secret), oauth=self._oauth
        )

    @property
    def routes(self) -> Mapping[tuple[str, str], Serve]:
        """What is served at our public door; nothing in Socket Mode."""
        return to_routes(self._app, self._oauth) if self._settings.mode == "http" else {}

    async def prove(self) -> None:
        """Find out who we are; raises `ConfigError` where Slack refuses, waits where it is mute."""
        if not isinstance(self._accounts, OneWorkspace):
            return
        pause = SOON
        while True:
            try:
                self._accounts.prove(await setup.prove(self._settings, seconds=PROVE_SECONDS))
            except DeliveryUnavailable as error:
                log.warning("slack.not_reachable", cause=error.sentence)
            else:
                return
            await self._clock.wait(asyncio.Event(), self._clock.now() + pause)
            pause = min(pause * 2, LATE)

    async def run(self) -> None:
        """Listen until cancelled."""
        if self._settings.mode == "http":
            await asyncio.Event().wait()
        sockets = Sockets(
            self._app,
            token=secret(self._settings.app_token),
            base_url=self._settings.api_base_url,
            count=self._settings.connections,
            clock=self._clock,
            ping_seconds=self._ping_seconds,
        )
        await sockets.run()


def secret(value: SecretStr | None) -> str:
    """A secret of the settings; empty where there is none."""
    return value.get_secret_value().strip() if value is not None else ""
