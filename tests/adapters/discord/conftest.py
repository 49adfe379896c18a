"""The true bot with discord.py, beside a local Discord and the simulator."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image

from adapters.discord import Settings, create
from bot.simulator import Faults, Simulator, SimulatorSettings
from tests.conftest import House, running, to_test_config
from tests.discord_server import Channel, DiscordServer, Guild, Message, Person
from tests.fakes import MovableClock, RecordingAdapter

GUILD = 4242


def picture(width: int = 320, height: int = 180, colour: str = "orange") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(content, "PNG")
    return content.getvalue()


@dataclass
class Street:
    """A server with a bot in it, and who lives there."""

    discord: DiscordServer
    guild: Guild
    ana: Person
    ben: Person
    house: House

    @property
    def general(self) -> Channel:
        return self.ana.here

    def clips(self, channel: Channel | None = None) -> list[Message]:
        """The clips that everyone sees there."""
        said = self.discord.said(channel or self.general)
        return [each for each in said if each.attachments]

    async def clip(self, channel: Channel | None = None) -> Message:
        """The next clip in a channel."""
        where = channel or self.general
        return await self.discord.wait_message(where, lambda each: each.attachments, seconds=15)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator that soon is done, with small clips."""
    settings = SimulatorSettings(
        min_seconds=20,
        max_seconds=20,
        speed=200,
        same_clip=True,
        full_size=False,
        running_limit=None,
        creates_per_minute=None,
    )
    async with Simulator(settings, Faults()) as quick:
        yield quick


@pytest.fixture
async def discord_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    # discord.py keeps its two addresses in classes; what the adapter's settings write there ends
    # with the test.
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def open_street(
    tmp_path: Path, simulator: Simulator, clock: MovableClock, discord_server: DiscordServer
) -> AsyncIterator[Callable[..., Any]]:
    """Starts the bot in a server named in [access]; `adapter` changes the adapter's settings."""
    guild = discord_server.guild("Foxes", guild_id=GUILD)
    ana, ben = (discord_server.person(name, guild) for name in ("Ana", "Ben"))
    async with AsyncExitStack() as stack:

        async def start(adapter: dict[str, Any] | None = None, **tables: Any) -> Street:
            tables.setdefault("access", {"servers": [str(GUILD)]})
            config = to_test_config(tmp_path, simulator, **tables)
            settings = Settings.model_validate(
                {
                    "token": discord_server.token,
                    "api_base_url": discord_server.api_base_url,
                    "gateway_url": discord_server.gateway_url,
                    "shard_count": 1,
                    **(adapter or {}),
                }
            )
            house = await stack.enter_async_context(
                running(
                    config,
                    simulator,
                    RecordingAdapter(),
                    clock,
                    discord=lambda studio: create(settings, studio, clock=clock),
                )
            )
            await discord_server.wait_connected()
            return Street(discord_server, guild, ana, ben, house)

        yield start


@pytest.fixture
async def street(open_street: Callable[..., Any]) -> Street:
    started: Street = await open_street()
    return started
