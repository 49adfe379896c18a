"""What people say to Raybot in messages, with Discord's message content intent and without it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.request import ClipFrame, ImageFrame, to_video
from bot.store import messages
from tests.adapters.discord.conftest import Community, LocalDiscord, picture
from tests.adapters.discord.test_commands import all_jobs, deliver_again, finished, job_of
from tests.discord_server import Intent, Message, Permission, Pings

OpenCommunity = Callable[..., Awaitable[Community]]


@pytest.fixture
async def reader(local_discord: LocalDiscord, open_community: OpenCommunity) -> Community:
    """Where the bot was granted to read messages."""
    local_discord.discord.app.granted = Intent.MESSAGE_CONTENT
    return await open_community()


def ray(community: Community) -> str:
    return community.discord.app.bot.mention


async def reply_to(community: Community, message: Message) -> Message:
    """What the bot answers to this message."""
    return await community.discord.wait_message(
        message.channel,
        lambda each: each.reference and each.reference.message_id == message.id,
    )


async def frames_of(community: Community) -> list[str]:
    """The file names of the newest job's start and end."""
    work = to_video((await all_jobs(community))[0].work)
    frames = [each for each in (work.start_frame, work.end_frame) if isinstance(each, ImageFrame)]
    return [each.attachment.filename for each in frames]


# ---- asking ------------------------------------------------------------------------------------


async def test_a_mention_with_flags_becomes_a_clip_that_replies_to_it(
    community: Community,
) -> None:
    said = await community.ana.say(
        community.general, f"{ray(community)} a red fox --dur 9s --ar 9:16"
    )
    clip = await community.clip()
    assert clip.reference is not None
    assert clip.reference.message_id == said.id
    assert clip.pings == Pings(users={community.ana.id})
    [job] = await all_jobs(community)
    assert (job.work.prompt, to_video(job.work).duration) == ("a red fox", "9s")


async def test_whom_and_what_a_message_names_is_in_the_prompt_by_name(
    community: Community,
) -> None:
    ben, place = community.ben.mention, community.general
    words = f"{ben} rides <:red_fox:77><a:cat:78> in {place.mention}, past <@99>"
    await community.ana.say(place, f"{ray(community)} {words}")
    clip = await finished(community)
    [job] = await all_jobs(community)
    assert job.work.prompt == f"Ben rides red fox cat in {place.name}, past somebody"
    assert clip.pings == Pings(users={community.ana.id})


async def test_a_name_is_neither_flag_nor_verb(community: Community) -> None:
    community.ben.user.name = 'delete r-0abc1234 --res 4k | "'
    await community.ana.say(community.general, f"{ray(community)} {community.ben.mention}")
    await community.discord.wait_message(
        community.general, lambda each: "Tell me what" in each.content
    )
    await community.ana.say(
        community.general, f"{ray(community)} a fox and {community.ben.mention}"
    )
    await community.clip()
    [job] = await all_jobs(community)
    assert job.work.prompt == "a fox and delete r 0abc1234 res 4k"


async def test_an_attached_image_is_the_start_frame(community: Community) -> None:
    await community.ana.say(
        community.general, f"{ray(community)} slow zoom", files=[("fox.png", picture())]
    )
    await community.clip()
    assert await frames_of(community) == ["fox.png"]


async def test_two_images_are_start_and_end(community: Community) -> None:
    files = [("dusk.png", picture(colour="navy")), ("dawn.png", picture(colour="white"))]
    await community.ana.say(community.general, f"{ray(community)} time passes", files=files)
    await community.clip()
    assert await frames_of(community) == ["dusk.png", "dawn.png"]


async def test_three_images_are_a_question(community: Community) -> None:
    files = [(f"{name}.png", picture()) for name in "abc"]
    said = await community.ana.say(community.general, f"{ray(community)} time passes", files=files)
    assert "There are 3 images" in (await reply_to(community, said)).content
    assert await all_jobs(community) == []


async def test_with_the_intent_the_image_replied_to_begins_the_clip(reader: Community) -> None:
    shown = await reader.ben.say(reader.general, "look", files=[("fox.png", picture())])
    await reader.ana.say(reader.general, f"{ray(reader)} slow zoom", reply_to=shown)
    await reader.clip()
    assert await frames_of(reader) == ["fox.png"]


