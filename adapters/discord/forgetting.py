"""What goes of somebody who is forgotten, and the button that lets it go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import discord

from adapters.discord import render
from adapters.discord.choices import Button
from adapters.discord.replies import tell
from bot.errors import NotAllowed
from bot.request import Requester
from bot.text import FORGET, describe_forgetting

if TYPE_CHECKING:
    from bot.studio import Forgetting, Studio

Interaction = discord.Interaction[Any]
#: One's own, behind a button where others read along; and somebody else's, for who runs a server.
ASK, OWN, OTHER = "forgetask", "forget", "forgetother"
ACTS = frozenset({ASK, OWN, OTHER})
ASKS = Button(label="Forget me", action=ASK, job="own", style="secondary")


async def show(
    interaction: Interaction, studio: Studio, requester: Requester, *, user: str = ""
) -> None:
    """What there is of the requester, or of a `user` of their server, for their eyes only."""
    erasure = studio.erasure
    if user:
        page = await erasure.forget_other(requester.tenant, user, actor=requester)
    else:
        page = await erasure.forget(requester)
    words, button = draw(page, requester)
    await tell(interaction, words, drawn=[button] if button else [])


def draw(page: Forgetting, requester: Requester) -> tuple[str, Button | None]:
    """The page, and its button where there is something to decide."""
    words = _words(page)
    if not page.can_begin:
        return words, None
    action, user = (OTHER, page.of) if page.of else (OWN, requester.user)
    return words, Button(label=FORGET, action=action, job=user, style="danger")


async def act(
    interaction: Interaction, studio: Studio, action: str, target: str, requester: Requester
) -> None:
    """A button of one of these pages."""
    if action == ASK:
        await show(interaction, studio, requester)
        return
    if action == OTHER:
        if not interaction.permissions.manage_guild:
            raise NotAllowed("Only who may manage this server can do that.")
        page = await studio.erasure.forget_other(
            requester.tenant, target, actor=requester, is_confirmed=True
        )
    else:
        if target != requester.user:
            raise NotAllowed("Only they themselves can do that. For yourself: /ray forget-me")
        page = await studio.erasure.forget(requester, is_confirmed=True)
    await tell(interaction, _words(page))


def _words(page: Forgetting) -> str:
    """The page; its title comes first, and names whom it is about, who is not called."""
    words = render.draw_text(describe_forgetting(page))
    return words.replace(page.of, f"<@{page.of}>", 1) if page.of else words
