"""What people make of a clip in Slack: by its buttons, its list, and the forms behind them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from adapters.follow_ups import DEEDS
from adapters.slack import act_forms
from adapters.slack.filled import Place
from bot.acts import NEEDS, Act, Needs, Offered, Option
from bot.errors import InvalidRequest
from bot.job import Job
from bot.request import ClipFrame, ImageFrame, frames_of
from bot.store import jobs
from tests.adapters.slack.block_rules import check_view
from tests.adapters.slack.conftest import Community, LocalSlack, picture
from tests.adapters.slack.test_dialogues import job_of
from tests.notices import PRICE
from tests.slack_server import Message, Person, View

PLACE = Place(channel="C1", thread="10.1", message="12.7", job="r-00000abcde")


async def all_jobs(community: Community) -> list[Job]:
    """Every job, newest first."""
    found = await community.bot.app.database.read(
        lambda conn: [
            job
            for user in (community.ana.id, community.ben.id)
            for job in jobs.of_person(conn, f"slack:{community.team.id}:{user}", search="", page=1)
        ]
    )
    return sorted(found, key=lambda job: job.created_at, reverse=True)


async def is_told(community: Community, words: str) -> None:
    """Ben, and nobody else, is told this."""
    await community.ben.wait_ephemeral(lambda each: words in each.plain)


def forge(view: View, value: str) -> None:
    """A list takes a value that it does not offer."""
    option = {"text": {"type": "plain_text", "text": value}, "value": value}
    view.blocks[0]["element"]["options"].append(option)


def asking(community: Community, count: int) -> list[Message] | None:
    """So many status messages that ask for one word for all of them."""
    words = f"These {count} clips cost about "
    asks = [each for each in community.slack.said(community.general) if words in each.plain]
    return asks if len(asks) == count else None


async def pick(person: Person, clip: Message, act: str) -> View:
    """Press More… under a clip, and what is on the list; the form takes the list's place."""
    shown = await (await person.click(clip, "More…")).wait_view()
    before = shown.hash
    await person.click(shown, act)
    return await person.wait_changed(shown, before)


async def test_more_is_a_list_with_prices_and_asks_for_what_an_act_needs(
    community: Community,
) -> None:
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    first = job_of(await community.status("Delivered"))
    shown = await (await community.ben.click(clip, "More…")).wait_view()
    listed = set(shown.buttons)
    assert "in another shape · from ≈ $" in shown.plain
    assert {"Final", "Reframe", "Modify", "Prequel", "Join", "Variations", "Report"} <= listed
    # What the service asks for these nobody knows, so they are not offered.
    assert not {"Upscale", "Add sound"} & listed
    view = await pick(community.ben, clip, "Reframe")
    shapes = view.blocks[0]["element"]["options"]
    assert "1:1" not in [each["value"] for each in shapes]
    assert " · ≈ $" in shapes[0]["text"]["text"]
    sent = await community.ben.submit(view, {"choice": "9:16"})
    assert sent.closed
    await community.slack.wait_for(lambda: len(community.clips()) == 2)
    newest = (await all_jobs(community))[0]
    assert (newest.parent, newest.work.kind, newest.work.aspect_ratio) == (
        first,
        "reframe",
        "9:16",
    )
    assert newest.request.requester.user == community.ben.id
    [reframed] = [each for each in community.clips() if each is not clip]
    assert reframed.thread_ts == clip.thread_ts
    assert "Reframed from" in str(reframed.blocks)
    await community.bot.check_books()


async def test_what_is_on_the_list_is_asked_for_in_its_form(
    open_community: Callable[..., Any],
) -> None:
    # Luma names no price for these two, so they are off until the operator enters one.
    prices = {"ray-flash-2/upscale": 0.001, "ray-flash-2/audio": 0.05}
    community = await open_community(luma={"prices": prices})
    await community.ana.slash("/ray", "a fox --draft", community.general)
    clip = await community.clip()
    first = (await all_jobs(community))[0]
    await community.bot.delivered(first.id)
    await community.ana.slash("/ray", f"extend {first.id} it runs", community.general)
    await community.slack.wait_for(lambda: len(community.clips()) == 2)
    second = (await all_jobs(community))[0]
    await community.bot.delivered(second.id)
    # What becomes of each is in the journeys of the core.
    community.bot.simulator.faults.slow(1000, times=6)
    for count, (label, values) in enumerate(
        (
            ("Prequel", {"prompt": "it wakes"}),
            ("Join", {"other": second.id}),
            ("Final", {"choice": "1080p"}),
            ("Modify", {"choice": "flex_2", "prompt": "a drawing"}),
            ("Upscale", {"choice": "1080p"}),
            ("Add sound", {"prompt": "paws", "without": "wind"}),
        ),
        start=3,
    ):
        view = await pick(community.ana, clip, label)
        assert (await community.ana.submit(view, values)).closed, label
        # What is sent next may overtake it.
        async with asyncio.timeout(30):
            while len(await all_jobs(community)) < count:
                await asyncio.sleep(0.02)
    relations = [each.request.relation for each in reversed(await all_jobs(community))]
    assert relations == [
        *(None, "extend", "prequel", "join", "final", "modify", "upscale", "audio")
    ]
    await community.bot.check_books()


