"""A bot that is set back to a backup finds in Slack what it posted since."""

from __future__ import annotations

from bot.cli import restore
from bot.job import JobState
from bot.store import jobs
from tests.adapters.slack.conftest import LocalSlack


async def test_a_clip_that_was_posted_after_the_backup_is_not_posted_again(
    local_slack: LocalSlack,
) -> None:
    backup, simulator = local_slack.folder / "copy.db", local_slack.simulator
    simulator.faults.slow(100_000)
    async with local_slack.community() as community:
        await community.ana.slash("/ray", "a red fox in snow")
        await simulator.wait_for_creates(1)
        [job_id] = await community.bot.app.database.read(jobs.open_ids)
        await community.bot.until(job_id, JobState.GENERATING)
        await community.bot.app.database.back_up(backup)
        await simulator.finish(*simulator.generations)
        posted = await community.clip()
        await community.bot.delivered(job_id)
        database = community.bot.app.database
    restore.put_back(database, backup)
    community.later(hours=3)
    async with local_slack.community() as community:
        job = await community.bot.delivered(job_id)
        assert community.clips() == [posted]
        assert job.message is not None
        assert job.message.message.startswith(posted.ts)
        assert len(simulator.generations) == 1
        await community.bot.check_books()
