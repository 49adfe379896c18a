"""A workspace's rules in Slack: review before post, private refusals, consent, rules first."""

from __future__ import annotations

from bot.request import Requester
from tests.adapters.slack.conftest import Lane, is_clip, picture
from tests.slack_server import Channel, Person

PNG = ("cat.png", picture(), "image/png")


def boss_of(lane: Lane) -> Person:
    return lane.slack.person("Boss", lane.team, lane.general, is_admin=True)


async def decide(lane: Lane, **chosen: str) -> None:
    actor = Requester(adapter="slack", workspace=lane.team.id, user="U1")
    await lane.house.studio.admin.set_policy(f"slack:{lane.team.id}", chosen, actor=actor)


async def reviewed(lane: Lane) -> Channel:
    """The channel of the moderators, who look at each clip."""
    mods = lane.slack.channel(lane.team, "mods", members=[lane.ana, lane.ben])
    await decide(lane, moderators_channel=mods.id, review="before_post")
    return mods


async def test_admins_post_or_reject_each_clip_with_a_button(lane: Lane) -> None:
    mods, boss = await reviewed(lane), boss_of(lane)
    await lane.ana.slash("/ray", "a red fox", lane.general)
    asked = await lane.clip(mods)
    assert asked.buttons == ["Post", "Reject"]
    assert f"<@{lane.ana.id}>" not in str(asked.blocks)
    await lane.status("Waiting for a moderator")
    assert lane.clips() == []
    pressed = await lane.ben.click(asked, "Post")
    await pressed.wait_said(lambda text: "Only admins" in text)
    pressed = await boss.click(asked, "Post")
    await pressed.wait_said(lambda text: "Approved, so it is posted." in text)
    clip = await lane.clip()
    assert "red fox" in str(clip.blocks)
    await lane.slack.wait_for(lambda: "Approved" in asked.plain and not asked.buttons)
    await lane.ana.slash("/ray", "a blue fox", lane.general)
    second = await lane.slack.wait_message(
        mods, lambda each: is_clip(each) and "blue" in each.plain, seconds=15
    )
    pressed = await lane.ben.click(second, "Reject")
    await pressed.wait_said(lambda text: "Only admins" in text)
    view = await (await boss.click(second, "Reject")).wait_view()
    assert (await boss.submit(view, {"reason": "Too *blue*."})).closed
    letter = await lane.slack.wait_message(lane.ana.direct, lambda each: bool(each.plain))
    assert "A moderator looked at your clip" in letter.plain
    assert "They say: “Too *blue*.”" in letter.plain
    status = await lane.status("Not posted")
    assert "blue" not in status.plain
    pressed = await lane.slack.person("Bo", lane.team, lane.general, is_admin=True).slash(
        "/ray", "admin audit", lane.general
    )
    await pressed.wait_said(lambda text: "review reject" in text)
    assert len(lane.clips()) == 1


async def test_what_a_filter_refused_is_told_to_its_person_who_edits_it(lane: Lane) -> None:
    lane.house.simulator.faults.fail("Frame moderation failed")
    await lane.ana.slash("/ray", "a grim fox --loop", lane.general)
    letter = await lane.slack.wait_message(lane.ana.direct, lambda each: bool(each.buttons))
    assert "minded the image" in letter.plain
    assert "Nothing was charged" in letter.plain
    status = await lane.status("Not made")
    assert "grim" not in status.plain
    assert status.buttons == letter.buttons == ["Edit and retry"]
    other = await lane.ben.click(status, "Edit and retry")
    await other.wait_said(lambda text: "Only who asked" in text)
    view = await (await lane.ana.click(letter, "Edit and retry")).wait_view()
    assert "a grim fox" in str(view.blocks)
    assert (await lane.ana.submit(view, {"prompt": "a kind fox"})).closed
    assert "kind fox" in str((await lane.clip()).blocks)
    # What our own lists refuse opens the form again, too.
    actor = Requester(adapter="slack", workspace=lane.team.id, user="U1")
    admin = lane.house.studio.admin
    await admin.set_words(f"slack:{lane.team.id}", actor=actor, words=["grim"])
    await lane.ana.slash("/ray", "a grim fox", lane.general)
    told = await lane.ana.wait_ephemeral(lambda each: bool(each.buttons))
    assert "Something in your words is not allowed here" in told.plain
    view = await (await lane.ana.click(told, "Edit and retry")).wait_view()
    assert (await lane.ana.submit(view, {"prompt": "a mild fox"})).closed
    await lane.slack.wait_for(lambda: len(lane.clips()) == 2, seconds=15)


async def test_who_posted_an_image_is_asked_in_the_thread(lane: Lane) -> None:
    await decide(lane, animate_others="ask")
    image = await lane.ben.say("my cat", lane.general, files=[PNG])
    view = await (await lane.ana.shortcut("animate_with_ray", image)).wait_view()
    await lane.ana.submit(view, {"prompt": "it jumps"})
    question = await lane.slack.wait_message(
        lane.general, lambda each: "Allow" in each.buttons, seconds=15
    )
    assert question.buttons == ["Allow", "Do not allow"]
    assert question.thread_ts == image.ts
    assert f"<@{lane.ben.id}>" in question.plain + str(question.blocks)
    pressed = await lane.ana.click(question, "Allow")
    await pressed.wait_said(lambda text: "Only whoever is asked" in text)
    await lane.ben.click(question, "Do not allow")
    await lane.slack.wait_for(lambda: "may not be animated" in question.plain)
    assert question.buttons == []
    status = await lane.status("does not want it animated")
    assert "Nothing was charged" in status.plain
    told = await lane.ben.slash("/ray", "settings animate_mine=nobody", lane.general)
    await told.wait_said(lambda text: "nobody" in text)
    view = await (await lane.ana.shortcut("animate_with_ray", image)).wait_view()
    await lane.ana.submit(view, {"prompt": "again"})
    refused = await lane.ana.wait_ephemeral(lambda each: "cannot be animated" in each.plain)
    assert "Ben" not in refused.plain
    assert lane.clips() == []
    await lane.house.check_books()


async def test_a_workspaces_rules_are_shown_once_before_the_first_clip(lane: Lane) -> None:
    boss = boss_of(lane)
    ruled = await boss.slash("/ray", "admin rule rules Be kind, always.", lane.general)
    await ruled.wait_said(lambda text: "accepted once by everybody" in text)
    asked = await lane.ana.slash("/ray", "a red fox", lane.general)
    await asked.wait_said(lambda text: "Be kind, always." in text)
    shown = lane.ana.ephemerals[-1]
    assert shown.buttons == ["Accept", "Cancel"]
    status = await lane.status("Waiting for the person who asked")
    assert "Be kind" not in status.plain
    await lane.ana.click(shown, "Accept")
    assert "red fox" in str((await lane.clip()).blocks)
    await lane.ana.slash("/ray", "a blue fox", lane.general)
    await lane.slack.wait_for(lambda: len(lane.clips()) == 2, seconds=15)
