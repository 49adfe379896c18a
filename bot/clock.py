"""The one place that asks what time it is, so that tests can move it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for rows, boot time for freezes, and a wait that a test can end early."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""

    def boottime(self) -> float:
        """Seconds that also pass while the machine or the process is frozen."""

    async def sleep_until(self, when: datetime) -> None:
        """Return once `now()` is at or past `when`."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        return datetime.now(UTC)

    def boottime(self) -> float:
        """Seconds since boot, suspension included where the system tells it."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    async def sleep_until(self, when: datetime) -> None:
        """Sleep in steps of at most 30 s, so that a wall clock set forward is noticed."""
        while (left := (when - self.now()) / timedelta(seconds=1)) > 0:
            await asyncio.sleep(min(left, 30.0))
