"""The app of bolt: checks signatures, finds our account, passes on what comes in.

What comes in is kept first, then acknowledged, then carried out; nothing that can fail stands
between the last two.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, cast

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.addresses import Account
from adapters.slack.events import SlackEvent, read
from bot.errors import DeliveryUnavailable, StoreError
from bot.log import get_logger

log = get_logger(__name__)
#: Slack tells it again, or its person that it did not arrive.
NOT_NOW = 503
ANY = re.compile(r".*", re.DOTALL)


class Hears(Protocol):
    """Who hears what comes in."""

    async def on_heard(self, heard: SlackEvent) -> Mapping[str, Any] | None:
        """Keep it, so that it can be acknowledged; what Slack is answered with, if anything.

        Raises `StoreError` where it cannot be kept; then Slack tells it again, or its person.
        """


class Knows(Protocol):
    """Who knows our account in a workspace."""

    async def at(self, workspace: str) -> Account | None:
        """Our account for what a workspace tells us; `DeliveryUnavailable` while we look."""


def to_app(hears: Hears, knows: Knows, *, signing_secret: str) -> AsyncApp:
    """An app of bolt's: it checks signatures, finds our account, and passes on what it hears.

    Everything is given to it, so that no variable of another Slack tool means anything.
    """
    logger = logging.getLogger("slack_bolt")
    # Below a warning bolt and the SDK log what people wrote.
    logger.setLevel(logging.WARNING)
    logging.getLogger("slack_sdk").setLevel(logging.WARNING)
    app = AsyncApp(
        name="raybot",
        logger=logger,
        signing_secret=signing_secret,
        client=AsyncWebClient(retry_handlers=[], logger=logger),
        authorize=_authorizing(knows),
    )

    async def keep(
        body: dict[str, Any],
        context: AsyncBoltContext,
        next: Callable[[], Awaitable[None]],  # noqa: A002 - bolt's name
    ) -> BoltResponse | None:
        account = context.get("account")
        workspace = account.workspace if account else context.team_id or ""
        heard = read(body, workspace, own=account.bot_user if account else "")
        try:
            answer = await hears.on_heard(heard) if heard is not None else None
        except StoreError as error:
            return _not_kept(heard, error)
        if answer is not None:
            return BoltResponse(status=200, body=dict(answer))
        await next()
        return None

    app.middleware(keep)
    for every in (app.command, app.shortcut, app.action, app.view, app.event):
        every(ANY)(_acknowledge)
    return app


def _authorizing(knows: Knows) -> Callable[..., Awaitable[AuthorizeResult]]:
    """How bolt finds our account; it takes None for an answer, whatever its annotation says."""

    async def authorize(
        context: AsyncBoltContext, team_id: str | None, enterprise_id: str | None
    ) -> AuthorizeResult | None:
        try:
            account = await knows.at(team_id or "")
        except DeliveryUnavailable:
            # Who we are is not known yet; what comes in is refused for now by whoever keeps it.
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)
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

    return cast("Callable[..., Awaitable[AuthorizeResult]]", authorize)


async def _acknowledge(ack: AsyncAck) -> None:
    await ack()


def _not_kept(heard: SlackEvent | None, error: StoreError) -> BoltResponse:
    kind = heard.kind if heard is not None else ""
    log.error("slack.not_kept", kind=kind, cause=error.sentence)
    if kind != "command":
        return BoltResponse(status=NOT_NOW)
    # Slack tells a command only once; its person has to know.
    return BoltResponse(status=200, body={"response_type": "ephemeral", "text": error.sentence})
