"""The Home tab as its person sees it: what runs, what is left, what was made, what holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.adapters.slack.conftest import Lane, Town
from tests.adapters.slack.test_dialogues import job_of


async def shows(lane: Lane, words: str) -> str:
    """Wait until Ana's tab says this; the whole tab."""

    def look() -> str:
        told = str(lane.ana.home.blocks) if lane.ana.home else ""
        return told if words in told else ""

    return await lane.hurry(look)


async def test_it_shows_what_runs_and_goes_with_it(lane: Lane) -> None:
    await lane.ana.open_home()
    await lane.ana.wait_home(lambda view: "Your usage" in view.plain)
    lane.house.simulator.faults.slow(15)
    await lane.ana.slash("/ray", "a fox", lane.general)
    assert "a fox" in await shows(lane, "On the way")
    await lane.hurry(lane.clips)
    told = await shows(lane, "Your last jobs")
    assert "a fox" in told
    assert "slack.com/app_redirect" in told, "each has the way to its message"
    assert "On the way" not in told
    assert lane.ben.home is None


async def test_a_running_job_is_cancelled_from_there(lane: Lane) -> None:
    lane.house.simulator.faults.slow(100_000)
    await lane.ana.slash("/ray", "a slow fox", lane.general)
    status = await lane.status("Generating")
    await lane.ana.open_home()
    home = await lane.ana.wait_home(lambda view: "Cancel" in view.buttons)
    assert "On the way" in home.plain
    await lane.ana.click(home, "Cancel")
    await lane.hurry(lambda: "Cancelled" in status.plain)
    await lane.hurry(lambda: lane.ana.home and "Cancel" not in lane.ana.home.buttons)
    assert not lane.clips()


async def test_limits_are_shown_with_the_time_they_reset_at(
    open_lane: Callable[..., Any],
) -> None:
    lane = await open_lane(limits={"clips_per_person_per_day": 3})
    await lane.ana.open_home()
    home = await lane.ana.wait_home()
    assert "0 of 3" in home.plain
    assert any(each.get("type") == "date" for each in parts_of(home.blocks))
    await lane.ana.slash("/ray", "a fox", lane.general)
    await shows(lane, "1 of 3")


def parts_of(within: Any) -> list[dict[str, Any]]:
    """Every object in there."""
    inner = list(within.values()) if isinstance(within, dict) else within
    found = [within] if isinstance(within, dict) else []
    for each in inner:
        found += parts_of(each) if isinstance(each, dict | list) else []
    return found


async def test_own_defaults_are_changed_there(lane: Lane) -> None:
    await lane.ana.open_home()
    home = await lane.ana.wait_home()
    asked = await lane.ana.click(home, "Change")
    view = await asked.wait_view()
    await lane.ana.submit(view, {"aspect_ratio": "9:16"})
    await shows(lane, "9:16")
    await lane.ana.slash("/ray", "a fox", lane.general)
    await lane.clip()
    job = await lane.house.delivered(job_of(await lane.status()))
    assert job.work.aspect_ratio == "9:16"


async def test_own_defaults_that_were_typed_are_shown_there(lane: Lane) -> None:
    await lane.ana.open_home()
    await lane.ana.wait_home()
    asked = await lane.ana.slash("/ray", "settings ar=9:16", lane.general)
    await asked.wait_said()
    await shows(lane, "9:16")


async def test_a_tab_is_kept_up_to_date_after_a_restart(town: Town) -> None:
    async with town.lane() as lane:
        await lane.ana.open_home()
        await lane.ana.wait_home()
    async with town.lane() as lane:
        await lane.ana.slash("/ray", "a fox", lane.general)
        await shows(lane, "a fox")


async def test_a_new_person_begins_there(lane: Lane) -> None:
    await lane.ana.open_home()
    home = await lane.ana.wait_home()
    assert "Ray turns words and images into short video clips" in home.plain
    assert "Type what you want to see" not in home.plain, "there is no field for it"
    view = await (await lane.ana.click(home, "Create a clip")).wait_view()
    await lane.ana.submit(view, {"prompt": "a fox", "where": lane.general.id})
    await lane.clip()
    told = await shows(lane, "Your last jobs")
    assert told.count(job_of(await lane.status())) == 1, "every job is listed once"
