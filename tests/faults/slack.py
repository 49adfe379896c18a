"""Slack out of order for ten minutes of the bot's clock, one fault at a time.

Its Web API, its doors for files and its sockets are behind one wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp

from adapters.slack import create
from adapters.slack.listener import Slack
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator
from bot.studio import Studio
from tests.adapters.slack.conftest import Community, LocalSlack
from tests.conftest import MANUAL, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.chats import Scene, nothing, to_row
from tests.faults.outages import Allowed
from tests.faults.reach import BY_ADDRESS, ON_THE_WIRE, Reach, Way, reached
from tests.slack_server import SlackServer

TIMES = 100_000
#: A ping every ten seconds would be a long time for a test.
PING_SECONDS = 0.2
#: A post is tried again after a minute at most, and each try looks for the one before.
ALLOWED = Allowed(party="slack", calls=30, posts=15, seconds=150)


def lead(slack: SlackServer, to: Callable[[str], str]) -> None:
    """What it tells its clients of itself leads there from now on."""
    for each in (slack, slack.payloads, slack.files, slack.answers, slack.line):
        each.base_url = to(each.base_url)


@asynccontextmanager
async def community_of(local_slack: LocalSlack) -> AsyncIterator[Community]:
    """Run a bot there that soon finds out that its socket has fallen silent."""
    config = to_test_config(
        local_slack.folder, local_slack.simulator, access={"workspaces": [local_slack.team.id]}
    )

    def open_slack(studio: Studio) -> Slack:
        adapter = create(local_slack.settings(), studio, clock=local_slack.clock)
        adapter._session._ping_seconds = PING_SECONDS
        return adapter

    async with running(
        config, local_slack.simulator, RecordingAdapter(), local_slack.clock, slack=open_slack
    ) as bot:
        await local_slack.slack.wait_connected(1)
        yield Community(
            local_slack.slack,
            local_slack.team,
            local_slack.general,
            local_slack.ana,
            local_slack.ben,
            bot,
        )


async def asked(community: Community, prompt: str) -> JobId:
    """A job that generates."""
    known = len(community.bot.simulator.generations)
    async with asyncio.timeout(30):
        # A socket that fell silent is noticed late on a busy machine; who reads that asks again.
        while not (
            await community.ana.slash("/ray", prompt, community.general, seconds=3)
        ).is_acked:
            await asyncio.sleep(PING_SECONDS)
    await community.bot.simulator.wait_for_creates(known + 1)
    [*_, found] = await community.bot.app.database.read(
        lambda conn: conn.exec_driver_sql("SELECT id FROM jobs ORDER BY created_at").all()
    )
    await community.bot.until(JobId(found[0]), JobState.GENERATING)
    return JobId(found[0])


@asynccontextmanager
async def house(
    folder: Path, *, scheme: str, host: str
) -> AsyncIterator[tuple[LocalSlack, Reach]]:
    """A workspace with two people, and a way to Slack."""
    clock = MovableClock()
    async with (
        Simulator(MANUAL, Faults()) as simulator,
        SlackServer(clock) as slack,
        reached(folder, slack.base_url, scheme=scheme, host=host) as reach,
    ):
        lead(slack, reach.to)
        team = slack.team("Foxes")
        ana, ben = (slack.person(name, team) for name in ("Ana", "Ben"))
        general = slack.channel(team, "general", members=[ana, ben])
        yield LocalSlack(folder, simulator, clock, slack, team, general, ana, ben), reach


@asynccontextmanager
async def scene(folder: Path, *, scheme: str, host: str) -> AsyncIterator[Scene]:
    """A bot that serves a workspace."""
    async with (
        house(folder, scheme=scheme, host=host) as (local_slack, reach),
        community_of(local_slack) as community,
    ):
        yield to_scene(community, reach)


def to_scene(community: Community, reach: Reach) -> Scene:
    """How a bot behind this way is asked, and what Slack can begin to say to it."""
    adapter, faults = community.bot.app._adapters["slack"], community.slack.faults
    assert isinstance(adapter, Slack)
    sessions = {each: each.timeout for each in adapter.clients._sessions.values()}

    def wait(seconds: float | None) -> None:
        for each, usual in sessions.items():
            each._timeout = usual if seconds is None else aiohttp.ClientTimeout(total=seconds)

    def forget_names() -> None:
        for each in sessions:
            assert isinstance(each.connector, aiohttp.TCPConnector)
            each.connector.clear_dns_cache()

    line, cut_off = community.slack.line, list[object]()

    def answer_well() -> None:
        faults.clear()
        # Mending cuts what is open, and Slack may take a moment to see that.
        cut_off.extend(line.sockets)

    async def ask(prompt: str) -> JobId:
        await community.hurry(
            lambda: [each for each in line.sockets if each not in cut_off], seconds=2
        )
        return await asked(community, prompt)

    many = partial(faults.fail, "*", "ratelimited", status=429, retry_after=30, times=TIMES)
    page = partial(faults.answer, "*", "<html>", status=503, content_type="text/html", times=TIMES)
    return Scene(
        community=community,
        reach=reach,
        clips=community.clips,
        ask=ask,
        wait=wait,
        forget_names=forget_names,
        answers={"503": page, "429": many},
        answer_well=answer_well,
    )


WAYS = (*ON_THE_WIRE, *(Way(name=each, begin=nothing) for each in ("503", "429")), *BY_ADDRESS)
ROWS = tuple(
    # Whose wire is slow is heard all the same.
    to_row("Slack", scene, each, replace(ALLOWED, is_named=None if each.name == "slow" else True))
    for each in WAYS
)
