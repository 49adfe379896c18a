"""The one process of a bot that has no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager


class SingleProcess:
    """Every role is ours from the start, and there is nobody to tell anything."""

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Lock] = {}

    @property
    def is_single(self) -> bool:
        """Yes."""
        return True

    async def alone(self, role: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it."""
        del role
        await work()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for whoever is busy with this."""
        lock = self._turns.setdefault(name, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._turns.pop(name, None)

    def tell(self, subject: str, **said: str) -> None:
        """Tell nobody."""

    def on(self, subject: str, hear: Callable[[Mapping[str, str]], None]) -> None:
        """Nothing will ever be heard."""

    async def run(self) -> None:
        """There is nothing to keep."""
