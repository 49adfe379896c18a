"""The database taken by somebody else, for longer than it is waited for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.adapters.discord.conftest import Street, discord_server, town
from tests.conftest import House
from tests.discord_server.wire import Request
from tests.faults.kit import book_of, finish_all, readiness, spin
from tests.faults.test_discord import asked, street, wire

__all__ = ["discord_server", "street", "town", "wire"]


@contextmanager
def taken(house: House) -> Iterator[None]:
    """Another process's transaction holds the file while the block runs."""
    with closing(sqlite3.connect(book_of(house.config), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def answered(street: Street) -> list[Request]:
    """The commands that Discord saw acknowledged."""
    return street.discord.requests_to("POST", r"/callback$")


def failures(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What was logged of commits that failed."""
    told = [record.msg for record in caplog.records]
    return [each for each in told if isinstance(each, dict) and "commit_failed" in each["event"]]


async def test_a_database_that_is_taken_stops_nothing_for_good(
    street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    house = street.house
    running = await asked(street, "one fox")
    with taken(house):
        refused = await street.ana.slash("ray create", street.general, prompt="two foxes")
        await street.discord.wait_for(lambda: len(answered(street)) == 2)
        health = asyncio.ensure_future(readiness(house))
        await finish_all(house.simulator)
        for _ in range(13):
            street.later(seconds=20)
            await asyncio.sleep(0.5)
        answer = await street.ana.answer(refused)
        assert "cannot use its database" in answer.content
        status, said = await health
        assert (status, said["ready"]) == (503, False)
        assert "database" in said["problems"]
        assert await spin() < 0.5
    told = failures(caplog)
    assert 1 <= len(told) <= 2, "not once for each of the writes"
    assert told[0]["kind"] == "OperationalError"
    assert "locked" in told[0]["cause"]
    assert "exception" not in told[0]
    assert (await readiness(house))[0] == 200
    await street.hurry(lambda: street.clips())
    await house.delivered(running)
    second = await asked(street, "two foxes")
    await finish_all(house.simulator)
    await street.hurry(lambda: len(street.clips()) == 2)
    await house.delivered(second)
    assert len(house.simulator.generations) == 2
    await house.check_books()
