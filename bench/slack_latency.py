"""Acknowledgements in Slack while many jobs run: from a command to its acknowledged envelope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

from adapters.slack import Settings, create
from bench import steady
from bench.figures import Figure
from bench.options import RunOptions
from bench.program import to_bench_config
from bench.steady import PEOPLE, RATE, RUN_SECONDS, START_SECONDS
from bench.workspace import temporary_workspace
from bot.clock import SystemClock
from bot.log import setup_logging
from bot.ports import Adapter
from bot.studio import Studio
from tests.slack_server import Asked, Person, SlackServer, Team

SOCKETS = 2


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


def run_chat(pipe: Connection, running: int, seconds: float) -> None:
    """The local Slack: start so many jobs, then ask at a steady rate.

    Sends its address, then for each command of the second part the seconds until it was
    acknowledged; ends when it is told to.
    """
    asyncio.run(_run_chat(pipe, running, seconds))


async def _run_chat(pipe: Connection, running: int, seconds: float) -> None:
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
        await steady.ask(people, running, _act)
        await server.wait_acked(seconds=RUN_SECONDS)
        # Each has its status message before it costs anything, and is at the service right after.
        await server.wait_request("chat.postMessage", running, seconds=RUN_SECONDS)
        measured = await steady.ask(people, round(RATE * seconds), _act)
        await server.wait_acked(seconds=RUN_SECONDS)
        pipe.send([_waited(each) for each in measured])
        await asyncio.to_thread(pipe.recv)
    finally:
        await server.stop()


async def _act(person: Person, prompt: str) -> Asked:
    return await person.slash("/ray", prompt, seconds=0)


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
    with temporary_workspace() as workspace:
        config = to_bench_config(workspace, url, running=10_000, workspaces=(address.workspace,))

        def to_adapter(studio: Studio) -> Adapter:
            return create(settings, studio, clock=SystemClock())

        async with steady.bot(config, {"slack": to_adapter}):
            yield


def measure_acknowledgements(options: RunOptions) -> list[Figure]:
    """Commands at a steady rate beside as many running jobs as asked for."""
    return steady.measure_acknowledgements(
        "Slack",
        run_chat,
        run_bot,
        goal=500,
        remark=f"over {SOCKETS} sockets, as the local Slack sees them; each is kept on disk first",
        options=options,
    )
