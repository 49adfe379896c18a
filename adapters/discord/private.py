"""Answers that only one person sees: an interaction's own message, while its token lives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import discord

from adapters.discord import buttons, render
from adapters.discord.messages import to_file
from bot.clock import Clock
from bot.errors import ThreadGone
from bot.notices import Cancelled, Delivered, Failed, Notice
from bot.refs import MessageRef, ThreadRef

Interaction = discord.Interaction[Any]
#: An interaction's token ends after 15 minutes; the last one is left for a slow upload.
TOKEN_LIFE = timedelta(minutes=14)


class PrivateAnswers:
    """The interactions that are answered in private; their tokens are kept in memory only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Interaction] = {}
        self._shows_clip: set[str] = set()

    def keep(self, interaction: Interaction) -> None:
        """Answer this interaction's job with its own message."""
        for number in [number for number, each in self._open.items() if self._is_over(each)]:
            self._drop(number)
        self._open[str(interaction.id)] = interaction

    def __contains__(self, number: object) -> bool:
        return number in self._open

    def of(self, thread: ThreadRef) -> Interaction | None:
        """The interaction that this private place stands for, while it can be answered."""
        _, _, number = (thread.thread or "").partition(":")
        interaction = self._open.get(number)
        if interaction is not None and self._is_over(interaction):
            self._drop(number)
            return None
        return interaction

    def _is_over(self, interaction: Interaction) -> bool:
        return self._clock.now() - interaction.created_at > TOKEN_LIFE

    def _drop(self, number: str) -> None:
        self._open.pop(number, None)
        self._shows_clip.discard(number)

    async def write(self, thread: ThreadRef, notice: Notice) -> MessageRef:
        """Let the private answer say this; raises `ThreadGone` once its token has ended."""
        interaction = self.of(thread)
        if interaction is None:
            raise ThreadGone("The private answer can no longer be written to.")
        message = MessageRef(thread=thread, message="@original")
        number = str(interaction.id)
        if isinstance(notice, Delivered):
            self._shows_clip.add(number)
        elif number in self._shows_clip and not isinstance(notice, Failed | Cancelled):
            # News that were on their way when the clip came would take its place.
            return message
        drawn = render.draw(notice, now=self._clock.now())
        await interaction.edit_original_response(
            content=drawn.content,
            view=buttons.to_view(drawn.buttons) if drawn.buttons else None,
            attachments=[to_file(drawn.file)] if drawn.file is not None else [],
        )
        return message
