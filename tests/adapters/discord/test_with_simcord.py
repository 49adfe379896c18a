"""What people do, in simcord's virtual Discord: dialogues with the true bot and discord.py."""

from __future__ import annotations

import asyncio

import discord
import pytest
import simcord

from adapters.discord.commands import ANIMATE
from tests.adapters.discord.conftest import picture
from tests.adapters.discord.virtual import (
    GUILD,
    Stage,
    fields,
    fill,
    orders,
    said,
    shows_clip,
    stage,
)

__all__ = ["stage"]
SERVED = {"servers": [str(GUILD)]}


async def sure(actor: simcord.MemberActor, clip: discord.Message) -> simcord.InteractionResult:
    """Somebody deletes a clip by its button, and means it."""
    asks = await actor.click(clip, label="Delete")
    assert asks.response is not None
    return await actor.click(asks.response.message, label="Delete")


# ---- commands --------------------------------------------------------------------------------


async def test_a_prompt_becomes_a_clip_in_the_channel(stage: Stage) -> None:
    async with stage.bot() as bot:
        asked = await stage.ana.slash(stage.general, "ray create", prompt="a red fox", loop=True)
        clip = await stage.clip()
        status = stage.of_bot()[0]
        assert str(status.id) in said(asked)
        assert clip.author.id == stage.bot_id
        assert "a red fox" in clip.content
        assert "AI-generated" in clip.content
        assert [each.id for each in clip.mentions] == [stage.ana.id]
        assert clip.attachments[0].description
        assert [each.loop for each in orders(stage)] == [True]
        await bot.check_books()


async def test_a_picture_is_animated(stage: Stage) -> None:
    async with stage.bot():
        await stage.ana.slash(
            stage.general, "ray animate", image=("fox.png", picture()), prompt="slow zoom"
        )
        await stage.clip()
    [order] = orders(stage)
    assert order.start is not None
    assert order.start.kind == "image"
    assert (order.width, order.height) == (960, 540)


async def test_the_camera_moves_are_offered_as_one_types(stage: Stage) -> None:
    async with stage.bot():
        offered = await stage.ana.autocomplete(
            stage.general, "ray create", "camera", "orbit", prompt="a fox"
        )
    assert "orbit_left" in [each["value"] for each in offered]


async def test_what_is_private_is_seen_by_its_person_only(stage: Stage) -> None:
    async with stage.bot():
        asked = await stage.ana.slash(stage.general, "ray create", prompt="a secret", private=True)
        async with asyncio.timeout(30):
            while asked.response is None or not shows_clip(asked.response.message):
                await asyncio.sleep(0.01)
        assert "a secret" in said(asked)
        assert stage.general.history() == []
        assert stage.general.history(viewer=stage.ben) == []


async def test_what_is_private_comes_directly_once_its_answer_has_ended(stage: Stage) -> None:
    async with stage.bot(access={**SERVED, "direct_messages": True}):
        stage.simulator.faults.slow(100_000)
        asked = await stage.ana.slash(stage.general, "ray create", prompt="a secret", private=True)
        await stage.simulator.wait_for_creates(1)
        await stage.env.advance_time(15 * 60)
        stage.clock.move(minutes=15)
        [generation] = stage.simulator.generations
        await stage.simulator.finish(generation)
        assert "a secret" in (await stage.clip(stage.ana.user.dm_channel)).content
        assert asked.response is not None
        assert asked.response.attachments == []
        assert stage.general.history(viewer=stage.ben) == []


async def test_pages_are_for_their_reader_only(stage: Stage) -> None:
    async with stage.bot():
        await stage.ana.slash(stage.general, "ray create", prompt="a red fox")
        clip = await stage.clip()
        public = len(stage.of_bot())
        listed = said(await stage.ana.slash(stage.general, "ray jobs"))
        assert "a red fox" in listed
        assert str(clip.id) in listed
        assert "a red fox" not in said(await stage.ben.slash(stage.general, "ray jobs"))
        changed = await stage.ana.slash(
            stage.general, "ray settings", setting="duration", value="9s"
        )
        assert "9s" in said(changed)
        assert "$" in said(await stage.ana.slash(stage.general, "ray usage"))
        assert ANIMATE in said(await stage.ana.slash(stage.general, "ray help"))
        assert len(stage.of_bot()) == public


