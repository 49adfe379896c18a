"""What Slack calls at our public listener: all that it tells, and the way to install the bot."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from urllib.parse import quote

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackClientError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.clients import API_SECONDS
from adapters.slack.manifest import EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH, SCOPES
from adapters.slack.settings import Settings, secret
from adapters.slack.tokens import Installations, States
from bot.errors import StoreError
from bot.log import get_logger
from bot.ports import WebCall, WebHandler, WebReply

log = get_logger(__name__)
BAD_GATEWAY, NOT_NOW = 502, 503
MUTE = "Slack did not answer, so Raybot was not installed."
NOT_KEPT = "Raybot's database takes nothing right now, so it was not installed."
#: bolt and the SDK trip over an answer that is not Slack's, as one of a proxy.
UNANSWERED = (
    *(aiohttp.ClientError, OSError),
    *(SlackClientError, AttributeError, TypeError, ValueError),
)
_SECONDS = re.compile(r"[0-9]{1,12}")


def to_routes(
    app: AsyncApp, oauth: AsyncOAuthFlow | None, *, signing_secret: str
) -> dict[tuple[str, str], WebHandler]:
    """One route for all that Slack tells, and two for those who install the bot."""
    verifier = SignatureVerifier(signing_secret)

    async def hear(call: WebCall) -> WebReply:
        # bolt looks at the signature, too, but only once it has read the body, whoever's it is.
        if not is_signed(call, verifier):
            return WebReply(status=401)
        if (request := to_request(call)) is None:
            return WebReply(status=400)
        return to_reply(await app.async_dispatch(request))

    routes: dict[tuple[str, str], WebHandler] = {("POST", EVENTS_PATH): hear}
    if oauth is not None:
        flow = oauth

        async def install(call: WebCall) -> WebReply:
            # bolt puts the team into Slack's address as it stands.
            quoted = {name: quote(each, errors="replace") for name, each in call.query.items()}
            if (request := to_request(replace(call, query=quoted))) is None:
                return WebReply(status=400)
            return to_reply(await flow.handle_installation(request))

        async def redirect(call: WebCall) -> WebReply:
            if (request := to_request(call)) is None:
                return WebReply(status=400)
            return await _installed(flow, request)

        routes |= {("GET", INSTALL_PATH): install, ("GET", REDIRECT_PATH): redirect}
    return routes


async def _installed(flow: AsyncOAuthFlow, request: AsyncBoltRequest) -> WebReply:
    """What whoever came back from Slack reads; where it failed, a page to begin again from."""
    try:
        return to_reply(await flow.handle_callback(request))
    except UNANSWERED as error:
        log.warning("slack.not_installed", cause=type(error).__name__)
        status, why = BAD_GATEWAY, MUTE
    except StoreError as error:
        log.error("slack.not_installed", cause=error.sentence)  # noqa: TRY400
        status, why = NOT_NOW, NOT_KEPT
    page = flow.settings.redirect_uri_page_renderer.render_failure_page(why)
    kind = ("Content-Type", "text/html; charset=utf-8")
    return WebReply(status=status, headers=(kind,), body=page.encode())


def to_oauth(settings: Settings, installations: Installations, states: States) -> AsyncOAuthFlow:
    """Bolt's way to install the bot in many workspaces, over our own store."""
    wanted = AsyncOAuthSettings(
        client_id=settings.client_id,
        client_secret=secret(settings.client_secret),
        scopes=list(SCOPES),
        user_scopes=[],
        install_path=INSTALL_PATH,
        redirect_uri_path=REDIRECT_PATH,
        authorization_url=settings.authorize_url or None,
        installation_store=installations,
        state_store=states,
    )
    # The SDK reads this from the environment of other tools; Slack knows the app's only one.
    wanted.redirect_uri = wanted.authorize_url_generator.redirect_uri = None
    # Somebody looks at an empty page meanwhile.
    patience = int(API_SECONDS)
    client = AsyncWebClient(base_url=settings.api_base_url, timeout=patience, retry_handlers=[])
    client.proxy = None
    return AsyncOAuthFlow(client=client, logger=logging.getLogger("slack_bolt"), settings=wanted)


def is_signed(call: WebCall, verifier: SignatureVerifier) -> bool:
    """Whether a call is Slack's, and of these minutes."""
    at = call.headers.get("x-slack-request-timestamp", "")
    signature = call.headers.get("x-slack-signature", "")
    # The SDK raises for others.
    is_possible = _SECONDS.fullmatch(at) and signature.isascii()
    return bool(is_possible) and verifier.is_valid(_text(call), at, signature)


def to_request(call: WebCall) -> AsyncBoltRequest | None:
    """A call at our public listener as bolt takes it; None where it does not."""
    try:
        return AsyncBoltRequest(
            body=_text(call),
            query=dict(call.query),
            headers=dict(call.headers),
        )
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _text(call: WebCall) -> str:
    """What was sent; what is no UTF-8 no signature fits."""
    return call.body.decode("utf-8", "replace")


def to_reply(response: BoltResponse) -> WebReply:
    """What bolt answers, for our public listener."""
    headers = tuple((name, each) for name, values in response.headers.items() for each in values)
    return WebReply(status=response.status, headers=headers, body=response.body.encode())
