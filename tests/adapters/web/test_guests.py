"""The pages at a public address: who comes in, as whom, and until when."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.errors import InvalidRequest
from bot.job import JobState
from bot.request import Requester
from bot.simulator import Simulator
from bot.store import schema
from tests.adapters.web.visitor import Reply, Visitor, browsing, pages_in
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.rendered import png

ADDRESS = "https://ray.example"


@pytest.fixture
async def bot(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[RunningBot]:
    config = to_test_config(tmp_path, simulator, bot={"public_url": ADDRESS})
    pages, chat = pages_in(tmp_path, clock), RecordingAdapter()
    async with running(config, simulator, chat, clock, web=pages) as found:
        yield found


@dataclass
class Guest(Visitor):
    """A browser behind the proxy, which speaks TLS with it; so it keeps its own cookie."""

    cookie: str = ""

    async def get(self, path: str, **headers: str) -> Reply:
        return await super().get(path, **{"Cookie": self.cookie, **headers})

    async def post(
        self, path: str, content: bytes | dict[str, str], headers: dict[str, str] | None = None
    ) -> Reply:
        own = {"Cookie": self.cookie, "Origin": ADDRESS}
        return await super().post(path, content, {**own, **(headers or {})})

    async def enter(self, link: str) -> Reply:
        reply = await super().enter(link)
        self.cookie = reply.headers.get("Set-Cookie", "").partition(";")[0]
        return reply


@asynccontextmanager
async def guest(bot: RunningBot, name: str = "", *, link: str = "") -> AsyncIterator[Guest]:
    """Somebody who was let into the playground, or to whatever a link opens."""
    async with browsing(bot) as found:
        visitor = Guest(bot, found.session, found.address, is_led=False)
        if name:
            entry = bot.studio.entry
            link = (await entry.invite_here("root", name=name, has_desk=False)).link
        if link:
            assert link.startswith(ADDRESS)
            assert (await visitor.enter(link)).status == 303
        if name:
            await visitor.open()
        yield visitor


async def test_nobody_comes_in_without_a_link(bot: RunningBot) -> None:
    async with guest(bot) as visitor:
        for method, path in bot.app._adapters["web"].routes:
            if path.startswith("/web/static/") or path == "/desk/enter":
                continue
            answer = await (visitor.get(path) if method == "GET" else visitor.post(path, {}))
            assert answer.status == 401, path
            assert "ask for a link" in answer.html, path
        assert (await visitor.get("/web/static/page.css")).status == 200
        assert (await visitor.get("/desk/enter")).status == 403


async def test_the_cookie_is_of_this_site_alone(bot: RunningBot) -> None:
    link = (await bot.studio.entry.invite_here("root")).link
    async with guest(bot) as visitor:
        cookie = (await visitor.enter(link)).headers["Set-Cookie"]
    assert cookie.startswith("__Host-raybot_desk=")
    assert {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_everybody_uses_the_playground_as_themselves(bot: RunningBot) -> None:
    async with guest(bot, "Ana") as ana, guest(bot, "Ben") as ben:
        async with ben.listening(ben.seen, Cookie=ben.cookie) as news:
            job = (await ana.say("a red fox in snow")).job
            hidden = (await ana.say("a secret fox --private")).job
            own = (await ben.say("a grey owl")).job
            assert own in (await news.next()).html
        asked = (await bot.job(job)).request.requester
        assert (asked.person, asked.display_name) == ("web:local:Ana", "Ana")
        await bot.finish(job)
        assert job in (await ana.get("/web/chat")).html
        assert job not in (await ben.get("/web/chat")).html
        thread = (await ben.get(f"/web/thread?job={job}")).html
        assert "<b>Ana</b>" in thread
        assert "<b>You</b>" in (await ana.get(f"/web/thread?job={job}")).html
        assert (await ben.get(f"/web/thread?job={hidden}")).status == 404
        for act in ("cancel", "delete"):
            refused = await ben.press(act, job)
            assert "somebody else&#39;s" in refused.html, act
        assert (await bot.job(job)).state is JobState.DELIVERED
        assert "a red fox" in (await ana.get("/web/usage")).html
        assert "a red fox" not in (await ben.get("/web/usage")).html
        image = await ana.bring(png())
        await ana.say("", image=image)
        assert image not in (await ben.get("/web/chat")).html
        await ben.post("/web/image/remove", {"image": image})
        assert image in (await ana.get("/web/chat")).html
        async with ana.listening(ana.seen, Cookie=ana.cookie) as news:
            await ana.say(f"mail {job}")
            await news.until('id="said-')
        assert 'id="said-' not in (await ben.get("/web/chat")).html
        await ben.say("forget me yes")
        assert 'id="said-' in (await ana.get("/web/chat")).html
        assert (await ana.get(f"/web/image?id={image}")).status == 200
        # Who is forgotten is let out, too.
        assert (await ben.get("/web/chat")).status == 401


async def test_the_operator_comes_to_both_and_who_runs_one_place_to_the_desk(
    bot: RunningBot, clock: MovableClock
) -> None:
    entry = bot.studio.entry
    link = (await entry.invite_here("root")).link
    async with guest(bot, link=link) as operator:
        page = await operator.open()
        assert '<a href="/desk">' in page.html
        assert (await operator.get("/desk")).status == 200
        job = (await operator.say("a red fox")).job
        assert (await bot.job(job)).request.requester.person == "web:local:operator-root"
    admin = Requester(adapter="recording", workspace="T1", user="Eve", display_name="Eve")
    bot.chat.admins.add("Eve")
    async with guest(bot, link=await link_of(bot, admin)) as eve:
        assert (await eve.get("/desk")).status == 200
        refused = await eve.get("/web/chat")
        assert refused.status == 403
        assert "the playground is not" in refused.html
        assert (await eve.post("/web/say", {"text": "a fox"})).status == 403
        await bot.studio.admin.close(admin.tenant, actor=OPERATOR)
        clock.move(minutes=5)
        assert (await eve.get("/desk")).status == 401


async def test_an_operator_who_is_forgotten_in_the_playground_is_signed_out(
    bot: RunningBot,
) -> None:
    link = (await bot.studio.entry.invite_here("root")).link
    async with guest(bot, link=link) as operator:
        await operator.open()
        await operator.say("a red fox")
        await operator.say("forget me")
        assert (await operator.get("/desk")).status == 200
        await operator.say("forget me yes")
        assert (await operator.get("/desk")).status == 401


async def test_who_only_brought_images_is_forgotten_with_them(
    bot: RunningBot, tmp_path: Path
) -> None:
    async with guest(bot, "Ana") as ana, guest(bot, "Ben") as ben:
        images = [await each.bring(png()) for each in (ana, ana, ben)]
        await ana.say("", image=images[0])
        asked = (await ana.say("forget me")).html
        assert "This goes: 2 images kept for the page." in asked
        async with ana.listening(ana.seen, Cookie=ana.cookie) as news:
            told = (await ana.say("forget me yes")).html
            assert "Everything of yours is being removed" in told
            assert (await news.until('hx-swap-oob="delete"'))[-1].html.count(images[0]) == 1
        assert [each.name for each in (tmp_path / "web").iterdir()] == images[2:]
        assert (await ana.get("/web/chat")).status == 401
    async with guest(bot, "Ana") as ana:
        assert images[0] not in (await ana.open()).html
        assert "Nothing of yours is kept here" in (await ana.say("forget me yes")).html


async def test_whoever_is_forgotten_by_others_leaves_nothing_on_the_page(
    bot: RunningBot, tmp_path: Path
) -> None:
    link = (await bot.studio.entry.invite_here("root")).link
    async with guest(bot, "Ana") as ana, guest(bot, link=link) as operator:
        await operator.open()
        job = (await operator.say("a red fox in snow")).job
        await bot.finish(job)
        await bot.delivered(job)
        image = await ana.bring(png())
        await ana.say("", image=image)
        async with ana.listening(ana.seen, Cookie=ana.cookie) as news:
            await ana.say(f"mail {job}")
            await news.until('id="said-')
            asked = (await operator.say("admin forget Ana")).html
            assert "1 image kept for the page, 1 message on the page" in asked
            await operator.say("admin forget Ana yes")
            gone = await news.until('<article id="said-')
            assert [each.html.count('hx-swap-oob="delete"') for each in gone[-2:]] == [1, 1]
            assert f"image-{image}" in gone[-2].html
        assert list((tmp_path / "web").iterdir()) == []
        assert job in (await operator.get("/web/chat")).html
        assert "Nothing of Ana is kept here" in (await operator.say("admin forget Ana yes")).html


async def test_a_guest_with_the_operators_name_is_not_the_operator(bot: RunningBot) -> None:
    entry = bot.studio.entry
    async with (
        guest(bot, link=(await entry.invite_here("Ben")).link) as operator,
        guest(bot, "Ben") as ben,
    ):
        await operator.open()
        job = (await operator.say("a secret fox --private")).job
        assert (await ben.get(f"/web/thread?job={job}")).status == 404
        assert "a secret fox" not in (await ben.get("/web/usage")).html
    for name in ("operator-Ben", "Discord-17", "slack-U1"):
        with pytest.raises(InvalidRequest, match="No guest's name begins with"):
            await entry.invite_here("root", name=name, has_desk=False)


async def link_of(bot: RunningBot, admin: Requester) -> str:
    await bot.studio.admin.approve(admin.tenant, actor=OPERATOR)
    return (await bot.studio.entry.invite(admin)).link


OPERATOR = Requester(adapter="operator", workspace="local", user="root", display_name="root")


async def test_whoever_enters_again_leaves_first(bot: RunningBot) -> None:
    async with guest(bot, "Ana") as ana:
        before = ana.cookie
        again = await bot.studio.entry.invite_here("root", name="Ben", has_desk=False)
        await ana.enter(again.link)
        assert "Ben" in (await ana.get("/web/chat")).html
        assert (await ana.get("/web/chat", Cookie=before)).status == 401


async def test_a_guest_has_no_desk_and_can_leave(bot: RunningBot) -> None:
    async with guest(bot, "Ana") as ana:
        refused = await ana.get("/desk")
        assert (refused.status, "let into the playground" in refused.html) == (403, True)
        token = re.search(r'name="csrf" value="([0-9a-f]{64})"', (await ana.open()).html)
        assert token
        foreign = {"Origin": "https://elsewhere.example"}
        assert (await ana.post("/desk/leave", {"csrf": token[1]}, foreign)).status == 403
        left = await ana.post("/desk/leave", {"csrf": token[1]})
        assert "signed out" in left.html
        assert "Max-Age=0" in left.headers["Set-Cookie"]
        assert (await ana.get("/web/chat")).status == 401


async def test_a_stream_ends_with_the_session_and_not_before(
    bot: RunningBot, clock: MovableClock
) -> None:
    async with guest(bot, "Ana") as ana, ana.listening(ana.seen, Cookie=ana.cookie) as news:
        for _ in range(2):
            clock.move(hours=5, minutes=59)
            job = (await ana.say("a red fox")).job
            assert await news.until(job)
        clock.move(minutes=2)
        told = [await news.line() for _ in range(3)]
        while told[-1]:
            told.append(await news.line())
        assert told[-4:] == ["event: signed-out\n", "data: \n", "\n", ""]
        assert (await ana.say("a red fox")).status == 401


async def test_a_stream_ends_within_seconds_of_leaving(
    bot: RunningBot, clock: MovableClock
) -> None:
    async with guest(bot, "Ana") as ana, ana.listening(ana.seen, Cookie=ana.cookie) as news:
        image = await ana.bring(png())
        await ana.say("", image=image)
        await news.until(image)  # So it was asked by now whether they are in.
        await ana.post("/desk/leave", {"csrf": ana.token})
        clock.move(seconds=15)
        assert await news.line() == ": still here\n"
        while "signed-out" not in await news.line():
            pass


async def test_the_audit_log_says_where_each_was_let_in(bot: RunningBot) -> None:
    link = (await bot.studio.entry.invite_here("root")).link
    async with guest(bot, "Ana"), guest(bot, link=link):
        pass
    log = schema.audit_log.c
    rows = await bot.app.database.read(
        lambda conn: conn.execute(select(log.act, log.target, log.detail)).all()
    )
    assert {tuple(each) for each in rows} == {
        ("desk_link", "web:local:Ana", "playground"),
        ("desk_entered", "web:local:Ana", "playground"),
        ("desk_link", "operator:local:root", "every place"),
        ("desk_entered", "operator:local:root", "every place"),
    }
