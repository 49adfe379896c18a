"""Callbacks by Luma's rule: 200 is success, else three more tries, 100 ms apart, 5 s each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

import aiohttp

from bot.simulator.faults import CallbackFault, Faults

RETRIES = 3
PAUSE_SECONDS = 0.1
TIMEOUT = aiohttp.ClientTimeout(total=5.0)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One POST of a callback; `status` is None where nobody answered in time."""

    url: str
    body: dict[str, Any]
    status: int | None


class Callbacks:
    """Sends callbacks and remembers every attempt, in order; `on_attempt` is told of each."""

    def __init__(
        self, session: aiohttp.ClientSession, faults: Faults, on_attempt: Callable[[], None]
    ) -> None:
        self._session = session
        self._faults = faults
        self._on_attempt = on_attempt
        self.attempts: list[Attempt] = []

    async def send(self, url: str, body: dict[str, Any]) -> None:
        """Deliver one callback, spoiled if a fault was planned for it."""
        fault: CallbackFault | None = self._faults.take_callback()
        match fault:
            case None:
                await self._deliver(url, body)
            case "lost":
                pass
            case "duplicated":
                await self._deliver(url, body)
                await self._deliver(url, body)
            case "forged":
                await self._deliver(url, forged(body))
                await self._deliver(url, body)
            case _:
                assert_never(fault)

    async def _deliver(self, url: str, body: dict[str, Any]) -> None:
        for number in range(1 + RETRIES):
            if number:
                await asyncio.sleep(PAUSE_SECONDS)
            status = await self._post(url, body)
            self.attempts.append(Attempt(url=url, body=body, status=status))
            self._on_attempt()
            if status == 200:
                return

    async def _post(self, url: str, body: dict[str, Any]) -> int | None:
        try:
            async with self._session.post(
                url, json=body, timeout=TIMEOUT, allow_redirects=False
            ) as reply:
                return reply.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None


def forged(body: dict[str, Any]) -> dict[str, Any]:
    """What somebody might send who only knows the address: done, with a foreign clip."""
    url = "http://127.0.0.1:9/forged.mp4"
    assets = {"video": url, "image": None, "progress_video": None}
    return {**body, "state": "completed", "failure_reason": None, "assets": assets}
