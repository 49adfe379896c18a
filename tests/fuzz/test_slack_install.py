"""Who installs the bot in Slack: the address that a browser is sent back to, and Slack's word."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from adapters.slack.app import to_app
from adapters.slack.calls import to_oauth, to_routes
from adapters.slack.manifest import INSTALL_PATH, REDIRECT_PATH, SCOPES
from adapters.slack.places import Places
from adapters.slack.settings import Settings
from adapters.slack.tokens import STATE_LIVES, Installations, States
from bot.ports import WebCall, WebHandler, WebReply
from bot.studio import Vault
from tests.bot.test_service import Api
from tests.fakes import MovableClock
from tests.fuzz import fuzz
from tests.fuzz.answering import answering, answers, outcome, says
from tests.fuzz.mutations import bodies, bounded, phrases, texts
from tests.fuzz.test_slack import SECRET, Ears

# The SDK's way to send the client's secret.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
COOKIE = "slack-app-oauth-state"
MARK = "<script>alert(1)</script>"
#: What Slack answers to the code, and to whom the new token is, in one.
ACCESS = {
    "ok": True,
    "access_token": "xoxb-9-of-the-wolves",
    "token_type": "bot",
    "scope": "chat:write,commands",
    "bot_user_id": "U9BOT",
    "bot_id": "B9",
    "app_id": "A1",
    "team": {"id": "T9", "name": "Wolves"},
    "enterprise": None,
    "authed_user": {"id": "U5"},
}


class Kept(dict[str, str]):
    """What is kept of installations, unsealed."""

    async def put(self, _adapter: str, name: str, value: str, *, also: str) -> None:
        assert also
        self[name] = value


class Quiet:
    """Hears which workspaces have the bot."""

    def returning(self, workspace: str) -> str:
        return workspace


@dataclass(kw_only=True)
class Door:
    """The two addresses of an installation, and what lies behind them."""

    api: Api
    routes: dict[tuple[str, str], WebHandler]
    states: States
    kept: Kept
    clock: MovableClock

    async def get(self, path: str, **call: Any) -> WebReply:
        given = {"query": {}, "headers": {}, "body": b"", **call}
        return await self.routes["GET", path](WebCall(method="GET", path=path, **given))

    async def back(self) -> WebReply:
        """Somebody comes back from Slack who has agreed to it."""
        state = await self.states.async_issue()
        query = {"code": "1.2.3", "state": state}
        return await self.get(REDIRECT_PATH, query=query, headers={"cookie": f"{COOKIE}={state}"})


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    clock, kept = MovableClock(), Kept()
    states = States("k" * 32, clock)
    async with answering() as (api, address):
        settings = Settings.model_validate(
            {"mode": "http", "client_id": "1.2", "client_secret": "c", "api_base_url": address}
        )
        installations = Installations(cast("Vault", kept), cast("Places", Quiet()))
        oauth = to_oauth(settings, installations, states)
        app = to_app(Ears(), Ears(), signing_secret=SECRET)
        routes = to_routes(app, oauth, signing_secret=SECRET)
        yield Door(api=api, routes=routes, states=states, kept=kept, clock=clock)


# ---- strangers ---------------------------------------------------------------------------------

names = st.sampled_from(("error", "code", "state", "team", "enterprise_id", "payload"))
values = st.one_of(texts, st.sampled_from((MARK, "access_denied", "T1&redirect_uri=x", "1.a.b")))
queries = st.one_of(
    st.lists(st.tuples(names, values), max_size=4).map(
        lambda pairs: urlencode(pairs, errors="replace")
    ),
    st.tuples(names, st.binary(max_size=12)).map(lambda pair: f"{pair[0]}={quote(pair[1])}"),
    texts.map(lambda text: text.encode("utf-8", "replace").decode()),
)
heads = st.fixed_dictionaries(
    {},
    optional={
        "cookie": phrases(f"{COOKIE}=", f"{COOKIE}=1.a.b", ";", '"', "=", "x=y"),
        "content-type": st.sampled_from(("application/json", "text/plain", "")),
    },
)


@pytest.mark.parametrize("path", [INSTALL_PATH, REDIRECT_PATH])
async def test_a_stranger_reads_a_page_and_installs_nothing(path: str) -> None:
    asked: list[tuple[str, dict[str, str], bytes]] = []

    @fuzz
    @given(queries, heads, st.one_of(st.just(b""), st.just(b""), bodies({"payload": "{}"})))
    def collect(query: str, head: dict[str, str], body: bytes) -> None:
        asked.append((query, head, body))

    collect()
    asked += [("", {}, b"{"), ("", {"content-type": "application/json"}, b"[]")]
    asked += [("team=T1%26scope%3Dadmin", {}, b"")]
    async with door() as it:
        for query, head, body in asked:
            read = dict(URL(f"/?{query.replace('#', '')}", encoded=True).query)
            reply = await outcome(it.get(path, query=read, headers=head, body=body))
            assert isinstance(reply, WebReply)
            assert reply.status in (200, 400, 401)
            assert MARK.encode() not in reply.body
            every = "".join(each for pair in reply.headers for each in pair)
            assert not {"\r", "\n"} & set(every)
            for link in re.findall(r'href="([^"]*authorize[^"]*)"', reply.body.decode()):
                said = parse_qs(urlsplit(html.unescape(link)).query)
                assert (said["client_id"], said["scope"]) == (["1.2"], [",".join(SCOPES)])
                assert said.keys() <= {"client_id", "scope", "state", "team"}
        assert not it.api.seen
        assert not it.kept


async def test_a_state_counts_once_and_only_if_it_was_issued_here() -> None:
    forged: list[tuple[int, str, str]] = []

    @fuzz
    @given(st.integers(0, 60), st.one_of(texts, st.text(max_size=1)), texts)
    def collect(at: int, put: str, other: str) -> None:
        forged.append((at, put, other))

    collect()
    clock = MovableClock()
    states, stranger = States("k" * 32, clock), States("z" * 32, clock)
    for at, put, other in forged:
        issued = await states.async_issue()
        changed = issued[:at] + put + issued[at + 1 :]
        with bounded():
            assert not await states.async_consume(other)
            assert not await states.async_consume(await stranger.async_issue())
            assert changed == issued or not await states.async_consume(changed)
            assert await states.async_consume(issued)
            assert not await states.async_consume(issued)
    late = await states.async_issue()
    clock.move(seconds=STATE_LIVES.total_seconds() + 1)
    assert not await states.async_consume(late)


# ---- what Slack says to who agreed -------------------------------------------------------------


async def test_what_slack_says_installs_a_bot_that_can_speak_or_none() -> None:
    async with door() as it:
        for number, body in enumerate(answers(ACCESS)):
            says(it.api, body)
            it.kept.clear()
            reply = await outcome(it.back())
            assert isinstance(reply, WebReply)
            assert reply.status in (200, 401, 500, 502)
            assert bool(it.kept) == (reply.status == 200)
            for each in map(json.loads, it.kept.values()):
                ids = [each[name] for name in ("token", "workspace", "bot_user", "bot_id")]
                assert all(isinstance(one, str) and one for one in ids)
            assert number or reply.status == 200
