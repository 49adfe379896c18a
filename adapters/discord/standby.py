"""Posting to Discord without listening to it, while another process of this bot listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import discord

from adapters.discord.opened import opened
from adapters.discord.session import AWAY, Session, Wire
from bot.clock import Clock
from bot.log import get_logger
from bot.send_guard import GuardedConnector
from bot.studio import Studio

log = get_logger(__name__)
AGAIN = timedelta(seconds=15)
#: What discord.py raises where it is not reached, or trips over an answer that makes no sense.
STRANGE = (*AWAY, LookupError, TypeError, ValueError)


class StandBy:
    """Listens if nobody else does, and has a client that hears nothing; `ready` is told of it."""

    def __init__(
        self,
        wire: Wire,
        studio: Studio,
        session: Session,
        *,
        clock: Clock,
        ready: Callable[[discord.Client], None],
    ) -> None:
        self._wire = wire
        self._replicas = studio.replicas
        self._session = session
        self._clock = clock
        self._ready = ready

    async def run(self) -> None:
        """Listen whenever that is ours to do, until cancelled."""
        self._wire.use()
        if self._replicas.is_single:
            await self._session.run()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_ready(), name="discord, standing by")
            group.create_task(self._listen(), name="discord")

    async def _listen(self) -> None:
        """One process listens to a shard, also where others have another set with it."""
        shards = self._wire.shard_ids
        role = f"discord {','.join(map(str, shards))}"
        parts = [f"discord {each}" for each in shards or range(self._wire.shard_count or 1)]
        await self._replicas.alone(role, self._session.run, parts=parts)

    async def _stay_ready(self) -> None:
        """Be signed in; a token that is refused is told by whoever listens."""
        while True:
            signing_in = discord.Client(
                intents=discord.Intents(guilds=True),  # Without, a warning is logged.
                allowed_mentions=discord.AllowedMentions.none(),
                max_ratelimit_timeout=60.0,
                connector=GuardedConnector(limit=0),
            )
            async with opened(signing_in) as client:
                try:
                    await client.login(self._wire.token)
                except STRANGE as error:
                    log.warning("discord.not_reachable", cause=type(error).__name__)
                    await self._clock.wait(asyncio.Event(), self._clock.now() + AGAIN)
                    continue
                self._session.is_proven = True
                self._ready(client)
                await asyncio.Event().wait()
