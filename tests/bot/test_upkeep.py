"""A chore that meets a fault ends nothing, and begins anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bot.notices import Notice, Operator
from bot.store import settings
from bot.store.transaction import Tx
from bot.tables import Contact
from tests.conftest import RunningBot


async def test_a_notice_that_trips_the_chat_holds_up_no_other(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(notice: Notice) -> None:
        if isinstance(notice, Operator) and notice.code == "first":
            raise RuntimeError("The library tripped.")

    bot.chat.before_post = trip
    monkeypatch.setattr(bot.app.operations, "_contacts", [Contact(adapter="recording", id="7")])
    now = bot.clock.now()

    def note(tx: Tx) -> None:
        settings.note_operator(tx, "first", "Look.", now)
        settings.note_operator(tx, "second", "Look.", now + timedelta(seconds=1))

    await bot.app.database.write(note)
    async with asyncio.timeout(30):
        while [each.key for each in await bot.app.database.read(settings.untold)] != ["first"]:
            await bot.clock.let_pass(seconds=11, moment=0.01)


async def test_a_notice_that_trips_the_chat_ends_nothing_and_is_said_later(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    tripped = asyncio.Event()

    def trip(notice: Notice) -> Any:
        if not isinstance(notice, Operator):
            return None
        tripped.set()
        return RuntimeError("The library tripped.")

    bot.chat.before_post = trip
    monkeypatch.setattr(bot.app.operations, "_contacts", [Contact(adapter="recording", id="7")])
    now = bot.clock.now()
    await bot.app.database.write(lambda tx: settings.note_operator(tx, "key", "Look.", now))
    async with asyncio.timeout(30):
        while not tripped.is_set():
            await bot.clock.let_pass(seconds=11, moment=0.01)
        bot.chat.before_post = lambda _: None
        while await bot.app.database.read(settings.untold):
            await bot.clock.let_pass(seconds=61, moment=0.01)
    said = [each for post in bot.chat.posts for each in post.notices]
    assert any(isinstance(each, Operator) and each.sentence == "Look." for each in said)
