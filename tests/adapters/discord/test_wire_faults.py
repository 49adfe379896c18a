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
from tests.adapters.discord.conftest import Street, Town, picture
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
async def public_street(open_street: Callable[..., Any]) -> Street:
    """A bot with a public address, so that it can give links."""
    started: Street = await open_street(bot={"public_url": "https://ray.example"})
    return started


def posts(channel: Channel) -> tuple[str, str]:
    return "POST", rf"^/channels/{channel.id}/messages$"


async def asked(street: Street, where: Channel | None = None, **more: Any) -> tuple[JobId, Any]:
    """A job that generates, with its status message in place."""
    channel = where or street.general
    known = len(street.house.simulator.generations)
    interaction = await street.ana.slash("ray create", channel, prompt="a red fox", **more)
    answer = await street.ana.answer(interaction)
    found = re.search(r"r-[0-9a-z]{10}", answer.content)
    assert found is not None, answer.content
    await street.house.simulator.wait_for_creates(known + 1)
    job_id = JobId(found[0])
    await street.house.until(job_id, JobState.GENERATING)
    if not more.get("private"):
        await street.discord.wait_message(channel, lambda each: job_id in each.content)
    return job_id, interaction


async def finish(street: Street) -> None:
    [*_, last] = street.house.simulator.generations.values()
    await street.house.simulator.finish(last.id)


async def ended(street: Street, job_id: JobId) -> Job:
    return await street.house.until(job_id, JobState.DELIVERED, JobState.FAILED)


async def hurry(street: Street, job_id: JobId, **by: float) -> Job:
    """Let time run until a job has ended."""
    async with asyncio.timeout(15):
        while (job := await street.house.job(job_id)).ended_at is None:
            street.later(**by)
            await asyncio.sleep(0.02)
    return job


def clips(street: Street, job_id: JobId) -> list[Message]:
    """Every clip of a job that was ever posted, wherever, deleted ones included."""
    said = street.discord.everything_said()
    return [each for each in said if any(job_id in one.filename for one in each.attachments)]


def status_of(street: Street, job_id: JobId, channel: Channel | None = None) -> Message:
    [status] = [
        each
        for each in street.discord.said(channel or street.general)
        if job_id in each.content and not each.attachments
    ]
    return status


async def says(street: Street, job_id: JobId, words: str, channel: Channel | None = None) -> str:
    """Wait until a job's status message says this."""
    await street.hurry(lambda: words in status_of(street, job_id, channel).content)
    return status_of(street, job_id, channel).content


async def lose_the_answer(street: Street, job_id: JobId) -> Message:
    """A clip arrives in the channel, and we hear nothing of that."""
    street.discord.faults.drop(*posts(street.general), when="after")
    await finish(street)
    await street.discord.wait_for(lambda: street.discord.faults.left == 0)
    [clip] = clips(street, job_id)
    return clip


async def all_is_heard(street: Street) -> None:
    """Wait until the bot has heard all that was said so far."""
    last = await street.ben.say(street.general, f"{street.discord.app.bot.mention} help")
    await street.discord.wait_message(
        street.general, lambda each: each.reference and each.reference.message_id == last.id
    )


# ---- never twice -------------------------------------------------------------------------------


async def test_a_lost_answer_makes_one_clip(street: Street) -> None:
    job_id, _ = await asked(street)
    await lose_the_answer(street, job_id)
    street.later(seconds=2)
    assert (await ended(street, job_id)).state is JobState.DELIVERED
    assert len(clips(street, job_id)) == 1
    await street.house.check_books()


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_our_own_message_that_came_back_counts_as_posted(
    street: Street, is_deleted: bool
) -> None:
    """Discord has forgotten the nonce, and the past of the channel may not show it any more."""
    job_id, _ = await asked(street)
    mod = street.discord.person("Mod", street.guild, allows=Permission.MANAGE_MESSAGES)
    clip = await lose_the_answer(street, job_id)
    if is_deleted:
        await mod.delete(clip)
    await all_is_heard(street)
    street.later(minutes=10)
    job = await ended(street, job_id)
    assert job.state is JobState.DELIVERED
    assert job.message is not None
    assert job.message.message == str(clip.id)
    assert clips(street, job_id) == [clip]
    assert street.discord.said(street.ana.dm) == []
    assert street.discord.requests_to("GET", "/messages") == []
    assert job.cost > 0
    await street.house.check_books()


