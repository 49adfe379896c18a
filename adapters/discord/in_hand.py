"""What was heard and is not answered yet: a bot that stops says that before it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import discord

#: So long a bot that stops waits for its last answers; Discord takes one in a fraction of it.
ANSWER_SECONDS = 3.0


class InHand:
    """Counts the answers that are under way."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """While this block runs, somebody waits for an answer."""
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def end(self, client: discord.AutoShardedClient) -> None:
        """Hear nothing more; return once everybody is answered, or has waited long enough."""
        shards = [each.disconnect() for each in client.shards.values()]
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                # A gateway that is silent says no farewell; the client is closed after us.
                await asyncio.gather(*shards, return_exceptions=True)
                # What was acknowledged just now is counted again before this goes on.
                while self._count:
                    await self._none.wait()