# ---- menus and forms ---------------------------------------------------------------------------


async def test_the_menu_of_a_forwarded_picture_opens_a_form_that_brings_a_clip(
    stage: Stage,
) -> None:
    async with stage.bot():
        studio = stage.guild.create_text_channel("studio")
        shot = await stage.ben.send(studio, attachments=[("fox.png", picture(180, 320))])
        message = await stage.ben.forward(shot, stage.general)
        shown = await stage.ana.context_menu(stage.general, ANIMATE, message)
        assert "Which image?" not in fields(shown)
        sizes = [each["value"] for each in fields(shown)["Length and size"]["options"]]
        size = next(each for each in sizes if each.endswith("720p"))
        given = {"Prompt": "slow zoom", "Length and size": [size]}
        submitted = await stage.ana.submit_modal(shown, fill(shown, given))
        clip = await stage.clip()
        assert "slow zoom" in clip.content
        assert str(stage.of_bot()[0].id) in said(submitted)
    [order] = orders(stage)
    assert (order.width, order.height) == (720, 1280)


async def test_a_form_takes_an_end_frame_and_asks_which_of_several_images(stage: Stage) -> None:
    async with stage.bot():
        images = [("fox.png", picture(320, 320)), ("hare.png", picture(180, 320))]
        message = await stage.ben.send(stage.general, attachments=images)
        shown = await stage.ana.context_menu(stage.general, ANIMATE, message)
        given = {
            "Which image?": ["1"],
            "Prompt": "it jumps",
            "Flags": "--camera orbit_left",
            "End frame": ("end.png", picture(180, 320, "blue")),
        }
        await stage.ana.submit_modal(shown, fill(shown, given))
        await stage.simulator.wait_for_creates(1)
    [order] = orders(stage)
    assert order.height > order.width
    assert order.concepts == ("orbit_left",)
    assert order.start is not None
    assert order.end is not None
    assert order.start.value != order.end.value


async def test_a_message_without_an_image_opens_no_form(stage: Stage) -> None:
    async with stage.bot():
        message = await stage.ben.send(stage.general, "just words")
        shown = await stage.ana.context_menu(stage.general, ANIMATE, message)
        assert shown.modal is None
        assert "no image" in said(shown)


# ---- messages ----------------------------------------------------------------------------------


async def test_a_reply_to_a_picture_without_the_intent_is_told_of_the_menu(stage: Stage) -> None:
    async with stage.bot() as bot:
        shown = await stage.ben.send(stage.general, attachments=[("fox.png", picture())])
        await stage.ana.send(stage.general, f"{stage.mention} slow zoom", reply_to=shown)
        [answer] = stage.of_bot()
        assert ANIMATE in answer.content
        await bot.check_books()
    assert orders(stage) == []


async def test_a_reply_to_a_picture_with_the_intent_sets_it_in_motion(stage: Stage) -> None:
    async with stage.bot(reads_messages=True):
        shown = await stage.ben.send(stage.general, attachments=[("fox.png", picture())])
        asked = await stage.ana.send(
            stage.general, f"{stage.mention} slow zoom --ar 1:1", reply_to=shown
        )
        clip = await stage.clip()
        status = next(each for each in stage.of_bot() if each.id != clip.id)
        assert status.reference is not None
        assert status.reference.message_id == asked.id
    [order] = orders(stage)
    assert order.start is not None
    assert order.width == order.height


