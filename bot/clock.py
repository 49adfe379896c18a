"""The one place that asks what time it is, so that tests can move it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for rows, boot time for freezes, and waits that a test can end."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""

    def boottime(self) -> float:
        """Seconds that also pass while the machine or the process is frozen."""

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Return once the event is set or the time has come, whichever is first."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        return datetime.now(UTC)

    def boottime(self) -> float:
        """Seconds since boot, suspension included where the system tells it."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Wait in steps of at most 30 s, so that a wall clock set forward is noticed."""
        while not event.is_set():
            left = 30.0 if until is None else (until - self.now()) / timedelta(seconds=1)
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(left, 30.0))
