"""A paid clip is fetched, kept and posted once, whatever the network and the chat do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import aiohttp
import pytest
from sqlalchemy import select

from bot.errors import DeliveryUnavailable, ThreadGone
from bot.job import JobState
from bot.notices import Delivered, Notice, Waiting
from bot.outlook import PUT_ASIDE
from bot.refs import JobId
from bot.steps.delivery import POSTS_IN_VAIN
from bot.store import jobs
from bot.store.columns import JobColumns
from bot.store.schema import operator_notices
from tests.conftest import RunningBot
from tests.fakes import to_requester
from tests.ports import free_port


async def run_to_completion(bot: RunningBot, **work: Any) -> JobId:
    job_id = await bot.ask(**work)
    await bot.simulator.wait_for_creates(1)
    await bot.until(job_id, JobState.GENERATING)
    [generation] = bot.simulator.generations
    await bot.simulator.finish(generation)
    return job_id


async def hurry(bot: RunningBot, job_id: JobId, *states: JobState) -> None:
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state not in states:
            await bot.clock.let_pass(seconds=30, moment=0.05)


@pytest.mark.parametrize("fault", ["short", "cut", "html", "garbage", "missing"])
async def test_a_bad_download_is_fetched_again(bot: RunningBot, fault: Any) -> None:
    bot.simulator.faults.break_clip(fault)
    job_id = await run_to_completion(bot)
    await hurry(bot, job_id, JobState.DELIVERED)
    [clip] = bot.chat.clips()
    assert Path(clip.path).read_bytes()[4:8] == b"ftyp"
    await bot.check_books()


async def test_a_clip_that_stays_broken_is_not_charged_to_its_person(bot: RunningBot) -> None:
    bot.simulator.faults.break_clip("garbage", times=50)
    job_id = await run_to_completion(bot)
    await hurry(bot, job_id, JobState.FAILED)
    job = await bot.job(job_id)
    assert job.cost == 0
    assert job.failure is not None
    assert bot.chat.clips() == []
    await bot.check_books()


async def test_a_chat_that_is_down_gets_the_clip_later(bot: RunningBot) -> None:
    refusals = iter([DeliveryUnavailable(retry_after=5.0)] * 3)

    def fault(notice: Notice) -> Any:
        return next(refusals, None) if isinstance(notice, Delivered) else None

    bot.chat.before_post = fault
    job_id = await run_to_completion(bot)
    await hurry(bot, job_id, JobState.DELIVERED)
    assert len(bot.chat.clips()) == 1
    await bot.check_books()


async def refused_post(bot: RunningBot) -> JobId:
    """A job whose clip the chat has refused once, and whose next try is due later."""
    bot.chat.before_post = lambda notice: (
        DeliveryUnavailable() if isinstance(notice, Delivered) else None
    )
    job_id = await run_to_completion(bot)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).tries < 1:
            await asyncio.sleep(0.01)
    return job_id


async def change(bot: RunningBot, job_id: JobId, **columns: Unpack[JobColumns]) -> None:
    await bot.app.database.write(lambda tx: jobs.change(tx, jobs.get(tx.conn, job_id), **columns))


async def test_a_day_of_downtime_is_no_day_of_trying(bot: RunningBot) -> None:
    """The chat is still down at the first try after it, and takes the clip at the second."""
    job_id = await refused_post(bot)
    tries = (await bot.job(job_id)).tries
    bot.clock.move(hours=25)
    async with asyncio.timeout(30):
        while (job := await bot.job(job_id)).tries <= tries:
            await asyncio.sleep(0.01)
    assert job.state is JobState.DELIVERING
    bot.chat.before_post = lambda _: None
    await hurry(bot, job_id, JobState.DELIVERED)
    assert len(bot.chat.clips()) == 1
    await bot.check_books()


async def test_a_day_of_trying_in_vain_keeps_the_clip(bot: RunningBot) -> None:
    job_id = await refused_post(bot)
    await change(bot, job_id, tries=POSTS_IN_VAIN)
    bot.clock.move(hours=23)
    async with asyncio.timeout(30):
        while (job := await bot.job(job_id)).tries <= POSTS_IN_VAIN:
            await asyncio.sleep(0.01)
    assert job.state is JobState.DELIVERING, "a day has not passed"
    bot.clock.move(hours=2)
    job = await bot.until(job_id, JobState.FAILED)
    assert job.cost > 0
    assert job.failure is not None
    assert job.failure.code == "kept"
    await bot.check_books()


async def test_a_thread_that_is_gone_sends_the_clip_to_its_person(bot: RunningBot) -> None:
    refusals = iter([ThreadGone()])
    bot.chat.before_post = lambda notice: (
        next(refusals, None) if isinstance(notice, Delivered) else None
    )
    job_id = await run_to_completion(bot)
    job = await bot.delivered(job_id)
    assert job.message is not None
    assert job.message.thread.channel == "dm-ana"
    await bot.check_books()


async def test_a_clip_nobody_can_receive_is_kept_and_charged(bot: RunningBot) -> None:
    bot.chat.before_post = lambda notice: ThreadGone() if isinstance(notice, Delivered) else None
    job_id = await run_to_completion(bot)
    job = await bot.until(job_id, JobState.FAILED)
    assert job.cost > 0
    assert job.failure is not None
    assert "kept" in job.failure.sentence
    shown = await bot.studio.show(job_id, to_requester())
    assert isinstance(shown.notice, Delivered)
    await bot.check_books()


async def test_a_clip_whose_file_somebody_removed_is_neither_charged_nor_called_kept(
    bot: RunningBot,
) -> None:
    job_id = await refused_post(bot)
    [kept] = bot.config.bot.data_dir.rglob(f"{job_id}.mp4")
    kept.unlink()
    bot.chat.before_post = lambda _: None
    await hurry(bot, job_id, JobState.FAILED)
    job = await bot.job(job_id)
    assert job.failure is not None
    assert "is kept" not in job.failure.sentence
    assert (job.cost, bot.chat.clips()) == (0, [])
    assert await bot.notes()
    await bot.check_books()


async def test_a_clip_too_large_for_the_place_comes_as_a_picture_with_a_link(
    start_bot: Callable[..., Any],
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    bot: RunningBot = await start_bot(bot={"public_port": port, "public_url": address})
    bot.chat.max_upload_bytes = 4_000
    job_id = await run_to_completion(bot)
    await bot.delivered(job_id)
    [clip] = bot.chat.clips()
    assert clip.form == "poster"
    assert clip.filename.endswith(".jpg")
    assert clip.original_link is not None
    async with aiohttp.ClientSession() as session, session.get(clip.original_link) as response:
        assert response.status == 200
        assert (await response.read())[4:8] == b"ftyp"
    [kept] = bot.config.bot.data_dir.rglob(f"{job_id}.mp4")
    kept.unlink()
    async with aiohttp.ClientSession() as session, session.get(clip.original_link) as response:
        assert response.status == 404
    await bot.check_books()


async def test_a_clip_too_large_and_no_link_is_kept(bot: RunningBot) -> None:
    bot.chat.max_upload_bytes = 4_000
    job_id = await run_to_completion(bot)
    job = await bot.until(job_id, JobState.FAILED)
    assert job.cost > 0
    assert job.failure is not None
    assert job_id in job.failure.sentence
    await bot.check_books()


def says_put_aside(notice: Notice | None) -> bool:
    return isinstance(notice, Waiting) and notice.sentence == PUT_ASIDE


async def test_a_job_whose_step_faults_is_put_aside(bot: RunningBot) -> None:
    """An adapter that breaks its promise and raises something unknown stops only its own job."""

    class Surprise(Exception):
        pass

    def fault(notice: Notice) -> Any:
        return Surprise() if isinstance(notice, Delivered) else None

    bot.chat.before_post = fault
    job_id = await run_to_completion(bot)

    async def told() -> list[str]:
        query = select(operator_notices.c.sentence).where(operator_notices.c.job_id == job_id)
        rows = await bot.app.database.read(lambda conn: conn.execute(query).scalars().all())
        return [each for each in rows if "was put aside" in each]

    for times in (1, 2):
        async with asyncio.timeout(30):
            while (await bot.job(job_id)).parked_at is None:
                await bot.clock.let_pass(seconds=30, moment=0.05)
        assert len(await told()) == times
        await bot.chat.until(lambda: says_put_aside(bot.chat.status(job_id)))
        unparked = await bot.app.operations.unpark(job_id, actor="test")
        # It begins anew: five faults put it aside again, and that is told again.
        assert (unparked.faults, unparked.broken) == (0, 0)
        await bot.chat.until(lambda: not says_put_aside(bot.chat.status(job_id)))
    bot.chat.before_post = lambda _: None
    await bot.delivered(job_id)
    await bot.check_books()
