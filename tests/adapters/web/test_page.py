"""The page over real HTTP: what is said and comes back, who is sent away, a stream that is cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy import text as sql

from adapters.login import whoami
from adapters.web.parse import IMAGE_BYTES
from bot.config import to_config
from bot.errors import ConfigError
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Simulator
from bot.store.jobs import IS_WHOLE
from bot.store.schema import jobs
from bot.wiring.supply import load_adapter, switched_on
from tests.adapters.web.visitor import Visitor, visiting
from tests.fakes import MovableClock
from tests.rendered import png

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \"'&amp; {{7*7}} \u202egnp"


@pytest.fixture
async def visitor(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Visitor]:
    async with visiting(tmp_path, simulator, clock) as opened:
        yield opened


async def _finish(visitor: Visitor, job: JobId) -> None:
    """Let the video service end it, and wait until the page can show it."""
    made = visitor.bot.simulator
    generation = (await visitor.bot.until(job, JobState.GENERATING)).generation_id
    assert generation
    await made.finish(generation)
    await visitor.bot.delivered(job)


# ---- a conversation ----------------------------------------------------------------------------


async def test_a_prompt_becomes_a_clip_with_its_buttons_and_outlives_the_page(
    visitor: Visitor,
) -> None:
    async with visitor.listening(visitor.seen) as news:
        said = await visitor.say("a red fox in snow --ar 9:16")
        assert said.headers["HX-Trigger"] == "sent"
        job = said.job
        await news.until("Generating")
        await _finish(visitor, job)
        card = (await news.until("Your clip is ready"))[-1].html
    for label in ("Extend", "Variation", "Remix", "Loop", "Delete", "More…"):
        assert label in card
    page = await visitor.get("/web/chat")
    assert "Your clip is ready" in page.html
    link = re.search(r'<video[^>]* src="([^"]+)"', page.html)
    assert link
    path = link[1].replace("&amp;", "&")
    part = await visitor.get(path, Range="bytes=0-99")
    assert (part.status, len(part.body)) == (206, 100)
    assert part.headers["Content-Type"] == "video/mp4"
    whole = await visitor.get(path.replace("sig=", "sig=x"))
    assert whole.status == 404
    poster = await visitor.get(f"/web/poster?job={job}")
    assert poster.body.startswith(b"\xff\xd8\xff")
    usage = await visitor.get("/web/usage")
    assert "Your usage" in usage.html
    assert job in usage.html


async def test_the_bare_address_leads_to_the_page(visitor: Visitor) -> None:
    page = await visitor.get("/")
    assert page.status == 200
    assert page.html.count("<h1>") == 1
    assert "playground</h1>" in page.html
    assert (await visitor.get("/", **{"X-Forwarded-For": "203.0.113.9"})).status == 403


async def test_a_wrong_address_leads_back(visitor: Visitor) -> None:
    job = (await visitor.say("a red fox in snow")).job
    for path, title in (
        ("/web", "Playground"),
        ("/web/", "Playground"),
        ("/web/chat/", "Playground"),
        ("/web/usage/", "Usage"),
        (f"/web/thread/?job={job}", "Thread"),
    ):
        page = await visitor.get(path)
        assert (page.status, f"<title>{title} " in page.html) == (200, True), path
    for path in ("/web/nothing", "/web/nothing/", "/web/*", "/web/*/", "/web/say", "/web/a/b?x=1"):
        page = await visitor.get(path)
        assert page.status == 404
        assert "The playground has no such page." in page.html
        assert '<a href="/web/chat">' in page.html


async def test_buttons_do_what_is_written_on_them(visitor: Visitor) -> None:
    job = (await visitor.say("a red fox in snow")).job
    await _finish(visitor, job)
    again = await visitor.press("variation", job)
    assert again.headers["HX-Trigger-After-Settle"] == "pressed"
    other = again.job
    assert (await visitor.bot.job(other)).parent == job
    form = await visitor.get(f"/web/ask?job={job}&act=remix", **{"HX-Request": "true"})
    assert ">a red fox in snow</textarea>" in form.html
    changed = (await visitor.press("remix", job, words="a grey fox --loop")).job
    assert (await visitor.bot.job(changed)).work.prompt == "a grey fox"
    extended = (await visitor.press("extend", job)).job
    thread = await visitor.get(f"/web/thread?job={extended}")
    for each in (job, other, changed, extended):
        assert f'<article id="{each}"' in thread.html
    hidden = (await visitor.say("a secret fox --private")).job
    await _finish(visitor, hidden)
    for act in ("variation", "retry"):
        made = (await visitor.press(act, hidden)).job
        assert (await visitor.bot.job(made)).request.is_private
    gone = await visitor.press("delete", job)
    assert "Deleted" in gone.html
    assert "<video" not in gone.html
    for act in ("approve", "a fox", "help", "settings"):
        refused = await visitor.press(act, job)
        assert "There is no such button" in refused.html
        assert "HX-Trigger-After-Settle" not in refused.headers


async def test_a_job_is_cancelled_and_retried_and_words_are_obeyed(visitor: Visitor) -> None:
    job = (await visitor.say("/ray a red fox in snow")).job
    ended = await visitor.press("cancel", job)
    assert ended.job == job
    assert "Cancelled" in ended.html
    assert "Cancelled" in (await visitor.get(f"/web/thread?job={job}")).html
    assert (await visitor.press("retry", job)).job != job
    for text, told in (
        ("help", "Camera moves"),
        ("usage", "Your usage"),
        ("jobs", job),
        ("settings ar=9:16", "9:16"),
        ("a fox --seed 4", "seed"),
        ("a fox --12s", "The nearest is 9s; all: 5s, 9s."),
        ("show r-0000000000", "There is no job"),
        ("forget me", "forget"),
    ):
        answer = await visitor.say(text)
        assert told in answer.html, text
        assert answer.status == 200
    shown = await visitor.say(f"show {job}")
    assert shown.headers["HX-Redirect"] == f"/web/thread?job={job}"


async def test_what_is_sent_twice_is_made_once(visitor: Visitor) -> None:
    nonce = "one-message-only-once"
    first, again = [await visitor.say("a red fox in snow", nonce=nonce) for _ in range(2)]
    assert first.job == again.job
    nonce = "one-grant-only-once"
    first, again = [await visitor.say("admin grant ben 5", nonce=nonce) for _ in range(2)]
    assert "ben can spend $5.00 more" in first.html
    assert "granted already" in again.html
    audit = (await visitor.say("admin audit")).html
    assert audit.count("grant") == 1


@pytest.mark.parametrize(
    ("said", "is_taken"),
    [("a red fox in snow", False), ("story\na red fox in snow\nit curls up", True)],
)
async def test_what_broke_while_it_was_taken_is_sent_again_and_paid_once(
    visitor: Visitor, said: str, is_taken: bool
) -> None:
    """A film is written down before its money is held, a plain request in the same moment."""
    nonce, database = "taken-before-it-broke", visitor.bot.app.database

    async def rename(old: str, new: str) -> None:
        statement = sql(f"ALTER TABLE {old} RENAME TO {new}")
        await database.write(lambda tx: tx.conn.execute(statement))

    async def taken() -> list[str]:
        query = select(jobs.c.id).where(IS_WHOLE)
        return list(await database.read(lambda conn: conn.execute(query).scalars().all()))

    await rename("ledger_entries", "lost")
    broke = await visitor.say(said, nonce=nonce)
    await rename("lost", "ledger_entries")
    assert "Send the same once more" in broke.html
    assert "charged" not in broke.html
    assert broke.headers["X-Doubtful"] == "yes"
    before = await taken()
    assert len(before) == is_taken
    again = await visitor.say(said, nonce=nonce)
    assert "X-Doubtful" not in again.headers
    [job] = await taken()
    assert again.job == job
    assert before in ([], [job])


async def test_a_price_is_confirmed_and_a_limit_is_told(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    async with visiting(
        tmp_path, simulator, clock, confirm_above_usd=0.1, usd_per_person_per_day=0.2
    ) as visitor:
        asked = await visitor.say("a red fox in snow")
        assert "Make it?" in asked.html
        assert re.search(r'Nothing is charged unless.*<time datetime="', asked.html)
        assert simulator.generations == {}
        sure = await visitor.press("confirm", asked.job)
        assert sure.job == asked.job
        await visitor.bot.until(asked.job, JobState.GENERATING)
        second = await visitor.say("a grey owl")
        refused = await visitor.press("confirm", second.job) if second.ids else second
        assert "A limit is reached" in refused.html
        assert re.search(r'resets <time datetime="', refused.html)


async def test_all_is_there_after_a_restart(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    async with visiting(tmp_path, simulator, clock) as visitor:
        image = await visitor.bring(png())
        await visitor.say("", image=image)
        job = (await visitor.say("a red fox in snow")).job
        await visitor.bot.until(job, JobState.GENERATING)
        token = visitor.token
        cookies = {each.key: each.value for each in visitor.session.cookie_jar}
    async with visiting(tmp_path, simulator, clock, cookies=cookies) as visitor:
        page = await visitor.open()
        assert page.html.index(f'id="image-{image}"') < page.html.index(f'id="{job}"')
        await _finish(visitor, job)
        async with visitor.listening(visitor.seen) as news:
            if "<video" not in (await visitor.get("/web/chat")).html:
                await news.until("<video")
        # A page that was open all the while still proves itself.
        assert visitor.token == token


# ---- images ------------------------------------------------------------------------------------


async def test_an_image_is_dropped_and_animated_and_one_without_words_waits(
    visitor: Visitor,
) -> None:
    image = await visitor.bring(png())
    held = await visitor.say("", image=image)
    assert f'id="image-{image}"' in held.html
    assert f'id="image-{image}"' in (await visitor.get("/web/chat")).html
    kept = await visitor.get(f"/web/image?id={image}")
    assert (kept.body, kept.headers["Content-Type"]) == (png(), "image/png")
    assert "sandbox" in kept.headers["Content-Security-Policy"]
    job = (await visitor.say("the waves roll in", image=image)).job
    found = await visitor.bot.until(job, JobState.GENERATING)
    assert found.plan is not None
    assert found.plan.start_frame is not None
    assert f"/web/image?id={image}" in (await visitor.get(f"/web/thread?job={job}")).html
    async with visitor.listening(visitor.seen) as news:
        await visitor.post("/web/image/remove", {"image": image})
        gone = (await news.until('hx-swap-oob="delete"'))[-1]
        assert f'id="image-{image}"' in gone.html
    assert f'id="image-{image}"' not in (await visitor.get("/web/chat")).html
    assert (await visitor.get(f"/web/image?id={image}")).status == 404


async def test_what_is_no_image_or_too_large_is_refused(visitor: Visitor) -> None:
    for content in (b"", b"<svg onload=alert(1)>", b"GIF", b"MZ" + bytes(1000)):
        answer = await visitor.post("/web/images", content)
        assert answer.status == 200
        assert "The image cannot be used" in answer.html
    large = await visitor.post("/web/images", b"\xff\xd8\xff" + bytes(IMAGE_BYTES))
    assert large.status == 413
    # It begins like an image, and the bot finds that it is none before anything is paid.
    image = await visitor.bring(b"\xff\xd8\xff" + bytes(500))
    answer = await visitor.say("the waves roll in", image=image)
    assert "The image cannot be used" in answer.html
    assert "Nothing was charged" in answer.html
    for name in ("../secret.key", "0" * 32, "%2e%2e"):
        assert (await visitor.get(f"/web/image?id={name}")).status == 404
        assert "not" in (await visitor.say("a fox", image=name)).html
    assert (await visitor.bot.studio.jobs(whoami("web"))) != ()


# ---- who is sent away --------------------------------------------------------------------------


async def test_every_answer_is_protected(visitor: Visitor) -> None:
    paths = ["/web/chat", "/web/usage", "/web/thread?job=r-0000000000", "/web/thread?job=x"]
    for path in (*paths, "/web/static/page.js", "/web/static/page.css", "/web/poster?job=x"):
        headers = (await visitor.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
    visitor.session.cookie_jar.clear()
    cookie = (await visitor.open()).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_only_our_own_page_on_this_machine_comes_in(visitor: Visitor) -> None:
    port = visitor.address.rpartition(":")[2]
    for name in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "[", ""):
        assert (await visitor.get("/web/chat", Host=name)).status in (400, 403), name
    assert (await visitor.get("/web/chat", Host=f"localhost:{port}")).status == 200
    for name in ("X-Forwarded-For", "Forwarded", "Via"):
        assert (await visitor.get("/web/chat", **{name: "for=203.0.113.9"})).status == 403
    foreign = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
    assert (await visitor.get("/web/events", **foreign)).status == 403
    led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await visitor.get("/web/chat", **led)).status == 200
    fields = {"text": "a red fox in snow", "nonce": "a-nonce-of-a-stranger"}
    for headers in (
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "é"},
        {"Origin": "http://evil.example"},
        {"Origin": f"http://localhost:{port}"},
        {"Origin": "null"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
    ):
        for path in ("/web/say", "/web/act", "/web/images", "/web/image/remove"):
            assert (await visitor.post(path, fields, headers)).status == 403, (path, headers)
    assert await visitor.bot.studio.jobs(whoami("web")) == ()
    allowed = await visitor.post(
        "/web/say", fields, {"Origin": "", "Sec-Fetch-Site": "same-origin"}
    )
    assert allowed.job


async def test_a_prompt_full_of_markup_is_shown_as_it_was_typed(visitor: Visitor) -> None:
    job = (await visitor.say(HOSTILE)).job
    for path in ("/web/chat", "/web/usage", f"/web/thread?job={job}"):
        html = (await visitor.get(path)).html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html, path
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "\u202e" not in html
    bad = await visitor.say(f"show {HOSTILE}")
    assert "<script>alert" not in bad.html


async def test_forms_that_no_page_sends_are_refused(visitor: Visitor) -> None:
    for fields in ({"text": "a fox"}, {"text": "a fox", "nonce": "short"}):
        assert "The page is an old one" in (await visitor.post("/web/say", fields)).html
    many = b"&".join(b"a=1" for _ in range(200))
    assert "unreadable" in (await visitor.post("/web/say", many)).html
    assert "no job" in (await visitor.press("cancel", JobId("../../x"))).html


@pytest.mark.parametrize("bot", [{"public_host": "0.0.0.0"}, {"public_url": "http://ray.example"}])
def test_where_others_read_along_it_does_not_start(bot: dict[str, str], tmp_path: Path) -> None:
    config = to_config({"bot": bot, "adapters": {"web": {"enabled": True}}})
    with pytest.raises(ConfigError, match=r"needs TLS"):
        load_adapter(config, "web")
    off = to_config({"bot": bot, "adapters": {"web": {}, "terminal": {}}})
    assert switched_on(off) == ("terminal",)


# ---- the stream --------------------------------------------------------------------------------


async def test_a_stream_that_is_cut_goes_on_where_it_was(visitor: Visitor) -> None:
    async with visitor.listening(visitor.seen) as news:
        first = (await visitor.say("a red fox in snow")).job
        last = (await news.until("Generating"))[-1]
    # While nobody listens, one job ends and another begins.
    await visitor.press("cancel", first)
    second = (await visitor.say("a grey owl at night")).job
    await visitor.bot.until(second, JobState.GENERATING)
    async with visitor.listening("", **{"Last-Event-ID": last.id}) as news:
        missed = await news.until("Generating")
        assert [_job_of(each.html) for each in missed if first in each.html] == [first]
        assert _job_of(missed[-1].html) == second
        assert len({each.id for each in missed}) == len(missed)
        newest = missed[-1].id
    # Nothing happened since: nothing is told again.
    async with visitor.listening(newest) as news:
        third = (await visitor.say("a paper boat")).job
        assert _job_of((await news.next()).html) == third


async def test_a_page_of_an_earlier_process_is_told_all(visitor: Visitor) -> None:
    jobs = [(await visitor.say(f"a fox number {each}")).job for each in range(2)]
    async with visitor.listening("0123abcd.7") as news:
        assert [_job_of((await news.next()).html) for _ in jobs] == jobs


async def test_a_quiet_stream_shows_that_it_lives_and_ends_with_the_bot(
    visitor: Visitor, clock: MovableClock
) -> None:
    async with visitor.listening(visitor.seen) as news:
        assert await news.line() == "retry: 1000\n"
        assert await news.line() == "\n"
        quiet = asyncio.ensure_future(news.line())
        while not quiet.done():
            clock.move(seconds=16)
            await asyncio.sleep(0.01)
        assert await quiet == ": still here\n"
        # What is cut off instead of ended cannot be read to its end.
        await visitor.bot.app._web.stop()
        while line := await news.line():
            assert line in (": still here\n", "\n")


def _job_of(html: str) -> str:
    found = re.search(r'<article id="([^"]+)"', html)
    assert found
    return found[1]
