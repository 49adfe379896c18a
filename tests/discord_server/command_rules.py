"""What Discord accepts as the commands of an application."""

from __future__ import annotations

import re
from typing import Any

from tests.discord_server.problems import Json, Path, Problems

SLASH, USER_MENU, MESSAGE_MENU = 1, 2, 3
SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE = range(1, 9)
MENTIONABLE, NUMBER, ATTACHMENT = 9, 10, 11
MOST_PER_TYPE = {SLASH: 100, USER_MENU: 15, MESSAGE_MENU: 15}
MOST_TEXT = 8000
_VALUES = range(STRING, ATTACHMENT + 1)
_ALLOWED_INSIDE = {None: range(1, ATTACHMENT + 1), GROUP: [SUBCOMMAND], SUBCOMMAND: _VALUES}
#: Letters and digits of any script, hyphen, underscore, apostrophe.
_NAME = re.compile(r"[-_'\w]{1,32}")


def check_commands(commands: Any, problems: Problems, *, is_global: bool) -> None:
    """A whole list, as a bulk overwrite brings it."""
    names = []
    for index, each in enumerate(problems.objects(commands, (), 0, 130)):
        _check_command(each, problems, (index,), is_global=is_global)
        names.append(((index, "name"), (each.get("type") or SLASH, each.get("name"))))
    problems.unique(
        names, "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique"
    )
    for kind, most in MOST_PER_TYPE.items():
        if sum(name[0] == kind for _, name in names) > most:
            problems.add((), "APPLICATION_COMMAND_TOO_MANY", f"At most {most} of type {kind}")


def _check_command(command: Json, problems: Problems, path: Path, *, is_global: bool) -> None:
    kind = command.get("type") or SLASH
    if not problems.choice(kind, (*path, "type"), set(MOST_PER_TYPE)):
        return
    if not is_global and command.get("contexts"):
        problems.add(
            (*path, "contexts"), "APPLICATION_COMMAND_CONTEXTS", "Guild commands have no contexts"
        )
    if kind != SLASH:
        problems.text(command, "name", path, 1, 32)
        if command.get("description") or command.get("options"):
            problems.add(
                (*path, "description"), "APPLICATION_COMMAND_MENU", "Menus have only a name"
            )
        return
    _check_name(command, problems, path)
    problems.text(command, "description", path, 1, 100)
    _check_options(command.get("options"), problems, (*path, "options"), inside=None)
    if text_length(command) > MOST_TEXT:
        problems.add(path, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")


def _check_name(body: Json, problems: Problems, path: Path) -> None:
    name = problems.text(body, "name", path, 1, 32)
    if name and (not _NAME.fullmatch(name) or name != name.lower()):
        problems.add(
            (*path, "name"), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid"
        )


def _check_options(options: Any, problems: Problems, path: Path, *, inside: int | None) -> None:
    listed = problems.objects(options, path, 0, 25)
    names = [((*path, index, "name"), each.get("name")) for index, each in enumerate(listed)]
    problems.unique(
        names,
        "APPLICATION_COMMAND_OPTIONS_NAME_NOT_UNIQUE",
        "Option names must be unique",
    )
    grouping = [each.get("type") in (SUBCOMMAND, GROUP) for each in listed]
    if any(grouping) and not all(grouping):
        problems.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Subcommands stand alone")
    is_optional_seen = False
    for index, each in enumerate(listed):
        _check_option(each, problems, (*path, index), inside=inside)
        if each.get("type") in (SUBCOMMAND, GROUP):
            continue
        if each.get("required") and is_optional_seen:
            problems.add(
                (*path, index),
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            )
        is_optional_seen = is_optional_seen or not each.get("required")


def _check_option(option: Json, problems: Problems, path: Path, *, inside: int | None) -> None:
    _check_name(option, problems, path)
    problems.text(option, "description", path, 1, 100)
    kind = option.get("type")
    if not problems.choice(kind, (*path, "type"), _ALLOWED_INSIDE[inside]):
        return
    if kind in (SUBCOMMAND, GROUP):
        _check_options(option.get("options"), problems, (*path, "options"), inside=kind)
        return
    choices = problems.objects(option.get("choices"), (*path, "choices"), 0, 25)
    if choices and option.get("autocomplete"):
        problems.add(
            (*path, "autocomplete"), "APPLICATION_COMMAND_AUTOCOMPLETE", "Either of the two"
        )
    for index, each in enumerate(choices):
        problems.text(each, "name", (*path, "choices", index), 1, 100)
        if kind == STRING:
            problems.text(each, "value", (*path, "choices", index), 1, 100)
    problems.number(option, "min_length", path, 0, 6000)
    problems.number(option, "max_length", path, 1, 6000)


def text_length(body: Json) -> int:
    """The documented sum: names, descriptions and string values, the longest translation."""
    total = 0
    for key in ("name", "description"):
        translations = body.get(f"{key}_localizations") or {}
        total += max(len(str(each)) for each in (body.get(key) or "", *translations.values()))
    if isinstance(body.get("value"), str):
        total += len(body["value"])
    for key in ("options", "choices"):
        inside = body.get(key)
        for each in inside if isinstance(inside, list) else ():
            total += text_length(each) if isinstance(each, dict) else 0
    return total


def check_choices(choices: Any, problems: Problems, path: Path) -> None:
    """What an autocompletion may answer."""
    for index, each in enumerate(problems.objects(choices, path, 0, 25)):
        problems.text(each, "name", (*path, index), 1, 100)
        if isinstance(each.get("value"), str):
            problems.text(each, "value", (*path, index), 1, 100)
