"""What goes on beside the pages, and what becomes of it where it breaks."""

from __future__ import annotations

import asyncio

import pytest

from adapters.web.listener import BEGINS_AGAIN_AFTER, keep_on
from tests.fakes import MovableClock


async def test_what_breaks_is_logged_ends_nothing_else_and_begins_again(
    clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    began: asyncio.Queue[int] = asyncio.Queue()
    times = 0

    async def work() -> None:
        nonlocal times
        times += 1
        began.put_nowait(times)
        if times == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(keep_on("queue", work, clock=clock))
        assert await began.get() == 1
        while began.empty():
            clock.move(seconds=BEGINS_AGAIN_AFTER.total_seconds())
            await asyncio.sleep(0)
        assert await began.get() == 2
        task.cancel()
    (told,) = caplog.records
    assert "ZeroDivisionError" in caplog.text
    assert "web.task_failed" in str(told.msg)
