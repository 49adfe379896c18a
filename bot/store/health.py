"""Whether the database works now: one small row is written by the writer and read by a reader."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from bot.errors import StoreError
from bot.store import settings
from bot.store.database import Database
from bot.store.transaction import Tx

#: A scope that no person, channel or tenant can have: theirs name an adapter.
SCOPE = "house"
KEY = "pulse"


async def check_database(database: Database, *, seconds: float) -> str | None:
    """Why the database cannot be used, or None where it can; it takes at most so long to tell."""
    try:
        async with asyncio.timeout(seconds):
            written = await database.write(_beat)
            # Others may ask at the same time, so it may have grown since.
            is_kept = await database.read(_count) >= written
    except TimeoutError:
        return f"The database did not answer within {seconds:g} s."
    except StoreError as error:
        return error.sentence
    return None if is_kept else "The database does not show what was just written."


def _beat(tx: Tx) -> int:
    number = _count(tx.conn) + 1
    settings.choose(tx, SCOPE, {KEY: str(number)})
    return number


def _count(conn: Connection) -> int:
    return int(settings.chosen(conn, SCOPE).get(KEY, "0"))
