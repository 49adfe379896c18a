"""A workspace's rules in Slack: review before post, private refusals, consent, rules first."""

from __future__ import annotations

from bot.request import Requester
from tests.adapters.slack.conftest import Community, is_clip, picture
from tests.slack_server import Channel, Person

PNG = ("cat.png", picture(), "image/png")


def boss_of(community: Community) -> Person:
    return community.slack.person("Boss", community.team, community.general, is_admin=True)


async def decide(community: Community, **chosen: str) -> None:
    actor = Requester(adapter="slack", workspace=community.team.id, user="U1")
    await community.bot.studio.admin.set_policy(f"slack:{community.team.id}", chosen, actor=actor)


async def reviewed(community: Community) -> Channel:
    """The channel of the moderators, who look at each clip."""
    mods = community.slack.channel(community.team, "mods", members=[community.ana, community.ben])
    await decide(community, moderators_channel=mods.id, review="before_post")
    return mods


async def test_admins_post_or_reject_each_clip_with_a_button(community: Community) -> None:
    mods, boss = await reviewed(community), boss_of(community)
    await community.ana.slash("/ray", "a red fox", community.general)
    asked = await community.clip(mods)
    assert asked.buttons == ["Post", "Reject"]
    assert f"<@{community.ana.id}>" not in str(asked.blocks)
    await community.status("Waiting for a moderator")
    assert community.clips() == []
    pressed = await community.ben.click(asked, "Post")
    await pressed.wait_said(lambda text: "Only admins" in text)
    pressed = await boss.click(asked, "Post")
    await pressed.wait_said(lambda text: "Approved, so it is posted." in text)
    clip = await community.clip()
    assert "red fox" in str(clip.blocks)
    await community.slack.wait_for(lambda: "Approved" in asked.plain and not asked.buttons)
    await community.ana.slash("/ray", "a blue fox", community.general)
    second = await community.slack.wait_message(
        mods, lambda each: is_clip(each) and "blue" in each.plain, seconds=15
    )
    pressed = await community.ben.click(second, "Reject")
    await pressed.wait_said(lambda text: "Only admins" in text)
    view = await (await boss.click(second, "Reject")).wait_view()
    assert (await boss.submit(view, {"reason": "Too *blue*."})).closed
    letter = await community.slack.wait_message(
        community.ana.direct, lambda each: bool(each.plain)
    )
    assert "A moderator looked at your clip" in letter.plain
    assert "They say: “Too *blue*.”" in letter.plain
    status = await community.status("Not posted")
    assert "blue" not in status.plain
    pressed = await community.slack.person(
        "Bo", community.team, community.general, is_admin=True
    ).slash("/ray", "admin audit", community.general)
    await pressed.wait_said(lambda text: "review reject" in text)
    assert len(community.clips()) == 1


async def test_what_a_filter_refused_is_told_to_its_person_who_edits_it(
    community: Community,
) -> None:
    community.bot.simulator.faults.fail("Frame moderation failed")
    await community.ana.slash("/ray", "a grim fox --loop", community.general)
    letter = await community.slack.wait_message(
        community.ana.direct, lambda each: bool(each.buttons)
    )
    assert "minded the image" in letter.plain
    assert "Nothing was charged" in letter.plain
    status = await community.status("Not made")
    assert "grim" not in status.plain
    assert status.buttons == letter.buttons == ["Edit and retry"]
    other = await community.ben.click(status, "Edit and retry")
    await other.wait_said(lambda text: "Only who asked" in text)
    view = await (await community.ana.click(letter, "Edit and retry")).wait_view()
    assert "a grim fox" in str(view.blocks)
    assert (await community.ana.submit(view, {"prompt": "a kind fox"})).closed
    assert "kind fox" in str((await community.clip()).blocks)
    # What our own lists refuse opens the form again, too.
    actor = Requester(adapter="slack", workspace=community.team.id, user="U1")
    admin = community.bot.studio.admin
    await admin.set_words(f"slack:{community.team.id}", actor=actor, words=["grim"])
    await community.ana.slash("/ray", "a grim fox", community.general)
    told = await community.ana.wait_ephemeral(lambda each: bool(each.buttons))
    assert "Something in your words is not allowed here" in told.plain
    view = await (await community.ana.click(told, "Edit and retry")).wait_view()
    assert (await community.ana.submit(view, {"prompt": "a mild fox"})).closed
    await community.slack.wait_for(lambda: len(community.clips()) == 2, seconds=15)


