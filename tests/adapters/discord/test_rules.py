"""A server's rules in Discord: review before post, private refusals, consent, rules first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from adapters.discord.commands import ANIMATE
from bot.request import Requester
from tests.adapters.discord.conftest import Street, picture
from tests.discord_server import Channel
from tests.discord_server.permissions import Permission

OpenStreet = Callable[..., Awaitable[Street]]


def admin_of(street: Street) -> Requester:
    return Requester(adapter="discord", workspace=str(street.guild.id), user="1")


async def decide(street: Street, **chosen: str) -> None:
    here = f"discord:{street.guild.id}"
    await street.house.studio.admin.set_policy(here, chosen, actor=admin_of(street))


async def reviewed(street: Street) -> Channel:
    """The channel of the moderators, who look at each clip."""
    mods = street.discord.channel(street.guild, "mods")
    await decide(street, moderators_channel=str(mods.id), review="before_post")
    return mods


async def test_moderators_post_or_reject_each_clip_with_a_button(street: Street) -> None:
    mods = await reviewed(street)
    await street.ana.slash("ray create", prompt="a red fox")
    asked = await street.discord.wait_message(mods, lambda each: each.attachments)
    assert list(asked.buttons) == ["Post", "Reject"]
    assert "Ana" in asked.content
    assert "<@" not in asked.content
    said = [each for each in street.discord.said(street.general) if not each.attachments]
    await street.hurry(lambda: "Waiting for a moderator" in said[-1].content)
    assert street.clips() == []
    refused = await street.ben.answer(await street.ben.click(asked, "Post"))
    assert "Only moderators" in refused.content
    boss = street.discord.person("Boss", street.guild, allows=Permission.MANAGE_MESSAGES)
    both = [await boss.click(asked, "Post"), await boss.click(asked, "Post")]
    told = [(await boss.answer(each)).content for each in both]
    assert all("Approved, so it is posted." in each for each in told)
    clip = await street.clip()
    assert "red fox" in clip.content
    await street.discord.wait_for(lambda: not asked.buttons and "Approved" in asked.content)
    await street.ana.slash("ray create", prompt="a blue fox")
    second = await street.discord.wait_message(mods, lambda each: "blue" in each.content)
    refused = await street.ben.answer(await street.ben.click(second, "Reject"))
    assert "Only moderators" in refused.content
    form = await boss.click(second, "Reject")
    await boss.modal(form)
    why = {"Why is it not posted?": "Too *blue*."}
    final = await boss.answer(await boss.submit_modal(form, why))
    assert "Rejected, so it is not posted." in final.content
    letter = await street.discord.wait_message(
        street.ana.dm, lambda each: "charged" in each.content
    )
    assert "A moderator looked at your clip" in letter.content
    assert r"They say: “Too \*blue\*.”" in letter.content
    await street.hurry(lambda: "Not posted" in street.discord.said(street.general)[-1].content)
    assert "blue" not in street.discord.said(street.general)[-1].content
    assert len(street.clips()) == 1


async def test_what_a_filter_refused_is_told_to_its_person_who_edits_it(street: Street) -> None:
    street.house.simulator.faults.fail("Your prompt was blacklisted")
    await street.ana.slash("ray create", prompt="a grim fox", camera="zoom_in")
    letter = await street.discord.wait_message(street.ana.dm, lambda each: each.buttons)
    assert "minded the words" in letter.content
    assert "Nothing was charged" in letter.content
    status = street.discord.said(street.general)[-1]
    await street.hurry(lambda: "Not made" in status.content)
    assert "grim" not in status.content
    assert list(status.buttons) == list(letter.buttons) == ["Edit and retry"]
    other = await street.ben.click(status, "Edit and retry")
    assert "Only who asked" in (await street.ben.answer(other)).content
    asked = await street.ana.click(letter, "Edit and retry")
    form = await street.ana.modal(asked)
    filled = {each["label"]: each["component"] for each in form["components"]}
    assert filled["Prompt"]["value"] == "a grim fox"
    assert filled["Flags"]["value"] == "--camera zoom_in"
    await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "a kind fox"}))
    assert "kind fox" in (await street.clip()).content
    # What our own lists refuse opens the form again, too.
    studio, here = street.house.studio, f"discord:{street.guild.id}"
    await studio.admin.set_words(here, actor=admin_of(street), words=["grim"])
    told = await street.ana.answer(await street.ana.slash("ray create", prompt="a grim fox"))
    assert "Something in your words is not allowed here" in told.content
    assert "Change it and ask again" not in told.content
    asked = await street.ana.click(told, "Edit and retry")
    await street.ana.modal(asked)
    await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "a mild fox"}))
    await street.discord.wait_for(lambda: len(street.clips()) == 2, seconds=15)


async def test_a_price_that_is_asked_late_is_asked_directly_and_confirmed_there(
    open_street: OpenStreet,
) -> None:
    street = await open_street(limits={"confirm_above_usd": 0.01})
    await decide(street, animate_others="ask")
    shown = await street.ben.say(street.general, "my cat", files=[("cat.png", picture())])
    asked = await street.ana.message_command(ANIMATE, shown)
    await street.ana.modal(asked)
    await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "it jumps"}))
    question = await street.discord.wait_message(
        street.general, lambda each: len(each.buttons) == 2
    )
    street.later(hours=5)
    await street.ben.answer(await street.ben.click(question, "Allow"))
    letter = await street.discord.wait_message(street.ana.dm, lambda each: each.buttons)
    assert "Make it?" in letter.content
    street.later(hours=6)
    await street.ana.answer(await street.ana.click(letter, "Confirm"))
    assert "it jumps" in (await street.clip()).content
    await street.discord.wait_for(lambda: letter.is_deleted)


async def test_who_posted_an_image_is_asked_in_the_channel(street: Street) -> None:
    await decide(street, animate_others="ask")
    shown = await street.ben.say(street.general, "my cat", files=[("cat.png", picture())])
    asked = await street.ana.message_command(ANIMATE, shown)
    await street.ana.modal(asked)
    await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "it jumps"}))
    question = await street.discord.wait_message(
        street.general, lambda each: len(each.buttons) == 2
    )
    assert list(question.buttons) == ["Allow", "Do not allow"]
    assert question.content.startswith(street.ben.mention)
    assert street.ana.mention not in question.content
    other = await street.ana.answer(await street.ana.click(question, "Allow"))
    assert "Only whoever is asked" in other.content
    await street.ben.answer(await street.ben.click(question, "Allow"))
    assert "it jumps" in (await street.clip()).content
    await street.discord.wait_for(lambda: "may be animated" in question.content)
    assert not question.buttons
    told = await street.ben.answer(
        await street.ben.slash("ray settings", setting="animate_mine", value="nobody")
    )
    assert "nobody" in told.content
    asked = await street.ana.message_command(ANIMATE, shown)
    await street.ana.modal(asked)
    refused = await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "again"}))
    assert "cannot be animated" in refused.content
    assert "Ben" not in refused.content
    assert len(street.clips()) == 1


async def test_a_servers_rules_are_shown_once_before_the_first_clip(street: Street) -> None:
    boss = street.discord.person("Boss", street.guild, allows=Permission.MANAGE_GUILD)
    told = await boss.answer(await boss.slash("ray-admin rule", name="rules", value="Be kind."))
    assert "Be kind" in told.content
    shown = await street.ana.answer(await street.ana.slash("ray create", prompt="a red fox"))
    assert "Be kind." in shown.content
    assert list(shown.buttons) == ["Accept", "Cancel"]
    assert street.discord.said(street.general) == []
    await street.ana.answer(await street.ana.click(shown, "Accept"))
    assert "red fox" in (await street.clip()).content
    await street.ana.answer(await street.ana.slash("ray create", prompt="a blue fox"))
    await street.discord.wait_for(lambda: len(street.clips()) == 2, seconds=15)
    await street.ben.say(street.general, f"{street.discord.app.bot.mention} a green fox")
    lead = await street.discord.wait_message(
        street.general, lambda each: "Read" in str(each.buttons)
    )
    other = await street.ana.answer(await street.ana.click(lead, "Read the rules"))
    assert "Only who asked" in other.content
    shown = await street.ben.answer(await street.ben.click(lead, "Read the rules"))
    await street.ben.answer(await street.ben.click(shown, "Accept"))
    await street.discord.wait_for(lambda: len(street.clips()) == 3, seconds=15)
