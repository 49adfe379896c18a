"""What Slack makes the app from: held to its own schema, and to the names that it knows."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from jsonschema import Draft202012Validator

from adapters.slack import Settings, to_manifest
from adapters.slack.manifest import EVENTS, OPTIONAL, SCOPES, manifest, to_link
from bot.errors import ConfigError

SCHEMA = Path(__file__).resolve().parents[4] / "shared" / "specs" / "slack-manifest.schema.json"
#: The names that Slack documents; its schema takes any.
KNOWN_SCOPES = {
    "app_mentions:read",
    "channels:history",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "im:history",
    "im:write",
    "reactions:read",
    "users:read",
}
#: Each event, and the scope without which Slack does not tell it.
KNOWN_EVENTS = {
    "app_home_opened": "",
    "app_mention": "app_mentions:read",
    "message.im": "im:history",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "app_uninstalled": "",
    "tokens_revoked": "",
}
ADDRESS = "https://video.example.org"
BOTH = [("socket", ""), ("http", ADDRESS)]


@cache
def _schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
    return found


@pytest.mark.skipif(not SCHEMA.exists(), reason="slack-manifest.schema.json is not beside this")
@pytest.mark.parametrize(("mode", "url"), BOTH)
def test_it_fits_slacks_own_schema(mode: Any, url: str) -> None:
    shown = manifest(mode, public_url=url)
    validator = Draft202012Validator(_schema())
    assert [each.message for each in validator.iter_errors(shown)] == []
    shown["settings"]["interactivity"]["is_on"] = True
    assert not validator.is_valid(shown), "the schema finds a slip"


@pytest.mark.parametrize(("mode", "url"), BOTH)
def test_every_name_is_one_that_slack_knows(mode: Any, url: str) -> None:
    shown = manifest(mode, public_url=url)
    scopes = shown["oauth_config"]["scopes"]
    assert set(scopes["bot"]) == KNOWN_SCOPES == set(SCOPES)
    assert scopes["bot_optional"] == list(OPTIONAL)
    assert set(OPTIONAL) < set(SCOPES), "what is optional has to be asked for, too"
    events = shown["settings"]["event_subscriptions"]["bot_events"]
    assert set(events) == set(KNOWN_EVENTS) == set(EVENTS)
    assert {scope for event in events if (scope := KNOWN_EVENTS[event])} < set(SCOPES)
    assert re.fullmatch(r"[a-z0-9._-]{1,80}", shown["features"]["bot_user"]["display_name"])


def test_what_people_see_says_that_clips_are_made_by_ai() -> None:
    shown = manifest("socket", command="/video")
    about = shown["display_information"]["long_description"]
    assert 174 <= len(about) <= 4000
    assert "AI" in about
    assert "Type /video" in about
    [command] = shown["features"]["slash_commands"]
    assert (command["command"], command["should_escape"]) == ("/video", True)
    assert {each["callback_id"]: each["type"] for each in shown["features"]["shortcuts"]} == {
        "animate_with_ray": "message",
        "create_ray_clip": "global",
    }
    home = shown["features"]["app_home"]
    assert (home["home_tab_enabled"], home["messages_tab_enabled"]) == (True, True)


def test_sockets_need_no_address() -> None:
    shown = manifest("socket", public_url=ADDRESS)
    assert shown["settings"]["socket_mode_enabled"] is True
    assert ADDRESS not in json.dumps(shown)


def test_over_http_everything_comes_to_one_address() -> None:
    shown = manifest("http", public_url=f"{ADDRESS}/")
    assert shown["settings"]["socket_mode_enabled"] is False
    urls = {
        shown["settings"]["event_subscriptions"]["request_url"],
        shown["settings"]["interactivity"]["request_url"],
        shown["features"]["slash_commands"][0]["url"],
    }
    assert urls == {f"{ADDRESS}/slack/events"}
    assert shown["oauth_config"]["redirect_urls"] == [f"{ADDRESS}/slack/oauth_redirect"]
    with pytest.raises(ConfigError, match=r"\[bot\] public_url: missing"):
        manifest("http")
    with pytest.raises(ConfigError, match="begin with https://"):
        manifest("http", public_url="http://video.example.org")


def test_the_link_brings_the_whole_manifest_and_no_secret() -> None:
    shown = manifest("socket")
    link = to_link(shown)
    assert len(link) < 4000
    query = parse_qs(urlsplit(link).query)
    assert query["new_app"] == ["1"]
    assert json.loads(query["manifest_json"][0]) == shown


def test_the_settings_say_how_slack_reaches_us() -> None:
    settings = Settings.model_validate({"mode": "http", "command": "/video"})
    assert json.loads(to_manifest(settings, public_url=ADDRESS)) == manifest(
        "http", public_url=ADDRESS, command="/video"
    )
    assert json.loads(to_manifest(Settings.model_validate({}))) == manifest("socket")
    called = to_manifest(Settings.model_validate({}), public_url=ADDRESS, is_called=True)
    assert json.loads(called) == manifest("http", public_url=ADDRESS)
