"""What Slack says of a token: whose it is and what it may do. Translates what the SDK raises."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from adapters.slack.addresses import Account
from adapters.slack.manifest import OPTIONAL, SCOPES
from adapters.slack.settings import Settings
from bot.errors import BotError, ConfigError, DeliveryUnavailable
from bot.text import clean

OK, TOO_MANY = 200, 429
PAUSES = ("ratelimited", "rate_limited")
FAULTS = ("internal_error", "fatal_error", "service_unavailable", "request_timeout")
CONNECTIONS = "connections:write"
NAME_CHARS = 60
Token = Literal["bot_token", "app_token"]
WHERE: Mapping[Token, str] = {
    "bot_token": "Install App in the app's pages",
    "app_token": "Basic Information > App-Level Tokens in the app's pages",
}
#: An app-level token has the id of its app in it.
_APP = re.compile(r"xapp-\d+-(?P<app>A[A-Z0-9]+)-")
#: What an error of Slack means for a token, and what mends it.
REFUSED = {
    "invalid_auth": "Slack does not accept it. Copy it anew from {where}",
    "not_authed": "Slack does not accept it. Copy it anew from {where}",
    "account_inactive": "the app was removed from its workspace. Install it again and copy the "
    "token from {where}",
    "token_revoked": "it was revoked. Install the app again and copy the token from {where}",
    "token_expired": "it has expired, because token rotation is on, which cannot be switched off. "
    "Make a new app with the manifest of Raybot",
    "not_allowed_token_type": "this is another kind of token. Copy the right one from {where}",
    "missing_scope": "it lacks the scope {needed}. Make one with it under {where}",
}


# ---- asking Slack ----------------------------------------------------------------------------


@contextmanager
def _told(host: str, token: Token) -> Iterator[None]:
    """Translate what the SDK raises; `ConfigError`: the token, else `DeliveryUnavailable`."""
    try:
        yield
    except SlackApiError as error:
        raise _meaning(error, host, token) from error
    except TimeoutError as error:
        raise DeliveryUnavailable(f"{host} did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise DeliveryUnavailable(
            f"{host} cannot be reached. If this machine is online, look at api_base_url"
        ) from error
    except (SlackClientError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise DeliveryUnavailable(
            f"{host} does not answer like Slack; look at api_base_url"
        ) from error


def _meaning(error: SlackApiError, host: str, token: Token) -> BotError:
    response = error.response
    if not isinstance(response, AsyncSlackResponse) or not isinstance(response.data, dict):
        return DeliveryUnavailable(f"{host} does not answer like Slack; look at api_base_url")
    code = _code(error)
    if response.status_code == TOO_MANY or code in PAUSES:
        return DeliveryUnavailable(f"{host} asks for a pause; check again later")
    if not _is_refusal(error):
        return DeliveryUnavailable(f"{host} answered {response.status_code}; check again later")
    needed = clean(str(response.data.get("needed", CONNECTIONS)))
    known = REFUSED.get(code, "").format(where=WHERE[token], needed=needed)
    reason = known or f"Slack refuses it ({clean(code)}). See {WHERE[token]}"
    return ConfigError(f"[adapters.slack] {token}: {reason}.")


def _is_refusal(error: SlackApiError) -> bool:
    """Whether Slack understood and said no; everything else passes by itself."""
    code = _code(error)
    return error.response.status_code == OK and bool(code) and code not in {*PAUSES, *FAULTS}


def _code(error: SlackApiError) -> str:
    answer = error.response.data
    return str(answer.get("error", "")) if isinstance(answer, dict) else ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A client for one token, and how to ask it."""

    client: AsyncWebClient
    host: str
    seconds: float

    async def ask(self, token: Token, method: str) -> AsyncSlackResponse:
        """What Slack answers to this token; raises `ConfigError` and `DeliveryUnavailable`."""
        with _told(self.host, token):
            return await self._call(method)

    async def refusal(self, method: str, **values: str) -> str:
        """Slack's word for why not, empty where it does it; raises `DeliveryUnavailable`."""
        return (await self._try(method, **values))[1]

    async def app_of(self, bot_id: str) -> str:
        """The app of a bot, empty where Slack does not say; raises `DeliveryUnavailable`."""
        answer, _ = await self._try("bots.info", bot=bot_id)
        with _told(self.host, "bot_token"):
            return str(answer["bot"].get("app_id", "")) if answer is not None else ""

    async def _try(self, method: str, **values: str) -> tuple[AsyncSlackResponse | None, str]:
        with _told(self.host, "bot_token"):
            try:
                return await self._call(method, **values), ""
            except SlackApiError as error:
                if not _is_refusal(error):
                    raise
                return None, _code(error)

    async def _call(self, method: str, **values: str) -> AsyncSlackResponse:
        async with asyncio.timeout(self.seconds):
            return await self.client.api_call(method, data=values)


@asynccontextmanager
async def line_of(settings: Settings, token: str, *, seconds: float) -> AsyncIterator[Line]:
    """Everything is given to the client, so that no variable of another Slack tool counts."""
    host = urlsplit(settings.api_base_url).hostname or "slack.com"
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(
            token=token, base_url=settings.api_base_url, session=session, retry_handlers=[]
        )
        client.proxy = None
        yield Line(client=client, host=host, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Met:
    """Our account, and how people call our bot there."""

    account: Account
    called: str


async def meet(line: Line) -> Met:
    """Who a bot token makes us."""
    answer = await line.ask("bot_token", "auth.test")
    if answer.get("is_enterprise_install"):
        raise ConfigError(
            "[adapters.slack] bot_token: it is of a whole organisation. Install the app in one "
            "workspace and use that token."
        )
    with _told(line.host, "bot_token"):
        account = Account(
            token=line.client.token or "",
            workspace=_said(answer, "team_id"),
            bot_user=_said(answer, "user_id"),
            bot_id=_said(answer, "bot_id"),
            name=clean(str(answer.get("team", "")), limit=NAME_CHARS),
            enterprise=str(answer.get("enterprise_id") or ""),
            scopes=_scopes(answer),
        )
        return Met(account=account, called=clean(_said(answer, "user"), limit=NAME_CHARS))


def _said(answer: AsyncSlackResponse, name: str) -> str:
    """What it says there; raises `KeyError` where it says nothing."""
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise KeyError(name)
    return value


def refuse_other_app(app_token: str, app: str) -> None:
    """Raise `ConfigError` where the app's token names another app, whose events would come."""
    named = _APP.match(app_token)
    if named and app and named["app"] != app:
        raise ConfigError(
            f"[adapters.slack] app_token: it is of the app {named['app']}, and bot_token of "
            f"{clean(app)}. Copy both from the same app."
        )


def _scopes(answer: AsyncSlackResponse) -> frozenset[str]:
    """What the token may do, as Slack says with every answer; empty where it does not say."""
    listed = str(answer.headers.get("x-oauth-scopes", ""))
    return frozenset(each.strip() for each in listed.split(",") if each.strip())


def lacking(account: Account) -> tuple[str, ...]:
    """The scopes that this version uses and the token has not; optional ones are not missed."""
    if not account.scopes:
        return ()
    return tuple(each for each in SCOPES if each not in account.scopes and each not in OPTIONAL)
