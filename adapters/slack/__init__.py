"""Slack as a chat platform, on slack-bolt. The app calls `create`, whoever sets up the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from adapters.slack import setup
from adapters.slack.listener import Slack
from adapters.slack.manifest import manifest, to_json
from adapters.slack.settings import Settings, refuse_unusable
from bot.clock import Clock
from bot.ports import Finding, Introduction, ModelCapabilities

if TYPE_CHECKING:
    from bot.studio import Studio

__all__ = ["Settings", "Slack", "check", "create", "install", "introduce", "to_manifest"]
#: So long a person waits for Slack's answer.
ANSWER_WITHIN = 15.0


def create(settings: Settings, studio: Studio, *, clock: Clock) -> Slack:
    """A session with Slack; raises `ConfigError` where something is missing for it."""
    refuse_unusable(settings)
    return Slack(studio, settings, clock=clock)


async def check(
    settings: Settings,
    *,
    served: Mapping[str, Collection[str]],
    models: Sequence[ModelCapabilities],
    public_url: str = "",
    seconds: float = ANSWER_WITHIN,
) -> list[Finding]:
    """What Slack says of the tokens, their scopes, the workspace and its allowed channels.

    `served` maps workspaces to their allowed channels, none: all; Slack keeps no list of `models`.
    Raises `ConfigError` where a token is missing; each question may take so many `seconds`.
    """
    del models
    desired = setup.Desired(served=served, public_url=public_url, seconds=seconds)
    return await setup.check(settings, desired)


async def introduce(settings: Settings, *, seconds: float = ANSWER_WITHIN) -> Introduction:
    """Who the bot is and where, by the tokens that are there; without the app's it is not proved.

    Raises `ConfigError` and `DeliveryUnavailable`.
    """
    return await setup.introduce(settings, seconds=seconds)


async def install(
    settings: Settings, *, public_url: str = "", seconds: float = ANSWER_WITHIN
) -> str:
    """How to make an app and get its tokens; with them, how to bring the bot into a channel.

    Raises as `introduce`.
    """
    return await setup.install(settings, public_url=public_url, seconds=seconds)


def to_manifest(settings: Settings, *, public_url: str = "", is_called: bool = False) -> str:
    """The app's manifest as JSON; `is_called`: for Slack's calls over HTTP, whatever `mode` says.

    Raises `ConfigError` where that needs another `public_url`.
    """
    mode = "http" if is_called else settings.mode
    return to_json(manifest(mode, public_url=public_url, command=settings.command))
