"""The database taken by somebody else, for longer than it is waited for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from bot.errors import StoreError
from bot.job import JobState
from tests.conftest import House
from tests.faults.kit import book_of, finish_all, hurry, pass_time, readiness, spin


@contextmanager
def taken(house: House) -> Iterator[None]:
    """Another process's transaction holds the file while the block runs."""
    with closing(sqlite3.connect(book_of(house.config), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_database_that_is_taken_stops_nothing_for_good(house: House) -> None:
    running = await house.ask("one fox")
    await house.simulator.wait_for_creates(1)
    await house.until(running, JobState.GENERATING)
    with taken(house):
        refused = asyncio.ensure_future(house.submit("two foxes", key="two"))
        await asyncio.sleep(0.05)
        health = asyncio.ensure_future(readiness(house))
        await finish_all(house.simulator)
        for _ in range(11):
            await pass_time(house, seconds=30, step=10)
            await asyncio.sleep(0.5)
        with pytest.raises(StoreError, match="database is locked"):
            await refused
        status, said = await health
        assert (status, said["ready"]) == (503, False)
        assert "database" in said["problems"]
        assert await spin() < 0.5
    assert (await readiness(house))[0] == 200
    await hurry(house, lambda: house.chat.clips(running))
    await house.delivered(running)
    second = await house.submit("two foxes", key="two")
    await house.simulator.wait_for_creates(2)
    await finish_all(house.simulator)
    await hurry(house, lambda: house.chat.clips(second.job_id))
    await house.delivered(second.job_id)
    assert len(house.chat.clips()) == len(house.simulator.generations) == 2
    await house.check_books()
