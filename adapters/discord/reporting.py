"""The form with which somebody reports a clip, and passing that on. Decides nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import discord
from discord import ui

from adapters.discord import render
from adapters.discord.buttons import FORM, FORM_SECONDS
from adapters.discord.replies import acknowledge, refuse, show_form, tell
from bot.errors import BotError
from bot.refs import JobId
from bot.request import Requester
from bot.text import describe_report

if TYPE_CHECKING:
    from bot.studio import Studio

Interaction = discord.Interaction[Any]
REPORT = "report"
#: As much as is kept of a reason.
REASON_CHARS = 300


class Desk(Protocol):
    """What the listener does for every request."""

    def boundary(
        self, say: Callable[[BotError], Awaitable[object]]
    ) -> AbstractAsyncContextManager[None]:
        """Whatever happens inside, the person gets a sentence."""

    async def requester(self, interaction: Interaction, *, job: JobId | None = None) -> Requester:
        """Who asks."""


class Reports:
    """Asks what is wrong with a clip, and tells those who run its place."""

    def __init__(self, studio: Studio, desk: Desk) -> None:
        self._studio = studio
        self._desk = desk

    async def on_report(self, interaction: Interaction, job_id: JobId) -> None:
        """*Report* on the list under a clip."""

        async def on_filled(filled: Interaction, reason: str) -> None:
            if not await acknowledge(filled):
                return
            async with self._desk.boundary(partial(refuse, filled)):
                requester = await self._desk.requester(filled, job=job_id)
                answer = await self._studio.care.report(job_id, requester, reason)
                await tell(filled, render.draw_text(describe_report(answer)))

        async with self._desk.boundary(partial(refuse, interaction)):
            form = ReportForm(mark=interaction.client.mark, on_filled=on_filled)
            await show_form(interaction, form)


class ReportForm(ui.Modal):
    """Why, if somebody likes to say."""

    def __init__(
        self, *, mark: str, on_filled: Callable[[Interaction, str], Awaitable[None]]
    ) -> None:
        super().__init__(
            title="Report a clip",
            timeout=FORM_SECONDS,
            custom_id=f"{FORM}{mark}:{secrets.token_hex(8)}",
        )
        self._on_filled = on_filled
        self._reason: ui.TextInput[Any] = ui.TextInput(
            style=discord.TextStyle.paragraph, required=False, max_length=REASON_CHARS
        )
        told = "Goes to those who run this place. Nobody else learns that it was you."
        self.add_item(
            ui.Label(text="What is wrong with it?", description=told, component=self._reason)
        )

    async def on_submit(self, interaction: Interaction) -> None:
        """Pass on what was filled in."""
        await self._on_filled(interaction, self._reason.value or "")
