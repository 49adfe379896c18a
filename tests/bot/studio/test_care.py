"""Reports and what is decided about them, on the true program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.errors import DeliveryUnavailable, InvalidRequest, JobNotFound, NotAllowed
from bot.job import Job, JobState
from bot.notices import Notice, Reported
from bot.refs import JobId, MessageRef
from bot.simulator import Simulator
from bot.store import schema
from tests.bot.module_simulator import simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, Post, RecordingAdapter, to_request, to_requester

__all__ = ["simulator"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIA = to_requester("mia")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBot]:
    config = to_test_config(tmp_path_factory.mktemp("care"), simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as opened:
        await opened.studio.admin.set_policy(
            "recording:local", {"moderators_channel": "mods"}, actor=MIA
        )
        yield opened


async def clip_of(bot: RunningBot, user: str = "ana", prompt: str = "a red fox") -> Job:
    """A clip that somebody got."""
    job_id = await bot.ask(prompt, user=user, key=f"{user}{len(bot.jobs)}")
    job = await bot.until(job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await bot.simulator.finish(job.generation_id)
    return await bot.delivered(job_id)


def reports(bot: RunningBot, job_id: JobId) -> list[Post]:
    return [each for each in bot.chat.posts if each.key.startswith(f"{job_id}:report")]


def last_said(post: Post) -> Reported:
    said = post.notices[-1]
    assert isinstance(said, Reported)
    return said


async def test_a_report_reaches_the_moderators_once_and_names_nobody(bot: RunningBot) -> None:
    job = await clip_of(bot)
    ben, eve = to_requester("ben"), to_requester("eve")
    assert await bot.studio.care.report(job.id, ben, "It shows\nmy house") == "noted"
    assert await bot.studio.care.report(job.id, ben, "again") == "known"
    assert await bot.studio.care.report(job.id, eve) == "noted"
    await bot.chat.until(
        lambda: bool(reports(bot, job.id)) and last_said(reports(bot, job.id)[0]).count == 2
    )
    (post,) = reports(bot, job.id)
    assert post.ref.thread.channel == "mods"
    said = last_said(post)
    assert (said.reasons, said.clip) == (("It shows my house",), job.message)
    assert set(said.choices) == {"removed", "blocked", "kept"}
    assert not {"ben", "eve"} & set(repr(said).split("'"))


async def test_what_is_reported_must_be_there_and_be_seen(bot: RunningBot) -> None:
    job = await clip_of(bot)
    with pytest.raises(JobNotFound):
        await bot.studio.care.report(job.id, to_requester("zoe", workspace="elsewhere"))
    with pytest.raises(JobNotFound):
        await bot.studio.care.report(JobId("r-nothing"), to_requester("ben"))
    with pytest.raises(InvalidRequest, match="Nobody reported"):
        await bot.studio.care.decide(job.id, "kept", actor=MIA)


async def test_a_moderator_removes_a_clip_once(bot: RunningBot) -> None:
    job = await clip_of(bot)
    await bot.studio.care.report(job.id, to_requester("ben"))
    await bot.chat.until(lambda: bool(reports(bot, job.id)))
    stranger = to_requester("zoe", workspace="elsewhere")
    with pytest.raises(NotAllowed):
        await bot.studio.care.decide(job.id, "removed", actor=stranger)
    await bot.studio.care.decide(job.id, "removed", actor=MIA)
    with pytest.raises(InvalidRequest, match="decided already"):
        await bot.studio.care.decide(job.id, "kept", actor=MIA)
    await bot.chat.until(lambda: last_said(reports(bot, job.id)[0]).outcome == "removed")
    assert last_said(reports(bot, job.id)[0]).choices == ()
    assert bot.chat.clips(job.id) == []
    assert (await bot.job(job.id)).clip is None
    acts = await bot.app.database.read(
        lambda conn: [row.act for row in conn.execute(schema.audit_log.select())]
    )
    assert {"report removed", "delete"} <= set(acts)


async def test_what_could_not_be_removed_at_once_is_removed_later(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await clip_of(bot, "lea")
    await bot.studio.care.report(job.id, to_requester("ben"))
    await bot.chat.until(lambda: bool(reports(bot, job.id)))

    async def refuse(message: MessageRef) -> None:
        raise DeliveryUnavailable("Not now.")

    monkeypatch.setattr(bot.chat, "delete", refuse)
    await bot.studio.care.decide(job.id, "removed", actor=MIA)
    assert len(bot.chat.clips(job.id)) == 1
    monkeypatch.undo()
    bot.clock.move(minutes=11)
    await bot.chat.until(lambda: not bot.chat.clips(job.id))


async def test_blocking_keeps_its_maker_out(bot: RunningBot) -> None:
    job = await clip_of(bot, "vic")
    await bot.studio.care.report(job.id, to_requester("ben"))
    await bot.studio.care.decide(job.id, "blocked", actor=MIA)
    with pytest.raises(NotAllowed):
        await bot.studio.submit(to_request(user="vic", key="again"))
    assert await bot.studio.care.report(job.id, to_requester("eve")) == "decided"


async def test_a_report_that_was_posted_before_a_crash_is_not_posted_again(
    simulator: Simulator, tmp_path: Path
) -> None:
    chat, clock, config = RecordingAdapter(), MovableClock(), to_test_config(tmp_path, simulator)
    posted: list[Notice] = []
    first_post = chat.post

    async def post(*args: object, **named: object) -> object:
        ref = await first_post(*args, **named)  # type: ignore[arg-type]  # passed on
        if isinstance(args[1], Reported) and not posted:
            posted.append(args[1])
            raise DeliveryUnavailable("The answer was lost.", retry_after=3600)
        return ref

    chat.post = post  # type: ignore[method-assign, assignment]  # the platform takes it and dies
    async with running(config, simulator, chat, clock) as bot:
        await bot.studio.admin.set_policy(
            "recording:local", {"moderators_channel": "mods"}, actor=MIA
        )
        job = await clip_of(bot)
        await bot.studio.care.report(job.id, to_requester("ben"))
        await chat.until(lambda: bool(posted))
    clock.move(hours=2)
    async with running(config, simulator, chat, clock) as bot:
        await bot.studio.care.decide(job.id, "kept", actor=MIA)
        await chat.until(lambda: last_said(reports(bot, job.id)[0]).outcome == "kept")
        assert len(reports(bot, job.id)) == 1
