"""What Discord shows of messages: attachments, embeds, components, mentions, made by anybody."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import discord
from discord.components import _component_factory
from hypothesis import given

from adapters.discord import parse
from tests.fuzz import fuzz
from tests.fuzz.mutations import junk, spoilt, texts, tried

ATTACHMENT = {
    "id": "7",
    "filename": "fox.png",
    "size": 9,
    "url": "https://cdn.discordapp.com/attachments/1/7/fox.png?ex=1",
    "proxy_url": "https://media.discordapp.net/attachments/1/7/fox.png",
    "content_type": "image/png",
    "width": 4,
    "height": 3,
}
EMBED = {
    "type": "rich",
    "url": "https://a.example",
    "image": {"url": "https://a.example/f.png", "proxy_url": "https://media.example/f.png"},
    "thumbnail": {"url": "https://a.example/t.png"},
}
BUTTON = {"type": 2, "style": 2, "custom_id": "ray:delete:r-0abcd12345", "label": "Delete"}
MEDIA = {"media": {"url": "https://a.example/g.webp"}, "description": "x", "spoiler": False}
COMPONENTS = [
    {"type": 1, "components": [BUTTON]},
    {"type": 12, "items": [MEDIA]},
    {
        "type": 17,
        "components": [{"type": 1, "components": [BUTTON]}, {"type": 12, "items": [MEDIA]}],
    },
]
MESSAGE = {"attachments": [ATTACHMENT], "embeds": [EMBED], "components": COMPONENTS}


def to_message(told: dict[str, Any]) -> Any:
    """A message as discord.py makes it of a payload; what it does not take it never shows us."""
    made: dict[str, list[Any]] = {"attachments": [], "embeds": [], "components": []}
    makers: dict[str, Callable[[Any], Any]] = {
        "attachments": lambda each: discord.Attachment(
            data=each, state=cast("Any", SimpleNamespace(http=None))
        ),
        "embeds": discord.Embed.from_dict,
        "components": _component_factory,
    }
    for name, make in makers.items():
        listed = told.get(name)
        for each in listed if isinstance(listed, list) else ():
            try:
                found = make(each)
            except Exception:  # noqa: BLE001 - discord.py's own, before we hear of it
                continue
            made[name] += [found] if found is not None else []
    author = SimpleNamespace(id=1, bot=False)
    return SimpleNamespace(**made, author=author, guild=SimpleNamespace(id=2))


@fuzz
@given(spoilt(MESSAGE), texts)
def test_the_images_and_the_job_of_a_message_are_found_or_not(told: Any, content: str) -> None:
    message = to_message(told if isinstance(told, dict) else {})
    shown = tried(lambda: parse.pictures_of(message, at="1/2"))
    assert shown is None or all(isinstance(each, parse.Picture) for each in shown)
    tried(lambda: parse.clip_of(message))
    tried(lambda: parse.author_of(message))
    tried(lambda: parse.said_to(content, 1))


@fuzz
@given(junk, junk)
def test_an_author_is_somebody_or_nobody(author: Any, guild: Any) -> None:
    message: Any = SimpleNamespace(
        author=SimpleNamespace(id=author, bot=bool(author)), guild=SimpleNamespace(id=guild)
    )
    tried(lambda: parse.author_of(message))
