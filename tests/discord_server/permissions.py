"""Discord's permission bits and how roles and overwrites add up; it knows numbers only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag


class Permission(IntFlag):
    """The bits a bot like ours can meet (documented under topics/permissions)."""

    NONE = 0
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    MANAGE_ROLES = 1 << 28
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EXTERNAL_APPS = 1 << 50
    PIN_MESSAGES = 1 << 51


P = Permission

#: What a new server gives everyone.
EVERYONE = (
    P.ADD_REACTIONS
    | P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.USE_EXTERNAL_EMOJIS
    | P.USE_APPLICATION_COMMANDS
    | P.CREATE_PUBLIC_THREADS
    | P.SEND_MESSAGES_IN_THREADS
    | P.USE_EXTERNAL_APPS
)
#: The smallest set with which a bot posts clips, answers and opens threads.
BOT = (
    P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.SEND_MESSAGES_IN_THREADS
    | P.CREATE_PUBLIC_THREADS
)
ALL = Permission((1 << 52) - 1)
#: What an app may do in the private channels of other people.
PRIVATE_CHANNEL = P.ATTACH_FILES | P.EMBED_LINKS | P.MENTION_EVERYONE
#: What a bot may do in its own conversation with a person.
DIRECT_MESSAGE = (
    PRIVATE_CHANNEL
    | P.USE_EXTERNAL_EMOJIS
    | P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.READ_MESSAGE_HISTORY
    | P.ADD_REACTIONS
)


@dataclass(frozen=True, kw_only=True)
class Overwrite:
    """What one channel allows or denies one role or one member."""

    target: int
    is_member: bool
    allow: Permission = P.NONE
    deny: Permission = P.NONE


def in_channel(
    base: Permission,
    overwrites: Iterable[Overwrite],
    *,
    everyone: int,
    roles: Iterable[int],
    member: int,
) -> Permission:
    """The documented order: everyone's overwrite, those of the roles together, the member's."""
    if base & P.ADMINISTRATOR:
        return ALL
    known = {(each.target, each.is_member): each for each in overwrites}
    result = _apply(base, [known.get((everyone, False))])
    result = _apply(result, [known.get((role, False)) for role in roles if role != everyone])
    return _apply(result, [known.get((member, True))])


def _apply(base: Permission, overwrites: Iterable[Overwrite | None]) -> Permission:
    allow = deny = P.NONE
    for each in overwrites:
        if each is not None:
            allow |= each.allow
            deny |= each.deny
    return (base & ~deny) | allow


def missing(has: Permission, *needed: Permission) -> list[str]:
    """The names of what is needed and not there."""
    return [each.name or str(int(each)) for each in needed if not has & each]
