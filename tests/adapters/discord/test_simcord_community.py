"""What a community needs to run its clips, in simcord's virtual Discord: two long days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import discord
import simcord

from adapters.discord.commands import ANIMATE
from bot.store import places
from tests.adapters.discord.conftest import picture
from tests.adapters.discord.virtual import (
    Stage,
    fields,
    fill,
    job_of,
    said,
    stage,
)

__all__ = ["stage"]


def staff(stage: Stage, name: str, **may: bool) -> simcord.MemberActor:
    role = stage.guild.create_role(name, permissions=discord.Permissions(**may))
    return stage.guild.add_member(stage.env.create_user(name), roles=[role])


async def admin(
    stage: Stage, boss: simcord.MemberActor, act: str, **options: Any
) -> simcord.InteractionResult:
    return await boss.slash(stage.general, f"ray-admin {act}", **options)


async def until(find: Callable[[], list[discord.Message]]) -> discord.Message:
    """The first message that is found in the end."""
    async with asyncio.timeout(10):
        while not (found := find()):
            await asyncio.sleep(0.05)
    return found[0]


async def ask(stage: Stage, who: simcord.MemberActor, prompt: str) -> simcord.InteractionResult:
    return await who.slash(stage.general, "ray create", prompt=prompt)


async def press(who: simcord.MemberActor, result: simcord.InteractionResult, label: str) -> str:
    """Press a button of a private answer; what is said then."""
    assert result.response is not None
    return said(await who.click(result.response, label=label))


async def test_rules_reviews_consent_reports_stars_and_letters(stage: Stage) -> None:
    async with stage.bot() as house:
        boss, judge = (
            staff(stage, "boss", manage_guild=True),
            staff(stage, "judge", manage_messages=True),
        )
        office, shelf = (stage.guild.create_text_channel(each) for each in ("office", "gallery"))

        async def rule(name: str, value: str) -> None:
            told = await admin(stage, boss, "rule", name=name, value=value)
            assert "Decided" in said(told)

        # The rules are shown once, before the first clip.
        await rule("rules", "Be kind.")
        asked = await ask(stage, stage.ana, "a red fox")
        assert "Be kind." in said(asked)
        assert stage.of_bot() == []
        await press(stage.ana, asked, "Accept")
        fox = await stage.clip()
        assert "a red fox" in fox.content
        await rule("rules", "")

        # A report goes to the moderators' channel, where only they decide.
        await rule("moderators_channel", office.mention)
        shown = await stage.ben.select(fox, ["report"])
        sent = fill(shown, {"What is wrong with it?": "It stares."})
        assert "Nobody else learns" in said(await stage.ben.submit_modal(shown, sent))
        report = await until(lambda: stage.of_bot(office))
        assert "Reason: It stares." in report.content
        assert "Only moderators" in said(await stage.ben.click(report, label="Keep"))
        await judge.click(report, label="Keep")
        await until(lambda: [e for e in stage.of_bot(office) if "The clip stays" in e.content])

        # A star brings it into the gallery, a letter to whoever asks.
        await rule("gallery_channel", shelf.mention)
        await rule("gallery_stars", "1")
        await stage.ana.react(fox, "⭐")
        await stage.ben.react(fox, "⭐")
        await stage.ben.react(fox, "✉️")
        copy = await until(lambda: stage.clips(shelf))
        assert "★ 1 · A clip by ana" in copy.content
        await until(lambda: stage.clips(stage.ben.user.dm_channel))

        # Each clip is before a moderator first.
        await rule("review", "before_post")
        await ask(stage, stage.ana, "a grey wolf")
        waiting = await until(lambda: stage.clips(office))
        assert "Only moderators" in said(await stage.ben.click(waiting, label="Post"))
        assert "Approved" in said(await judge.click(waiting, label="Post"))
        wolf = await stage.clip(number=2)
        assert "a grey wolf" in wolf.content
        await ask(stage, stage.ana, "a blue hare")
        waiting = await until(lambda: [e for e in stage.clips(office) if "hare" in e.content])
        shown = await judge.click(waiting, label="Reject")
        why = fill(shown, {"Why is it not posted?": "Hares are not blue."})
        assert "Rejected" in said(await judge.submit_modal(shown, why))
        letter = await until(lambda: stage.of_bot(stage.ana.user.dm_channel))
        assert "Hares are not blue." in letter.content
        await rule("review", "off")

        # Whoever posted an image is asked, and may let nobody animate theirs.
        await rule("animate_others", "ask")
        image = await stage.ben.send(stage.general, attachments=[("cat.png", picture())])
        shown = await stage.ana.context_menu(stage.general, ANIMATE, image)
        await stage.ana.submit_modal(shown, fill(shown, {"Prompt": "it jumps"}))
        question = await until(
            lambda: [e for e in stage.of_bot() if "May your image be animated" in e.content]
        )
        assert "Only whoever is asked" in said(await stage.ana.click(question, label="Allow"))
        await stage.ben.click(question, label="Allow")
        assert "it jumps" in (await stage.clip(number=3)).content
        await stage.ben.slash(
            stage.general, "ray settings", setting="animate_mine", value="nobody"
        )
        shown = await stage.ana.context_menu(stage.general, ANIMATE, image)
        refused = await stage.ana.submit_modal(shown, fill(shown, {"Prompt": "it sleeps"}))
        assert "cannot be animated" in said(refused)
        audit = said(await admin(stage, boss, "audit"))
        assert all(each in audit for each in ("report kept", "review reject", "policy"))
        await house.check_books()


async def test_limits_usage_blocks_pauses_filters_and_being_forgotten(stage: Stage) -> None:
    async with stage.bot(limits={"clips_per_person_per_day": 5}) as house:
        boss = staff(stage, "boss", manage_guild=True)
        await ask(stage, stage.ana, "a red fox")
        fox = await stage.clip()

        # What was used, and what is left.
        usage = said(await stage.ana.slash(stage.general, "ray usage"))
        assert "1 of 5" in usage
        told = await admin(stage, boss, "limit", name="clips_per_person_per_day", value="1")
        assert "Set here: clips" in said(told)
        assert "1 of 1" in said(await ask(stage, stage.ana, "a grey wolf"))
        await admin(stage, boss, "limit", name="clips_per_person_per_day", value="")
        granted = await admin(stage, boss, "grant", member=stage.ana, dollars=5.0)
        assert "can spend $5.00 more" in said(granted)
        assert "Limits here" in said(await admin(stage, boss, "limits"))

        # Words, refused here and there, both in private.
        assert "clown" in said(await admin(stage, boss, "words", entry="clown"))
        refused = await ask(stage, stage.ana, "a CL0WN in snow")
        assert "not allowed here" in said(refused)
        assert refused.response is not None
        shown = await stage.ana.click(refused.response, label="Edit and retry")
        assert fields(shown)["Prompt"]["value"] == "a CL0WN in snow"
        stage.simulator.faults.fail("Your prompt was blacklisted")
        await ask(stage, stage.ana, "a grim fox")
        letter = await until(lambda: stage.of_bot(stage.ana.user.dm_channel))
        assert "minded the words" in letter.content
        assert "Nothing was charged" in letter.content

        # Nobody starts anything, or one person does not.
        await admin(stage, boss, "pause", message="Back at noon.")
        assert "Back at noon." in said(await ask(stage, stage.ana, "a wolf"))
        await admin(stage, boss, "resume")
        await admin(stage, boss, "block", member=stage.ben, days=3, reason="spam")
        assert "cannot use Raybot" in said(await ask(stage, stage.ben, "a wolf"))
        await admin(stage, boss, "unblock", member=stage.ben)
        told = await admin(
            stage, boss, "defaults", setting="aspect_ratio", value="9:16", channel=stage.general
        )
        assert "9:16" in said(told)
        stage.simulator.faults.slow(100)
        asked = await ask(stage, stage.ben, "a slow owl")
        owl = next(each for each in stage.of_bot() if "a slow owl" in each.content)
        assert "ben" in said(await admin(stage, boss, "queue"))
        await stage.ben.click(owl, label="Cancel")
        assert said(asked)

        # A week later, what was made is told in a channel.
        news = stage.guild.create_text_channel("news")
        assert "comes in" in said(await admin(stage, boss, "digest", channel=news))
        stage.clock.move(days=7)
        digest = await until(lambda: stage.of_bot(news))
        assert "1 clip" in digest.content

        # All of somebody goes.
        page = await stage.ana.slash(stage.general, "ray forget-me")
        assert "1 clip with its copies" in said(page)
        assert "is being removed" in await press(stage.ana, page, "Forget it all")
        async with asyncio.timeout(20):
            while any(each.id == fox.id for each in stage.general.history()):
                stage.clock.move(minutes=1)
                await asyncio.sleep(0.02)

        # The whole server goes seven days after it removed the bot.
        await ask(stage, stage.ben, "a red fox")
        job_id = job_of((await stage.clip()).content)
        stage.env.backend.remove_guild(stage.guild.id)
        async with asyncio.timeout(20):
            while not await house.app.database.read(places.away):
                await asyncio.sleep(0.01)
            while (await house.job(job_id)).erased_at is None:
                stage.clock.move(hours=8)
                await asyncio.sleep(0.02)
        assert (await house.job(job_id)).work.prompt == ""
        await house.check_books()
