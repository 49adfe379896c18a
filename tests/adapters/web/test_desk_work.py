"""Queue, clips, people and each job at the desk: what is there, for whom, and what goes on."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import update

from bot.job import Failure, JobState
from bot.refs import JobId, ThreadRef
from bot.request import GenerationRequest, Requester, VideoWork
from bot.simulator import Simulator
from bot.store import settings
from bot.store.schema import jobs as jobs_table
from bot.store.transaction import Tx
from bot.streams import MOST_EACH
from tests.adapters.web.sitting import running_place
from tests.adapters.web.visitor import Stream, Visitor, visiting
from tests.fakes import MovableClock

NAME = "recording"
HOSTILE = '<script>alert(1)</script> a "fox" & {{7*7}} =SUM(1)'
#: Of one job, each by the name that its address has.
OF_JOB = ("/desk/job?id={}", "/desk/poster?job={}", "/desk/job.csv?id={}&of=steps")


@pytest.fixture
async def visitor(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Visitor]:
    async with visiting(tmp_path, simulator, clock, servers=("away",)) as opened:
        yield opened


def to_request(
    prompt: str, user: str, *, workspace: str = "local", is_private: bool = False
) -> GenerationRequest:
    who = Requester(adapter=NAME, workspace=workspace, user=user, display_name=user.title())
    return GenerationRequest(
        dedupe_key=f"{prompt}-{user}-{workspace}",
        requester=who,
        thread=ThreadRef(adapter=NAME, workspace=workspace, channel="creative"),
        work=VideoWork(prompt=prompt),
        is_private=is_private,
    )


async def ask(
    visitor: Visitor, prompt: str, user: str = "bo", *, is_private: bool = False
) -> JobId:
    """A request of the local place, up to its generation."""
    request = to_request(prompt, user, is_private=is_private)
    job_id = (await visitor.bot.app.studio.submit(request)).job_id
    await visitor.bot.until(job_id, JobState.GENERATING)
    return job_id


async def deliver(visitor: Visitor, job_id: JobId) -> None:
    found = await visitor.bot.until(job_id, JobState.GENERATING)
    assert found.generation_id
    await visitor.bot.simulator.finish(found.generation_id)
    await visitor.bot.delivered(job_id)


async def ask_elsewhere(visitor: Visitor, prompt: str) -> JobId:
    """A request of another place, which waits there for a word on its price."""
    request = to_request(prompt, "zechariah", workspace="away")
    dear = VideoWork(prompt=prompt, model="ray-2", duration="9s", resolution="1080p")
    request = request.model_copy(update={"work": dear})
    return (await visitor.bot.app.studio.submit(request)).job_id


async def sit(visitor: Visitor, *, is_operator: bool = False) -> None:
    """Sign in, as an admin of the local place or as the operator."""
    entry = visitor.bot.app.studio.entry
    visitor.bot.chat.admins.add("ana")
    ana = Requester(adapter=NAME, workspace="local", user="ana", display_name="Ana")
    invited = await (entry.invite_here("me") if is_operator else entry.invite(ana))
    key = invited.link.partition("key=")[2]
    assert (await visitor.post("/desk/enter", {"key": key})).status == 200


def in_page(pattern: str, page: str) -> str:
    found = re.search(pattern, page)
    assert found, page
    return unescape(found[1])


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_each_sees_what_is_theirs_to_see(visitor: Visitor) -> None:
    job = await ask(visitor, HOSTILE)
    await deliver(visitor, job)
    secret = await ask(visitor, "a secret garden", "dee", is_private=True)
    await deliver(visitor, secret)
    other = await ask_elsewhere(visitor, "a prompt of another place")
    await sit(visitor)

    clips = (await visitor.get("/desk/clips")).html
    assert HOSTILE in unescape(clips)
    assert "<script>alert" not in clips
    assert {job, secret} <= set(re.findall(r"r-[0-9a-z]{10}", clips))
    assert f"/desk/poster?job={secret}" not in clips
    page = (await visitor.get(f"/desk/job?id={job}")).html
    for word in (
        "Timeline",
        "hold",
        "settle",
        "generating",
        "https://chat.example/",
        "In the chat",
    ):
        assert word in page, word
    poster = await visitor.get(f"/desk/poster?job={job}")
    assert (poster.status, poster.body[:2]) == (200, b"\xff\xd8")
    link = in_page(r'video [^>]*src="([^"]+)"', page)
    part = await visitor.get(link, Range="bytes=0-99")
    assert (part.status, len(part.body)) == (206, 100)

    private = (await visitor.get(f"/desk/job?id={secret}")).html
    assert "This is private" in private
    assert f"/clips/{secret}" not in private
    assert (await visitor.get(f"/desk/poster?job={secret}")).status == 404
    assert secret not in (await visitor.get("/desk/clips?q=garden")).html
    assert "Timeline" in (await visitor.get(f"/desk/clips?q={job}")).html
    file = rows((await visitor.get("/desk/clips.csv")).html)
    assert [(each["job"], each["prompt"]) for each in file] == [
        (secret, "private"),
        (job, HOSTILE),
    ]
    assert not any("garden" in text for text in (clips, private))

    await check_that_another_place_is_not_there(visitor, job, other)


async def test_a_test_is_never_said_to_be_charged(visitor: Visitor) -> None:
    job = await ask(visitor, "a red fox")
    await sit(visitor)
    assert "$0.14 to be charged" in (await visitor.get("/desk/clips")).html

    def make_test(tx: Tx) -> None:
        tx.conn.execute(update(jobs_table).where(jobs_table.c.id == job).values(is_test=True))

    await visitor.bot.app.database.write(make_test)
    page = (await visitor.get("/desk/clips")).html
    assert "would cost $0.14 · test" in page
    assert "to be charged" not in page


async def check_that_another_place_is_not_there(
    visitor: Visitor, own: JobId, other: JobId
) -> None:
    """By whatever address; to the operator it is, and that place alone where they want it."""
    theirs = "recording:away:zechariah"
    addresses = [path.format(other) for path in OF_JOB]
    addresses += [f"/desk/person?key={theirs}", f"/desk/person.csv?key={theirs}&of=days"]
    addresses += [f"/desk/clips?person={theirs}", "/desk/job?id=../x", "/desk/job"]
    assert [(await visitor.get(each)).status for each in addresses] == [404] * len(addresses)
    lists = ("clips", "clips.csv", "queue", "queue.csv", "people", "people.csv")
    for each in lists:
        answer = await visitor.get(f"/desk/{each}?place=recording:away")
        assert answer.status == 200
        assert not any(
            word in answer.html for word in (other, "another place", "zechariah", "Zechariah")
        ), each

    visitor.session.cookie_jar.clear()
    await sit(visitor, is_operator=True)
    assert [(await visitor.get(path.format(other))).status for path in OF_JOB] == [200, 404, 200]
    for each in lists:
        answer = await visitor.get(f"/desk/{each}?place=recording:away")
        assert "recording:away" in answer.html
        assert own not in answer.html


async def test_people_and_their_limits_and_what_nobody_has(visitor: Visitor) -> None:
    await sit(visitor)
    for path, words in (
        ("/desk/clips", "Nobody has asked"),
        ("/desk/queue", "Nothing waits and nothing runs"),
        ("/desk/people", "Nobody has asked yet"),
    ):
        assert words in (await visitor.get(path)).html
    await deliver(visitor, await ask(visitor, "a fox"))
    studio = visitor.bot.app.studio
    ana = Requester(adapter=NAME, workspace="local", user="ana")
    await studio.admin.block("recording:local", "bo", actor=ana, reason="<i>spam</i>")
    await studio.admin.grant("recording:local", "bo", 5, actor=ana)
    people = (await visitor.get("/desk/people?name=BO")).html
    assert ">Bo</a>" in people
    assert "1 person asked for clips" in people
    assert "for good" in people
    assert "Nobody like that" in (await visitor.get("/desk/people?name=carol")).html
    person = (await visitor.get("/desk/person?key=recording:local:bo")).html
    for said in ("blocked", "&lt;i&gt;spam&lt;/i&gt;", "budget per day", "$1,005.00", "1 of 1"):
        assert said in person, said
    days = rows((await visitor.get("/desk/person.csv?key=recording:local:bo&of=days")).html)
    assert days[0]["asked"] == "1"
    for path in (
        "clips?state=sad",
        "clips?since=soon",
        "clips?after=x.y",
    ):
        assert (await visitor.get(f"/desk/{path}")).status == 400, path
    for path in ("/desk/people", "/desk/moderation", "/web/chat"):
        assert (await visitor.get(f"{path}?page={'9' * 5000}")).status == 200, path
    assert "a fox" in (await visitor.get("/desk/clips?until=9999-12-31&since=0001-01-01")).html
    assert (await visitor.get("/desk/person.csv?key=recording:local:bo&of=all")).status == 404


async def test_who_was_blocked_before_they_asked_is_found_and_unblocked(visitor: Visitor) -> None:
    ana = Requester(adapter=NAME, workspace="local", user="ana", display_name="Ana")
    now = visitor.bot.clock.now()
    for user in ("mal", "moe"):
        await visitor.bot.app.studio.admin.block("recording:local", user, actor=ana, reason="spam")
    await visitor.bot.app.database.write(
        lambda tx: settings.block(tx, "recording:away:miranda", until=None, reason="", now=now)
    )
    job = await ask(visitor, "a fox", "bo")
    async with running_place(visitor, ana) as desk:
        people = rows((await desk.get("/desk/people.csv")).html)
        people.sort(key=lambda each: each["name"])
        assert [(each["name"], each["asked ever"], each["blocked until"]) for each in people] == [
            ("Bo", "1", ""),
            ("mal", "0", "for good"),
            ("moe", "0", "for good"),
        ]
        assert people[1]["last seen"] == ""
        assert "miranda" not in (await desk.get("/desk/people?name=mi")).html
        assert (await desk.get("/desk/person?key=recording:away:miranda")).status == 404
        page = (await desk.get("/desk/person?key=recording:local:mal")).html
        assert "spam" in page
        assert "Unblock" in page
        back = in_page(r'name="back" value="([^"]+)"', page)
        person = "recording:local:mal"
        said = await desk.act("unblock", person=person, back=back)
        assert said == ("status", "mal can ask again.")
        assert (await desk.get(f"/desk/person?key={person}")).status == 404
        assert len(rows((await desk.get("/desk/people.csv")).html)) == 2
    assert (await visitor.bot.job(job)).state is JobState.GENERATING


async def test_whoever_reads_of_a_block_or_a_pause_has_its_time_in_their_own_zone(
    visitor: Visitor,
) -> None:
    ana = Requester(adapter=NAME, workspace="local", user="ana", display_name="Ana")
    admin = visitor.bot.app.studio.admin
    until = visitor.bot.clock.now() + timedelta(days=3)
    await admin.block("recording:local", "mal", actor=ana, until=until)
    await admin.pause("recording:local", actor=ana, message="back soon")
    async with running_place(visitor, ana) as desk:
        people = (await desk.get("/desk/people")).html
        assert f'<time datetime="{until.isoformat()}">' in people
        [row] = rows((await desk.get("/desk/people.csv")).html)
        assert row["blocked until"] == until.isoformat(timespec="seconds")
        rules = (await desk.get("/desk/moderation")).html.partition("Rules here")[2]
        assert 'Paused since <time datetime="' in rules


async def test_every_table_is_a_file_too(visitor: Visitor) -> None:
    ana = Requester(adapter=NAME, workspace="local", user="ana", display_name="Ana")
    limits = {"running_per_channel": "2"}
    admin = visitor.bot.app.studio.admin
    await admin.set_limits("recording:local", limits, actor=ana, channel="art")
    job = await ask(visitor, "a fox")
    await sit(visitor, is_operator=True)
    for path in (
        *("", "/queue", "/people", "/services", "/moderation", "/places"),
        *(f"/job?id={job}", "/person?key=recording:local:bo", "/place?id=recording:local"),
    ):
        page = (await visitor.get(f"/desk{path}")).html
        drawn = re.findall(r'<section class="(?:table|limits)".*?</section>', page, re.DOTALL)
        # What is decided in a place is a list of sentences.
        tables = [each for each in drawn if "<h2>Rules here</h2>" not in each]
        assert tables, path
        for table in tables:
            address = in_page(r'<a href="([^"]+)" download>CSV</a>', table)
            assert (await visitor.get(address)).headers["Content-Type"].startswith("text/csv")
    file = rows((await visitor.get("/desk/place.csv?id=recording:local&of=apart")).html)
    apart = {"limit": "running_per_channel", "value": "2", "role": "", "channel": "art"}
    assert file == [apart]
    file = rows((await visitor.get("/desk/place.csv?id=recording:local&of=limits")).html)
    assert {each["limit"]: each["in force"] for each in file}["running_per_channel"] == "no limit"
    file = rows((await visitor.get("/desk/places.csv")).html)
    assert {"place": "recording:local", "name": "", "stands": "served"} in file
    assert (await visitor.get("/desk/place.csv?id=recording:local&of=all")).status == 404


async def test_a_failure_is_told_with_its_class(visitor: Visitor) -> None:
    job = await ask(visitor, "a fox")
    found = await visitor.bot.job(job)
    assert found.generation_id
    await visitor.bot.simulator.fail(found.generation_id, "no luck")
    ended = await visitor.bot.until(job, JobState.FAILED)
    assert isinstance(ended.failure, Failure)
    await sit(visitor)
    page = (await visitor.get(f"/desk/job?id={job}")).html
    assert f"<b>{ended.failure.code}</b>" in page
    looks = re.findall(r'<th [^>]*><span class="state ([^"]+)">(\w+)<', page)
    assert looks[-1] == ("failed", "failed")
    assert {look for look, _ in looks[:-1]} == {"passed"}, "only where it stands looks like it"
    steps = rows((await visitor.get(f"/desk/job.csv?id={job}&of=steps")).html)
    assert [each["state"] for each in steps] == [state for _, state in looks]
    assert "release" in page


# ---- what goes on ------------------------------------------------------------------------------


@asynccontextmanager
async def following(visitor: Visitor, path: str, **headers: str) -> AsyncIterator[Stream]:
    async with visitor.session.get(visitor.address + path, headers=headers) as answer:
        assert answer.status == 200
        yield Stream(answer)


async def test_the_queue_goes_on_and_a_cut_stream_loses_and_doubles_nothing(
    visitor: Visitor, clock: MovableClock
) -> None:
    await sit(visitor)
    page = (await visitor.get("/desk/queue")).html
    events = in_page(r'data-events="([^"]+)"', page)
    async with following(visitor, events) as stream:
        first = await ask(visitor, "one")
        clock.move(seconds=3)
        news = (await stream.until("generating"))[-1]
        assert first in news.html
    second = await ask(visitor, "two")
    other = await ask_elsewhere(visitor, "of another place")
    clock.move(seconds=3)
    resumed = {"Last-Event-ID": news.id}
    async with following(visitor, f"{events}&place=recording:away", **resumed) as stream:
        clock.move(seconds=3)
        again = await stream.next()
        assert again.id != news.id
        assert second in again.html
        assert other not in again.html
        await deliver(visitor, first)
        clock.move(seconds=3)
        told = [news, again]
        while first in told[-1].html:
            told.append(await stream.next())
        assert second in told[-1].html
        assert len({each.id for each in told}) == len({each.html for each in told}) == len(told)
        async with AsyncExitStack() as tabs:
            for _ in range(MOST_EACH - 1):
                await tabs.enter_async_context(following(visitor, events))
            assert (await visitor.get(events)).status == 503

        token = in_page(r'name="csrf" value="([0-9a-f]{64})"', page)
        await visitor.post("/desk/leave", {"csrf": token})
        clock.move(seconds=16)
        rest = ""
        while line := await stream.line():
            rest += line
        assert "event: signed-out" in rest
        assert "event: card" not in rest
    async with visitor.session.get(visitor.address + events) as answer:
        assert answer.status == 401


async def test_whoever_opens_the_page_of_a_job_hears_of_its_end_however_soon(
    visitor: Visitor, clock: MovableClock
) -> None:
    await sit(visitor)
    # The queue as it was before, and as it will be again at the next look.
    await visitor.get("/desk/queue")
    job = await ask(visitor, "a fox")
    page = (await visitor.get(f"/desk/job?id={job}")).html
    async with following(visitor, in_page(r'data-events="([^"]+)"', page)) as stream:
        assert job in (await stream.next()).html
        await deliver(visitor, job)
        clock.move(seconds=3)
        while job in (await stream.next()).html:
            pass
