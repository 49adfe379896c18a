"""The machine's clock: waits take as long as they were meant to, whoever sets it meanwhile."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from bot.clock import SystemClock, to_boottime, to_wall
from tests.fakes import MovableClock

HOUR = timedelta(hours=1)


class SetClock(SystemClock):
    """The machine's, with an error of the wall clock that can be set."""

    error = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.error


@pytest.mark.parametrize("made", [SetClock, MovableClock])
async def test_a_wait_ends_in_time_although_the_clock_is_set_back(made: type[SystemClock]) -> None:
    clock = made()
    until = clock.now() + timedelta(seconds=0.05)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        waiting = group.create_task(clock.wait(asyncio.Event(), until))
        await asyncio.sleep(0)
        if isinstance(clock, SetClock):
            clock.error = -HOUR
        elif isinstance(clock, MovableClock):
            clock.set_wall(hours=-1)
        await waiting
    assert clock.now() < until


async def test_a_wait_ends_once_it_is_late_enough() -> None:
    clock = MovableClock()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(clock.wait(asyncio.Event(), clock.now() + HOUR))
        await asyncio.sleep(0)
        clock.set_wall(hours=2)


async def test_a_wait_ends_with_its_event() -> None:
    clock, event = SystemClock(), asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(clock.wait(event, clock.now() + HOUR))
        group.create_task(clock.wait(event, None))
        await asyncio.sleep(0)
        event.set()


def test_wall_and_boot_time_are_converted_by_the_clock_as_it_stands() -> None:
    clock = MovableClock()
    due = to_boottime(clock, clock.now() + HOUR)
    assert abs(due - clock.boottime() - 3600) < 60
    clock.set_wall(hours=-1)
    assert abs(to_wall(clock, due) - clock.now() - HOUR) < timedelta(minutes=1)


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancel_that_comes_with_the_event_is_not_lost(turns: int) -> None:
    """A loop that went on waiting would keep the bot from stopping."""
    clock, event = SystemClock(), asyncio.Event()

    async def wait_forever() -> None:
        while True:
            event.clear()
            await clock.wait(event, clock.now() + timedelta(hours=1))

    task = asyncio.ensure_future(wait_forever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(2):
            await task
