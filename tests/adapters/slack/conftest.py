"""The true bot with slack-bolt, beside a local Slack and the simulator."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from adapters.slack import Settings, create
from bot.simulator import Faults, Simulator, SimulatorSettings
from tests.adapters.web.visitor import pages_in
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.secrecy import read_logs
from tests.slack_server import Channel, Message, Person, SlackServer, Team

T = TypeVar("T")


def picture(width: int = 320, height: int = 180, colour: str = "orange") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(content, "PNG")
    return content.getvalue()


@dataclass
class Community:
    """A workspace with a bot in it, and who works there."""

    slack: SlackServer
    team: Team
    general: Channel
    ana: Person
    ben: Person
    bot: RunningBot

    def clips(self, channel: Channel | None = None) -> list[Message]:
        """The clips that everyone sees there."""
        return [each for each in self.slack.said(channel or self.general) if is_clip(each)]

    async def clip(self, channel: Channel | None = None, seconds: float = 30) -> Message:
        """The next clip in a channel."""
        return await self.slack.wait_message(channel or self.general, is_clip, seconds=seconds)

    def later(self, **by: float) -> None:
        """Time passes, for Slack and for the bot, who have one clock."""
        self.bot.clock.move(**by)

    async def hurry(self, look: Callable[[], T | None], **by: float) -> T:
        """Let time run in steps until this finds something.

        Less and less often: on a slow machine hours would pass, and none of its work be done.
        """
        moment = 0.02
        async with asyncio.timeout(30):
            while not (found := look()):
                await self.bot.clock.let_pass(moment=moment, **(by or {"seconds": 6}))
                moment *= 1.1
        return found

    async def status(self, words: str = "", channel: Channel | None = None) -> Message:
        """The first status message that says this, a few seconds later if need be."""

        def look() -> Message | None:
            said = self.slack.said(channel or self.general)
            return next((each for each in said if each.metadata and words in each.plain), None)

        return await self.hurry(look)


def is_clip(message: Message) -> bool:
    files = [each for each in message.files if not each.is_deleted]
    return not message.deleted and any(each.name.endswith(".mp4") for each in files)


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
async def slack(clock: MovableClock) -> AsyncIterator[SlackServer]:
    async with SlackServer(clock) as server:
        yield server


@dataclass
class LocalSlack:
    """A local Slack with a workspace, its people, and the bot's folder: starts the bot there."""

    folder: Path
    simulator: Simulator
    clock: MovableClock
    slack: SlackServer
    team: Team
    general: Channel
    ana: Person
    ben: Person

    def settings(self, **more: Any) -> Settings:
        """The adapter's settings for this Slack."""
        return Settings.model_validate(
            {
                "bot_token": self.team.bot_token,
                "app_token": self.slack.app_token,
                "api_base_url": self.slack.api_base_url,
                "file_hosts": (self.slack.file_host,),
                "connections": 1,
                **more,
            }
        )

    @asynccontextmanager
    async def community(
        self, adapter: dict[str, Any] | None = None, *, has_desk: bool = False, **tables: Any
    ) -> AsyncIterator[Community]:
        """Run the bot while the block runs; `adapter` changes the adapter's settings."""
        tables["access"] = {"workspaces": [self.team.id], **tables.get("access", {})}
        config = to_test_config(self.folder, self.simulator, **tables)
        pages = {"web": pages_in(self.folder, self.clock)} if has_desk else {}
        settings = self.settings(**(adapter or {}))
        async with running(
            config,
            self.simulator,
            RecordingAdapter(),
            self.clock,
            slack=lambda studio: create(settings, studio, clock=self.clock),
            **pages,
        ) as bot:
            if settings.mode == "socket":
                await self.slack.wait_connected(settings.connections)
            yield Community(self.slack, self.team, self.general, self.ana, self.ben, bot)


@pytest.fixture
async def local_slack(
    tmp_path: Path, simulator: Simulator, clock: MovableClock, slack: SlackServer
) -> LocalSlack:
    team = slack.team("Foxes")
    ana, ben = (slack.person(name, team) for name in ("Ana", "Ben"))
    general = slack.channel(team, "general", members=[ana, ben])
    return LocalSlack(tmp_path, simulator, clock, slack, team, general, ana, ben)


@pytest.fixture
async def open_community(local_slack: LocalSlack) -> AsyncIterator[Callable[..., Any]]:
    """Starts the bot in a workspace named in [access]; `adapter` changes its settings."""
    async with AsyncExitStack() as stack:

        async def start(adapter: dict[str, Any] | None = None, **tables: Any) -> Community:
            return await stack.enter_async_context(local_slack.community(adapter, **tables))

        yield start


@pytest.fixture
async def community(open_community: Callable[..., Any]) -> Community:
    started: Community = await open_community()
    return started


@pytest.fixture(autouse=True)
def _no_log_tells() -> Iterator[None]:
    with read_logs():
        yield
