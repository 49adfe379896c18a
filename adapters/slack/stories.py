"""The form for a story: a line for each shot, and the shape that they share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.command_text import Draft
from adapters.slack import fields, views
from adapters.slack.addresses import is_direct
from adapters.slack.filled import SHOTS, STORY, Place
from adapters.work_text import SHAPE
from bot.ports import ModelCapabilities
from bot.studio import Offer

EXAMPLE = "A fox wakes in the snow\nIt runs through the wood\nIt finds a friend"
RULES = (
    "A line for each shot. Each starts on the last picture of the one before; all together "
    "become one film."
)


def story_view(
    models: Sequence[ModelCapabilities], offers: Sequence[Offer], place: Place, draft: Draft
) -> dict[str, Any]:
    """The form behind `/ray story`; what was typed with it is chosen already."""
    lines = fields.words(SHOTS, "Shots", "", placeholder=EXAMPLE, hint=RULES, is_optional=False)
    options = views.options_of(models)
    drawn = [lines]
    for name in SHAPE:
        drawn += fields.choice(
            name,
            views.LABELS[name],
            options[name],
            chosen=getattr(draft, name),
            placeholder="As usual",
        )
    drawn += [] if is_direct(place.channel) else [views.only_me()]
    drawn += views.prices(offers, "Each shot")
    return fields.form("Tell a story", drawn, callback=STORY, submit="Create", place=place)
