"""The one place that asks what time it is, so that tests can move it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

STEP_SECONDS = 30.0


class Clock(Protocol):
    """Wall time for rows, boot time for pauses and freezes, and waits that a test can end."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""

    def boottime(self) -> float:
        """Seconds that also pass while the machine or the process is frozen."""

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Return once the event is set or the time has come, whichever is first.

        A wall clock that is set back meanwhile delays nothing.
        """


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
        due = None if until is None else to_boottime(self, until)
        while not event.is_set():
            left = STEP_SECONDS
            if until is not None and due is not None:
                left = min(left, due - self.boottime(), (until - self.now()).total_seconds())
            if left <= 0:
                return
            await self._nap(event, left)

    async def _nap(self, event: asyncio.Event, seconds: float) -> None:
        # Not `wait_for`: up to Python 3.11 it loses a cancel that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


def to_boottime(clock: Clock, at: datetime) -> float:
    """The boot time at which it will be this late, as the wall clock stands now."""
    return clock.boottime() + (at - clock.now()).total_seconds()


def to_past_boottime(clock: Clock, at: datetime) -> float:
    """The boot time of what has been: now, where the wall clock was set back to before it."""
    return min(clock.boottime(), to_boottime(clock, at))


def to_wall(clock: Clock, boottime: float) -> datetime:
    """How late it will be at this boot time, as the wall clock stands now."""
    return clock.now() + timedelta(seconds=boottime - clock.boottime())
