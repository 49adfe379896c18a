"""Every line of a job's life in Discord names it, those of discord.py included."""

from __future__ import annotations

from tests.adapters.discord.conftest import LocalDiscord
from tests.secrecy import life_of, read_logs


async def test_each_line_between_accepted_and_delivered_names_the_job(
    local_discord: LocalDiscord,
) -> None:
    with read_logs("json") as said:
        async with local_discord.community(luma={"submit_timeout_seconds": 0.5}) as community:
            local_discord.simulator.faults.drop("create", accepted=True)
            local_discord.simulator.faults.break_clip("garbage")
            await community.ana.slash("ray create", prompt="a red fox in snow")
            await local_discord.simulator.wait_for_creates(1)
            local_discord.discord.faults.error("PATCH", "/messages/", 503, 0)
            local_discord.discord.faults.too_many("POST", "/messages$")
            await community.hurry(lambda: community.clips(), seconds=5)
            [job_id] = await community.bot.app.database.read(
                lambda conn: [row[0] for row in conn.exec_driver_sql("SELECT id FROM jobs")]
            )
            await community.bot.delivered(job_id)
        life = life_of(job_id, said.getvalue())
    assert "job.submission_uncertain" in life
    assert "job.step_failed" in life
    assert any("rate limited" in event for event in life), life