async def test_the_list_works_after_a_restart_again_and_again_and_says_what_cannot_be(
    local_slack: LocalSlack,
) -> None:
    async with local_slack.community() as community:
        await community.ana.slash("/ray", "a fox", community.general)
        clip = await community.clip()
        first = (await all_jobs(community))[0]
        await community.bot.delivered(first.id)
        shown = await (await community.ben.click(clip, "More…")).wait_view()
    async with local_slack.community() as community:
        before = shown.hash
        await community.ben.click(shown, "Reframe")
        form = await community.ben.wait_changed(shown, before)
        # Who cancels can choose the same again.
        form.is_open = False
        assert (await pick(community.ben, clip, "Reframe")).said["callback_id"] == act_forms.DEED
        listed = await (await community.ben.click(clip, "More…")).wait_view()
        closed = await (await community.ben.click(clip, "More…")).wait_view()
        closed.is_open = False
        asked = await community.ben.click(closed, "Modify")
        assert (await asked.wait_view()).said["callback_id"] == act_forms.DEED
        await community.bot.studio.delete(first.id, first.request.requester)
        before = listed.hash
        await community.ben.click(listed, "Join")
        assert "was deleted" in (await community.ben.wait_changed(listed, before)).plain
        assert len(await all_jobs(community)) == 1


async def test_a_clip_goes_on_and_is_varied_at_once(community: Community) -> None:
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    first = job_of(await community.status("Delivered"))
    view = await (await community.ana.click(clip, "Extend")).wait_view()
    await community.ana.submit(view, {"prompt": "it runs"})
    view = await pick(community.ana, clip, "Variations")
    await community.ana.submit(view, {"choice": "3"})
    await community.ana.click(clip, "Loop")
    await community.slack.wait_for(lambda: len(community.clips()) == 6)
    every = await all_jobs(community)
    relations = sorted(str(job.request.relation) for job in every)
    assert relations == ["None", "extend", "loop", "variation", "variation", "variation"]
    assert {job.parent for job in every} == {None, first}
    shown = await community.ana.slash("/ray", f"show {first}", community.general)
    await shown.wait_said(lambda text: text.count("a variation") == 3 and "an extension" in text)
    await community.bot.check_books()


async def test_what_cannot_be_is_said_at_its_field_or_privately_and_starts_nothing(
    community: Community,
) -> None:
    await community.ana.slash("/ray", "a fox --ar 16:9", community.general)
    clip = await community.clip()
    first = (await all_jobs(community))[0]
    await community.bot.delivered(first.id)
    elsewhere = await community.bot.ask()
    join = await pick(community.ben, clip, "Join")
    for typed, says in (("the other one", "looks like"), (first.id, "two different")):
        refused = await community.ben.submit(join, {"other": typed})
        assert says in refused.errors["other"]
    modify = await pick(community.ben, clip, "Modify")
    assert (await community.ben.submit(modify, {"prompt": " "})).errors.keys() == {"prompt"}
    await community.ben.submit(join, {"other": elsewhere})
    await is_told(community, f"no job {elsewhere}")
    # What no list of ours offers.
    for act, value, says in (("Variations", "5", "1 to 4"), ("Reframe", "16:9", "16:9 already")):
        view = await pick(community.ben, clip, act)
        forge(view, value)
        await community.ben.submit(view, {"choice": value})
        await is_told(community, says)
    late = await pick(community.ben, clip, "Reframe")
    await community.bot.studio.delete(first.id, first.request.requester)
    await community.ben.submit(late, {"choice": "9:16"})
    await is_told(community, "was deleted")
    assert len(await all_jobs(community)) == 1


async def test_nothing_comes_of_a_clip_that_failed_or_is_for_its_maker_only(
    community: Community,
) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    ruled = await boss.slash(
        "/ray", f"admin rule remix own {community.general.mention}", community.general
    )
    await ruled.wait_said(lambda text: "remix own" in text)
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    await community.bot.delivered((await all_jobs(community))[0].id)
    pressed = await community.ben.click(clip, "Loop")
    await pressed.wait_said(lambda text: "who made" in text)
    community.bot.simulator.faults.fail("Your prompt was flagged by moderation")
    await community.ana.slash("/ray", "a wolf", community.general)
    failed = await community.status("No clip this time")
    row = next(each for each in failed.blocks if each["type"] == "actions")
    row["elements"][0]["action_id"] = row["elements"][0]["action_id"].replace(":retry:", ":loop:")
    pressed = await community.ana.click(failed, "Retry")
    await pressed.wait_said(lambda text: "has no clip" in text)
    button = row["elements"][0]
    for act in ("extend", "more"):
        button["action_id"] = re.sub(r"ray:\w+:", f"ray:{act}:", button["action_id"])
        pressed = await community.ana.click(failed, "Retry")
        await pressed.wait_said(lambda text: "has no clip" in text)
    assert len(await all_jobs(community)) == 2


