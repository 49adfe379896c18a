"""One clip, once, and never lost: whatever the wire does while a job is carried out."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest

from adapters.discord.images import Images
from adapters.discord.parse import Picture
from bot.errors import FrameRejected
from bot.job import Job, JobState
from bot.log import setup_logging
from bot.refs import Attachment, JobId
from bot.simulator import Faults, Simulator
from tests.adapters.discord.conftest import Community, LocalDiscord, picture
from tests.conftest import MANUAL
from tests.discord_server import Channel, DiscordServer, Intent, Kind, Message, Permission
from tests.discord_server.cdn import Upload

MIB = 1 << 20
NONE = discord.Intents.none()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator that finishes only when told."""
    async with Simulator(MANUAL, Faults()) as running:
        yield running


@pytest.fixture
async def public_community(open_community: Callable[..., Any]) -> Community:
    """A bot with a public address, so that it can give links."""
    started: Community = await open_community(bot={"public_url": "https://ray.example"})
    return started


def posts(channel: Channel) -> tuple[str, str]:
    return "POST", rf"^/channels/{channel.id}/messages$"


async def asked(
    community: Community, where: Channel | None = None, **more: Any
) -> tuple[JobId, Any]:
    """A job that generates, with its status message in place."""
    channel = where or community.general
    known = len(community.bot.simulator.generations)
    interaction = await community.ana.slash("ray create", channel, prompt="a red fox", **more)
    answer = await community.ana.answer(interaction)
    found = re.search(r"r-[0-9a-z]{10}", answer.content)
    assert found is not None, answer.content
    await community.bot.simulator.wait_for_creates(known + 1)
    job_id = JobId(found[0])
    await community.bot.until(job_id, JobState.GENERATING)
    if not more.get("private"):
        await community.discord.wait_message(channel, lambda each: job_id in each.content)
    return job_id, interaction


async def finish(community: Community) -> None:
    [*_, last] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(last.id)


async def ended(community: Community, job_id: JobId) -> Job:
    return await community.bot.until(job_id, JobState.DELIVERED, JobState.FAILED)


async def hurry(community: Community, job_id: JobId, **by: float) -> Job:
    """Let time run until a job has ended."""
    async with asyncio.timeout(30):
        while (job := await community.bot.job(job_id)).ended_at is None:
            community.discord.clock.move(**by)
            await community.bot.clock.let_pass(**by)
    return job


def clips(community: Community, job_id: JobId) -> list[Message]:
    """Every clip of a job that was ever posted, wherever, deleted ones included."""
    said = community.discord.everything_said()
    return [each for each in said if any(job_id in one.filename for one in each.attachments)]


def status_of(community: Community, job_id: JobId, channel: Channel | None = None) -> Message:
    [status] = [
        each
        for each in community.discord.said(channel or community.general)
        if job_id in each.content and not each.attachments
    ]
    return status


async def says(
    community: Community, job_id: JobId, words: str, channel: Channel | None = None
) -> str:
    """Wait until a job's status message says this."""
    await community.hurry(lambda: words in status_of(community, job_id, channel).content)
    return status_of(community, job_id, channel).content


async def lose_the_answer(community: Community, job_id: JobId) -> Message:
    """A clip arrives in the channel, and we hear nothing of that."""
    community.discord.faults.drop(*posts(community.general), when="after")
    await finish(community)
    await community.discord.wait_for(lambda: community.discord.faults.left == 0)
    [clip] = clips(community, job_id)
    return clip


async def all_is_heard(community: Community) -> None:
    """Wait until the bot has heard all that was said so far."""
    last = await community.ben.say(community.general, f"{community.discord.app.bot.mention} help")
    await community.discord.wait_message(
        community.general, lambda each: each.reference and each.reference.message_id == last.id
    )


# ---- never twice -------------------------------------------------------------------------------


