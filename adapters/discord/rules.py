"""The rules of a server, shown to the one person who has not accepted them yet."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import discord

from adapters.discord import render
from adapters.discord.choices import Button
from adapters.discord.replies import tell
from bot.errors import NotAllowed
from bot.notices import RulesFirst
from bot.refs import JobId
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

Interaction = discord.Interaction[Any]
RULES = "rules"
RULES_FIRST = "Please read the rules of this place first; then your request goes on."


class Replies(Protocol):
    """Who answers a message."""

    def reply(
        self, message: discord.Message, content: str, *, button: Button | None = None
    ) -> Awaitable[bool]:
        """Answer it, without a ping."""


async def ask_for_rules(answers: Replies, message: discord.Message, receipt: Receipt) -> None:
    """Where somebody's message waits for them to accept the rules, lead them there."""
    if message.guild is not None and isinstance(receipt.notice, RulesFirst):
        job = receipt.job_id
        button = Button(label="Read the rules", action=RULES, job=job, style="primary")
        await answers.reply(message, RULES_FIRST, button=button)


async def show_rules(
    interaction: Interaction, studio: Studio, job_id: JobId, requester: Requester, now: datetime
) -> None:
    """The rules that a request of theirs waits for, and what can be done about it."""
    notice = (await studio.show(job_id, requester)).notice
    if isinstance(notice, RulesFirst) and notice.about.requester.user != requester.user:
        raise NotAllowed("Only who asked for that has to accept them.")
    drawn = render.draw(notice, now=now)
    await tell(interaction, drawn.content, drawn=drawn.buttons)
