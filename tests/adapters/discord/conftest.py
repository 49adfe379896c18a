"""The true bot with discord.py, beside a local Discord and the simulator."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import HTTPClient, Route
from PIL import Image

from adapters.discord import Settings, create
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import messages
from tests.adapters.web.visitor import pages_in
from tests.conftest import RunningBot, running, to_test_config
from tests.discord_server import Channel, DiscordServer, Guild, Message, Person
from tests.discord_server.openapi import check_requests, has_openapi
from tests.discord_server.wire import Request
from tests.fakes import MovableClock, RecordingAdapter
from tests.secrecy import read_logs

GUILD = 4242


def hold_closing(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[HTTPClient]:
    """Let discord.py's clients never end to close; those that began to."""
    closing = asyncio.Queue[HTTPClient]()

    async def close(http: HTTPClient) -> None:
        closing.put_nowait(http)
        await asyncio.Event().wait()

    monkeypatch.setattr(HTTPClient, "close", close)
    return closing


def picture(width: int = 320, height: int = 180, colour: str = "orange") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(content, "PNG")
    return content.getvalue()


@dataclass
class Community:
    """A server with a bot in it, and who lives there."""

    discord: DiscordServer
    guild: Guild
    ana: Person
    ben: Person
    bot: RunningBot

    @property
    def general(self) -> Channel:
        return self.ana.here

    def clips(self, channel: Channel | None = None) -> list[Message]:
        """The clips that everyone sees there."""
        said = self.discord.said(channel or self.general)
        return [each for each in said if each.attachments]

    def later(self, **by: float) -> None:
        """Time passes, for Discord and for the bot."""
        self.discord.clock.move(**by)
        self.bot.clock.move(**by)

    async def hurry(self, look: Callable[[], object], **by: float) -> None:
        """Let time run in steps until this is so."""
        async with asyncio.timeout(30):
            while not look():
                self.later(**(by or {"seconds": 6}))
                await asyncio.sleep(0.02)

    async def until_kept(self, key: str) -> None:
        """Let time run in steps until the bot knows where it posted that message."""
        async with asyncio.timeout(30):
            while (
                await self.bot.app.database.read(lambda conn: messages.get(conn, key))
            ).message is None:
                self.later(seconds=6)
                await asyncio.sleep(0.02)

    async def delete(self, person: Person, clip: Message) -> Message:
        """Somebody deletes a clip by its button, and means it; what they read then."""
        asks = await person.answer(await person.click(clip, "Delete"))
        return await person.answer(await person.click(asks, "Delete"))

    async def clip(self, channel: Channel | None = None) -> Message:
        """The next clip in a channel."""
        where = channel or self.general
        return await self.discord.wait_message(where, lambda each: each.attachments)


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
def clock() -> MovableClock:
    """It begins at a full hour, so that no day and no week ends while a test looks at its own."""
    clock = MovableClock()
    clock.move(minutes=60 - clock.now().minute)
    return clock


#: Commands that were held to Discord's document: they are large, and the same in every test.
_CHECKED: set[str] = set()


def _unchecked(requests: Iterable[Request]) -> Iterator[Request]:
    for each in requests:
        commands = json.dumps(each.body, sort_keys=True) if each.method == "PUT" else ""
        if commands not in _CHECKED:
            yield each
        _CHECKED.update({commands} - {""})


@pytest.fixture
async def discord_server(
    monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> AsyncIterator[DiscordServer]:
    # discord.py keeps its two addresses in classes; what the adapter's settings write there ends
    # with the test.
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    same = MovableClock()
    same.move(seconds=(clock.now() - same.now()).total_seconds())
    async with DiscordServer(same) as server:
        yield server
        if has_openapi():
            assert check_requests(_unchecked(server.requests)) == []


@dataclass
class LocalDiscord:
    """A local Discord with a server, its people, and the bot's folder: starts the bot there."""

    folder: Path
    simulator: Simulator
    clock: MovableClock
    discord: DiscordServer
    guild: Guild
    ana: Person
    ben: Person

    def settings(self, **more: Any) -> Settings:
        """The adapter's settings for this Discord."""
        return Settings.model_validate(
            {
                "token": self.discord.token,
                "api_base_url": self.discord.api_base_url,
                "gateway_url": self.discord.gateway_url,
                "shard_count": 1,
                **more,
            }
        )

    @asynccontextmanager
    async def community(
        self, adapter: dict[str, Any] | None = None, *, has_desk: bool = False, **tables: Any
    ) -> AsyncIterator[Community]:
        """Run the bot while the block runs; `adapter` changes the adapter's settings."""
        tables.setdefault("access", {"servers": [str(GUILD)]})
        pages = {"web": pages_in(self.folder, self.clock)} if has_desk else {}
        config = to_test_config(self.folder, self.simulator, **tables)
        settings = self.settings(**(adapter or {}))
        async with running(
            config,
            self.simulator,
            RecordingAdapter(),
            self.clock,
            discord=lambda studio: create(settings, studio, clock=self.clock),
            **pages,
        ) as bot:
            await self.discord.wait_connected()
            yield Community(self.discord, self.guild, self.ana, self.ben, bot)


@pytest.fixture
async def local_discord(
    tmp_path: Path, simulator: Simulator, clock: MovableClock, discord_server: DiscordServer
) -> LocalDiscord:
    guild = discord_server.guild("Foxes", guild_id=GUILD)
    ana, ben = (discord_server.person(name, guild) for name in ("Ana", "Ben"))
    return LocalDiscord(tmp_path, simulator, clock, discord_server, guild, ana, ben)


@pytest.fixture
async def open_community(local_discord: LocalDiscord) -> AsyncIterator[Callable[..., Any]]:
    """Starts the bot in a server named in [access]; `adapter` changes the adapter's settings."""
    async with AsyncExitStack() as stack:

        async def start(adapter: dict[str, Any] | None = None, **tables: Any) -> Community:
            return await stack.enter_async_context(local_discord.community(adapter, **tables))

        yield start


@pytest.fixture
async def community(open_community: Callable[..., Any]) -> Community:
    started: Community = await open_community()
    return started


@pytest.fixture(autouse=True)
def _no_log_tells() -> Iterator[None]:
    with read_logs():
        yield