async def test_a_lost_answer_makes_one_clip(community: Community) -> None:
    job_id, _ = await asked(community)
    await lose_the_answer(community, job_id)
    community.later(seconds=2)
    assert (await ended(community, job_id)).state is JobState.DELIVERED
    assert len(clips(community, job_id)) == 1
    await community.bot.check_books()


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_our_own_message_that_came_back_counts_as_posted(
    community: Community, is_deleted: bool
) -> None:
    """Discord has forgotten the nonce, and the past of the channel may not show it any more."""
    job_id, _ = await asked(community)
    mod = community.discord.person("Mod", community.guild, allows=Permission.MANAGE_MESSAGES)
    clip = await lose_the_answer(community, job_id)
    if is_deleted:
        await mod.delete(clip)
    await all_is_heard(community)
    community.later(minutes=10)
    job = await ended(community, job_id)
    assert job.state is JobState.DELIVERED
    assert job.message is not None
    assert job.message.message == str(clip.id)
    assert clips(community, job_id) == [clip]
    assert community.discord.said(community.ana.dm) == []
    assert community.discord.requests_to("GET", "/messages") == []
    assert job.cost > 0
    await community.bot.check_books()


async def test_somebody_elses_message_with_our_nonce_is_not_ours(community: Community) -> None:
    job_id, _ = await asked(community)
    community.discord.faults.drop(*posts(community.general), when="before")
    await finish(community)
    await community.discord.wait_for(lambda: community.discord.faults.left == 0)
    forged = await community.ben.say(community.general, "look", nonce=f"{job_id}:clip")
    await all_is_heard(community)
    community.later(minutes=10)
    job = await ended(community, job_id)
    [clip] = clips(community, job_id)
    assert job.state is JobState.DELIVERED
    assert job.message is not None
    assert job.message.message == str(clip.id) != str(forged.id)


