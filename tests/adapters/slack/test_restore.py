"""A bot that is set back to a backup finds in Slack what it posted since."""

from __future__ import annotations

from bot import restore
from bot.job import JobState
from bot.store import jobs
from tests.adapters.slack.conftest import Town


async def test_a_clip_that_was_posted_after_the_backup_is_not_posted_again(town: Town) -> None:
    backup = town.folder / "copy.db"
    async with town.lane() as lane:
        await lane.ana.slash("/ray", "a red fox in snow")
        await town.simulator.wait_for_creates(1)
        [job_id] = await lane.house.app.database.read(jobs.open_ids)
        await lane.house.until(job_id, JobState.GENERATING)
        await lane.house.app.database.back_up(backup)
        posted = await lane.clip()
        await lane.house.delivered(job_id)
        database = lane.house.app.database
    restore.put_back(database, backup)
    lane.later(hours=3)
    async with town.lane() as lane:
        job = await lane.house.delivered(job_id)
        assert lane.clips() == [posted]
        assert job.message is not None
        assert job.message.message.startswith(posted.ts)
        assert len(town.simulator.generations) == 1
        await lane.house.check_books()
