"""The Home tab as its person sees it: what runs, what is left, what was made, what holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.adapters.slack.conftest import Community, LocalSlack
from tests.adapters.slack.test_dialogues import job_of
from tests.fakes import MovableClock


async def shows(community: Community, words: str) -> str:
    """Wait until Ana's tab says this; the whole tab."""

    def look() -> str:
        told = str(community.ana.home.blocks) if community.ana.home else ""
        return told if words in told else ""

    return await community.hurry(look)


async def test_it_shows_what_runs_and_goes_with_it(community: Community) -> None:
    await community.ana.open_home()
    await community.ana.wait_home(lambda view: "Your usage" in view.plain)
    simulator = community.bot.simulator
    simulator.faults.slow(100_000)
    await community.ana.slash("/ray", "a fox", community.general)
    assert "a fox" in await shows(community, "On the way")
    await simulator.wait_for_creates(1)
    await simulator.finish(*simulator.generations)
    await community.hurry(community.clips)
    told = await shows(community, "Your last jobs")
    assert "a fox" in told
    assert "slack.com/app_redirect" in told, "each has the way to its message"
    assert "On the way" not in told
    assert community.ben.home is None


async def test_a_running_job_is_cancelled_from_there(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("/ray", "a slow fox", community.general)
    status = await community.status("Generating")
    await community.ana.open_home()
    home = await community.ana.wait_home(lambda view: "Cancel" in view.buttons)
    assert "On the way" in home.plain
    await community.ana.click(home, "Cancel")
    await community.hurry(lambda: "Cancelled" in status.plain)
    await community.hurry(
        lambda: community.ana.home and "Cancel" not in community.ana.home.buttons
    )
    assert not community.clips()


async def test_limits_are_shown_with_the_time_they_reset_at(
    open_community: Callable[..., Any], clock: MovableClock
) -> None:
    clock.set_to_noon()
    community = await open_community(limits={"clips_per_person_per_day": 3})
    await community.ana.open_home()
    home = await community.ana.wait_home()
    assert "0 of 3" in home.plain
    assert any(each.get("type") == "date" for each in parts_of(home.blocks))
    await community.ana.slash("/ray", "a fox", community.general)
    await shows(community, "1 of 3")


def parts_of(within: Any) -> list[dict[str, Any]]:
    """Every object in there."""
    inner = list(within.values()) if isinstance(within, dict) else within
    found = [within] if isinstance(within, dict) else []
    for each in inner:
        found += parts_of(each) if isinstance(each, dict | list) else []
    return found


async def test_own_defaults_are_changed_there(community: Community) -> None:
    await community.ana.open_home()
    home = await community.ana.wait_home()
    asked = await community.ana.click(home, "Change")
    view = await asked.wait_view()
    await community.ana.submit(view, {"aspect_ratio": "9:16"})
    await shows(community, "9:16")
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()
    job = await community.bot.delivered(job_of(await community.status()))
    assert job.work.aspect_ratio == "9:16"


async def test_own_defaults_that_were_typed_are_shown_there(community: Community) -> None:
    await community.ana.open_home()
    await community.ana.wait_home()
    asked = await community.ana.slash("/ray", "settings ar=9:16", community.general)
    await asked.wait_said()
    await shows(community, "9:16")


async def test_a_tab_is_kept_up_to_date_after_a_restart(local_slack: LocalSlack) -> None:
    async with local_slack.community() as community:
        await community.ana.open_home()
        await community.ana.wait_home()
    async with local_slack.community() as community:
        await community.ana.slash("/ray", "a fox", community.general)
        await shows(community, "a fox")


async def test_a_new_person_begins_there(community: Community) -> None:
    await community.ana.open_home()
    home = await community.ana.wait_home()
    assert "Ray turns words and images into short video clips" in home.plain
    assert "Type what you want to see" not in home.plain, "there is no field for it"
    view = await (await community.ana.click(home, "Create a clip")).wait_view()
    await community.ana.submit(view, {"prompt": "a fox", "where": community.general.id})
    await community.clip()
    told = await shows(community, "Your last jobs")
    assert told.count(job_of(await community.status())) == 1, "every job is listed once"
