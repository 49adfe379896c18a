"""Discord's REST out of order for ten minutes of the bot's clock, one fault at a time.

Its gateway is well meanwhile. A clip is done when the fault begins, and another one is asked for
once it is over.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import aiohttp

from adapters.discord.delivery import PATIENCE_SECONDS, Delivery
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator
from bot.store import ledger
from tests.adapters.discord.conftest import GUILD, Community, LocalDiscord
from tests.conftest import MANUAL
from tests.discord_server import DiscordServer
from tests.fakes import MovableClock
from tests.faults.certificates import Authority
from tests.faults.outages import PATIENCE, Outcome, before, finish_all, spin, through
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.test_discord import asked

NAME = "chat.test"
STEP, TIMES = 15.0, 100_000


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A bot whose Discord is behind a wire; `lost` are names that nobody finds any more."""

    community: Community
    wire: FaultProxy
    authority: Authority
    lost: set[str]

    @property
    def delivery(self) -> Delivery:
        found = self.community.bot.app._adapters["discord"]
        assert isinstance(found, Delivery)
        return found


Break = Callable[[Scene], Awaitable[None]]


@asynccontextmanager
async def scene(folder: Path, *, scheme: str, host: str) -> AsyncIterator[Scene]:
    """A bot that serves a server."""
    settings = MANUAL
    lost, authority = set[str](), Authority(folder)
    async with (
        Simulator(settings, Faults()) as simulator,
        DiscordServer() as server,
        before(server.base_url) as wire,
    ):
        if scheme == "https":
            aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(authority.file)
            await serve(wire, authority, timedelta(days=1))
        guild = server.guild("Foxes", guild_id=GUILD)
        ana, ben = (server.person(name, guild) for name in ("Ana", "Ben"))
        local_discord = LocalDiscord(folder, simulator, MovableClock(), server, guild, ana, ben)
        there = through(wire, server.api_base_url, scheme=scheme).replace("127.0.0.1", host)
        with _found_unless(lost):
            async with local_discord.community({"api_base_url": there}) as community:
                yield Scene(community=community, wire=wire, authority=authority, lost=lost)


async def serve(wire: FaultProxy, authority: Authority, ends: timedelta) -> None:
    """From now on this certificate is shown."""
    wire.tls = authority.context(ends=ends)
    await wire.break_("refuse")
    await wire.mend()


@contextmanager
def _found_unless(lost: set[str]) -> Iterator[None]:
    """A name of our own leads to this machine, unless nobody finds it any more."""
    true = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in lost:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return true("127.0.0.1" if name == NAME else host, *args, **more)

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = true


# ---- what breaks -------------------------------------------------------------------------------


def _wire_breaks(fault: Fault) -> Break:
    async def begin(at: Scene) -> None:
        await at.wire.break_(fault)

    return begin


async def _down(at: Scene) -> None:
    at.community.discord.faults.add("*", "", status=503, times=TIMES)


async def _too_many(at: Scene) -> None:
    at.community.discord.faults.too_many("*", "", retry_after=0.05, times=TIMES)


async def _kept_out(at: Scene) -> None:
    """As Cloudflare says it, which no client library waits for."""
    at.community.discord.faults.too_many("*", "", retry_after=30, via=False, times=TIMES)


async def _nameless(at: Scene) -> None:
    at.lost.add(NAME)
    connector = at.delivery._online.http.connector
    assert isinstance(connector, aiohttp.TCPConnector)
    connector.clear_dns_cache()


async def _expired(at: Scene) -> None:
    await serve(at.wire, at.authority, -timedelta(days=1))


async def _mend(at: Scene, scheme: str) -> None:
    at.community.discord.faults.clear()
    at.lost.clear()
    await at.wire.mend()
    if scheme == "https":
        await serve(at.wire, at.authority, timedelta(days=1))
    await at.wire.cut()


#: What breaks, by which scheme, and at which host.
ROWS: tuple[tuple[str, Break, str, str], ...] = (
    *((each, _wire_breaks(each), "http", "127.0.0.1") for each in get_args(Fault)),
    ("503", _down, "http", "127.0.0.1"),
    ("429", _too_many, "http", "127.0.0.1"),
    ("429 of Cloudflare", _kept_out, "http", "127.0.0.1"),
    ("no such name", _nameless, "http", NAME),
    ("certificate ended", _expired, "https", "127.0.0.1"),
)


# ---- one outage --------------------------------------------------------------------------------


async def outage(begin: Break, scheme: str, host: str, *, steps: int, moment: float) -> Outcome:
    """One clip is done when it begins; another one is asked for once it is over."""
    with TemporaryDirectory() as folder:
        async with scene(Path(folder), scheme=scheme, host=host) as at:
            community, bot = at.community, at.community.bot
            first = await asked(community, "one fox")
            at.delivery._patience = PATIENCE
            await begin(at)
            await at.wire.cut()
            at.wire.calls.clear()
            await finish_all(bot.simulator)
            for _ in range(steps):
                community.later(seconds=STEP)
                await asyncio.sleep(moment)
            calls = list(at.wire.calls)
            assert await spin() < 0.5, "it rests between its tries"
            at.delivery._patience = PATIENCE_SECONDS
            await _mend(at, scheme)
            mended = bot.clock.boottime()
            await community.hurry(community.clips)
            recovered = bot.clock.boottime() - mended
            second = await asked(community, "two foxes")
            await finish_all(bot.simulator)
            for job_id in (first, second):
                await _delivered(community, job_id)
            return Outcome(
                calls=len(calls),
                posts=sum(each.startswith("POST") for each in calls),
                recovered=recovered,
                generations=len(bot.simulator.generations),
                clips=len(community.clips()),
                broken_rules=len(await bot.app.database.read(ledger.broken_invariants)),
            )


async def _delivered(community: Community, job_id: JobId) -> None:
    async with asyncio.timeout(15):
        while (await community.bot.job(job_id)).state is not JobState.DELIVERED:
            community.later(seconds=4)
            await asyncio.sleep(0.03)
