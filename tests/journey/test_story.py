"""A story end to end: shots one after another, one film, one post, each shot paid once."""

from __future__ import annotations

from bot.job import Job, JobState
from bot.refs import JobId
from bot.request import GenerationRequest, StoryWork
from bot.store import stories
from tests.conftest import House
from tests.fakes import to_request

LINES = ("a fox wakes up", "the fox runs", "the fox sleeps")


def to_story(*lines: str, key: str = "story") -> GenerationRequest:
    work = StoryWork(shots=lines or LINES)
    return to_request(key=key).model_copy(update={"work": work})


async def shots_of(house: House, film: JobId) -> list[Job]:
    return await house.app.database.read(lambda conn: stories.shots(conn, film))


async def finish_one(house: House, film: JobId, number: int) -> Job:
    """Let the service finish a shot, once it has it."""
    shot = (await shots_of(house, film))[number - 1]
    running = await house.until(shot.id, JobState.GENERATING)
    assert running.generation_id is not None
    await house.simulator.finish(running.generation_id)
    return await house.until(shot.id, JobState.DELIVERED)


async def test_a_story_becomes_one_film(house: House) -> None:
    receipt = await house.studio.submit(to_story())
    film = receipt.job_id
    for number in (1, 2, 3):
        await finish_one(house, film, number)
    done = await house.delivered(film)
    shots = await shots_of(house, film)
    assert done.clip is not None
    assert abs(done.clip.seconds - sum(each.clip.seconds for each in shots if each.clip)) < 0.05
    [posted] = house.chat.clips()
    assert posted.about.job_id == film
    assert [each.prompt for each in posted.about.shots] == list(LINES)
    await house.check_books()