async def test_somebody_elses_message_with_our_nonce_is_not_ours(street: Street) -> None:
    job_id, _ = await asked(street)
    street.discord.faults.drop(*posts(street.general), when="before")
    await finish(street)
    await street.discord.wait_for(lambda: street.discord.faults.left == 0)
    forged = await street.ben.say(street.general, "look", nonce=f"{job_id}:clip")
    await all_is_heard(street)
    street.later(minutes=10)
    job = await ended(street, job_id)
    [clip] = clips(street, job_id)
    assert job.state is JobState.DELIVERED
    assert job.message is not None
    assert job.message.message == str(clip.id) != str(forged.id)


async def test_after_a_restart_our_own_message_is_found_in_the_past(town: Town) -> None:
    async with town.street() as street:
        job_id, _ = await asked(street)
        for number in range(130):
            await street.ben.say(street.general, f"{number}")
        clip = await lose_the_answer(street, job_id)
    town.clock.move(minutes=10)
    town.discord.clock.move(minutes=10)
    async with town.street() as street:
        job = await ended(street, job_id)
        assert job.message is not None
        assert job.message.message == str(clip.id)
        assert clips(street, job_id) == [clip]
        sent = street.discord.requests_to(*posts(street.general))
        assert len(sent) == 2, "the status message and the clip"
        await street.house.check_books()


async def test_a_clip_that_never_arrived_is_posted_after_a_look(street: Street) -> None:
    job_id, _ = await asked(street)
    street.discord.faults.drop(*posts(street.general), when="before")
    await finish(street)
    await street.discord.wait_for(lambda: street.discord.faults.left == 0)
    street.later(minutes=10)
    assert (await ended(street, job_id)).state is JobState.DELIVERED
    assert len(clips(street, job_id)) == 1


async def test_without_a_look_nothing_is_posted_twice(town: Town) -> None:
    async with town.street() as street:
        job_id, _ = await asked(street)
        bot, no_past = street.discord.app.bot, Permission.READ_MESSAGE_HISTORY
        street.discord.overwrite(street.general, bot, deny=no_past)
        street.discord.faults.error(*posts(street.general), 400, 160002)
        await lose_the_answer(street, job_id)
    town.clock.move(minutes=10)
    town.discord.clock.move(minutes=10)
    async with town.street() as street:
        job = await ended(street, job_id)
        assert job.state is JobState.FAILED
        assert job.cost > 0
        assert len(clips(street, job_id)) == 1
        assert street.discord.said(street.ana.dm) == []
        told = await says(street, job_id, "kept")
        assert "Read Message History" in told
        assert f"/ray show {job_id}" in told
        await street.house.check_books()


async def test_a_clip_that_was_deleted_at_once_is_not_posted_again(street: Street) -> None:
    job_id, _ = await asked(street)
    street.discord.posting.remove(await lose_the_answer(street, job_id))
    street.later(seconds=2)
    job = await ended(street, job_id)
    assert job.cost > 0
    assert len(clips(street, job_id)) == 1
    assert street.discord.said(street.ana.dm) == []
    await street.house.check_books()


# ---- never lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["view", "send", "kicked", "deleted"])
async def test_a_closed_channel_sends_the_clip_to_its_person(street: Street, how: str) -> None:
    job_id, _ = await asked(street)
    bot = street.discord.app.bot
    match how:
        case "view":
            street.discord.overwrite(street.general, bot, deny=Permission.VIEW_CHANNEL)
        case "send":
            street.discord.overwrite(street.general, bot, deny=Permission.SEND_MESSAGES)
        case "kicked":
            street.discord.remove_bot(street.guild)
        case _:
            del street.discord.world.channels[street.general.id]
    await finish(street)
    assert (await ended(street, job_id)).state is JobState.DELIVERED
    [clip] = clips(street, job_id)
    assert clip.channel is street.ana.dm
    assert street.discord.invalid_requests <= 6
    await street.house.check_books()


async def test_where_nobody_can_be_reached_the_clip_is_kept(street: Street) -> None:
    job_id, _ = await asked(street)
    street.ana.user.accepts_direct_messages = False
    street.discord.faults.error(*posts(street.general), 403, 50013, times=99)
    await finish(street)
    job = await ended(street, job_id)
    assert (job.state, clips(street, job_id)) == (JobState.FAILED, [])
    assert job.cost > 0
    assert job.clip is not None
    await says(street, job_id, "kept")
    sent = [each for each in street.discord.requests if each.method == "POST" and each.files]
    assert len(sent) == 2, "once here, once to the person"
    shown = await street.ana.slash("ray show", id=job_id)
    await street.discord.wait_for(lambda: shown.original and shown.original.attachments)
    await street.house.check_books()