async def test_an_image_on_the_reply_itself_wins(reader: Community) -> None:
    shown = await reader.ben.say(reader.general, files=[("his.png", picture())])
    await reader.ana.say(
        reader.general,
        f"{ray(reader)} slow zoom",
        reply_to=shown,
        files=[("hers.png", picture(colour="navy"))],
    )
    await reader.clip()
    assert await frames_of(reader) == ["hers.png"]


async def test_with_the_intent_a_reply_to_words_takes_only_the_words(reader: Community) -> None:
    shown = await reader.ben.say(reader.general, "what about a fox?")
    await reader.ana.say(reader.general, f"{ray(reader)} a red fox", reply_to=shown)
    assert "a red fox" in (await reader.clip()).content


async def no_picture(community: Community, said: Message) -> None:
    """This starts nothing, and its person reads how to ask for it."""
    assert "There is no picture in that message" in (await reply_to(community, said)).content
    assert await all_jobs(community) == []


@pytest.mark.parametrize(
    "shown",
    [{"files": [("fox.mp4", b"a video")]}, {"stickers": ["a fox"]}],
    ids=["video", "sticker"],
)
async def test_a_reply_to_what_shows_no_picture_buys_no_clip_of_words_alone(
    reader: Community, shown: dict[str, Any]
) -> None:
    message = await reader.ben.say(reader.general, "look", **shown)
    said = await reader.ana.say(reader.general, f"{ray(reader)} make it snow", reply_to=message)
    await no_picture(reader, said)


async def test_a_video_on_the_message_itself_buys_no_clip_of_words_alone(
    community: Community,
) -> None:
    files = [("fox.mp4", b"a video")]
    said = await community.ana.say(
        community.general, f"{ray(community)} make it snow", files=files
    )
    await no_picture(community, said)


async def test_a_reply_to_what_we_say_of_a_job_buys_no_clip_of_words_alone(
    community: Community,
) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ben.slash("ray create", prompt="a fox wakes")
    status = await community.discord.wait_message(
        community.general, lambda each: "r-" in each.content
    )
    await community.until_kept(messages.status_key(job_of(status)))
    said = await community.ana.say(
        community.general, f"{ray(community)} make it snow", reply_to=status
    )
    await no_picture(community, said)


async def test_a_reply_to_our_greeting_is_taken_at_its_words(community: Community) -> None:
    greeting = await reply_to(
        community, await community.ana.say(community.general, ray(community))
    )
    await community.ana.say(community.general, f"{ray(community)} a red fox", reply_to=greeting)
    assert "a red fox" in (await community.clip()).content


async def test_a_reply_to_a_hint_of_ours_that_names_a_job_is_taken_at_its_words(
    community: Community,
) -> None:
    hint = await reply_to(
        community, await community.ana.say(community.general, f"{ray(community)} delete")
    )
    assert "r-" in hint.content
    await community.ana.say(community.general, f"{ray(community)} a red fox", reply_to=hint)
    assert "a red fox" in (await community.clip()).content


async def test_a_sticker_hides_no_picture_that_is_replied_to(reader: Community) -> None:
    shown = await reader.ben.say(reader.general, "look", files=[("fox.png", picture())])
    words = f"{ray(reader)} make it dance"
    await reader.ana.say(reader.general, words, reply_to=shown, stickers=["hooray"])
    await reader.clip()
    assert await frames_of(reader) == ["fox.png"]


async def test_words_that_name_their_picture_need_none_beside_them(community: Community) -> None:
    await community.ana.say(community.general, f"{ray(community)} a fox wakes")
    clip = await finished(community)
    files = [("fox.mp4", b"a video")]
    await community.ana.say(
        community.general, f"{ray(community)} it snows --start {job_of(clip)}", files=files
    )
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)


async def test_without_the_intent_the_way_that_works_is_shown(community: Community) -> None:
    shown = await community.ben.say(community.general, files=[("fox.png", picture())])
    said = await community.ana.say(
        community.general, f"{ray(community)} slow zoom", reply_to=shown
    )
    answer = await reply_to(community, said)
    assert "Discord hides the message you reply to from me" in answer.content
    assert "Apps → Animate with Ray" in answer.content
    assert not answer.pings
    assert await all_jobs(community) == []


