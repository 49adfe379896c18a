"""Requests that are being prepared belong to one process, also while several look for them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from bot.refs import JobId
from bot.store import preparing
from tests.bot.store.conftest import Books

CHATS = {"recording"}


async def test_what_a_dead_process_prepared_one_other_takes(books: Books) -> None:
    left = [await books.received() for _ in range(3)]
    for job in (*left, ended := await books.received()):
        await books.change(job, prepared_by="dead")
    await books.end(await books.get(ended.id))
    await books.change(await books.received(), prepared_by="living")
    unsaid = await books.received()

    async def take_over(
        by: str, gone: str = "dead", chats: Collection[str] = CHATS
    ) -> frozenset[JobId]:
        return await books.database.write(lambda tx: preparing.take_over(tx, {gone}, chats, by=by))

    assert not await take_over("one", chats={"elsewhere"})
    taken = await asyncio.gather(*map(take_over, ("one", "two")))
    assert sorted(len(each) for each in taken) == [0, 3]
    assert taken[0] | taken[1] == {each.id for each in left}
    by_process = dict(await books.database.read(lambda c: preparing.by_process(c, CHATS)))
    assert not await books.database.read(lambda c: preparing.by_process(c, {"elsewhere"}))
    assert ended.id not in by_process
    assert set(by_process.values()) in ({"one", "living", ""}, {"two", "living", ""})
    assert by_process[unsaid.id] == preparing.EARLIER
    assert await take_over("one", preparing.EARLIER) == {unsaid.id}
