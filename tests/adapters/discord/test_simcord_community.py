"""What a community needs to run its clips, in simcord's virtual Discord: two long days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
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
from tests.conftest import RunningBot

__all__ = ["stage"]


@dataclass
class Scene:
    """A server on its stage, and who runs it."""

    stage: Stage
    bot: RunningBot
    boss: simcord.MemberActor
    judge: simcord.MemberActor
    office: simcord.ChannelHandle

    @property
    def ana(self) -> simcord.MemberActor:
        return self.stage.ana

    @property
    def ben(self) -> simcord.MemberActor:
        return self.stage.ben

    async def admin(self, act: str, **options: Any) -> str:
        """What the boss is answered."""
        general = self.stage.general
        return said(await self.boss.slash(general, f"ray-admin {act}", **options))

    async def rule(self, name: str, value: str) -> None:
        assert "Decided" in await self.admin("rule", name=name, value=value)

    async def ask(self, who: simcord.MemberActor, prompt: str) -> simcord.InteractionResult:
        return await who.slash(self.stage.general, "ray create", prompt=prompt)


@asynccontextmanager
async def scene_on(stage: Stage, **tables: Any) -> AsyncIterator[Scene]:
    async with stage.bot(**tables) as bot:
        boss = staff(stage, "boss", manage_guild=True)
        judge = staff(stage, "judge", manage_messages=True)
        yield Scene(stage, bot, boss, judge, stage.guild.create_text_channel("office"))
        await bot.check_books()


def staff(stage: Stage, name: str, **may: bool) -> simcord.MemberActor:
    role = stage.guild.create_role(name, permissions=discord.Permissions(**may))
    return stage.guild.add_member(stage.env.create_user(name), roles=[role])


async def until(find: Callable[[], list[discord.Message]]) -> discord.Message:
    """The first message that is found in the end."""
    async with asyncio.timeout(30):
        while not (found := find()):
            await asyncio.sleep(0.05)
    return found[0]


async def press(who: simcord.MemberActor, result: simcord.InteractionResult, label: str) -> str:
    """Press a button of a private answer; what is said then."""
    assert result.response is not None
    return said(await who.click(result.response, label=label))


# ---- trust -----------------------------------------------------------------------------------


async def test_rules_reviews_consent_reports_stars_and_letters(stage: Stage) -> None:
    async with scene_on(stage) as scene:
        fox = await accept_the_rules(scene)
        await report(scene, fox)
        await like(scene, fox)
        await review(scene)
        await lend_an_image(scene)
        audit = await scene.admin("audit")
        assert all(each in audit for each in ("report kept", "review reject", "policy"))


async def accept_the_rules(scene: Scene) -> discord.Message:
    """They are shown once, before the first clip; which is returned."""
    await scene.rule("rules", "Be kind.")
    asked = await scene.ask(scene.ana, "a red fox")
    assert "Be kind." in said(asked)
    assert scene.stage.of_bot() == []
    await press(scene.ana, asked, "Accept")
    fox = await scene.stage.clip()
    assert "a red fox" in fox.content
    await scene.rule("rules", "")
    return fox


async def report(scene: Scene, fox: discord.Message) -> None:
    """It goes to the moderators' channel, where only they decide."""
    stage, office = scene.stage, scene.office
    await scene.rule("moderators_channel", office.mention)
    shown = await scene.ben.select(fox, ["report"])
    sent = fill(shown, {"What is wrong with it?": "It stares."})
    assert "Nobody else learns" in said(await scene.ben.submit_modal(shown, sent))
    told = await until(lambda: stage.of_bot(office))
    assert "Reason: It stares." in told.content
    assert "Only moderators" in said(await scene.ben.click(told, label="Keep"))
    await scene.judge.click(told, label="Keep")
    await until(lambda: [each for each in stage.of_bot(office) if "stays" in each.content])


async def like(scene: Scene, fox: discord.Message) -> None:
    """A star brings it into the gallery, a letter to whoever asks."""
    shelf = scene.stage.guild.create_text_channel("gallery")
    await scene.rule("gallery_channel", shelf.mention)
    await scene.rule("gallery_stars", "1")
    await scene.ana.react(fox, "⭐")
    await scene.ben.react(fox, "⭐")
    await scene.ben.react(fox, "✉️")
    copy = await until(lambda: scene.stage.clips(shelf))
    assert "★ 1 · A clip by ana" in copy.content
    await until(lambda: scene.stage.clips(scene.ben.user.dm_channel))


async def review(scene: Scene) -> None:
    """Each clip is before a moderator first, who may say why not."""
    stage, office, judge = scene.stage, scene.office, scene.judge
    await scene.rule("review", "before_post")
    await scene.ask(scene.ana, "a grey wolf")
    waiting = await until(lambda: stage.clips(office))
    assert "Only moderators" in said(await scene.ben.click(waiting, label="Post"))
    assert "Approved" in said(await judge.click(waiting, label="Post"))
    assert "a grey wolf" in (await stage.clip(number=2)).content
    await scene.ask(scene.ana, "a blue hare")
    waiting = await until(lambda: [e for e in stage.clips(office) if "hare" in e.content])
    shown = await judge.click(waiting, label="Reject")
    why = fill(shown, {"Why is it not posted?": "Hares are not blue."})
    assert "Rejected" in said(await judge.submit_modal(shown, why))
    letter = await until(lambda: stage.of_bot(scene.ana.user.dm_channel))
    assert "Hares are not blue." in letter.content
    await scene.rule("review", "off")


