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

    def __init__(self, *, database: Database, clock: Clock, process: str) -> None:
        self._database = database
        self._clock = clock
        self._process = process

    async def note(self, adapter: str, key: str, payload: Mapping[str, object]) -> bool:
        """Keep what came in, durably; False where this key was noted before.

        `payload` must be JSON. It is kept until `done`, a day at most.
        """
        now, by = self._clock.now(), self._process
        return await self._database.write(
            lambda tx: inbox.note(tx, adapter, key, payload, now, by=by)
        )

    async def take(self, adapter: str, left: Collection[Noted]) -> tuple[Noted, ...]:
        """Those of these that are this process's now; another one took the rest first."""
        by = self._process
        return await self._database.write(lambda tx: inbox.take(tx, adapter, left, by=by))

    async def done(self, adapter: str, key: str) -> None:
        """It was dealt with: only its key is kept, so that one more delivery is known."""
        now = self._clock.now()
        await self._database.write(lambda tx: inbox.done(tx, adapter, key, now))

    async def undone(self, adapter: str) -> tuple[Noted, ...]:
        """What was never dealt with, oldest first: to be taken up at a start."""
        return await self._database.read(lambda conn: inbox.undone(conn, adapter))
