"""Acknowledgements in Discord while many jobs run: from a command to its deferred answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

from adapters.discord import Settings, create
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
from tests.discord_server import DiscordServer, Interaction, Person

GUILD = 4242


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the local Discord is, and the bot's token."""

    api_base_url: str
    gateway_url: str
    token: str

    @classmethod
    def of(cls, server: DiscordServer) -> Self:
        """That of a server which listens."""
        return cls(
            api_base_url=server.api_base_url, gateway_url=server.gateway_url, token=server.token
        )


def run_chat(pipe: Connection, running: int, seconds: float) -> None:
    """The local Discord: start so many jobs, then ask at a steady rate.

    Sends its address, then for each command of the second part the seconds until it was
    acknowledged; ends when it is told to.
    """
    asyncio.run(_run_chat(pipe, running, seconds))


async def _run_chat(pipe: Connection, running: int, seconds: float) -> None:
    server = DiscordServer()
    await server.start()
    try:
        guild = server.guild("Foxes", guild_id=GUILD)
        people = [server.person(f"Person {number}", guild) for number in range(PEOPLE)]
        pipe.send(Address.of(server))
        await server.wait_connected(seconds=START_SECONDS)
        await server.wait_for(lambda: server.commands.all(), START_SECONDS)
        first = await steady.ask(people, running, _act)
        await server.wait_for(lambda: all(each.answered_at for each in first), RUN_SECONDS)
        measured = await steady.ask(people, round(RATE * seconds), _act)
        await server.wait_for(lambda: all(each.answered_at for each in measured), RUN_SECONDS)
        pipe.send([_waited(each) for each in measured])
        await asyncio.to_thread(pipe.recv)
    finally:
        await server.stop()


async def _act(person: Person, prompt: str) -> Interaction:
    return await person.slash("ray create", prompt=prompt)


def _waited(interaction: Interaction) -> float:
    assert interaction.answered_at is not None
    return (interaction.answered_at - interaction.made_at).total_seconds()


def run_bot(pipe: Connection, url: str, address: Address) -> None:
    """The true program with its Discord adapter, until it is told to end."""
    asyncio.run(_run_bot(pipe, url, address))


async def _run_bot(pipe: Connection, url: str, address: Address) -> None:
    async with bot_at(address, url):
        await asyncio.to_thread(pipe.recv)


@asynccontextmanager
async def bot_at(address: Address, url: str) -> AsyncIterator[None]:
    """Run the true program with its Discord adapter while the block runs."""
    setup_logging("error")
    settings = Settings.model_validate(
        {
            "token": address.token,
            "api_base_url": address.api_base_url,
            "gateway_url": address.gateway_url,
            "shard_count": 1,
        }
    )
    with temporary_workspace() as workspace:
        config = to_bench_config(workspace, url, running=10_000, servers=(str(GUILD),))

        def to_adapter(studio: Studio) -> Adapter:
            return create(settings, studio, clock=SystemClock())

        async with steady.bot(config, {"discord": to_adapter}):
            yield


def measure_acknowledgements(options: RunOptions) -> list[Figure]:
    """Commands at a steady rate beside as many running jobs as asked for."""
    return steady.measure_acknowledgements(
        "Discord",
        run_chat,
        run_bot,
        goal=250,
        remark="as the local Discord sees them",
        options=options,
    )
