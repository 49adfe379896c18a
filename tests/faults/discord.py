"""Discord's REST out of order for ten minutes of the bot's clock, one fault at a time.

Its gateway is well meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from tests.faults.outages import Allowed
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
async def scene(folder: Path, *, scheme: str, host: str) -> AsyncIterator[Scene]:
    """A bot that serves a server."""
    async with (
        Simulator(MANUAL, Faults()) as simulator,
        DiscordServer() as server,
        reached(folder, server.base_url, scheme=scheme, host=host) as reach,
    ):
        guild = server.guild("Foxes", guild_id=GUILD)
        ana, ben = (server.person(name, guild) for name in ("Ana", "Ben"))
        local_discord = LocalDiscord(folder, simulator, MovableClock(), server, guild, ana, ben)
        there = {"api_base_url": reach.to(server.api_base_url)}
        async with local_discord.community(there) as community:
            yield _to_scene(community, reach)


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
ROWS = tuple(to_row("Discord", scene, each, ALLOWED) for each in _WAYS)
