"""A bot that is set back to a backup finds in Discord what it posted since."""

from __future__ import annotations

import pytest

from bot.cli import restore
from bot.job import JobState
from bot.store import jobs
from tests.adapters.discord.conftest import LocalDiscord
from tests.fakes import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    """It begins with the machine's own, which a restore asks."""
    return MovableClock()


async def test_a_clip_that_was_posted_after_the_backup_is_not_posted_again(
    local_discord: LocalDiscord,
) -> None:
    backup = local_discord.folder / "copy.db"
    async with local_discord.community() as community:
        local_discord.simulator.faults.slow(100_000)
        await community.ana.slash("ray create", prompt="a red fox in snow")
        await local_discord.simulator.wait_for_creates(1)
        [job_id] = await community.bot.app.database.read(jobs.open_ids)
        await community.bot.until(job_id, JobState.GENERATING)
        await community.bot.app.database.back_up(backup)
        [generation] = local_discord.simulator.generations
        await local_discord.simulator.finish(generation)
        posted = await community.clip()
        await community.bot.delivered(job_id)
        database = community.bot.app.database
    restore.put_back(database, backup)
    community.later(hours=3)
    async with local_discord.community() as community:
        job = await community.bot.delivered(job_id)
        assert community.clips() == [posted]
        assert job.message is not None
        assert job.message.message == str(posted.id)
        assert len(local_discord.simulator.generations) == 1
        await community.bot.check_books()