async def test_a_reply_to_one_of_our_clips_continues_it(community: Community) -> None:
    await community.ben.slash("ray create", prompt="a fox wakes")
    clip = await finished(community)
    await community.ana.say(community.general, f"{ray(community)} it runs away", reply_to=clip)
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    assert to_video((await all_jobs(community))[0].work).start_frame == ClipFrame(
        job_id=job_of(clip)
    )


async def test_a_reply_that_merely_calls_the_bot_starts_nothing(reader: Community) -> None:
    await reader.ben.slash("ray create", prompt="a fox wakes")
    clip = await finished(reader)
    said_before = len(reader.discord.said(reader.general))
    await reader.ana.say(reader.general, "wonderful!", reply_to=clip, ping=True)
    await reader.ana.answer(await reader.ana.slash("ray usage"))
    assert await all_jobs(reader) == []
    assert len(reader.discord.said(reader.general)) == said_before


async def test_a_message_that_came_twice_is_one_job(community: Community) -> None:
    await community.ana.say(community.general, f"{ray(community)} a red fox")
    deliver_again(community)
    await finished(community)
    await community.ana.answer(await community.ana.slash("ray usage"))
    assert len(await all_jobs(community)) == 1


async def test_a_deleted_message_replied_to_is_told(reader: Community) -> None:
    shown = await reader.ben.say(reader.general, files=[picture()])
    await reader.ben.delete(shown)
    said = await reader.ana.say(reader.general, f"{ray(reader)} slow zoom", reply_to=shown)
    assert "was deleted" in (await reply_to(reader, said)).content


async def test_a_bare_mention_is_told_what_to_say(community: Community) -> None:
    said = await community.ana.say(community.general, ray(community))
    told = (await reply_to(community, said)).content
    assert re.fullmatch(
        r"Tell me what to show: `/ray create` a red fox in snow \(≈ \$\d+\.\d\d\)\. "
        r"`/ray help` lists the rest\.",
        told,
    )


async def test_a_mention_of_our_role_is_told_whom_to_mention(community: Community) -> None:
    role = community.guild.bot_role
    role.is_mentionable = True
    said = await community.ana.say(community.general, f"<@&{role.id}> a red fox")
    answer = await reply_to(community, said)
    assert "Mention the app itself" in answer.content
    assert await all_jobs(community) == []


async def test_other_bots_are_not_heard(community: Community) -> None:
    other = community.discord.other_bot("Echo", community.guild)
    await other.say(community.general, f"{ray(community)} a red fox")
    await community.ana.answer(await community.ana.slash("ray usage"))
    assert community.discord.said(community.general) == []


# ---- verbs -------------------------------------------------------------------------------------


async def test_verbs_are_answered_beside_the_message(community: Community) -> None:
    await community.ana.say(community.general, f"{ray(community)} a red fox")
    clip = await finished(community)
    for verb, says in (
        ("help", "/ray create"),
        ("jobs", job_of(clip)),
        (f"show {job_of(clip)}", "a red fox"),
        ("settings ar=16:9", "16\\:9"),
        (f"cancel {job_of(clip)}", "already ended"),
    ):
        said = await community.ana.say(community.general, f"{ray(community)} {verb}")
        answer = await reply_to(community, said)
        assert says.replace("\\", "") in answer.content.replace("\\", ""), verb
    assert len(await all_jobs(community)) == 1


async def test_a_typed_delete_asks_as_the_button_does(community: Community) -> None:
    await community.ana.say(community.general, f"{ray(community)} a red fox")
    clip = await finished(community)
    said = await community.ana.say(community.general, f"{ray(community)} delete {job_of(clip)}")
    question = await reply_to(community, said)
    assert "for good" in question.content
    assert not clip.is_deleted
    other = await community.ben.answer(await community.ben.click(question, "Delete"))
    assert "somebody else's" in other.content
    done = await community.ana.answer(await community.ana.click(question, "Delete"))
    assert "is deleted" in done.content
    assert clip.is_deleted


