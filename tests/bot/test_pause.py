"""What is paused or blocked starts nothing: neither what is asked now nor what waits in line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bot.errors import InvalidRequest, Paused
from bot.job import JobState
from bot.notices import Cancelled, Notice, Queued, ShotFailed, Waiting
from bot.ports import Submission
from bot.refs import JobId
from bot.request import StoryWork
from bot.steps.submission import Submitter
from bot.store import stories
from tests.conftest import RunningBot
from tests.fakes import to_request, to_requester

ANA, BOSS = to_requester("ana"), to_requester("boss")
HERE = ANA.tenant


@pytest.fixture
async def bot(start_bot: Callable[..., Any]) -> RunningBot:
    """One slot, so whoever comes second waits; two places are served."""
    opened: RunningBot = await start_bot(
        luma={"running_limit": 1, "look_seconds": 1, "first_look_seconds": 1},
        access={"servers": ["named"]},
    )
    return opened


async def ask(bot: RunningBot, key: str, user: str = "ana", place: str = "local") -> JobId:
    who = to_requester(user, workspace=place)
    there = to_request(key=key).model_copy(update={"requester": who})
    return (await bot.studio.submit(there)).job_id


async def finish(bot: RunningBot, job_id: JobId) -> None:
    job = await bot.until(job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await bot.simulator.finish(job.generation_id)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=2, moment=0.01)


async def shows(bot: RunningBot, job_id: JobId, notice: type[Notice]) -> Notice:
    async with asyncio.timeout(30):
        while not isinstance(found := bot.chat.status(job_id), notice):
            await bot.clock.let_pass(seconds=2, moment=0.01)
    return found


async def test_what_waits_in_a_paused_place_is_not_started_until_it_goes_on(
    bot: RunningBot,
) -> None:
    first, second = await ask(bot, "1"), await ask(bot, "2")
    other = await ask(bot, "3", place="named")
    await bot.until(first, JobState.GENERATING)
    await bot.studio.admin.pause(HERE, actor=BOSS, message="Back at noon.")
    told = await shows(bot, second, Waiting)
    assert isinstance(told, Waiting)
    assert told.sentence == "Back at noon."
    await finish(bot, first)
    # Who asked later, elsewhere, goes first.
    await finish(bot, other)
    assert (await bot.job(second)).state is JobState.ACCEPTED
    await bot.studio.admin.resume(HERE, actor=BOSS)
    await finish(bot, second)
    assert len(bot.simulator.generations) == 3
    await bot.check_books()


async def test_the_operator_pauses_every_place_at_once(bot: RunningBot) -> None:
    first, second = await ask(bot, "1"), await ask(bot, "2", place="named")
    await bot.until(first, JobState.GENERATING)
    act = bot.app.operations.act
    said = await act("pause", {"message": "The budget is used up."})
    assert said["sentence"] == (
        "Paused everywhere: nothing is started. 1 job stays in line; what runs goes on."
    )
    await shows(bot, second, Waiting)
    await finish(bot, first)
    for place in ("local", "named"):
        with pytest.raises(Paused, match=r"The budget is used up\."):
            await ask(bot, f"late {place}", place=place)
    for _ in range(5):
        await bot.clock.let_pass(seconds=5)
    assert (await bot.job(second)).state is JobState.ACCEPTED
    await bot.studio.admin.pause(HERE, actor=BOSS)
    assert "by themselves stay so" in str((await act("resume", {}))["sentence"])
    await finish(bot, second)
    with pytest.raises(Paused, match="paused here"):
        await ask(bot, "still")
    await bot.check_books()


async def test_what_a_blocked_person_waits_for_is_taken_back_and_free(bot: RunningBot) -> None:
    first, second, bens = (
        await ask(bot, "1"),
        await ask(bot, "2"),
        await ask(bot, "3", user="ben"),
    )
    await bot.until(first, JobState.GENERATING)
    await bot.studio.admin.block(HERE, "ana", actor=BOSS)
    taken = await bot.until(second, JobState.CANCELLED)
    assert taken.cost == 0
    await shows(bot, second, Cancelled)
    # What ran is theirs.
    await finish(bot, first)
    await finish(bot, bens)
    assert len(bot.simulator.generations) == 2
    await bot.check_books()


async def test_the_film_of_a_blocked_person_keeps_what_was_made_of_it(bot: RunningBot) -> None:
    story = to_request(key="film").model_copy(
        update={"work": StoryWork(shots=("a fox", "a wolf", "an owl"))}
    )
    film = (await bot.studio.submit(story)).job_id
    first, second, _ = await bot.app.database.read(lambda conn: stories.shots(conn, film))
    await bot.until(first.id, JobState.GENERATING)
    await bot.studio.admin.block(HERE, "ana", actor=BOSS)
    await finish(bot, first.id)
    async with asyncio.timeout(30):
        while (await bot.job(second.id)).state is not JobState.CANCELLED:
            await bot.clock.let_pass(seconds=2, moment=0.01)
    told = await shows(bot, film, ShotFailed)
    assert isinstance(told, ShotFailed)
    assert told.number == 2
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


def is_next(notice: Notice) -> bool:
    return isinstance(notice, Queued) and notice.position == 1


async def test_who_waits_elsewhere_does_not_count_those_of_a_paused_place(bot: RunningBot) -> None:
    await bot.until(await ask(bot, "1"), JobState.GENERATING)
    for number in range(2, 5):
        await ask(bot, str(number))
    last, who = await ask(bot, "5", place="named"), to_requester("ana", workspace="named")
    await bot.studio.admin.pause(HERE, actor=BOSS)
    async with asyncio.timeout(30):
        while not is_next((await bot.studio.show(last, who)).notice):
            await bot.clock.let_pass(seconds=2, moment=0.01)


async def test_a_place_does_not_go_on_while_everything_is_paused(bot: RunningBot) -> None:
    await bot.app.operations.act("pause", {})
    await bot.studio.admin.pause(HERE, actor=BOSS)
    with pytest.raises(InvalidRequest, match="Its operator has paused everything"):
        await bot.studio.admin.resume(HERE, actor=BOSS)
    await bot.app.operations.act("resume", {})
    await bot.until(await ask(bot, "1"), JobState.GENERATING)


async def test_a_pause_holds_for_who_was_just_let_in(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Submitter._prepare

    async def prepare_late(self: Submitter, *given: Any) -> Submission:
        await bot.app.operations.act("pause", {})
        return await prepare(self, *given)

    monkeypatch.setattr(Submitter, "_prepare", prepare_late)
    job_id = await ask(bot, "1")
    await shows(bot, job_id, Waiting)
    job = await bot.job(job_id)
    assert (job.state, job.attempt, bot.simulator.generations) == (JobState.ACCEPTED, 0, {})
    monkeypatch.undo()
    await bot.app.operations.act("resume", {})
    await finish(bot, job_id)
    await bot.check_books()
