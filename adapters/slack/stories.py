"""The form for a story: a line for each shot, and the shape that they share. Pure.

Slack closes it once it is sent, and shows no command that was typed: of a story that is refused
its person gets the words back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.command_text import Draft
from adapters.slack import blocks, fields, parse, views
from adapters.slack.addresses import is_direct
from adapters.slack.events import SlackEvent
from adapters.slack.filled import SHOTS, STORY, Place, state_of, written_in
from adapters.slack.render import Drawn
from adapters.work_text import SHAPE, has_shots
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


def give_back(drawn: Drawn, heard: SlackEvent, names: Mapping[str, str]) -> Drawn:
    """The same, and under it the story that somebody told; `names` are those of people in it."""
    if not (written := fields.cut(_written(heard, names))):
        return drawn
    kept = blocks.rich(blocks.lines_of([[blocks.said(written)]], "rich_text_preformatted"))
    return replace(drawn, blocks=[*drawn.blocks, blocks.section([blocks.said(WRITTEN)]), kept])


def _written(heard: SlackEvent, names: Mapping[str, str]) -> str:
    """A story as it was written into its form, or typed with the command."""
    if heard.view.get("callback_id") == STORY:
        return written_in(state_of(heard.view), SHOTS)
    typed = parse.to_text(heard.text, names=names) if heard.kind == "command" else ""
    return f"/ray {typed}" if has_shots(typed) else ""
