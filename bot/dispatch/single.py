"""The one process of a bot that has no others."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager


class SingleProcess:
    """Every role is ours from the start, and there is nobody to tell anything."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        #: Each with how many have it or wait for it.
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def is_single(self) -> bool:
        """Yes."""
        return True

    async def alone(
        self, role: str, work: Callable[[], Awaitable[None]], *, parts: Sequence[str] = ()
    ) -> None:
        """Do it."""
        del role, parts
        await work()

    async def is_held(self, role: str) -> bool:
        """Whatever it is."""
        del role
        return True

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        """All but this one."""
        return frozenset(names) - {self.name}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for whoever is busy with this."""
        lock, count = self._turns.get(name, (asyncio.Lock(), 0))
        self._turns[name] = (lock, count + 1)
        try:
            async with lock:
                yield
        finally:
            # One that somebody was just given is free for a moment, and still theirs.
            _, count = self._turns.pop(name)
            if count > 1:
                self._turns[name] = (lock, count - 1)

    def is_taken(self, name: str) -> bool:
        """Whether somebody is busy with this."""
        return name in self._turns

    def tell(self, subject: str, **said: str) -> None:
        """Tell nobody."""

    def on(self, subject: str, hear: Callable[[Mapping[str, str]], None]) -> None:
        """Nothing will ever be heard."""

    async def run(self) -> None:
        """There is nothing to keep."""