async def lend_an_image(scene: Scene) -> None:
    """Whoever posted one is asked, and may let nobody animate theirs."""
    stage, ana, ben = scene.stage, scene.ana, scene.ben
    await scene.rule("animate_others", "ask")
    image = await ben.send(stage.general, attachments=[("cat.png", picture())])
    shown = await ana.context_menu(stage.general, ANIMATE, image)
    await ana.submit_modal(shown, fill(shown, {"Prompt": "it jumps"}))
    question = await until(lambda: [e for e in stage.of_bot() if "May your image" in e.content])
    assert "Only whoever is asked" in said(await ana.click(question, label="Allow"))
    await ben.click(question, label="Allow")
    assert "it jumps" in (await stage.clip(number=3)).content
    await ben.slash(stage.general, "ray settings", setting="animate_mine", value="nobody")
    shown = await ana.context_menu(stage.general, ANIMATE, image)
    refused = await ana.submit_modal(shown, fill(shown, {"Prompt": "it sleeps"}))
    assert "cannot be animated" in said(refused)


# ---- order -----------------------------------------------------------------------------------


async def test_limits_usage_blocks_pauses_filters_and_being_forgotten(stage: Stage) -> None:
    async with scene_on(stage, limits={"clips_per_person_per_day": 5}) as scene:
        await scene.ask(scene.ana, "a red fox")
        fox = await stage.clip()
        await use_and_limit(scene)
        await refuse_words(scene)
        await stop_and_go_on(scene)
        await look_back_on_a_week(scene)
        await forget_ana(scene, fox)
        await lose_the_place(scene)


async def use_and_limit(scene: Scene) -> None:
    """What was used, and what is left."""
    usage = said(await scene.ana.slash(scene.stage.general, "ray usage"))
    assert "1 of 5" in usage
    limit = {"name": "clips_per_person_per_day"}
    assert "Set here: clips" in await scene.admin("limit", **limit, value="1")
    assert "1 of 1" in said(await scene.ask(scene.ana, "a grey wolf"))
    await scene.admin("limit", **limit, value="")
    assert "$5.00 more" in await scene.admin("grant", member=scene.ana, dollars=5.0)
    assert "Limits here" in await scene.admin("limits")
    # Its first chart takes a process a while, and on a busy machine long.
    scene.stage.env.settle_timeout = 45
    shown = await scene.boss.slash(scene.stage.general, "ray-admin usage", since="today")
    assert "ana" in said(shown)
    assert shown.response is not None
    kinds = [each.filename[-3:] for each in shown.response.attachments]
    assert kinds == ["png"] * bool(find_spec("matplotlib")) + ["csv", "csv"]


async def refuse_words(scene: Scene) -> None:
    """By our list, or by the service's filter: both in private."""
    stage, ana = scene.stage, scene.ana
    assert "clown" in await scene.admin("words", entry="clown")
    refused = await scene.ask(ana, "a CL0WN in snow")
    assert "not allowed here" in said(refused)
    assert refused.response is not None
    shown = await ana.click(refused.response, label="Edit and retry")
    assert fields(shown)["Prompt"]["value"] == "a CL0WN in snow"
    stage.simulator.faults.fail("Your prompt was blacklisted")
    await scene.ask(ana, "a grim fox")
    letter = await until(lambda: stage.of_bot(ana.user.dm_channel))
    assert "minded the words" in letter.content
    assert "Nothing was charged" in letter.content


async def stop_and_go_on(scene: Scene) -> None:
    """Nobody starts anything, or one person does not; what waits is seen, and taken back."""
    stage, ben = scene.stage, scene.ben
    await scene.admin("pause", message="Back at noon.")
    assert "Back at noon." in said(await scene.ask(scene.ana, "a wolf"))
    await scene.admin("resume")
    await scene.admin("block", member=ben, days=3, reason="spam")
    assert "cannot use Raybot" in said(await scene.ask(ben, "a wolf"))
    await scene.admin("unblock", member=ben)
    told = await scene.admin(
        "defaults", setting="aspect_ratio", value="9:16", channel=stage.general
    )
    assert "9:16" in told
    stage.simulator.faults.slow(100)
    await scene.ask(ben, "a slow owl")
    owl = next(each for each in stage.of_bot() if "a slow owl" in each.content)
    assert "ben" in await scene.admin("queue")
    assert "ancelled" in said(await ben.click(owl, label="Cancel"))
    # It may have been taken back before it was sent: then no later one shall be slow for it.
    stage.simulator.faults.take_slow()


async def look_back_on_a_week(scene: Scene) -> None:
    """What was made is told in a channel."""
    news = scene.stage.guild.create_text_channel("news")
    assert "comes in" in await scene.admin("digest", channel=news)
    now = scene.stage.clock.now()
    scene.stage.clock.move(days=7 - now.weekday(), hours=12 - now.hour)  # To a Monday's noon.
    digest = await until(lambda: scene.stage.of_bot(news))
    assert "1 clip" in digest.content


async def forget_ana(scene: Scene, fox: discord.Message) -> None:
    """All of hers goes."""
    page = await scene.ana.slash(scene.stage.general, "ray forget-me")
    assert "1 clip with its copies" in said(page)
    assert "is being removed" in await press(scene.ana, page, "Forget it all")
    async with asyncio.timeout(30):
        while any(each.id == fox.id for each in scene.stage.general.history()):
            await scene.stage.clock.let_pass(minutes=1, moment=0.05)


async def lose_the_place(scene: Scene) -> None:
    """The whole server goes seven days after it removed the bot."""
    stage, bot = scene.stage, scene.bot
    await scene.ask(scene.ben, "a red fox")
    job_id = job_of((await stage.clip()).content)
    stage.env.backend.remove_guild(stage.guild.id)
    async with asyncio.timeout(30):
        while not await bot.app.database.read(places.away):
            await asyncio.sleep(0.01)
        while (await bot.job(job_id)).erased_at is None:
            await stage.clock.let_pass(hours=8)
    assert (await bot.job(job_id)).work.prompt == ""
