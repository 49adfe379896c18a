"""What is paid, or perhaps is, where a part fails for long: nothing is lost, nobody is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import text

from bot.budget import OPERATOR_PAUSE_SECONDS
from bot.clips import Clips
from bot.codec import Bounds, Codec
from bot.dialects.predictions import MEANS
from bot.errors import (
    ClipHeavy,
    ClipUnavailable,
    DeliveryError,
    DeliveryUnavailable,
    InOtherHands,
    ProviderAuthError,
    ProviderRetired,
    ProviderUnavailable,
    StoreError,
)
from bot.job import Failure, Job, JobState
from bot.notices import Delivered, Notice
from bot.ports import CannotTell, Generation, Provider, Submission
from bot.refs import GenerationId, JobId, MessageRef, ThreadRef
from bot.simulator import Simulator
from bot.steps.submission import OWN_REFUSALS, Submitter
from bot.store import jobs, ledger, messages
from bot.store.transaction import Tx
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.secrecy import lines_about, read_logs

Patch = pytest.MonkeyPatch


async def told(bot: RunningBot) -> str:
    """All that the operator was told."""
    return "\n".join(each.sentence for each in await bot.notes())


async def hurry(bot: RunningBot, job_id: JobId, look: Callable[[Job], bool], **by: float) -> Job:
    """Let time pass until this is so of a job."""
    async with asyncio.timeout(30):
        while not look(job := await bot.job(job_id)):
            await bot.clock.let_pass(**by)
    return job


def luma(bot: RunningBot) -> Provider:
    return bot.app._providers["luma"]


async def finished(bot: RunningBot) -> JobId:
    """A job whose clip the service has just made."""
    job_id = await bot.ask()
    job = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.finish(str(job.generation_id))
    return job_id


async def test_an_answer_that_comes_after_others_gave_it_up_is_not_forgotten(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    write, is_over = bot.app.database.write, False
    bot.simulator.faults.break_callback("lost", times=100)

    async def away(work: Callable[[Tx], Any]) -> Any:
        """This process has no database for a while, in which another one takes over."""
        nonlocal is_over
        if not bot.simulator.generations or is_over:
            return await write(work)
        is_over = True

        def doubt(tx: Tx) -> None:
            [job_id] = jobs.open_ids(tx.conn, JobState.SUBMITTING)
            job = jobs.get(tx.conn, job_id)
            jobs.move(tx, job, JobState.UNCERTAIN, bot.clock.now(), next_at=None)

        await write(doubt)
        raise StoreError

    monkeypatch.setattr(bot.app.database, "write", away)
    job_id = await bot.ask()
    job = await hurry(bot, job_id, lambda job: is_over and bool(job.generation_id), seconds=1)
    [generation] = bot.simulator.generations
    assert job.generation_id == generation
    await bot.simulator.finish(generation)
    await hurry(bot, job_id, lambda job: job.state is JobState.DELIVERED, seconds=5)
    await bot.check_books()


async def test_what_was_taken_by_a_step_that_was_cut_off_is_written_with_the_next_one(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    bot.simulator.faults.break_callback("lost", times=100)
    submitter, write, is_away = bot.app._tracker._submitter, bot.app.database.write, True
    submit, steps = submitter.submit, list[asyncio.Future[None]]()

    async def away(work: Callable[[Tx], Any]) -> Any:
        if bot.simulator.generations and is_away:
            raise StoreError
        return await write(work)

    async def cut_off(job: Job) -> None:
        """A dispatcher that lost the database ends its steps after a while."""
        steps.append(asyncio.ensure_future(submit(job)))
        await asyncio.wait(steps)

    async def find(*_: object) -> CannotTell:
        return CannotTell()

    monkeypatch.setattr(luma(bot), "find", find)
    monkeypatch.setattr(bot.app.database, "write", away)
    monkeypatch.setattr(submitter, "submit", cut_off)
    with read_logs("json") as said:
        job_id = await bot.ask()
        async with asyncio.timeout(30):
            while not lines_about("job.answer_waits", said.getvalue()):
                await asyncio.sleep(0.01)
    [step] = steps
    step.cancel()
    await asyncio.wait(steps)
    is_away = False
    await bot.ask("a wolf", user="ben")
    job = await bot.until(job_id, JobState.GENERATING)
    assert (job.generation_id, job.attempt) == (next(iter(bot.simulator.generations)), 1)


@pytest.mark.parametrize(("call", "times"), [("probe_clip", 4), ("reencode", 1)])
async def test_a_clip_is_not_given_up_where_this_machine_is_short_of_memory_for_a_while(
    bot: RunningBot, monkeypatch: Patch, call: str, times: int
) -> None:
    ask, left = Codec._ask_of_clip, times

    async def short(self: Codec, what: str, bounds: Bounds, **arguments: Any) -> dict[str, Any]:
        nonlocal left
        if what == call and left:
            left -= 1
            raise ClipHeavy
        return await ask(self, what, bounds, **arguments)

    monkeypatch.setattr(Codec, "_ask_of_clip", short)
    if call == "reencode":
        bot.chat.max_upload_bytes = 60_000
    job_id = await finished(bot)
    job = await hurry(bot, job_id, lambda job: job.ended_at is not None, seconds=5)
    assert (job.state, left) == (JobState.DELIVERED, 0), job.failure


async def test_a_clip_that_is_never_made_smaller_is_kept_and_told_of(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    async def short(*_: object, **__: object) -> None:
        raise ClipHeavy

    monkeypatch.setattr(Codec, "reencode", short)
    bot.chat.max_upload_bytes = 20_000
    job_id = await finished(bot)
    job = await hurry(bot, job_id, lambda job: job.ended_at is not None, seconds=30)
    assert job.failure is not None
    assert (job.failure.code, job.cost > 0) == ("kept", True)


@pytest.mark.parametrize(
    ("refusal", "times"),
    [
        pytest.param(DeliveryUnavailable(), 5, id="the chat is away for a while"),
        # As with a private clip in Discord, which only who heard the command can post.
        pytest.param(InOtherHands(retry_after=1.0), 40, id="another process has to post it"),
    ],
)
async def test_posts_that_failed_count_for_no_try_to_make_a_clip_smaller(
    bot: RunningBot, monkeypatch: Patch, refusal: DeliveryError, times: int
) -> None:
    """Then it is taken, and how little is taken there is known."""
    ask, refused, heavy = Codec._ask_of_clip, 0, 2

    def refuse(notice: Notice) -> DeliveryError | None:
        nonlocal refused
        if not isinstance(notice, Delivered) or refused == times:
            return None
        refused += 1
        if refused == times:
            bot.chat.max_upload_bytes = 60_000
        return refusal

    async def short(self: Codec, what: str, bounds: Bounds, **arguments: Any) -> dict[str, Any]:
        nonlocal heavy
        if what == "reencode" and heavy:
            heavy -= 1
            raise ClipHeavy
        return await ask(self, what, bounds, **arguments)

    monkeypatch.setattr(Codec, "_ask_of_clip", short)
    bot.chat.before_post = refuse
    job_id = await finished(bot)
    job = await hurry(bot, job_id, lambda job: job.ended_at is not None, seconds=5)
    assert (job.state, refused, heavy) == (JobState.DELIVERED, times, 0), job.failure
    assert "stuck" not in await told(bot)


async def test_whoever_was_frozen_before_a_post_leaves_it_to_who_made_it_meanwhile(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    """Between keeping the clip and posting it nobody reads the whole row again."""

    async def froze(thread: ThreadRef) -> int:
        job, message = await bot.job(bot.jobs[0]), MessageRef(thread=thread, message="elsewhere")

        def write(tx: Tx) -> None:
            messages.put(tx, messages.clip_key(job.id), job.id, message, "clip")
            now = bot.clock.now()
            ledger.end(tx, job, JobState.DELIVERED, now, charged=job.cost, message=message)

        await bot.app.database.write(write)
        return bot.chat.max_upload_bytes

    monkeypatch.setattr(bot.chat, "max_upload", froze)
    job_id = await finished(bot)
    job = await bot.delivered(job_id)
    assert await bot.app._dispatcher.drain(30) > 0
    assert bot.chat.clips(job_id) == []
    assert await bot.job(job_id) == job
    await bot.check_books()


@pytest.mark.parametrize("act", ["charge", "release"])
async def test_whoever_was_frozen_before_a_post_posts_nothing_that_was_given_up_meanwhile(
    bot: RunningBot, monkeypatch: Patch, act: Literal["charge", "release"]
) -> None:
    """Another process put it aside, and the operator ended it."""

    async def froze(thread: ThreadRef) -> int:
        job, aside = await bot.job(bot.jobs[0]), bot.clock.now()
        await bot.app.database.write(lambda tx: jobs.change(tx, job, parked_at=aside))
        await bot.app.operations.resolve(job.id, act, generation_id=None, actor="operator")
        return bot.chat.max_upload_bytes

    monkeypatch.setattr(bot.chat, "max_upload", froze)
    job_id = await finished(bot)
    job = await bot.until(job_id, JobState.FAILED)
    assert await bot.app._dispatcher.drain(30) > 0
    assert bot.chat.clips(job_id) == []
    assert await bot.job(job_id) == job
    await bot.check_books()


async def test_a_clip_that_stays_too_heavy_for_weeks_is_still_tried(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    async def short(*_: object) -> None:
        raise ClipHeavy

    monkeypatch.setattr(Codec, "probe_clip", short)
    job_id = await finished(bot)
    await hurry(bot, job_id, lambda job: job.tries > 0, seconds=1)
    # A week of tries, ten minutes apart.
    query = text("UPDATE jobs SET tries = 1100, version = version + 1")
    await bot.app.database.write(lambda tx: tx.conn.execute(query))
    job = await hurry(bot, job_id, lambda job: job.tries > 1100, minutes=1)
    assert (job.faults, job.parked_at) == (0, None)


async def test_what_is_under_way_for_ever_is_told_of_and_can_be_ended(bot: RunningBot) -> None:
    job_id = await bot.ask()
    await bot.until(job_id, JobState.GENERATING)
    async with asyncio.timeout(30):
        while "more than 6 hours" not in await told(bot):
            await bot.clock.let_pass(hours=1)
    await bot.app.operations.resolve(job_id, "release", generation_id=None, actor="operator")
    job = await bot.job(job_id)
    assert (job.state, job.cost) == (JobState.FAILED, 0)
    await bot.check_books()


async def test_a_lost_answer_that_cannot_be_looked_for_is_told_of_and_can_be_ended(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    bot.simulator.faults.break_callback("lost", times=100)
    bot.simulator.faults.drop("create", accepted=True)

    async def refused(*_: object) -> None:
        """Its key was revoked."""
        raise ProviderAuthError(provider="luma")

    monkeypatch.setattr(luma(bot), "find", refused)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    async with asyncio.timeout(30):
        while "is stuck in submitting" not in await told(bot):
            await bot.clock.let_pass(minutes=2)
    assert f"`raybot resolve {job_id} charge`" in await told(bot)
    await bot.app.operations.resolve(job_id, "release", generation_id=None, actor="operator")
    assert (await bot.job(job_id)).state is JobState.FAILED
    await bot.check_books()


def retire(bot: RunningBot, monkeypatch: Patch, model: str) -> None:
    """The service has this model no more; others it takes."""
    submit = luma(bot).submit

    async def gone(submission: Submission) -> Generation:
        if submission.work.model == model:
            raise ProviderRetired("This model is gone.", provider="luma")
        return await submit(submission)

    monkeypatch.setattr(luma(bot), "submit", gone)


async def test_a_model_that_is_gone_holds_up_nobody_else_for_long(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    retire(bot, monkeypatch, "ray-2")
    lost = await bot.ask("a ship", model="ray-2", user="ben")
    for number in range(3):
        other = await bot.ask(f"a fox {number}", user="ana")
        async with asyncio.timeout(30):
            while (await bot.job(other)).state is JobState.ACCEPTED:
                await bot.clock.let_pass(seconds=60)
        await bot.finish(other)
        await bot.clock.let_pass(minutes=10, moment=0.05)
    job = await hurry(bot, lost, lambda job: job.ended_at is not None, minutes=10)
    assert (job.state, job.cost) == (JobState.FAILED, 0)
    assert job.failure is not None
    assert "This model is gone. Others are taken" in job.failure.sentence
    assert job.attempt >= OWN_REFUSALS


async def test_a_model_that_is_gone_holds_up_no_other_job_of_its_person(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    retire(bot, monkeypatch, "ray-2")
    lost = await bot.ask("a ship", model="ray-2")
    async with asyncio.timeout(30):
        while (await bot.job(lost)).provider_failure is None:
            await bot.clock.let_pass(seconds=1)
    other, began = await bot.ask("a fox"), bot.clock.moved
    async with asyncio.timeout(30):
        while (await bot.job(other)).state is JobState.ACCEPTED:
            await bot.clock.let_pass(minutes=1)
    # The next that is tried once the service is tried again is not the same one.
    assert bot.clock.moved - began < timedelta(seconds=6 * OPERATOR_PAUSE_SECONDS)
    await bot.finish(other)


async def test_of_each_model_that_is_gone_the_operator_hears_once(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    async def gone(_: Submission) -> Generation:
        raise ProviderRetired("This model is gone.", provider="luma")

    monkeypatch.setattr(luma(bot), "submit", gone)
    asked = [await bot.ask("a ship", model=each) for each in ("ray-2", "ray-2", "ray-flash-2")]

    async def is_refused(job_id: JobId) -> bool:
        job = await bot.job(job_id)
        return job.attempt > 0 and job.state is not JobState.SUBMITTING

    async with asyncio.timeout(30):
        while not all([await is_refused(each) for each in asked]):
            await bot.clock.let_pass(minutes=1)
    assert sorted(each.sentence for each in await bot.notes()) == [
        "This model is gone. It was asked for ray-2.",
        "This model is gone. It was asked for ray-flash-2.",
    ]


async def test_a_job_that_was_put_aside_keeps_no_slot(
    tmp_path: Path,
    simulator: Simulator,
    chat: RecordingAdapter,
    clock: MovableClock,
    monkeypatch: Patch,
) -> None:
    prepare = Submitter._prepare

    async def fault(self: Submitter, job: Job, provider: Provider, token: str) -> Submission:
        if "ship" in job.work.prompt:
            raise RuntimeError("a fault of ours")
        return await prepare(self, job, provider, token)

    monkeypatch.setattr(Submitter, "_prepare", fault)
    config = to_test_config(tmp_path, simulator, luma={"running_limit": 1})
    async with running(config, simulator, chat, clock) as bot:
        aside = await bot.ask("a ship")
        await hurry(bot, aside, lambda job: job.parked_at is not None, seconds=5)
        other = await bot.ask("a fox", user="ana")
        await hurry(bot, other, lambda job: job.state is not JobState.ACCEPTED, minutes=1)


async def test_what_was_put_aside_in_doubt_goes_on_once_its_service_calls(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    bot.simulator.faults.drop("create", accepted=True)
    bot.simulator.faults.break_callback("lost", times=1)

    async def fault(*_: object) -> None:
        raise KeyError("a list that nobody foresaw")

    monkeypatch.setattr(luma(bot), "find", fault)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    await hurry(bot, job_id, lambda job: job.parked_at is not None, seconds=30)
    [generation] = bot.simulator.generations
    await bot.simulator.finish(generation)
    await hurry(bot, job_id, lambda job: job.state is JobState.DELIVERED, minutes=1)


async def test_a_link_that_is_good_is_used_although_its_service_is_away(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    fetch, is_first = Clips.fetch, True

    async def away(_: object) -> Mapping[GenerationId, Generation]:
        raise ProviderUnavailable(provider="luma")

    async def once_in_vain(self: Clips, *args: Any, **more: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            monkeypatch.setattr(luma(bot), "check", away)
            raise ClipUnavailable
        return await fetch(self, *args, **more)

    monkeypatch.setattr(Clips, "fetch", once_in_vain)
    job_id = await finished(bot)
    await hurry(bot, job_id, lambda job: job.state is JobState.DELIVERED, minutes=2)


async def test_what_was_made_and_is_shown_no_more_is_in_the_books(
    bot: RunningBot, monkeypatch: Patch
) -> None:
    job_id = await bot.ask()
    await bot.until(job_id, JobState.GENERATING)
    failure = Failure(code="expired", sentence=MEANS["expired"])

    async def expired(
        ids: Sequence[GenerationId], tell: Callable[[Generation], None]
    ) -> Mapping[GenerationId, Generation]:
        found = {each: Generation(id=each, state="failed", failure=failure) for each in ids}
        for each in found.values():
            tell(each)
        return found

    monkeypatch.setattr(luma(bot), "check", expired)
    job = await hurry(bot, job_id, lambda job: job.ended_at is not None, minutes=1)
    assert (job.state, job.cost) == (JobState.FAILED, 0)
    assert "Ask the service for $0.14 back" in await told(bot)
    query = text("SELECT provider_cost FROM jobs")
    assert await bot.app.database.read(lambda conn: conn.execute(query).scalar_one()) > 0
    await bot.check_books()
