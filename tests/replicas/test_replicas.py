"""A sample of `python -m tests.replicas`: of two true processes one is killed under load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from adapters.slack.events import SlackEvent
from bot.store.postgres import postgres_url
from tests.replicas import shards, stories
from tests.replicas.cluster import Cluster, cluster
from tests.replicas.stories import Told, ready, under_load

_LEFT = text(
    "INSERT INTO inbox (adapter, key, payload, received_at, held_by)"
    " VALUES ('slack', :key, :payload, now(), 'one that died')"
)
_ORDERED = text("SELECT count(*) FROM jobs WHERE generation_id IS NOT NULL")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as found:
        yield found


@pytest.mark.timeout(180)
async def test_one_is_killed_and_another_one_stopped_under_load(place: Cluster) -> None:
    """The roles, the jobs and what was left in the inbox go to those who live."""
    told = Told(story="")
    await ready(place, 2)
    async with under_load(place, told, 8):
        await asyncio.sleep(1)
        await stories.kill(place, told, await place.fleet.wait_holder(stories.GATEWAY))
        left = await _leave(place)
        [third] = await place.fleet.start()
        await place.fleet.living[0].stop()
        assert await place.fleet.wait_holder(stories.GATEWAY) is third
        await place.slack.wait_message(place.general, lambda each: left in each.plain, seconds=60)
    assert told.wrong == []
    code, said = await place.fleet.raybot("resolve", "r-0000000000", "release")
    assert (code, said) == (1, "raybot: There is no job r-0000000000.\n")
    assert third.is_alive


async def _leave(place: Cluster) -> str:
    """What a process kept and acknowledged, just before it died; returns its words."""
    ana = place.slack_people[0]
    words = "fox number 99 in snow"
    heard = SlackEvent(
        kind="command",
        key=f"slack:{ana.team.id}:left",
        text=words,
        workspace=ana.team.id,
        user=ana.id,
        channel=place.general.id,
    )
    row = {"key": heard.key, "payload": json.dumps(heard.model_dump(mode="json"))}
    engine = create_engine(postgres_url(place.database))
    with engine.begin() as conn:
        conn.execute(_LEFT, row)
    engine.dispose()
    return words


@pytest.mark.timeout(180)
async def test_who_listens_to_a_shard_is_followed_by_who_stands_by_for_it(tmp_path: Path) -> None:
    """What runs meanwhile comes once, and the other shard's people notice nothing."""
    async with cluster(tmp_path, shards=shards.SHARDS) as place:
        told = Told(story="")
        last = await shards.start(place, 1, 2)
        async with shards.undisturbed(place, told):
            place.luma.faults.slow(3.0, times=4)
            await place.ask(4, pause=0.0)
            async with asyncio.timeout(60):
                while await place.read(_ordered) < 4:
                    await asyncio.sleep(0.05)
            await shards.replace(place, told, last)
            await place.ask(4, pause=0.0)
            told.wrong += await place.settled()
        told.wrong += await place.wrong()
        told.wrong += await shards.asked_in_private(place, times=1)
    assert told.wrong == []


def _ordered(conn: Connection) -> int:
    return int(conn.execute(_ORDERED).scalar_one())
