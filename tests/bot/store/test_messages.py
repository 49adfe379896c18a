"""What must not be forgotten of a post, and who may write it down."""

from __future__ import annotations

import pytest

from bot.errors import DeliveryUnavailable
from bot.refs import JobId
from bot.store import messages
from bot.store.database import Database

A = JobId("r-a")
KEY = messages.clip_key(A)


async def test_what_was_kept_is_there_again(database: Database) -> None:
    memo = await messages.open_memo(database, KEY, A)
    await memo.put("file", "F1")
    await memo.put("showing", "now")
    again = await messages.open_memo(database, KEY, A)
    assert (again.get("file"), again.get("showing"), again.get("x")) == ("F1", "now", None)


async def test_a_process_that_another_took_over_from_keeps_nothing(database: Database) -> None:
    """As one that froze between sending a file and noting it."""
    frozen, other = [await messages.open_memo(database, KEY, A) for _ in range(2)]
    await other.put("file", "F2")
    with pytest.raises(DeliveryUnavailable):
        await frozen.put("file", "F1")
    assert frozen.get("file") is None
    assert (await messages.open_memo(database, KEY, A)).get("file") == "F2"
