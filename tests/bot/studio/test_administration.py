"""What those who run a place read and decide, on the true program against the simulator."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.errors import FrameRejected, InvalidRequest, NotAllowed
from bot.refs import JobId, ThreadRef
from bot.request import LinkFrame, Requester, to_video
from bot.simulator import Faults, Simulator
from bot.store import schema
from bot.studio import Administration, Setting, UsageRow
from bot.studio.rights import to_person
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLACES = ("use", "names", "csv", "lim", "set", "rul", "def", "act", "boss", "empty", "day")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningBot]:
    """One bot; each test has a place of its own."""
    async with Simulator(MANUAL, Faults()) as simulator:
        config = to_test_config(
            tmp_path_factory.mktemp("shared"),
            simulator,
            access={"servers": list(PLACES)},
            limits={"usd_per_tenant_per_month": 5, "timezone": "Asia/Kathmandu"},
        )
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
            yield bot


def guard(place: str) -> Requester:
    return to_requester("guard", workspace=place)


async def ask(
    bot: RunningBot,
    place: str,
    user: str,
    *,
    name: str = "",
    channel: str = "general",
    **work: Any,
) -> JobId:
    """One clip asked for in a place."""
    request = to_request(key=f"{place} {user} {len(bot.jobs)}", **work)
    requester = to_requester(user, workspace=place).model_copy(update={"display_name": name})
    thread = ThreadRef(adapter="recording", workspace=place, channel=channel)
    receipt = await bot.studio.submit(
        request.model_copy(update={"requester": requester, "thread": thread})
    )
    bot.jobs.append(receipt.job_id)
    return receipt.job_id


def today(bot: RunningBot) -> tuple[datetime, datetime]:
    now = bot.clock.now()
    return now - timedelta(days=1), now + timedelta(days=1)


async def audit(bot: RunningBot, place: str) -> list[tuple[str, str, str]]:
    """What somebody did in a place: the act, to what, and how."""
    log = schema.audit_log.c
    actor = guard(place).person
    query = select(log.act, log.target, log.detail).where(log.actor == actor).order_by(log.id)
    return await bot.app.database.read(lambda conn: [tuple(row) for row in conn.execute(query)])


async def draw_nothing(_days: Sequence[UsageRow]) -> None:
    """As where the extra `charts` is not installed."""


# ---- usage and limits -------------------------------------------------------------------------


async def test_usage_is_of_one_place_by_person_and_by_model(shared_bot: RunningBot) -> None:
    done = await shared_bot.finish(await ask(shared_bot, "use", "u1", name="Ana"))
    dear = await shared_bot.finish(await ask(shared_bot, "use", "u2", name="Ben", model="ray-2"))
    with pytest.raises(FrameRejected):
        await ask(shared_bot, "use", "u1", name="Ana", start_frame=LinkFrame(url="not a link"))
    await ask(shared_bot, "names", "u1", name="Ana")
    rows = await shared_bot.studio.admin.usage("recording:use", *today(shared_bot))
    assert [(row.label, row.asked, row.delivered, row.refused) for row in rows] == [
        ("Ben", 1, 1, 0),
        ("Ana", 2, 1, 1),
    ]
    assert [row.charged for row in rows] == [dear.cost, done.cost]
    models = await shared_bot.studio.admin.usage_by_model("recording:use", *today(shared_bot))
    assert [(row.label, row.asked) for row in models] == [("ray-2", 1), ("ray-flash-2", 2)]
    now = shared_bot.clock.now()
    early = now - timedelta(days=9), now - timedelta(days=8)
    assert await shared_bot.studio.admin.usage("recording:use", *early) == ()


async def test_people_are_told_apart(shared_bot: RunningBot) -> None:
    for user, name in (("n1", "Old"), ("n1", "Eva"), ("n2", "Eva"), ("n3", "")):
        await ask(shared_bot, "names", user, name=name)
    rows = await shared_bot.studio.admin.usage("recording:names", *today(shared_bot))
    assert {row.label for row in rows} >= {"Eva (n1)", "Eva (n2)", "n3"}


async def test_the_file_has_a_line_for_each_person_model_and_day(shared_bot: RunningBot) -> None:
    done = await shared_bot.finish(await ask(shared_bot, "csv", "c1", name="=HYPERLINK(evil)"))
    await ask(shared_bot, "csv", "c1", name="=HYPERLINK(evil)")
    await ask(shared_bot, "csv", "c1", name="=HYPERLINK(evil)", model="ray-2")
    await ask(shared_bot, "csv", "c2", name='Ana, "the\nbest"')
    text = await shared_bot.studio.admin.usage_csv("recording:csv", *today(shared_bot))
    day = shared_bot.clock.now() + timedelta(hours=5, minutes=45)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {line["day"] for line in lines} == {f"{day:%Y-%m-%d}"}
    assert [(line["person"], line["name"], line["model"], line["asked"]) for line in lines] == [
        ("recording:csv:c1", "'=HYPERLINK(evil)", "ray-2", "1"),
        ("recording:csv:c1", "'=HYPERLINK(evil)", "ray-flash-2", "2"),
        ("recording:csv:c2", 'Ana, "the best"', "ray-flash-2", "1"),
    ]
    assert lines[1]["charged_usd"] == f"{done.cost / 1e6:.6f}"
    assert lines[1]["delivered"] == "1"
    assert float(lines[1]["seconds"]) == pytest.approx(5, abs=0.1)


async def test_the_days_of_a_place_come_as_rows_and_files(shared_bot: RunningBot) -> None:
    done = await shared_bot.finish(await ask(shared_bot, "day", "d1", name="Ana"))
    used = await shared_bot.studio_with(chart=draw_nothing).admin.usage_of_days("recording:day", 7)
    assert [row.asked for row in used.days] == [0] * 6 + [1]
    assert used.days[-1].charged == done.cost
    day = (shared_bot.clock.now() + timedelta(hours=5, minutes=45)).date()
    assert used.days[-1].label == day.isoformat()
    assert (used.since.hour, used.since.minute) == (18, 15), "a day begins at midnight"
    people, days = (document.content.decode() for document in used.documents)
    assert "Ana" in people
    assert days.splitlines()[-1].startswith(f"{day},1,1,0,0,5.")
    assert days.splitlines()[-1].endswith(f",{done.cost / 1e6:.6f}")
    assert len(days.splitlines()) == 8
    own = to_requester("d1", workspace="day")
    assert (await shared_bot.studio.usage_by_day(own))[-1] == used.days[-1]


async def test_a_place_without_jobs_has_an_empty_file(shared_bot: RunningBot) -> None:
    text = await shared_bot.studio.admin.usage_csv("recording:empty", *today(shared_bot))
    assert text.splitlines() == [
        "day,person,name,model,asked,delivered,refused,failed,seconds,charged_usd"
    ]


async def test_the_audit_log_says_limits_as_they_are_said_in_chat(shared_bot: RunningBot) -> None:
    here, admin = guard("set"), shared_bot.studio.admin
    changes = {"usd_per_person_per_day": "$2.50", "resolutions": "540p"}
    await admin.set_limits(here.tenant, changes, actor=here)
    await admin.set_limits(here.tenant, {"clips_per_person_per_day": "9"}, actor=here, role="77")
    taken_back = {"usd_per_person_per_day": ""}
    await admin.set_limits(here.tenant, taken_back, actor=here, channel="1")
    assert await audit(shared_bot, "set") == [
        ("limits", here.tenant, "usd_per_person_per_day 2.5, resolutions 540p"),
        ("limits", here.tenant, "clips_per_person_per_day 9 for role 77"),
        ("limits", f"{here.tenant}:1", "usd_per_person_per_day taken back"),
    ]


async def test_limits_say_what_holds_and_what_is_used(shared_bot: RunningBot) -> None:
    done = await shared_bot.finish(await ask(shared_bot, "lim", "l1"))
    held = await shared_bot.job(await ask(shared_bot, "lim", "l2"))
    page = await shared_bot.studio.admin.limits("recording:lim")
    assert page.limits.usd_per_tenant_per_month == 5
    assert page.used["usd_per_tenant_per_month"] == done.cost + held.cost
    assert page.used["usd_total_per_month"] >= done.cost + held.cost
    assert (page.month.asked, page.month.charged) == (2, done.cost)
    assert page.month_ends > shared_bot.clock.now()


# ---- rules ------------------------------------------------------------------------------------


async def test_rules_tell_what_was_decided(shared_bot: RunningBot) -> None:
    here, admin = guard("rul"), shared_bot.studio.admin
    before = await admin.rules(here.tenant)
    assert (before.is_served, before.paused_at, before.blocked) == (True, None, ())
    await admin.pause(here.tenant, actor=here)
    await admin.set_channels(here.tenant, {"1": "#a\u202et"}, actor=here)
    await admin.set_defaults(here.tenant, {"loop": "true"}, actor=here)
    await admin.set_defaults(here.tenant, {"resolution": "720p"}, actor=here, channel="1")
    until = shared_bot.clock.now() + timedelta(days=1)
    await admin.block(here.tenant, "b1", actor=here, until=until, reason="spam\n")
    shared_bot.clock.move(seconds=1)
    await admin.block(here.tenant, "b2", actor=here)
    rules = await admin.rules(here.tenant)
    assert rules.paused_at is not None
    assert rules.channels == {"1": "#at"}
    assert rules.defaults == {"loop": "true"}
    assert rules.channel_defaults == {"1": {"resolution": "720p"}}
    assert [(each.user, each.until, each.reason) for each in rules.blocked] == [
        ("b2", None, ""),
        ("b1", until, "spam"),
    ]
    assert (await admin.rules("recording:ru")).blocked == (), "a name that begins alike"
    await admin.resume(here.tenant, actor=here)
    await admin.unblock(here.tenant, "b2", actor=here)
    shared_bot.clock.move(days=1)
    assert (await admin.rules(here.tenant)).blocked == ()
    assert [act for act, _, _ in await audit(shared_bot, "rul")] == [
        *("pause", "channels", "defaults", "defaults", "block", "block", "resume", "unblock"),
    ]
    assert ("block", "recording:rul:b1", f"until {until:%Y-%m-%d %H:%M} UTC spam") in await audit(
        shared_bot, "rul"
    )
    assert ("defaults", "recording:rul:1", "resolution=720p") in await audit(shared_bot, "rul")


async def test_typed_over_own_over_channel_over_place_over_house(shared_bot: RunningBot) -> None:
    here, admin = guard("def"), shared_bot.studio.admin
    changes = {"aspect_ratio": "16:9", "duration": "9s", "resolution": "720p", "loop": "true"}
    assert await admin.set_defaults(here.tenant, changes, actor=here) == changes
    there = {"aspect_ratio": "9:16", "duration": "5s", "resolution": "1080p"}
    await admin.set_defaults(here.tenant, there, actor=here, channel="art")
    person = to_requester("d1", workspace="def")
    await shared_bot.studio.preferences.change(person, {"aspect_ratio": "4:3", "duration": "9s"})

    job = await shared_bot.job(
        await ask(shared_bot, "def", "d1", channel="art", aspect_ratio="21:9")
    )
    work = to_video(job.work)
    got = (work.aspect_ratio, work.duration, work.resolution, work.loop)
    assert got == ("21:9", "9s", "1080p", True)
    assert job.work.model == "ray-flash-2"
    job = await shared_bot.job(await ask(shared_bot, "def", "d2"))
    assert (job.work.aspect_ratio, to_video(job.work).resolution) == ("16:9", "720p")

    assert await shared_bot.studio.preferences.in_channel(person, "art") == (
        Setting(name="model", value="ray-flash-2", source="house"),
        Setting(name="duration", value="9s", source="yours"),
        Setting(name="resolution", value="1080p", source="channel"),
        Setting(name="aspect_ratio", value="4:3", source="yours"),
        Setting(name="loop", value="true", source="place"),
        Setting(name="concepts", value="", source="house"),
        Setting(name="prefix", value="", source="house"),
        Setting(name="suffix", value="", source="house"),
        Setting(name="animate_mine", value="anyone", source="house"),
    )
    elsewhere = {
        each.name: each.source
        for each in await shared_bot.studio.preferences.in_channel(person, "x")
    }
    assert elsewhere["resolution"] == "place"
    other = await shared_bot.studio.preferences.in_channel(to_requester("d1"), "art")
    assert {each.source for each in other} == {"house"}
    left = await admin.set_defaults(here.tenant, {"loop": "", "duration": ""}, actor=here)
    assert left == {"aspect_ratio": "16:9", "resolution": "720p"}


async def test_a_person_and_a_channel_of_the_same_number_are_two(shared_bot: RunningBot) -> None:
    here = guard("def")
    await shared_bot.studio.admin.set_defaults(
        here.tenant, {"aspect_ratio": "9:21"}, actor=here, channel="77"
    )
    assert await shared_bot.studio.preferences.own(to_requester("77", workspace="def")) == {}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"colour": "red"}, "no setting 'colour'"),
        ({"duration": "7s"}, "Choose 5s or 9s"),
        ({"resolution": "4k"}, "4k is off here"),
        ({"model": "ray-9"}, "nearest is ray-2"),
    ],
)
async def test_defaults_that_cannot_be_change_nothing(
    shared_bot: RunningBot, changes: dict[str, str], sentence: str
) -> None:
    here = guard("act")
    for channel in ("", "1"):
        with pytest.raises((InvalidRequest, NotAllowed), match=sentence):
            await shared_bot.studio.admin.set_defaults(
                here.tenant, changes, actor=here, channel=channel
            )
    rules = await shared_bot.studio.admin.rules(here.tenant)
    assert (rules.defaults, rules.channel_defaults) == ({}, {})


# ---- who may ----------------------------------------------------------------------------------


def acts(bot: RunningBot, admin: Administration, tenant: str, actor: Requester) -> dict[str, Any]:
    """Every act on a place that is remembered, by the word that the audit log has for it."""
    return {
        "pause": admin.pause(tenant, actor=actor),
        "resume": admin.resume(tenant, actor=actor),
        "block": admin.block(tenant, "ben", actor=actor),
        "unblock": admin.unblock(tenant, "ben", actor=actor),
        "channels": admin.set_channels(tenant, {"1": "#a"}, actor=actor),
        "defaults": admin.set_defaults(tenant, {"loop": "true"}, actor=actor),
        "limits": admin.set_limits(tenant, {"clips_per_person_per_day": "9"}, actor=actor),
        "grant": admin.grant(tenant, "ben", 5, actor=actor),
        "digest": admin.set_digest(tenant, "news", actor=actor),
        "policy": admin.set_policy(tenant, {"remix": "own"}, actor=actor),
        "words": admin.set_words(tenant, actor=actor, words=["clown"]),
        "forget": bot.studio.erasure.forget_other(tenant, "ben", actor=actor, is_confirmed=True),
    }


async def test_nobody_acts_on_another_place(shared_bot: RunningBot) -> None:
    stranger = guard("use")
    for attempt in acts(shared_bot, shared_bot.studio.admin, "recording:act", stranger).values():
        with pytest.raises(NotAllowed, match="only in the place itself"):
            await attempt
    with pytest.raises(NotAllowed, match="only in the place itself"):
        await shared_bot.studio.admin.words("recording:act", actor=stranger)
    assert await audit(shared_bot, "use") == []


async def test_every_act_on_a_place_is_remembered(shared_bot: RunningBot) -> None:
    here, admin = guard("act"), shared_bot.studio.admin
    person = to_requester("ben", workspace="act")
    await shared_bot.studio.preferences.change(person, {"aspect_ratio": "9:16"})
    attempts = acts(shared_bot, admin, here.tenant, here)
    for attempt in attempts.values():
        await attempt
    assert [act for act, _, _ in await audit(shared_bot, "act")] == list(attempts)
    shown = [line.act for line in await admin.audit(here.tenant)]
    assert shown == list(reversed(attempts))
    decided = {
        name
        for name, method in inspect.getmembers(Administration, inspect.iscoroutinefunction)
        if {"tenant", "actor"} <= set(inspect.signature(method).parameters) and name[0] != "_"
    }
    # The first is only read; the others are the operator's, about a place and not in it.
    called = {each.cr_code.co_name for each in attempts.values()}
    assert decided - called == {"words", "approve", "close"}


async def test_an_operator_acts_on_every_place(shared_bot: RunningBot) -> None:
    admin = shared_bot.studio_with(operators=frozenset({"recording:boss"})).admin
    boss = to_requester("boss", workspace="nowhere").model_copy(update={"is_direct": True})
    assert admin.is_operator(boss)
    assert not admin.is_operator(guard("act"))
    attempts = acts(shared_bot, admin, "recording:boss", boss)
    attempts.pop("forget").close()
    for attempt in attempts.values():
        await attempt
    rules = await admin.rules("recording:boss")
    assert (rules.paused_at, rules.channels, rules.defaults) == (
        None,
        {"1": "#a"},
        {"loop": "true"},
    )


async def test_where_ids_are_of_one_workspace_an_operator_is_one_there_alone(
    shared_bot: RunningBot,
) -> None:
    admin = shared_bot.studio_with(operators=frozenset({"recording:T1:boss"})).admin
    assert admin.is_operator(to_requester("boss", workspace="T1"))
    assert not admin.is_operator(to_requester("boss", workspace="T2"))
    assert not admin.is_operator(to_requester("ben", workspace="T1"))


async def test_somebody_is_named_by_their_id_or_as_lists_name_them() -> None:
    here = "slack:T1"
    assert to_person(here, "U1") == to_person(here, "slack:T1:U1") == "slack:T1:U1"
    with pytest.raises(InvalidRequest, match="by an id of somebody in slack:T1"):
        to_person(here, "slack:T2:U1")


async def test_bad_acts_change_nothing(shared_bot: RunningBot) -> None:
    here, admin = guard("empty"), shared_bot.studio.admin
    now = shared_bot.clock.now()
    for attempt, sentence in (
        (admin.block(here.tenant, "", actor=here), "Say whom"),
        (admin.block(here.tenant, "other:ben", actor=here), "by an id of somebody in"),
        (admin.block(here.tenant, "ben", actor=here, until=now), "still to come"),
        (admin.unblock(here.tenant, "ben", actor=here), "not blocked"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            await attempt
    assert await audit(shared_bot, "empty") == []


async def test_the_books_of_this_house_add_up(shared_bot: RunningBot) -> None:
    await shared_bot.check_books()
