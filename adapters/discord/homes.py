"""Where people who ask outside every server are members, asked of Discord each time they ask."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import discord

from adapters.discord.parse import NAME, to_requester
from adapters.discord.replies import acknowledge
from adapters.discord.shards import hears_of
from bot.alongside import alongside
from bot.clock import Clock
from bot.errors import JobNotFound
from bot.refs import JobId

if TYPE_CHECKING:
    from bot.studio import Studio

#: Somebody who is a member nowhere is not looked for again so soon.
STRANGER_FOR = timedelta(minutes=1)
REMEMBERED = 10_000
#: So many servers are asked at once: a form has to open within three seconds, of which half are
#: left for all else.
AT_ONCE, IN_TIME = 20, timedelta(seconds=1.5)
T = TypeVar("T")


class Homes:
    """Finds the served server in which a person counts."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._studio = studio
        self._clock = clock
        self._last: OrderedDict[int, int] = OrderedDict()
        self._strangers: OrderedDict[int, datetime] = OrderedDict()

    async def of(
        self,
        client: discord.Client,
        user: discord.User | discord.Member,
        *,
        job: JobId | None = None,
    ) -> discord.Member | None:
        """The member that somebody is in a served server now: where the job is, else the first."""
        now = self._clock.now()
        if self._strangers.get(user.id, now) > now:
            return None
        first: discord.Member | None = None
        async for member in self._members(client, user.id):
            first = first or member
            if job is None or await self._is_there(job, member):
                _keep(self._last, user.id, member.guild.id)
                return member
        if first is None:
            _keep(self._strangers, user.id, now + STRANGER_FOR)
        return first

    async def of_asking(
        self, interaction: discord.Interaction[Any], *, job: JobId | None = None
    ) -> discord.Member | None:
        """The same of who used the bot just now, which is acknowledged where it takes long."""
        found = asyncio.Event()
        async with alongside(self.of(interaction.client, interaction.user, job=job)) as looking:
            looking.add_done_callback(lambda _: found.set())
            await self._clock.wait(found, self._clock.now() + IN_TIME)
            if not found.is_set() and not interaction.response.is_done():
                await acknowledge(interaction)
            return await looking

    async def _members(
        self, client: discord.Client, user_id: int
    ) -> AsyncIterator[discord.Member]:
        """Where somebody counted last, then as the servers are listed, several asked at once.

        What one of them could not tell is raised behind what the others told.
        """
        served = [int(each) for each in await self._studio.served(NAME) if each.isdecimal()]
        last = self._last.get(user_id)
        if last in served and (member := await _member(client, last, user_id)) is not None:
            yield member
        others = [each for each in served if each != last]
        fault: BaseException | None = None
        for start in range(0, len(others), AT_ONCE):
            asked = (_member(client, each, user_id) for each in others[start : start + AT_ONCE])
            for found in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(found, BaseException):
                    fault = fault or found
                elif found is not None:
                    yield found
        if fault is not None:
            raise fault

    async def _is_there(self, job: JobId, member: discord.Member) -> bool:
        try:
            await self._studio.work_of(job, to_requester(member, guild_id=member.guild.id))
        except JobNotFound:
            return False
        return True


async def _member(client: discord.Client, guild_id: int, user_id: int) -> discord.Member | None:
    """Somebody in a server, of which maybe only another process hears."""
    guild = client.get_guild(guild_id)
    if guild is None and hears_of(client, guild_id):
        return None
    try:
        guild = guild or await client.fetch_guild(guild_id, with_counts=False)
        return await guild.fetch_member(user_id)
    except discord.HTTPException:
        return None


def _keep(known: OrderedDict[int, T], user_id: int, value: T) -> None:
    known[user_id] = value
    known.move_to_end(user_id)
    while len(known) > REMEMBERED:
        known.popitem(last=False)
