"""The form for a story: a line for each shot, and the shape that they share. Pure.

Slack closes it once it is sent: of a story that is refused its person gets the lines back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adapters.command_text import Draft
from adapters.slack import blocks, fields, views
from adapters.slack.addresses import is_direct
from adapters.slack.events import SlackEvent
from adapters.slack.filled import SHOTS, STORY, Place, state_of, written_in
from adapters.slack.render import Drawn, draw_error
from adapters.work_text import SHAPE
from bot.errors import BotError
from bot.ports import ModelCapabilities
from bot.studio import Offer

EXAMPLE = "A fox wakes in the snow\nIt runs through the wood\nIt finds a friend"
RULES = (
    "A line for each shot. Each starts on the last picture of the one before; all together "
    "become one film."
)
WRITTEN = "What you wrote:"


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


def draw_refusal(error: BotError, heard: SlackEvent) -> Drawn:
    """Why not, for its person's eyes only."""
    return give_back(draw_error(error), heard)


def give_back(drawn: Drawn, heard: SlackEvent) -> Drawn:
    """The same, and under it what somebody wrote into the form of a story."""
    is_story = heard.view.get("callback_id") == STORY
    written = written_in(state_of(heard.view), SHOTS) if is_story else ""
    if not written:
        return drawn
    kept = blocks.rich(blocks.lines_of([[blocks.said(written)]], "rich_text_preformatted"))
    return replace(drawn, blocks=[*drawn.blocks, blocks.section([blocks.said(WRITTEN)]), kept])
