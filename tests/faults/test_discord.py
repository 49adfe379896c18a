"""Discord out of reach, for a moment and for an hour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import discord
import pytest

from adapters.discord.delivery import Delivery
from adapters.discord.session import Session
from bot.job import JobState
from bot.refs import JobId
from tests.adapters.discord.conftest import Community, LocalDiscord, discord_server, local_discord
from tests.adapters.discord.test_session import Line, line
from tests.discord_server import DiscordServer
from tests.faults.outages import MOST_OF_A_CORE, PATIENCE, before, readiness, spin, through
from tests.faults.proxy import FaultProxy

__all__ = ["discord_server", "line", "local_discord"]


@pytest.fixture
async def wire(discord_server: DiscordServer) -> AsyncIterator[FaultProxy]:
    async with before(discord_server.base_url) as proxy:
        # What it tells its clients of itself leads by the same wire.
        gateway = discord_server.gateway
        gateway.url = discord_server.account.gateway_url = through(proxy, gateway.url)
        yield proxy


@pytest.fixture
async def community(local_discord: LocalDiscord, wire: FaultProxy) -> AsyncIterator[Community]:
    there = {"api_base_url": through(wire, local_discord.discord.api_base_url)}
    async with local_discord.community(there) as opened:
        yield opened


async def asked(community: Community, prompt: str = "a red fox") -> JobId:
    """A job that generates, with its status message in place."""
    known = len(community.bot.simulator.generations)
    interaction = await community.ana.slash("ray create", community.general, prompt=prompt)
    await community.ana.answer(interaction)
    await community.bot.simulator.wait_for_creates(known + 1)
    [*_, found] = await community.bot.app.database.read(
        lambda conn: conn.exec_driver_sql("SELECT id FROM jobs ORDER BY created_at").all()
    )
    job_id = JobId(found[0])
    await community.bot.until(job_id, JobState.GENERATING)
    await community.discord.wait_message(community.general, lambda each: job_id in each.content)
    return job_id


async def test_an_hour_without_discord(community: Community, wire: FaultProxy) -> None:
    assert (await readiness(community.bot))[1]["troubles"] == {}
    job_id = await asked(community)
    await wire.break_("refuse")
    await wire.cut()
    [*_, generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    await community.bot.until(job_id, JobState.DELIVERING)
    for _ in range(30):
        community.later(minutes=2)
        await asyncio.sleep(0.02)
    status, said = await readiness(community.bot)
    assert (status, said["problems"]) == (200, {})
    assert "not connected to Discord" in said["troubles"]["discord"]
    assert await spin() < MOST_OF_A_CORE
    await wire.mend()
    await community.hurry(lambda: community.clips(), seconds=20)
    await community.bot.delivered(job_id)
    # One that Discord alone knows of may just be given up, with those before it.
    adapter = community.bot.app._adapters["discord"]
    await community.hurry(lambda: adapter.trouble is None, seconds=5)
    second = await asked(community, "two foxes")
    # Now it is Discord's REST alone that takes what is posted, and says nothing.
    delivery = community.bot.app._adapters["discord"]
    assert isinstance(delivery, Delivery)
    delivery._patience = PATIENCE
    await wire.break_("drop", only="/messages")
    [*_, generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    await community.bot.until(second, JobState.DELIVERING)
    for _ in range(4):
        community.later(minutes=2)
        await asyncio.sleep(PATIENCE)
    assert len(community.clips()) == 1
    await wire.mend()
    await community.hurry(lambda: len(community.clips()) == 2)
    await community.bot.delivered(second)
    assert len(community.clips()) == 2
    assert (await readiness(community.bot))[1]["troubles"] == {}
    await community.bot.check_books()


def heard_of(session: Session) -> str:
    """What its operator would hear of the session; "" while all is well."""
    return session.trouble or ""


async def test_a_gateway_that_fell_silent_is_left(line: Line, wire: FaultProxy) -> None:
    line.discord.gateway.heartbeat_seconds = 0.1

    async def connect(client: discord.Client, token: str) -> None:
        client._connection.heartbeat_timeout = 0.5  # Discord's own minute is discord.py's affair.
        await client.start(token)

    there = {"api_base_url": through(wire, line.discord.api_base_url), "connect": connect}
    async with line.open(gateway_url=line.discord.gateway_url, **there) as session:
        await line.discord.wait_connected()
        await line.heard("hello")
        assert not heard_of(session)
        await wire.break_("half-open")
        async with asyncio.timeout(30):
            while not heard_of(session):
                await asyncio.sleep(0.05)
        assert await spin() < MOST_OF_A_CORE
        await wire.mend()
        await line.hurry(lambda: line.discord.gateway.connected)
        await line.heard("hello again")
        assert not heard_of(session)
