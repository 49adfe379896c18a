"""Stars, letters and reports in Discord, and what moderators decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.store import errands, settings
from tests.adapters.discord.conftest import Street, Town
from tests.adapters.discord.test_admin import told
from tests.adapters.discord.test_deeds import made
from tests.adapters.discord.test_rules import decide
from tests.discord_server import Channel, Message, Permission, Person

OpenStreet = Callable[..., Awaitable[Street]]


async def rule(boss: Person, name: str, value: str) -> None:
    assert "Decided" in (await told(boss, "rule", name=name, value=value)).content


async def settled(street: Street) -> None:
    """What was told before is carried out, and what is to be posted because of it stands."""
    await street.ben.answer(await street.ben.slash("ray usage"))
    async with asyncio.timeout(10):
        while await street.house.app.database.read(errands.next_due):
            await asyncio.sleep(0.01)


async def report_it(street: Street, clip: Message, reason: str) -> Message:
    """Ben reports a clip by the list under it."""
    asked = await street.ben.choose(clip, "More…", "report")
    await street.ben.modal(asked)
    sent = await street.ben.submit_modal(asked, {"What is wrong with it?": reason})
    return await street.ben.answer(sent)


async def test_a_report_goes_to_the_moderators_and_only_they_decide(street: Street) -> None:
    boss = street.discord.person("Boss", street.guild, allows=Permission.MANAGE_GUILD)
    judge = street.discord.person("Judge", street.guild, allows=Permission.MANAGE_MESSAGES)
    office = street.discord.channel(street.guild, "office")
    await rule(boss, "moderators_channel", str(office.id))
    clip = await made(street, "a red fox")
    answer = await report_it(street, clip, "It is @everyone **cruel**.")
    assert answer.is_ephemeral
    assert "Nobody else learns that it was you" in answer.content
    report = await street.discord.wait_message(office)
    assert list(report.buttons) == ["Remove", "Block", "Keep"]
    assert "Reason: It is" in report.content
    assert "Ben" not in report.content
    assert not report.pings
    assert "**cruel**" not in report.content
    refused = await street.ben.answer(await street.ben.click(report, "Remove"))
    assert "Only moderators" in refused.content
    assert street.clips() == [clip]
    await judge.answer(await judge.click(report, "Remove"))
    await street.discord.wait_for(lambda: not street.clips())
    await street.discord.wait_for(lambda: not report.buttons and "Decided by" in report.content)
    assert f"Decided by {judge.mention}." in report.content
    assert not report.pings
    assert "report removed" in (await told(boss, "audit")).content


async def test_the_operator_decides_where_there_is_no_channel_for_it(
    town: Town, open_street: OpenStreet
) -> None:
    otto = town.discord.person("Otto", town.guild)
    street = await open_street(operator={"discord_user": str(otto.id)})
    clip = await made(street, "a red fox")
    await report_it(street, clip, "")
    report = await street.discord.wait_message(otto.dm)
    await otto.answer(await otto.click(report, "Keep"))
    await street.discord.wait_for(lambda: "The clip stays" in report.content)


@pytest.mark.parametrize("name", ["gallery_channel", "moderators_channel"])
async def test_only_a_channel_of_the_server_itself_is_taken(street: Street, name: str) -> None:
    boss = street.discord.person("Boss", street.guild, allows=Permission.MANAGE_GUILD)
    stranger = street.discord.person("Eve", street.discord.guild("Owls"))
    for typed in ("#gallery", "gallery", "12345", str(stranger.here.id), f"<#{stranger.here.id}>"):
        answer = await told(boss, "rule", name=name, value=typed)
        assert "Choose a channel of this server" in answer.content
    assert name not in (await told(boss, "limits")).content


async def test_a_channel_that_an_earlier_version_took_ends_nothing(street: Street) -> None:
    rules = {"gallery_channel": "#gallery", "gallery_stars": "1"}
    await decide(street, **rules)
    clip = await made(street, "a red fox")
    await street.ben.react(clip, "⭐")
    async with asyncio.timeout(15):
        while not (said := await street.house.app.database.read(settings.untold)):
            await asyncio.sleep(0.02)
    assert "could not be posted where it should be" in said[0].sentence
    assert "a grey owl" in (await made(street, "a grey owl")).content


async def gallery_of(street: Street, boss: Person) -> Channel:
    shelf = street.discord.channel(street.guild, "gallery")
    # As Discord writes what is picked after a typed #.
    set_to = await told(boss, "rule", name="gallery_channel", value=f"<#{shelf.id}>")
    assert f"gallery_channel <#{shelf.id}>" in set_to.content
    await rule(boss, "gallery_stars", "2")
    return shelf


async def test_enough_stars_bring_a_clip_into_the_gallery_once_and_a_letter_a_copy(
    town: Town,
) -> None:
    boss = town.discord.person("Boss", town.guild, allows=Permission.MANAGE_GUILD)
    async with town.street() as street:
        robot = street.discord.other_bot("Robot", street.guild)
        shelf = await gallery_of(street, boss)
        clip = await made(street, "a red fox")
        for person in (street.ana, robot, street.ben):
            await person.react(clip, "⭐")
        await street.ben.unreact(clip, "⭐")
        await boss.react(clip, "⭐")
        await settled(street)
        assert street.clips(shelf) == [], "one's own, a bot's and one taken back do not count"
        for _ in range(2):
            await street.ben.react(clip, "⭐")
            await street.ben.react(clip, "✉️")
        shown = await street.clip(shelf)
        assert "★ 2 · A clip by Ana" in shown.content
        assert str(clip.id) in shown.content
        assert not shown.pings
        copy = await street.discord.wait_message(street.ben.dm, lambda each: each.attachments)
    async with town.street() as street:
        carl = street.discord.person("Carl", street.guild)
        await carl.react(clip, "⭐")
        await settled(street)
        assert street.clips(shelf) == [shown]
        assert street.clips(street.ben.dm) == [copy]
        await street.house.check_books()
