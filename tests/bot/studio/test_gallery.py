"""Stars, the gallery and letters, on the true program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.errors import (
    DeliveryError,
    DeliveryUnavailable,
    InvalidRequest,
    JobNotFound,
    NotAllowed,
    Paused,
    ThreadGone,
)
from bot.job import Job, JobState
from bot.notices import Delivered, Gallery, Letter, Notice
from bot.refs import JobId, MessageRef, ThreadRef
from bot.simulator import Simulator
from bot.text import describe, describe_audit, describe_queue
from tests.bot.module_simulator import simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, Post, RecordingAdapter, to_request, to_requester

__all__ = ["simulator"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIA, HERE = to_requester("mia"), "recording:local"
THERE = {"gallery_channel": "gallery"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBot]:
    config = to_test_config(tmp_path_factory.mktemp("gallery"), simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as opened:
        await opened.studio.admin.set_policy(HERE, {**THERE, "gallery_stars": "2"}, actor=MIA)
        yield opened


async def clip_of(bot: RunningBot, user: str = "ana", **more: object) -> Job:
    request = to_request(user=user, key=f"{user}{len(bot.jobs)}").model_copy(update=more)
    job_id = (await bot.studio.submit(request)).job_id
    bot.jobs.append(job_id)
    return await bot.finish(job_id)


def copies(chat: RecordingAdapter, job_id: JobId) -> list[Post]:
    return [each for each in chat.posts if each.key == f"{job_id}:gallery"]


async def star(bot: RunningBot, job_id: JobId, *users: str) -> None:
    await asyncio.gather(*(bot.studio.gallery.star(job_id, to_requester(u)) for u in users))


async def test_enough_stars_bring_a_clip_into_the_gallery_once(bot: RunningBot) -> None:
    job = await clip_of(bot)
    await star(bot, job.id, "ana", "ben", "ben")
    assert copies(bot.chat, job.id) == []
    await star(bot, job.id, "eve", "kim", "leo")
    await bot.chat.until(lambda: bool(copies(bot.chat, job.id)))
    await bot.studio.gallery.star(job.id, to_requester("ben"), is_on=False)
    await star(bot, job.id, "ben")
    (post,) = copies(bot.chat, job.id)
    said = post.notices[0]
    assert isinstance(said, Gallery)
    assert post.ref.thread.channel == "gallery"
    assert said.clip == job.message
    assert "by ana" in describe(said).title
    assert Path(said.path).stat().st_size == said.bytes
    assert await bot.studio.job_at(post.ref) == job.id
    await bot.studio.delete(job.id, to_requester("ana"))
    await bot.chat.until(lambda: not copies(bot.chat, job.id))


async def test_what_is_not_for_everybody_is_not_shown_again(bot: RunningBot) -> None:
    private = await clip_of(bot, "pia", is_private=True)
    with pytest.raises(JobNotFound):
        await star(bot, private.id, "ben")
    adults = await clip_of(bot, "ada", is_age_restricted=True)
    await star(bot, adults.id, "ben", "eve")
    public = await clip_of(bot, "pat")
    await star(bot, public.id, "ben", "eve")
    await bot.chat.until(lambda: bool(copies(bot.chat, public.id)))
    assert copies(bot.chat, adults.id) == []
    with pytest.raises(InvalidRequest):
        await bot.studio.admin.set_policy(HERE, {"gallery_stars": "0"}, actor=MIA)


async def test_a_clip_is_sent_to_who_asks_once(bot: RunningBot) -> None:
    job, ben = await clip_of(bot), to_requester("ben")
    shut: list[DeliveryError] = [ThreadGone("They take no messages.")]
    bot.chat.before_post = lambda notice: (
        shut.pop() if shut and isinstance(notice, Letter) else None
    )
    with pytest.raises(NotAllowed, match="They take no messages"):
        await bot.studio.gallery.send(job.id, ben)
    assert await bot.studio.gallery.send(job.id, ben) == "sent"
    assert await bot.studio.gallery.send(job.id, ben) == "known"
    letters = [each for each in bot.chat.posts if isinstance(each.notices[0], Letter)]
    assert [each.ref.thread.channel for each in letters] == ["dm-ben"]


async def test_a_copy_has_the_name_that_the_clip_was_posted_under(bot: RunningBot) -> None:
    first = await clip_of(bot, "ona")
    (receipt,) = await bot.studio.works.follow(
        first.id,
        "reframe",
        to_requester("ona"),
        dedupe_key="ona:reframe",
        thread=first.request.thread,
        choice="9:16",
    )
    changed = await bot.finish(receipt.job_id)
    await bot.studio.gallery.send(changed.id, to_requester("ben"))
    told = [note for each in bot.chat.posts for note in each.notices]
    names = [
        note.filename
        for note in told
        if isinstance(note, Delivered | Letter) and note.about.job_id == changed.id
    ]
    assert len(names) == 2
    assert len(set(names)) == 1
    assert "9-16" in names[0]


async def test_a_message_leads_to_its_job(bot: RunningBot) -> None:
    job = await clip_of(bot)
    assert job.message is not None
    assert await bot.studio.job_at(job.message) == job.id
    elsewhere = ThreadRef(adapter="recording", workspace="local", channel="other")
    foreign = MessageRef(thread=elsewhere, message=job.message.message)
    assert await bot.studio.job_at(foreign) is None


async def test_those_who_run_a_place_see_its_queue_and_what_was_done(bot: RunningBot) -> None:
    job_id = await bot.ask(user="quin", key="queue")
    await bot.until(job_id, JobState.GENERATING)
    view = await bot.studio.admin.queue(HERE)
    (line,) = [each for each in view.lines if each.job_id == job_id]
    assert (line.person, line.is_running) == ("quin", True)
    assert "luma: 1 of" in "".join(describe_queue(view).lines)
    await bot.studio.admin.pause(HERE, actor=MIA, message="Back at\nnoon")
    with pytest.raises(Paused, match="Back at noon"):
        await bot.ask(user="late", key="late")
    assert (await bot.studio.admin.rules(HERE)).paused_message == "Back at noon"
    await bot.studio.admin.resume(HERE, actor=MIA)
    assert (await bot.studio.admin.rules(HERE)).paused_message == ""
    done = await bot.studio.admin.audit(HERE)
    assert [each.act for each in done[:2]] == ["resume", "pause"]
    assert "mia" in str(describe_audit(done).table)
    assert await bot.studio.admin.audit("recording:elsewhere") == ()


async def test_a_copy_that_was_posted_before_a_crash_is_not_posted_again(
    simulator: Simulator, tmp_path: Path
) -> None:
    chat, clock, config = RecordingAdapter(), MovableClock(), to_test_config(tmp_path, simulator)
    lost: list[Notice] = []
    first_post = chat.post

    async def post(*args: object, **named: object) -> object:
        ref = await first_post(*args, **named)  # type: ignore[arg-type]  # passed on
        if isinstance(args[1], Gallery) and not lost:
            lost.append(args[1])
            raise DeliveryUnavailable("The answer was lost.", retry_after=3600)
        return ref

    chat.post = post  # type: ignore[method-assign, assignment]  # the platform takes it and dies
    async with running(config, simulator, chat, clock) as bot:
        await bot.studio.admin.set_policy(HERE, {**THERE, "gallery_stars": "1"}, actor=MIA)
        job = await clip_of(bot)
        await star(bot, job.id, "ben")
        await chat.until(lambda: bool(lost))
    async with running(config, simulator, chat, clock) as bot:
        await star(bot, job.id, "eve")
        await bot.studio.delete(job.id, to_requester("ana"))
        await chat.until(lambda: not copies(chat, job.id))


async def test_a_fault_of_one_message_ends_neither_the_bot_nor_the_others(
    simulator: Simulator, tmp_path: Path
) -> None:
    config = to_test_config(tmp_path, simulator)
    chat, clock, faults = RecordingAdapter(), MovableClock(), list[Notice]()

    def break_once(notice: Notice) -> None:
        if isinstance(notice, Gallery) and not faults:
            faults.append(notice)
            raise ValueError("not a channel at all")

    chat.before_post = break_once
    async with running(config, simulator, chat, clock) as bot:
        await bot.studio.admin.set_policy(HERE, {**THERE, "gallery_stars": "1"}, actor=MIA)
        broken, whole = await clip_of(bot, "ana"), await clip_of(bot, "ada")
        await star(bot, broken.id, "ben")
        async with asyncio.timeout(30):
            while not (told := await bot.notes()):
                await asyncio.sleep(0.02)
        assert [each.job_id for each in told] == [broken.id]
        await star(bot, whole.id, "ben")
        await chat.until(lambda: bool(copies(chat, whole.id)))
        assert copies(chat, broken.id) == []
        clock.move(minutes=11)
        await chat.until(lambda: bool(copies(chat, broken.id)))