async def test_a_refused_intent_stops_nothing(stage: Stage) -> None:
    stage.env.approved_intents = discord.Intents.default()
    async with stage.bot(reads_messages=True):
        await stage.ana.send(stage.general, f"{stage.mention} a red fox")
        await stage.simulator.wait_for_creates(1)
    assert [each.prompt for each in orders(stage)] == ["a red fox"]


async def test_a_reply_to_a_clip_continues_from_it(stage: Stage) -> None:
    async with stage.bot():
        await stage.ana.slash(stage.general, "ray create", prompt="a red fox")
        clip = await stage.clip()
        await stage.ana.send(stage.general, f"{stage.mention} it jumps", reply_to=clip)
        await stage.simulator.wait_for_creates(2)
    starts = [each.start for each in orders(stage)]
    assert starts[0] is None
    assert starts[1] is not None
    assert starts[1].kind == "generation"


async def test_people_among_themselves_are_left_alone(stage: Stage) -> None:
    async with stage.bot(reads_messages=True):
        shown = await stage.ben.send(stage.general, attachments=[("fox.png", picture())])
        await stage.ana.send(stage.general, "nice fox", reply_to=shown)
        assert stage.of_bot() == []


async def test_direct_messages_are_closed_until_they_are_opened(stage: Stage) -> None:
    async with stage.bot():
        await stage.ana.send_dm("a red fox")
        [answer] = stage.of_bot(stage.ana.user.dm_channel)
        assert "direct messages" in answer.content
    assert orders(stage) == []


async def test_a_member_may_ask_in_direct_messages_where_they_are_open(stage: Stage) -> None:
    async with stage.bot(access={**SERVED, "direct_messages": True}):
        await stage.ana.send_dm("a red fox")
        assert "a red fox" in (await stage.clip(stage.ana.user.dm_channel)).content
        stranger = stage.env.create_user("eve")
        await stranger.send_dm("a grey wolf")
        assert stage.clips(stranger.dm_channel) == []
    assert [each.prompt for each in orders(stage)] == ["a red fox"]


# ---- places ------------------------------------------------------------------------------------


async def test_a_thread_and_a_forum_post_get_their_clips_themselves(stage: Stage) -> None:
    async with stage.bot():
        forum = stage.guild.create_forum_channel("clips")
        thread, post = stage.thread(stage.general, "foxes"), stage.thread(forum, "A wolf, please")
        await stage.ana.slash(thread, "ray create", prompt="a red fox")
        await stage.ana.send(post, f"{stage.mention} a grey wolf")
        assert "a red fox" in (await stage.clip(thread)).content
        assert "a grey wolf" in (await stage.clip(post)).content
        assert stage.clips() == []


async def test_a_request_gets_a_thread_of_its_own_where_that_is_wanted(stage: Stage) -> None:
    async with stage.bot(opens_threads=True):
        asked = await stage.ana.slash(stage.general, "ray create", prompt="a red fox")
        await stage.delivered(said(asked))
        [thread] = stage.general.threads
        assert thread.name == "a red fox"
        assert len(stage.clips(thread)) == 1
        assert stage.clips() == []


async def test_a_missing_permission_is_named_before_anything_starts(stage: Stage) -> None:
    async with stage.bot() as bot:
        me = stage.guild.me
        assert me is not None
        closed = stage.guild.create_text_channel(
            "closed", overwrites={me: discord.PermissionOverwrite(attach_files=False)}
        )
        asked = await stage.ana.slash(closed, "ray create", prompt="a red fox")
        assert "Attach Files" in said(asked)
        assert stage.of_bot(closed) == []
        await bot.check_books()
    assert orders(stage) == []


async def test_a_server_that_is_not_served_is_told_so_in_private(stage: Stage) -> None:
    async with stage.bot():
        wolves = stage.env.create_guild("Wolves")
        den = wolves.create_text_channel("den")
        eve = wolves.add_member(stage.env.create_user("eve"))
        asked = await eve.slash(den, "ray create", prompt="a grey wolf")
        assert "not" in said(asked)
        assert stage.of_bot(den) == []
    assert orders(stage) == []


