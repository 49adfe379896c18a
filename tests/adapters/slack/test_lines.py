"""Every line of a job's life in Slack names it, whoever logged it."""

from __future__ import annotations

from tests.adapters.slack.conftest import Town
from tests.secrecy import life_of, read_logs


async def test_each_line_between_accepted_and_delivered_names_the_job(town: Town) -> None:
    with read_logs("json") as said:
        async with town.lane() as lane:
            town.simulator.faults.drop("create", accepted=True)
            town.simulator.faults.break_clip("garbage")
            await lane.ana.slash("/ray", "a red fox in snow")
            await town.simulator.wait_for_creates(1)
            town.slack.faults.answer(
                "files.completeUploadExternal", "<html>", content_type="text/html"
            )
            await lane.hurry(lane.clips, seconds=20)
            [job_id] = await lane.house.app.database.read(
                lambda conn: [row[0] for row in conn.exec_driver_sql("SELECT id FROM jobs")]
            )
            await lane.house.delivered(job_id)
        life = life_of(job_id, said.getvalue())
    assert {"job.submission_uncertain", "job.step_failed", "slack.clip_in_doubt"} <= {*life}
