"""What people do in Slack and what they see, told as dialogues with the true bolt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from bot.refs import JobId
from bot.request import ImageFrame, to_video
from tests.adapters.slack.conftest import Community, LocalSlack, picture
from tests.slack_server import Message

PNG = ("fox.png", picture(), "image/png")


def job_of(status: Message) -> JobId:
    assert status.metadata is not None
    return JobId(status.metadata["event_payload"]["job_id"])


def generations(community: Community) -> list[Any]:
    return list(community.bot.simulator.generations.values())


# ---- commands --------------------------------------------------------------------------------


async def test_a_command_becomes_a_clip_in_the_thread_of_its_status_message(
    community: Community,
) -> None:
    asked = await community.ana.slash(
        "/ray", "a fox in snow --ar 9:16 --dur 9s", community.general
    )
    clip = await community.clip()
    status = await community.status("Delivered")
    assert asked.is_acked
    assert asked.said == [], "everyone sees what becomes of it"
    assert status.thread_ts is None
    assert clip.thread_ts == status.ts
    assert f"<@{community.ana.id}>" in str(clip.blocks)
    assert set(clip.buttons) == {"Extend", "Variation", "Remix", "Loop", "More…", "Delete"}
    job = await community.bot.delivered(job_of(status))
    assert (job.work.aspect_ratio, to_video(job.work).duration) == ("9:16", "9s")
    await community.bot.check_books()


async def test_what_a_person_writes_calls_nobody_and_is_no_markup(community: Community) -> None:
    typed = "a &lt;!channel&gt; &lt;@U1&gt; *fox* &lt;https://evil.test|nice&gt; @here"
    await community.ana.slash("/ray", typed, community.general)
    await community.clip()
    meant = "a <!channel> <@U1> *fox* <https://evil.test|nice> @here"
    for request in [
        *community.slack.requests_to("chat.postMessage"),
        *community.slack.requests_to("chat.update"),
    ]:
        assert "<!channel" not in request.args["text"]
        assert "link_names" not in request.args
        for block in request.args["blocks"]:
            if block["type"] == "section":
                assert "channel" not in block["text"]["text"]
    posted = community.slack.requests_to("chat.postMessage")
    assert any(meant in str(each.args["blocks"]) for each in posted)
    assert not any(
        each.unfurls for each in community.slack.said(community.general) if each.metadata
    )


async def test_whom_a_message_names_is_in_the_prompt_by_name(community: Community) -> None:
    words = (
        f"{community.team.mention} {community.ben.mention} rides a fox, and <@U0NOBODY00> looks on"
    )
    await community.ana.say(words, community.general)
    await community.clip()
    job = await community.bot.delivered(job_of(await community.status()))
    assert job.work.prompt == "Ben rides a fox, and somebody looks on"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("help", "--ar"),
        ("usage", "Your usage"),
        ("jobs", "No"),
        ("settings", "What holds here"),
        ("settings ar=9:16", "9:16"),
        ("show r-0000000000", "no job"),
        ("cancel r-0000000000", "no job"),
        ("a fox --seed 4", "belongs to other tools"),
        ("a fox --ar 5:1", "The nearest is"),
        ("a fox --12s", "The nearest is 9s; all: 5s, 9s."),
        ("a fox --2160p", "The nearest is 1080p; all: 540p, 720p, 1080p."),
        ("settings dur=12s", "The nearest is 9s; all: 5s, 9s."),
        ("--loop", "Say what you want to see"),
    ],
)
async def test_pages_and_refusals_are_for_their_person_only(
    community: Community, typed: str, says: str
) -> None:
    asked = await community.ana.slash("/ray", typed, community.general)
    await asked.wait_said(lambda text: says in text)
    assert community.slack.said(community.general) == []
    assert generations(community) == []


async def test_a_private_request_is_answered_in_direct_messages(community: Community) -> None:
    asked = await community.ana.slash("/ray", "a secret fox --private", community.general)
    clip = await community.clip(community.ana.direct)
    await asked.wait_said(lambda text: "Follow it here" in text)
    assert community.slack.said(community.general) == []
    assert f"<@{community.ana.id}>" in str(clip.blocks)
    line = await community.ben.slash(
        "/ray", f"show {job_of(await community.status(channel=community.ana.direct))}"
    )
    await line.wait_said(lambda text: "no job" in text)


async def test_who_cannot_be_written_to_hears_that_nothing_was_started(
    community: Community,
) -> None:
    community.slack.faults.fail("conversations.open", "cannot_dm_bot")
    asked = await community.ana.slash("/ray", "a secret fox --private", community.general)
    said = await asked.wait_said(lambda text: "I cannot write to you directly" in text)
    assert said.count("directly") == 1
    assert "Nothing was charged" in said
    assert "kept" not in said
    assert generations(community) == []


async def test_where_the_bot_is_not_nothing_is_paid_and_the_person_hears_how_to_invite_it(
    community: Community,
) -> None:
    attic = community.slack.channel(
        community.team, "attic", members=[community.ana], has_bot=False
    )
    asked = await community.ana.slash("/ray", "a fox", attic)
    await asked.wait_said(lambda text: "/invite" in text and "Nothing was charged" in text)
    assert generations(community) == []
    await community.bot.check_books()


async def test_a_refusal_after_the_status_message_takes_it_away(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(limits={"usd_per_person_per_day": 0})
    asked = await community.ana.slash("/ray", "a fox", community.general)
    await asked.wait_said(lambda text: "A limit is reached" in text)
    await community.hurry(
        lambda: not [each for each in community.slack.said(community.general) if not each.deleted]
    )
    assert generations(community) == []


async def test_a_dear_clip_waits_for_a_confirmation(open_community: Callable[..., Any]) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.01})
    await community.ana.slash("/ray", "a fox", community.general)
    status = await community.status("Make it?")
    assert set(status.buttons) == {"Confirm", "Cancel"}
    assert generations(community) == []
    refused = await community.ben.click(status, "Confirm")
    await refused.wait_said(lambda text: "somebody else's" in text)
    await community.ana.click(status, "Confirm")
    await community.clip()


async def test_a_request_can_be_taken_back_while_it_waits(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("/ray", "a fox", community.general)
    status = await community.status("Generating")
    refused = await community.ben.click(status, "Cancel")
    await refused.wait_said(lambda text: "somebody else's" in text)
    asked = await community.ana.click(status, "Cancel")
    await asked.wait_said(lambda text: "Cancelled" in text)


async def test_a_job_can_be_looked_at_listed_and_cancelled_by_words(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("/ray", "a slow fox", community.general)
    status = await community.status("Generating")
    for typed, says in (
        (f"show {job_of(status)}", "a slow fox"),
        ("jobs", job_of(status)),
        (f"cancel {job_of(status)}", "Cancelled"),
        ("jobs", "cancelled"),
    ):
        asked = await community.ana.slash("/ray", typed, community.general)
        assert says in await asked.wait_said()
    await community.hurry(lambda: "Cancelled" in status.plain)


async def test_an_admin_cancels_by_words_what_others_asked_for(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_admin=True)
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("/ray", "a slow fox", community.general)
    words = f"cancel {job_of(await community.status('Generating'))}"
    refused = await community.ben.slash("/ray", words, community.general)
    await refused.wait_said(lambda text: "somebody else's" in text)
    asked = await boss.slash("/ray", words, community.general)
    await asked.wait_said(lambda text: "Cancelled" in text)


async def test_a_typed_delete_asks_once_as_the_button_does(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_admin=True)
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    job_id = job_of(await community.status("Delivered"))
    await community.bot.delivered(job_id)
    await boss.say(f"{community.team.mention} delete {job_id}", community.general)
    question = await boss.wait_ephemeral(lambda each: "Delete the clip" in each.plain)
    assert ["confirm" in each for each in clip.elements if "delete" in each["action_id"]] == [True]
    assert ["confirm" in each for each in question.elements] == [False]
    assert community.clips() == [clip]
    asked = await boss.click(question, "Delete")
    await asked.wait_said(lambda text: "is deleted" in text)
    assert community.clips() == []


# ---- buttons ---------------------------------------------------------------------------------


async def test_buttons_under_a_clip_work_after_a_restart(local_slack: LocalSlack) -> None:
    async with local_slack.community() as community:
        await community.ana.slash("/ray", "a fox", community.general)
        clip = await community.clip()
        await community.bot.delivered(job_of(await community.status()))
    async with local_slack.community() as community:
        await community.ben.click(clip, "Variation")
        await community.slack.wait_for(lambda: len(community.clips()) == 2)
    first, second = community.clips()
    assert first.thread_ts == second.thread_ts
    assert len(generations(community)) == 2


async def test_remix_opens_a_form_with_what_was_asked(community: Community) -> None:
    await community.ana.slash("/ray", "a fox --ar 9:16", community.general)
    clip = await community.clip()
    asked = await community.ben.click(clip, "Remix")
    view = await asked.wait_view()
    assert "a fox" in str(view.blocks)
    assert "9:16" in str([each.get("element", {}).get("initial_option") for each in view.blocks])
    sent = await community.ben.submit(view, {"prompt": "a wolf"})
    assert sent.closed
    await community.slack.wait_for(lambda: len(community.clips()) == 2)
    work = generations(community)[1]
    assert "a wolf" in str(vars(work))


async def test_only_who_asked_or_an_admin_deletes_a_clip(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_admin=True)
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    job_id = job_of(await community.status("Delivered"))
    await community.bot.delivered(job_id)
    refused = await community.ben.click(clip, "Delete")
    await refused.wait_said(lambda text: "somebody else's" in text)
    assert not clip.deleted
    asked = await boss.click(clip, "Delete")
    await asked.wait_said(lambda text: "is deleted" in text)
    assert clip.deleted or not [each for each in clip.files if not each.is_deleted]
    assert (await community.bot.job(job_id)).clip is None


async def test_who_deletes_a_clip_reads_that_its_workspace_keeps_it(community: Community) -> None:
    await community.ana.slash("/ray", "a fox", community.general)
    clip = await community.clip()
    job_id = job_of(await community.status("Delivered"))
    await community.bot.delivered(job_id)
    community.slack.faults.fail("files.delete", "cant_delete_file")
    asked = await community.ana.click(clip, "Delete")
    said = await asked.wait_said(lambda text: "still stands there" in text)
    assert "Delete it there yourself" in said
    assert [clip] == community.clips()
    assert (await community.bot.job(job_id)).clip is None


async def test_people_are_forgotten_who_ask_and_whom_an_admin_names(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_admin=True)
    await community.ana.slash("/ray", "my red fox", community.general)
    clip, status = await community.clip(), await community.status("Delivered")
    await community.bot.delivered(job_of(status))
    refused = await community.ben.slash(
        "/ray", f"admin forget <@{community.ana.id}|ana>", community.general
    )
    await refused.wait_said(lambda text: "Only admins" in text)
    page = await community.ana.slash("/ray", "forget me", community.general)
    assert "1 clip with its copies" in await page.wait_said(lambda text: "goes:" in text)
    assert not clip.deleted
    asked = await community.ana.click(page.messages[-1], "Forget it all")
    await asked.wait_said(lambda text: "being removed" in text)
    await community.hurry(lambda: (clip.deleted and status.deleted) or None)
    async with asyncio.timeout(30):
        while not generations(community)[-1].is_deleted:
            await asyncio.sleep(0.01)
    assert (await community.bot.job(job_of(status))).work.prompt == ""

    own = await community.ben.slash("/ray", "settings ar=9:16", community.general)
    await own.wait_said()
    page = await boss.slash("/ray", f"admin forget <@{community.ben.id}|ben>", community.general)
    shown = await page.wait_said(lambda text: "1 own setting" in text)
    assert f"Shall everything of <@{community.ben.id}> be forgotten here?" in shown
    asked = await boss.click(page.messages[-1], "Forget it all")
    await asked.wait_said(
        lambda text: f"Everything of <@{community.ben.id}> is being removed" in text
    )


async def test_a_failed_clip_says_why_and_costs_nothing(community: Community) -> None:
    community.bot.simulator.faults.fail("Your prompt was flagged by moderation")
    await community.ana.slash("/ray", "a fox", community.general)
    status = await community.status("No clip this time")
    assert "Nothing was charged" in status.plain
    assert status.buttons == ["Retry", "Remix"]


# ---- forms and shortcuts ---------------------------------------------------------------------


async def test_the_command_alone_opens_a_form_for_everything(community: Community) -> None:
    asked = await community.ana.slash("/ray", "", community.general)
    view = await asked.wait_view()
    refused = await community.ana.submit(view, {})
    assert refused.errors == {"prompt": "Say what you want to see, or add an image."}
    sent = await community.ana.submit(
        view, {"prompt": "a fox", "duration": "9s", "aspect_ratio": "16:9", "start": PNG[:2]}
    )
    assert sent.closed
    await community.clip()
    job = await community.bot.delivered(job_of(await community.status()))
    assert (to_video(job.work).duration, job.work.aspect_ratio) == ("9s", "16:9")
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_animate_takes_the_image_of_a_message_into_its_thread(community: Community) -> None:
    image = await community.ben.say("look at this", community.general, files=[PNG])
    asked = await community.ana.shortcut("animate_with_ray", image)
    view = await asked.wait_view()
    await community.ana.submit(view, {"prompt": "slow zoom"})
    clip = await community.clip()
    assert clip.thread_ts == image.ts
    job = await community.bot.delivered(job_of(await community.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)
    assert job.work.prompt == "slow zoom"


async def test_animate_asks_which_of_several_images(community: Community) -> None:
    second = ("second.png", picture(180, 320, "blue"), "image/png")
    image = await community.ben.say("two", community.general, files=[PNG, second])
    asked = await community.ana.shortcut("animate_with_ray", image)
    view = await asked.wait_view()
    await community.ana.submit(view, {"picture": image.files[1].id})
    await community.clip()
    job = await community.bot.delivered(job_of(await community.status()))
    assert job.work.aspect_ratio == "9:16", "the nearest to the image that was chosen"


async def test_animate_needs_an_image(community: Community) -> None:
    words = await community.ben.say("only words", community.general)
    asked = await community.ana.shortcut("animate_with_ray", words)
    await asked.wait_said(lambda text: "no image" in text)
    assert asked.view is None


async def test_the_global_shortcut_asks_where_the_clip_belongs(community: Community) -> None:
    asked = await community.ana.global_shortcut("create_ray_clip")
    view = await asked.wait_view()
    await community.ana.submit(view, {"prompt": "a fox", "where": community.general.id})
    await community.clip()


# ---- words to the bot --------------------------------------------------------------------------


async def test_words_alone_need_no_thread_and_no_words_are_refused(community: Community) -> None:
    await community.ana.say(f"{community.team.mention}", community.general)
    await community.ana.wait_ephemeral(lambda each: "Say what you want to see" in each.plain)
    said = await community.ana.say(f"{community.team.mention} a fox", community.general)
    assert (await community.clip()).thread_ts == said.ts


async def test_pages_asked_for_by_mention_are_private(community: Community) -> None:
    await community.ana.say(f"{community.team.mention} usage", community.general)
    await community.ana.wait_ephemeral(lambda each: "Your usage" in each.plain)
    assert [
        each for each in community.slack.said(community.general) if each.user != community.ana.id
    ] == []


async def test_direct_messages_work_where_they_are_open(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(access={"direct_messages": True})
    said = await community.ana.say("a fox", community.ana.direct)
    clip = await community.clip(community.ana.direct)
    assert clip.thread_ts == said.ts


async def test_direct_messages_are_closed_by_default(community: Community) -> None:
    await community.ana.say("a fox", community.ana.direct)
    await community.slack.wait_message(
        community.ana.direct, lambda each: "no requests in direct messages" in each.plain
    )
    assert generations(community) == []


# ---- people ----------------------------------------------------------------------------------


async def test_guests_and_people_of_other_organisations_have_limits_of_their_own(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(limits={"clips_per_guest_per_day": 0})
    guest = community.slack.person("Guest", community.team, community.general, is_restricted=True)
    away = community.slack.person("Away", community.team, community.general, team_id="T999999999")
    for each in (guest, away):
        asked = await each.slash("/ray", "a fox", community.general)
        await asked.wait_said(lambda text: "uests" in text)
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()
    assert len(generations(community)) == 1


async def test_a_workspace_that_is_not_named_is_refused(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(access={"workspaces": ["T000000099"]})
    asked = await community.ana.slash("/ray", "a fox", community.general)
    await asked.wait_said(lambda text: "not set up" in text)
    assert community.slack.said(community.general) == []
    assert generations(community) == []


async def test_channels_are_shown_by_their_names_where_slack_tells_but_their_ids(
    community: Community,
) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    here, known = f"<#{community.general.id}|>", community.general.id
    for typed in (
        f"admin rule moderators_channel {here}",
        f"admin rule review before_post {here}",
        f"admin rule rules {here} Be kind.",
        f"admin channel {here} on",
        f"admin defaults {here} ar=9:16",
        f"admin digest {here}",
        "admin limits",
    ):
        told = len(boss.ephemerals)
        await boss.slash("/ray", typed, community.general)
        await community.slack.wait_for(lambda: len(boss.ephemerals) > told)  # noqa: B023 - awaited here
        shown = str(boss.ephemerals[-1].blocks)
        named = shown.count(f"'channel_id': '{known}'") + shown.count(f"<#{known}>")
        assert named == shown.count(known) > 0, typed


async def test_admins_run_their_workspace_and_others_do_not(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    refused = await community.ben.slash("/ray", "admin pause", community.general)
    await refused.wait_said(lambda text: "Only admins" in text)
    for typed, says in (
        ("admin", "pause"),
        ("admin limits", "budget"),
        ("admin usage today", "Nobody asked"),
        (f"admin digest {community.general.mention}", "comes in #general"),
        ("admin digest off", "nowhere any more"),
        (f"admin channel {community.general.mention} on", "#general"),
        (f"admin channel {community.general.mention} off", "Allow another one first"),
        ("admin channel all off", "Allow another one first"),
        ("admin limits", "Allowed in general."),
        ("admin channel all on", "every channel"),
        ("admin defaults ar=9:16", "9:16"),
        (f"admin rule remix own {community.general.mention}", "Decided for #general: remix own."),
        ("admin rule remix mine", "remix is anyone or own"),
        ("admin words add word clown", "Blocked words: clown."),
        ("admin words remove word clown", "Blocked words: none."),
        ("admin limit clips_per_person_per_day 9", "clips_per_person_per_day 9"),
        ("admin limit usd_per_person_per_day $5", "usd_per_person_per_day 5."),
        ("admin limit clips_per_persn_per_day 9", "clips_per_person_per_day"),
        (f"admin grant <@{community.ana.id}|ana> 5", " can spend $5.00 more"),
        ("admin queue", "Nothing waits"),
        ("admin audit", "grant"),
        (
            f"admin block <@{community.ben.id}|ben> 3 too loud",
            " can ask for nothing more, for 3 days. What waits of theirs is taken back",
        ),
        ("admin pause", "Paused"),
    ):
        asked = await boss.slash("/ray", typed, community.general)
        # The first chart takes a process a while.
        assert says in await asked.wait_said(seconds=45)
        if typed == "admin limits":
            assert "'type': 'date'" in str(asked.messages[-1].blocks)
        if says.startswith(" can "):
            shown = str(asked.messages[-1].blocks)
            assert f"'user_id': '{typed.partition('<@')[2].partition('|')[0]}'" in shown
    letters = [each for each in community.slack.said(boss.direct) if each.files]
    kinds = ["png"] * bool(find_spec("matplotlib")) + ["csv", "csv"]
    assert [[f.name[-3:] for f in each.files] for each in letters] == [kinds]
    assert not any(each.files for each in community.slack.said(community.general)), (
        "all would see them"
    )
    asked = await community.ana.slash("/ray", "a fox", community.general)
    await asked.wait_said(lambda text: "paused" in text)
    asked = await boss.slash("/ray", "admin resume", community.general)
    await asked.wait_said(lambda text: "again" in text)
    asked = await community.ben.slash("/ray", "a fox", community.general)
    await asked.wait_said(lambda text: "You cannot use Raybot here" in text)
    asked = await boss.slash("/ray", f"admin unblock <@{community.ben.id}|ben>", community.general)
    await asked.wait_said(lambda text: " can ask again" in text)
    await community.ben.slash("/ray", "a fox", community.general)
    await community.clip()


async def test_people_whom_the_configuration_names_run_a_workspace(
    open_community: Callable[..., Any], local_slack: LocalSlack
) -> None:
    named = [f"{local_slack.team.id}/{local_slack.ana.id}", f"T000000099/{local_slack.ben.id}"]
    community = await open_community(adapter={"admins": named})
    asked = await community.ana.slash("/ray", "admin pause", community.general)
    await asked.wait_said(lambda text: "Paused" in text)
    refused = await community.ben.slash("/ray", "admin resume", community.general)
    await refused.wait_said(lambda text: "Only admins" in text)


async def test_an_admin_can_be_in_a_clip(community: Community) -> None:
    await community.ana.slash("/ray", "admin panel of a spaceship", community.general)
    await community.clip()


async def test_a_form_in_direct_messages_needs_them_open(community: Community) -> None:
    asked = await community.ana.slash("/ray", "", community.ana.direct)
    view = await asked.wait_view()
    await community.ana.submit(view, {"prompt": "a fox"})
    await community.slack.wait_message(
        community.ana.direct, lambda each: "no requests in direct messages" in each.plain
    )
    assert generations(community) == []


async def test_a_private_clip_stays_private_when_it_is_tried_again(community: Community) -> None:
    await community.ana.slash("/ray", "a secret fox --private", community.general)
    clip = await community.clip(community.ana.direct)
    job_id = job_of(await community.status(channel=community.ana.direct))
    await community.bot.delivered(job_id)
    await community.ana.say(f"{community.team.mention} retry {job_id}", community.general)
    await community.slack.wait_for(lambda: len(community.clips(community.ana.direct)) == 2)
    await community.ana.click(clip, "Variation")
    await community.slack.wait_for(lambda: len(community.clips(community.ana.direct)) == 3)
    assert [
        each for each in community.slack.said(community.general) if each.user != community.ana.id
    ] == []


async def test_what_was_private_stays_private_when_it_is_edited(community: Community) -> None:
    community.bot.simulator.faults.fail("Frame moderation failed")
    await community.ana.slash("/ray", "a grim secret --private", community.general)
    letter = await community.slack.wait_message(
        community.ana.direct, lambda each: "Edit and retry" in each.buttons, seconds=15
    )
    view = await (await community.ana.click(letter, "Edit and retry")).wait_view()
    await community.ana.submit(view, {"prompt": "a kind secret"})
    await community.clip(community.ana.direct)
    edited = job_of(await community.status("a kind secret", community.ana.direct))
    told = await community.ben.slash("/ray", f"show {edited}", community.general)
    await told.wait_said(lambda text: "There is no job" in text)
    assert community.slack.said(community.general) == []


async def test_a_still_is_a_picture_that_can_be_set_in_motion(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community()
    await community.ana.slash("/ray", "a fox in snow --still", community.general)
    picture_of_ours = await community.slack.wait_message(
        community.general, lambda each: any(file.name.endswith(".jpg") for file in each.files)
    )
    assert picture_of_ours.buttons == ["Animate", "Variation", "Remix", "More…", "Delete"]
    still = job_of(await community.status())
    await community.bot.delivered(still)
    asked = await community.ben.click(picture_of_ours, "Remix")
    assert "a fox in snow" in str((await asked.wait_view()).blocks)
    asked = await community.ben.click(picture_of_ours, "Animate")
    await community.ben.submit(await asked.wait_view(), {"prompt": "it runs"})
    clip = await community.clip()
    assert clip.thread_ts == picture_of_ours.thread_ts
    await community.bot.check_books()
