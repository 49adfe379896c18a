"""Acknowledgements in Slack while many jobs run: from a command to its acknowledged envelope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Self

from adapters.slack import Settings, create
from bench.children import Partner
from bench.figures import Figure, percentile
from bench.program import scratch, to_bench_config
from bench.service import Account, Service
from bot.app import App
from bot.clock import SystemClock
from bot.log import setup_logging
from tests.slack_server import Asked, Person, SlackServer, Team

PEOPLE = 50
RATE = 50.0
SOCKETS = 2
RUN_SECONDS = 200.0
START_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the local Slack is, the two tokens, and the workspace that is served."""

    api_base_url: str
    file_host: str
    bot_token: str
    app_token: str
    workspace: str

    @classmethod
    def of(cls, server: SlackServer, team: Team) -> Self:
        """That of a server which listens."""
        return cls(
            api_base_url=server.api_base_url,
            file_host=server.file_host,
            bot_token=team.bot_token,
            app_token=server.app_token,
            workspace=team.id,
        )


def run_lane(pipe: Connection, running: int, seconds: float) -> None:
    """The local Slack: start so many jobs, then ask at a steady rate.

    Sends its address, then for each command of the second part the seconds until it was
    acknowledged; ends when it is told to.
    """
    asyncio.run(_run_lane(pipe, running, seconds))


async def _run_lane(pipe: Connection, running: int, seconds: float) -> None:
    server = SlackServer()
    await server.start()
    try:
        team = server.team("Foxes")
        people = []
        for number in range(PEOPLE):
            person = server.person(f"Person {number}", team)
            server.channel(team, f"channel-{number}", members=[person])
            people.append(person)
        pipe.send(Address.of(server, team))
        await server.wait_connected(SOCKETS, seconds=START_SECONDS)
        await _ask(people, running)
        await server.wait_acked(seconds=RUN_SECONDS)
        # Each has its status message before it costs anything, and is at the service right after.
        await server.wait_request("chat.postMessage", running, seconds=RUN_SECONDS)
        measured = await _ask(people, round(RATE * seconds))
        await server.wait_acked(seconds=RUN_SECONDS)
        pipe.send([_waited(each) for each in measured])
        await asyncio.to_thread(pipe.recv)
    finally:
        await server.stop()


async def _ask(people: Sequence[Person], count: int) -> list[Asked]:
    """So many commands, one after the other at the rate, whoever has been answered."""
    asked = []
    due = perf_counter()
    for number in range(count):
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - perf_counter()))
        person = people[number % len(people)]
        asked.append(await person.slash("/ray", f"a red fox, number {number}", seconds=0))
    return asked


def _waited(asked: Asked) -> float:
    (envelope,) = asked.envelopes
    assert envelope.acked_at is not None
    return (envelope.acked_at - envelope.sent_at).total_seconds()


def run_bot(pipe: Connection, url: str, address: Address) -> None:
    """The true program with its Slack adapter, until it is told to end."""
    asyncio.run(_run_bot(pipe, url, address))


async def _run_bot(pipe: Connection, url: str, address: Address) -> None:
    async with bot_at(address, url):
        await asyncio.to_thread(pipe.recv)


@asynccontextmanager
async def bot_at(address: Address, url: str) -> AsyncIterator[None]:
    """Run the true program with its Slack adapter while the block runs."""
    setup_logging("error")
    settings = Settings.model_validate(
        {
            "bot_token": address.bot_token,
            "app_token": address.app_token,
            "api_base_url": address.api_base_url,
            "file_hosts": address.file_host,
            "connections": SOCKETS,
        }
    )
    with scratch() as folder:
        config = to_bench_config(
            Path(folder), url, running=10_000, workspaces=(address.workspace,)
        )
        stop = asyncio.Event()
        async with (
            App(
                config, {"slack": lambda studio: create(settings, studio, clock=SystemClock())}
            ) as app,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(app.run(stop))
            try:
                yield
            finally:
                stop.set()


def acknowledging(*, is_quick: bool) -> list[Figure]:
    """Commands at a steady rate beside as many running jobs as asked for."""
    running, seconds = (200, 5.0) if is_quick else (1000, 15.0)
    with Service([Account(min_seconds=90, max_seconds=120, full_size=False)]) as service:
        lane = Partner(run_lane, running, seconds)
        partners = [lane]
        try:
            address = lane.hear(START_SECONDS)
            partners.insert(0, Partner(run_bot, service.urls[0], address))
            waited: list[float] = lane.hear(RUN_SECONDS)
        finally:
            for each in partners:
                each.end()
    middle, high = (percentile(waited, each) * 1000 for each in (50, 99))
    return [
        Figure(
            name=f"acknowledging {RATE:.0f} commands a second in Slack, {running:,} running",
            goal="p99 < 500 ms",
            measured=f"p50 {middle:.0f} ms, p99 {high:.0f} ms",
            remark=f"{len(waited)} commands over {SOCKETS} sockets, as the local Slack sees them; "
            "each is kept on disk first; its limit is 3 s",
            is_reached=high < 500,
        )
    ]
