"""What must not be forgotten of a post, and who may write it down."""

from __future__ import annotations

import pytest

from bot.errors import DeliveryUnavailable
from bot.store import messages
from tests.bot.store.conftest import Books


async def test_what_was_kept_of_a_post_is_there_again(books: Books) -> None:
    job = await books.received()
    key = messages.clip_key(job.id)
    memo = await messages.open_memo(books.database, key, job.id)
    await memo.put("file", "F1")
    await memo.put("showing", "now")
    again = await messages.open_memo(books.database, key, job.id)
    assert (again.get("file"), again.get("showing"), again.get("x")) == ("F1", "now", None)


async def test_a_process_that_another_took_over_from_keeps_nothing(books: Books) -> None:
    """As one that froze between sending a file and noting it."""
    job = await books.received()
    key = messages.clip_key(job.id)
    frozen, other = [await messages.open_memo(books.database, key, job.id) for _ in range(2)]
    await other.put("file", "F2")
    with pytest.raises(DeliveryUnavailable):
        await frozen.put("file", "F1")
    assert frozen.get("file") is None
    assert (await messages.open_memo(books.database, key, job.id)).get("file") == "F2"
