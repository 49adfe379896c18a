"""Names in place of the ids that Discord sends for people, roles, channels and emoji. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import discord

from adapters.names import SOME, SOMEBODY, SOMEWHERE, to_words

Source = discord.Message | discord.Interaction[Any]
_SENT = re.compile(r"<(?:(@[!&]?|#)([0-9]{1,20})|a?:(\w+):[0-9]{1,20})>")
_UNKNOWN = {"@": SOMEBODY, "@&": SOME, "#": SOMEWHERE}


def spell(text: str, source: Source) -> str:
    """What somebody typed as a reader sees it, which is what a prompt is to say."""
    if not _SENT.search(text):
        return text
    known = dict(_names_in(source))

    def to_name(found: re.Match[str]) -> str:
        kind, number, emoji = found.groups()
        if emoji:
            name = emoji.replace("_", " ").strip()
        else:
            kind = kind.replace("!", "")
            name = to_words(known.get(f"{kind}{number}", "")) or _UNKNOWN[kind]
        # Those who type it choose from a list, and leave no space.
        before = " " if text[found.start() - 1 : found.start()].isalnum() else ""
        follows = text[found.end() : found.end() + 1]
        return f"{before}{name}{' ' if follows.isalnum() or follows == '<' else ''}"

    return _SENT.sub(to_name, text)


def unnamed(text: str) -> str:
    """What somebody typed without whom and what it names by an id."""
    return _SENT.sub(" ", text)


def _names_in(source: Source) -> Iterator[tuple[str, str]]:
    """What the server tells of itself, and what Discord tells of those who are named."""
    guild = source.guild
    author = source.author if isinstance(source, discord.Message) else source.user
    if guild is not None:
        for each in (*guild.channels, *guild.threads):
            if isinstance(author, discord.Member) and each.permissions_for(author).view_channel:
                yield f"#{each.id}", each.name
        yield from ((f"@&{each.id}", each.name) for each in guild.roles)
    if isinstance(source, discord.Message):
        yield from ((f"@{each.id}", each.display_name) for each in source.mentions)
        return
    about: Any = source.data or {}
    told: Mapping[str, Mapping[str, Any]] = about.get("resolved") or {}
    for number, user in told.get("users", {}).items():
        nick = told.get("members", {}).get(number, {}).get("nick")
        yield f"@{number}", nick or user.get("global_name") or user.get("username") or ""
    for mark, kind in (("@&", "roles"), ("#", "channels")):
        for number, one in told.get(kind, {}).items():
            yield f"{mark}{number}", one.get("name") or ""
