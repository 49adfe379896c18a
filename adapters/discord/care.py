"""Stars and letters by reactions, reports, and what moderators decide about them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

import discord

from adapters.discord import render
from adapters.discord.parse import NAME
from bot.errors import BotError, NotAllowed
from bot.log import get_logger
from bot.notices import Outcome, Verdict
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import Requester
from bot.text import describe

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
STAR, LETTER = "⭐", "✉️"
OUTCOMES: dict[str, Outcome] = {each: each for each in get_args(Outcome)}
VERDICTS: dict[str, Verdict] = {each: each for each in get_args(Verdict)}
#: Accept the rules, lend an image, or do not.
ANSWERS = frozenset({"accept", "allow", "deny"})
ACTS = frozenset({*ANSWERS, *OUTCOMES, *VERDICTS})


class Care:
    """Passes on what people think of a clip."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._in_turn = asyncio.Lock()

    async def on_reaction(
        self, payload: discord.RawReactionActionEvent, own_id: int | None, *, is_on: bool
    ) -> None:
        """⭐ counts for the gallery, ✉️ sends a copy; nobody is answered in public."""
        emoji = payload.emoji.name.rstrip("\ufe0f") if payload.emoji.name else ""
        is_star = emoji == STAR
        is_bot = payload.member is not None and payload.member.bot
        if payload.guild_id is None or is_bot or payload.user_id == own_id:
            return
        if not is_star and (emoji != LETTER.rstrip("\ufe0f") or not is_on):
            return
        place = ThreadRef(
            adapter=NAME, workspace=str(payload.guild_id), channel=str(payload.channel_id)
        )
        who = Requester(adapter=NAME, workspace=place.workspace, user=str(payload.user_id))
        message = MessageRef(thread=place, message=str(payload.message_id))
        try:
            if is_star:
                # A star that is put and taken again ends as it was left.
                async with self._in_turn:
                    await self._star(message, who, is_on=is_on)
            elif (job_id := await self._studio.job_at(message)) is not None:
                await self._studio.gallery.send(job_id, who)
        except BotError as error:
            log.info("discord.reaction_refused", kind=type(error).__name__)

    async def _star(self, message: MessageRef, who: Requester, *, is_on: bool) -> None:
        if (job_id := await self._studio.job_at(message)) is not None:
            await self._studio.gallery.star(job_id, who, is_on=is_on)

    def check(self, requester: Requester, *, can_moderate: bool) -> None:
        """Raise `NotAllowed` for who may not decide about the clips of others."""
        if not (can_moderate or self._studio.admin.is_operator(requester)):
            raise NotAllowed("Only moderators of this server can decide that.")

    async def act(
        self,
        action: str,
        job_id: JobId,
        requester: Requester,
        *,
        can_moderate: bool,
        reason: str = "",
    ) -> str:
        """The buttons under a question, a report, or a clip that waits."""
        if action in ANSWERS:
            is_allowed = action != "deny"
            receipt = await self._studio.answer(job_id, requester, is_allowed=is_allowed)
            return render.draw_receipt(receipt, None)
        self.check(requester, can_moderate=can_moderate)
        if action in VERDICTS:
            decided = await self._studio.reviews.decide(
                job_id, VERDICTS[action], actor=requester, reason=reason
            )
            return render.draw_text(describe(decided))
        await self._studio.care.decide(job_id, OUTCOMES[action], actor=requester)
        return "It is decided."
