"""What the gateway tells: every change of the world as an event with its conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.discord_server.application import Intent
from tests.discord_server.payloads import Payloads
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import Json
from tests.discord_server.world import Channel, Guild, Message, User


@dataclass(frozen=True, kw_only=True)
class Event:
    """One dispatch. `to_json` is asked with whether the session reads message content."""

    name: str
    needs: Intent
    guild: Guild | None
    to_json: Callable[[bool], Json]


class Happenings:
    """Turns changes into events, for what the bot is allowed to see."""

    def __init__(self, payloads: Payloads, dispatch: Callable[[Event], None]) -> None:
        self._payloads = payloads
        self._dispatch = dispatch

    def _tell(
        self, name: str, needs: Intent, guild: Guild | None, to_json: Callable[[bool], Json]
    ) -> None:
        self._dispatch(Event(name=name, needs=needs, guild=guild, to_json=to_json))

    # ---- messages -----------------------------------------------------------------------

    def message_created(self, message: Message) -> None:
        """Somebody said something."""
        self._message("MESSAGE_CREATE", message)

    def message_changed(self, message: Message) -> None:
        """A message reads differently now."""
        self._message("MESSAGE_UPDATE", message)

    def message_deleted(self, message: Message) -> None:
        """A message is gone."""
        channel = message.channel
        body = {"id": str(message.id), **_place(channel)}
        if self._sees(channel):
            needs = _messages_intent(channel)
            self._tell("MESSAGE_DELETE", needs, channel.guild, lambda _: body)

    def reaction_added(self, message: Message, user: User, emoji: str) -> None:
        """Somebody reacted."""
        more: Json = {"message_author_id": str(message.author.id)}
        guild = message.channel.guild
        if guild is not None and user.id in guild.members:
            member = self._payloads.member(guild, user)
            more["member"] = {**member, "user": self._payloads.user(user)}
        self._reacted("MESSAGE_REACTION_ADD", message, user, emoji, more)

    def reaction_removed(self, message: Message, user: User, emoji: str) -> None:
        """Somebody took a reaction back."""
        self._reacted("MESSAGE_REACTION_REMOVE", message, user, emoji, {})

    def _reacted(self, name: str, message: Message, user: User, emoji: str, more: Json) -> None:
        channel = message.channel
        body = {
            "user_id": str(user.id),
            "message_id": str(message.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
            **_place(channel),
            **more,
        }
        if self._sees(channel):
            needs = (
                Intent.GUILD_MESSAGE_REACTIONS
                if channel.guild
                else Intent.DIRECT_MESSAGE_REACTIONS
            )
            self._tell(name, needs, channel.guild, lambda _: body)

    def _message(self, name: str, message: Message) -> None:
        channel = message.channel
        if not self._sees(channel) or message.is_ephemeral:
            return

        def to_json(reads_content: bool) -> Json:
            body = self._payloads.message(message, reads_content=reads_content)
            if name == "MESSAGE_CREATE" and message.nonce is not None:
                body["nonce"] = message.nonce
            return body | _place(channel)

        self._tell(name, _messages_intent(channel), channel.guild, to_json)

    def _sees(self, channel: Channel) -> bool:
        app = self._payloads.app
        is_visible = bool(app.permissions_in(channel) & Permission.VIEW_CHANNEL)
        return app.is_in(channel) and is_visible

    # ---- places -------------------------------------------------------------------------

    def channel_created(self, channel: Channel) -> None:
        """A place came into being."""
        self._channel("CHANNEL_CREATE", channel)

    def channel_changed(self, channel: Channel) -> None:
        """A place has other settings, or a thread was archived, locked or opened again."""
        self._channel("THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE", channel)

    def channel_deleted(self, channel: Channel) -> None:
        """A place is gone."""
        self._channel("THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE", channel)

    def thread_created(self, thread: Channel) -> None:
        """Somebody opened a thread or a post."""
        body = {**self._payloads.channel(thread), "newly_created": True}
        if self._sees(thread):
            self._tell("THREAD_CREATE", Intent.GUILDS, thread.guild, lambda _: body)

    def _channel(self, name: str, channel: Channel) -> None:
        if channel.guild is not None and channel.guild.has_bot:
            body = self._payloads.channel(channel)
            self._tell(name, Intent.GUILDS, channel.guild, lambda _: body)

    def guild_joined(self, guild: Guild) -> None:
        """The bot was added to a server."""
        body = self._payloads.whole_guild(guild)
        del body["unavailable"]
        self._tell("GUILD_CREATE", Intent.GUILDS, guild, lambda _: body)

    def guild_changed(self, guild: Guild) -> None:
        """A server has another name or boost tier."""
        body = self._payloads.guild(guild)
        self._tell("GUILD_UPDATE", Intent.GUILDS, guild, lambda _: body)

    def guild_left(self, guild: Guild) -> None:
        """The bot was removed from a server."""
        body = {"id": str(guild.id)}
        self._tell("GUILD_DELETE", Intent.GUILDS, guild, lambda _: body)

    # ---- interactions ---------------------------------------------------------------------

    def interaction(self, body: Json, guild: Guild | None) -> None:
        """Somebody used the app."""
        self._tell("INTERACTION_CREATE", Intent.NONE, guild, lambda _: body)


def _messages_intent(channel: Channel) -> Intent:
    return Intent.DIRECT_MESSAGES if channel.guild is None else Intent.GUILD_MESSAGES


def _place(channel: Channel) -> Json:
    guild = {} if channel.guild is None else {"guild_id": str(channel.guild.id)}
    return {"channel_id": str(channel.id), "channel_type": int(channel.kind), **guild}
