"""What every way to ask needs of the listener: who asks, where it is answered, what is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

import discord

from adapters.discord.buttons import Choice, Filled, OnFilled
from adapters.discord.parse import Asked, Picture
from bot.errors import BotError
from bot.refs import JobId, ThreadRef
from bot.request import Frame, GenerationRequest, Requester, Work

if TYPE_CHECKING:
    from bot.studio import Receipt

Interaction = discord.Interaction[Any]


class InteractionHost(Protocol):
    """Who carries out what is asked by forms and buttons, and answers there."""

    def boundary(
        self, say: Callable[[BotError], Awaitable[object]]
    ) -> AbstractAsyncContextManager[None]:
        """Whatever happens inside, the person gets a sentence, while one can be said."""

    async def asked(
        self,
        interaction: Interaction,
        *,
        is_private: bool | None = None,
        job: JobId | None = None,
        place: ThreadRef | None = None,
    ) -> Asked:
        """Who asks, and where it is answered: at `place` unless only its person may see it."""

    async def requester(self, interaction: Interaction, *, job: JobId | None = None) -> Requester:
        """Who asks; outside our places, in the one of theirs where that job is."""

    async def submit(
        self,
        interaction: Interaction,
        request: GenerationRequest,
        *,
        retry_of: JobId | None = None,
    ) -> None:
        """Ask for it, and end the acknowledgement with the way to it."""

    async def follow(self, interaction: Interaction, receipts: Sequence[Receipt]) -> None:
        """End the acknowledgement with the way to what was started."""

    def keep(self, picture: Picture) -> Picture:
        """Have an uploaded image at hand."""

    async def open_form(
        self,
        interaction: Interaction,
        title: str,
        on_filled: OnFilled,
        *,
        work: Work | None = None,
        pictures: Sequence[Choice] = (),
        needs_prompt: bool = True,
    ) -> None:
        """Show the form, filled in with a work."""

    async def on_filled(
        self,
        interaction: Interaction,
        filled: Filled,
        start: Frame | None,
        end: Frame | None = None,
        *,
        retry_of: JobId | None = None,
        is_still: bool = False,
        place: ThreadRef | None = None,
    ) -> None:
        """Ask for what was filled in, to be answered as `place` was, else where it was said."""