async def test_a_locked_thread_sends_the_clip_to_its_person(street: Street) -> None:
    thread = await street.ana.open_thread(street.general, "foxes")
    job_id, _ = await asked(street, thread)
    await street.ana.archive(thread, lock=True)
    await finish(street)
    await ended(street, job_id)
    [clip] = clips(street, job_id)
    assert clip.channel is street.ana.dm


async def test_an_outage_is_waited_out_with_few_requests(street: Street) -> None:
    job_id, _ = await asked(street)
    street.discord.faults.add(*posts(street.general), status=503, times=12)
    await finish(street)
    assert (await hurry(street, job_id, minutes=2)).state is JobState.DELIVERED
    assert len(clips(street, job_id)) == 1
    assert len(street.discord.requests_to(*posts(street.general))) == 14
    await street.house.check_books()


async def test_a_ban_is_not_made_worse(street: Street) -> None:
    job_id, _ = await asked(street)
    street.discord.faults.too_many(*posts(street.general), via=False, times=3)
    await finish(street)
    await street.house.until(job_id, JobState.DELIVERING)
    assert (await hurry(street, job_id, seconds=5)).state is JobState.DELIVERED
    assert street.discord.invalid_requests == 3
    assert len(clips(street, job_id)) == 1


# ---- sizes -------------------------------------------------------------------------------------


async def test_a_clip_that_is_too_large_is_made_smaller(public_street: Street) -> None:
    street = public_street
    job_id, _ = await asked(street)
    street.discord.faults.error(*posts(street.general), 413, 40005)
    await finish(street)
    job = await hurry(street, job_id, seconds=1)
    [clip] = clips(street, job_id)
    assert job.clip is not None
    [attachment] = clip.attachments
    assert len(attachment.content) <= job.clip.bytes // 2
    assert "Made smaller" in clip.content
    assert "https://ray.example/clips/" in clip.content
    assert not clip.pings.everyone
    await street.house.check_books()


async def test_a_clip_that_cannot_be_small_enough_becomes_a_picture_and_a_link(
    public_street: Street,
) -> None:
    street = public_street
    job_id, _ = await asked(street)
    street.discord.world.upload_limit = 12_000
    await finish(street)
    job = await hurry(street, job_id, seconds=1)
    assert job.state is JobState.DELIVERED, job.failure
    [clip] = clips(street, job_id)
    [attachment] = clip.attachments
    assert attachment.filename.endswith(".jpg")
    assert "https://ray.example/clips/" in clip.content
    await street.house.check_books()


async def test_without_a_public_address_a_clip_that_is_too_large_is_kept(street: Street) -> None:
    job_id, _ = await asked(street)
    street.discord.faults.error(*posts(street.general), 413, 40005, times=99)
    await finish(street)
    job = await hurry(street, job_id, seconds=1)
    assert (job.state, clips(street, job_id)) == (JobState.FAILED, [])
    assert job.clip is not None
    assert job.cost > 0
    await says(street, job_id, "kept")
    await street.house.check_books()


async def test_the_limit_of_the_place_counts(street: Street) -> None:
    adapter = street.house.app._adapters["discord"]
    job_id, _ = await asked(street)
    thread = (await street.house.job(job_id)).request.thread
    assert adapter.limits(thread).max_upload_bytes == 20 * MIB
    street.guild.boost_tier = 3
    street.discord.happenings.guild_joined(street.guild)
    boosted = 100 * MIB
    await street.hurry(lambda: adapter.limits(thread).max_upload_bytes == boosted)


# ---- places ------------------------------------------------------------------------------------


async def test_a_thread_that_was_archived_meanwhile_is_woken_by_the_clip(street: Street) -> None:
    forum = street.discord.channel(street.guild, "clips", Kind.FORUM)
    thread = await street.ana.open_thread(street.general, "foxes")
    post = await street.ana.post(forum, "My foxes", "look")
    for place in (thread, post):
        job_id, _ = await asked(street, place)
        await street.ana.archive(place)
        await finish(street)
        await ended(street, job_id)
        [clip] = clips(street, job_id)
        assert clip.channel is place
        assert clip.reference is not None
        assert not place.is_archived
        await says(street, job_id, "Delivered", place)


