"""Every line of a job's life in Slack names it, whoever logged it."""

from __future__ import annotations

from tests.adapters.slack.conftest import LocalSlack
from tests.secrecy import life_of, read_logs


async def test_each_line_between_accepted_and_delivered_names_the_job(
    local_slack: LocalSlack,
) -> None:
    with read_logs("json") as said:
        async with local_slack.community() as community:
            local_slack.simulator.faults.drop("create", accepted=True)
            local_slack.simulator.faults.break_clip("garbage")
            await community.ana.slash("/ray", "a red fox in snow")
            await local_slack.simulator.wait_for_creates(1)
            local_slack.slack.faults.answer(
                "files.completeUploadExternal", "<html>", content_type="text/html"
            )
            await community.hurry(community.clips, seconds=20)
            [job_id] = await community.bot.app.database.read(
                lambda conn: [row[0] for row in conn.exec_driver_sql("SELECT id FROM jobs")]
            )
            await community.bot.delivered(job_id)
        life = life_of(job_id, said.getvalue())
    assert {"job.submission_uncertain", "job.step_failed", "slack.clip_in_doubt"} <= {*life}
