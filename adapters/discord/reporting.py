"""The forms that ask why: of who reports a clip, of who rejects one. Decides nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import discord
from discord import ui

from adapters.discord import render
from adapters.discord.buttons import FORM, FORM_SECONDS
from adapters.discord.care import Care
from adapters.discord.interactions import InteractionHost
from adapters.discord.parse import is_moderator
from adapters.discord.replies import acknowledge, refuse, show_form, tell
from bot.refs import JobId
from bot.request import Requester
from bot.text import describe_report

if TYPE_CHECKING:
    from bot.studio import Studio

Interaction = discord.Interaction[Any]
REPORT, REJECT = "report", "reject"
#: As much as is kept of a reason.
REASON_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Asks:
    """What a form is called, what it asks, and who is told."""

    title: str
    question: str
    told: str


REPORTING = Asks(
    title="Report a clip",
    question="What is wrong with it?",
    told="Goes to those who run this place. Nobody else learns that it was you.",
)
REJECTING = Asks(
    title="Reject a clip",
    question="Why is it not posted?",
    told="Goes only to the person who asked, and into the audit log. You can leave it empty.",
)


class Reports:
    """Asks what is wrong with a clip, and tells those who run its place, or its person."""

    def __init__(self, studio: Studio, host: InteractionHost, care: Care) -> None:
        self._studio = studio
        self._host = host
        self._care = care

    async def on_report(self, interaction: Interaction, job_id: JobId) -> None:
        """*Report* on the list under a clip."""

        async def report(filled: Interaction, requester: Requester, reason: str) -> str:
            answer = await self._studio.care.report(job_id, requester, reason)
            return render.draw_text(describe_report(answer))

        await self._ask(interaction, job_id, REPORTING, report)

    async def on_reject(self, interaction: Interaction, job_id: JobId) -> None:
        """*Reject* under a clip that waits for a moderator."""

        async def reject(filled: Interaction, requester: Requester, reason: str) -> str:
            is_theirs = is_moderator(filled)
            return await self._care.act(
                REJECT, job_id, requester, can_moderate=is_theirs, reason=reason
            )

        async with self._host.boundary(partial(refuse, interaction)):
            requester = await self._host.requester(interaction, job=job_id)
            self._care.check(requester, can_moderate=is_moderator(interaction))
            await self._ask(interaction, job_id, REJECTING, reject)

    async def _ask(
        self,
        interaction: Interaction,
        job_id: JobId,
        asks: Asks,
        act: Callable[[Interaction, Requester, str], Awaitable[str]],
    ) -> None:
        async def on_filled(filled: Interaction, reason: str) -> None:
            if not await acknowledge(filled):
                return
            async with self._host.boundary(partial(refuse, filled)):
                requester = await self._host.requester(filled, job=job_id)
                await tell(filled, await act(filled, requester, reason))

        async with self._host.boundary(partial(refuse, interaction)):
            form = ReasonForm(asks, mark=interaction.client.forms.mark, on_filled=on_filled)
            await show_form(interaction, form)


class ReasonForm(ui.Modal):
    """Why, if somebody likes to say."""

    def __init__(
        self,
        asks: Asks,
        *,
        mark: str,
        on_filled: Callable[[Interaction, str], Awaitable[None]],
    ) -> None:
        super().__init__(
            title=asks.title,
            timeout=FORM_SECONDS,
            custom_id=f"{FORM}{mark}:{secrets.token_hex(8)}",
        )
        self._on_filled = on_filled
        self._reason: ui.TextInput[Any] = ui.TextInput(
            style=discord.TextStyle.paragraph, required=False, max_length=REASON_CHARS
        )
        self.add_item(ui.Label(text=asks.question, description=asks.told, component=self._reason))

    async def on_submit(self, interaction: Interaction) -> None:
        """Pass on what was filled in."""
        await self._on_filled(interaction, self._reason.value or "")
