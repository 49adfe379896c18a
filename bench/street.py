"""Acknowledgements in Discord while many jobs run: from a command to its deferred answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Self

from adapters.discord import Settings, create
from bench.children import Partner
from bench.figures import Figure, percentile
from bench.program import scratch, to_bench_config
from bench.service import Account, Service
from bot.app import App
from bot.clock import SystemClock
from bot.log import setup_logging
from tests.discord_server import DiscordServer, Interaction, Person

GUILD = 4242
PEOPLE = 50
RATE = 50.0
RUN_SECONDS = 200.0
START_SECONDS = 30.0


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


def run_street(pipe: Connection, running: int, seconds: float) -> None:
    """The local Discord: start so many jobs, then ask at a steady rate.

    Sends its address, then for each command of the second part the seconds until it was
    acknowledged; ends when it is told to.
    """
    asyncio.run(_run_street(pipe, running, seconds))


async def _run_street(pipe: Connection, running: int, seconds: float) -> None:
    server = DiscordServer()
    await server.start()
    try:
        guild = server.guild("Foxes", guild_id=GUILD)
        people = [server.person(f"Person {number}", guild) for number in range(PEOPLE)]
        pipe.send(Address.of(server))
        await server.wait_connected(seconds=START_SECONDS)
        await server.wait_for(lambda: server.commands.all(), START_SECONDS)
        first = await _ask(people, running)
        await server.wait_for(lambda: all(each.answered_at for each in first), RUN_SECONDS)
        measured = await _ask(people, round(RATE * seconds))
        await server.wait_for(lambda: all(each.answered_at for each in measured), RUN_SECONDS)
        pipe.send([_waited(each) for each in measured])
        await asyncio.to_thread(pipe.recv)
    finally:
        await server.stop()


async def _ask(people: Sequence[Person], count: int) -> list[Interaction]:
    """So many commands, one after the other at the rate, whoever has been answered."""
    asked = []
    due = perf_counter()
    for number in range(count):
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - perf_counter()))
        person = people[number % len(people)]
        asked.append(await person.slash("ray create", prompt=f"a red fox, number {number}"))
    return asked


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
    with scratch() as folder:
        config = to_bench_config(Path(folder), url, running=10_000, servers=(str(GUILD),))
        stop = asyncio.Event()
        async with (
            App(
                config, {"discord": lambda studio: create(settings, studio, clock=SystemClock())}
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
        street = Partner(run_street, running, seconds)
        partners = [street]
        try:
            address = street.hear(START_SECONDS)
            partners.insert(0, Partner(run_bot, service.urls[0], address))
            waited: list[float] = street.hear(RUN_SECONDS)
        finally:
            for each in partners:
                each.end()
    middle, high = (percentile(waited, each) * 1000 for each in (50, 99))
    return [
        Figure(
            name=f"acknowledging {RATE:.0f} commands a second in Discord, {running:,} running",
            goal="p99 < 250 ms",
            measured=f"p50 {middle:.0f} ms, p99 {high:.0f} ms",
            remark=f"{len(waited)} commands, as the local Discord sees them; its limit is 3 s",
            is_reached=high < 250,
        )
    ]
