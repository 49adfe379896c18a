"""A chore that meets a fault ends nothing, and begins anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bot.notices import Notice, Operator
from bot.store import settings
from bot.store.database import Tx
from bot.tables import Contact
from tests.conftest import House


async def test_a_notice_that_trips_the_chat_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(notice: Notice) -> None:
        if isinstance(notice, Operator) and notice.code == "first":
            raise RuntimeError("The library tripped.")

    house.chat.before_post = trip
    monkeypatch.setattr(house.app.operations, "_contacts", [Contact(adapter="recording", id="7")])
    now = house.clock.now()

    def note(tx: Tx) -> None:
        settings.note_operator(tx, "first", "Look.", now)
        settings.note_operator(tx, "second", "Look.", now + timedelta(seconds=1))

    await house.app.database.write(note)
    async with asyncio.timeout(10):
        while [each.key for each in await house.app.database.read(settings.untold)] != ["first"]:
            house.clock.move(seconds=11)
            await asyncio.sleep(0.01)


async def test_a_notice_that_trips_the_chat_ends_nothing_and_is_said_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tripped = asyncio.Event()

    def trip(notice: Notice) -> Any:
        if not isinstance(notice, Operator):
            return None
        tripped.set()
        return RuntimeError("The library tripped.")

    house.chat.before_post = trip
    monkeypatch.setattr(house.app.operations, "_contacts", [Contact(adapter="recording", id="7")])
    now = house.clock.now()
    await house.app.database.write(lambda tx: settings.note_operator(tx, "key", "Look.", now))
    async with asyncio.timeout(10):
        while not tripped.is_set():
            house.clock.move(seconds=11)
            await asyncio.sleep(0.01)
        house.chat.before_post = lambda _: None
        while await house.app.database.read(settings.untold):
            house.clock.move(seconds=61)
            await asyncio.sleep(0.01)
    said = [each for post in house.chat.posts for each in post.notices]
    assert any(isinstance(each, Operator) and each.sentence == "Look." for each in said)
