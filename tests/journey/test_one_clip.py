"""A person asks, and the clip is in the thread, paid once."""

from __future__ import annotations

from bot.job import JobState
from bot.notices import Done
from tests.conftest import House


async def test_a_prompt_becomes_a_clip_paid_once(house: House) -> None:
    job_id = await house.ask("a red fox in snow", aspect_ratio="16:9")
    await house.simulator.wait_for_creates(1)
    [generation] = house.simulator.generations.values()
    await house.simulator.finish(generation.id)
    job = await house.delivered(job_id)

    [clip] = house.chat.clips()
    assert clip.about.job_id == job_id
    assert job.cost > 0
    assert len(house.simulator.generations) == 1
    await house.chat.until(lambda: isinstance(house.chat.status(job_id), Done))
    await house.check_books()
    assert job.state is JobState.DELIVERED
