"""Discord as a chat platform, on discord.py. `create` is all the app calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from adapters.discord.listener import Discord
from adapters.discord.session import Wire
from bot.clock import Clock
from bot.errors import ConfigError
from bot.log import register_secret
from bot.refs import Frozen

if TYPE_CHECKING:
    from bot.studio import Studio

__all__ = ["Discord", "Settings", "create", "install"]

#: View Channel, Send Messages, Attach Files, Read Message History, Send Messages in Threads,
#: Create Public Threads (https://docs.discord.com/developers/topics/permissions).
PERMISSIONS = 1 << 10 | 1 << 11 | 1 << 15 | 1 << 16 | 1 << 38 | 1 << 35


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Ids = Annotated[tuple[int, ...], BeforeValidator(_split)]


class Settings(Frozen):
    """`[adapters.discord]`. Empty addresses are Discord's own; sizes are bytes.

    `thread`: a request's clip comes as a reply in its channel, or in a `new` thread of its own.
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
    hosting: Literal["chat", "off"] = "chat"


def create(settings: Settings, studio: Studio, *, clock: Clock) -> Discord:
    """A session with Discord; raises `ConfigError` without a token."""
    if settings.token is None or not settings.token.get_secret_value().strip():
        raise ConfigError(
            "[adapters.discord] token: missing. Make a bot at discord.com/developers and set "
            "RAYBOT_ADAPTERS__DISCORD__TOKEN."
        )
    token = settings.token.get_secret_value().strip()
    register_secret(token)
    wire = Wire(
        token=token,
        api_base_url=settings.api_base_url.rstrip("/"),
        gateway_url=settings.gateway_url,
        message_content=settings.message_content,
        sync_commands=settings.sync_commands,
        dev_guild_ids=settings.dev_guild_ids,
        shard_ids=settings.shard_ids,
        shard_count=settings.shard_count,
    )
    return Discord(
        studio,
        wire,
        clock=clock,
        upload_limit_bytes=settings.upload_limit_bytes,
        can_host=settings.hosting == "chat",
        opens_threads=settings.thread == "new",
    )


def install(application_id: int) -> str:
    """The link with which somebody adds the bot to a server, with the least permissions."""
    return (
        f"https://discord.com/oauth2/authorize?client_id={application_id}"
        f"&permissions={PERMISSIONS}&scope=bot+applications.commands"
    )
