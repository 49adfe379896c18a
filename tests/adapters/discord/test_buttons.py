"""The buttons under our messages: at once, after a restart, and for other people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.discord import buttons
from bot.job import JobState
from bot.request import to_video
from tests.adapters.discord.conftest import Street, Town, picture
from tests.adapters.discord.test_commands import all_jobs, finished, job_of
from tests.adapters.discord.test_deeds import made
from tests.discord_server import Message, Permission

OpenStreet = Callable[..., Awaitable[Street]]


async def status_of(street: Street) -> Message:
    """The newest status message in the channel."""
    return await street.discord.wait_message(street.general, lambda each: not each.attachments)


# ---- under a clip ------------------------------------------------------------------------------


async def test_retry_asks_for_the_same_again(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox", duration="9s")
    clip = await finished(street)
    assert list(clip.buttons) == ["Extend", "Variation", "Remix", "Loop", "Delete"]
    answer = await street.ana.answer(await street.ana.click(clip, "Variation"))
    assert answer.is_ephemeral
    await street.discord.wait_for(lambda: len(street.clips()) == 2, 15)
    newest, first = await all_jobs(street)
    assert (newest.retry_of, newest.request.relation) == (first.id, "variation")
    assert newest.work.model_copy(update={"typed": first.work.typed}) == first.work
    await street.house.check_books()


async def test_more_is_a_list_with_prices_and_asks_for_what_an_act_needs(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox", resolution="540p")
    clip = await finished(street)
    [first] = await all_jobs(street)
    [more] = [each for row in clip.components for each in row["components"] if "options" in each]
    options = more["options"]
    listed = {each["value"]: each.get("description", "") for each in options}
    assert {"final", "reframe", "modify", "prequel", "join", "several"} <= listed.keys()
    # What the service asks for these nobody knows, so they are not offered.
    assert not {"upscale", "audio"} & listed.keys()
    asked = await street.ana.choose(clip, "More…", "reframe")
    form = await street.ana.modal(asked)
    [field] = [each["component"] for each in form["components"] if each["label"] == "Shape"]
    shapes = {each["value"]: each["label"] for each in field["options"]}
    assert "1:1" not in shapes
    assert shapes["9:16"].startswith("9:16 · ≈ $")
    sent = await street.ana.submit_modal(asked, {"Shape": ["9:16"]})
    assert "Accepted" in (await street.ana.answer(sent)).content
    await street.discord.wait_for(lambda: len(street.clips()) == 2, 15)
    newest, _ = await all_jobs(street)
    assert (newest.parent, newest.work.kind) == (first.id, "reframe")
    [reframed] = [each for each in street.clips() if "reframe" in each.content]
    assert f"Reframed from [{first.id}](" in reframed.content
    await street.house.check_books()


async def test_a_clip_goes_on_and_is_varied_at_once(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    [first] = await all_jobs(street)
    asked = await street.ana.click(clip, "Extend")
    await street.ana.modal(asked)
    await street.ana.answer(
        await street.ana.submit_modal(asked, {"What happens next?": "it runs"})
    )
    asked = await street.ana.choose(clip, "More…", "several")
    await street.ana.modal(asked)
    told = await street.ana.answer(await street.ana.submit_modal(asked, {"How many?": ["3"]}))
    assert told.content.count("Accepted") == 3
    await street.discord.wait_for(lambda: len(street.clips()) == 5, 20)
    jobs = {job.request.relation: job for job in await all_jobs(street)}
    assert jobs["extend"].work.prompt == "it runs"
    assert {job.parent for job in await all_jobs(street)} == {None, first.id}
    await street.house.check_books()


async def test_a_form_of_a_clip_that_is_gone_meanwhile_starts_nothing(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    [first] = await all_jobs(street)
    asked = await street.ben.choose(clip, "More…", "reframe")
    await street.ben.modal(asked)
    await street.house.studio.delete(first.id, first.request.requester)
    told = await street.ben.answer(await street.ben.submit_modal(asked, {"Shape": ["9:16"]}))
    assert told.is_ephemeral
    assert "was deleted" in told.content
    assert len(await all_jobs(street)) == 1


async def test_remix_opens_what_was_asked_to_be_changed(street: Street) -> None:
    await street.ana.slash(
        "ray create", prompt="a red fox", start_frame=picture(), camera="zoom_in", duration="9s"
    )
    clip = await finished(street)
    asked = await street.ben.click(clip, "Remix")
    modal = await street.ben.modal(asked)
    filled = {each["label"]: each["component"] for each in modal["components"]}
    assert filled["Prompt"]["value"] == "a red fox"
    assert filled["Flags"]["value"] == "--camera zoom_in"
    sent = await street.ben.submit_modal(asked, {"Prompt": "a blue fox"})
    await street.ben.answer(sent)
    second = await street.discord.wait_message(
        street.general, lambda each: each.attachments and "blue" in each.content, seconds=15
    )
    assert second.pings.users == {street.ben.id}
    [first] = await all_jobs(street)
    job = await street.house.job(job_of(second))
    work = to_video(job.work)
    assert (job.retry_of, work.start_frame) == (first.id, to_video(first.work).start_frame)
    assert (work.concepts, work.duration) == (("zoom_in",), "9s")


async def test_flags_among_the_words_of_a_form_are_read_and_what_is_none_stays(
    street: Street,
) -> None:
    clip = await made(street, '"a sign says --seed 4"')
    asked = await street.ana.click(clip, "Remix")
    form = await street.ana.modal(asked)
    [prompt] = [each["component"] for each in form["components"] if each["label"] == "Prompt"]
    assert prompt["value"] == '"a sign says --seed 4"'
    answer = await street.ana.answer(
        await street.ana.submit_modal(asked, {"Prompt": "a fox --ar 9:16", "Flags": "--ar 1:1"})
    )
    assert "aspect ratio in the prompt is another" in answer.content
    assert len(await all_jobs(street)) == 1
    again = await street.ana.click(clip, "Remix")
    await street.ana.modal(again)
    sent = {"Prompt": "a blue fox --dur 9s --ar 9:16", "Length and size": ["5s 540p"]}
    await street.ana.answer(await street.ana.submit_modal(again, sent))
    await street.discord.wait_for(lambda: len(street.clips()) == 2, 15)
    newest, first = await all_jobs(street)
    assert first.work.prompt == "a sign says --seed 4"
    work = to_video(newest.work)
    assert (work.prompt, work.aspect_ratio) == ("a blue fox", "9:16")
    assert (work.duration, work.resolution) == ("9s", "540p")
    await street.house.check_books()


async def test_a_remix_says_that_it_leaves_out_the_end_of_a_long_prompt(street: Street) -> None:
    says = "The end had no room here and is left out."
    for prompt, said in (("x" * 4000, None), ("x" * 4001, says)):
        clip = await made(street, prompt)
        form = await street.ana.modal(await street.ana.click(clip, "Remix"))
        [field] = [each for each in form["components"] if each["label"] == "Prompt"]
        assert field.get("description") == said


async def test_delete_asks_once_more_even_after_a_restart(town: Town) -> None:
    async with town.street() as street:
        await street.ana.slash("ray create", prompt="a red fox")
        clip = await finished(street)
        asks = await street.ana.answer(await street.ana.click(clip, "Delete"))
        assert asks.is_ephemeral
        assert "for good" in asks.content
        assert list(asks.buttons) == ["Delete"]
        assert (await street.house.job(job_of(clip))).failure is None
        assert not clip.is_deleted
    async with town.street() as street:
        answer = await street.ana.answer(await street.ana.click(asks, "Delete"))
        assert "is deleted" in answer.content
        assert clip.is_deleted


async def test_delete_takes_the_clip_away(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    answer = await street.delete(street.ana, clip)
    assert answer.is_ephemeral
    assert "is deleted" in answer.content
    assert clip.is_deleted


async def test_a_clip_that_cannot_be_removed_now_promises_nothing(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    street.discord.faults.error("DELETE", f"/messages/{clip.id}", 400, 0)
    answer = await street.delete(street.ana, clip)
    assert "could not be removed now and still stands there" in answer.content
    assert "Delete it again" in answer.content
    assert not [each for each in ("by itself", "charged") if each in answer.content]
    assert not clip.is_deleted
    await street.delete(street.ana, clip)
    assert clip.is_deleted


async def test_a_clip_that_cannot_be_taken_away_is_told_of_and_goes_once_it_can(
    street: Street,
) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    street.discord.faults.error("DELETE", f"/messages/{clip.id}", 403, 50001)
    answer = await street.delete(street.ana, clip)
    assert "its message still stands there" in answer.content
    assert "cannot see that channel" in answer.content
    assert "charged" not in answer.content
    assert not clip.is_deleted
    assert (await street.house.job(job_of(clip))).clip is None
    assert "is deleted." in (await street.delete(street.ana, clip)).content
    assert clip.is_deleted


async def test_somebody_elses_clip_is_not_theirs_to_delete(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    answer = await street.delete(street.ben, clip)
    assert answer.is_ephemeral
    assert "somebody else's" in answer.content
    assert not clip.is_deleted


async def test_a_moderator_may_delete_everybodys(street: Street) -> None:
    allows = Permission.MANAGE_MESSAGES
    mod = street.discord.person("Mod", street.guild, allows=allows)
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    await street.delete(mod, clip)
    assert clip.is_deleted
    job = await street.house.job(job_of(clip))
    assert job.failure is not None
    assert "a moderator" in job.failure.sentence


# ---- while it runs -----------------------------------------------------------------------------


async def test_cancel_stops_what_waits_or_runs(street: Street) -> None:
    street.house.simulator.faults.slow(100_000)
    await street.ana.slash("ray create", prompt="a red fox")
    status = await street.discord.wait_message(street.general, lambda each: each.buttons)
    refusal = await street.ben.answer(await street.ben.click(status, "Cancel"))
    assert "somebody else's" in refusal.content
    answer = await street.ana.answer(await street.ana.click(status, "Cancel"))
    assert answer.is_ephemeral
    assert "Cancelled" in answer.content
    street.house.clock.move(seconds=6)
    await street.discord.wait_for(lambda: "Cancelled" in status.content)


async def test_a_command_cancels_too(street: Street) -> None:
    street.house.simulator.faults.slow(100_000)
    await street.ana.slash("ray create", prompt="a red fox")
    status = await status_of(street)
    answer = await street.ana.answer(await street.ana.slash("ray cancel", id=job_of(status)))
    assert "Cancelled" in answer.content


async def test_a_cancel_that_comes_too_late_says_nothing_untrue_of_money(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    answer = await street.ana.answer(await street.ana.slash("ray cancel", id=job_of(clip)))
    assert "Too late for that" in answer.content
    assert "already ended" in answer.content
    assert "charged" not in answer.content
    assert "send it again" not in answer.content


async def test_a_high_price_is_confirmed_by_who_asked(open_street: OpenStreet) -> None:
    street = await open_street(limits={"confirm_above_usd": 0.01})
    await street.ana.slash("ray create", prompt="a red fox")
    status = await street.discord.wait_message(street.general, lambda each: each.buttons)
    assert list(status.buttons) == ["Confirm", "Cancel"]
    refusal = await street.ben.answer(await street.ben.click(status, "Confirm"))
    assert "somebody else's" in refusal.content
    [job] = await all_jobs(street)
    assert (job.state, job.cost) == (JobState.RECEIVED, 0)
    answer = await street.ana.answer(await street.ana.click(status, "Confirm"))
    assert "Accepted" in answer.content
    await street.clip()


async def test_twice_clicked_is_confirmed_once(open_street: OpenStreet) -> None:
    street = await open_street(limits={"confirm_above_usd": 0.01})
    await street.ana.slash("ray create", prompt="a red fox")
    status = await street.discord.wait_message(street.general, lambda each: each.buttons)
    clicks = [await street.ana.click(status, "Confirm") for _ in range(2)]
    await asyncio.gather(*(street.ana.answer(each) for each in clicks))
    await finished(street)
    assert len(street.clips()) == 1
    await street.house.check_books()


# ---- after a restart ---------------------------------------------------------------------------


async def test_buttons_outlive_the_bot(town: Town) -> None:
    async with town.street() as street:
        await street.ana.slash("ray create", prompt="a red fox")
        clip = await finished(street)
    town.clock.move(days=90)
    town.discord.clock.move(days=90)
    async with town.street(bot={"clip_retention_days": 365}) as street:
        asked = await street.ana.click(clip, "Remix")
        await street.ana.modal(asked)
        await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "a blue fox"}))
        await street.ana.answer(await street.ana.click(clip, "Variation"))
        await street.discord.wait_for(lambda: len(street.clips()) == 3, 15)
        await street.delete(street.ana, clip)
        assert clip.is_deleted


async def test_an_uploaded_image_is_at_hand_for_another_try(town: Town) -> None:
    async with town.street() as street:
        await street.ana.slash("ray animate", image=picture(), prompt="it turns")
        clip = await finished(street)
    for upload in town.discord.cdn.files.values():
        upload.is_gone = upload.is_ephemeral
    async with town.street() as street:
        await street.ana.answer(await street.ana.click(clip, "Variation"))
        await street.discord.wait_for(lambda: len(street.clips()) == 2, 15)


def kept_images(town: Town, folder: str) -> list[str]:
    """The jobs whose images are kept in this folder."""
    return [each.parent.name for each in (town.folder / "data/media" / folder).glob("*/*.jpg")]


async def test_an_uploaded_image_is_at_hand_for_months_and_no_longer(town: Town) -> None:
    keep = {"upload_retention_days": 100}
    async with town.street(bot=keep) as street:
        say = f"{street.discord.app.bot.mention} it turns"
        await street.ana.say(street.general, say, files=[("fox.png", picture())])
        of_message = job_of(await finished(street))
        known = len(street.clips())
        await street.ana.slash("ray animate", image=picture(), prompt="it turns")
        await street.discord.wait_for(lambda: len(street.clips()) > known, 15)
        clip = street.clips()[-1]
        await street.house.delivered(job_of(clip))
        # The images that Discord still has are swept, and so the chore was done.
        street.later(days=60)
        await street.hurry(lambda: of_message not in kept_images(town, "frames"), seconds=1)
    town.discord.cdn.lose_ephemeral()
    async with town.street(bot=keep) as street:
        await street.ana.answer(await street.ana.click(clip, "Variation"))
        await street.discord.wait_for(lambda: len(street.clips()) == 3, 15)
        again = street.clips()[-1]
        await street.house.delivered(job_of(again))
    async with town.street(bot=keep) as street:
        asked = await street.ana.click(again, "Remix")
        await street.ana.modal(asked)
        await street.ana.answer(await street.ana.submit_modal(asked, {"Prompt": "it flies"}))
        await street.discord.wait_for(lambda: len(street.clips()) == 4, 15)
        await street.house.delivered(job_of(street.clips()[-1]))
        street.later(days=41)
        await street.hurry(lambda: not kept_images(town, "uploads"), seconds=1)
    async with town.street(bot=keep) as street:
        answer = await street.ana.answer(await street.ana.click(clip, "Variation"))
        assert "no longer has this image. Please send it again" in answer.content
        assert len(town.simulator.generations) == 4
        await street.house.check_books()


async def test_a_form_that_was_open_during_a_restart_is_told_so(town: Town) -> None:
    async with town.street() as street:
        await street.ana.slash("ray create", prompt="a red fox")
        clip = await finished(street)
        asked = await street.ana.click(clip, "Remix")
        await street.ana.modal(asked)
    async with town.street() as street:
        sent = await street.ana.submit_modal(asked, {"Prompt": "a blue fox"})
        answer = await street.ana.answer(sent)
        assert answer.is_ephemeral
        assert "I was restarted while this form was open" in answer.content
        assert len(await all_jobs(street)) == 1


async def test_a_form_that_was_sent_in_vain_is_told_to_have_ended(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    asked = await street.ana.click(await finished(street), "Remix")
    await street.ana.modal(asked)
    street.discord.faults.error("POST", "/callback$", 404, 10062)
    await street.ana.submit_modal(asked, {"Prompt": "a blue fox"})
    await street.ana.answer(await street.ana.slash("ray usage"))
    assert street.discord.faults.left == 0
    sent = await street.ana.submit_modal(asked, {"Prompt": "a blue fox"})
    answer = await street.ana.answer(sent)
    assert answer.is_ephemeral
    assert "This form has ended. Copy your words" in answer.content
    assert len(await all_jobs(street)) == 1


async def test_a_form_that_was_open_for_too_long_is_told_to_have_ended(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buttons, "FORM_SECONDS", 1e-9)
    await street.ana.slash("ray create", prompt="a red fox")
    asked = await street.ana.click(await finished(street), "Remix")
    await street.ana.modal(asked)
    await street.ana.answer(await street.ana.slash("ray usage"))
    sent = await street.ana.submit_modal(asked, {"Prompt": "a blue fox"})
    assert "This form has ended" in (await street.ana.answer(sent)).content
    assert len(await all_jobs(street)) == 1


async def test_a_button_of_another_version_is_told_so(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    clip.components[0]["components"][0]["custom_id"] = f"ray:fly:{job_of(clip)}"
    answer = await street.ana.answer(await street.ana.click(clip, "Extend"))
    assert "another version" in answer.content
