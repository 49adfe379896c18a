"""Durable notes of what a chat platform delivered, made before it is told that all is well."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bot.clock import Clock
from bot.store import inbox
from bot.store.database import Database
from bot.store.inbox import Noted

__all__ = ["Inbox", "Noted"]


class Inbox:
    """What came in, each once by its key, until it was dealt with. Raises `StoreError`s."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, adapter: str, key: str, payload: Mapping[str, object]) -> bool:
        """Keep what came in, durably; False where this key was noted before.

        `payload` must be JSON. It is kept until `done`, a day at most.
        """
        now = self._clock.now()
        return await self._database.write(lambda tx: inbox.note(tx, adapter, key, payload, now))

    async def hold(self, adapter: str, keys: Collection[str]) -> None:
        """Say that this process is at these now, so that no other one takes them up."""
        now = self._clock.now()
        await self._database.write(lambda tx: inbox.hold(tx, adapter, keys, now))

    async def done(self, adapter: str, key: str) -> None:
        """It was dealt with: only its key is kept, so that one more delivery is known."""
        now = self._clock.now()
        await self._database.write(lambda tx: inbox.done(tx, adapter, key, now))

    async def undone(self, adapter: str) -> tuple[Noted, ...]:
        """What was never dealt with, oldest first: to be taken up at a start."""
        return await self._database.read(lambda conn: inbox.undone(conn, adapter))
