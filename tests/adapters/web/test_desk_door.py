"""Who comes in at the desk, by which link, and for how long."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.errors import DeliveryUnavailable
from bot.request import Requester
from bot.simulator import Simulator
from tests.adapters.web.visitor import Reply, Visitor, visiting
from tests.fakes import MovableClock

ADMIN = Requester(adapter="recording", workspace="local", user="ana", display_name="Ana")


@pytest.fixture
async def visitor(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Visitor]:
    async with visiting(tmp_path, simulator, clock) as found:
        yield found


async def link_of(visitor: Visitor) -> str:
    """The path of a link to the desk of Ana's place."""
    visitor.house.chat.admins.add(ADMIN.user)
    invitation = await visitor.house.app.studio.entry.invite(ADMIN)
    assert invitation.link.startswith(visitor.address)
    return invitation.link.removeprefix(visitor.address)


async def enter(visitor: Visitor, link: str) -> Reply:
    key = re.search(r"key=([\w-]+)", link)
    assert key
    return await visitor.post("/desk/enter", {"key": key[1]})


async def test_a_link_is_looked_at_without_being_spent_and_lets_in_once(visitor: Visitor) -> None:
    assert (await visitor.get("/desk")).status == 401
    link = await link_of(visitor)
    for _ in range(3):
        shown = await visitor.get(link)
        assert shown.status == 200
        assert "Sign in" in shown.html
        assert shown.headers["Referrer-Policy"] == "no-referrer"
    page = await enter(visitor, link)
    assert page.status == 200
    assert "recording:local" in page.html
    assert (await visitor.get("/desk")).status == 200
    assert (await visitor.get(link)).status == 403
    visitor.session.cookie_jar.clear()
    assert (await enter(visitor, link)).status == 403
    assert (await visitor.get("/desk")).status == 401


async def test_links_die_in_ten_minutes_and_sessions_in_twelve_hours(
    visitor: Visitor, clock: MovableClock
) -> None:
    late, link = await link_of(visitor), await link_of(visitor)
    await enter(visitor, link)
    clock.move(minutes=10)
    assert "older than ten minutes" in (await enter(visitor, late)).html
    assert (await visitor.get("/desk")).status == 200
    clock.move(hours=12)
    assert (await visitor.get("/desk")).status == 401


async def test_who_lost_the_right_is_out_within_five_minutes(
    visitor: Visitor, clock: MovableClock
) -> None:
    await enter(visitor, await link_of(visitor))
    chat = visitor.house.chat
    chat.rights_fault = DeliveryUnavailable()
    clock.move(minutes=6)
    assert (await visitor.get("/desk")).status == 200
    clock.move(minutes=10)
    assert (await visitor.get("/desk")).status == 403
    chat.rights_fault = None
    assert (await visitor.get("/desk")).status == 200
    chat.admins.clear()
    clock.move(minutes=6)
    assert (await visitor.get("/desk")).status == 401


async def test_forged_links_are_refused_and_guessing_is_slowed_down(visitor: Visitor) -> None:
    for key in ("", "x", "../..", "A" * 43):
        assert (await visitor.get(f"/desk/enter?key={key}")).status == 403
        assert (await enter_with(visitor, key)).status == 403
    tried = [await enter_with(visitor, "B" * 43) for _ in range(10)]
    assert "Too many tries" in tried[-1].html


async def enter_with(visitor: Visitor, key: str) -> Reply:
    return await visitor.post("/desk/enter", {"key": key})


async def test_whoever_signs_out_is_out_and_a_foreign_form_does_nothing(visitor: Visitor) -> None:
    page = await enter(visitor, await link_of(visitor))
    token = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.html)
    assert token
    assert (await visitor.post("/desk/leave", {"csrf": "f" * 64})).status == 403
    foreign = {"Origin": "http://elsewhere.example"}
    assert (await visitor.post("/desk/leave", {"csrf": token[1]}, foreign)).status == 403
    assert (await visitor.get("/desk")).status == 200
    assert "signed out" in (await visitor.post("/desk/leave", {"csrf": token[1]})).html
    assert (await visitor.get("/desk")).status == 401