async def test_one_status_message_is_edited_in_place_and_not_too_often(street: Street) -> None:
    job_id, _ = await asked(street)
    await finish(street)
    await ended(street, job_id)
    await says(street, job_id, "Go to the clip")
    status = status_of(street, job_id)
    edits = street.discord.requests_to("PATCH", rf"/messages/{status.id}$")
    for earlier, after in itertools.pairwise(edits):
        assert after.at - earlier.at >= timedelta(seconds=4.9)
    assert len(edits) <= 3
    assert len(street.discord.said(street.general)) == 2
    assert "1" not in status.buttons
    [clip] = clips(street, job_id)
    assert clip.reference is not None
    assert clip.reference.message_id == status.id
    assert {"Variation", "Remix", "Delete"} <= clip.buttons.keys()


async def test_after_a_restart_the_clip_still_answers_the_status_message(town: Town) -> None:
    async with town.street() as street:
        job_id, _ = await asked(street)
    async with town.street() as street:
        await finish(street)
        await ended(street, job_id)
        [clip] = clips(street, job_id)
        assert clip.reference is not None
        assert clip.reference.message_id == status_of(street, job_id).id


# ---- old messages ------------------------------------------------------------------------------


def no_more_edits(street: Street) -> None:
    """Discord takes no more edits of old messages."""
    edit = ("PATCH", rf"^/channels/{street.general.id}/messages/\d+$")
    street.discord.faults.too_many(*edit, code=30046, retry_after=0.01, times=10_000)


async def fail(street: Street) -> None:
    """The video service gives up, hours later."""
    street.later(hours=2)
    no_more_edits(street)
    [*_, last] = street.house.simulator.generations.values()
    await street.house.simulator.fail(last.id, "Something broke")


def about(street: Street, job_id: JobId) -> list[str]:
    """What everybody reads of a job now."""
    said = street.discord.said(street.general)
    return [each.content for each in said if job_id in each.content]


async def test_a_failure_that_no_edit_can_tell_is_a_new_message(street: Street) -> None:
    job_id, _ = await asked(street)
    old = status_of(street, job_id)
    await fail(street)
    await street.hurry(lambda: old.is_deleted)
    new = status_of(street, job_id)
    assert "No clip this time" in new.content
    assert (new.reference, bool(new.pings)) == (None, False)
    assert {"Remix"} <= new.buttons.keys()
    street.discord.faults.clear()
    street.later(minutes=10)
    await all_is_heard(street)
    assert status_of(street, job_id) is new


async def test_a_clip_tells_enough_and_its_status_message_waits(street: Street) -> None:
    job_id, _ = await asked(street)
    old = status_of(street, job_id)
    street.later(hours=2)
    no_more_edits(street)
    await finish(street)
    await ended(street, job_id)
    street.later(seconds=50)
    await all_is_heard(street)
    assert len(about(street, job_id)) == 2
    street.discord.faults.clear()
    await says(street, job_id, "Go to the clip")
    assert status_of(street, job_id) is old
    assert len(about(street, job_id)) == 2


async def test_a_failure_is_told_once_although_the_process_dies_with_it(town: Town) -> None:
    async with town.street() as street:
        job_id, _ = await asked(street)
        old = status_of(street, job_id)
        gate = street.discord.faults.hold(*posts(street.general), when="after")
        await fail(street)
        await street.hurry(gate.reached.is_set)
        new = street.discord.said(street.general)[-1]
        assert (old.is_deleted, "No clip this time" in new.content) == (False, True)
    gate.open()
    town.discord.faults.clear()
    for minutes in (0, 10):
        town.clock.move(minutes=minutes)
        town.discord.clock.move(minutes=minutes)
        async with town.street() as street:
            await street.hurry(lambda: old.is_deleted)
            assert status_of(street, job_id) is new
            await street.house.check_books()


# ---- private -----------------------------------------------------------------------------------


async def test_a_private_clip_is_the_answer_itself(street: Street) -> None:
    job_id, interaction = await asked(street, private=True)
    await finish(street)
    await ended(street, job_id)
    street.later(seconds=6)
    await street.discord.wait_for(lambda: interaction.original.attachments)
    [clip] = clips(street, job_id)
    assert clip is interaction.original
    assert clip.is_ephemeral
    assert street.discord.said(street.general) == []
    await street.house.check_books()


async def test_news_that_come_late_do_not_take_a_private_clip_away(street: Street) -> None:
    job_id, interaction = await asked(street, private=True)
    gate = street.discord.faults.hold("PATCH", "/messages/@original$", when="after")
    await finish(street)
    await gate.reached.wait()
    street.later(seconds=6)
    gate.open()
    await ended(street, job_id)
    street.later(seconds=6)
    await street.discord.wait_for(lambda: interaction.original.attachments)
    assert [job_id in each.filename for each in interaction.original.attachments] == [True]


