"""Stars, letters and reports in Slack, and what moderators decide."""

from __future__ import annotations

import asyncio

from adapters.slack.events import read
from adapters.slack.filled import Place, read_place
from adapters.slack.more import list_view, report_view
from bot.acts import Offered
from bot.store import errands
from tests.adapters.slack.conftest import Lane, Town
from tests.adapters.slack.kit import check_view
from tests.adapters.slack.test_deeds import all_jobs, pick
from tests.slack_server import Channel, Message, Person


async def rule(boss: Person, lane: Lane, name: str, value: str) -> None:
    asked = await boss.slash("/ray", f"admin rule {name} {value}", lane.general)
    await asked.wait_said(lambda text: name in text)


async def made(lane: Lane, prompt: str = "a fox") -> Message:
    """A clip of Ana's that everybody sees."""
    await lane.ana.slash("/ray", prompt, lane.general)
    clip = await lane.clip()
    await lane.house.delivered((await all_jobs(lane))[0].id)
    return clip


async def settled(lane: Lane) -> None:
    """All that Slack told is carried out, and nothing is to be posted because of it."""
    await lane.slack.wait_acked()
    async with asyncio.timeout(10):
        while await lane.house.studio.inbox.undone("slack"):
            await asyncio.sleep(0.01)
        while await lane.house.app.database.read(errands.next_due):
            await asyncio.sleep(0.01)


async def test_a_report_goes_to_the_moderators_and_only_they_decide(lane: Lane) -> None:
    boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
    office = lane.slack.channel(lane.team, "office", members=[boss, lane.ben])
    await rule(boss, lane, "moderators_channel", office.mention)
    clip = await made(lane)
    view = await pick(lane.ben, clip, "Report")
    sent = await lane.ben.submit(view, {"reason": "It is <!channel> *cruel*."})
    assert sent.closed
    await lane.ben.wait_ephemeral(lambda each: "Thank you" in each.plain)
    report = await lane.slack.wait_message(office, lambda each: "was reported" in each.plain)
    assert report.buttons == ["Remove", "Block", "Keep"]
    assert "Reason: It is <!channel> *cruel*." in report.plain
    assert lane.ben.name not in report.plain
    pressed = await lane.ben.click(report, "Remove")
    await pressed.wait_said(lambda text: "Only admins" in text)
    assert lane.clips() == [clip]
    pressed = await boss.click(report, "Remove")
    await pressed.wait_said(lambda text: "was removed" in text)
    await lane.slack.wait_for(lambda: not lane.clips())
    await lane.slack.wait_for(lambda: not report.buttons and "Decided by" in report.plain)
    assert f"Decided by <@{boss.id}>." in report.text, "an edit, which calls nobody"
    view.is_open = True
    await lane.ben.submit(view)
    assert len(lane.slack.said(office)) == 1
    audit = await boss.slash("/ray", "admin audit", lane.general)
    await audit.wait_said(lambda text: "report removed" in text)


async def test_a_name_that_is_no_channel_is_not_taken(lane: Lane) -> None:
    boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
    asked = await boss.slash("/ray", "admin rule moderators_channel office", lane.general)
    await asked.wait_said(lambda text: "Choose a channel of this workspace" in text)


async def gallery_of(lane: Lane, boss: Person, stars: int) -> Channel:
    shelf = lane.slack.channel(lane.team, "gallery", members=[boss])
    await rule(boss, lane, "gallery_channel", shelf.mention)
    await rule(boss, lane, "gallery_stars", str(stars))
    return shelf


