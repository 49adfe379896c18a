"""Whom a message reaches, by its words and by its allowed_mentions."""

from __future__ import annotations

import re

from tests.discord_server.permissions import Permission
from tests.discord_server.problems import Json
from tests.discord_server.world import Guild, Pings, User

_USER = re.compile(r"<@!?(\d+)>")
_ROLE = re.compile(r"<@&(\d+)>")
_EVERYONE = re.compile(r"@(everyone|here)\b")


def read_mentions(
    text: str,
    allowed: Json | None,
    *,
    guild: Guild | None,
    may: Permission,
    replied_to: User | None = None,
    parses: tuple[str, ...] = ("everyone", "roles", "users"),
) -> Pings:
    """Who is told. `may`: what the author is allowed; `parses`: what holds without a word on it.

    Backslashes and backticks hide nothing here, although some of them do on Discord: a bot shall
    not rely on them.
    """
    if allowed is None:
        allowed = {"parse": list(parses), "replied_user": True}
    pings = Pings(users=_users(text, allowed), roles=_roles(text, allowed, guild, may))
    is_loud = "everyone" in (allowed.get("parse") or ()) and bool(_EVERYONE.search(text))
    pings.everyone = is_loud and guild is not None and bool(may & Permission.MENTION_EVERYONE)
    if replied_to is not None and allowed.get("replied_user"):
        pings.users.add(replied_to.id)
    return pings


def _users(text: str, allowed: Json) -> set[int]:
    named = {int(each) for each in _USER.findall(text)}
    if "users" in (allowed.get("parse") or ()):
        return named
    return named & {int(each) for each in allowed.get("users") or ()}


def _roles(text: str, allowed: Json, guild: Guild | None, may: Permission) -> set[int]:
    if guild is None:
        return set()
    named = {int(each) for each in _ROLE.findall(text)} & guild.roles.keys()
    if "roles" not in (allowed.get("parse") or ()):
        named &= {int(each) for each in allowed.get("roles") or ()}
    is_free = bool(may & Permission.MENTION_EVERYONE)
    return {each for each in named if is_free or guild.roles[each].is_mentionable}