async def test_who_moderates_cancels_and_deletes_by_words_too(
    local_discord: LocalDiscord, open_community: OpenCommunity
) -> None:
    boss = local_discord.discord.person(
        "Boss", local_discord.guild, allows=Permission.MANAGE_MESSAGES
    )
    community = await open_community()
    await community.ana.say(community.general, f"{ray(community)} a red fox")
    clip = await finished(community)
    said = await boss.say(community.general, f"{ray(community)} delete {job_of(clip)}")
    question = await reply_to(community, said)
    assert "is deleted" in (await boss.answer(await boss.click(question, "Delete"))).content
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a slow fox")
    words = f"{ray(community)} cancel {job_of(await community.ana.answer(asked))}"
    await community.ben.say(community.general, words)
    await community.discord.wait_message(
        community.ben.dm, lambda each: "somebody else's" in each.content
    )
    assert (
        "Cancelled"
        in (await reply_to(community, await boss.say(community.general, words))).content
    )


async def test_what_somebody_used_is_for_their_eyes_only(community: Community) -> None:
    said = await community.ana.say(community.general, f"{ray(community)} usage")
    public = await reply_to(community, said)
    assert public.content == "That is for your eyes only."
    own = await community.ana.answer(await community.ana.click(public, "Usage"))
    assert own.is_ephemeral
    assert "Your usage" in own.content


async def test_a_private_request_that_is_cancelled_aloud_keeps_its_words(
    community: Community,
) -> None:
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    job_id = job_of(await community.ana.answer(asked))
    await community.bot.simulator.wait_for_creates(1)
    said = await community.ana.say(community.general, f"{ray(community)} cancel {job_id}")
    answer = await reply_to(community, said)
    assert "Cancelled" in answer.content
    assert "secret" not in answer.content


async def test_a_typed_retry_asks_for_the_same_again(community: Community) -> None:
    await community.ana.say(community.general, f"{ray(community)} a red fox")
    clip = await finished(community)
    await community.ana.say(community.general, f"{ray(community)} retry {job_of(clip)}")
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    newest, first = await all_jobs(community)
    assert newest.retry_of == first.id


async def test_a_typed_retry_makes_nothing_public_of_what_was_private(
    community: Community,
) -> None:
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    job_id = job_of(await community.ana.answer(asked))
    await community.bot.delivered(job_id)
    said = await community.ana.say(community.general, f"{ray(community)} retry {job_id}")
    answer = await reply_to(community, said)
    assert "private" in answer.content
    # Under a clip there is Variation; Retry stands where there is none.
    assert "Use the buttons under it" in answer.content
    assert "secret" not in answer.content
    assert len(await all_jobs(community)) == 1


# ---- refusals ----------------------------------------------------------------------------------


async def test_a_limit_is_told_to_its_person_alone(open_community: OpenCommunity) -> None:
    community = await open_community(limits={"clips_per_person_per_day": 0})
    said = await community.ana.say(community.general, f"{ray(community)} a red fox")
    told = await community.discord.wait_message(community.ana.dm)
    assert "limit" in told.content
    assert f"/{said.id}" in told.content
    assert community.discord.said(community.general) == []


@pytest.fixture
async def shy(open_community: OpenCommunity) -> Community:
    """Where Ana takes no direct messages, and nobody may have a clip today."""
    community = await open_community(limits={"clips_per_person_per_day": 0})
    community.ana.user.accepts_direct_messages = False
    return community


async def refused_aloud(community: Community, words: str = "a red fox") -> Message:
    """What everybody reads of a refusal: that there is one."""
    said = await community.ana.say(community.general, f"{ray(community)} {words}")
    public = await reply_to(community, said)
    assert public.content == "I could not do that; only you can read why."
    assert list(public.buttons) == ["Why?"]
    assert not public.pings
    return public


async def test_whom_no_direct_message_reaches_reads_why_behind_a_button(shy: Community) -> None:
    public = await refused_aloud(shy)
    for _ in range(2):
        why = await shy.ana.answer(await shy.ana.click(public, "Why?"))
        assert why.is_ephemeral
        assert "limit" in why.content
    assert shy.discord.said(shy.general) == [public]
    await shy.bot.check_books()


async def test_others_do_not_read_why(shy: Community) -> None:
    public = await refused_aloud(shy)
    other = await shy.ben.answer(await shy.ben.click(public, "Why?"))
    assert other.is_ephemeral
    assert "Only who asked for that can read why" in other.content
    assert "limit" not in other.content


