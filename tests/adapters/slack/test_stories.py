"""Stories in Slack: typed, or by their form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.command_text import Draft
from adapters.slack.filled import SHOTS, STORY, Place, read_story, story_errors
from adapters.slack.stories import story_view
from bot.errors import StoreError
from bot.inbox import Inbox
from bot.job import Job, JobState
from bot.request import StoryWork
from bot.store import stories
from tests.adapters.slack.conftest import Lane, Town
from tests.adapters.slack.kit import check_view
from tests.adapters.slack.test_deeds import all_jobs
from tests.conftest import House
from tests.slack_server import View


async def form(lane: Lane, typed: str) -> View:
    return await (await lane.ana.slash("/ray", typed, lane.general)).wait_view()


async def test_a_story_is_told_in_a_form_and_confirmed_as_a_whole(
    open_lane: Callable[..., Any],
) -> None:
    lane: Lane = await open_lane(limits={"confirm_above_usd": 0.2})
    view = await form(lane, "story --ar 9:16")
    assert "Each shot: " in view.plain
    for told, says in (("  \n ", "is empty"), ("one", "two shots"), ("a\n" * 13, "at most 12")):
        refused = await lane.ana.submit(view, {SHOTS: told})
        assert says in refused.errors[SHOTS]
    assert await all_jobs(lane) == []
    sent = await lane.ana.submit(view, {SHOTS: "a fox wakes\n\n it runs --loop \n"})
    assert sent.closed
    status = await lane.status("Make it?")
    assert status.buttons == ["Confirm", "Cancel"]
    [film] = await all_jobs(lane)
    assert isinstance(film.work, StoryWork)
    assert film.work.shots == ("a fox wakes", "it runs --loop")
    assert film.work.aspect_ratio == "9:16"
    await lane.ana.click(status, "Confirm")
    await lane.hurry(lambda: status.buttons == ["Cancel"])
    assert "a fox wakes" in status.plain


async def test_a_typed_story_goes_without_a_form(open_lane: Callable[..., Any]) -> None:
    lane: Lane = await open_lane(limits={"confirm_above_usd": 0.2})
    await lane.ana.slash("/ray", "story a fox wakes | it runs", lane.general)
    await lane.status("Make it?")
    image = await lane.ben.say("look", lane.general, files=[("fox.png", b"x", "image/png")])
    mention = f"{lane.team.mention} story\na wolf wakes\nit runs"
    await lane.ana.say(mention, lane.general, thread=image)
    await lane.slack.wait_for(
        lambda: any(each.thread_ts == image.ts for each in lane.slack.posted(lane.general))
    )
    assert {job.work.kind for job in await all_jobs(lane)} == {"story"}
    await lane.ana.say(f"{lane.team.mention} story", lane.general)
    await lane.ana.wait_ephemeral(lambda each: "The story is empty" in each.plain)
    # Who has only begun to write one is asked for the rest.
    await form(lane, "story")


def test_the_form_of_a_story_is_one_that_slack_takes() -> None:
    view = story_view((), (), Place(channel="D1"), Draft(shots=()))
    check_view(view)
    assert view["callback_id"] == STORY
    filled = {**view, "state": {"values": {SHOTS: {SHOTS: {"value": "a fox|it runs"}}}}}
    assert read_story(filled).draft == Draft(shots=("a fox", "it runs"))
    assert story_errors({"callback_id": "other"}, lambda _: None) == {}


async def shots_of(house: House, film: Job) -> list[Job]:
    """Its shots, those that were made again too, as they were asked for."""
    found = await house.app.database.read(lambda conn: stories.every(conn, film.id))
    return sorted(found, key=lambda each: (each.retry_of is not None, each.created_at))


async def test_a_shot_is_made_again_once_where_the_click_is_carried_out_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Inbox, adapter: str, key: str) -> None:
        raise StoreError("Not now.")

    async with town.lane() as lane:
        for _ in range(2):
            lane.house.simulator.faults.fail("It broke")
        await lane.ana.slash("/ray", "story a fox wakes | it runs", lane.general)
        asks = await lane.status("Redo makes this shot again")
        [film] = [job for job in await all_jobs(lane) if job.is_film]
        monkeypatch.setattr(Inbox, "done", never)
        await lane.ana.click(asks, "Redo")
        await lane.hurry(lambda: len(lane.house.simulator.generations) == 2)
        *_, again = await shots_of(lane.house, film)
        await lane.house.until(again.id, JobState.FAILED)
        monkeypatch.undo()
    async with town.lane() as lane:
        while await lane.house.studio.inbox.undone("slack"):
            await asyncio.sleep(0.02)
        assert len(await shots_of(lane.house, film)) == 3
        assert len(lane.house.simulator.generations) == 2
        await lane.house.check_books()
