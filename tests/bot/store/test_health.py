"""Ready means that a row can be written and read now, and that whoever asks hears in time."""

from __future__ import annotations

import asyncio

import pytest

from bot.store import health, settings
from bot.store.database import Database
from tests.bot.store.conftest import Books, one_batch


async def test_a_healthy_database_is_written_and_read(database: Database) -> None:
    assert await health.check_database(database, seconds=5) is None
    assert await health.check_database(database, seconds=5) is None
    assert await database.read(lambda conn: settings.chosen(conn, health.SCOPE)) == {"pulse": "2"}


async def test_many_may_ask_at_once(database: Database) -> None:
    told = await asyncio.gather(*(health.check_database(database, seconds=5) for _ in range(20)))
    assert told == [None] * 20


async def test_a_writer_that_hangs_is_told_in_time(database: Database) -> None:
    async with one_batch(database), asyncio.timeout(30):
        assert await health.check_database(database, seconds=0.05) == (
            "The database did not answer within 0.05 s."
        )
    assert await health.check_database(database, seconds=5) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_writer_that_died_is_told_at_once(database: Database) -> None:
    def die(_tx: object) -> None:
        raise SystemExit

    writer = database._thread
    assert writer is not None
    waiting = asyncio.ensure_future(database.write(die))
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.join, 5)
    assert await health.check_database(database, seconds=5) == (
        "The database's writer has died. Restart Raybot."
    )
    waiting.cancel()


async def test_a_database_that_takes_nothing_is_told(books: Books) -> None:
    await books.sql("ALTER TABLE settings RENAME TO lost")
    told = await health.check_database(books.database, seconds=5)
    assert told is not None
    assert "settings" in told