async def test_each_refusal_has_its_own_reason(shy: Community) -> None:
    first = await refused_aloud(shy)
    second = await refused_aloud(shy, "cancel r-0000000000")
    for public, reason in ((first, "limit"), (second, "no job r-0000000000")):
        why = await shy.ana.answer(await shy.ana.click(public, "Why?"))
        assert reason in why.content.replace("\\", "")


async def test_after_a_restart_the_reason_is_forgotten_and_said_to_be(
    local_discord: LocalDiscord,
) -> None:
    local_discord.ana.user.accepts_direct_messages = False
    limits = {"clips_per_person_per_day": 0}
    async with local_discord.community(limits=limits) as community:
        public = await refused_aloud(community)
    async with local_discord.community(limits=limits) as community:
        why = await community.ana.answer(await community.ana.click(public, "Why?"))
        assert why.is_ephemeral
        assert "Nothing was started; you may ask again" in why.content
        other = await community.ben.answer(await community.ben.click(public, "Why?"))
        assert "Only who asked" in other.content


@pytest.mark.parametrize("rule", ["closed", "paused", "permission", "blocked"])
async def test_no_rule_about_a_person_or_a_place_is_read_by_others(
    open_community: OpenCommunity, rule: str
) -> None:
    community = (
        await open_community(access={"servers": []})
        if rule == "closed"
        else await open_community()
    )
    community.ana.user.accepts_direct_messages = False
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
    match rule:
        case "paused":
            await boss.answer(await boss.slash("ray-admin pause"))
        case "blocked":
            await boss.answer(await boss.slash("ray-admin block", member=community.ana.user))
        case "permission":
            bot = community.discord.app.bot
            community.discord.overwrite(community.general, bot, deny=Permission.ATTACH_FILES)
    says = {
        "closed": "not set up",
        "paused": "paused here",
        "permission": "I lack Attach Files",
        "blocked": "cannot use Raybot here",
    }
    public = await refused_aloud(community)
    why = await community.ana.answer(await community.ana.click(public, "Why?"))
    assert says[rule] in why.content
    assert await all_jobs(community) == []


async def test_where_nothing_may_be_said_a_refusal_ends_in_silence(shy: Community) -> None:
    shy.discord.overwrite(shy.general, shy.discord.app.bot, deny=Permission.SEND_MESSAGES)
    await shy.ana.say(shy.general, f"{ray(shy)} a red fox")
    posts = ("POST", rf"^/channels/{shy.general.id}/messages$")
    await shy.discord.wait_for(lambda: len(shy.discord.requests_to(*posts)) == 1)
    await shy.ana.answer(await shy.ana.slash("ray usage"))
    assert shy.discord.said(shy.general) == []


async def test_a_missing_permission_is_named_before_money_is_held(community: Community) -> None:
    me = community.discord.app.bot
    community.discord.overwrite(community.general, me, deny=Permission.ATTACH_FILES)
    await community.ana.say(community.general, f"{ray(community)} a red fox")
    told = await community.discord.wait_message(community.ana.dm)
    assert "I lack Attach Files" in told.content
    assert await all_jobs(community) == []


async def test_a_flag_that_is_none_is_answered_beside_the_words(community: Community) -> None:
    said = await community.ana.say(community.general, f"{ray(community)} a red fox --seed 5")
    assert "--seed" in (await reply_to(community, said)).content.replace("\\", "")
    assert await all_jobs(community) == []


async def test_who_wants_to_be_private_is_shown_the_command_for_that(community: Community) -> None:
    said = await community.ana.say(community.general, f"{ray(community)} a red fox --private")
    assert "/ray create has the option private" in (await reply_to(community, said)).content
    assert await all_jobs(community) == []


async def test_without_read_history_the_answer_comes_plainly(community: Community) -> None:
    me = community.discord.app.bot
    community.discord.overwrite(community.general, me, deny=Permission.READ_MESSAGE_HISTORY)
    await community.ana.say(community.general, f"{ray(community)} settings")
    answer = await community.discord.wait_message(community.general)
    assert "resolution" in answer.content