async def test_what_was_made_of_a_clip_is_not_remixed(community: Community) -> None:
    await community.ana.slash("/ray", "a fox --res 540p", community.general)
    await community.clip()
    [first] = await all_jobs(community)
    await community.bot.delivered(first.id)
    community.bot.simulator.faults.fail("It broke")
    await community.ana.slash("/ray", f"modify {first.id} flex_2 a drawing", community.general)
    failed = await community.status("No clip this time")
    assert failed.buttons == ["Retry"]
    # As it stood under those that failed before.
    row = next(each for each in failed.blocks if each["type"] == "actions")
    row["elements"][0]["action_id"] = row["elements"][0]["action_id"].replace(":retry:", ":remix:")
    pressed = await community.ana.click(failed, "Retry")
    await pressed.wait_said(lambda text: f"was made of {first.id}" in text)
    assert len(await all_jobs(community)) == 2


async def test_several_are_confirmed_by_one_word_and_told_in_one_line(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.4})
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    await community.bot.delivered((await all_jobs(community))[0].id)
    view = await pick(community.ben, clip, "Variations")
    assert (await community.ben.submit(view, {"choice": "3"})).closed
    # Slack tells it again.
    view.is_open = True
    assert (await community.ben.submit(view, {"choice": "3"})).closed
    told = await community.ben.wait_ephemeral(lambda each: "3 at once" in each.plain)
    assert "together. Make them?" in told.plain
    every = [job for job in await all_jobs(community) if job.parent]
    assert all(job.id in told.plain for job in every)
    assert len(every) == 3
    asks = await community.hurry(lambda: asking(community, 3))
    assert len(community.bot.simulator.generations) == 1
    await community.ben.click(asks[1], "Confirm")
    await community.slack.wait_for(lambda: len(community.clips()) == 4)
    assert {each.thread_ts for each in community.clips()} == {clip.thread_ts}
    assert ["3 at once" in each.plain for each in community.ben.ephemerals].count(True) == 1
    await community.bot.check_books()


async def test_an_extension_ends_on_an_image_and_one_of_a_private_clip_stays_private(
    community: Community,
) -> None:
    await community.ana.slash("/ray", "a secret fox --private", community.general)
    clip = await community.clip(community.ana.direct)
    await community.bot.delivered((await all_jobs(community))[0].id)
    view = await (await community.ana.click(clip, "Extend")).wait_view()
    await community.ana.submit(view, {"end": ("den.png", picture())})
    await community.slack.wait_for(lambda: len(community.clips(community.ana.direct)) == 2)
    newest = (await all_jobs(community))[0]
    start, end = frames_of(newest.work)
    assert isinstance(start, ClipFrame)
    assert isinstance(end, ImageFrame)
    assert newest.work.prompt == "a secret fox", "its own words stood there"
    assert newest.request.is_private
    assert community.slack.said(community.general) == []


# ---- what a form asks ------------------------------------------------------------------------


@pytest.mark.parametrize("act", [*DEEDS])
def test_every_form_is_one_that_slack_takes_with_what_is_usual_in_it(act: Act) -> None:
    values = {"count": "1", "resolution": "1080p", "ratio": "9:16", "mode": "flex_1"}
    usual = values.get(NEEDS[act].choice)
    options = tuple(Option(value=each, price=PRICE) for each in filter(None, [usual, "other"]))
    offer = Offered(act=act, options=options if usual else ())
    if NEEDS[act] == Needs():
        return
    view = act_forms.deed_view(offer, PLACE, prompt="a fox")
    check_view(view)
    elements = {each["block_id"]: each["element"] for each in view["blocks"]}
    first = elements.get("choice", {}).get("initial_option", {}).get("value")
    assert first == (usual if NEEDS[act].choice != "ratio" else None)
    assert ("initial_value" in elements.get("prompt", {})) == (
        NEEDS[act].prompt != "none" and act != "audio"
    )
    state = {
        name: {name: {"value": "words", "selected_option": {"value": usual}}} for name in elements
    }
    if "other" in state:
        state["other"]["other"]["value"] = "r-0123456789"
    filled = {**view, "state": {"values": state}}
    assert act_forms.errors_of(filled) == {}
    read = act_forms.read_deed(filled)
    assert (read.act, read.place.job, read.choice) == (act, PLACE.job, usual or "")


def test_words_without_room_are_kept_whole_by_an_empty_field() -> None:
    view = act_forms.deed_view(Offered(act="extend"), PLACE, prompt="🦊" * 4000)
    check_view(view)
    assert "initial_value" not in str(view)


@pytest.mark.parametrize("carried", ["", "{", "{}", '{"channel":"C1","act":"fly"}', "[1]"])
def test_a_form_of_another_version_is_refused_beside_it(carried: str) -> None:
    view = {"callback_id": act_forms.DEED, "private_metadata": carried, "state": {"values": {}}}
    assert act_forms.errors_of(view) == {}
    with pytest.raises(InvalidRequest, match="another version"):
        act_forms.read_deed(view)
