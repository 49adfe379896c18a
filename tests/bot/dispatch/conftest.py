"""A PostgreSQL database, and one way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from bot.store.database import Database, open_database
from tests.postgres import postgres_database


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_database() as found:
        yield found


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = open_database(url)
    await opened.start()
    yield opened
    await opened.stop()
