"""Who comes in at the desk, by which link, and for how long."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.web.desk.router import ALL_TRIES, TRIES, error_page
from adapters.web.listener import SORRY
from bot.errors import BotError, CommitUnknown, DeliveryUnavailable
from bot.ports import WebCall
from bot.request import Requester
from bot.simulator import Simulator
from tests.adapters.web.visitor import Reply, Visitor, browsing, visiting
from tests.fakes import MovableClock

#: Something of another site that a page would load, or lead to.
FOREIGN = re.compile(r"""(?:src|href|action|srcset)\s*=\s*["']?(?:https?:)?//""")
ADMIN = Requester(adapter="recording", workspace="local", user="ana", display_name="Ana")


@pytest.fixture
async def visitor(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Visitor]:
    async with visiting(tmp_path, simulator, clock) as found:
        yield found


async def link_of(visitor: Visitor) -> str:
    """The path of a link to the desk of Ana's place."""
    visitor.bot.chat.admins.add(ADMIN.user)
    invitation = await visitor.bot.app.studio.entry.invite(ADMIN)
    assert invitation.link.startswith(visitor.address)
    return invitation.link.removeprefix(visitor.address)


async def test_a_link_is_looked_at_without_being_spent_and_lets_in_once(visitor: Visitor) -> None:
    assert (await visitor.get("/desk")).status == 401
    link = await link_of(visitor)
    for _ in range(3):
        shown = await visitor.get(link)
        assert shown.status == 200
        assert "Sign in" in shown.html
        assert shown.headers["Referrer-Policy"] == "no-referrer"
    page = await visitor.enter(link)
    assert page.status == 200
    assert "recording:local" in page.html
    assert (await visitor.get("/desk")).status == 200
    assert (await visitor.get(link)).status == 403
    visitor.session.cookie_jar.clear()
    assert (await visitor.enter(link)).status == 403
    assert (await visitor.get("/desk")).status == 401


async def test_links_die_in_ten_minutes_and_sessions_in_twelve_hours(
    visitor: Visitor, clock: MovableClock
) -> None:
    late, link = await link_of(visitor), await link_of(visitor)
    await visitor.enter(link)
    clock.move(minutes=10)
    assert "older than ten minutes" in (await visitor.enter(late)).html
    assert (await visitor.get("/desk")).status == 200
    clock.move(hours=12)
    assert (await visitor.get("/desk")).status == 401


async def test_who_lost_the_right_is_out_within_five_minutes(
    visitor: Visitor, clock: MovableClock
) -> None:
    await visitor.enter(await link_of(visitor))
    chat = visitor.bot.chat
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
    # To look at a link is a try, too.
    tried = [await visitor.get(f"/desk/enter?key={'B' * 43}") for _ in range(TRIES - 8 + 1)]
    assert ["Too many tries" in each.html for each in tried] == [False, False, True]
    assert "Too many tries" in (await enter_with(visitor, "B" * 43)).html


async def enter_with(visitor: Visitor, key: str) -> Reply:
    return await visitor.post("/desk/enter", {"key": key})


async def test_a_flood_of_wrong_links_keeps_nobody_out_who_has_a_right_one(
    visitor: Visitor,
) -> None:
    link = await link_of(visitor)
    tried = [await enter_with(visitor, "B" * 43) for _ in range(ALL_TRIES + 1)]
    assert [each.status for each in tried] == [403] * len(tried)
    assert "Too many tries" in tried[TRIES].html
    assert (await visitor.enter(link)).status == 200


async def test_of_two_browsers_with_one_link_one_gets_in(visitor: Visitor) -> None:
    link = await link_of(visitor)
    async with browsing(visitor.bot) as other:
        tried = await asyncio.gather(*(each.enter(link) for each in (visitor, other)))
        inside = [(await each.get("/desk")).status for each in (visitor, other)]
    assert sorted(each.status for each in tried) == [200, 403]
    assert sorted(inside) == [200, 401]


PROTECTED = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


async def test_every_answer_is_protected_and_nothing_on_the_pages_is_foreign(
    visitor: Visitor,
) -> None:
    link = await link_of(visitor)
    routes = [*visitor.bot.app._adapters["web"].routes, ("GET", link)]
    statuses: Counter[int] = Counter()

    async def walk(**headers: str) -> None:
        for method, path in routes:
            if path.endswith("/events") and "Host" not in headers:  # They have no end.
                continue
            if method == "GET":
                answer = await visitor.get(path, **headers)
            else:
                answer = await visitor.post(path, {}, headers)
            statuses[answer.status] += 1
            error_page = {name: answer.headers.get(name) for name in PROTECTED}
            assert error_page == PROTECTED, (method, path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy
            assert "*" not in policy
            kept = answer.headers.get("Cache-Control", "")
            assert "static" in path or "public" not in kept, path
            if "text/html" in answer.headers["Content-Type"]:
                assert not FOREIGN.findall(answer.html), path

    await walk()
    await walk(Host="evil.example")
    await visitor.enter(link)
    await walk()
    await walk(Origin="https://evil.example")
    for path in ("/desk/nothing", "/web/nothing"):
        missing = await visitor.get(path)
        assert missing.status == 404
        assert missing.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in missing.headers["Content-Security-Policy"]
    assert {200, 400, 401, 403, 404} <= set(statuses)


async def test_a_wrong_address_leads_back_whoever_is_in_and_tells_others_nothing(
    visitor: Visitor,
) -> None:
    wrong = ("/desk/", "/desk/queue/", "/desk/nothing", "/desk/nothing/", "/desk/a/b?x=1")
    shut = [await visitor.get(path) for path in (*wrong, "/desk")]
    assert {(each.status, each.body) for each in shut} == {(401, shut[-1].body)}
    await visitor.enter(await link_of(visitor))
    for path, heading in (("/desk/", "Money"), ("/desk/queue/", "Queue")):
        page = await visitor.get(path)
        assert page.status == 200
        assert f"<h1>{heading}</h1>" in page.html
    for path in wrong[2:]:
        page = await visitor.get(path)
        assert page.status == 404
        assert "The desk has no such page." in page.html
        assert 'aria-label="Pages"' in page.html


async def test_whoever_signs_out_is_out_and_a_foreign_form_does_nothing(visitor: Visitor) -> None:
    page = await visitor.enter(await link_of(visitor))
    token = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.html)
    assert token
    assert (await visitor.post("/desk/leave", {"csrf": "f" * 64})).status == 403
    foreign = {"Origin": "http://elsewhere.example"}
    assert (await visitor.post("/desk/leave", {"csrf": token[1]}, foreign)).status == 403
    assert (await visitor.get("/desk")).status == 200
    assert "signed out" in (await visitor.post("/desk/leave", {"csrf": token[1]})).html
    assert (await visitor.get("/desk")).status == 401


@pytest.mark.parametrize(
    ("error", "why"),
    [(BotError(SORRY), "its log says which"), (CommitUnknown(), "before it said whether")],
    ids=["mistake", "database"],
)
def test_what_may_have_been_done_is_told_in_words_of_the_desk(error: BotError, why: str) -> None:
    for method, words in (("GET", "Load the page again"), ("POST", "may have been done")):
        call = WebCall(method=method, path="/desk/acts/grant", query={}, headers={}, body=b"")
        answer = error_page(call, error)
        page = answer.body.decode()
        assert answer.status == 500
        assert words in page
        assert why in page
        assert "charged" not in page
