"""The manifest of Raybot's app at Slack: what it may do, what it hears and how it looks. Pure."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from adapters.slack.settings import Mode, refuse_address

#: What the bot's token may do; each is used (docs/operations.md says what for).
SCOPES = (
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
)
#: A workspace may leave these out.
OPTIONAL = ("groups:history",)
EVENTS = (
    "app_home_opened",
    "app_mention",
    "message.im",
    "reaction_added",
    "reaction_removed",
    "app_uninstalled",
    "tokens_revoked",
)
ANIMATE, CREATE = "animate_with_ray", "create_ray_clip"
#: Where Slack calls us over HTTP.
EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH = (
    "/slack/events",
    "/slack/install",
    "/slack/oauth_redirect",
)
ABOUT = (
    "Ray turns a prompt or an image into a short video clip. Type {command} and a prompt, choose "
    "Animate with Ray on a message that has an image, or mention @ray in the thread of an image. "
    "Clips are made by Luma's AI models, which can be wrong or surprising: please look before you "
    "share, and say that a clip is AI-generated. Prompts and images go to the video service that "
    "your operator chose. What you used, and your settings, are on the Home tab."
)


def manifest(
    mode: Mode, *, public_url: str = "", name: str = "Ray", command: str = "/ray"
) -> dict[str, Any]:
    """The manifest for sockets, or for Slack's calls at `public_url`; raises `ConfigError`."""
    is_http = mode == "http"
    if is_http:
        refuse_address(public_url)
    address = public_url.rstrip("/")
    called = {"request_url": address + EVENTS_PATH} if is_http else {}
    return {
        "_metadata": {"major_version": 2, "minor_version": 1},
        "display_information": {
            "name": name,
            "description": "Make short AI video clips with Luma's Ray models",
            "background_color": "#1d1c3a",
            "long_description": ABOUT.format(command=command),
        },
        "features": _features(command, {"url": address + EVENTS_PATH} if is_http else {}),
        "oauth_config": {
            # Slack ignores it until somebody installs the app by our own page.
            **({"redirect_urls": [address + REDIRECT_PATH]} if is_http else {}),
            "scopes": {"bot": list(SCOPES), "bot_optional": list(OPTIONAL)},
        },
        "settings": {
            "event_subscriptions": {**called, "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **called},
            "org_deploy_enabled": False,
            "socket_mode_enabled": not is_http,
            # Once on it cannot be switched off, and such tokens end after twelve hours.
            "token_rotation_enabled": False,
            "is_hosted": False,
        },
    }


def _features(command: str, called: dict[str, str]) -> dict[str, Any]:
    return {
        "app_home": {
            "home_tab_enabled": True,
            "messages_tab_enabled": True,
            "messages_tab_read_only_enabled": False,
        },
        "bot_user": {"display_name": "ray", "always_online": True},
        "shortcuts": [
            {
                "name": "Animate with Ray",
                "type": "message",
                "callback_id": ANIMATE,
                "description": "Set an image of this message in motion",
            },
            {
                "name": "Create a Ray clip",
                "type": "global",
                "callback_id": CREATE,
                "description": "Make a clip from a prompt or an image",
            },
        ],
        "slash_commands": [
            {
                "command": command,
                "description": "Make an AI video clip",
                "usage_hint": "[prompt] --ar 16:9 --dur 9s | usage | jobs | help",
                "should_escape": True,
                **called,
            }
        ],
    }


def to_json(shown: dict[str, Any]) -> str:
    """As Slack takes it under *From a manifest*, tab JSON."""
    return json.dumps(shown, indent=2, ensure_ascii=False)


def to_link(shown: dict[str, Any]) -> str:
    """The link that opens Slack's form for a new app, filled in."""
    text = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
    return f"https://api.slack.com/apps?new_app=1&manifest_json={quote(text, safe='')}"
