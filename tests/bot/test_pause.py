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
from bot.store import stories
from bot.submission import Submitter
from tests.conftest import House
from tests.fakes import to_request, to_requester

ANA, BOSS = to_requester("ana"), to_requester("boss")
HERE = ANA.tenant


@pytest.fixture
async def house(open_house: Callable[..., Any]) -> House:
    """One slot, so whoever comes second waits; two places are served."""
    opened: House = await open_house(
        luma={"running_limit": 1, "look_seconds": 1, "first_look_seconds": 1},
        access={"servers": ["named"]},
    )
    return opened


async def ask(house: House, key: str, user: str = "ana", place: str = "local") -> JobId:
    who = to_requester(user, workspace=place)
    there = to_request(key=key).model_copy(update={"requester": who})
    return (await house.studio.submit(there)).job_id


async def finish(house: House, job_id: JobId) -> None:
    job = await house.until(job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await house.simulator.finish(job.generation_id)
    async with asyncio.timeout(10):
        while (await house.job(job_id)).state is not JobState.DELIVERED:
            house.clock.move(seconds=2)
            await asyncio.sleep(0.01)


async def shows(house: House, job_id: JobId, notice: type[Notice]) -> Notice:
    async with asyncio.timeout(10):
        while not isinstance(found := house.chat.status(job_id), notice):
            house.clock.move(seconds=2)
            await asyncio.sleep(0.01)
    return found


async def test_what_waits_in_a_paused_place_is_not_started_until_it_goes_on(house: House) -> None:
    first, second = await ask(house, "1"), await ask(house, "2")
    other = await ask(house, "3", place="named")
    await house.until(first, JobState.GENERATING)
    await house.studio.admin.pause(HERE, actor=BOSS, message="Back at noon.")
    told = await shows(house, second, Waiting)
    assert isinstance(told, Waiting)
    assert told.sentence == "Back at noon."
    await finish(house, first)
    # Who asked later, elsewhere, goes first.
    await finish(house, other)
    assert (await house.job(second)).state is JobState.ACCEPTED
    await house.studio.admin.resume(HERE, actor=BOSS)
    await finish(house, second)
    assert len(house.simulator.generations) == 3
    await house.check_books()


async def test_the_operator_pauses_every_place_at_once(house: House) -> None:
    first, second = await ask(house, "1"), await ask(house, "2", place="named")
    await house.until(first, JobState.GENERATING)
    act = house.app.operations.act
    said = await act("pause", {"message": "The budget is used up."})
    assert said["sentence"] == (
        "Paused everywhere: nothing is started. 1 job stays in line; what runs goes on."
    )
    await shows(house, second, Waiting)
    await finish(house, first)
    for place in ("local", "named"):
        with pytest.raises(Paused, match=r"The budget is used up\."):
            await ask(house, f"late {place}", place=place)
    for _ in range(5):
        house.clock.move(seconds=5)
        await asyncio.sleep(0.02)
    assert (await house.job(second)).state is JobState.ACCEPTED
    await house.studio.admin.pause(HERE, actor=BOSS)
    assert "by themselves stay so" in str((await act("resume", {}))["sentence"])
    await finish(house, second)
    with pytest.raises(Paused, match="paused here"):
        await ask(house, "still")
    await house.check_books()


async def test_what_a_blocked_person_waits_for_is_taken_back_and_free(house: House) -> None:
    first, second, bens = (
        await ask(house, "1"),
        await ask(house, "2"),
        await ask(house, "3", user="ben"),
    )
    await house.until(first, JobState.GENERATING)
    await house.studio.admin.block(HERE, "ana", actor=BOSS)
    taken = await house.until(second, JobState.CANCELLED)
    assert taken.cost == 0
    await shows(house, second, Cancelled)
    # What ran is theirs.
    await finish(house, first)
    await finish(house, bens)
    assert len(house.simulator.generations) == 2
    await house.check_books()


async def test_the_film_of_a_blocked_person_keeps_what_was_made_of_it(house: House) -> None:
    story = to_request(key="film").model_copy(
        update={"work": StoryWork(shots=("a fox", "a wolf", "an owl"))}
    )
    film = (await house.studio.submit(story)).job_id
    first, second, _ = await house.app.database.read(lambda conn: stories.shots(conn, film))
    await house.until(first.id, JobState.GENERATING)
    await house.studio.admin.block(HERE, "ana", actor=BOSS)
    await finish(house, first.id)
    async with asyncio.timeout(10):
        while (await house.job(second.id)).state is not JobState.CANCELLED:
            house.clock.move(seconds=2)
            await asyncio.sleep(0.01)
    told = await shows(house, film, ShotFailed)
    assert isinstance(told, ShotFailed)
    assert told.number == 2
    assert len(house.simulator.generations) == 1
    await house.check_books()


def is_next(notice: Notice) -> bool:
    return isinstance(notice, Queued) and notice.position == 1


async def test_who_waits_elsewhere_does_not_count_those_of_a_paused_place(house: House) -> None:
    await house.until(await ask(house, "1"), JobState.GENERATING)
    for number in range(2, 5):
        await ask(house, str(number))
    last, who = await ask(house, "5", place="named"), to_requester("ana", workspace="named")
    await house.studio.admin.pause(HERE, actor=BOSS)
    async with asyncio.timeout(10):
        while not is_next((await house.studio.show(last, who)).notice):
            house.clock.move(seconds=2)
            await asyncio.sleep(0.01)


async def test_a_place_does_not_go_on_while_everything_is_paused(house: House) -> None:
    await house.app.operations.act("pause", {})
    await house.studio.admin.pause(HERE, actor=BOSS)
    with pytest.raises(InvalidRequest, match="Its operator has paused everything"):
        await house.studio.admin.resume(HERE, actor=BOSS)
    await house.app.operations.act("resume", {})
    await house.until(await ask(house, "1"), JobState.GENERATING)


async def test_a_pause_holds_for_who_was_just_let_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Submitter._prepare

    async def prepare_late(self: Submitter, *given: Any) -> Submission:
        await house.app.operations.act("pause", {})
        return await prepare(self, *given)

    monkeypatch.setattr(Submitter, "_prepare", prepare_late)
    job_id = await ask(house, "1")
    await shows(house, job_id, Waiting)
    job = await house.job(job_id)
    assert (job.state, job.attempt, house.simulator.generations) == (JobState.ACCEPTED, 0, {})
    monkeypatch.undo()
    await house.app.operations.act("resume", {})
    await finish(house, job_id)
    await house.check_books()
