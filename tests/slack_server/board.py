"""Tells those who wait that something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Board:
    """Waits are looks at the state, made anew whenever anything changed."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def notify(self) -> None:
        """Something changed."""
        for each in self._waiting:
            each.set()

    async def wait_for(self, look: Callable[[], T | None], seconds: float = 30.0) -> T:
        """What `look` finds, as soon as that is true; `AssertionError` when it never is."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(seconds):
                while not (found := look()):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            raise AssertionError(f"It did not happen in {seconds} s") from None
        finally:
            self._waiting.discard(changed)
        return found
