"""Stars, letters and reports in Discord, and what moderators decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection

from bot.store import errands, stars
from tests.adapters.discord.conftest import Community, LocalDiscord
from tests.adapters.discord.test_admin import told
from tests.adapters.discord.test_deeds import made
from tests.adapters.discord.test_rules import decide
from tests.discord_server import Channel, Message, Permission, Person

OpenCommunity = Callable[..., Awaitable[Community]]


async def rule(boss: Person, name: str, value: str) -> None:
    assert "Decided" in (await told(boss, "rule", name=name, value=value)).content


async def settled(community: Community, last: Person) -> None:
    """The star that somebody put last is counted, and what is to be posted for it stands."""
    who = f"discord:{community.guild.id}:{last.id}"

    def is_settled(conn: Connection) -> bool:
        return stars.by(conn, who) > 0 and errands.next_due(conn) is None

    async with asyncio.timeout(30):
        while not await community.bot.app.database.read(is_settled):
            await asyncio.sleep(0.01)


async def report_it(community: Community, clip: Message, reason: str) -> Message:
    """Ben reports a clip by the list under it."""
    asked = await community.ben.choose(clip, "More…", "report")
    await community.ben.modal(asked)
    sent = await community.ben.submit_modal(asked, {"What is wrong with it?": reason})
    return await community.ben.answer(sent)


async def test_a_report_goes_to_the_moderators_and_only_they_decide(community: Community) -> None:
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
    judge = community.discord.person("Judge", community.guild, allows=Permission.MANAGE_MESSAGES)
    office = community.discord.channel(community.guild, "office")
    await rule(boss, "moderators_channel", str(office.id))
    clip = await made(community, "a red fox")
    answer = await report_it(community, clip, "It is @everyone **cruel**.")
    assert answer.is_ephemeral
    assert "Nobody else learns that it was you" in answer.content
    report = await community.discord.wait_message(office)
    assert list(report.buttons) == ["Remove", "Block", "Keep"]
    assert "Reason: It is" in report.content
    assert "Ben" not in report.content
    assert not report.pings
    assert "**cruel**" not in report.content
    refused = await community.ben.answer(await community.ben.click(report, "Remove"))
    assert "Only moderators" in refused.content
    assert community.clips() == [clip]
    await judge.answer(await judge.click(report, "Remove"))
    await community.discord.wait_for(lambda: not community.clips())
    await community.discord.wait_for(lambda: not report.buttons and "Decided by" in report.content)
    assert f"Decided by {judge.mention}." in report.content
    assert not report.pings
    assert "report removed" in (await told(boss, "audit")).content


async def test_the_operator_decides_where_there_is_no_channel_for_it(
    local_discord: LocalDiscord, open_community: OpenCommunity
) -> None:
    otto = local_discord.discord.person("Otto", local_discord.guild)
    community = await open_community(operator={"discord_user": str(otto.id)})
    clip = await made(community, "a red fox")
    await report_it(community, clip, "")
    report = await community.discord.wait_message(otto.dm)
    await otto.answer(await otto.click(report, "Keep"))
    await community.discord.wait_for(lambda: "The clip stays" in report.content)


@pytest.mark.parametrize("name", ["gallery_channel", "moderators_channel"])
async def test_only_a_channel_of_the_server_itself_is_taken(
    community: Community, name: str
) -> None:
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
    stranger = community.discord.person("Eve", community.discord.guild("Owls"))
    for typed in ("#gallery", "gallery", "12345", str(stranger.here.id), f"<#{stranger.here.id}>"):
        answer = await told(boss, "rule", name=name, value=typed)
        assert "Choose a channel of this server" in answer.content
    assert name not in (await told(boss, "limits")).content


async def test_a_channel_that_an_earlier_version_took_ends_nothing(community: Community) -> None:
    rules = {"gallery_channel": "#gallery", "gallery_stars": "1"}
    await decide(community, **rules)
    clip = await made(community, "a red fox")
    await community.ben.react(clip, "⭐")
    async with asyncio.timeout(30):
        while not (said := await community.bot.notes()):
            await asyncio.sleep(0.02)
    assert "could not be posted where it should be" in said[0].sentence
    assert "a grey owl" in (await made(community, "a grey owl")).content


async def gallery_of(community: Community, boss: Person) -> Channel:
    shelf = community.discord.channel(community.guild, "gallery")
    # As Discord writes what is picked after a typed #.
    set_to = await told(boss, "rule", name="gallery_channel", value=f"<#{shelf.id}>")
    assert f"gallery_channel <#{shelf.id}>" in set_to.content
    await rule(boss, "gallery_stars", "2")
    return shelf


async def test_enough_stars_bring_a_clip_into_the_gallery_once_and_a_letter_a_copy(
    local_discord: LocalDiscord,
) -> None:
    boss = local_discord.discord.person(
        "Boss", local_discord.guild, allows=Permission.MANAGE_GUILD
    )
    async with local_discord.community() as community:
        robot = community.discord.other_bot("Robot", community.guild)
        shelf = await gallery_of(community, boss)
        clip = await made(community, "a red fox")
        for person in (community.ana, robot, community.ben):
            await person.react(clip, "⭐")
        await community.ben.unreact(clip, "⭐")
        await boss.react(clip, "⭐")
        await settled(community, boss)
        assert community.clips(shelf) == [], "one's own, a bot's and one taken back do not count"
        for _ in range(2):
            await community.ben.react(clip, "⭐")
            await community.ben.react(clip, "✉️")
        shown = await community.clip(shelf)
        assert "★ 2 · A clip by Ana" in shown.content
        assert str(clip.id) in shown.content
        assert not shown.pings
        copy = await community.discord.wait_message(
            community.ben.dm, lambda each: each.attachments
        )
    async with local_discord.community() as community:
        carl = community.discord.person("Carl", community.guild)
        await carl.react(clip, "⭐")
        await settled(community, carl)
        assert community.clips(shelf) == [shown]
        assert community.clips(community.ben.dm) == [copy]
        await community.bot.check_books()
