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
from bot.job import Job, JobState
from bot.request import StoryWork
from bot.store import stories
from bot.studio.inbox import Inbox
from tests.adapters.slack.block_rules import check_blocks, check_view
from tests.adapters.slack.conftest import Community, LocalSlack
from tests.adapters.slack.test_deeds import all_jobs
from tests.conftest import RunningBot
from tests.slack_server import View


async def form(community: Community, typed: str) -> View:
    return await (await community.ana.slash("/ray", typed, community.general)).wait_view()


async def test_a_story_is_told_in_a_form_and_confirmed_as_a_whole(
    open_community: Callable[..., Any],
) -> None:
    community: Community = await open_community(limits={"confirm_above_usd": 0.2})
    view = await form(community, "story --ar 9:16")
    assert "Each shot: " in view.plain
    for told, says in (("  \n ", "is empty"), ("one", "two shots"), ("a\n" * 13, "at most 12")):
        refused = await community.ana.submit(view, {SHOTS: told})
        assert says in refused.errors[SHOTS]
    assert await all_jobs(community) == []
    sent = await community.ana.submit(view, {SHOTS: "a fox wakes\n\n it runs --loop \n"})
    assert sent.closed
    status = await community.status("Make it?")
    assert status.buttons == ["Confirm", "Cancel"]
    [film] = await all_jobs(community)
    assert isinstance(film.work, StoryWork)
    assert film.work.shots == ("a fox wakes", "it runs --loop")
    assert film.work.aspect_ratio == "9:16"
    community.bot.simulator.faults.slow(100_000, times=2)
    await community.ana.click(status, "Confirm")
    await community.hurry(lambda: status.buttons == ["Cancel"])
    assert "a fox wakes" in status.plain


async def test_a_story_that_a_list_refuses_has_no_button_that_leads_nowhere(
    open_community: Callable[..., Any],
) -> None:
    community: Community = await open_community(moderation={"blocked_words": ["clown"]})
    asked = await community.ana.slash("/ray", "a clown --still", community.general)
    await asked.wait_said(lambda text: "Something in your words" in text)
    assert asked.messages[-1].buttons == ["Edit and retry"]
    asked = await community.ana.slash("/ray", "story a fox | a clown", community.general)
    await asked.wait_said(lambda text: "Something in your words" in text)
    assert asked.messages[-1].buttons == []


async def test_who_wrote_a_story_that_is_refused_gets_it_back(
    open_community: Callable[..., Any],
) -> None:
    community: Community = await open_community(moderation={"blocked_words": ["clown"]})
    told = "a *fox* wakes\na clown <!here> comes"
    assert (await community.ana.submit(await form(community, "story"), {SHOTS: told})).closed
    refused = await community.ana.wait_ephemeral(lambda each: "Something in your" in each.plain)
    check_blocks(refused.blocks)
    *_, kept = refused.blocks
    [block] = kept["elements"]
    assert (block["type"], block["elements"]) == (
        "rich_text_preformatted",
        [{"type": "text", "text": told}],
    )
    other = await community.ana.slash("/ray", "a clown", community.general)
    assert "What you wrote" not in await other.wait_said(lambda text: "Something in" in text)


async def test_who_typed_a_story_that_is_refused_gets_it_back(
    open_community: Callable[..., Any],
) -> None:
    community: Community = await open_community(moderation={"blocked_words": ["clown"]})
    ana, ben, general = community.ana, community.ben, community.general
    for typed, says, kept in (
        (
            f"story {ben.mention} *wakes* | a clown &lt;!here&gt; comes --ar 9:16",
            "Something in your words",
            "/ray story Ben *wakes* | a clown <!here> comes --ar 9:16",
        ),
        ("story\na fox\nit runs --seed 4", "other tools", "/ray story\na fox\nit runs --seed 4"),
        ('story "a fox"', "two shots or more", '/ray story "a fox"'),
    ):
        asked = await ana.slash("/ray", typed, general)
        await asked.wait_said(lambda text, says=says: says in text)  # type: ignore[misc]
        refused = asked.messages[-1]
        assert refused.seen_by == ana.id
        check_blocks(refused.blocks)
        [block] = refused.blocks[-1]["elements"]
        assert (block["type"], block["elements"]) == (
            "rich_text_preformatted",
            [{"type": "text", "text": kept}],
        )
    await community.hurry(lambda: community.slack.posted(general) == [])
    other = await ana.slash("/ray", "story of a clown", general)
    assert "What you wrote" not in await other.wait_said(lambda text: "Something in" in text)


async def test_a_typed_story_goes_without_a_form(open_community: Callable[..., Any]) -> None:
    community: Community = await open_community(limits={"confirm_above_usd": 0.2})
    await community.ana.slash("/ray", "story a fox wakes | it runs", community.general)
    await community.status("Make it?")
    image = await community.ben.say(
        "look", community.general, files=[("fox.png", b"x", "image/png")]
    )
    mention = f"{community.team.mention} story\na wolf wakes\nit runs"
    await community.ana.say(mention, community.general, thread=image)
    await community.slack.wait_for(
        lambda: any(
            each.thread_ts == image.ts for each in community.slack.posted(community.general)
        )
    )
    assert {job.work.kind for job in await all_jobs(community)} == {"story"}
    await community.ana.say(f"{community.team.mention} story", community.general)
    await community.ana.wait_ephemeral(lambda each: "The story is empty" in each.plain)
    # Who has only begun to write one is asked for the rest.
    await form(community, "story")


def test_the_form_of_a_story_is_one_that_slack_takes() -> None:
    view = story_view((), (), Place(channel="D1"), Draft(shots=()))
    check_view(view)
    assert view["callback_id"] == STORY
    filled = {**view, "state": {"values": {SHOTS: {SHOTS: {"value": "a fox|it runs"}}}}}
    assert read_story(filled).draft == Draft(shots=("a fox", "it runs"))
    assert story_errors({"callback_id": "other"}, lambda _: None) == {}


async def shots_of(bot: RunningBot, film: Job) -> list[Job]:
    """Its shots, those that were made again too, as they were asked for."""
    found = await bot.app.database.read(lambda conn: stories.every(conn, film.id))
    return sorted(found, key=lambda each: (each.retry_of is not None, each.created_at))


async def test_a_shot_is_made_again_once_where_the_click_is_carried_out_twice(
    local_slack: LocalSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Inbox, adapter: str, key: str) -> None:
        raise StoreError("Not now.")

    async with local_slack.community() as community:
        for _ in range(2):
            community.bot.simulator.faults.fail("It broke")
        await community.ana.slash("/ray", "story a fox wakes | it runs", community.general)
        asks = await community.status("Redo makes this shot again")
        [film] = [job for job in await all_jobs(community) if job.is_film]
        monkeypatch.setattr(Inbox, "done", never)
        await community.ana.click(asks, "Redo")
        await community.hurry(lambda: len(community.bot.simulator.generations) == 2)
        *_, again = await shots_of(community.bot, film)
        await community.bot.until(again.id, JobState.FAILED)
        monkeypatch.undo()
    async with local_slack.community() as community:
        while await community.bot.studio.inbox.undone("slack"):
            await asyncio.sleep(0.02)
        assert len(await shots_of(community.bot, film)) == 3
        assert len(community.bot.simulator.generations) == 2
        await community.bot.check_books()
