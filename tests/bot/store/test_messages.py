"""What must not be forgotten of a post, and who may write it down."""

from __future__ import annotations

import pytest

from bot.errors import InOtherHands
from bot.refs import MessageRef
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
    with pytest.raises(InOtherHands):
        await frozen.put("file", "F1")
    assert frozen.get("file") is None
    assert (await messages.open_memo(books.database, key, job.id)).get("file") == "F2"


async def test_what_could_not_be_said_is_known_and_keeps_what_stands_there(books: Books) -> None:
    job = await books.received()
    key, placed = messages.status_key(job.id), MessageRef(thread=job.request.thread, message="1")

    async def known() -> tuple[MessageRef | None, str | None, bool]:
        found = await books.database.read(lambda conn: messages.get(conn, key))
        return found.message, found.digest, found.is_begun

    await books.database.write(lambda tx: messages.give_up(tx, key, job, "unsaid"))
    assert await known() == (None, "unsaid", False), "nobody waits for its answer"
    await books.database.write(lambda tx: messages.put(tx, key, job.id, placed, "said"))
    await books.database.write(lambda tx: messages.give_up(tx, key, job, "unsaid"))
    assert await known() == (placed, "unsaid", False)
