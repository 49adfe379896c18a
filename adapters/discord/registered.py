"""The commands that Discord has of us, held against those of this version. Pure; asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from discord import AppCommandOptionType, AppCommandType, app_commands

Payload = Mapping[str, Any]
"""A command or an option as it is sent to Discord, or as Discord tells it."""
GROUPS = {AppCommandOptionType.subcommand.value, AppCommandOptionType.subcommand_group.value}
ORDER = "the order of its options"


def differences(
    ours: Iterable[Payload], theirs: Iterable[app_commands.AppCommand], *, is_global: bool
) -> list[str]:
    """What differs, in a few words each, such as `/ray create: resolution`."""
    wanted = _by_label(ours, is_global=is_global)
    there = _by_label(map(_to_payload, theirs), is_global=is_global)
    return [
        *_only_in(wanted, there, "is missing"),
        *_only_in(there, wanted, "is not of this version"),
        *(
            f"{label}: {what}"
            for label, parts in wanted.items()
            if label in there
            for what in _differing(parts, there[label])
        ),
    ]


def _to_payload(found: app_commands.AppCommand) -> Payload:
    """A command of Discord's, with what discord.py's own way of writing it leaves out."""
    allowed = found.default_member_permissions
    return {
        **found.to_dict(),
        "default_member_permissions": allowed.value if allowed is not None else None,
        "dm_permission": found.dm_permission,
        "nsfw": found.nsfw,
    }


def _only_in(
    these: Mapping[str, object], others: Mapping[str, object], words: str
) -> Iterator[str]:
    """Commands that only one side has; with a whole group its parts are not named."""
    only = [label for label in these if label not in others]
    for label in only:
        if label.rpartition(" ")[0] not in only:
            yield f"{label} {words}"


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    names = dict.fromkeys([*ours, *theirs])
    found = [each for each in names if ours.get(each) != theirs.get(each)]
    # Where an option is too much or missing, the order cannot be the same.
    has_the_same = set(ours.get(ORDER, ())) == set(theirs.get(ORDER, ()))
    return (each for each in found if each != ORDER or has_the_same)


def _by_label(commands: Iterable[Payload], *, is_global: bool) -> dict[str, dict[str, Any]]:
    """Each command and each part of a group, by the name people know it by."""
    return {
        label: parts
        for each in commands
        for label, parts in _flat(each, _label(each), _rights(each, is_global=is_global))
    }


def _label(command: Payload) -> str:
    is_slash = command.get("type", 1) == AppCommandType.chat_input.value
    return f"/{command['name']}" if is_slash else f"Apps > {command['name']}"


def _flat(
    command: Payload, label: str, parts: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    options = command.get("options") or []
    inner = [each for each in options if each["type"] in GROUPS]
    own = [each for each in options if each["type"] not in GROUPS]
    yield (
        label,
        {
            **parts,
            "its description": command.get("description") or "",
            **{each["name"]: _to_option(each) for each in own},
            ORDER: tuple(each["name"] for each in own),
        },
    )
    for each in inner:
        yield from _flat(each, f"{label} {each['name']}", {})


def _rights(command: Payload, *, is_global: bool) -> dict[str, Any]:
    """Who may use it where; of a server's own commands Discord tells no places."""
    permissions = command.get("default_member_permissions")
    return {
        "its permissions": int(permissions) if permissions is not None else None,
        "its age restriction": bool(command.get("nsfw")),
        "its places": _is_in_direct_messages(command) if is_global else None,
    }


def _is_in_direct_messages(command: Payload) -> bool:
    """We send the old word for it; Discord may answer with the new one, or with both."""
    if (contexts := command.get("contexts")) is not None:
        return app_commands.AppCommandContext.DM_CHANNEL in contexts
    return command.get("dm_permission") is not False


def _to_option(option: Payload) -> tuple[object, ...]:
    """What people notice of an option; what is left out means the same as Discord's default."""
    limits = ("min_value", "max_value", "min_length", "max_length")
    return (
        option["type"],
        option["description"],
        bool(option.get("required")),
        bool(option.get("autocomplete")),
        tuple(option.get(each) for each in limits),
        tuple((each["name"], each["value"]) for each in option.get("choices") or ()),
        frozenset(option.get("channel_types") or ()),
    )
