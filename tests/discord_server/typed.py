"""What a person types or picks as the JSON of an interaction, as Discord's program makes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.discord_server import command_rules as rules
from tests.discord_server.cdn import Cdn, to_upload
from tests.discord_server.component_rules import (
    CHECKBOX,
    CHECKBOX_GROUP,
    FILE_UPLOAD,
    LABEL,
    RADIO_GROUP,
    ROW,
    TEXT_INPUT,
)
from tests.discord_server.payloads import Payloads
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import Json, NotPossible
from tests.discord_server.world import Channel, Guild, Message, Role, User


class Typing:
    """Collects values and the objects they name, in one place, by one person."""

    def __init__(
        self,
        payloads: Payloads,
        cdn: Cdn,
        *,
        user: User,
        guild: Guild | None,
        app_id: int,
        upload_limit: int,
    ) -> None:
        self.resolved: dict[str, Json] = {}
        self._payloads = payloads
        self._cdn = cdn
        self._user = user
        self._guild = guild
        self._app_id = app_id
        self._upload_limit = upload_limit

    # ---- objects that are named by id -------------------------------------------------------

    def user(self, user: User) -> str:
        """A person or a bot."""
        self._resolve("users", user.id, self._payloads.user(user))
        if self._guild is not None and user.id in self._guild.members:
            may = self._guild.permissions(user)
            member = self._payloads.member(self._guild, user)
            self._resolve("members", user.id, {**member, "permissions": str(int(may))})
        return str(user.id)

    def role(self, role: Role) -> str:
        """A role of this server."""
        return self._resolve("roles", role.id, self._payloads.role(role))

    def channel(self, channel: Channel) -> str:
        """A channel of this server."""
        body = self._payloads.resolved_channel(channel, self._user)
        return self._resolve("channels", channel.id, body)

    def message(self, message: Message) -> str:
        """The target of a menu: it comes in full, whatever the intents."""
        return self._resolve("messages", message.id, self._payloads.message(message))

    def target(self, target: Message | User) -> str:
        """What a menu belongs to."""
        return self.user(target) if isinstance(target, User) else self.message(target)

    def file(self, file: Any) -> str:
        """An upload; Discord keeps it for a while only."""
        upload = to_upload(file)
        if len(upload.content) > self._upload_limit:
            raise NotPossible(f"{upload.name} is over this person's limit here")
        kept = self._cdn.keep(upload, folder=self._app_id, is_ephemeral=True)
        return self._resolve("attachments", kept.id, self._payloads.attachment(kept))

    def mentionable(self, value: User | Role) -> str:
        """A person or a role."""
        return self.role(value) if isinstance(value, Role) else self.user(value)

    def _resolve(self, kind: str, key: int, body: Json) -> str:
        self.resolved.setdefault(kind, {})[str(key)] = body
        return str(key)

    # ---- options of a command ---------------------------------------------------------------

    def options(
        self, defined: list[Json], values: Mapping[str, Any], *, focused: str | None = None
    ) -> list[Json]:
        """The options of a command; while one is being typed, others may still lack."""
        names = {each["name"] for each in defined}
        if strangers := values.keys() - names:
            raise NotPossible(f"There is no option {sorted(strangers)} beside {sorted(names)}")
        given = []
        for each in defined:
            name = each["name"]
            if name == focused:
                body = {"name": name, "type": each["type"], "value": values[name]}
                given.append({**body, "focused": True})
            elif values.get(name) is not None:
                value = self._option(each, values[name])
                given.append({"name": name, "type": each["type"], "value": value})
            elif each.get("required") and focused is None:
                raise NotPossible(f"The option {name} is required")
        return given

    def _option(self, option: Json, value: Any) -> Any:
        if choices := option.get("choices"):
            for each in choices:
                if value in (each["name"], each["value"]):
                    return each["value"]
            raise NotPossible(f"{value!r} is not offered by {option['name']}")
        convert: dict[int, Callable[[Any], Any]] = {
            rules.USER: self.user,
            rules.CHANNEL: self.channel,
            rules.ROLE: self.role,
            rules.MENTIONABLE: self.mentionable,
            rules.ATTACHMENT: self.file,
        }
        if option["type"] in convert:
            return convert[option["type"]](value)
        if option["type"] == rules.STRING:
            self._resolve_named(str(value))
        return _plain(option, value)

    def _resolve_named(self, text: str) -> None:
        """People, roles and channels that words name are told of as those that are chosen."""
        if (guild := self._guild) is None:
            return
        for kind, number in re.findall(r"<(@!?|@&|#)(\d+)>", text):
            key = int(number)
            if kind == "#" and key in guild.channels:
                self.channel(guild.channels[key])
            elif kind == "@&" and key in guild.roles:
                self.role(guild.roles[key])
            elif key in guild.members:
                self.user(guild.members[key].user)

    # ---- components ---------------------------------------------------------------------------

    def picked(self, select: Json, values: list[Any]) -> list[str]:
        """What is picked from a select, as the values it sends."""
        if not values and select.get("required") is False:
            return []
        fewest, most = _bounds(select)
        if not fewest <= len(values) <= most:
            raise NotPossible(f"{len(values)} picked from {select['custom_id']}")
        if "options" in select:
            return [_offered(select, each) for each in values]
        convert: dict[int, Callable[[Any], str]] = {
            5: self.user,
            6: self.role,
            7: self.mentionable,
            8: self.channel,
            FILE_UPLOAD: self.file,
        }
        return [convert[select["type"]](each) for each in values]

    def modal(self, components: list[Json], values: Mapping[str, Any]) -> list[Json]:
        """A filled in modal; `values` by custom id or by the label above."""
        left = dict(values)
        filled = [self._part(each, left) for each in components]
        if left:
            raise NotPossible(f"The modal does not ask for {sorted(left)}")
        return filled

    def _part(self, part: Json, left: dict[str, Any]) -> Json:
        body: Json = {"type": part["type"], "id": part["id"]}
        if part["type"] == LABEL:
            body["component"] = self._field(part["component"], part["label"], left)
        elif part["type"] == ROW:
            inner = part["components"]
            body["components"] = [self._field(each, each.get("label"), left) for each in inner]
        return body

    def _field(self, component: Json, label: str | None, left: dict[str, Any]) -> Json:
        key = component["custom_id"]
        value = left.pop(key, left.pop(label, None) if label else None)
        body: Json = {"type": component["type"], "id": component["id"], "custom_id": key}
        kind = component["type"]
        if kind == TEXT_INPUT:
            return {**body, "value": _written(component, value)}
        if kind == CHECKBOX:
            return {**body, "value": bool(component.get("default") if value is None else value)}
        if value is None:
            value = component_default(component)
        values = value if isinstance(value, list) else [value]
        if not values and component.get("required", True):
            raise NotPossible(f"{key} is required")
        if kind == RADIO_GROUP:
            return {**body, "value": _offered(component, values[0]) if values else None}
        return {**body, "values": self.picked(component, values)}


def component_default(component: Json) -> list[str]:
    """What is picked before a person touches it."""
    return [each["value"] for each in component.get("options", ()) if each.get("default")]


def _written(component: Json, value: str | None) -> str:
    text = component.get("value") or "" if value is None else value
    low = component.get("min_length") or 0
    high = component.get("max_length") or 4000
    if component.get("required", True) and not text:
        raise NotPossible(f"{component['custom_id']} is required")
    if text and not low <= len(text) <= high:
        raise NotPossible(f"{component['custom_id']} takes {low} to {high} characters")
    return text


def _bounds(select: Json) -> tuple[int, int]:
    is_group = select["type"] == CHECKBOX_GROUP
    fewest = select.get("min_values")
    most = select.get("max_values")
    return (
        (0 if is_group else 1) if fewest is None else fewest,
        (len(select["options"]) if is_group else 1) if most is None else most,
    )


def _offered(component: Json, value: Any) -> str:
    for each in component["options"]:
        if value in (each["value"], each["label"]):
            return str(each["value"])
    raise NotPossible(f"{value!r} is not offered by {component['custom_id']}")


def _plain(option: Json, value: Any) -> Any:
    kinds: dict[int, Any] = {
        rules.STRING: str,
        rules.INTEGER: int,
        rules.BOOLEAN: bool,
        rules.NUMBER: (int, float),
    }
    name, kind = option["name"], kinds[option["type"]]
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise NotPossible(f"{name} does not take {value!r}")
    if isinstance(value, str):
        low, high = option.get("min_length") or 0, option.get("max_length") or 6000
        if not low <= len(value) <= high or "\n" in value:
            raise NotPossible(f"{name} takes one line of {low} to {high} characters")
        return value
    low, high = option.get("min_value", -(2**53)), option.get("max_value", 2**53)
    if not low <= value <= high:
        raise NotPossible(f"{name} takes {low} to {high}")
    return value


def find_command(commands: list[Json], path: str, kind: int) -> tuple[Json, list[Json]]:
    """A command and, for `ray create`, the subcommands on the way."""
    name, *rest = [path] if kind != rules.SLASH else path.split(" ")
    for command in commands:
        if (command["type"], command["name"]) == (kind, name):
            return command, _descend(command, rest)
    raise NotPossible(f"There is no command {path!r} here")


def _descend(command: Json, names: list[str]) -> list[Json]:
    steps, inside = [], command
    for name in names:
        found = [each for each in inside.get("options") or () if each["name"] == name]
        if not found:
            raise NotPossible(f"{inside['name']} has no subcommand {name!r}")
        inside = found[0]
        steps.append(inside)
    if any(each["type"] in {1, 2} for each in inside.get("options") or ()):
        raise NotPossible(f"{inside['name']} alone cannot be used")
    return steps


def may_use(command: Json, may: Permission) -> bool:
    """Whether the command's default permissions let this person use it."""
    needed = command.get("default_member_permissions")
    if needed is None or may & Permission.ADMINISTRATOR:
        return True
    wanted = Permission(int(needed))
    return bool(wanted) and may & wanted == wanted
