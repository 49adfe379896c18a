"""Slack out of reach: its Web API, its sockets, its doors for files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.slack import create
from adapters.slack.listener import Slack
from bot.job import JobState
from bot.refs import JobId
from bot.studio import Studio
from tests.adapters.slack.conftest import Lane, Town, slack, town
from tests.conftest import running, to_test_config
from tests.fakes import RecordingAdapter
from tests.faults.kit import before, finish_all, readiness, spin, through
from tests.faults.proxy import Fault, FaultProxy
from tests.slack_server import SlackServer

__all__ = ["slack", "town"]
PING_SECONDS = 0.2


@pytest.fixture
async def wire(slack: SlackServer) -> AsyncIterator[FaultProxy]:
    async with before(slack.base_url) as proxy:
        # What it tells its clients of itself leads by the same wire.
        for each in (slack, slack.payloads, slack.files, slack.answers, slack.line):
            each.base_url = through(proxy, each.base_url)
        yield proxy


@pytest.fixture
async def lane(town: Town, wire: FaultProxy) -> AsyncIterator[Lane]:
    config = to_test_config(town.folder, town.simulator, access={"workspaces": [town.team.id]})

    def open_slack(studio: Studio) -> Slack:
        adapter = create(town.settings(), studio, clock=town.clock)
        # A ping every ten seconds would be a long time for a test.
        adapter._session._ping_seconds = PING_SECONDS
        return adapter

    async with running(
        config, town.simulator, RecordingAdapter(), town.clock, slack=open_slack
    ) as house:
        await town.slack.wait_connected(1)
        yield Lane(town.slack, town.team, town.general, town.ana, town.ben, house)


async def asked(lane: Lane, prompt: str) -> JobId:
    """A job that generates."""
    known = len(lane.house.simulator.generations)
    assert (await lane.ana.slash("/ray", prompt, lane.general)).is_acked
    await lane.house.simulator.wait_for_creates(known + 1)
    [*_, found] = await lane.house.app.database.read(
        lambda conn: conn.exec_driver_sql("SELECT id FROM jobs ORDER BY created_at").all()
    )
    await lane.house.until(JobId(found[0]), JobState.GENERATING)
    return JobId(found[0])


async def test_an_hour_without_slack(lane: Lane, wire: FaultProxy) -> None:
    assert (await readiness(lane.house))[1]["troubles"] == {}
    job_id = await asked(lane, "a fox")
    await wire.break_("refuse")
    await finish_all(lane.house.simulator)
    await lane.house.until(job_id, JobState.DELIVERING)
    for _ in range(30):
        lane.later(minutes=2)
        await asyncio.sleep(0.02)
    status, said = await readiness(lane.house)
    assert (status, said["problems"]) == (200, {})
    assert "not connected to Slack" in said["troubles"]["slack"]
    assert await spin() < 0.5
    await wire.mend()
    await lane.hurry(lane.clips, seconds=20)
    await lane.house.delivered(job_id)
    await lane.hurry(lambda: lane.slack.line.sockets, seconds=5)
    second = await asked(lane, "two foxes")
    await finish_all(lane.house.simulator)
    await lane.house.delivered(second)
    assert len(lane.clips()) == len(lane.house.simulator.generations) == 2
    assert (await readiness(lane.house))[1]["troubles"] == {}
    await lane.house.check_books()


async def test_a_socket_that_fell_silent_is_left(lane: Lane, wire: FaultProxy) -> None:
    [old] = lane.slack.line.sockets
    await wire.break_("half-open")
    await asyncio.sleep(PING_SECONDS * 6)
    await wire.mend()
    await lane.hurry(lambda: lane.slack.line.sockets, seconds=5)
    assert old not in lane.slack.line.sockets
    job_id = await asked(lane, "a fox")
    await finish_all(lane.house.simulator)
    await lane.house.delivered(job_id)
    assert len(lane.clips()) == 1


async def test_a_clip_whose_way_breaks_arrives_once(lane: Lane, wire: FaultProxy) -> None:
    ways: tuple[tuple[Fault, str], ...] = (
        ("lose", "POST /upload/"),
        ("lose", "POST /api/files.completeUploadExternal"),
        ("truncate", "POST /api/files.completeUploadExternal"),
    )
    for number, (fault, door) in enumerate(ways, start=1):
        job_id = await asked(lane, f"{number} foxes")
        wire.calls.clear()
        await wire.break_(fault, only=door)
        await finish_all(lane.house.simulator)
        async with asyncio.timeout(15):
            while not any(each.startswith(door) for each in wire.calls):
                await asyncio.sleep(0.01)
        for _ in range(12):
            lane.later(seconds=10)
            await asyncio.sleep(0.02)
        assert sum(each.startswith(door) for each in wire.calls) <= 10
        await wire.mend()
        await lane.hurry(lambda: len(lane.clips()) == number, seconds=20)  # noqa: B023 - awaited
        await lane.house.delivered(job_id)
    assert len(lane.clips()) == len(ways)
    await lane.house.check_books()
