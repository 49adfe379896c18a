"""Callbacks by Luma's rule: 200 is success, else three more tries, 100 ms apart, 5 s each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, assert_never

import aiohttp
from aiohttp import hdrs

from bot.simulator.face import Call, to_bytes
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
        #: By address: what is sent only after the next one.
        self._held: dict[str, list[Call]] = {}

    async def send(self, call: Call, *, is_last: bool) -> None:
        """Deliver one callback, spoiled if a fault was planned for it."""
        fault: CallbackFault | None = self._faults.take_callback()
        match fault:
            case None:
                await self._deliver(call)
            case "lost":
                pass
            case "duplicated":
                await self._deliver(call)
                await self._deliver(call)
            case "forged":
                await self._deliver(replace(call, body=forged(call.body)))
                await self._deliver(call)
            case "reordered" if not is_last:
                self._held.setdefault(call.url, []).append(call)
                return
            case "reordered":
                await self._deliver(call)
            case _:
                assert_never(fault)
        for late in self._held.pop(call.url, []):
            await self._deliver(late)

    async def _deliver(self, call: Call) -> None:
        for number in range(1 + RETRIES):
            if number:
                await asyncio.sleep(PAUSE_SECONDS)
            status = await self._post(call)
            self.attempts.append(Attempt(url=call.url, body=call.body, status=status))
            self._on_attempt()
            if status == 200:
                return

    async def _post(self, call: Call) -> int | None:
        # Not with `json`: a signature is of these very bytes.
        headers = {hdrs.CONTENT_TYPE: "application/json", **call.headers}
        try:
            async with self._session.post(
                call.url,
                data=to_bytes(call.body),
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as reply:
                return reply.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None


def forged(body: dict[str, Any]) -> dict[str, Any]:
    """What somebody might send who only knows the address: done, with a foreign clip."""
    url = "http://127.0.0.1:9/forged.mp4"
    assets = {"video": url, "image": None, "progress_video": None}
    return {**body, "state": "completed", "failure_reason": None, "assets": assets}
