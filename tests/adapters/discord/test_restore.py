"""A bot that is set back to a backup finds in Discord what it posted since."""

from __future__ import annotations

from bot import restore
from bot.job import JobState
from bot.store import jobs
from tests.adapters.discord.conftest import Town


async def test_a_clip_that_was_posted_after_the_backup_is_not_posted_again(town: Town) -> None:
    backup = town.folder / "copy.db"
    async with town.street() as street:
        await street.ana.slash("ray create", prompt="a red fox in snow")
        await town.simulator.wait_for_creates(1)
        [job_id] = await street.house.app.database.read(jobs.open_ids)
        await street.house.until(job_id, JobState.GENERATING)
        await street.house.app.database.back_up(backup)
        posted = await street.clip()
        await street.house.delivered(job_id)
        database = street.house.app.database
    restore.put_back(database, backup)
    street.later(hours=3)
    async with town.street() as street:
        job = await street.house.delivered(job_id)
        assert street.clips() == [posted]
        assert job.message is not None
        assert job.message.message == str(posted.id)
        assert len(town.simulator.generations) == 1
        await street.house.check_books()
