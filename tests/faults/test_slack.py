"""Slack out of reach: its Web API, its sockets, its doors for files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.job import JobState
from tests.adapters.slack.conftest import Community, LocalSlack, local_slack, slack
from tests.fakes import until
from tests.faults.outages import MOST_OF_A_CORE, before, finish_all, readiness, spin, through
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.slack import PING_SECONDS, asked, community_of, lead
from tests.slack_server import SlackServer

__all__ = ["local_slack", "slack"]


@pytest.fixture
async def wire(slack: SlackServer) -> AsyncIterator[FaultProxy]:
    async with before(slack.base_url) as proxy:
        lead(slack, lambda url: through(proxy, url))
        yield proxy


@pytest.fixture
async def community(local_slack: LocalSlack, wire: FaultProxy) -> AsyncIterator[Community]:
    async with community_of(local_slack) as opened:
        yield opened


async def test_an_hour_without_slack(community: Community, wire: FaultProxy) -> None:
    assert (await readiness(community.bot))[1]["troubles"] == {}
    job_id = await asked(community, "a fox")
    await wire.break_("refuse")
    await finish_all(community.bot.simulator)
    await community.bot.until(job_id, JobState.DELIVERING)
    for _ in range(30):
        community.later(minutes=2)
        await asyncio.sleep(0.02)
    status, said = await readiness(community.bot)
    assert (status, said["problems"]) == (200, {})
    assert "not connected to Slack" in said["troubles"]["slack"]
    assert await spin() < MOST_OF_A_CORE
    await wire.mend()
    # At the pace of what follows, who takes a moment to connect is given up again and again.
    await until(lambda: community.slack.line.sockets)
    await community.hurry(community.clips, seconds=20)
    await community.bot.delivered(job_id)
    second = await asked(community, "two foxes")
    await finish_all(community.bot.simulator)
    await community.bot.delivered(second)
    assert len(community.clips()) == len(community.bot.simulator.generations) == 2
    await community.hurry(lambda: community.bot.app._adapters["slack"].trouble is None)
    assert (await readiness(community.bot))[1]["troubles"] == {}
    await community.bot.check_books()


async def test_a_socket_that_fell_silent_is_left(community: Community, wire: FaultProxy) -> None:
    [old] = community.slack.line.sockets
    await wire.break_("half-open")
    # Slack hears of it with the next ping, and the bot once several had no answer.
    await until(lambda: old not in community.slack.line.sockets)
    await asyncio.sleep(PING_SECONDS * 6)
    await wire.mend()
    # Who takes a second to connect is not given up meanwhile.
    await community.hurry(lambda: community.slack.line.sockets, seconds=1)
    assert old not in community.slack.line.sockets
    job_id = await asked(community, "a fox")
    await finish_all(community.bot.simulator)
    await community.bot.delivered(job_id)
    assert len(community.clips()) == 1


async def test_a_clip_whose_way_breaks_arrives_once(
    community: Community, wire: FaultProxy
) -> None:
    ways: tuple[tuple[Fault, str], ...] = (
        ("lose", "POST /upload/"),
        ("lose", "POST /api/files.completeUploadExternal"),
        ("truncate", "POST /api/files.completeUploadExternal"),
    )
    for number, (fault, door) in enumerate(ways, start=1):
        job_id = await asked(community, f"{number} foxes")
        wire.calls.clear()
        await wire.break_(fault, only=door)
        await finish_all(community.bot.simulator)
        async with asyncio.timeout(30):
            while not any(each.startswith(door) for each in wire.calls):
                await asyncio.sleep(0.01)
        for _ in range(12):
            community.later(seconds=10)
            await asyncio.sleep(0.02)
        assert sum(each.startswith(door) for each in wire.calls) <= 10
        await wire.mend()
        await community.hurry(lambda: len(community.clips()) == number, seconds=20)  # noqa: B023 - awaited
        await community.bot.delivered(job_id)
    assert len(community.clips()) == len(ways)
    await community.bot.check_books()
