"""What is said beside jobs, and what those who run the place type and press."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.login import whoami
from adapters.web.asides import MOST_KEPT
from adapters.web.delivery import Delivery
from bot.job import JobState
from bot.notices import Letter, Operator
from bot.refs import JobId
from bot.simulator import Simulator
from tests.adapters.web.visitor import Visitor, visiting
from tests.fakes import MovableClock
from tests.notices import to_about
from tests.postgres import postgres_database
from tests.rendered import png


@pytest.fixture
async def visitor(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Visitor]:
    async with visiting(tmp_path, simulator, clock) as opened:
        yield opened


async def _make(visitor: Visitor, prompt: str, state: JobState = JobState.DELIVERED) -> JobId:
    job = (await visitor.say(prompt)).job
    made = await visitor.bot.until(job, JobState.GENERATING)
    assert made.generation_id
    await visitor.bot.simulator.finish(made.generation_id)
    await visitor.bot.until(job, state)
    return job


def _aside(html: str, title: str) -> str:
    """The one message beside jobs that has this title."""
    found = [each for each in html.split("<article ")[1:] if f"<b>{title}</b>" in each]
    assert len(found) == 1, (title, len(found))
    assert found[0].startswith('id="said-')
    return found[0]


async def test_what_was_reported_is_decided_by_a_button(visitor: Visitor) -> None:
    fox = await _make(visitor, "a red fox in snow")
    assert "your own clip" in (await visitor.say(f"star {fox}")).html
    form = await visitor.get(f"/web/ask?job={fox}&act=report", **{"HX-Request": "true"})
    assert "What is wrong with it?" in form.html
    assert "required" not in form.html
    async with visitor.listening(visitor.seen) as news:
        said = await visitor.press("report", fox, words="too <b>scary</b>")
        assert "Thank you" in said.html
        told = (await news.until("A clip was reported"))[-1].html
        assert "Reason: too &lt;b&gt;scary&lt;/b&gt;" in told
        for label in ("Keep", "Remove", "Block"):
            assert f">{label}</button>" in told
        assert "The clip stays." in (await visitor.press("keep", fox)).html
        decided = (await news.until("Decided by"))[-1].html
    assert "Remove" not in decided
    page = await visitor.get("/web/chat")
    assert "The clip stays." in _aside(page.html, "A clip was reported")
    assert "decided already" in (await visitor.press("remove", fox)).html
    # A page of an earlier process is told of it, too.
    async with visitor.listening("0123abcd.7") as news:
        await news.until("A clip was reported")


async def test_a_clip_is_reviewed_and_what_is_said_outlives_a_restart(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    async with visiting(tmp_path, simulator, clock) as visitor:
        assert "before_post" in (await visitor.say("admin rule review before_post")).html
        async with visitor.listening(visitor.seen) as news:
            wolf = await _make(visitor, "a grey wolf", JobState.REVIEWING)
            await news.until(">Reject</button>")
            hare = await _make(visitor, "a brown hare", JobState.REVIEWING)
            await news.until(">Reject</button>")
        assert "comes here" in (await visitor.say("admin digest on")).html
    clock.move(days=7)
    async with visiting(tmp_path, simulator, clock) as visitor:
        async with visitor.listening("") as news:
            await news.until("The week with Raybot")
            # Nobody looked for a week: the operator, who sits here, hears of it, too.
            while "raybot review" not in await visitor.bot.app.studio.recall("web", "asides"):
                await clock.let_pass(seconds=11, moment=0.01)
        page = (await visitor.get("/web/chat")).html
        assert page.count("<b>A clip waits for a moderator</b>") == 2
        assert page.count("<b>The week with Raybot") == 1
        assert "<b>For the operator</b>" in page
        # Its kept file went with the days of images; what is to be decided stays.
        async with visitor.listening(visitor.seen) as news:
            assert "Approved" in (await visitor.press("post", hare)).html
            await visitor.bot.delivered(hare)
            await news.until("Approved, so it is posted.")
            assert "Rejected" in (await visitor.press("reject", wolf, words="too dark")).html
            await news.until("Rejected, so it is not posted.")
        assert "too dark" in (await visitor.get(f"/web/thread?job={wolf}")).html
        assert f"of {wolf}" not in (await visitor.say("admin audit")).html
        assert "review" in (await visitor.say("admin audit")).html


async def test_a_copy_of_a_clip_is_shown_and_goes_with_what_is_forgotten(
    visitor: Visitor, tmp_path: Path
) -> None:
    fox = await _make(visitor, "a red fox in snow")
    assert "Here is your copy." in (await visitor.say(f"mail {fox}")).html
    assert f"show {fox}" in (await visitor.say(f"mail {fox}")).html
    page = (await visitor.get("/web/chat")).html
    copy = re.search(r'src="(/web/image\?id=[0-9a-f]{32})"', page)
    assert copy
    file = await visitor.get(copy[1])
    assert file.headers["Content-Type"] == "video/mp4"
    assert "sandbox" in file.headers["Content-Security-Policy"]
    async with visitor.listening(visitor.seen) as news:
        await visitor.press("delete", fox)
        await news.until('data-mark="gone"')
    assert (await visitor.get(copy[1])).status == 404
    page = (await visitor.get("/web/chat")).html
    assert 'id="said-' not in page
    await visitor.press("report", await _make(visitor, "a grey owl"))
    async with visitor.listening("") as news:
        await news.until("A clip was reported")
    assert "is being removed" in (await visitor.say("forget me yes")).html
    assert list((tmp_path / "web").iterdir()) == []


async def test_what_is_to_be_decided_outlasts_all_that_is_only_told(
    visitor: Visitor, tmp_path: Path
) -> None:
    await visitor.say("admin rule review before_post")
    wolf = await _make(visitor, "a grey wolf", JobState.REVIEWING)
    async with visitor.listening("") as news:
        await news.until(">Reject</button>")
    clip, folder = tmp_path / "clip.mp4", tmp_path / "web"
    clip.write_bytes(b"a clip")
    pages, me = visitor.bot.app._adapters["web"], whoami("web")
    assert isinstance(pages, Delivery)
    letter = Letter(about=to_about(me), path=str(clip), filename="clip.mp4", bytes=6)
    copy = (await pages._asides.put("letter", letter, whom=me.user)).clip
    news_of_many = [Operator(code=f"{at}", sentence="Something.") for at in range(MOST_KEPT)]
    for each in news_of_many:
        await pages._asides.put(f"all {each.code}", each, whom="")
    # Each reader has their own.
    assert len(await pages._asides.shown(me.user)) == MOST_KEPT + 2
    for each in news_of_many:
        told = replace(letter, filename=f"{each.code}.mp4")
        await pages._asides.put(f"own {each.code}", told, whom=me.user)
    page = (await visitor.get("/web/chat")).html
    assert "Reject" in _aside(page, "A clip waits for a moderator")
    assert len(await pages._asides.shown(me.user)) == 2 * MOST_KEPT + 1
    assert not (folder / copy).exists()
    assert len([*folder.iterdir()]) == MOST_KEPT + 1
    assert "Rejected" in (await visitor.press("reject", wolf)).html


async def test_words_of_those_who_run_it_are_obeyed(visitor: Visitor) -> None:
    for text, told in (
        ("help", "admin lists them"),
        ("admin", "Type admin with one of"),
        ("admin limits", "imits"),
        ("admin pause tea", "Paused"),
        ("a fox", "tea"),
        ("admin resume", "again"),
        ("admin words add word turnip", "turnip"),
        ("admin usage week", "Nobody asked"),
        ("admin queue", "Nothing waits"),
        ("admin desk", "A link that opens it comes from raybot desk-link on the machine"),
        ("admin desk", f"It is at {visitor.address}/desk."),
        ("admin limit clips_per_person_per_day 3", "clips_per_person_per_day"),
        ("exit", "for the terminal"),
    ):
        answer = await visitor.say(text)
        assert told in answer.html, (text, answer.html)
        assert answer.ids == []


async def test_a_page_hears_what_another_process_changed(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    with postgres_database() as url:
        one = visiting(tmp_path, simulator, clock, database_url=url)
        other = visiting(tmp_path, simulator, clock, database_url=url)
        async with one as here, other as there, there.listening(there.seen) as news:
            job = (await here.say("a red fox in snow")).job
            assert job in (await news.until("Generating"))[-1].html
            image = await here.bring(png())
            await here.say("", image=image)
            await news.until(f'id="image-{image}"')
            await simulator.finish(next(iter(simulator.generations)))
            await news.until("Your clip is ready")
            await there.press("report", job, words="too dark")
            await news.until("Reason: too dark")
            await here.press("keep", job)
            await news.until("The clip stays.")


async def test_who_is_only_let_in_decides_nothing_and_sees_nothing_of_moderators(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    at = "https://ray.example"
    async with visiting(tmp_path, simulator, clock, public_url=at) as guest:
        fox = await _make(guest, "a red fox in snow")
        assert "Thank you" in (await guest.press("report", fox, words="too dark")).html
        while "was reported" not in await guest.bot.app.studio.recall("web", "asides"):
            await asyncio.sleep(0.01)
        assert "Here is your copy." in (await guest.say(f"mail {fox}")).html
        async with guest.listening(guest.seen) as news:
            told = await news.until("A clip by")
        every = [each.html for each in told] + [(await guest.get("/web/chat")).html]
        assert not [each for each in every if "was reported" in each or "too dark" in each]
        for text in ("admin limits", f"keep {fox}", f"remove {fox}", f"reject {fox}"):
            assert "up to those who run this place" in (await guest.say(text)).html
        assert "up to those who run this place" in (await guest.press("block", fox)).html


async def test_a_message_that_cannot_be_read_is_passed_over(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    async with visiting(tmp_path, simulator, clock) as visitor:
        await visitor.press("report", await _make(visitor, "a red fox in snow"))
        async with visitor.listening("") as news:
            await news.until("A clip was reported")
        studio = visitor.bot.app.studio
        kept = json.loads(await studio.recall("web", "asides"))
        broken = [{"key": "of another release"}, *kept, None]
        await studio.remember("web", "asides", json.dumps(broken))
    # With the start, all of them are swept.
    async with visiting(tmp_path, simulator, clock) as visitor:
        page = (await visitor.get("/web/chat")).html
        _aside(page, "A clip was reported")
        await visitor.bot.app.studio.remember("web", "asides", "{")
        assert (await visitor.get("/web/chat")).status == 200
