"""Discord's REST, or its gateway, out of order for ten minutes of the bot's clock.

One of them, by one fault at a time; the other is well meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp

from adapters.discord.delivery import PATIENCE_SECONDS, Delivery
from bot.simulator import Faults, Simulator
from tests.adapters.discord.conftest import GUILD, Community, LocalDiscord
from tests.conftest import MANUAL
from tests.discord_server import DiscordServer
from tests.fakes import MovableClock
from tests.faults.chats import Scene, nothing, to_row
from tests.faults.outages import Allowed, Row
from tests.faults.reach import BY_ADDRESS, ON_THE_WIRE, Reach, Way, reached
from tests.faults.test_discord import asked

TIMES = 100_000
#: As Cloudflare says it, which no client library waits for.
OF_CLOUDFLARE = "429 of Cloudflare"
#: A post is tried again after a minute at most. discord.py itself asks five times after a 5xx, and
#: after a 429 whenever it may, which a wait of true time decides.
#: Nobody is named: whether somebody is heard is the gateway's affair.
ALLOWED = Allowed(party="discord", calls=60, posts=15, seconds=150, is_named=False)


@asynccontextmanager
async def house(
    folder: Path, *, scheme: str, host: str
) -> AsyncIterator[tuple[LocalDiscord, Reach]]:
    """A server with two people, and a way to it."""
    async with (
        Simulator(MANUAL, Faults()) as simulator,
        DiscordServer() as server,
        reached(folder, server.base_url, scheme=scheme, host=host) as reach,
    ):
        guild = server.guild("Foxes", guild_id=GUILD)
        ana, ben = (server.person(name, guild) for name in ("Ana", "Ben"))
        yield LocalDiscord(folder, simulator, MovableClock(), server, guild, ana, ben), reach


@asynccontextmanager
async def scene(folder: Path, *, scheme: str, host: str) -> AsyncIterator[Scene]:
    """A bot that serves a server."""
    async with house(folder, scheme=scheme, host=host) as (local_discord, reach):
        there = {"api_base_url": reach.to(local_discord.discord.api_base_url)}
        async with local_discord.community(there) as community:
            yield _to_scene(community, reach)


@asynccontextmanager
async def deaf_scene(folder: Path, *, scheme: str, host: str) -> AsyncIterator[Scene]:
    """One that speaks as ever, and hears by way of the wire."""
    async with house(folder, scheme=scheme, host=host) as (local_discord, reach):
        server = local_discord.discord
        server.gateway.url = reach.to(server.gateway.url).replace("http", "ws", 1)
        server.account.gateway_url = server.gateway.url
        async with local_discord.community({}) as community:
            yield replace(_to_scene(community, reach), is_back=_listens(community))


def _listens(community: Community) -> Callable[[], object]:
    """Whether a session lasted from one look to the next.

    While time runs this fast, one that just began may be given up with those before it.
    """
    gateway, adapter = community.discord.gateway, community.bot.app._adapters["discord"]
    before: set[str] = set()

    def look() -> bool:
        now = {each.id for each in gateway.connected} if adapter.trouble is None else set()
        is_lasting = bool(now & before)
        before.clear()
        before.update(now)
        return is_lasting

    return look


def _to_scene(community: Community, reach: Reach) -> Scene:
    delivery, faults = community.bot.app._adapters["discord"], community.discord.faults
    assert isinstance(delivery, Delivery)

    def wait(seconds: float | None) -> None:
        delivery._patience = PATIENCE_SECONDS if seconds is None else seconds

    def forget_names() -> None:
        connector = delivery._online.http.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        connector.clear_dns_cache()

    answers: dict[str, Callable[[], None]] = {
        "503": partial(faults.add, "*", "", status=503, times=TIMES),
        "429": partial(faults.too_many, "*", "", retry_after=0.05, times=TIMES),
        OF_CLOUDFLARE: partial(faults.too_many, "*", "", retry_after=30, via=False, times=TIMES),
    }
    return Scene(
        community=community,
        reach=reach,
        clips=community.clips,
        ask=partial(asked, community),
        wait=wait,
        forget_names=forget_names,
        answers=answers,
        answer_well=faults.clear,
    )


_WAYS = (
    *ON_THE_WIRE,
    *(Way(name=each, begin=nothing) for each in ("503", "429", OF_CLOUDFLARE)),
    *BY_ADDRESS,
)
#: Our clock runs on, minutes in a second of true time, while a session is agreed on. Of what is
#: slow nobody is named, unless it is looked at in that moment.
OF_GATEWAY = replace(ALLOWED, seconds=900, is_named=True)
OF_SLOW_GATEWAY = replace(OF_GATEWAY, is_named=None)


def _to_gateway_row(way: Way) -> Row:
    allowed = OF_SLOW_GATEWAY if way.name == "slow" else OF_GATEWAY
    return to_row("Discord's gateway", deaf_scene, way, allowed)


ROWS = (
    *(to_row("Discord", scene, each, ALLOWED) for each in _WAYS),
    *(_to_gateway_row(each) for each in (*ON_THE_WIRE, *BY_ADDRESS)),
)
