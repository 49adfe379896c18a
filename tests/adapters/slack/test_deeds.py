"""What people make of a clip in Slack: by its buttons, its list, and the forms behind them."""

from __future__ import annotations

from typing import Any

from bot.job import Job
from bot.store import jobs
from tests.adapters.slack.conftest import Lane
from tests.adapters.slack.test_dialogues import job_of


async def all_jobs(lane: Lane) -> list[Job]:
    """Every job, newest first."""
    found = await lane.house.app.database.read(
        lambda conn: [
            job
            for user in (lane.ana.id, lane.ben.id)
            for job in jobs.of_person(conn, f"slack:{lane.team.id}:{user}", search="", page=1)
        ]
    )
    return sorted(found, key=lambda job: job.created_at, reverse=True)


def menu_of(lane: Lane) -> dict[str, Any]:
    [clip] = lane.clips()
    [menu] = [each for each in clip.elements if each["type"] == "static_select"]
    return menu


async def test_more_is_a_list_with_prices_and_asks_for_what_an_act_needs(lane: Lane) -> None:
    await lane.ana.slash("/ray", "a fox", lane.general)
    clip = await lane.clip()
    first = job_of(await lane.status("Delivered"))
    values = [each["value"] for each in menu_of(lane)["options"]]
    assert {"final", "reframe", "modify", "prequel", "join", "several"} <= set(values)
    # What the service asks for these nobody knows, so they are not offered.
    assert not {"upscale", "audio"} & set(values)
    asked = await lane.ben.choose(clip, "More…", "reframe")
    view = await asked.wait_view()
    shapes = view.blocks[0]["element"]["options"]
    assert "1:1" not in [each["value"] for each in shapes]
    assert " · ≈ $" in shapes[0]["text"]["text"]
    sent = await lane.ben.submit(view, {"choice": "9:16"})
    assert sent.closed
    await lane.slack.wait_for(lambda: len(lane.clips()) == 2)
    newest = (await all_jobs(lane))[0]
    assert (newest.parent, newest.work.kind, newest.work.aspect_ratio) == (
        first,
        "reframe",
        "9:16",
    )
    assert newest.request.requester.user == lane.ben.id
    [reframed] = [each for each in lane.clips() if each is not clip]
    assert reframed.thread_ts == clip.thread_ts
    assert "Reframed from" in str(reframed.blocks)
    await lane.house.check_books()


async def test_a_clip_goes_on_and_is_varied_at_once(lane: Lane) -> None:
    await lane.ana.slash("/ray", "a fox", lane.general)
    clip = await lane.clip()
    first = job_of(await lane.status("Delivered"))
    view = await (await lane.ana.click(clip, "Extend")).wait_view()
    await lane.ana.submit(view, {"prompt": "it runs"})
    view = await (await lane.ana.choose(clip, "More…", "several")).wait_view()
    await lane.ana.submit(view, {"choice": "3"})
    await lane.ana.click(clip, "Loop")
    await lane.slack.wait_for(lambda: len(lane.clips()) == 6, seconds=20)
    every = await all_jobs(lane)
    relations = sorted(str(job.request.relation) for job in every)
    assert relations == ["None", "extend", "loop", "variation", "variation", "variation"]
    assert {job.parent for job in every} == {None, first}
    shown = await lane.ana.slash("/ray", f"show {first}", lane.general)
    await shown.wait_said(lambda text: text.count("a variation") == 3 and "an extension" in text)
    await lane.house.check_books()


async def test_what_cannot_be_done_is_told_and_starts_nothing(lane: Lane) -> None:
    await lane.ana.slash("/ray", "a fox", lane.general)
    clip = await lane.clip()
    first = (await all_jobs(lane))[0]
    await lane.house.delivered(first.id)
    view = await (await lane.ben.choose(clip, "More…", "join")).wait_view()
    await lane.ben.submit(view, {"other": "the other one"})
    late = await (await lane.ben.choose(clip, "More…", "reframe")).wait_view()
    await lane.house.studio.delete(first.id, first.request.requester)
    await lane.ben.submit(late, {"choice": "9:16"})
    await lane.slack.wait_for(
        lambda: "was deleted" in str(lane.slack.requests_to("chat.postEphemeral"))
    )
    assert "A job's id looks like" in str(lane.slack.requests_to("chat.postEphemeral"))
    assert len(await all_jobs(lane)) == 1
