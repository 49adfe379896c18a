"""How a person's act becomes an INTERACTION_CREATE, true to the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.discord_server.backstage import Backstage
from tests.discord_server.command_rules import SLASH
from tests.discord_server.interactions import Asked, Interaction
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import Json, NotPossible
from tests.discord_server.typed import Typing, find_command, may_use
from tests.discord_server.world import (
    Channel,
    Kind,
    Message,
    User,
    walk,
)

IN_SERVER, WITH_BOT, PRIVATE_CHANNEL = 0, 1, 2
BY_SERVER, BY_USER = 0, 1


class Asking:
    """Builds and sends the interactions of one user."""

    def __init__(self, backstage: Backstage, user: User) -> None:
        self._stage = backstage
        self._user = user

    # ---- commands -------------------------------------------------------------------------

    def command(
        self, path: str, kind: int, channel: Channel, options: Mapping[str, Any]
    ) -> Interaction:
        """Send a slash command."""
        return self._command(Asked.COMMAND, path, kind, channel, options)

    def typing(
        self, path: str, channel: Channel, options: Mapping[str, Any], focused: str
    ) -> Interaction:
        """Send what is typed so far into one option."""
        return self._command(Asked.AUTOCOMPLETE, path, SLASH, channel, options, focused)

    def _command(
        self,
        asked: Asked,
        path: str,
        kind: int,
        channel: Channel,
        options: Mapping[str, Any],
        focused: str | None = None,
    ) -> Interaction:
        command, steps = self._find(path, kind, channel)
        interaction = self._begin(asked, channel, command)
        typing = self._typing(interaction)
        inside = [command, *steps][-1]
        if focused is not None:
            _refuse_without_autocomplete(inside, focused)
        filled = typing.options(inside.get("options") or [], options, focused=focused)
        for step in reversed(steps):
            filled = [{"name": step["name"], "type": step["type"], "options": filled}]
        return self._send(interaction, _command_body(command, typing, options=filled))

    def menu(self, name: str, kind: int, channel: Channel, target: Message | User) -> Interaction:
        """Pick a menu entry of a message or a user."""
        command, _ = self._find(name, kind, channel)
        interaction = self._begin(Asked.COMMAND, channel, command)
        interaction.is_menu = True
        typing = self._typing(interaction)
        target_id = typing.target(target)
        return self._send(interaction, _command_body(command, typing, target_id=target_id))

    def _find(self, path: str, kind: int, channel: Channel) -> tuple[Json, list[Json]]:
        guild = channel.guild
        command, steps = find_command(self._stage.commands.visible(guild), path, kind)
        contexts = command.get("contexts")
        if contexts is not None and self._context(channel) not in contexts:
            raise NotPossible(f"{path} is not offered in places like this")
        if guild is not None:
            may = guild.permissions(self._user, channel)
            if not may & Permission.USE_APPLICATION_COMMANDS or not may_use(command, may):
                raise NotPossible(f"{self._user.name} may not use {path} here")
            if command.get("nsfw") and not (channel.parent or channel).is_age_restricted:
                raise NotPossible(f"{path} is for age-restricted channels")
        if channel.is_archived:
            raise NotPossible("Commands cannot be used in archived threads")
        return command, steps

    # ---- components and modals ----------------------------------------------------------------

    def component(self, message: Message, name: str, values: list[Any] | None) -> Interaction:
        """Press a button, or pick from a select."""
        component = self._component(message, name, is_select=values is not None)
        interaction = self._begin(Asked.COMPONENT, message.channel, None, message)
        typing = self._typing(interaction)
        body: Json = {
            "custom_id": component["custom_id"],
            "component_type": component["type"],
            "id": component["id"],
        }
        if values is not None:
            body["values"] = typing.picked(component, values)
        return self._send(interaction, body | _resolved(typing))

    def _component(self, message: Message, name: str, *, is_select: bool) -> Json:
        if message.is_deleted or message.seen_by not in (None, self._user.id):
            raise NotPossible(f"{self._user.name} does not see this message")
        keys = ("custom_id", "placeholder") if is_select else ("custom_id", "label")
        for each in walk(message.components):
            if name in [each.get(key) for key in keys] and (each["type"] == 2) != is_select:
                if each.get("disabled") or "custom_id" not in each:
                    raise NotPossible(f"{name} cannot be pressed, or only opens a link")
                return each
        there = [each.get("label") or each.get("custom_id") for each in walk(message.components)]
        raise NotPossible(f"There is no {name!r} among {list(filter(None, there))}")

    def modal(self, opener: Interaction, values: Mapping[str, Any]) -> Interaction:
        """Send a filled in modal."""
        if opener.modal is None or opener.user is not self._user:
            raise NotPossible("No modal is open")
        interaction = self._begin(Asked.MODAL, opener.channel, None, opener.source, parent=opener)
        typing = self._typing(interaction)
        components = typing.modal(opener.modal["components"], values)
        body = {"custom_id": opener.modal["custom_id"], "components": components}
        return self._send(interaction, body | _resolved(typing))

    # ---- the envelope -----------------------------------------------------------------------

    def _begin(
        self,
        asked: Asked,
        channel: Channel,
        command: Json | None,
        source: Message | None = None,
        *,
        parent: Interaction | None = None,
    ) -> Interaction:
        guild = channel.guild
        if parent is not None:
            owners = parent.owners
        elif source is not None and source.interaction_metadata is not None:
            owners = source.interaction_metadata["authorizing_integration_owners"]
        else:
            owners = self._owners(channel, command)
        may = guild.permissions(self._user, channel) if guild else Permission.NONE
        is_abroad = "0" not in owners and guild is not None
        return self._stage.interactions.new(
            type=asked,
            user=self._user,
            channel=channel,
            guild=guild,
            upload_limit=self._stage.world.upload_limit_in(guild, self._user),
            owners=owners,
            source=source,
            parent=parent,
            is_forced_private=is_abroad and not may & Permission.USE_EXTERNAL_APPS,
        )

    def _owners(self, channel: Channel, command: Json | None) -> Json:
        types = (command or {}).get("integration_types") or [BY_SERVER, BY_USER]
        if command is not None and "guild_id" in command:
            types = [BY_SERVER]
        owners = {}
        if BY_SERVER in types and channel.guild is not None and channel.guild.has_bot:
            owners["0"] = str(channel.guild.id)
        if BY_SERVER in types and self._context(channel) == WITH_BOT:
            owners["0"] = "0"
        if BY_USER in types and self._user.id in self._stage.app.installed_by:
            owners["1"] = str(self._user.id)
        if not owners:
            raise NotPossible("The app is installed neither here nor by this person")
        return owners

    def _context(self, channel: Channel) -> int:
        if channel.guild is not None:
            return IN_SERVER
        is_with_bot = channel.kind is Kind.DM and self._stage.app.bot in channel.recipients
        return WITH_BOT if is_with_bot else PRIVATE_CHANNEL

    def _typing(self, interaction: Interaction) -> Typing:
        return Typing(
            self._stage.payloads,
            self._stage.cdn,
            user=self._user,
            guild=interaction.guild,
            app_id=self._stage.app.id,
            upload_limit=interaction.upload_limit,
        )

    def _send(self, interaction: Interaction, body: Json) -> Interaction:
        self._stage.happenings.interaction(
            self._envelope(interaction) | {"data": body}, interaction.guild
        )
        self._stage.notify()
        return interaction

    def _envelope(self, interaction: Interaction) -> Json:
        payloads, channel = self._stage.payloads, interaction.channel
        body: Json = {
            "id": str(interaction.id),
            "application_id": str(self._stage.app.id),
            "type": int(interaction.type),
            "token": interaction.token,
            "version": 1,
            "channel_id": str(channel.id),
            "channel": payloads.resolved_channel(channel, self._user),
            "locale": self._user.locale,
            "entitlements": [],
            "authorizing_integration_owners": interaction.owners,
            "context": self._context(channel),
            "app_permissions": str(int(self._stage.app.permissions_in(channel))),
            "attachment_size_limit": interaction.upload_limit,
        }
        if interaction.source is not None:
            body["message"] = payloads.message(interaction.source)
        guild = interaction.guild
        if guild is None:
            return body | {"user": payloads.user(self._user)}
        may = int(guild.permissions(self._user, channel))
        return body | {
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
            "guild_locale": guild.locale,
            "member": {**payloads.whole_member(guild, self._user), "permissions": str(may)},
        }


def _command_body(command: Json, typing: Typing, **known: Any) -> Json:
    body = {"id": command["id"], "name": command["name"], "type": command["type"], **known}
    if "guild_id" in command:
        body["guild_id"] = command["guild_id"]
    return body | _resolved(typing)


def _resolved(typing: Typing) -> Json:
    return {"resolved": typing.resolved} if typing.resolved else {}


def _refuse_without_autocomplete(command: Json, option: str) -> None:
    found = [each for each in command.get("options") or () if each["name"] == option]
    if not found or not found[0].get("autocomplete"):
        raise NotPossible(f"{option} completes nothing")
