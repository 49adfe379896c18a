"""What is changed at the desk: by whom, once, and how it is said."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Unpack

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from adapters.web import render
from adapters.web.desk.acts import to_back
from adapters.web.desk.addresses import person_path
from adapters.web.desk.flash import FlashMessage, seal, unseal
from bot.desk_views import JobActs, PersonActs, PlaceView
from bot.errors import ThreadGone
from bot.job import Job, JobState
from bot.overview import Blocked
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import Requester
from bot.simulator import Faults, Simulator
from bot.store import jobs, places, schema
from bot.store.columns import JobColumns
from tests.adapters.web.sitting import Sitter, nonce, operating, running_place, told
from tests.adapters.web.visitor import Visitor, visiting
from tests.conftest import MANUAL
from tests.fakes import MovableClock, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE, THERE = "recording:local", "recording:b"
ANA, BEA = to_requester("ana"), to_requester("bea", workspace="b")


@dataclass
class SharedBot:
    """One bot with two places, who runs each, and who runs it."""

    visitor: Visitor
    ana: Sitter
    bea: Sitter
    operator: Sitter

    async def ask(self, user: str, *, place: str = "local", **work: Any) -> JobId:
        bot = self.visitor.bot
        request = to_request(key=f"{place} {user} {len(bot.jobs)}", **work)
        who = Requester(adapter="recording", workspace=place, user=user, display_name=user.title())
        thread = ThreadRef(adapter="recording", workspace=place, channel="general")
        changed = request.model_copy(update={"requester": who, "thread": thread})
        receipt = await bot.studio.submit(changed)
        bot.jobs.append(receipt.job_id)
        return receipt.job_id

    async def finish(self, job_id: JobId) -> Job:
        bot = self.visitor.bot
        job = await bot.until(job_id, JobState.GENERATING)
        await bot.simulator.finish(str(job.generation_id))
        return await bot.delivered(job_id)

    async def fail(self, job_id: JobId) -> Job:
        bot = self.visitor.bot
        job = await bot.until(job_id, JobState.GENERATING)
        await bot.simulator.fail(str(job.generation_id), "It did not work.")
        return await bot.until(job_id, JobState.FAILED)

    async def job(self, job_id: JobId) -> Job:
        return await self.visitor.bot.job(job_id)

    async def change(self, job_id: JobId, **values: Unpack[JobColumns]) -> None:
        """As if something had gone wrong with a job."""
        await self.visitor.bot.app.database.write(
            lambda tx: jobs.change(tx, jobs.get(tx.conn, job_id), **values)
        )

    async def log(self, target: str) -> list[tuple[str, str, str]]:
        """Who did what to it, as the audit log has it."""
        log = schema.audit_log.c
        query = select(log.actor, log.act, log.detail).where(log.target == target).order_by(log.id)
        database = self.visitor.bot.app.database
        return await database.read(lambda conn: [tuple(row) for row in conn.execute(query)])

    async def count(self) -> int:
        """How many jobs there are."""
        query = select(func.count()).select_from(schema.jobs)
        database = self.visitor.bot.app.database
        found: int = await database.read(lambda conn: conn.execute(query).scalar_one())
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharedBot]:
    settings = MANUAL
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(settings, Faults()))
        folder = tmp_path_factory.mktemp("shared")
        visitor = await stack.enter_async_context(
            visiting(folder, simulator, MovableClock(), servers=("b",), running_limit=100)
        )
        yield SharedBot(
            visitor=visitor,
            ana=await stack.enter_async_context(running_place(visitor, ANA)),
            bea=await stack.enter_async_context(running_place(visitor, BEA)),
            operator=await stack.enter_async_context(operating(visitor)),
        )


# ---- jobs -------------------------------------------------------------------------------------


async def test_a_job_is_cancelled_by_who_runs_its_place_or_the_bot(shared_bot: SharedBot) -> None:
    first, second = await shared_bot.ask("carl"), await shared_bot.ask("cora", place="b")
    role, words = await shared_bot.ana.act("cancel", job=first)
    assert (role, words.startswith(f"{first} of Carl is cancelled.")) == ("status", True)
    assert await shared_bot.log(first) == [(ANA.person, "cancel", "recording:local:carl")]
    assert (await shared_bot.ana.act("cancel", job=second)) == (
        "alert",
        f"There is no job {second} here.",
    )
    assert await shared_bot.log(second) == []
    assert (await shared_bot.operator.act("cancel", job=second))[0] == "status"
    assert await shared_bot.log(second) == [("operator:local:op", "cancel", "recording:b:cora")]
    own = await shared_bot.ask("ana")
    assert (await shared_bot.ana.act("cancel", job=own))[0] == "status"
    assert await shared_bot.log(own) == [(ANA.person, "cancel", ANA.person)]
    role, words = await shared_bot.ana.act("cancel", job="r-zzzzzzzzzz")
    assert (role, words) == ("alert", "There is no job r-zzzzzzzzzz here.")


async def test_a_clip_is_deleted(shared_bot: SharedBot) -> None:
    job = await shared_bot.finish(await shared_bot.ask("dora", place="b"))
    assert (await shared_bot.ana.act("delete", job=job.id))[0] == "alert"
    role, words = await shared_bot.bea.act("cancel", job=job.id)
    assert (role, "already ended" in words) == ("alert", True)
    assert (await shared_bot.job(job.id)).clip is not None
    assert (await shared_bot.operator.act("delete", job=job.id))[0] == "status"
    assert (await shared_bot.job(job.id)).clip is None
    assert await shared_bot.log(job.id) == [("operator:local:op", "delete", "recording:b:dora")]
    for path in ("/desk/clips", f"/desk/job?id={job.id}"):
        states = re.findall(
            r'class="state (\w+)">(\w+)<', (await shared_bot.operator.get(path)).html
        )
        assert states[0] == ("deleted", "deleted"), path


async def test_a_deletion_that_left_the_post_there_is_told_and_remembered(
    shared_bot: SharedBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await shared_bot.finish(await shared_bot.ask("ana"))

    async def keep(message: MessageRef) -> None:
        raise ThreadGone("It is kept there.")

    monkeypatch.setattr(shared_bot.visitor.bot.chat, "delete", keep)
    role, words = await shared_bot.ana.act("delete", job=job.id)
    assert (role, "still stands there. It is kept there." in words) == ("alert", True)
    assert (await shared_bot.job(job.id)).clip is None
    assert await shared_bot.log(job.id) == [(ANA.person, "delete", ANA.person)]


async def test_a_retry_is_its_persons_and_happens_once(shared_bot: SharedBot) -> None:
    job = await shared_bot.fail(await shared_bot.ask("ron", place="b"))
    ron = job.request.requester
    had = ron.model_copy(update={"roles": ("patron",), "is_guest": True})
    await shared_bot.change(job.id, request=job.request.model_copy(update={"requester": had}))
    before, form = await shared_bot.count(), {"job": job.id, "nonce": nonce()}
    assert (await shared_bot.ana.act("retry", **form))[0] == "alert"
    answers = await asyncio.gather(*(shared_bot.operator.act("retry", **form) for _ in range(3)))
    assert {role for role, _ in answers} == {"status"}
    assert len({words for _, words in answers}) == 1
    assert await shared_bot.count() == before + 1
    [(actor, act, detail)] = await shared_bot.log(job.id)
    assert (actor, act) == ("operator:local:op", "retry")
    again = await shared_bot.job(JobId(detail.split()[0]))
    assert detail == f"{again.id} for recording:b:ron"
    # Roles may be lost by now.
    assert again.request.requester == had.model_copy(update={"roles": ()})
    assert (again.request.thread, again.retry_of) == (job.request.thread, job.id)
    assert again.id in answers[0][1]
    role, words = await shared_bot.bea.act("retry", job=job.id)
    assert (role, f"tried again already: {again.id}" in words) == ("alert", True)
    assert await shared_bot.count() == before + 1


async def test_only_what_failed_and_cost_nothing_is_tried_again_for_others(
    shared_bot: SharedBot,
) -> None:
    done = await shared_bot.finish(await shared_bot.ask("rita"))
    role, words = await shared_bot.ana.act("retry", job=done.id)
    assert (role, "only what failed" in words) == ("alert", True)
    await shared_bot.ana.act("block", person="recording:local:rosa")
    failed = await shared_bot.fail(await shared_bot.ask("rosa"))
    await shared_bot.ana.act("block", person="recording:local:rosa")
    before = await shared_bot.count()
    role, words = await shared_bot.ana.act("retry", job=failed.id)
    assert (role, "Rosa would read: You cannot use Raybot here" in words) == ("alert", True)
    assert (await shared_bot.count(), await shared_bot.log(failed.id)) == (before, [])


async def test_the_operator_ends_and_unparks_what_needs_a_person(shared_bot: SharedBot) -> None:
    job_id = await shared_bot.ask("uma")
    await shared_bot.visitor.bot.until(job_id, JobState.GENERATING)
    role, words = await shared_bot.operator.act("unpark", job=job_id)
    assert (role, "was not put aside" in words) == ("alert", True)
    await shared_bot.change(job_id, parked_at=shared_bot.visitor.bot.clock.now())
    assert await shared_bot.ana.act("unpark", job=job_id) == (
        "alert",
        "Only the operator of this bot can do that.",
    )
    assert (await shared_bot.operator.act("unpark", job=job_id))[0] == "status"
    assert (await shared_bot.job(job_id)).parked_at is None
    for how, said in (("charge", "it has"), ("adopt", "Choose whether"), ("release", "knows its")):
        role, words = await shared_bot.operator.act("resolve", job=job_id, how=how)
        assert role == "alert", said
    assert [act for _, act, _ in await shared_bot.log(job_id)] == ["unpark"]


async def test_what_waits_for_a_word_is_decided_once(shared_bot: SharedBot) -> None:
    studio = shared_bot.visitor.bot.studio
    job = await shared_bot.finish(await shared_bot.ask("rex", place="b"))
    await studio.care.report(job.id, to_requester("ida", workspace="b"), "rude")
    assert f'name="job" value="{job.id}"' in (await shared_bot.bea.get("/desk/moderation")).html
    assert job.id not in (await shared_bot.ana.get("/desk/moderation")).html
    assert (await shared_bot.ana.act("report", job=job.id, outcome="removed"))[0] == "alert"
    assert (await shared_bot.bea.act("report", job=job.id, outcome="burnt"))[0] == "alert"
    assert await shared_bot.bea.act("report", job=job.id, outcome="removed") == (
        "status",
        f"{job.id}: The clip was removed.",
    )
    assert (await shared_bot.job(job.id)).clip is None
    role, words = await shared_bot.operator.act("report", job=job.id, outcome="kept")
    assert (role, "was decided already" in words) == ("alert", True)
    await studio.admin.set_policy(THERE, {"moderators_channel": "mods"}, actor=BEA)
    await studio.admin.set_policy(THERE, {"review": "before_post"}, actor=BEA)
    bot, held = shared_bot.visitor.bot, await shared_bot.ask("rex", place="b")
    running = await bot.until(held, JobState.GENERATING)
    await bot.simulator.finish(str(running.generation_id))
    await bot.until(held, JobState.REVIEWING)
    assert (await shared_bot.ana.act("review", job=held, verdict="post"))[0] == "alert"
    answer = await shared_bot.bea.act("review", job=held, verdict="reject", reason="too <loud>")
    assert answer == ("status", f"{held}: Rejected, so it is not posted. Decided by bea.")
    assert (await shared_bot.job(held)).state is JobState.FAILED
    assert [(act, detail) for _, act, detail in await shared_bot.log(held)] == [
        ("review reject", "recording:b:rex: too <loud>")
    ]
    await studio.admin.set_policy(THERE, {"review": ""}, actor=BEA)


async def test_a_job_that_cannot_go_on_is_ended(shared_bot: SharedBot) -> None:
    job_id = await shared_bot.ask("una", model="ray-2", duration="9s", resolution="1080p")
    assert (await shared_bot.job(job_id)).state is JobState.RECEIVED, "it waits to be confirmed"
    await shared_bot.change(job_id, parked_at=shared_bot.visitor.bot.clock.now())
    role, words = await shared_bot.operator.act("resolve", job=job_id, how="charge")
    assert (role, "has cost nothing" in words) == ("alert", True)
    assert (await shared_bot.ana.act("resolve", job=job_id, how="release"))[0] == "alert"
    assert await shared_bot.operator.act("resolve", job=job_id, how="release") == (
        "status",
        f"{job_id} is ended; Una pays nothing for it.",
    )
    assert [(who, act) for who, act, _ in await shared_bot.log(job_id)] == [
        ("operator:local:op", "resolve release")
    ]


# ---- people -----------------------------------------------------------------------------------


async def test_somebody_is_blocked_and_unblocked(shared_bot: SharedBot) -> None:
    await shared_bot.ask("ben")
    person = "recording:local:ben"
    page = await shared_bot.ana.get(person_path(person))
    assert "What waits of theirs is taken back and costs nothing; what runs goes on." in page.html
    role, words = await shared_bot.ana.act("block", person=person, days="3", reason="spam <b>")
    assert role == "status"
    assert words.startswith("Ben is blocked until ")
    rules = await shared_bot.visitor.bot.studio.admin.rules(HERE)
    found = next(each for each in rules.blocked if each.person == person)
    assert (found.until is not None, found.reason) == (True, "spam <b>")
    assert await shared_bot.ana.act("unblock", person=person) == ("status", "Ben can ask again.")
    assert await shared_bot.ana.act("unblock", person=person) == ("alert", "They are not blocked.")
    assert [act for _, act, _ in await shared_bot.log(person)] == ["block", "unblock"]


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "9999", "٣", "many"])
async def test_nonsense_days_block_nobody(shared_bot: SharedBot, days: str) -> None:
    await shared_bot.ask("dan")
    role, words = await shared_bot.ana.act("block", person="recording:local:dan", days=days)
    assert (role, words) == ("alert", "Give a number of days from 1 to 3650.")
    assert await shared_bot.log("recording:local:dan") == []


async def test_people_of_another_place_are_nobody(shared_bot: SharedBot) -> None:
    await shared_bot.ask("bob", place="b")
    for person in ("recording:b:bob", "recording:local:nobody", "bob", "", "recording:local:"):
        for act in ("block", "unblock", "grant"):
            answer = await shared_bot.ana.act(act, person=person, dollars="5")
            assert answer == ("alert", "There is nobody like that here.")
    assert await shared_bot.log("recording:b:bob") == []


async def test_a_grant_is_given_once_for_each_form(shared_bot: SharedBot) -> None:
    await shared_bot.ask("gus")
    form = {"person": "recording:local:gus", "dollars": "2.50", "nonce": nonce()}
    first, second = [await shared_bot.ana.act("grant", **form) for _ in range(2)]
    assert first == second
    assert first[1].startswith("Gus can spend $2.50 more, until ")
    answer = await shared_bot.ana.act("grant", **{**form, "dollars": "3"})
    assert answer == ("alert", "This was granted already. Load the page again.")
    for dollars in ("", "many", "-1", "nan", "1e300", "1_0", "٣"):
        role, words = await shared_bot.ana.act("grant", person=form["person"], dollars=dollars)
        assert (role, words) == ("alert", "Grant some dollars, such as 5 or 2.50.")
    assert [act for _, act, _ in await shared_bot.log(form["person"])] == ["grant"]


# ---- places -----------------------------------------------------------------------------------


async def test_a_place_is_paused_with_a_sentence_and_goes_on(shared_bot: SharedBot) -> None:
    admin = shared_bot.visitor.bot.studio.admin
    assert (await shared_bot.bea.act("pause", place=THERE, message="Back <at> noon"))[
        0
    ] == "status"
    rules = await admin.rules(THERE)
    assert (rules.paused_at is not None, rules.paused_message) == (True, "Back <at> noon")
    page = await shared_bot.bea.get("/desk/places")
    assert "Back &lt;at&gt; noon" in page.html
    for act in ("pause", "resume"):
        assert await shared_bot.ana.act(act, place=THERE) == (
            "alert",
            "There is no such place here.",
        )
    assert (await shared_bot.operator.act("resume", place=THERE))[0] == "status"
    assert (await admin.rules(THERE)).paused_at is None
    log = [
        (actor, act) for actor, act, _ in await shared_bot.log(THERE) if act in ("pause", "resume")
    ]
    assert log[-2:] == [(BEA.person, "pause"), ("operator:local:op", "resume")]


async def test_a_limit_is_changed_and_nonsense_is_refused(shared_bot: SharedBot) -> None:
    async def change(name: str, value: str, **where: str) -> tuple[str, str]:
        return await shared_bot.ana.act("limit", place=HERE, name=name, value=value, **where)

    assert await change("usd_per_person_per_day", "2.5") == (
        "status",
        "Budget of a person per day: $2.50, from the next request on.",
    )
    page = (await shared_bot.ana.get("/desk/places")).html
    assert "Budget of a person per day, in US dollars " in page
    assert 'name="value" value="2.5"' in page
    assert (
        "Now: $2.50, set here. Left empty, what the operator set holds again: $1,000.00." in page
    )
    nonsense = {"usd_per_person_per_day": "much", "clips_per_person_per_day": "-1", "x": "1"}
    for name, value in nonsense.items():
        assert (await change(name, value))[0] == "alert"
    assert (await change("usd_per_person_per_day", "3", role="r1", channel="c1"))[0] == "status"
    assert (await change("usd_per_person_per_day", "3", channel="a:b"))[0] == "alert"
    assert (await change("usd_per_person_per_day", ""))[1].endswith(
        "$1,000.00, from the next request on."
    )
    assert await shared_bot.bea.act(
        "limit", place=HERE, name="usd_per_person_per_day", value="9"
    ) == (
        "alert",
        "There is no such place here.",
    )
    assert [act for _, act, _ in await shared_bot.log(HERE)] == ["desk_link", "limits", "limits"]
    assert [act for _, act, _ in await shared_bot.log(f"{HERE}:c1")] == ["limits"]


async def test_the_operator_lets_places_in_and_closes_them(shared_bot: SharedBot) -> None:
    far = "recording:far"
    assert (await shared_bot.operator.act("approve", place=far)) == (
        "alert",
        "There is no such place here.",
    )
    with pytest.raises(Exception, match="not set up"):
        await shared_bot.ask("fay", place="far")
    assert "waits for your word" in (await shared_bot.operator.get("/desk/places")).html
    assert (await shared_bot.operator.act("approve", place=far))[0] == "status"
    await shared_bot.ask("fay", place="far")
    for act in ("approve", "close"):
        answer = await shared_bot.bea.act(act, place=THERE)
        assert answer[0] == "alert"
    assert (await shared_bot.operator.act("close", place=far))[0] == "status"
    assert "not served" in (await shared_bot.operator.get(f"/desk/place?id={far}")).html
    assert [act for _, act, _ in await shared_bot.log(far)] == ["approve", "close"]


async def test_a_place_that_is_paused_as_all_are_offers_no_resume(shared_bot: SharedBot) -> None:
    database, address = shared_bot.visitor.bot.app.database, f"/desk/place?id={THERE}"
    now = datetime.now(UTC).replace(microsecond=0)
    why = "Back tomorrow"
    await database.write(
        lambda tx: places.pause(tx, places.EVERYWHERE, at=now, by="op:x", message=why)
    )
    try:
        page = (await shared_bot.bea.get(address)).html
        assert "paused by the operator, as every place is" in page
        assert "Resume" not in page
        told = (await shared_bot.bea.get("/desk/moderation/paused.csv")).html
        assert told.splitlines()[1:] == [f"everywhere,{now.isoformat()},the operator,{why}"]
        assert why in (await shared_bot.bea.get("/desk/moderation")).html
        assert "op:x" in (await shared_bot.operator.get("/desk/moderation/paused.csv")).html
    finally:
        await database.write(lambda tx: places.pause(tx, places.EVERYWHERE, at=None, by=""))
    assert (await shared_bot.bea.act("pause", place=THERE))[0] == "status"
    assert "Resume" in (await shared_bot.bea.get(address)).html
    assert (await shared_bot.bea.act("resume", place=THERE))[0] == "status"


# ---- what is said, and who may send it --------------------------------------------------------


async def test_what_was_done_is_said_once_and_nobody_else_can_say_it(
    shared_bot: SharedBot,
) -> None:
    page = await shared_bot.bea.send("/desk/acts/resume", place=THERE)
    assert told(page) == ("status", f"{THERE} takes requests again.")
    assert told(await shared_bot.bea.get("/desk/places")) == ("", "")
    jar = shared_bot.bea.visitor.session.cookie_jar
    for forged in (seal(FlashMessage(sentence="Send money."), "another key"), "x.y", ".", "e30=."):
        jar.update_cookies({"raybot_said": forged})
        assert told(await shared_bot.bea.get("/desk/places")) == ("", "")
    assert "Send" not in (await shared_bot.bea.get("/desk/places?said=Send+money")).html
    assert unseal(seal(FlashMessage(sentence="a\x00b <i>"), "k"), "k") == FlashMessage(
        sentence="ab <i>", times=()
    )


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.example", "https://evil.example", "/\\evil.example", "/web/chat", "", "desk"),
        *("/desk//evil", "/desk/../web", "/desk\r\nSet-Cookie: a=b", "/desk?a=b\n", "/deskx"),
    ],
)
async def test_only_pages_of_the_desk_are_gone_back_to(address: str) -> None:
    assert to_back(address) == "/desk"


async def test_pages_of_the_desk_are_gone_back_to() -> None:
    for address in ("/desk", "/desk/job?id=r-7k2m9q", "/desk/person?id=discord:1:2&page=2#acts"):
        assert to_back(address) == address


async def test_an_old_or_foreign_form_changes_nothing(shared_bot: SharedBot) -> None:
    """Every act is asked for by one of our pages, in the session that drew it."""
    routes = shared_bot.visitor.bot.app._adapters["web"].routes
    job_id = await shared_bot.ask("zoe")
    sent = {"job": job_id, "person": "recording:local:zoe", "place": HERE, "nonce": nonce()}
    for path in sent_paths(shared_bot):
        assert ("GET", path) not in routes or not path.startswith("/desk/acts/")
        tries: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
            ({}, {}),
            ({"csrf": shared_bot.bea.token}, {}),
            ({"csrf": shared_bot.ana.token}, {"Origin": "https://evil.example"}),
            ({"csrf": shared_bot.ana.token}, {"Origin": ""}),
            ({"csrf": shared_bot.ana.token}, {"Origin": "null"}),
        )
        for proof, headers in tries:
            answer = await shared_bot.ana.visitor.post(path, {**sent, **proof}, headers)
            assert answer.status == 403, (path, proof, headers)
        assert (await shared_bot.visitor.post(path, sent)).status == 401
    assert await shared_bot.log(job_id) == await shared_bot.log("recording:local:zoe") == []
    assert (await shared_bot.ana.act("retry", job=job_id, nonce="x"))[0] == "alert"


async def test_every_act_has_a_form_and_every_form_an_act(shared_bot: SharedBot) -> None:
    name, job_id = "<b>Ann & Bo</b>", JobId("r-7k2m9q")
    can = [each.name for each in fields(JobActs) if each.name.startswith(("can_", "is_"))]
    some = dict.fromkeys(can, True)
    about: dict[str, Any] = {"job_id": job_id, "tenant": HERE, "person": "p", "name": name}
    jobs_acts = [JobActs(**{**about, **some, "is_reported": is_so}) for is_so in (True, False)]
    now = shared_bot.visitor.bot.clock.now()
    people = [
        PersonActs(person=f"{HERE}:x", tenant=HERE, user="x", name=name, block=block)
        for block in (None, Blocked(person="p", at=now, reason=name))
    ]
    places = [
        PlaceView(
            tenant=HERE,
            name=name,
            state="asked",
            is_configured=False,
            is_served=False,
            paused_at=at,
            paused_message=name,
        )
        for at in (None, now)
    ]
    drawn = "".join(
        [
            *(draw_form("job", each, "T", "/desk") for each in jobs_acts),
            draw_form("decide", jobs_acts[0], "T", "/desk"),
            *(draw_form("person", each, "T", "/desk") for each in people),
            *(draw_form("place_acts", each, "T", "/desk", True) for each in places),
            draw_form("exception", places[0], ["models"], "T", "/desk"),
        ]
    )
    forms = drawn.count("<form")
    assert name not in drawn
    assert (
        drawn.count('name="csrf" value="T"') == drawn.count('name="back" value="/desk"') == forms
    )
    assert len(set(re.findall(r'name="nonce" value="([0-9a-f]{32})"', drawn))) == forms
    assert set(re.findall(r'action="([^"]+)"', drawn)) == set(act_paths(shared_bot))


def draw_form(macro: str, *given: object) -> str:
    """One of the forms, as a page has it."""
    names = [f"of{number}" for number in range(len(given))]
    asked = f"{{% import 'desk/acts.html' as a %}}{{{{ a.{macro}({', '.join(names)}) }}}}"
    template = render._environment().from_string(asked)
    return template.render(**dict(zip(names, given, strict=True)))


def act_paths(shared_bot: SharedBot) -> list[str]:
    """Where the forms of acts are sent."""
    return [path for path in sent_paths(shared_bot) if path.startswith("/desk/acts/")]


def sent_paths(shared_bot: SharedBot) -> list[str]:
    """Where all that is sent goes by who is signed in."""
    routes = shared_bot.visitor.bot.app._adapters["web"].routes
    posts = [path for method, path in routes if method == "POST" and path.startswith("/desk")]
    return [path for path in posts if path != "/desk/enter"]
