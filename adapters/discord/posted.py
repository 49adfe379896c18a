"""Was it posted before? Told by our own messages, as they come back or as a channel keeps them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import discord

from adapters.discord.messages import is_told
from adapters.discord.parse import DIRECT, channel_id, is_private
from adapters.discord.shards import knows
from bot.clock import Clock
from bot.errors import DeliveryUnavailable, PostedBefore, ThreadGone
from bot.log import get_logger
from bot.notices import Notice, Operator
from bot.ports import FIRST_TRY, LAST_TRY, Memo
from bot.refs import MessageRef, ThreadRef

log = get_logger(__name__)
#: So long Discord surely knows a nonce again ("the past few minutes", its documentation says).
NONCE_WINDOW = timedelta(seconds=90)
#: Around the tries to post, messages are looked through for our own: so many, so far apart.
HISTORY = 1000
CLOCKS_APART = timedelta(minutes=5)
#: Where the first try went: what no place of a server takes is posted as a direct message.
TRIED_IN, SERVER = "tried_in", "server"
#: So many messages of ours are known by their nonce, the newest ones.
REMEMBERED = 10_000


def place_in(client: discord.Client, thread: ThreadRef) -> discord.PartialMessageable:
    """The channel or thread itself, which need not be known to be asked something."""
    guild_id = None if thread.workspace == DIRECT else int(thread.workspace)
    return client.get_partial_messageable(channel_id(thread), guild_id=guild_id)


def may_stand_in(thread: ThreadRef, memo: Memo) -> bool:
    """Whether an earlier try may have posted it here; a private answer is written over.

    Raises `ThreadGone` where it may stand among direct messages, and is looked for there.
    """
    if not memo.get(FIRST_TRY):
        return False
    if memo.get(TRIED_IN) == DIRECT and thread.workspace != DIRECT:
        raise ThreadGone("It was tried as a direct message since.")
    return not is_private(thread)


def _kind(thread: ThreadRef) -> str:
    return DIRECT if thread.workspace == DIRECT else SERVER


class Posted:
    """Finds the message of an earlier try whose answer was lost. `tried_for`: a try's seconds."""

    def __init__(self, clock: Clock, *, tried_for: float) -> None:
        self._clock = clock
        self._tried_for = timedelta(seconds=tried_for)
        self._heard: OrderedDict[tuple[int, str], int] = OrderedDict()

    def hear(self, message: discord.Message) -> None:
        """Remember a message of ours as Discord tells of it; in a nonce anybody writes anything.

        It counts as posted although its answer was lost, and although it was deleted since.
        """
        if isinstance(message.nonce, str):
            self._heard[message.channel.id, message.nonce] = message.id
            while len(self._heard) > REMEMBERED:
                self._heard.popitem(last=False)

    async def find(
        self,
        client: discord.Client,
        thread: ThreadRef,
        notice: Notice,
        *,
        nonce: str,
        memo: Memo,
    ) -> MessageRef | None:
        """Our own message of an earlier try, as far as Discord would not know it; notes this try.

        It was heard of, or it is looked for in the channel once its nonce is forgotten.
        """
        now = self._clock.now()
        if not (told := memo.get(FIRST_TRY)):
            # Nearly each post is to a server, which goes without saying.
            if (memo.get(TRIED_IN) or SERVER) != (kind := _kind(thread)):
                await memo.put(TRIED_IN, kind)
            await memo.put(FIRST_TRY, now.isoformat())
            return None
        if (heard := self._heard.get((channel_id(thread), nonce))) is not None:
            return MessageRef(thread=thread, message=str(heard))
        first = datetime.fromisoformat(told)
        last = datetime.fromisoformat(memo.get(LAST_TRY) or told)
        found = None
        # A clock that was put back says nothing of how long ago that was.
        is_known = timedelta(0) <= now - first < NONCE_WINDOW
        if not is_known and not isinstance(notice, Operator):
            found = await self._look_back(client, thread, notice, first, max(first, last))
        await memo.put(LAST_TRY, now.isoformat())
        return found

    async def _look_back(
        self,
        client: discord.Client,
        thread: ThreadRef,
        notice: Notice,
        first: datetime,
        last: datetime,
    ) -> MessageRef | None:
        """Look for a message of ours among those of the time in which it was tried."""
        if not await _may_look_back(client, thread):
            # Without the permission Discord shows an empty past, which proves nothing.
            raise PostedBefore(
                "It may have been posted, and without Read Message History nobody can look."
            )
        own_id = client.user.id if client.user else None
        until = last + self._tried_for + CLOCKS_APART
        seen = 0
        past = _past(place_in(client, thread), first - CLOCKS_APART, until)
        async for author_id, message in past:
            if author_id == own_id and is_told(message, notice):
                return MessageRef(thread=thread, message=str(message.id))
            seen += 1
        if seen >= HISTORY:
            raise PostedBefore("It may have been posted, and too much was said since to look.")
        return None


async def _past(
    place: discord.PartialMessageable, since: datetime, until: datetime
) -> AsyncIterator[tuple[int, discord.Message]]:
    """By whom was said what there in this time, the oldest first, up to `HISTORY` messages."""
    try:
        async for message in place.history(after=since, limit=HISTORY):
            if message.created_at > until:
                return
            yield message.author.id, message
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        # discord.py trips over an answer of whatever stands before Discord.
        log.exception("discord.strange_answer")
        raise DeliveryUnavailable("Discord does not answer as it should.") from error


async def _may_look_back(client: discord.Client, thread: ThreadRef) -> bool:
    if thread.workspace == DIRECT:
        return True
    guild = client.get_guild(int(thread.workspace))
    if guild is None and not knows(client, thread):
        return await _is_said_to(client, thread)
    if guild is not None and guild.unavailable:
        raise DeliveryUnavailable("Discord does not show that server yet.", retry_after=2.0)
    channel = guild.get_channel(int(thread.channel)) if guild else None
    if guild is None or channel is None:
        # Where it is gone, Discord says so to whoever asks for its past.
        return True
    return channel.permissions_for(guild.me).read_message_history


async def _is_said_to(client: discord.Client, thread: ThreadRef) -> bool:
    """The same, asked of Discord by a process that hears nothing of its server."""
    assert client.user is not None
    try:
        guild = await client.fetch_guild(int(thread.workspace), with_counts=False)
        channel = await guild.fetch_channel(int(thread.channel))
        me = await guild.fetch_member(client.user.id)
    except discord.NotFound:
        return True
    except discord.Forbidden:
        return False
    return isinstance(channel, discord.Thread) or channel.permissions_for(me).read_message_history