async def test_who_posted_an_image_is_asked_in_the_thread(community: Community) -> None:
    await decide(community, animate_others="ask")
    image = await community.ben.say("my cat", community.general, files=[PNG])
    view = await (await community.ana.shortcut("animate_with_ray", image)).wait_view()
    await community.ana.submit(view, {"prompt": "it jumps"})
    question = await community.slack.wait_message(
        community.general, lambda each: "Allow" in each.buttons, seconds=15
    )
    assert question.buttons == ["Allow", "Do not allow"]
    assert question.thread_ts == image.ts
    assert f"<@{community.ben.id}>" in question.plain + str(question.blocks)
    pressed = await community.ana.click(question, "Allow")
    await pressed.wait_said(lambda text: "Only whoever is asked" in text)
    await community.ben.click(question, "Do not allow")
    await community.slack.wait_for(lambda: "may not be animated" in question.plain)
    assert question.buttons == []
    status = await community.status("does not want it animated")
    assert "Nothing was charged" in status.plain
    told = await community.ben.slash("/ray", "settings animate_mine=nobody", community.general)
    await told.wait_said(lambda text: "nobody" in text)
    view = await (await community.ana.shortcut("animate_with_ray", image)).wait_view()
    await community.ana.submit(view, {"prompt": "again"})
    refused = await community.ana.wait_ephemeral(lambda each: "cannot be animated" in each.plain)
    assert "Ben" not in refused.plain
    assert community.clips() == []
    await community.bot.check_books()


async def test_a_workspaces_rules_are_shown_once_before_the_first_clip(
    community: Community,
) -> None:
    boss = boss_of(community)
    ruled = await boss.slash("/ray", "admin rule rules Be kind, always.", community.general)
    await ruled.wait_said(lambda text: "accepted once by everybody" in text)
    asked = await community.ana.slash("/ray", "a red fox", community.general)
    await asked.wait_said(lambda text: "Be kind, always." in text)
    shown = community.ana.ephemerals[-1]
    assert shown.buttons == ["Accept", "Cancel"]
    status = await community.status("Waiting for the person who asked")
    assert "Be kind" not in status.plain
    await community.ana.click(shown, "Accept")
    assert "red fox" in str((await community.clip()).blocks)
    await community.ana.slash("/ray", "a blue fox", community.general)
    await community.slack.wait_for(lambda: len(community.clips()) == 2, seconds=15)


async def test_what_admins_write_is_kept_as_they_wrote_it(community: Community) -> None:
    """Slack writes some letters and every link otherwise."""
    boss = boss_of(community)
    for typed in (
        "admin words add word R&amp;B",
        "admin words add pattern a(?:x|y)&lt;3",
        "admin rule rules Be kind &amp; see <https://example.org/rules|example.org/rules>",
        'admin defaults suffix=", black &amp; white"',
        "admin pause Back at 5 &gt; see you",
    ):
        told = len(boss.ephemerals)
        await boss.slash("/ray", typed, community.general)
        await community.slack.wait_for(lambda: len(boss.ephemerals) > told)  # noqa: B023 - awaited here
    place = f"slack:{community.team.id}"
    actor = Requester(adapter="slack", workspace=community.team.id, user="U1")
    admin = community.bot.studio.admin
    assert await admin.words(place, actor=actor) == (("R&B",), ("a(?:x|y)<3",))
    held = await admin.rules(place)
    assert held.policy["rules"] == "Be kind & see example.org/rules"
    assert held.defaults == {"suffix": ", black & white"}
    assert held.paused_message == "Back at 5 > see you"
    await admin.resume(place, actor=actor)
    asked = await community.ana.slash("/ray", "a night of r&amp;b", community.general)
    await asked.wait_said(lambda text: "Something in your words" in text)


async def test_people_and_channels_in_what_admins_write_are_read_by_their_names(
    community: Community,
) -> None:
    boss, ana, general = boss_of(community), community.ana, community.general
    ray, ben = community.team.bot_user, community.ben.id
    called = f"<@{ray}>, <@{ana.id}> or <@{ben}|ben>, in <#{general.id}|general>, 1 &lt;2&gt;"
    named = "Ask Ray, Ana or ben, in #general, 1 <2>"
    ruled = await boss.slash("/ray", f"admin rule rules Ask {called}", general)
    await ruled.wait_said(lambda text: "accepted once by everybody" in text)
    asked = await ana.slash("/ray", "a red fox", general)
    await asked.wait_said(lambda text: named in text)
    blocked = await boss.slash("/ray", f"admin block <@{ben}> 2 Ask {called}", general)
    await blocked.wait_said()
    paused = await boss.slash("/ray", f"admin pause Ask {called}", general)
    await paused.wait_said(lambda text: "Paused" in text)
    held = await community.bot.studio.admin.rules(f"slack:{community.team.id}")
    assert (held.paused_message, [each.reason for each in held.blocked]) == (named, [named])
