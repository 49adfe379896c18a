"""The database taken by somebody else, for longer than it is waited for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.adapters.discord.conftest import Community, discord_server, local_discord
from tests.conftest import RunningBot
from tests.discord_server.wire import Request
from tests.faults.outages import MOST_OF_A_CORE, book_of, finish_all, readiness, spin
from tests.faults.test_discord import asked, community, wire

__all__ = ["community", "discord_server", "local_discord", "wire"]


@contextmanager
def taken(bot: RunningBot) -> Iterator[None]:
    """Another process's transaction holds the file while the block runs."""
    with closing(sqlite3.connect(book_of(bot.config), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def answered(community: Community) -> list[Request]:
    """The commands that Discord saw acknowledged."""
    return community.discord.requests_to("POST", r"/callback$")


def failures(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What was logged of commits that failed."""
    told = [record.msg for record in caplog.records]
    return [each for each in told if isinstance(each, dict) and "commit_failed" in each["event"]]


async def test_a_database_that_is_taken_stops_nothing_for_good(
    community: Community, caplog: pytest.LogCaptureFixture
) -> None:
    bot = community.bot
    running = await asked(community, "one fox")
    with taken(bot):
        refused = await community.ana.slash("ray create", community.general, prompt="two foxes")
        await community.discord.wait_for(lambda: len(answered(community)) == 2)
        health = asyncio.ensure_future(readiness(bot))
        await finish_all(bot.simulator)
        for _ in range(13):
            community.later(seconds=20)
            await asyncio.sleep(0.5)
        answer = await community.ana.answer(refused)
        assert "cannot use its database" in answer.content
        status, said = await health
        assert (status, said["ready"]) == (503, False)
        assert "database" in said["problems"]
        assert await spin() < MOST_OF_A_CORE
    told = failures(caplog)
    assert 1 <= len(told) <= 2, "not once for each of the writes"
    assert told[0]["kind"] == "OperationalError"
    assert "locked" in told[0]["cause"]
    assert "exception" not in told[0]
    assert (await readiness(bot))[0] == 200
    await community.hurry(lambda: community.clips())
    await bot.delivered(running)
    second = await asked(community, "two foxes")
    await finish_all(bot.simulator)
    await community.hurry(lambda: len(community.clips()) == 2)
    await bot.delivered(second)
    assert len(bot.simulator.generations) == 2
    await bot.check_books()
