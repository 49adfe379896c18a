"""What a platform delivered is written down once, and gone once it was dealt with."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from bot.store import inbox as rows
from bot.store.transaction import Item
from bot.studio.inbox import Inbox
from tests.bot.store.conftest import Books
from tests.fakes import MovableClock

WORDS = {"text": "a red fox", "blocks": [{"type": "rich_text"}], "nothing": None}


@pytest.fixture
def inbox(books: Books, clock: MovableClock) -> Inbox:
    return Inbox(database=books.database, clock=clock, process="one")


async def test_what_came_in_is_there_until_it_is_dealt_with(
    inbox: Inbox, clock: MovableClock
) -> None:
    before = clock.now()
    assert await inbox.note("slack", "slack:T1:C1:2.0", WORDS)
    after = clock.now()
    clock.move(seconds=1)
    assert await inbox.note("slack", "slack:T1:C1:1.0", {"text": "later"})
    first, second = await inbox.undone("slack")
    assert (first.key, first.payload) == ("slack:T1:C1:2.0", WORDS)
    assert before <= first.received_at <= after
    assert second.payload == {"text": "later"}
    await inbox.done("slack", first.key)
    assert await inbox.undone("slack") == (second,)


async def test_a_second_delivery_is_known_also_after_the_first_was_dealt_with(
    inbox: Inbox, books: Books
) -> None:
    noted = await asyncio.gather(*(inbox.note("slack", "k", {"n": n}) for n in range(20)))
    assert sorted(noted) == [False] * 19 + [True]
    await inbox.done("slack", "k")
    assert not await inbox.note("slack", "k", WORDS)
    assert await inbox.undone("slack") == ()
    assert await books.rows("SELECT CAST(payload AS VARCHAR(9)) FROM inbox") == [("{}",)]


async def test_adapters_have_keys_of_their_own(inbox: Inbox) -> None:
    assert await inbox.note("slack", "k", {})
    assert await inbox.note("discord", "k", {})
    await inbox.done("discord", "k")
    assert [each.key for each in await inbox.undone("slack")] == ["k"]
    assert await inbox.undone("discord") == ()


async def test_what_a_dead_process_had_one_other_takes(
    inbox: Inbox, books: Books, clock: MovableClock
) -> None:
    for key in ("slow", "left", "done", "old"):
        await inbox.note("slack", key, WORDS)
    await books.sql("UPDATE inbox SET held_by = NULL WHERE key = 'old'")
    left = await inbox.undone("slack")
    held = {each.key: each.held_by for each in left}
    assert held == {"slow": "one", "left": "one", "done": "one", "old": ""}
    await inbox.done("slack", "done")
    others = [Inbox(database=books.database, clock=clock, process=name) for name in ("two", "tri")]
    first, second = await asyncio.gather(*(each.take("slack", left) for each in others))
    assert sorted(each.key for each in (*first, *second)) == ["left", "old", "slow"]
    held = {each.key: each.held_by for each in await inbox.undone("slack")}
    assert held == {each.key: "two" for each in first} | {each.key: "tri" for each in second}


async def test_what_nobody_noted_may_be_done(inbox: Inbox) -> None:
    await inbox.done("slack", "unknown")
    assert await inbox.note("slack", "unknown", {})


async def test_a_hundred_notes_share_their_commits(
    inbox: Inbox, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform waits for each."""
    commits, commit = list[int](), books.database._commit

    def count(writer: Engine, batch: list[Item[Any]]) -> None:
        commits.append(len(batch))
        commit(writer, batch)

    monkeypatch.setattr(books.database, "_commit", count)
    await asyncio.gather(*(inbox.note("slack", f"k{n}", WORDS) for n in range(100)))
    assert len(commits) < 20
    assert len(await inbox.undone("slack")) == 100


async def test_old_notes_are_forgotten(inbox: Inbox, books: Books, clock: MovableClock) -> None:
    await inbox.note("slack", "done early", WORDS)
    await inbox.note("slack", "never done", WORDS)
    await inbox.note("slack", "done late", WORDS)
    await inbox.done("slack", "done early")
    clock.move(hours=2)
    await inbox.done("slack", "done late")
    await inbox.note("slack", "new", WORDS)
    limit = clock.now() - timedelta(hours=1)
    forgotten = await books.database.write(lambda tx: rows.forget(tx, done=limit, undone=limit))
    assert forgotten == 2
    assert [each.key for each in await inbox.undone("slack")] == ["new"]
    assert not await inbox.note("slack", "done late", {})
    assert await inbox.note("slack", "done early", {})
