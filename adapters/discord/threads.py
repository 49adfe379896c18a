"""Threads of a request's own: opened when there is something to say, once, and remembered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import aiohttp
import discord

from adapters.discord.parse import NAME, can_open_thread
from adapters.discord.shards import knows
from bot.errors import DeliveryUnavailable
from bot.log import get_logger
from bot.notices import About
from bot.refs import JobId, ThreadRef
from bot.request import is_spoiler
from bot.send_guard import send_only_while
from bot.text import clean

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
NAME_CHARS = 100
AGAIN_SECONDS = 2.0
#: What is remembered where no thread could be opened.
CHANNEL = "channel"
#: What is remembered before one is opened that Discord would open twice.
TRIED = "tried"
#: The message has a thread already; its id is the message's.
EXISTS = 160004


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Where requests have threads of their own: in no channel, in some, or (none named) in all."""

    is_on: bool = False
    channels: frozenset[int] = frozenset()

    def is_for(self, channel: discord.abc.Snowflake, own: discord.Permissions) -> bool:
        """Whether a request in this channel is to have one, and the bot may open it."""
        is_asked = self.is_on and (not self.channels or channel.id in self.channels)
        return is_asked and can_open_thread(own, channel)


class Threads:
    """Turns the thread that a request is to have into one that Discord knows."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()

    async def settle(self, client: discord.Client, thread: ThreadRef, about: About) -> ThreadRef:
        """The thread for this request's messages; the channel, where none can be opened."""
        job_id = about.job_id
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            known = await self._studio.recall(NAME, "thread", job_id=job_id)
            if not known or known == TRIED:
                known = await self._open(client, thread, about, is_tried=bool(known))
                await self._studio.remember(NAME, "thread", known, job_id=job_id)
        return thread.model_copy(update={"thread": None if known == CHANNEL else known})

    async def _open(
        self, client: discord.Client, thread: ThreadRef, about: About, *, is_tried: bool
    ) -> str:
        if not knows(client, thread):
            # It does not know the channels yet, or never will: then another process does.
            raise DeliveryUnavailable("Discord does not show its channels yet.", retry_after=1.0)
        channel = client.get_channel(int(thread.channel))
        if not isinstance(channel, discord.TextChannel):
            return CHANNEL
        asked = about.asked_in
        try:
            if asked is not None:
                # Known beforehand, as its id is the message's: so nobody who asks alike takes it.
                await self._studio.claim("asked", asked.message, job_id=about.job_id)
                message = channel.get_partial_message(int(asked.message))
                return str((await message.create_thread(name=to_name(about))).id)
            return await self._open_alone(channel, about, is_tried=is_tried)
        except (discord.DiscordServerError, aiohttp.ClientError, OSError) as error:
            # What was opened unheard is looked for at once; else it waits as any message does.
            is_lost = asked is None and not is_tried
            raise DeliveryUnavailable(
                "Discord has a problem right now.", retry_after=AGAIN_SECONDS if is_lost else None
            ) from error
        except discord.HTTPException as error:
            if error.code == EXISTS and asked is not None:
                return asked.message
            log.info("discord.no_thread", job=about.job_id, code=error.code)
            return CHANNEL

    async def _open_alone(
        self, channel: discord.TextChannel, about: About, *, is_tried: bool
    ) -> str:
        """Open one at no message, by one request; if its answer is lost, the next try looks."""
        name, tickets = to_name(about), iter([True])
        is_news = channel.is_news()
        kind = discord.ChannelType.news_thread if is_news else discord.ChannelType.public_thread
        if is_tried and (found := await self._find(channel, about)) is not None:
            return found
        await self._studio.remember(NAME, "thread", TRIED, job_id=about.job_id)
        # discord.py would ask again by itself.
        with send_only_while(lambda: next(tickets, False)):
            opened = str((await channel.create_thread(name=name, type=kind)).id)
        if not await self._claim(opened, about):
            # Who asks for the same found it before its answer came.
            raise DeliveryUnavailable(
                "Another request has that thread.", retry_after=AGAIN_SECONDS
            )
        return opened

    async def _find(self, channel: discord.TextChannel, about: About) -> str | None:
        """The thread that an earlier try opened, or that of who asked for the same, if it is free.

        It is ours, of this name, and nothing is said in it.
        """
        for each in await channel.guild.active_threads():
            is_ours = each.owner_id == channel.guild.me.id and each.parent_id == channel.id
            is_new = not each.message_count and each.name == to_name(about)
            if is_ours and is_new and await self._claim(str(each.id), about):
                return str(each.id)
        return None

    async def _claim(self, thread: str, about: About) -> bool:
        return await self._studio.claim("thread", thread, job_id=about.job_id)


def to_name(about: About) -> str:
    """What a request's thread is called; of a spoiler it tells nothing."""
    prompt = "" if is_spoiler(about.work) else clean(about.work.prompt, limit=NAME_CHARS)
    return prompt or about.job_id