async def test_a_bad_image_is_refused_in_private(stage: Stage) -> None:
    async with stage.bot() as bot:
        asked = await stage.ana.slash(stage.general, "ray animate", image=("fox.png", b"no image"))
        assert "image" in said(asked)
        assert stage.clips() == []
        await bot.check_books()
    assert orders(stage) == []


# ---- buttons and administration ----------------------------------------------------------------


async def test_buttons_work_in_the_next_process_and_forms_say_that_they_do_not(
    stage: Stage,
) -> None:
    async with stage.bot():
        await stage.ana.slash(stage.general, "ray create", prompt="a red fox")
        clip = await stage.clip()
        form = await stage.ana.click(clip, label="Remix")
        assert fields(form)["Prompt"]["value"] == "a red fox"
    async with stage.bot():
        late = await stage.ana.submit_modal(form, fill(form, {"Prompt": "a grey wolf"}))
        assert "restarted" in said(late)
        await stage.ana.click(clip, label="Variation")
        form = await stage.ana.click(clip, label="Remix")
        await stage.ana.submit_modal(form, fill(form, {"Prompt": "a brown hare"}))
        for number in (2, 3):
            await stage.clip(number=number)
        await sure(stage.ana, clip)
        assert clip.id not in [each.id for each in stage.clips()]

        clip = stage.clips()[0]
        assert "somebody else's" in said(await sure(stage.ben, clip))
        assert len(stage.clips()) == 2
        mods = stage.guild.create_role(
            "mods", permissions=discord.Permissions(manage_messages=True)
        )
        mia = stage.guild.add_member(stage.env.create_user("mia"), roles=[mods])
        await sure(mia, clip)
        assert len(stage.clips()) == 1
    asked = [each.prompt for each in orders(stage)]
    assert sorted(asked) == ["a brown hare", "a red fox", "a red fox"]


async def test_what_is_under_way_is_cancelled_by_its_button(stage: Stage) -> None:
    async with stage.bot() as bot:
        stage.simulator.faults.slow(100)
        await stage.ana.slash(stage.general, "ray create", prompt="a red fox")
        [status] = stage.of_bot()
        assert said(await stage.ben.click(status, label="Cancel"))
        assert "ancelled" in said(await stage.ana.click(status, label="Cancel"))
        assert stage.clips() == []
        await bot.check_books()


async def test_what_runs_a_server_is_for_those_who_may_manage_it(stage: Stage) -> None:
    async with stage.bot():
        with pytest.raises(simcord.SetupError, match="not visible"):
            await stage.ben.slash(stage.general, "ray-admin pause")
        # Whoever runs the server may show the command to anyone; we look again.
        command = stage.env.backend.find_command("ray-admin", stage.guild.id)
        assert command is not None
        stage.guild.set_command_permissions(int(command["id"]), {stage.ben: True})
        assert "manage this server" in said(
            await stage.ben.slash(stage.general, "ray-admin pause")
        )
        await stage.ben.slash(stage.general, "ray create", prompt="a red fox")

        role = stage.guild.create_role(
            "chiefs", permissions=discord.Permissions(manage_guild=True)
        )
        mia = stage.guild.add_member(stage.env.create_user("mia"), roles=[role])
        report = await mia.slash(stage.general, "ray-admin usage")
        assert "ben" in said(report)
        assert report.response is not None
        kinds = [each.filename[-4:] for each in report.response.attachments]
        assert kinds[-2:] == [".csv", ".csv"]
        await mia.slash(stage.general, "ray-admin pause")
        paused = await stage.ana.slash(stage.general, "ray create", prompt="a grey wolf")
        assert "paused" in said(paused).lower()
        await stage.simulator.wait_for_creates(1)
    assert [each.prompt for each in orders(stage)] == ["a red fox"]
