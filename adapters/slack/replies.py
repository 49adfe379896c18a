"""How one person is told something that nobody else reads. Decides nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook.async_client import AsyncWebhookClient

from adapters.slack.clients import Clients
from adapters.slack.events import SlackEvent
from adapters.slack.fields import modal
from adapters.slack.render import Drawn, draw_sentence
from bot.clock import Clock
from bot.errors import BotError, DeliveryError, DeliveryUnavailable
from bot.log import get_logger

log = get_logger(__name__)
ANSWER_SECONDS = 10
#: Pauses before somebody is told again, while Slack is away; the request stays noted meanwhile.
UNTOLD_SECONDS = (15.0, 60.0, 240.0)
OK = 200
NOT_OPENED = "The form was not opened; please try again."


class PrivateReplies:
    """Speaks to one person: by the link of what they did, in its place, or in direct messages."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def say(self, heard: SlackEvent, drawn: Drawn) -> None:
        """Tell who did this, later where Slack is away; a last try in vain is logged.

        What Slack tells of itself nobody did.
        """
        if not heard.user:
            return
        for seconds in UNTOLD_SECONDS:
            if await self._say_once(heard, drawn):
                return
            await self._clock.wait(asyncio.Event(), self._clock.now() + timedelta(seconds=seconds))
        if not await self._say_once(heard, drawn):
            log.warning("slack.not_told", kind=heard.kind)

    async def _say_once(self, heard: SlackEvent, drawn: Drawn) -> bool:
        """Try each way; False where another time one of them may be open."""
        if (
            heard.kind == "button"
            and heard.view
            and await self._show(heard, modal("Ray", drawn.blocks))
        ):
            return True
        if heard.response_url and await self._answer(heard.response_url, drawn):
            return True
        said, is_away = _to_message(drawn), False
        for place in _places(heard):
            try:
                client = await self._clients.api(heard.workspace)
            except BotError as error:
                # Time mends no token.
                log.info("slack.not_told_there", cause=error.sentence)
                continue
            try:
                async with self._clients.translated(heard.workspace):
                    if "user" in place:
                        await client.chat_postEphemeral(**place, **said)
                    else:
                        await client.chat_postMessage(
                            **place, **said, unfurl_links=False, unfurl_media=False
                        )
            except BotError as error:
                is_away |= isinstance(error, DeliveryUnavailable)
                log.info("slack.not_told_there", cause=error.sentence)
            else:
                return True
        if not is_away:
            log.warning("slack.not_told", kind=heard.kind)
        return not is_away

    async def _answer(self, url: str, drawn: Drawn) -> bool:
        webhook = AsyncWebhookClient(url, timeout=ANSWER_SECONDS, retry_handlers=[])
        # The SDK would take a proxy of the environment for every host, our own included.
        webhook.proxy = None
        try:
            got = await webhook.send(
                **_to_message(drawn),
                response_type="ephemeral",
                replace_original=False,
                unfurl_links=False,
                unfurl_media=False,
            )
        except (OSError, aiohttp.ClientError, SlackClientError, UnicodeDecodeError) as error:
            log.info("slack.not_answered", cause=type(error).__name__)
            return False
        return bool(got.status_code == OK)

    async def open(self, heard: SlackEvent, view: dict[str, Any]) -> None:
        """Show a form, within three seconds of its trigger, or say that it was not opened.

        Asked for in a form, it takes that one's place.
        """
        if heard.view and await self._show(heard, view):
            return
        try:
            async with self._clients.translated(heard.workspace):
                client = await self._clients.api(heard.workspace)
                await client.views_open(trigger_id=heard.trigger, view=view)
        except DeliveryError as error:
            log.warning("slack.form_not_opened", cause=error.sentence)
            await self.say(heard, draw_sentence(f"{error.sentence} {NOT_OPENED}"))

    async def _show(self, heard: SlackEvent, view: dict[str, Any]) -> bool:
        """Let the form that somebody looks at show this; False where they closed it."""
        try:
            async with self._clients.translated(heard.workspace):
                client = await self._clients.api(heard.workspace)
                await client.views_update(view_id=heard.view["id"], view=view)
        except DeliveryError as error:
            log.info("slack.form_not_changed", cause=error.sentence)
            return False
        return True


def _places(heard: SlackEvent) -> list[dict[str, Any]]:
    """Where to try, the nearest first."""
    thread = {"thread_ts": heard.thread} if heard.thread else {}
    alone = {"channel": heard.user}
    if not heard.channel:
        return [alone]
    if heard.is_direct:
        return [{"channel": heard.channel, **thread}, alone]
    return [{"channel": heard.channel, "user": heard.user, **thread}, alone]


def _to_message(drawn: Drawn) -> dict[str, Any]:
    return {"text": drawn.text, "blocks": drawn.blocks}