@pytest.mark.parametrize("how", ["late", "restart", "50027", "10015"])
async def test_a_private_clip_whose_token_ended_is_a_direct_message(town: Town, how: str) -> None:
    async with AsyncExitStack() as stack:
        street = await stack.enter_async_context(town.street())
        job_id, _ = await asked(street, private=True)
        path = ("PATCH", "/messages/@original$")
        match how:
            case "late":
                street.later(minutes=16)
            case "restart":
                await stack.aclose()
                street = await stack.enter_async_context(town.street())
            case "50027":
                street.discord.faults.error(*path, 401, 50027, times=9)
            case _:
                street.discord.faults.error(*path, 404, 10015, times=9)
        await finish(street)
        await ended(street, job_id)
        [clip] = clips(street, job_id)
        assert clip.channel is street.ana.dm
        assert street.discord.said(street.general) == []
        assert street.discord.invalid_requests <= 3
        await street.house.check_books()


# ---- images ------------------------------------------------------------------------------------


async def test_an_upload_is_read_at_once_and_its_link_never_kept(street: Street) -> None:
    interaction = await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    await street.house.simulator.wait_for_creates(1)
    street.discord.cdn.lose_ephemeral()
    answer = await street.ana.answer(interaction)
    found = re.search(r"r-[0-9a-z]{10}", answer.content)
    assert found is not None
    await finish(street)
    await ended(street, JobId(found[0]))
    callback = street.discord.requests_to("POST", "/callback$")[0]
    assert street.discord.cdn.fetches[0].status == 200
    assert callback.at <= street.discord.clock.now()
    assert kept(street, b"ephemeral-attachments", b"hm=", interaction.token.encode()) == []


def kept(street: Street, *secrets: bytes) -> list[bytes]:
    """What of this stands anywhere in the files of the database."""
    folder = Path(street.house.config.bot.data_dir)
    content = b"".join(each.read_bytes() for each in folder.glob("raybot.db*"))
    assert len(content) > 10_000
    return [each for each in secrets if each in content]


async def test_an_upload_that_is_gone_is_refused_before_money_is_held(street: Street) -> None:
    street.discord.faults.add("GET", "/ephemeral-attachments/", status=404)
    interaction = await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    answer = await street.ana.answer(interaction)
    assert "send it again" in answer.content
    assert street.house.simulator.generations == {}
    await street.house.check_books()


async def test_a_link_that_has_expired_is_asked_for_again(town: Town) -> None:
    town.discord.app.granted |= Intent.MESSAGE_CONTENT
    async with town.street() as street:
        await animate_a_day_later(street)
    assert [each.status for each in town.discord.cdn.fetches] == [404, 200]


async def animate_a_day_later(street: Street) -> None:
    shown = await street.ben.say(street.general, "look", files=[picture()])
    opener = await street.ana.message_command("Animate with Ray", shown)
    modal = await street.ana.modal(opener)
    assert modal["title"]
    street.discord.clock.move(hours=25)
    await street.ana.submit_modal(opener, {"Prompt": "slow zoom"})
    await street.house.simulator.wait_for_creates(1)


async def test_an_image_of_a_deleted_message_is_refused(street: Street) -> None:
    shown = await street.ben.say(street.general, "look", files=[picture()])
    opener = await street.ana.message_command("Animate with Ray", shown)
    await street.ana.modal(opener)
    await street.ben.delete(shown)
    submitted = await street.ana.submit_modal(opener, {"Prompt": "slow zoom"})
    answer = await street.ana.answer(submitted)
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
    logged: io.StringIO, open_street: Callable[..., Any]
) -> None:
    street: Street = await open_street()
    job_id, interaction = await asked(street)
    private_id, private = await asked(street, private=True)
    street.discord.faults.error(*posts(street.general), 400, 50035, times=2)
    street.discord.faults.error("PATCH", "/messages/@original$", 401, 50027)
    for each in street.house.simulator.generations:
        await street.house.simulator.finish(each)
    await hurry(street, job_id, seconds=1)
    await hurry(street, private_id, seconds=1)
    said = logged.getvalue()
    assert "job.step_failed" in said
    assert "discord.connected" in said
    for secret in (street.discord.token, interaction.token, private.token, "a red fox"):
        assert secret not in said
