"""Answers that only one person sees: an interaction's own messages, while its token lives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import discord

from adapters.discord import buttons, refusals, render
from adapters.discord.messages import to_file
from adapters.discord.shards import hears, name_private
from bot.clock import Clock
from bot.errors import InOtherHands, ThreadGone
from bot.notices import Cancelled, Delivered, Failed, Jobless, Notice
from bot.refs import JobId, MessageRef, ThreadRef

Interaction = discord.Interaction[Any]
#: An interaction's token ends after 15 minutes; the last one is left for a slow upload.
TOKEN_LIFE = timedelta(minutes=14)
ORIGINAL = "@original"
OVER = "The private answer can no longer be written to."
IN_DOUBT = "Whether a further private answer was begun is not known."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One interaction, and which of its messages is which job's: the first job has the original.

    `begun` are those of which a follow-up may stand there that we cannot name.
    """

    interaction: Interaction
    messages: dict[JobId, str] = field(default_factory=dict)
    shows_clip: set[JobId] = field(default_factory=set)
    begun: set[JobId] = field(default_factory=set)
    #: A follow-up takes the original's place where that says nothing yet: each waits for it.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class PrivateAnswers:
    """The interactions that are answered in private; their tokens are kept in memory only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Answer] = {}

    def keep(self, interaction: Interaction) -> str:
        """Answer this interaction's jobs with its own messages; what that place is called."""
        self._open = {k: v for k, v in self._open.items() if not self._is_over(v.interaction)}
        self._open[str(interaction.id)] = Answer(interaction=interaction)
        return name_private(interaction)

    def __contains__(self, number: object) -> bool:
        return number in self._open

    def of(self, thread: ThreadRef) -> Interaction | None:
        """The interaction that this private place stands for, while it can be answered."""
        answer = self._answer(thread)
        return answer.interaction if answer is not None else None

    def _answer(self, thread: ThreadRef) -> Answer | None:
        answer = self._open.get(_number(thread))
        return None if answer is None or self._is_over(answer.interaction) else answer

    def _is_over(self, interaction: Interaction) -> bool:
        """Whether its token has ended, or the session in which its client speaks."""
        is_closed: bool = interaction.client.is_closed()
        return is_closed or self._has_ended(interaction.id)

    def _has_ended(self, number: int) -> bool:
        return self._age(number) > TOKEN_LIFE

    def _age(self, number: int) -> timedelta:
        return self._clock.now() - discord.utils.snowflake_time(number)

    def check_heard(self, thread: ThreadRef, listening: discord.Client | None) -> None:
        """Raise `InOtherHands` where only the process can write that heard the command.

        It may have ended, so the longer ago that was, the longer the pause.
        """
        number = _number(thread)
        is_ours = number in self._open or (listening is not None and hears(listening, thread))
        if not is_ours and not self._has_ended(int(number)):
            pause = max(1.0, self._age(int(number)) / timedelta(minutes=1))
            raise InOtherHands("Another process heard that command.", retry_after=pause)

    async def write(
        self, thread: ThreadRef, notice: Notice, listening: discord.Client | None
    ) -> MessageRef:
        """Let its job's private answer say this; raises `ThreadGone` once its token has ended."""
        self.check_heard(thread, listening)
        if (answer := self._answer(thread)) is None:
            raise ThreadGone(OVER)
        async with answer.turn:
            return MessageRef(thread=thread, message=await self._say(answer, notice))

    async def _say(self, answer: Answer, notice: Notice) -> str:
        assert not isinstance(notice, Jobless)  # It is told to nobody in private.
        job_id = notice.about.job_id
        if isinstance(notice, Delivered):
            answer.shows_clip.add(job_id)
        elif job_id in answer.shows_clip and not isinstance(notice, Failed | Cancelled):
            # News that were on their way when the clip came would take its place.
            return answer.messages.get(job_id, ORIGINAL)
        drawn = render.draw(notice, now=self._clock.now())
        if answer.messages and job_id not in answer.messages:
            answer.messages[job_id] = await _follow_up(answer, job_id, drawn.content)
        name = answer.messages.get(job_id, ORIGINAL)
        await _edit(answer.interaction, name, drawn)
        answer.messages[job_id] = name
        return name


def _number(thread: ThreadRef) -> str:
    """The interaction's, of a private place."""
    return (thread.thread or "").partition(":")[2].partition("/")[0]


async def _follow_up(answer: Answer, job_id: JobId, words: str) -> str:
    """Begin one more message, of words alone: what is done twice to a message stands there once.

    Nothing finds one whose answer was lost. Raises `ThreadGone` for a job that may have one.
    """
    if job_id in answer.begun:
        raise ThreadGone(IN_DOUBT)
    answer.begun.add(job_id)
    try:
        sent = await answer.interaction.followup.send(words, ephemeral=True, wait=True)
    except (discord.DiscordException, aiohttp.ClientError) as error:
        if refusals.is_certain(error):
            answer.begun.discard(job_id)
        raise
    # No number, as that would have a link.
    return f"@{sent.id}"


async def _edit(interaction: Interaction, name: str, drawn: render.Drawn) -> None:
    said: dict[str, Any] = {
        "content": drawn.content,
        "view": buttons.to_view(drawn.buttons) if drawn.buttons else None,
        "attachments": [to_file(drawn.file)] if drawn.file is not None else [],
    }
    if name == ORIGINAL:
        await interaction.edit_original_response(**said)
    else:
        await interaction.followup.edit_message(int(name.removeprefix("@")), **said)