async def test_enough_stars_bring_a_clip_into_the_gallery_once(town: Town) -> None:
    async with town.lane() as lane:
        boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
        robot = lane.slack.person("Robot", lane.team, lane.general, is_bot=True)
        shelf = await gallery_of(lane, boss, 2)
        clip = await made(lane)
        lane.slack.happenings.repeat_events = 2
        for person in (lane.ana, robot, lane.ben):
            await person.react(clip, "star")
        before = lane.slack.world.ts()
        await lane.ben.unreact(clip, "star")
        await boss.react(clip, "star")
        await settled(lane)
        # Of a star that was taken back it is told only after that.
        await lane.slack.happenings.reacted(clip, lane.ben.id, "star", at=before)
        await settled(lane)
        assert lane.slack.said(shelf) == [], "one's own, a bot's and one taken back do not count"
        await lane.ben.react(clip, "star")
        shown = await lane.clip(shelf)
        assert "★ 2 · A clip by Ana" in shown.plain
        assert f"message_ts={clip.ts}" in str(shown.blocks)
        assert f"<@{lane.ana.id}>" not in str(shown.blocks)
    async with town.lane() as lane:
        await lane.slack.redeliver()
        carl = lane.slack.person("Carl", lane.team, lane.general)
        await carl.react(clip, "star")
        await settled(lane)
        assert lane.clips(shelf) == [shown]
        await lane.house.check_books()


async def test_a_star_that_was_acknowledged_counts_whenever_the_next_process_begins(
    town: Town,
) -> None:
    async with town.lane() as lane:
        boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
        shelf = await gallery_of(lane, boss, 1)
        clip = await made(lane)
        who = lane.slack.faults.hold("users.info")
        await lane.ben.react(clip, "star")
        await asyncio.wait_for(who.reached.wait(), 10)
        await lane.slack.wait_acked()
    who.open()
    town.clock.move(minutes=11)
    async with town.lane() as lane:
        await lane.clip(shelf)
        await settled(lane)
        assert lane.ben.ephemerals == []


async def test_a_letter_brings_a_copy_once_and_nothing_private_goes_round(lane: Lane) -> None:
    boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
    shelf = await gallery_of(lane, boss, 1)
    clip = await made(lane)
    await lane.ben.react(clip, "email")
    copy = await lane.clip(lane.ben.direct)
    assert "A clip by Ana" in copy.plain
    await lane.ben.react(clip, "envelope")
    await lane.ana.slash("/ray", "a secret --private", lane.general)
    secret = await lane.clip(lane.ana.direct)
    await lane.house.delivered((await all_jobs(lane))[0].id)
    await settled(lane)
    calls = len(lane.slack.requests)
    await lane.ana.react(secret, "star")
    word = await lane.ana.say("hello", lane.general)
    await lane.ben.react(word, "star")
    await lane.ben.react(clip, "eyes")
    await settled(lane)
    assert lane.clips(lane.ben.direct) == [copy]
    assert lane.slack.said(shelf) == []
    assert len(lane.slack.requests) == calls


def test_what_is_no_reaction_to_us_is_not_even_kept() -> None:
    event: dict[str, object] = {
        "type": "reaction_added",
        "user": "U1",
        "reaction": "star",
        "item_user": "UB",
    }
    event |= {"item": {"type": "message", "channel": "C1", "ts": "1.2"}, "event_ts": "9.9"}

    def heard(**more: object) -> str:
        body = {"type": "event_callback", "event": {**event, **more}}
        found = read(body, "T1", own="UB")
        assert found is None or found.is_kept
        return found.action if found else ""

    assert heard() == "star"
    assert heard(type="reaction_removed") == "unstar"
    assert heard(reaction="envelope") == heard(reaction="email") == "letter"
    assert heard(item_user="") == "star", "Slack does not name the maker of every message"
    for other in (
        {"item_user": "U2"},
        {"user": "UB"},
        {"reaction": "star2"},
        {"item": {"type": "file", "file": "F1"}},
        {"item": {"type": "message", "channel": "D1", "ts": "1.2"}},
        {"type": "reaction_removed", "reaction": "email"},
    ):
        assert heard(**other) == ""


def test_a_film_can_be_reported_and_no_more_made_of_it() -> None:
    place = Place(channel="C1", thread="1.2", job="r-00000abcde")
    for view in (list_view([Offered(act="delete")], place), report_view(place)):
        check_view(view)
        assert read_place(view["private_metadata"]) == place
    [only] = list_view([Offered(act="delete")], place)["blocks"]
    assert only["accessory"]["action_id"] == "ray:report:r-00000abcde"
