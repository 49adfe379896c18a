"""What the fault tests share: time that runs, calls counted, and what an outage may cost."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from bot.config import Config
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Simulator
from bot.store import integrity
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


#: Outages last for ten minutes of the bot's clock, in steps that leave it a moment to act: a call
#: that is never answered, asked twice, is over by then.
STEP, STEPS, MOMENT = 15.0, 40, PATIENCE * 2.5
#: Who rests needs a few hundredths of a core; a loop that goes round in vain takes all of one.
MOST_OF_A_CORE = 0.5
LOOK_SECONDS, PATIENT_LOOKS = 0.1, 50
DATABASE = "database"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How busy the bot is while nothing is to be done, and what `/readyz` says."""

    share: float
    status: int
    problems: frozenset[str]
    troubles: frozenset[str]

    @property
    def named(self) -> frozenset[str]:
        """Whatever is not well."""
        return self.problems | self.troubles


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What an outage of a party may cost: calls and POSTs a minute, and seconds to go on after it.

    `/readyz` has to name the party, or must not; None where either is true.
    """

    party: str
    calls: float
    posts: float
    seconds: float
    is_named: bool | None = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an outage cost, and how all came out."""

    allowed: Allowed
    minutes: float
    calls: int
    posts: int
    recovered: float
    generations: int
    clips: int
    broken_rules: int
    during: Look
    after: Look

    @property
    def wrong(self) -> list[str]:
        """What is not as it has to be; of two jobs each is paid once and delivered once."""
        # Tries follow each other faster at first: that counts as another minute.
        minutes, most = self.minutes + 1, self.allowed
        said = {
            f"{self.generations} generations": self.generations != 2,
            f"{self.clips} clips": self.clips != 2,
            "books that do not hold": self.broken_rules > 0,
            f"{self.calls} calls": self.calls > most.calls * minutes,
            f"{self.posts} POSTs": self.posts > most.posts * minutes,
            f"{self.recovered:.0f} s to go on": self.recovered > most.seconds,
            f"{self.during.share:.0%} of a core": self.during.share >= MOST_OF_A_CORE,
            f"readiness meanwhile: {_told(self.during)}": not self._is_clear,
            f"readiness after it: {_told(self.after)}": _told(self.after) != "200",
        }
        return [words for words, is_so in said.items() if is_so]

    @property
    def _is_clear(self) -> bool:
        """Nobody else is named, and without its database alone the bot takes nothing."""
        party = frozenset({self.allowed.party})
        nobody = frozenset[str]()
        right = {True: {party}, False: {nobody}, None: {party, nobody}}
        kind = self.during.problems if DATABASE in party else self.during.troubles
        is_ready = self.during.status == 200
        return (
            self.during.named in right[self.allowed.is_named]
            and self.during.named == kind
            and is_ready == (not self.during.problems)
        )


def _told(look: Look) -> str:
    return " ".join([str(look.status), *sorted(look.named)])


class Play(Protocol):
    """Brings an outage about, for so many steps."""

    def __call__(self, *, steps: int, moment: float) -> Awaitable[Outcome]: ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault of one party, as `make faults` has it."""

    name: str
    play: Play
    steps: int = STEPS
    moment: float = MOMENT

    async def outcome(self) -> Outcome:
        """What comes of it at full length."""
        return await self.play(steps=self.steps, moment=self.moment)


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
    async with asyncio.timeout(30):
        while not look():
            await bot.clock.let_pass(seconds=4, moment=0.03)


async def until(bot: RunningBot, job_id: JobId, *states: JobState, moment: float = 0.03) -> None:
    """Let time pass until the job has come to this."""
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state not in states:
            await bot.clock.let_pass(seconds=4, moment=moment)


async def spin() -> float:
    """The share of one core that all of us use at rest, while the bot's clock stands still.

    A slow machine has more left to do before it rests; a loop that goes round in vain never does.
    """
    least = math.inf
    for _ in range(PATIENT_LOOKS):
        began = time.process_time()
        await asyncio.sleep(LOOK_SECONDS)
        least = min(least, (time.process_time() - began) / LOOK_SECONDS)
        if least < MOST_OF_A_CORE:
            break
    return least


async def readiness(bot: RunningBot) -> tuple[int, dict[str, Any]]:
    """What a look at `/readyz` says."""
    async with (
        aiohttp.ClientSession(bot.app._web.private_address) as session,
        session.get("/readyz") as answer,
    ):
        return answer.status, await answer.json()


async def look(bot: RunningBot) -> Look:
    """How it is now."""
    share = await spin()
    status, said = await readiness(bot)
    return Look(
        share=share,
        status=status,
        problems=frozenset(said["problems"]),
        troubles=frozenset(said["troubles"]),
    )


async def sum_up(bot: RunningBot, *, clips: int, **known: Any) -> Outcome:
    """What an outage came to, once both jobs are through."""
    return Outcome(
        generations=len(bot.simulator.generations),
        clips=clips,
        broken_rules=len(await bot.app.database.read(integrity.broken_invariants)),
        after=await look(bot),
        **known,
    )


async def finish_all(simulator: Simulator) -> None:
    """Let every generation be done."""
    for generation in list(simulator.generations.values()):
        if not generation.is_over:
            await simulator.finish(generation.id)
