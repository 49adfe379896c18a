"""All that can be made of a clip, in simcord's virtual Discord: one bot, many clips."""

from __future__ import annotations

import asyncio
from typing import Any

import simcord

from bot.job import Job
from bot.store import jobs
from tests.adapters.discord.conftest import picture
from tests.adapters.discord.virtual import Stage, fields, fill, job_of, orders, said, stage
from tests.conftest import RunningBot

__all__ = ["stage"]
#: Luma names no price for these two, so they are off until the operator enters one.
PRICES = {"ray-flash-2/upscale": 0.001, "ray-flash-2/audio": 0.05}
#: What is chosen from the list under a clip, and what its form is filled in with.
LISTED: dict[str, dict[str, Any]] = {
    "prequel": {"What happened before?": "it wakes"},
    "upscale": {"Size": ["1080p"]},
    "audio": {"What does it sound like?": "paws", "What should not be heard": "wind"},
    "reframe": {"Shape": ["16:9"]},
    "modify": {"How far?": ["flex_2"], "What does it look like?": "a drawing"},
    "several": {"How many?": ["2"]},
    "final": {"Size": ["720p"]},
}

RELATIONS = (
    *("extend", "prequel", "upscale", "audio", "reframe", "modify", "final", "loop", "join"),
    *(["variation"] * 3),
)


async def all_jobs(stage: Stage, bot: RunningBot) -> list[Job]:
    """Every job of Ana's, newest first."""
    person = f"discord:{stage.guild.id}:{stage.ana.id}"
    read = bot.app.database.read
    return list(await read(lambda conn: jobs.of_person(conn, person, search="", page=1)))


async def send(
    stage: Stage, shown: simcord.InteractionResult, values: dict[str, Any]
) -> simcord.InteractionResult:
    """Ana fills in a form."""
    return await stage.ana.submit_modal(shown, fill(shown, values))


async def test_everything_can_be_made_of_a_clip(stage: Stage) -> None:
    async with stage.bot(luma={"prices": PRICES}) as bot:
        await stage.ana.slash(stage.general, "ray create", prompt="a red fox", draft=True)
        fox = await stage.clip()
        [first] = await all_jobs(stage, bot)
        end = ("end.png", picture(320, 320, "blue"))
        shown = await stage.ana.click(fox, label="Extend")
        given = {"What happens next?": "it runs", "An image to end on": end}
        assert "Follow it here" in said(await send(stage, shown, given))
        extended = await stage.clip(number=2)
        # What becomes of each is in the journeys of the core; here it is asked for.
        stage.simulator.faults.slow(1000, times=11)
        for act, values in LISTED.items():
            shown = await stage.ana.select(fox, [act])
            assert shown.modal is not None, act
            options = [each.get("options", ()) for each in fields(shown).values()]
            assert all("$" in each["label"] for some in options for each in some), act
            assert "Follow it here" in said(await send(stage, shown, values)), act
        for button in ("Loop", "Variation"):
            assert "Follow it here" in said(await stage.ana.click(fox, label=button))
        shown = await stage.ana.slash(stage.general, "ray more", id=first.id, act="join")
        await send(stage, shown, {"One of your clips": [job_of(extended.content)]})
        made = [each for each in await all_jobs(stage, bot) if each.id != first.id]
        kinds = sorted(each.request.relation or "" for each in made)
        assert kinds == sorted(RELATIONS)
        assert {each.parent for each in made} == {first.id}
        page = said(await stage.ana.slash(stage.general, "ray show", id=first.id))
        assert all(each.id in page for each in made[-3:])
        await bot.check_books()


async def test_a_story_a_still_and_presets(stage: Stage) -> None:
    async with stage.bot(limits={"confirm_above_usd": 0.25}) as bot:
        for setting, value in (("aspect_ratio", "9:16"), ("suffix", ", in watercolour")):
            changed = await stage.ana.slash(
                stage.general, "ray settings", setting=setting, value=value
            )
            assert value.strip(", ") in said(changed)
        shown = await stage.ana.slash(stage.general, "ray story")
        assert list(fields(shown)) == ["Shots", "Length and size", "Flags"]
        refused = await send(stage, shown, {"Shots": "a fox wakes"})
        assert "two shots or more" in said(refused)
        assert refused.response is not None
        again = await stage.ana.click(refused.response, label="Change the story")
        assert fields(again)["Shots"]["value"] == "a fox wakes"
        assert await all_jobs(stage, bot) == []
        await send(stage, again, {"Shots": "a fox wakes\nit runs"})
        [asks] = stage.of_bot()
        assert "Make it?" in asks.content
        stage.simulator.faults.fail("It broke")
        await stage.ana.click(asks, label="Confirm")
        async with asyncio.timeout(30):
            while "Shot 1 of 2 failed" not in (status := stage.of_bot()[0]).content:
                await stage.clock.let_pass(seconds=6)
        await stage.ana.click(status, label="Redo")
        film = await stage.clip()
        assert r"0\:05 it runs · r-" in film.content
        still = await stage.ana.slash(stage.general, "ray still", prompt="a grey owl")
        await stage.delivered(said(still))
        picture_of = next(
            each
            for each in stage.of_bot()
            if any(".jpg" in file.filename for file in each.attachments)
        )
        shown = await stage.ana.click(picture_of, label="Animate")
        await send(stage, shown, {"Prompt": "it turns its head"})
        clip = await stage.clip(number=2)
        shown = await stage.ana.click(clip, label="Remix")
        await send(stage, shown, {"Prompt": "it flies", "Flags": "--ar 1:1 --loop"})
        await stage.clip(number=3)
        await bot.check_books()
    made = orders(stage)
    shots = [each.prompt.partition(",")[0] for each in made[:3]]
    assert shots == ["a fox wakes", "a fox wakes", "it runs"]
    assert all("in watercolour" in each.prompt for each in made)
    assert made[2].start is not None
    assert all(each.height > each.width for each in made[:-1])
    assert (made[-1].height, made[-1].loop) == (made[-1].width, True)