async def test_after_a_restart_our_own_message_is_found_in_the_past(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        job_id, _ = await asked(community)
        for number in range(130):
            await community.ben.say(community.general, f"{number}")
        clip = await lose_the_answer(community, job_id)
    local_discord.clock.move(minutes=10)
    local_discord.discord.clock.move(minutes=10)
    async with local_discord.community() as community:
        job = await ended(community, job_id)
        assert job.message is not None
        assert job.message.message == str(clip.id)
        assert clips(community, job_id) == [clip]
        sent = community.discord.requests_to(*posts(community.general))
        assert len(sent) == 2, "the status message and the clip"
        await community.bot.check_books()


async def test_a_clip_that_never_arrived_is_posted_after_a_look(community: Community) -> None:
    job_id, _ = await asked(community)
    community.discord.faults.drop(*posts(community.general), when="before")
    await finish(community)
    await community.discord.wait_for(lambda: community.discord.faults.left == 0)
    community.later(minutes=10)
    assert (await ended(community, job_id)).state is JobState.DELIVERED
    assert len(clips(community, job_id)) == 1


async def test_without_a_look_nothing_is_posted_twice(local_discord: LocalDiscord) -> None:
    async with local_discord.community() as community:
        job_id, _ = await asked(community)
        bot, no_past = community.discord.app.bot, Permission.READ_MESSAGE_HISTORY
        community.discord.overwrite(community.general, bot, deny=no_past)
        community.discord.faults.error(*posts(community.general), 400, 160002)
        await lose_the_answer(community, job_id)
    local_discord.clock.move(minutes=10)
    local_discord.discord.clock.move(minutes=10)
    async with local_discord.community() as community:
        job = await ended(community, job_id)
        assert job.state is JobState.FAILED
        assert job.cost > 0
        assert len(clips(community, job_id)) == 1
        assert community.discord.said(community.ana.dm) == []
        told = await says(community, job_id, "kept")
        assert "Read Message History" in told
        assert f"/ray show {job_id}" in told
        await community.bot.check_books()


async def test_a_clip_that_was_deleted_at_once_is_not_posted_again(community: Community) -> None:
    job_id, _ = await asked(community)
    community.discord.posting.remove(await lose_the_answer(community, job_id))
    community.later(seconds=2)
    job = await ended(community, job_id)
    assert job.cost > 0
    assert len(clips(community, job_id)) == 1
    assert community.discord.said(community.ana.dm) == []
    await community.bot.check_books()


# ---- never lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["view", "send", "kicked", "deleted"])
async def test_a_closed_channel_sends_the_clip_to_its_person(
    community: Community, how: str
) -> None:
    job_id, _ = await asked(community)
    bot = community.discord.app.bot
    match how:
        case "view":
            community.discord.overwrite(community.general, bot, deny=Permission.VIEW_CHANNEL)
        case "send":
            community.discord.overwrite(community.general, bot, deny=Permission.SEND_MESSAGES)
        case "kicked":
            community.discord.remove_bot(community.guild)
        case _:
            del community.discord.world.channels[community.general.id]
    await finish(community)
    assert (await ended(community, job_id)).state is JobState.DELIVERED
    [clip] = clips(community, job_id)
    assert clip.channel is community.ana.dm
    assert community.discord.invalid_requests <= 6
    await community.bot.check_books()


async def test_where_nobody_can_be_reached_the_clip_is_kept(community: Community) -> None:
    job_id, _ = await asked(community)
    community.ana.user.accepts_direct_messages = False
    community.discord.faults.error(*posts(community.general), 403, 50013, times=99)
    await finish(community)
    job = await ended(community, job_id)
    assert (job.state, clips(community, job_id)) == (JobState.FAILED, [])
    assert job.cost > 0
    assert job.clip is not None
    await says(community, job_id, "kept")
    sent = [each for each in community.discord.requests if each.method == "POST" and each.files]
    assert len(sent) == 2, "once here, once to the person"
    shown = await community.ana.slash("ray show", id=job_id)
    await community.discord.wait_for(lambda: shown.original and shown.original.attachments)
    await community.bot.check_books()


async def test_a_locked_thread_sends_the_clip_to_its_person(community: Community) -> None:
    thread = await community.ana.open_thread(community.general, "foxes")
    job_id, _ = await asked(community, thread)
    await community.ana.archive(thread, lock=True)
    await finish(community)
    await ended(community, job_id)
    [clip] = clips(community, job_id)
    assert clip.channel is community.ana.dm


async def test_an_outage_is_waited_out_with_few_requests(community: Community) -> None:
    job_id, _ = await asked(community)
    community.discord.faults.add(*posts(community.general), status=503, times=12)
    await finish(community)
    assert (await hurry(community, job_id, minutes=2)).state is JobState.DELIVERED
    assert len(clips(community, job_id)) == 1
    assert len(community.discord.requests_to(*posts(community.general))) == 14
    await community.bot.check_books()


async def test_a_ban_is_not_made_worse(community: Community) -> None:
    job_id, _ = await asked(community)
    community.discord.faults.too_many(*posts(community.general), via=False, times=3)
    await finish(community)
    await community.bot.until(job_id, JobState.DELIVERING)
    assert (await hurry(community, job_id, seconds=5)).state is JobState.DELIVERED
    assert community.discord.invalid_requests == 3
    assert len(clips(community, job_id)) == 1


# ---- sizes -------------------------------------------------------------------------------------


async def test_a_clip_that_is_too_large_is_made_smaller(public_community: Community) -> None:
    community = public_community
    job_id, _ = await asked(community)
    community.discord.faults.error(*posts(community.general), 413, 40005)
    await finish(community)
    job = await hurry(community, job_id, seconds=1)
    [clip] = clips(community, job_id)
    assert job.clip is not None
    [attachment] = clip.attachments
    assert len(attachment.content) <= job.clip.bytes // 2
    assert "Made smaller" in clip.content
    assert "https://ray.example/clips/" in clip.content
    assert not clip.pings.everyone
    await community.bot.check_books()


async def test_a_clip_that_cannot_be_small_enough_becomes_a_picture_and_a_link(
    public_community: Community,
) -> None:
    community = public_community
    job_id, _ = await asked(community)
    community.discord.world.upload_limit = 12_000
    await finish(community)
    job = await hurry(community, job_id, seconds=1)
    assert job.state is JobState.DELIVERED, job.failure
    [clip] = clips(community, job_id)
    [attachment] = clip.attachments
    assert attachment.filename.endswith(".jpg")
    assert "https://ray.example/clips/" in clip.content
    await community.bot.check_books()


async def test_without_a_public_address_a_clip_that_is_too_large_is_kept(
    community: Community,
) -> None:
    job_id, _ = await asked(community)
    community.discord.faults.error(*posts(community.general), 413, 40005, times=99)
    await finish(community)
    job = await hurry(community, job_id, seconds=1)
    assert (job.state, clips(community, job_id)) == (JobState.FAILED, [])
    assert job.clip is not None
    assert job.cost > 0
    await says(community, job_id, "kept")
    await community.bot.check_books()


async def test_the_limit_of_the_place_counts(community: Community) -> None:
    adapter = community.bot.app._adapters["discord"]
    job_id, _ = await asked(community)
    thread = (await community.bot.job(job_id)).request.thread
    assert await adapter.max_upload(thread) == 20 * MIB
    community.guild.boost_tier = 3
    community.discord.happenings.guild_joined(community.guild)
    async with asyncio.timeout(30):
        while await adapter.max_upload(thread) != 100 * MIB:
            await asyncio.sleep(0.02)


# ---- places ------------------------------------------------------------------------------------


async def test_a_thread_that_was_archived_meanwhile_is_woken_by_the_clip(
    community: Community,
) -> None:
    forum = community.discord.channel(community.guild, "clips", Kind.FORUM)
    thread = await community.ana.open_thread(community.general, "foxes")
    post = await community.ana.post(forum, "My foxes", "look")
    for place in (thread, post):
        job_id, _ = await asked(community, place)
        await community.ana.archive(place)
        await finish(community)
        await ended(community, job_id)
        [clip] = clips(community, job_id)
        assert clip.channel is place
        assert clip.reference is not None
        assert not place.is_archived
        await says(community, job_id, "Delivered", place)


async def test_one_status_message_is_edited_in_place_and_not_too_often(
    community: Community,
) -> None:
    job_id, _ = await asked(community)
    await finish(community)
    await ended(community, job_id)
    await says(community, job_id, "Go to the clip")
    status = status_of(community, job_id)
    edits = community.discord.requests_to("PATCH", rf"/messages/{status.id}$")
    for earlier, after in itertools.pairwise(edits):
        assert after.at - earlier.at >= timedelta(seconds=4.9)
    assert len(edits) <= 3
    assert len(community.discord.said(community.general)) == 2
    assert "1" not in status.buttons
    [clip] = clips(community, job_id)
    assert clip.reference is not None
    assert clip.reference.message_id == status.id
    assert {"Variation", "Remix", "Delete"} <= clip.buttons.keys()


async def test_after_a_restart_the_clip_still_answers_the_status_message(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        job_id, _ = await asked(community)
    async with local_discord.community() as community:
        await finish(community)
        await ended(community, job_id)
        [clip] = clips(community, job_id)
        assert clip.reference is not None
        assert clip.reference.message_id == status_of(community, job_id).id


# ---- old messages ------------------------------------------------------------------------------


def no_more_edits(community: Community) -> None:
    """Discord takes no more edits of old messages."""
    edit = ("PATCH", rf"^/channels/{community.general.id}/messages/\d+$")
    community.discord.faults.too_many(*edit, code=30046, retry_after=0.01, times=10_000)


async def fail(community: Community) -> None:
    """The video service gives up, hours later."""
    community.later(hours=2)
    no_more_edits(community)
    [*_, last] = community.bot.simulator.generations.values()
    await community.bot.simulator.fail(last.id, "Something broke")


def about(community: Community, job_id: JobId) -> list[str]:
    """What everybody reads of a job now."""
    said = community.discord.said(community.general)
    return [each.content for each in said if job_id in each.content]


async def test_a_failure_that_no_edit_can_tell_is_a_new_message(community: Community) -> None:
    job_id, _ = await asked(community)
    old = status_of(community, job_id)
    await fail(community)
    await community.hurry(lambda: old.is_deleted)
    new = status_of(community, job_id)
    assert "No clip this time" in new.content
    assert (new.reference, bool(new.pings)) == (None, False)
    assert {"Remix"} <= new.buttons.keys()
    community.discord.faults.clear()
    community.later(minutes=10)
    await all_is_heard(community)
    assert status_of(community, job_id) is new


async def test_a_clip_tells_enough_and_its_status_message_waits(community: Community) -> None:
    job_id, _ = await asked(community)
    old = status_of(community, job_id)
    community.later(hours=2)
    no_more_edits(community)
    await finish(community)
    await ended(community, job_id)
    community.later(seconds=50)
    await all_is_heard(community)
    assert len(about(community, job_id)) == 2
    community.discord.faults.clear()
    await says(community, job_id, "Go to the clip")
    assert status_of(community, job_id) is old
    assert len(about(community, job_id)) == 2


async def test_a_failure_is_told_once_although_the_process_dies_with_it(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        job_id, _ = await asked(community)
        old = status_of(community, job_id)
        gate = community.discord.faults.hold(*posts(community.general), when="after")
        await fail(community)
        await community.hurry(gate.reached.is_set)
        new = community.discord.said(community.general)[-1]
        assert (old.is_deleted, "No clip this time" in new.content) == (False, True)
    gate.open()
    local_discord.discord.faults.clear()
    for minutes in (0, 10):
        local_discord.clock.move(minutes=minutes)
        local_discord.discord.clock.move(minutes=minutes)
        async with local_discord.community() as community:
            await community.hurry(lambda: old.is_deleted)
            assert status_of(community, job_id) is new
            await community.bot.check_books()


# ---- private -----------------------------------------------------------------------------------


async def test_a_private_clip_is_the_answer_itself(community: Community) -> None:
    job_id, interaction = await asked(community, private=True)
    await finish(community)
    await ended(community, job_id)
    community.later(seconds=6)
    await community.discord.wait_for(lambda: interaction.original.attachments)
    [clip] = clips(community, job_id)
    assert clip is interaction.original
    assert clip.is_ephemeral
    assert community.discord.said(community.general) == []
    await community.bot.check_books()


async def test_news_that_come_late_do_not_take_a_private_clip_away(community: Community) -> None:
    job_id, interaction = await asked(community, private=True)
    gate = community.discord.faults.hold("PATCH", "/messages/@original$", when="after")
    await finish(community)
    await gate.reached.wait()
    community.later(seconds=6)
    gate.open()
    await ended(community, job_id)
    community.later(seconds=6)
    await community.discord.wait_for(lambda: interaction.original.attachments)
    assert [job_id in each.filename for each in interaction.original.attachments] == [True]


@pytest.mark.parametrize("how", ["late", "restart", "50027", "10015"])
async def test_a_private_clip_whose_token_ended_is_a_direct_message(
    local_discord: LocalDiscord, how: str
) -> None:
    async with AsyncExitStack() as stack:
        community = await stack.enter_async_context(local_discord.community())
        job_id, _ = await asked(community, private=True)
        path = ("PATCH", "/messages/@original$")
        match how:
            case "late":
                community.later(minutes=16)
            case "restart":
                await stack.aclose()
                community = await stack.enter_async_context(local_discord.community())
            case "50027":
                community.discord.faults.error(*path, 401, 50027, times=9)
            case _:
                community.discord.faults.error(*path, 404, 10015, times=9)
        await finish(community)
        await ended(community, job_id)
        [clip] = clips(community, job_id)
        assert clip.channel is community.ana.dm
        assert community.discord.said(community.general) == []
        assert community.discord.invalid_requests <= 3
        await community.bot.check_books()


# ---- images ------------------------------------------------------------------------------------


async def test_an_upload_is_read_at_once_and_its_link_never_kept(community: Community) -> None:
    interaction = await community.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    await community.bot.simulator.wait_for_creates(1)
    community.discord.cdn.lose_ephemeral()
    answer = await community.ana.answer(interaction)
    found = re.search(r"r-[0-9a-z]{10}", answer.content)
    assert found is not None
    await finish(community)
    await ended(community, JobId(found[0]))
    callback = community.discord.requests_to("POST", "/callback$")[0]
    assert community.discord.cdn.fetches[0].status == 200
    assert callback.at <= community.discord.clock.now()
    assert kept(community, b"ephemeral-attachments", b"hm=", interaction.token.encode()) == []


def kept(community: Community, *secrets: bytes) -> list[bytes]:
    """What of this stands anywhere in the files of the database."""
    folder = Path(community.bot.config.bot.data_dir)
    content = b"".join(each.read_bytes() for each in folder.glob("raybot.db*"))
    assert len(content) > 10_000
    return [each for each in secrets if each in content]


async def test_an_upload_that_is_gone_is_refused_before_money_is_held(
    community: Community,
) -> None:
    community.discord.faults.add("GET", "/ephemeral-attachments/", status=404)
    interaction = await community.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    answer = await community.ana.answer(interaction)
    assert "send it again" in answer.content
    assert community.bot.simulator.generations == {}
    await community.bot.check_books()


async def test_a_link_that_has_expired_is_asked_for_again(local_discord: LocalDiscord) -> None:
    local_discord.discord.app.granted |= Intent.MESSAGE_CONTENT
    async with local_discord.community() as community:
        await animate_a_day_later(community)
    assert [each.status for each in local_discord.discord.cdn.fetches] == [404, 200]


async def animate_a_day_later(community: Community) -> None:
    shown = await community.ben.say(community.general, "look", files=[picture()])
    opener = await community.ana.message_command("Animate with Ray", shown)
    modal = await community.ana.modal(opener)
    assert modal["title"]
    community.discord.clock.move(hours=25)
    await community.ana.submit_modal(opener, {"Prompt": "slow zoom"})
    await community.bot.simulator.wait_for_creates(1)


async def test_an_image_of_a_deleted_message_is_refused(community: Community) -> None:
    shown = await community.ben.say(community.general, "look", files=[picture()])
    opener = await community.ana.message_command("Animate with Ray", shown)
    await community.ana.modal(opener)
    await community.ben.delete(shown)
    submitted = await community.ana.submit_modal(opener, {"Prompt": "slow zoom"})
    answer = await community.ana.answer(submitted)
    assert "cannot be read any more" in answer.content


async def test_an_image_that_never_ends_is_given_up(discord_server: DiscordServer) -> None:
    content = discord_server.cdn.keep(Upload(name="a.png", content=picture()), folder=1)
    gate = discord_server.faults.hold("GET", "/attachments/")
    images = Images(read_seconds=0.1)
    attachment = Attachment(adapter="discord", id="only:1/2")
    images.keep(Picture(attachment=attachment, url=discord_server.cdn.link(content)))
    with pytest.raises(FrameRejected, match="could not be read"):
        [each async for each in images.read(attachment, lambda: discord.Client(intents=NONE))]
    gate.open()


# ---- secrets -----------------------------------------------------------------------------------


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything there is to log, as an operator would see it."""
    stream = io.StringIO()
    setup_logging("debug", stream=stream)
    yield stream
    setup_logging("warning")


async def test_no_token_is_ever_logged(
    logged: io.StringIO, open_community: Callable[..., Any]
) -> None:
    community: Community = await open_community()
    job_id, interaction = await asked(community)
    private_id, private = await asked(community, private=True)
    community.discord.faults.error(*posts(community.general), 400, 50035, times=2)
    community.discord.faults.error("PATCH", "/messages/@original$", 401, 50027)
    for each in community.bot.simulator.generations:
        await community.bot.simulator.finish(each)
    await hurry(community, job_id, seconds=1)
    await hurry(community, private_id, seconds=1)
    said = logged.getvalue()
    assert "job.step_failed" in said
    assert "discord.connected" in said
    for secret in (community.discord.token, interaction.token, private.token, "a red fox"):
        assert secret not in said
