"""What goes of somebody who is forgotten, and the button that lets it go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.slack import buttons, pages
from adapters.slack.blocks import Block
from adapters.slack.parse import Person
from adapters.slack.people import refuse_others
from adapters.slack.render import Drawn
from bot.errors import NotAllowed
from bot.request import Requester
from bot.text import FORGET, describe_forgetting

if TYPE_CHECKING:
    from bot.studio import Forgetting, Studio

#: One's own, and somebody else's, for who runs a workspace.
OWN, OTHER = "forget", "forget_other"
ACTS = frozenset({OWN, OTHER})


def draw(page: Forgetting, requester: Requester) -> Drawn:
    """The page, with its button where there is something to decide."""
    drawn = _named(pages.draw_text(describe_forgetting(page)), page.of)
    if not page.can_begin:
        return drawn
    action, user = (OTHER, page.of) if page.of else (OWN, requester.user)
    row: Block = {"type": "actions", "elements": [buttons.button(action, user, FORGET)]}
    return Drawn(text=drawn.text, blocks=[*drawn.blocks, row])


def _named(drawn: Drawn, user: str) -> Drawn:
    """The page with the name of whom its title is about; only its reader sees it."""
    if not user:
        return drawn
    title, *rest = drawn.blocks
    said = {**title["text"], "text": title["text"]["text"].replace(user, f"<@{user}>", 1)}
    text = drawn.text.replace(user, f"<@{user}>", 1)
    return Drawn(text=text, blocks=[{**title, "text": said}, *rest])


async def act(
    studio: Studio, action: str, target: str, requester: Requester, person: Person
) -> Drawn:
    """The button of one of these pages."""
    if action == OWN and target != requester.user:
        raise NotAllowed("Only they themselves can do that. For yourself: /ray forget me")
    if action == OWN:
        return draw(await studio.erasure.forget(requester, is_confirmed=True), requester)
    refuse_others(studio.admin, person, requester)
    page = await studio.erasure.forget_other(
        requester.tenant, target, actor=requester, is_confirmed=True
    )
    return draw(page, requester)
