"""What the fault tests share: a bot behind broken wires, time that runs, and calls counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bot.config import Config
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Simulator
from bot.store.sqlite import sqlite_path
from bot.wiring.startup import database_url
from tests.conftest import RunningBot
from tests.faults.proxy import FaultProxy

#: Long enough for a call on loopback, short enough to wait for one that is never answered.
PATIENCE = 0.3
IMPATIENT: dict[str, Any] = {
    "connect_timeout_seconds": PATIENCE,
    "read_timeout_seconds": PATIENCE,
    "submit_timeout_seconds": PATIENCE,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an outage cost, and how all came out."""

    calls: int
    posts: int
    recovered: float
    generations: int
    clips: int
    broken_rules: int

    @property
    def is_good(self) -> bool:
        """Each of the two jobs was paid once and delivered once."""
        return (self.generations, self.clips, self.broken_rules) == (2, 2, 0)


def before(url: str) -> FaultProxy:
    """A proxy before the server at this address."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return FaultProxy(parts.hostname, parts.port)


def through(proxy: FaultProxy, url: str, *, scheme: str = "") -> str:
    """The same address by way of the proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=proxy.address, scheme=scheme or parts.scheme).geturl()


def book_of(config: Config) -> Path:
    """The file of the bot's SQLite database."""
    return sqlite_path(database_url(config))


def provider_calls(bot: RunningBot, method: str = "") -> int:
    """So many HTTP requests the bot has made to its providers, answered or not."""
    [counted] = bot.app._metrics.provider_requests.collect()
    return int(
        sum(
            each.value
            for each in counted.samples
            if each.name.endswith("_total") and method in each.labels["method"]
        )
    )


async def pass_time(
    bot: RunningBot, *, seconds: float, step: float = 4.0, moment: float = 0.005
) -> None:
    """Let this much of the bot's time pass, in steps that leave it a moment to act."""
    for _ in range(round(seconds / step)):
        bot.clock.move(seconds=step)
        await asyncio.sleep(moment)


async def hurry(bot: RunningBot, look: Callable[[], Any]) -> None:
    """Let time pass until this is so."""
    async with asyncio.timeout(15):
        while not look():
            await pass_time(bot, seconds=4, moment=0.03)


async def until(bot: RunningBot, job_id: JobId, *states: JobState) -> None:
    """Let time pass until the job has come to this."""
    async with asyncio.timeout(15):
        while (await bot.job(job_id)).state not in states:
            await pass_time(bot, seconds=4, moment=0.03)


async def spin() -> float:
    """The share of one core that all of us use at rest, while the bot's clock stands still."""
    shares = []
    for _ in range(3):
        began = time.process_time()
        await asyncio.sleep(0.1)
        shares.append((time.process_time() - began) / 0.1)
    return min(shares)


async def readiness(bot: RunningBot) -> tuple[int, dict[str, Any]]:
    """What a look at `/readyz` says."""
    async with (
        aiohttp.ClientSession(bot.app._web.private_address) as session,
        session.get("/readyz") as answer,
    ):
        return answer.status, await answer.json()


async def finish_all(simulator: Simulator) -> None:
    """Let every generation be done."""
    for generation in list(simulator.generations.values()):
        if not generation.is_over:
            await simulator.finish(generation.id)
