"""Memory for each further Discord server, of the bot and of discord.py's own client beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection

import discord
import yarl

from bench.children import PipedChild
from bench.discord_latency import GUILD, Address, bot_at
from bench.figures import Figure
from bench.options import RunOptions
from bench.program import settled_bytes
from bench.service import Account, Service
from bench.steady import START_SECONDS
from tests.discord_server import DiscordServer, Intent, Person, Size

SIZE = Size(channels=39, roles=28, threads=5)  # With those of every server: 40 and 30.
#: Known from the start: what a process frees after its start is filled again before it counts.
FIRST = 200
#: discord.py counts itself as ready two seconds after the last of them; others have then joined.
READY_SECONDS = 4.0
MOST = 1.10
RUN_SECONDS = 100.0


def run_discord(pipe: Connection) -> None:
    """The local Discord: sends its address, then for each number once so many guilds are heard.

    Ends when it is told None.
    """
    asyncio.run(_run_discord(pipe))


async def _run_discord(pipe: Connection) -> None:
    server = DiscordServer()
    server.app.granted = Intent.MESSAGE_CONTENT
    await server.start()
    try:
        ana = server.person("Ana", server.guild("Foxes", guild_id=GUILD, size=SIZE))
        await _grow(server, FIRST)
        pipe.send(Address.of(server))
        await server.wait_for(lambda: len(server.gateway.connected) == 2, START_SECONDS)
        await server.wait_for(lambda: server.commands.all(), START_SECONDS)
        await asyncio.sleep(READY_SECONDS)
        while (count := await asyncio.to_thread(pipe.recv)) is not None:
            await _grow(server, count)
            await _ask(server, ana)
            pipe.send(count)
    finally:
        await server.stop()


async def _grow(server: DiscordServer, count: int) -> None:
    while len(server.world.guilds) < count:
        server.guild(f"Server number {len(server.world.guilds)}", size=SIZE)
        await asyncio.sleep(0)


async def _ask(server: DiscordServer, person: Person) -> None:
    """The bot hears in order: once this is answered, it knows of every server before it."""
    asked = await person.slash("ray help")
    await server.wait_for(lambda: asked.answered_at, RUN_SECONDS)


# ---- who listens -------------------------------------------------------------------------------


def run_bot(pipe: Connection, url: str, address: Address) -> None:
    """The true program; whenever it is asked it sends its memory, and it ends when told None."""
    asyncio.run(_run_bot(pipe, url, address))


async def _run_bot(pipe: Connection, url: str, address: Address) -> None:
    async with bot_at(address, url):
        await _tell(pipe)


class Peer(discord.AutoShardedClient):
    """discord.py alone, with the intents and caches of the bot; it only hears."""

    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(
                guilds=True, guild_messages=True, dm_messages=True, message_content=True
            ),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            shard_count=1,
        )
        self.heard = asyncio.Semaphore(0)

    async def on_interaction(self, _: object) -> None:
        """It knows of every server before this, too."""
        self.heard.release()


def run_peer(pipe: Connection, address: Address) -> None:
    """The same for discord.py's own client."""
    discord.http.Route.BASE = address.api_base_url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address.gateway_url)
    asyncio.run(_run_peer(pipe, address.token))


async def _run_peer(pipe: Connection, token: str) -> None:
    async with Peer() as client, asyncio.TaskGroup() as group:
        staying = group.create_task(client.start(token))
        await _tell(pipe, client.heard.acquire)
        staying.cancel()


async def _tell(pipe: Connection, hear: Callable[[], Awaitable[object]] | None = None) -> None:
    while await asyncio.to_thread(pipe.recv) is not None:
        if hear is not None:
            await hear()
        pipe.send(settled_bytes())


# ---- the figure --------------------------------------------------------------------------------


def measure_guilds(options: RunOptions) -> list[Figure]:
    """What each further server takes, with as many as asked for."""
    more = 600 if options.is_quick else 2000
    with Service([Account(manual=True)]) as service:
        discord = PipedChild(run_discord)
        children = [discord]
        try:
            address = discord.recv(START_SECONDS)
            listeners = [
                PipedChild(run_bot, service.urls[0], address),
                PipedChild(run_peer, address),
            ]
            children[:0] = listeners
            few, many = (_measure(discord, listeners, count) for count in (FIRST, FIRST + more))
        finally:
            for child in children:
                child.end()
    ours, own = ((after - before) / more / 1024 for before, after in zip(few, many, strict=True))
    return [
        Figure(
            name=f"memory per Discord server of 40 channels and 30 roles, {more:,} more",
            goal=f"at most {MOST:.2f} x discord.py's own",
            measured=f"{ours:.1f} KiB, {ours / own:.2f} x",
            remark=f"discord.py's client beside it: {own:.1f} KiB; both know {FIRST} servers "
            f"before; the program: {few[0] / 1e6:.0f} MB, then {many[0] / 1e6:.0f} MB",
            is_reached=ours <= MOST * own,
        )
    ]


def _measure(discord: PipedChild, listeners: Sequence[PipedChild], count: int) -> list[int]:
    """The memory of each listener once it knows so many servers."""
    discord.send(count)
    discord.recv(RUN_SECONDS)
    for each in listeners:
        each.send(count)
    return [each.recv(RUN_SECONDS) for each in listeners]
