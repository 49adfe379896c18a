"""A server's rules in Discord: review before post, private refusals, consent, rules first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from adapters.discord.commands import ANIMATE
from bot.request import Requester
from tests.adapters.discord.conftest import Community, picture
from tests.discord_server import Channel
from tests.discord_server.permissions import Permission

OpenCommunity = Callable[..., Awaitable[Community]]


def admin_of(community: Community) -> Requester:
    return Requester(adapter="discord", workspace=str(community.guild.id), user="1")


async def decide(community: Community, **chosen: str) -> None:
    here = f"discord:{community.guild.id}"
    await community.bot.studio.admin.set_policy(here, chosen, actor=admin_of(community))


async def reviewed(community: Community) -> Channel:
    """The channel of the moderators, who look at each clip."""
    mods = community.discord.channel(community.guild, "mods")
    await decide(community, moderators_channel=str(mods.id), review="before_post")
    return mods


async def test_moderators_post_or_reject_each_clip_with_a_button(community: Community) -> None:
    mods = await reviewed(community)
    await community.ana.slash("ray create", prompt="a red fox")
    asked = await community.discord.wait_message(mods, lambda each: each.attachments)
    assert list(asked.buttons) == ["Post", "Reject"]
    assert "Ana" in asked.content
    assert "<@" not in asked.content
    status = await community.discord.wait_message(community.general)
    await community.hurry(lambda: "Waiting for a moderator" in status.content)
    assert community.clips() == []
    refused = await community.ben.answer(await community.ben.click(asked, "Post"))
    assert "Only moderators" in refused.content
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_MESSAGES)
    both = [await boss.click(asked, "Post"), await boss.click(asked, "Post")]
    told = [(await boss.answer(each)).content for each in both]
    assert all("Approved, so it is posted." in each for each in told)
    clip = await community.clip()
    assert "red fox" in clip.content
    await community.discord.wait_for(lambda: not asked.buttons and "Approved" in asked.content)
    await community.ana.slash("ray create", prompt="a blue fox")
    second = await community.discord.wait_message(mods, lambda each: "blue" in each.content)
    refused = await community.ben.answer(await community.ben.click(second, "Reject"))
    assert "Only moderators" in refused.content
    form = await boss.click(second, "Reject")
    await boss.modal(form)
    why = {"Why is it not posted?": "Too *blue*."}
    final = await boss.answer(await boss.submit_modal(form, why))
    assert "Rejected, so it is not posted." in final.content
    letter = await community.discord.wait_message(
        community.ana.dm, lambda each: "charged" in each.content
    )
    assert "A moderator looked at your clip" in letter.content
    assert r"They say: “Too \*blue\*.”" in letter.content
    await community.hurry(
        lambda: "Not posted" in community.discord.said(community.general)[-1].content
    )
    assert "blue" not in community.discord.said(community.general)[-1].content
    assert len(community.clips()) == 1


async def test_what_a_filter_refused_is_told_to_its_person_who_edits_it(
    community: Community,
) -> None:
    community.bot.simulator.faults.fail("Your prompt was blacklisted")
    await community.ana.slash("ray create", prompt="a grim fox", camera="zoom_in")
    letter = await community.discord.wait_message(community.ana.dm, lambda each: each.buttons)
    assert "minded the words" in letter.content
    assert "Nothing was charged" in letter.content
    status = await community.discord.wait_message(community.general)
    await community.hurry(lambda: "Not made" in status.content)
    assert "grim" not in status.content
    assert list(status.buttons) == list(letter.buttons) == ["Edit and retry"]
    other = await community.ben.click(status, "Edit and retry")
    assert "Only who asked" in (await community.ben.answer(other)).content
    asked = await community.ana.click(letter, "Edit and retry")
    form = await community.ana.modal(asked)
    filled = {each["label"]: each["component"] for each in form["components"]}
    assert filled["Prompt"]["value"] == "a grim fox"
    assert filled["Flags"]["value"] == "--camera zoom_in"
    await community.ana.answer(await community.ana.submit_modal(asked, {"Prompt": "a kind fox"}))
    assert "kind fox" in (await community.clip()).content
    # What our own lists refuse opens the form again, too.
    studio, here = community.bot.studio, f"discord:{community.guild.id}"
    await studio.admin.set_words(here, actor=admin_of(community), words=["grim"])
    told = await community.ana.answer(await community.ana.slash("ray create", prompt="a grim fox"))
    assert "Something in your words is not allowed here" in told.content
    assert "Change it and ask again" not in told.content
    asked = await community.ana.click(told, "Edit and retry")
    await community.ana.modal(asked)
    await community.ana.answer(await community.ana.submit_modal(asked, {"Prompt": "a mild fox"}))
    await community.discord.wait_for(lambda: len(community.clips()) == 2)


async def test_a_price_that_is_asked_late_is_asked_directly_and_confirmed_there(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.01})
    await decide(community, animate_others="ask")
    shown = await community.ben.say(community.general, "my cat", files=[("cat.png", picture())])
    asked = await community.ana.message_command(ANIMATE, shown)
    await community.ana.modal(asked)
    await community.ana.answer(await community.ana.submit_modal(asked, {"Prompt": "it jumps"}))
    question = await community.discord.wait_message(
        community.general, lambda each: len(each.buttons) == 2
    )
    community.later(hours=5)
    await community.ben.answer(await community.ben.click(question, "Allow"))
    letter = await community.discord.wait_message(community.ana.dm, lambda each: each.buttons)
    assert "Make it?" in letter.content
    community.later(hours=6)
    await community.ana.answer(await community.ana.click(letter, "Confirm"))
    assert "it jumps" in (await community.clip()).content
    await community.discord.wait_for(lambda: letter.is_deleted)


async def test_who_posted_an_image_is_asked_in_the_channel(community: Community) -> None:
    await decide(community, animate_others="ask")
    shown = await community.ben.say(community.general, "my cat", files=[("cat.png", picture())])
    asked = await community.ana.message_command(ANIMATE, shown)
    await community.ana.modal(asked)
    await community.ana.answer(await community.ana.submit_modal(asked, {"Prompt": "it jumps"}))
    question = await community.discord.wait_message(
        community.general, lambda each: len(each.buttons) == 2
    )
    assert list(question.buttons) == ["Allow", "Do not allow"]
    assert question.content.startswith(community.ben.mention)
    assert community.ana.mention not in question.content
    other = await community.ana.answer(await community.ana.click(question, "Allow"))
    assert "Only whoever is asked" in other.content
    await community.ben.answer(await community.ben.click(question, "Allow"))
    assert "it jumps" in (await community.clip()).content
    await community.discord.wait_for(lambda: "may be animated" in question.content)
    assert not question.buttons
    told = await community.ben.answer(
        await community.ben.slash("ray settings", setting="animate_mine", value="nobody")
    )
    assert "nobody" in told.content
    asked = await community.ana.message_command(ANIMATE, shown)
    await community.ana.modal(asked)
    refused = await community.ana.answer(
        await community.ana.submit_modal(asked, {"Prompt": "again"})
    )
    assert "cannot be animated" in refused.content
    assert "Ben" not in refused.content
    assert len(community.clips()) == 1


async def test_a_servers_rules_are_shown_once_before_the_first_clip(community: Community) -> None:
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
    told = await boss.answer(await boss.slash("ray-admin rule", name="rules", value="Be kind."))
    assert "Be kind" in told.content
    shown = await community.ana.answer(await community.ana.slash("ray create", prompt="a red fox"))
    assert "Be kind." in shown.content
    assert list(shown.buttons) == ["Accept", "Cancel"]
    assert community.discord.said(community.general) == []
    await community.ana.answer(await community.ana.click(shown, "Accept"))
    assert "red fox" in (await community.clip()).content
    await community.ana.answer(await community.ana.slash("ray create", prompt="a blue fox"))
    await community.discord.wait_for(lambda: len(community.clips()) == 2)
    await community.ben.say(community.general, f"{community.discord.app.bot.mention} a green fox")
    lead = await community.discord.wait_message(
        community.general, lambda each: "Read" in str(each.buttons)
    )
    other = await community.ana.answer(await community.ana.click(lead, "Read the rules"))
    assert "Only who asked" in other.content
    shown = await community.ben.answer(await community.ben.click(lead, "Read the rules"))
    await community.ben.answer(await community.ben.click(shown, "Accept"))
    await community.discord.wait_for(lambda: len(community.clips()) == 3)
