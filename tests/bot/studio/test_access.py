"""Closed by default: who is refused, with which sentence, and what a refusal leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from bot.errors import InvalidRequest, NotAllowed, NotServed, Paused, WrongChannel
from bot.job import JobState
from bot.notices import Accepted, ConfirmNeeded
from bot.refs import ThreadRef
from bot.request import GenerationRequest, Requester
from bot.simulator import Faults, Simulator
from bot.store import schema, settings
from bot.studio import Studio
from bot.tables import AccessTable, ModerationTable
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOSS = to_requester("boss", workspace="hall")
OPERATORS = frozenset({"recording:boss"})
UNKNOWN = r"This place is not set up for Raybot\. Its operator can add it\."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningBot]:
    """One bot that serves `named` besides this machine; each test has places of its own."""
    async with Simulator(MANUAL, Faults()) as simulator:
        config = to_test_config(
            tmp_path_factory.mktemp("shared"),
            simulator,
            access={"servers": ["named"]},
            limits={"confirm_above_usd": 0.2},
        )
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
            yield bot


def asked(
    key: str, *, place: str, user: str = "ana", channel: str = "general", **who: Any
) -> GenerationRequest:
    """A request from a channel of a place."""
    request = to_request(key=key)
    requester = to_requester(user, workspace=place).model_copy(update=who)
    thread = ThreadRef(adapter="recording", workspace=place, channel=channel)
    return request.model_copy(update={"requester": requester, "thread": thread})


def outside(key: str, *, home: str, place: str = "", **who: Any) -> GenerationRequest:
    """A request from outside any place, by a member of `home`."""
    tenant = f"recording:{home}" if home else ""
    return asked(key, place=place or home, home=tenant, **who)


async def count(bot: RunningBot, table: str, **where: str) -> int:
    query = select(func.count()).select_from(schema.metadata.tables[table]).filter_by(**where)
    return await bot.app.database.read(lambda conn: conn.execute(query).scalar_one())


async def told(bot: RunningBot, tenant: str) -> list[str]:
    """What the operator is told of a place."""
    notices = schema.operator_notices.c
    query = select(notices.sentence).where(notices.key == f"place:{tenant}")
    return await bot.app.database.read(lambda conn: list(conn.execute(query).scalars()))


def open_studio(bot: RunningBot, **access: Any) -> Studio:
    """This bot with an operator, and with other doors open."""
    table = AccessTable(servers=("named",), **access)
    return bot.studio_with(operators=OPERATORS, access=table)


# ---- places -----------------------------------------------------------------------------------


async def test_the_places_of_the_configuration_and_this_machine_are_served(
    shared_bot: RunningBot,
) -> None:
    for place in ("named", "local"):
        receipt = await shared_bot.studio.submit(asked(f"open {place}", place=place))
        assert isinstance(receipt.notice, Accepted)
    assert await count(shared_bot, "places", tenant="recording:named") == 0


async def test_an_unknown_place_leaves_one_row_and_one_notice(shared_bot: RunningBot) -> None:
    for attempt in range(3):
        request = asked(f"un{attempt}", place="un", user=f"u{attempt}")
        with pytest.raises(NotServed, match=UNKNOWN):
            await shared_bot.studio.submit(request, place_name="The\nFoxes")
    results = await asyncio.gather(
        *(shared_bot.studio.submit(asked(f"un2 {at}", place="un2")) for at in range(5)),
        return_exceptions=True,
    )
    assert {type(each) for each in results} == {NotServed}
    for tenant in ("recording:un", "recording:un2"):
        assert await count(shared_bot, "places", tenant=tenant) == 1
        assert await count(shared_bot, "jobs", tenant=tenant) == 0
    assert await told(shared_bot, "recording:un") == [
        "The Foxes (recording:un) wants to use Raybot. Nothing is made there unless you approve "
        "it."
    ]
    assert len(await told(shared_bot, "recording:un2")) == 1


async def test_what_a_place_may_not_do_it_may_not_leave_behind(shared_bot: RunningBot) -> None:
    person = to_requester(workspace="un3")
    with pytest.raises(NotServed, match=UNKNOWN):
        await shared_bot.studio.preferences.change(person, {"model": "ray-2"})
    assert await shared_bot.studio.preferences.own(person) == {}
    for act in (
        shared_bot.studio.admin.pause(person.tenant, actor=person),
        shared_bot.studio.admin.block(person.tenant, "ben", actor=person),
        shared_bot.studio.admin.set_channels(person.tenant, {"1": "#a"}, actor=person),
    ):
        with pytest.raises(NotServed, match=UNKNOWN):
            await act
    assert await count(shared_bot, "place_rules", tenant=person.tenant) == 0
    assert await count(shared_bot, "audit_log", actor=person.person) == 0


async def test_an_approved_place_is_served_until_it_is_closed(shared_bot: RunningBot) -> None:
    studio = open_studio(shared_bot)
    with pytest.raises(NotServed):
        await studio.submit(asked("ap1", place="ap"))
    await studio.admin.approve("recording:ap", actor=BOSS)
    receipt = await shared_bot.studio.submit(asked("ap2", place="ap"))
    assert isinstance(receipt.notice, Accepted)
    assert {"named", "ap"} <= set(await studio.served("recording"))
    assert "ap" not in await studio.served("another")
    await studio.admin.close("recording:ap", actor=BOSS)
    assert "ap" not in await studio.served("recording")
    with pytest.raises(NotServed, match=UNKNOWN):
        await shared_bot.studio.submit(asked("ap3", place="ap"))
    assert len(await told(shared_bot, "recording:ap")) == 1
    job = await shared_bot.until(receipt.job_id, JobState.GENERATING)
    assert job.cost > 0, "what is under way goes on"
    log = schema.audit_log.c
    query = select(log.act).where(log.target == "recording:ap").order_by(log.id)
    acts = await shared_bot.app.database.read(lambda conn: list(conn.execute(query).scalars()))
    assert acts == ["approve", "close"]


async def test_a_closed_place_that_asks_again_disturbs_nobody(shared_bot: RunningBot) -> None:
    await open_studio(shared_bot).admin.close("recording:cl", actor=BOSS)
    with pytest.raises(NotServed, match=UNKNOWN):
        await shared_bot.studio.submit(asked("cl1", place="cl"))
    assert await told(shared_bot, "recording:cl") == []


async def test_only_an_operator_lets_places_in(shared_bot: RunningBot) -> None:
    studio = open_studio(shared_bot)
    there = to_requester("ana", workspace="op")
    for act in (studio.admin.approve, studio.admin.close, shared_bot.studio.admin.approve):
        actor = BOSS if act == shared_bot.studio.admin.approve else there
        with pytest.raises(NotAllowed, match="Only the operator of this bot"):
            await act("recording:op", actor=actor)
    slack = Requester(adapter="slack", workspace="hall", user="boss")
    with pytest.raises(NotAllowed, match="Only the operator"):
        await studio.admin.approve("recording:op", actor=slack)
    assert await count(shared_bot, "places", tenant="recording:op") == 0


async def test_bad_names_of_places_are_refused(shared_bot: RunningBot) -> None:
    admin = open_studio(shared_bot).admin
    for name in ("", "123", "recording:", "recording:a b", "x" * 300):
        with pytest.raises(InvalidRequest, match="named like discord:123"):
            await admin.approve(name, actor=BOSS)
    with pytest.raises(InvalidRequest, match=r"named in \[access\]"):
        await admin.close("recording:named", actor=BOSS)


# ---- from outside -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        ({"is_direct": True}, "no requests in direct messages"),
        ({}, "no requests in direct messages"),
        ({"is_install": True}, "no requests as a personal app"),
        ({"is_install": True, "is_direct": True}, "no requests as a personal app"),
    ],
)
async def test_who_asks_from_outside_is_refused_by_default(
    shared_bot: RunningBot, who: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NotServed, match=sentence):
        await shared_bot.studio.submit(outside(f"out {who}", home="named", **who))


@pytest.mark.parametrize("flag", ["direct_messages", "user_installs"])
async def test_members_of_a_served_place_may_ask_from_outside(
    shared_bot: RunningBot, flag: str
) -> None:
    studio = open_studio(shared_bot, **{flag: True})
    names = ["is_direct", "is_install"]
    if flag == "user_installs":
        names.reverse()
    who: dict[str, Any] = {names[0]: True}
    other: dict[str, Any] = {names[1]: True}
    user = f"out {flag}"
    receipt = await studio.submit(outside(flag, home="named", user=user, **who))
    assert isinstance(receipt.notice, Accepted)
    job = await shared_bot.job(receipt.job_id)
    assert job.request.requester.tenant == "recording:named", "it counts at home"
    home = to_requester(user, workspace="named")
    assert (await studio.usage(home)).today.asked == 1
    with pytest.raises(NotServed):
        await studio.submit(outside(f"{flag} other", home="named", user=user, **other))


@pytest.mark.parametrize(
    ("home", "place"),
    [("", "@me"), ("", "named"), ("strange", "strange"), ("strange", "named"), ("named", "@me")],
)
async def test_strangers_never_spend(shared_bot: RunningBot, home: str, place: str) -> None:
    studio = open_studio(shared_bot, direct_messages=True, user_installs=True)
    for flag in ("is_direct", "is_install"):
        away: dict[str, Any] = {flag: True}
        request = outside(f"{flag} {home} {place}", home=home, place=place, **away)
        with pytest.raises(NotServed, match="only members of a place that it serves"):
            await studio.submit(request)
    assert await count(shared_bot, "places", tenant=f"recording:{place}") == 0


async def test_who_asks_from_outside_runs_no_place(shared_bot: RunningBot) -> None:
    """Their rights are those of another place."""
    there = outside("x", home="named", is_install=True).requester
    with pytest.raises(NotAllowed, match="only in the place itself"):
        await shared_bot.studio.admin.pause("recording:named", actor=there)
    with pytest.raises(NotAllowed, match="only in the place itself"):
        shared_bot.studio.admin.check("recording:named", actor=there)
    shared_bot.studio.admin.check("recording:named", actor=to_requester(workspace="named"))


async def test_home_decides_about_its_members_everywhere(shared_bot: RunningBot) -> None:
    studio = open_studio(shared_bot, direct_messages=True)
    await studio.admin.approve("recording:hm", actor=BOSS)
    here = to_requester("guard", workspace="hm")
    await studio.admin.set_channels("recording:hm", {"art": "#art"}, actor=here)
    receipt = await studio.submit(outside("hm1", home="hm", is_direct=True, channel="dm"))
    assert isinstance(receipt.notice, Accepted), "the channels are those of the place"
    await studio.admin.block("recording:hm", "ben", actor=here)
    with pytest.raises(NotAllowed, match="You cannot use Raybot here"):
        await studio.submit(outside("hm2", home="hm", user="ben", is_direct=True))
    await studio.admin.pause("recording:hm", actor=here)
    with pytest.raises(Paused):
        await studio.submit(outside("hm3", home="hm", is_direct=True))


# ---- pause, channels, age ---------------------------------------------------------------------


async def test_a_paused_place_starts_nothing_and_goes_on_later(shared_bot: RunningBot) -> None:
    await open_studio(shared_bot).admin.approve("recording:pa", actor=BOSS)
    here, admin = to_requester("guard", workspace="pa"), shared_bot.studio.admin
    running_job = await shared_bot.studio.submit(asked("pa1", place="pa"))
    await shared_bot.until(running_job.job_id, JobState.GENERATING)
    dear = asked("pa2", place="pa").model_copy(
        update={"work": to_request(duration="9s").work},
    )
    waiting = await shared_bot.studio.submit(dear)
    assert isinstance(waiting.notice, ConfirmNeeded)
    await admin.pause("recording:pa", actor=here)
    paused_at = (await admin.rules("recording:pa")).paused_at
    with pytest.raises(Paused, match=r"paused here\. Those who run this place, or the operator"):
        await shared_bot.studio.submit(asked("pa3", place="pa"))
    with pytest.raises(Paused):
        await shared_bot.studio.confirm(waiting.job_id, dear.requester)
    shared_bot.clock.move(seconds=5)
    await admin.pause("recording:pa", actor=here)
    assert (await admin.rules("recording:pa")).paused_at == paused_at
    assert (await shared_bot.job(running_job.job_id)).state is JobState.GENERATING
    await admin.resume("recording:pa", actor=here)
    assert (await admin.rules("recording:pa")).paused_at is None
    for receipt in (
        await shared_bot.studio.submit(asked("pa4", place="pa")),
        await shared_bot.studio.confirm(waiting.job_id, dear.requester),
    ):
        assert isinstance(receipt.notice, Accepted)


async def test_only_the_allowed_channels_are_used(shared_bot: RunningBot) -> None:
    await open_studio(shared_bot).admin.approve("recording:ch", actor=BOSS)
    here, admin = to_requester("guard", workspace="ch"), shared_bot.studio.admin
    await admin.set_channels("recording:ch", {"1": "#art", "2": "#clips"}, actor=here)
    with pytest.raises(WrongChannel, match=r"You can use it in #art, #clips\.") as refused:
        await shared_bot.studio.submit(asked("ch1", place="ch", channel="3"))
    assert refused.value.channels == ("1", "2")
    await shared_bot.studio.submit(asked("ch2", place="ch", channel="2"))
    await admin.set_channels("recording:ch", {}, actor=here)
    await shared_bot.studio.submit(asked("ch3", place="ch", channel="3"))


async def test_very_many_channels_are_not_all_named(shared_bot: RunningBot) -> None:
    await open_studio(shared_bot).admin.approve("recording:many", actor=BOSS)
    here, admin = to_requester("guard", workspace="many"), shared_bot.studio.admin
    await admin.set_channels("recording:many", {str(at): "" for at in range(12)}, actor=here)
    with pytest.raises(WrongChannel, match=r"in 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …\."):
        await shared_bot.studio.submit(asked("many1", place="many"))
    too_many = {str(at): "" for at in range(201)}
    with pytest.raises(InvalidRequest, match="At most 200 channels"):
        await admin.set_channels("recording:many", too_many, actor=here)
    assert len((await admin.rules("recording:many")).channels) == 12


async def test_where_age_counts_only_age_restricted_channels_are_used(
    shared_bot: RunningBot,
) -> None:
    studio = shared_bot.studio_with(moderation=ModerationTable(require_age_restricted=True))
    with pytest.raises(NotAllowed, match="only in age-restricted channels"):
        await studio.submit(asked("age1", place="named"))
    request = asked("age2", place="named").model_copy(update={"is_age_restricted": True})
    receipt = await studio.submit(request)
    assert isinstance(receipt.notice, Accepted)
    retry = partial(studio.retry, receipt.job_id, request.requester, thread=request.thread)
    with pytest.raises(NotAllowed, match="age-restricted"):
        await retry(dedupe_key="age3")
    await retry(dedupe_key="age3", is_age_restricted=True)


async def test_a_block_of_a_place_holds_there_alone(shared_bot: RunningBot) -> None:
    await open_studio(shared_bot).admin.approve("recording:bl", actor=BOSS)
    here, admin = to_requester("guard", workspace="bl"), shared_bot.studio.admin
    until = shared_bot.clock.now() + timedelta(hours=1)
    await admin.block("recording:bl", "ben", actor=here, until=until, reason="spam")
    with pytest.raises(NotAllowed, match="You cannot use Raybot here until"):
        await shared_bot.studio.submit(asked("bl1", place="bl", user="ben"))
    await shared_bot.studio.submit(asked("bl2", place="named", user="ben"))
    await admin.unblock("recording:bl", "ben", actor=here)
    await shared_bot.studio.submit(asked("bl3", place="bl", user="ben"))


# ---- restarts ---------------------------------------------------------------------------------


async def test_who_was_blocked_meanwhile_is_not_taken_up_again(shared_bot: RunningBot) -> None:
    """Its row was written, its images were not read: nobody waits for the answer any more."""
    request = asked("late", place="named", user="late")
    person, now = request.requester.person, shared_bot.clock.now()
    started = await shared_bot.studio._intake._insert([request], None)
    assert started is not None
    job = started[0]
    await shared_bot.app.database.write(
        lambda tx: settings.block(tx, person, until=None, reason="", now=now)
    )
    await shared_bot.studio.leftovers.take_up()
    ended = await shared_bot.until(job.id, JobState.FAILED)
    assert ended.failure is not None
    assert ended.failure.code == "late_refusal"
    assert "Ask again, and you are told why" in ended.failure.sentence
    assert "cannot use Raybot" not in ended.failure.sentence, "others read it, too"
    await shared_bot.chat.until(lambda: shared_bot.chat.status(job.id) is not None)
    await shared_bot.check_books()
