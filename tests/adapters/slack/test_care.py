"""Stars, letters and reports in Slack, and what moderators decide."""

from __future__ import annotations

import asyncio

from adapters.slack.events import read
from adapters.slack.filled import Place, read_place
from adapters.slack.more import list_view, report_view
from bot.acts import Offered
from bot.store import errands
from tests.adapters.slack.block_rules import check_view
from tests.adapters.slack.conftest import Community, LocalSlack
from tests.adapters.slack.test_deeds import all_jobs, pick
from tests.slack_server import Channel, Message, Person


async def rule(boss: Person, community: Community, name: str, value: str) -> None:
    asked = await boss.slash("/ray", f"admin rule {name} {value}", community.general)
    await asked.wait_said(lambda text: name in text)


async def made(community: Community, prompt: str = "a fox") -> Message:
    """A clip of Ana's that everybody sees."""
    await community.ana.slash("/ray", prompt, community.general)
    clip = await community.clip()
    await community.bot.delivered((await all_jobs(community))[0].id)
    return clip


async def settled(community: Community) -> None:
    """All that Slack told is carried out, and nothing is to be posted because of it."""
    await community.slack.wait_acked()
    async with asyncio.timeout(30):
        while await community.bot.studio.inbox.undone("slack"):
            await asyncio.sleep(0.01)
        while await community.bot.app.database.read(errands.next_due):
            await asyncio.sleep(0.01)


async def test_a_report_goes_to_the_moderators_and_only_they_decide(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    office = community.slack.channel(community.team, "office", members=[boss, community.ben])
    await rule(boss, community, "moderators_channel", office.mention)
    clip = await made(community)
    view = await pick(community.ben, clip, "Report")
    sent = await community.ben.submit(view, {"reason": "It is <!channel> *cruel*."})
    assert sent.closed
    await community.ben.wait_ephemeral(lambda each: "Thank you" in each.plain)
    report = await community.slack.wait_message(office, lambda each: "was reported" in each.plain)
    assert report.buttons == ["Remove", "Block", "Keep"]
    assert "Reason: It is <!channel> *cruel*." in report.plain
    assert community.ben.name not in report.plain
    pressed = await community.ben.click(report, "Remove")
    await pressed.wait_said(lambda text: "Only admins" in text)
    assert community.clips() == [clip]
    pressed = await boss.click(report, "Remove")
    await pressed.wait_said(lambda text: "was removed" in text)
    await community.slack.wait_for(lambda: not community.clips())
    await community.slack.wait_for(lambda: not report.buttons and "Decided by" in report.plain)
    assert f"Decided by <@{boss.id}>." in report.text, "an edit, which calls nobody"
    view.is_open = True
    await community.ben.submit(view)
    await settled(community)
    assert len(community.slack.said(office)) == 1
    audit = await boss.slash("/ray", "admin audit", community.general)
    await audit.wait_said(lambda text: "report removed" in text)


async def test_a_name_that_is_no_channel_is_not_taken(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    asked = await boss.slash("/ray", "admin rule moderators_channel office", community.general)
    await asked.wait_said(lambda text: "Choose a channel of this workspace" in text)


async def gallery_of(community: Community, boss: Person, stars: int) -> Channel:
    shelf = community.slack.channel(community.team, "gallery", members=[boss])
    await rule(boss, community, "gallery_channel", shelf.mention)
    await rule(boss, community, "gallery_stars", str(stars))
    return shelf


async def test_enough_stars_bring_a_clip_into_the_gallery_once(local_slack: LocalSlack) -> None:
    async with local_slack.community() as community:
        boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
        robot = community.slack.person("Robot", community.team, community.general, is_bot=True)
        shelf = await gallery_of(community, boss, 2)
        clip = await made(community)
        community.slack.happenings.repeat_events = 2
        for person in (community.ana, robot, community.ben):
            await person.react(clip, "star")
        before = community.slack.world.ts()
        await community.ben.unreact(clip, "star")
        await boss.react(clip, "star")
        await settled(community)
        # Of a star that was taken back it is told only after that.
        await community.slack.happenings.reacted(clip, community.ben.id, "star", at=before)
        await settled(community)
        assert community.slack.said(shelf) == [], (
            "one's own, a bot's and one taken back do not count"
        )
        await community.ben.react(clip, "star")
        shown = await community.clip(shelf)
        assert "★ 2 · A clip by Ana" in shown.plain
        assert f"message_ts={clip.ts}" in str(shown.blocks)
        assert f"<@{community.ana.id}>" not in str(shown.blocks)
    async with local_slack.community() as community:
        await community.slack.redeliver()
        carl = community.slack.person("Carl", community.team, community.general)
        await carl.react(clip, "star")
        await settled(community)
        assert community.clips(shelf) == [shown]
        await community.bot.check_books()


async def test_a_star_that_was_acknowledged_counts_whenever_the_next_process_begins(
    local_slack: LocalSlack,
) -> None:
    async with local_slack.community() as community:
        boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
        shelf = await gallery_of(community, boss, 1)
        clip = await made(community)
        who = community.slack.faults.hold("users.info")
        await community.ben.react(clip, "star")
        await asyncio.wait_for(who.reached.wait(), 30)
        await community.slack.wait_acked()
    who.open()
    local_slack.clock.move(minutes=11)
    async with local_slack.community() as community:
        await community.clip(shelf)
        await settled(community)
        assert community.ben.ephemerals == []


async def test_a_letter_brings_a_copy_once_and_nothing_private_goes_round(
    community: Community,
) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    shelf = await gallery_of(community, boss, 1)
    clip = await made(community)
    await community.ben.react(clip, "email")
    copy = await community.clip(community.ben.direct)
    assert "A clip by Ana" in copy.plain
    await community.ben.react(clip, "envelope")
    await community.ana.slash("/ray", "a secret --private", community.general)
    secret = await community.clip(community.ana.direct)
    await community.bot.delivered((await all_jobs(community))[0].id)
    # No acknowledgement is on its way while time passes.
    await settled(community)
    for place in (community.general, community.ana.direct):
        await community.status("Delivered", place)
    await settled(community)
    calls = len(community.slack.requests)
    await community.ana.react(secret, "star")
    word = await community.ana.say("hello", community.general)
    await community.ben.react(word, "star")
    await community.ben.react(clip, "eyes")
    await settled(community)
    assert community.clips(community.ben.direct) == [copy]
    assert community.slack.said(shelf) == []
    assert len(community.slack.requests) == calls


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
