"""Who sets the bot up learns what Slack thinks of it: tokens, scopes, workspace, channels."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from adapters.slack import Settings, check, install, introduce, setup
from adapters.slack.manifest import SCOPES, manifest
from adapters.slack.proof import REFUSED
from bot.errors import ConfigError, DeliveryUnavailable
from tests.ports import free_port
from tests.slack_portal import APP_TOKEN, BOT_TOKEN, CELLAR, HALL, WORKSPACE, SlackPortal

NONE: dict[str, Collection[str]] = {}
HERE: dict[str, Collection[str]] = {WORKSPACE: ()}
ADDRESS = "https://video.example.org"
HTTP: dict[str, Any] = {"mode": "http", "app_token": "", "signing_secret": "shh-signing"}
MANY: dict[str, Any] = {**HTTP, "bot_token": "", "client_id": "1.2", "client_secret": "shh-client"}
WELL = [
    f"the bot's token is good, this is @ray in Foxes ({WORKSPACE})",
    "the app's token is good, so Slack can be listened to",
]


@pytest.fixture
async def portal() -> AsyncIterator[SlackPortal]:
    async with SlackPortal() as portal:
        yield portal


@pytest.fixture(autouse=True)
def _other_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other Slack tools leave in the environment means nothing here."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-of-another-tool")
    monkeypatch.setenv("SLACK_CLIENT_ID", "9.9")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "another")
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")


def to_settings(portal: SlackPortal | None = None, **values: Any) -> Settings:
    table = {"bot_token": BOT_TOKEN, "app_token": APP_TOKEN, **values}
    if portal is not None:
        table.setdefault("api_base_url", portal.base_url)
    return Settings.model_validate(table)


async def said(
    portal: SlackPortal,
    served: Mapping[str, Collection[str]] | None = None,
    *,
    public_url: str = "",
    **values: Any,
) -> tuple[list[str], list[str]]:
    """What is well, and what needs the operator."""
    findings = await check(
        to_settings(portal, **values),
        served=HERE if served is None else served,
        models=(),
        public_url=public_url,
        seconds=5,
    )
    assert all(each.sentence.startswith("slack: ") for each in findings)
    told = [(each.is_well, each.sentence.removeprefix("slack: ")) for each in findings]
    return [text for is_well, text in told if is_well], [text for ok, text in told if not ok]


# ---- the tokens -------------------------------------------------------------------------------


async def test_good_tokens_are_proved_and_name_their_workspace(portal: SlackPortal) -> None:
    assert await said(portal) == (WELL, [])
    calls = ["auth.test", "bots.info", "apps.connections.open"]
    assert portal.calls == calls, "nothing is changed"


@pytest.mark.parametrize(
    ("key", "method", "code", "says"),
    [
        ("bot_token", "auth.test", "invalid_auth", "does not accept it. Copy it anew"),
        ("bot_token", "auth.test", "account_inactive", "was removed from its workspace"),
        ("bot_token", "auth.test", "token_revoked", "it was revoked"),
        ("bot_token", "auth.test", "token_expired", "token rotation is on"),
        ("bot_token", "auth.test", "ekm_access_denied", "refuses it (ekm_access_denied). See"),
        ("bot_token", "auth.test", "{id}", "refuses it ({id}). See"),
        ("app_token", "apps.connections.open", "missing_scope", "lacks the scope connections:wr"),
        ("app_token", "apps.connections.open", "not_allowed_token_type", "another kind of token"),
    ],
)
async def test_a_refused_token_is_one_line_that_says_what_to_do(
    portal: SlackPortal, key: str, method: str, code: str, says: str
) -> None:
    portal.errors[method] = code
    _, [amiss] = await said(portal)
    assert amiss.startswith(f"[adapters.slack] {key}: ")
    assert says in amiss
    for secret in (BOT_TOKEN, APP_TOKEN):
        assert secret not in amiss
    with pytest.raises(ConfigError, match=key):
        await setup.prove(to_settings(portal), seconds=5)


def test_every_word_of_slack_for_a_bad_token_has_a_sentence() -> None:
    for code, reason in REFUSED.items():
        filled = reason.format(where="there", needed="connections:write")
        assert code not in filled, "people read words"


async def test_a_session_learns_who_it_is_or_fails_at_once(portal: SlackPortal) -> None:
    account = await setup.prove(to_settings(portal), seconds=5)
    assert (account.workspace, account.bot_user, account.bot_id) == (WORKSPACE, "U0RAY", "B0RAY")
    assert (account.name, account.token) == ("Foxes", BOT_TOKEN)
    assert account.scopes == set(SCOPES)
    assert BOT_TOKEN not in repr(account)
    with pytest.raises(ConfigError, match="bot_token: Slack does not accept it"):
        await setup.prove(to_settings(portal, bot_token="xoxb-wrong"), seconds=5)
    with pytest.raises(ConfigError, match="app_token: Slack does not accept it"):
        await setup.prove(to_settings(portal, app_token="xapp-wrong"), seconds=5)
    portal.is_org_wide = True
    with pytest.raises(ConfigError, match="whole organisation"):
        await setup.prove(to_settings(portal), seconds=5)


async def test_two_tokens_of_different_apps_are_found_out(portal: SlackPortal) -> None:
    portal.app_id = "A2"
    well, [amiss] = await said(portal)
    assert well == WELL[:1]
    assert amiss == (
        "[adapters.slack] app_token: it is of the app A1, and bot_token of A2. Copy both from the "
        "same app."
    )
    with pytest.raises(ConfigError, match="it is of the app A1"):
        await setup.prove(to_settings(portal), seconds=5)
    portal.errors["bots.info"] = "missing_scope"
    assert await said(portal) == (WELL, []), "what Slack does not say is no fault"


async def test_slack_away_is_no_fault_of_the_token(portal: SlackPortal) -> None:
    settings = to_settings(portal)
    for status in (500, 503, 429):
        portal.statuses["auth.test"] = status
        with pytest.raises(DeliveryUnavailable, match="again later"):
            await setup.prove(settings, seconds=5)
    portal.statuses.clear()
    for code in ("ratelimited", "internal_error"):
        portal.errors["auth.test"] = code
        with pytest.raises(DeliveryUnavailable, match="again later"):
            await setup.prove(settings, seconds=5)
    portal.errors.clear()
    dead = f"http://127.0.0.1:{free_port()}/api/"
    _, [bot, app] = await said(portal, api_base_url=dead)
    assert (
        bot
        == app
        == ("127.0.0.1 cannot be reached. If this machine is online, look at api_base_url")
    )
    _, [bot, app] = await said(portal, api_base_url=portal.base_url.replace("/api/", "/web/"))
    assert bot == app == "127.0.0.1 does not answer like Slack; look at api_base_url"
    portal.is_mute = True
    with pytest.raises(DeliveryUnavailable, match="did not answer in time"):
        await setup.prove(settings, seconds=0.1)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"bot_token": ""}, "bot_token: missing; `raybot invite slack`"),
        ({"app_token": " "}, "app_token: missing; .*connections:write"),
        ({"mode": "http"}, "signing_secret: missing"),
        ({"client_id": "1.2"}, "client_secret: missing; client_id and client_secret belong"),
        ({"client_secret": "s"}, "client_id: missing"),
        ({**MANY, "bot_token": BOT_TOKEN}, "bot_token: with client_id each workspace brings"),
        ({**MANY, "mode": "socket"}, "mode: workspaces can install the bot over HTTP only"),
    ],
)
async def test_what_belongs_together_is_asked_for(
    values: dict[str, Any], says: str, portal: SlackPortal
) -> None:
    settings = to_settings(portal, **values)
    with pytest.raises(ConfigError, match=says):
        await check(settings, served=HERE, models=())
    with pytest.raises(ConfigError, match=says):
        await setup.prove(settings, seconds=5)
    assert portal.calls == []


def test_tokens_in_each_others_place_and_wrong_values_are_refused() -> None:
    for values, says in (
        ({"bot_token": APP_TOKEN}, "It begins with xoxb-"),
        ({"bot_token": "xoxp-user"}, "another kind of token"),
        ({"app_token": BOT_TOKEN}, "It begins with xapp-"),
        ({"connections": 11}, "less than or equal to 10"),
        ({"command": "ray"}, "pattern"),
    ):
        with pytest.raises(ValidationError, match=says) as refused:
            Settings.model_validate(values)
        assert "xoxp-user" not in str(refused.value.errors(include_input=False)[0]["msg"])
    settings = Settings.model_validate({"admins": "U1, T1/U2", "api_base_url": "http://x/api"})
    assert settings.admins == ("U1", "T1/U2")
    assert settings.api_base_url == "http://x/api/"
    assert Settings.model_validate({"api_base_url": ""}) == Settings.model_validate({})
    assert not Settings.model_validate({}).has_account
    assert not Settings.model_validate({}).can_host


# ---- scopes, the workspace, its channels -------------------------------------------------------


async def test_each_missing_scope_is_named_with_its_cure(portal: SlackPortal) -> None:
    portal.scopes = tuple(each for each in SCOPES if each not in ("files:write", "users:read"))
    _, [amiss] = await said(portal)
    assert amiss.startswith("the bot's token lacks files:write, users:read: add files:write, ")
    assert "reinstall it" in amiss
    account = await setup.prove(to_settings(portal), seconds=5)
    assert account.workspace == WORKSPACE, "the bot starts all the same, and logs it"


async def test_what_may_be_left_out_is_told_and_not_missed(portal: SlackPortal) -> None:
    portal.scopes = tuple(each for each in SCOPES if each != "groups:history")
    well, amiss = await said(portal)
    assert amiss == []
    assert well[1].startswith("groups:history is left out, so mentions in private channels")
    portal.scopes = None
    well, amiss = await said(portal)
    assert amiss == []
    assert "Slack did not say" in well[1]


async def test_the_workspace_has_to_be_the_one_that_is_served(portal: SlackPortal) -> None:
    _, [amiss] = await said(portal, NONE)
    assert amiss.startswith("no workspace is served. Name yours in [access] workspaces")
    _, [ours, theirs] = await said(portal, {"T0OWLS": ()})
    assert f'Put "{WORKSPACE}" into [access] workspaces' in ours
    assert theirs.startswith(
        "[access] workspaces: T0OWLS is served, but the bot's token is of Fox"
    )


async def test_the_bot_has_to_be_in_each_allowed_channel(portal: SlackPortal) -> None:
    well, amiss = await said(portal, {WORKSPACE: [HALL, CELLAR, "C0GONE"]})
    assert well[-2] == "Foxes: the bot is in 1 of the allowed channels"
    assert amiss == [
        f"Foxes: the allowed channel {CELLAR} has not got the bot in it. Type /invite @ray there",
        "Foxes: the allowed channel C0GONE is gone, or private and without the bot. Type /invite "
        "@ray there",
    ]
    asked = [each for each in portal.asked if "channel" in each]
    assert all(float(each["oldest"]) > 9e9 for each in asked), "no message is read"
    portal.errors["conversations.history"] = "missing_scope"
    well, amiss = await said(portal, {WORKSPACE: [HALL]})
    assert (well, amiss) == (WELL, []), "what cannot be asked is not guessed"
    portal.errors["conversations.history"] = "ratelimited"
    _, [amiss_line] = await said(portal, {WORKSPACE: [HALL]})
    assert amiss_line == f"Foxes, channel {HALL}: 127.0.0.1 asks for a pause; check again later"


# ---- over HTTP --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public_url", "says"),
    [("", "[bot] public_url: missing."), ("http://x", "[bot] public_url: Slack calls only")],
)
async def test_over_http_slack_needs_an_address(
    portal: SlackPortal, public_url: str, says: str
) -> None:
    well, [amiss] = await said(portal, public_url=public_url, **HTTP)
    assert amiss.startswith(says)
    assert well == WELL[:1], "no token of the app is asked for"
    well, amiss_all = await said(portal, public_url=ADDRESS, **HTTP)
    assert amiss_all == []
    assert well[0].startswith(f"Slack calls {ADDRESS}/slack/events, if the app's manifest says so")


async def test_where_workspaces_install_it_their_tokens_are_looked_at_then(
    portal: SlackPortal,
) -> None:
    well, amiss = await said(portal, {"T0OWLS": ()}, public_url=ADDRESS, **MANY)
    assert well[1:] == [
        "each workspace brings its own token; the log says what it may not do, when it comes and "
        "after each start"
    ]
    assert amiss == []
    assert portal.calls == []
    page = await install(to_settings(portal, **MANY), public_url=f"{ADDRESS}/")
    assert f"  {ADDRESS}/slack/install" in page
    with pytest.raises(ConfigError, match=r"\[bot\] public_url: missing"):
        await install(to_settings(portal, **MANY))
    with pytest.raises(ConfigError, match="each workspace brings its own token"):
        await introduce(to_settings(portal, **MANY))


# ---- making the app ---------------------------------------------------------------------------


async def test_without_tokens_the_invitation_makes_the_app(portal: SlackPortal) -> None:
    steps = await install(Settings.model_validate({}))
    [link] = [line.strip() for line in steps.splitlines() if "https://" in line]
    [shown] = parse_qs(urlsplit(link).query)["manifest_json"]
    assert json.loads(shown) == manifest("socket")
    assert "connections:write" in steps
    over_http = await install(Settings.model_validate({"mode": "http"}), public_url=ADDRESS)
    assert "Signing Secret" in over_http
    assert portal.calls == []


async def test_with_tokens_the_invitation_brings_the_bot_into_a_channel(
    portal: SlackPortal,
) -> None:
    bot = await introduce(to_settings(portal), seconds=5)
    assert (bot.name, bot.owner, bot.places) == ("@ray", "", {WORKSPACE: "Foxes"})
    assert "  /invite @ray" in bot.invitation
    assert await install(to_settings(portal)) == bot.invitation
    portal.calls.clear()
    assert await introduce(to_settings(portal, app_token="")) == bot, "one token after the other"
    assert portal.calls == ["auth.test"]
