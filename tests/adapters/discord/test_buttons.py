"""The buttons under our messages: at once, after a restart, and for other people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.discord import buttons
from bot.job import JobState
from bot.request import to_video
from tests.adapters.discord.conftest import Community, LocalDiscord, picture
from tests.adapters.discord.test_commands import all_jobs, finished, job_of
from tests.adapters.discord.test_deeds import made
from tests.discord_server import Message, Permission
from tests.discord_server.hearing import wait_heard

OpenCommunity = Callable[..., Awaitable[Community]]


async def status_of(community: Community) -> Message:
    """The newest status message in the channel."""
    return await community.discord.wait_message(
        community.general, lambda each: not each.attachments
    )


# ---- under a clip ------------------------------------------------------------------------------


async def test_retry_asks_for_the_same_again(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox", duration="9s")
    clip = await finished(community)
    assert list(clip.buttons) == ["Extend", "Variation", "Remix", "Loop", "Delete"]
    answer = await community.ana.answer(await community.ana.click(clip, "Variation"))
    assert answer.is_ephemeral
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    newest, first = await all_jobs(community)
    assert (newest.retry_of, newest.request.relation) == (first.id, "variation")
    assert newest.work.model_copy(update={"typed": first.work.typed}) == first.work
    await community.bot.check_books()


async def test_more_is_a_list_with_prices_and_asks_for_what_an_act_needs(
    community: Community,
) -> None:
    await community.ana.slash("ray create", prompt="a red fox", resolution="540p")
    clip = await finished(community)
    [first] = await all_jobs(community)
    [more] = [each for row in clip.components for each in row["components"] if "options" in each]
    options = more["options"]
    listed = {each["value"]: each.get("description", "") for each in options}
    assert {"final", "reframe", "modify", "prequel", "join", "several"} <= listed.keys()
    # What the service asks for these nobody knows, so they are not offered.
    assert not {"upscale", "audio"} & listed.keys()
    asked = await community.ana.choose(clip, "More…", "reframe")
    form = await community.ana.modal(asked)
    [field] = [each["component"] for each in form["components"] if each["label"] == "Shape"]
    shapes = {each["value"]: each["label"] for each in field["options"]}
    assert "1:1" not in shapes
    assert shapes["9:16"].startswith("9:16 · ≈ $")
    sent = await community.ana.submit_modal(asked, {"Shape": ["9:16"]})
    assert "Accepted" in (await community.ana.answer(sent)).content
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    newest, _ = await all_jobs(community)
    assert (newest.parent, newest.work.kind) == (first.id, "reframe")
    [reframed] = [each for each in community.clips() if "reframe" in each.content]
    assert f"Reframed from [{first.id}](" in reframed.content
    await community.bot.check_books()


async def test_a_clip_goes_on_and_is_varied_at_once(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    [first] = await all_jobs(community)
    asked = await community.ana.click(clip, "Extend")
    await community.ana.modal(asked)
    await community.ana.answer(
        await community.ana.submit_modal(asked, {"What happens next?": "it runs"})
    )
    asked = await community.ana.choose(clip, "More…", "several")
    await community.ana.modal(asked)
    told = await community.ana.answer(
        await community.ana.submit_modal(asked, {"How many?": ["3"]})
    )
    assert told.content.count("Accepted") == 3
    await community.discord.wait_for(lambda: len(community.clips()) == 5)
    jobs = {job.request.relation: job for job in await all_jobs(community)}
    assert jobs["extend"].work.prompt == "it runs"
    assert {job.parent for job in await all_jobs(community)} == {None, first.id}
    await community.bot.check_books()


async def test_a_form_of_a_clip_that_is_gone_meanwhile_starts_nothing(
    community: Community,
) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    [first] = await all_jobs(community)
    asked = await community.ben.choose(clip, "More…", "reframe")
    await community.ben.modal(asked)
    await community.bot.studio.delete(first.id, first.request.requester)
    told = await community.ben.answer(await community.ben.submit_modal(asked, {"Shape": ["9:16"]}))
    assert told.is_ephemeral
    assert "was deleted" in told.content
    assert len(await all_jobs(community)) == 1


async def test_remix_opens_what_was_asked_to_be_changed(community: Community) -> None:
    await community.ana.slash(
        "ray create", prompt="a red fox", start_frame=picture(), camera="zoom_in", duration="9s"
    )
    clip = await finished(community)
    asked = await community.ben.click(clip, "Remix")
    modal = await community.ben.modal(asked)
    filled = {each["label"]: each["component"] for each in modal["components"]}
    assert filled["Prompt"]["value"] == "a red fox"
    assert filled["Flags"]["value"] == "--camera zoom_in"
    sent = await community.ben.submit_modal(asked, {"Prompt": "a blue fox"})
    await community.ben.answer(sent)
    second = await community.discord.wait_message(
        community.general, lambda each: each.attachments and "blue" in each.content
    )
    assert second.pings.users == {community.ben.id}
    [first] = await all_jobs(community)
    job = await community.bot.job(job_of(second))
    work = to_video(job.work)
    assert (job.retry_of, work.start_frame) == (first.id, to_video(first.work).start_frame)
    assert (work.concepts, work.duration) == (("zoom_in",), "9s")


async def test_flags_among_the_words_of_a_form_are_read_and_what_is_none_stays(
    community: Community,
) -> None:
    clip = await made(community, '"a sign says --seed 4"')
    asked = await community.ana.click(clip, "Remix")
    form = await community.ana.modal(asked)
    [prompt] = [each["component"] for each in form["components"] if each["label"] == "Prompt"]
    assert prompt["value"] == '"a sign says --seed 4"'
    answer = await community.ana.answer(
        await community.ana.submit_modal(asked, {"Prompt": "a fox --ar 9:16", "Flags": "--ar 1:1"})
    )
    assert "aspect ratio in the prompt is another" in answer.content
    assert len(await all_jobs(community)) == 1
    again = await community.ana.click(clip, "Remix")
    await community.ana.modal(again)
    sent = {"Prompt": "a blue fox --dur 9s --ar 9:16", "Length and size": ["5s 540p"]}
    await community.ana.answer(await community.ana.submit_modal(again, sent))
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    newest, first = await all_jobs(community)
    assert first.work.prompt == "a sign says --seed 4"
    work = to_video(newest.work)
    assert (work.prompt, work.aspect_ratio) == ("a blue fox", "9:16")
    assert (work.duration, work.resolution) == ("9s", "540p")
    await community.bot.check_books()


async def test_a_remix_says_that_it_leaves_out_the_end_of_a_long_prompt(
    community: Community,
) -> None:
    says = "The end had no room here and is left out."
    for prompt, said in (("x" * 4000, None), ("x" * 4001, says)):
        clip = await made(community, prompt)
        form = await community.ana.modal(await community.ana.click(clip, "Remix"))
        [field] = [each for each in form["components"] if each["label"] == "Prompt"]
        assert field.get("description") == said


async def test_delete_asks_once_more_even_after_a_restart(local_discord: LocalDiscord) -> None:
    async with local_discord.community() as community:
        await community.ana.slash("ray create", prompt="a red fox")
        clip = await finished(community)
        asks = await community.ana.answer(await community.ana.click(clip, "Delete"))
        assert asks.is_ephemeral
        assert "for good" in asks.content
        assert list(asks.buttons) == ["Delete"]
        assert (await community.bot.job(job_of(clip))).failure is None
        assert not clip.is_deleted
    async with local_discord.community() as community:
        answer = await community.ana.answer(await community.ana.click(asks, "Delete"))
        assert "is deleted" in answer.content
        assert clip.is_deleted


async def test_delete_takes_the_clip_away(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    answer = await community.delete(community.ana, clip)
    assert answer.is_ephemeral
    assert "is deleted" in answer.content
    assert clip.is_deleted


async def test_a_clip_that_cannot_be_removed_now_promises_nothing(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    community.discord.faults.error("DELETE", f"/messages/{clip.id}", 400, 0)
    answer = await community.delete(community.ana, clip)
    assert "could not be removed now and still stands there" in answer.content
    assert "Delete it again" in answer.content
    assert not [each for each in ("by itself", "charged") if each in answer.content]
    assert not clip.is_deleted
    await community.delete(community.ana, clip)
    assert clip.is_deleted


async def test_a_clip_that_cannot_be_taken_away_is_told_of_and_goes_once_it_can(
    community: Community,
) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    community.discord.faults.error("DELETE", f"/messages/{clip.id}", 403, 50001)
    answer = await community.delete(community.ana, clip)
    assert "its message still stands there" in answer.content
    assert "cannot see that channel" in answer.content
    assert "charged" not in answer.content
    assert not clip.is_deleted
    assert (await community.bot.job(job_of(clip))).clip is None
    assert "is deleted." in (await community.delete(community.ana, clip)).content
    assert clip.is_deleted


async def test_somebody_elses_clip_is_not_theirs_to_delete(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    answer = await community.delete(community.ben, clip)
    assert answer.is_ephemeral
    assert "somebody else's" in answer.content
    assert not clip.is_deleted


async def test_a_moderator_may_delete_everybodys(community: Community) -> None:
    allows = Permission.MANAGE_MESSAGES
    mod = community.discord.person("Mod", community.guild, allows=allows)
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    await community.delete(mod, clip)
    assert clip.is_deleted
    job = await community.bot.job(job_of(clip))
    assert job.failure is not None
    assert "a moderator" in job.failure.sentence


# ---- while it runs -----------------------------------------------------------------------------


async def test_cancel_stops_what_waits_or_runs(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("ray create", prompt="a red fox")
    status = await community.discord.wait_message(community.general, lambda each: each.buttons)
    refusal = await community.ben.answer(await community.ben.click(status, "Cancel"))
    assert "somebody else's" in refusal.content
    answer = await community.ana.answer(await community.ana.click(status, "Cancel"))
    assert answer.is_ephemeral
    assert "Cancelled" in answer.content
    community.bot.clock.move(seconds=6)
    await community.discord.wait_for(lambda: "Cancelled" in status.content)


async def test_a_command_cancels_too(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("ray create", prompt="a red fox")
    status = await status_of(community)
    answer = await community.ana.answer(await community.ana.slash("ray cancel", id=job_of(status)))
    assert "Cancelled" in answer.content


async def test_a_cancel_that_comes_too_late_says_nothing_untrue_of_money(
    community: Community,
) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    answer = await community.ana.answer(await community.ana.slash("ray cancel", id=job_of(clip)))
    assert "Too late for that" in answer.content
    assert "already ended" in answer.content
    assert "charged" not in answer.content
    assert "send it again" not in answer.content


async def test_a_high_price_is_confirmed_by_who_asked(open_community: OpenCommunity) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.01})
    await community.ana.slash("ray create", prompt="a red fox")
    status = await community.discord.wait_message(community.general, lambda each: each.buttons)
    assert list(status.buttons) == ["Confirm", "Cancel"]
    refusal = await community.ben.answer(await community.ben.click(status, "Confirm"))
    assert "somebody else's" in refusal.content
    [job] = await all_jobs(community)
    assert (job.state, job.cost) == (JobState.RECEIVED, 0)
    answer = await community.ana.answer(await community.ana.click(status, "Confirm"))
    assert "Accepted" in answer.content
    await community.clip()


async def test_twice_clicked_is_confirmed_once(open_community: OpenCommunity) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.01})
    await community.ana.slash("ray create", prompt="a red fox")
    status = await community.discord.wait_message(community.general, lambda each: each.buttons)
    clicks = [await community.ana.click(status, "Confirm") for _ in range(2)]
    await asyncio.gather(*(community.ana.answer(each) for each in clicks))
    await finished(community)
    assert len(community.clips()) == 1
    await community.bot.check_books()


# ---- after a restart ---------------------------------------------------------------------------


async def test_buttons_outlive_the_bot(local_discord: LocalDiscord) -> None:
    async with local_discord.community() as community:
        await community.ana.slash("ray create", prompt="a red fox")
        clip = await finished(community)
    local_discord.clock.move(days=90)
    local_discord.discord.clock.move(days=90)
    async with local_discord.community(bot={"clip_retention_days": 365}) as community:
        asked = await community.ana.click(clip, "Remix")
        await community.ana.modal(asked)
        await community.ana.answer(
            await community.ana.submit_modal(asked, {"Prompt": "a blue fox"})
        )
        await community.ana.answer(await community.ana.click(clip, "Variation"))
        await community.discord.wait_for(lambda: len(community.clips()) == 3, 30)
        await community.delete(community.ana, clip)
        assert clip.is_deleted


async def test_an_uploaded_image_is_at_hand_for_another_try(local_discord: LocalDiscord) -> None:
    async with local_discord.community() as community:
        await community.ana.slash("ray animate", image=picture(), prompt="it turns")
        clip = await finished(community)
    for upload in local_discord.discord.cdn.files.values():
        upload.is_gone = upload.is_ephemeral
    async with local_discord.community() as community:
        await community.ana.answer(await community.ana.click(clip, "Variation"))
        await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)


def kept_images(local_discord: LocalDiscord, folder: str) -> list[str]:
    """The jobs whose images are kept in this folder."""
    return [
        each.parent.name for each in (local_discord.folder / "data/media" / folder).glob("*/*.jpg")
    ]


async def test_an_uploaded_image_is_at_hand_for_months_and_no_longer(
    local_discord: LocalDiscord,
) -> None:
    keep = {"upload_retention_days": 100}
    async with local_discord.community(bot=keep) as community:
        say = f"{community.discord.app.bot.mention} it turns"
        await community.ana.say(community.general, say, files=[("fox.png", picture())])
        of_message = job_of(await finished(community))
        known = len(community.clips())
        await community.ana.slash("ray animate", image=picture(), prompt="it turns")
        await community.discord.wait_for(lambda: len(community.clips()) > known, 30)
        clip = community.clips()[-1]
        await community.bot.delivered(job_of(clip))
        # The images that Discord still has are swept, and so the chore was done.
        community.later(days=60)
        await community.hurry(
            lambda: of_message not in kept_images(local_discord, "frames"), seconds=1
        )
    local_discord.discord.cdn.lose_ephemeral()
    async with local_discord.community(bot=keep) as community:
        await community.ana.answer(await community.ana.click(clip, "Variation"))
        await community.discord.wait_for(lambda: len(community.clips()) == 3, 30)
        again = community.clips()[-1]
        await community.bot.delivered(job_of(again))
    async with local_discord.community(bot=keep) as community:
        asked = await community.ana.click(again, "Remix")
        await community.ana.modal(asked)
        await community.ana.answer(await community.ana.submit_modal(asked, {"Prompt": "it flies"}))
        await community.discord.wait_for(lambda: len(community.clips()) == 4, 30)
        await community.bot.delivered(job_of(community.clips()[-1]))
        community.later(days=41)
        await community.hurry(lambda: not kept_images(local_discord, "uploads"), seconds=1)
    async with local_discord.community(bot=keep) as community:
        answer = await community.ana.answer(await community.ana.click(clip, "Variation"))
        assert "no longer has this image. Please send it again" in answer.content
        assert len(local_discord.simulator.generations) == 4
        await community.bot.check_books()


async def test_a_form_that_was_open_during_a_restart_is_told_so(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        await community.ana.slash("ray create", prompt="a red fox")
        clip = await finished(community)
        asked = await community.ana.click(clip, "Remix")
        await community.ana.modal(asked)
    async with local_discord.community() as community:
        sent = await community.ana.submit_modal(asked, {"Prompt": "a blue fox"})
        answer = await community.ana.answer(sent)
        assert answer.is_ephemeral
        assert "I was restarted while this form was open" in answer.content
        assert len(await all_jobs(community)) == 1


async def test_a_form_that_was_sent_in_vain_is_told_to_have_ended(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    asked = await community.ana.click(await finished(community), "Remix")
    await community.ana.modal(asked)
    community.discord.faults.error("POST", "/callback$", 404, 10062)
    lost = await community.ana.submit_modal(asked, {"Prompt": "a blue fox"})
    looked = community.discord.requests_to
    await community.hurry(lambda: looked("GET", "/@original$"))
    await wait_heard(lost, community.discord.app.id)
    assert community.discord.faults.left == 0
    sent = await community.ana.submit_modal(asked, {"Prompt": "a blue fox"})
    answer = await community.ana.answer(sent)
    assert answer.is_ephemeral
    assert "This form has ended. Copy your words" in answer.content
    assert len(await all_jobs(community)) == 1


async def test_a_form_that_was_open_for_too_long_is_told_to_have_ended(
    community: Community, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buttons, "FORM_SECONDS", 1e-9)
    await community.ana.slash("ray create", prompt="a red fox")
    asked = await community.ana.click(await finished(community), "Remix")
    await community.ana.modal(asked)
    await community.ana.answer(await community.ana.slash("ray usage"))
    sent = await community.ana.submit_modal(asked, {"Prompt": "a blue fox"})
    assert "This form has ended" in (await community.ana.answer(sent)).content
    assert len(await all_jobs(community)) == 1


async def test_a_button_of_another_version_is_told_so(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    clip.components[0]["components"][0]["custom_id"] = f"ray:fly:{job_of(clip)}"
    answer = await community.ana.answer(await community.ana.click(clip, "Extend"))
    assert "another version" in answer.content
