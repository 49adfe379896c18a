"""Discord as a chat platform, on discord.py. The app calls `create`, whoever sets up the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import discord
from pydantic import BeforeValidator, Field, SecretStr

from adapters.discord import setup
from adapters.discord.listener import Discord
from adapters.discord.session import Wire
from adapters.discord.threads import Opening
from bot.clock import Clock
from bot.errors import ConfigError
from bot.log import register_secret
from bot.ports import Finding, Introduction, ModelCapabilities
from bot.refs import Frozen

if TYPE_CHECKING:
    from bot.studio import Studio

__all__ = ["Discord", "Settings", "check", "create", "install", "introduce"]
# Raybot never speaks; no operator has to read that the packages for it are missing.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
#: So long a person waits for Discord's answer.
ANSWER_WITHIN = 15.0


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Ids = Annotated[tuple[int, ...], BeforeValidator(_split)]


class Settings(Frozen):
    """`[adapters.discord]`. Empty addresses are Discord's own; sizes are bytes.

    `thread`: a clip comes as a reply in its channel, or in a `new` thread of its own; that
    only in `thread_channels`, where some are named.
    `hosting`: where no public address is set, start frames are shown on the bot's own status
    message (`chat`) so that the video service can fetch them, or not at all (`off`).
    """

    token: SecretStr | None = None
    api_base_url: str = ""
    gateway_url: str = ""
    message_content: Literal["auto", "on", "off"] = "auto"
    sync_commands: bool = True
    dev_guild_ids: Ids = ()
    shard_ids: Ids = ()
    shard_count: int | None = Field(None, ge=1)
    upload_limit_bytes: int = Field(20 << 20, ge=1_000_000)
    thread: Literal["reply", "new"] = "reply"
    thread_channels: Ids = ()
    hosting: Literal["chat", "off"] = "chat"

    @property
    def can_host(self) -> bool:
        """Whether images can be handed over by the chat's own links."""
        return self.hosting == "chat"

    @property
    def has_account(self) -> bool:
        """Whether there is a token."""
        return self.token is not None and bool(self.token.get_secret_value().strip())


def _to_wire(settings: Settings) -> Wire:
    """How to reach Discord; raises `ConfigError` without a token."""
    if settings.token is None or not settings.has_account:
        raise ConfigError(
            "[adapters.discord] token: missing. Make a bot at discord.com/developers and set "
            "RAYBOT_ADAPTERS__DISCORD__TOKEN."
        )
    token = settings.token.get_secret_value().strip()
    register_secret(token)
    return Wire(
        token=token,
        api_base_url=settings.api_base_url.rstrip("/"),
        gateway_url=settings.gateway_url,
        message_content=settings.message_content,
        sync_commands=settings.sync_commands,
        dev_guild_ids=settings.dev_guild_ids,
        shard_ids=settings.shard_ids,
        shard_count=settings.shard_count,
    )


def create(settings: Settings, studio: Studio, *, clock: Clock) -> Discord:
    """A session with Discord; raises `ConfigError` without a token."""
    return Discord(
        studio,
        _to_wire(settings),
        clock=clock,
        upload_limit_bytes=settings.upload_limit_bytes,
        can_host=settings.can_host,
        opening=Opening(
            is_on=settings.thread == "new", channels=frozenset(settings.thread_channels)
        ),
    )


async def check(
    settings: Settings,
    *,
    served: Mapping[str, Collection[str]],
    models: Sequence[ModelCapabilities],
    public_url: str = "",
    seconds: float = ANSWER_WITHIN,
) -> list[Finding]:
    """What Discord says of the token, the portal, the commands and each served server.

    `served` maps servers to their allowed channels, none: all; `models` can be chosen. Raises
    `ConfigError` without a token; each question may take so many `seconds`.
    """
    del public_url  # Discord never calls us.
    desired = setup.Desired(
        served=served,
        models=models,
        opens_threads=settings.thread == "new",
        seconds=seconds,
    )
    return await setup.check(_to_wire(settings), desired)


async def introduce(settings: Settings, *, seconds: float = ANSWER_WITHIN) -> Introduction:
    """Who the bot is and where; raises `ConfigError` and `DeliveryUnavailable`."""
    return await setup.introduce(_to_wire(settings), seconds=seconds)


async def install(
    settings: Settings, *, public_url: str = "", seconds: float = ANSWER_WITHIN
) -> str:
    """The link that adds the bot to a server, and the portal's switches; raises as `introduce`."""
    del public_url
    return (await introduce(settings, seconds=seconds)).invitation
