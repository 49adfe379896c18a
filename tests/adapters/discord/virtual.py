"""simcord's virtual Discord around the true bot: a second opinion beside our own local server.

simcord answers inside the process: a client's REST calls and its gateway. It knows nothing of
nonces, sizes, sockets and user installs; those are for the tests over the wire.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from adapters.discord.listener import Discord
from adapters.discord.session import Wire
from adapters.discord.threads import Opening
from bot.refs import JobId
from bot.simulator import Simulator
from bot.simulator.order import Order
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter

GUILD = 4242
#: Where simcord's files are; it keeps them in memory, so that nobody but discord.py can read them.
CDN = "simcord.backend.cdn.CDN_BASE"


@dataclass
class Stage:
    """A virtual server, who lives there, and the bot of the moment."""

    env: simcord.Env
    folder: Path
    simulator: Simulator
    clock: MovableClock
    guild: simcord.GuildHandle
    general: simcord.ChannelHandle
    ana: simcord.MemberActor
    ben: simcord.MemberActor
    _is_up: bool = True
    _bot: RunningBot | None = None
    _online: asyncio.Event = field(default_factory=asyncio.Event)

    # ---- the bot -------------------------------------------------------------------------

    @asynccontextmanager
    async def bot(
        self, *, reads_messages: bool = False, opens_threads: bool = False, **tables: Any
    ) -> AsyncIterator[RunningBot]:
        """The bot, while the block runs; a second block is its next process."""
        tables.setdefault("access", {"servers": [str(self.guild.id)]})
        config = to_test_config(self.folder, self.simulator, **tables)
        wire = Wire(
            token="simcord",
            message_content="on" if reads_messages else "off",
            shard_count=1,
            connect=self._connect,
        )
        self._online.clear()
        # Whoever answers an interaction does it by this context, our own tasks too.
        with self.env.time_context():
            async with running(
                config,
                self.simulator,
                RecordingAdapter(),
                self.clock,
                discord=lambda studio: Discord(
                    studio,
                    wire,
                    clock=self.clock,
                    upload_limit_bytes=20 << 20,
                    can_host=True,
                    opening=Opening(is_on=opens_threads),
                ),
            ) as bot:
                await self._online.wait()
                self._bot = bot
                yield bot
        self.env.raise_errors()

    async def _connect(self, client: discord.Client, _token: str) -> None:
        """What stands for `Client.start`; raises as it does where the intent is refused."""
        try:
            if self._is_up:
                await self.env.restart_bot(client)
            else:
                self.env.bot = client
                await self.env.start()
        except discord.PrivilegedIntentsRequired:
            self._is_up = False
            raise
        self._is_up = True
        self._online.set()
        await asyncio.Event().wait()

    # ---- what is there to be seen ----------------------------------------------------------

    def notice(self, event: str, payload: Mapping[str, Any]) -> None:
        """Say first of an interaction that a server has installed the bot, as Discord would."""
        if event == "INTERACTION_CREATE" and isinstance(payload, dict):
            owner = payload.get("guild_id", "0")
            payload["authorizing_integration_owners"] = {"0": owner}

    def clips(self, channel: simcord.ChannelHandle | None = None) -> list[discord.Message]:
        """The clips that everyone in a channel sees, first to last."""
        return [each for each in (channel or self.general).history() if shows_clip(each)]

    async def clip(
        self, channel: simcord.ChannelHandle | None = None, *, number: int = 1
    ) -> discord.Message:
        """The first clip in a channel, or a later one, once its job is done."""
        async with asyncio.timeout(30):
            while len(clips := self.clips(channel)) < number:
                # To look costs simcord more than the bot's own work.
                await asyncio.sleep(0.05)
        found = clips[number - 1]
        await self.delivered(found.content)
        return found

    async def delivered(self, words: str) -> None:
        """Wait until the job that some words name is done."""
        assert self._bot is not None
        await self._bot.delivered(job_of(words))

    @property
    def bot_id(self) -> int:
        """The bot's own user."""
        return self.env.backend.bot_user.id

    @property
    def mention(self) -> str:
        """How people call the bot."""
        return f"<@{self.bot_id}>"

    def of_bot(self, channel: simcord.ChannelHandle | None = None) -> list[discord.Message]:
        """All that the bot said for everyone."""
        said = (channel or self.general).history()
        return [each for each in said if each.author.id == self.bot_id]

    def thread(self, channel: simcord.ChannelHandle, name: str) -> simcord.ChannelHandle:
        """A thread that Ana opens in a channel, or her post in a forum."""
        opened = self.env.backend.create_thread(channel.id, name, self.ana.id)
        return next(each for each in channel.threads if each.id == opened.id)


def shows_clip(message: discord.Message) -> bool:
    """Whether a message carries a clip."""
    return any(each.filename.endswith(".mp4") for each in message.attachments)


@asynccontextmanager
async def open_stage(
    folder: Path, simulator: Simulator, clock: MovableClock, monkeypatch: Any
) -> AsyncIterator[Stage]:
    """A server with two people and a place for the bot, which is not there yet."""
    nobody = discord.AutoShardedClient(intents=discord.Intents(guilds=True), shard_count=1)
    async with AsyncExitStack() as stack:
        env = simcord.Env(nobody, settle_timeout=10)
        await env.start()
        stack.push_async_callback(env.shutdown)
        await env.advance_time((clock.now() - env.now()).total_seconds())
        cdn = await stack.enter_async_context(serve_files(env))
        monkeypatch.setattr(CDN, str(cdn.make_url("")).rstrip("/"))
        guild = env.create_guild("Foxes", id=GUILD)
        general = guild.create_text_channel("general")
        ana, ben = (guild.add_member(env.create_user(name)) for name in ("ana", "ben"))
        stage = Stage(env, folder, simulator, clock, guild, general, ana, ben)
        env.backend.subscribers.insert(0, stage.notice)
        yield stage


@asynccontextmanager
async def serve_files(env: simcord.Env) -> AsyncIterator[BaseTestServer]:
    """The files of simcord over HTTP, where whoever has the link can read them."""

    async def serve(request: web.Request) -> web.Response:
        content = env.backend.cdn.get(str(request.url))
        if content is None:
            raise web.HTTPNotFound
        return web.Response(body=content)

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    async with TestServer(app) as server:
        yield server


@pytest.fixture
async def stage(
    tmp_path: Path,
    simulator: Simulator,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path, simulator, clock, monkeypatch) as opened:
        yield opened


def job_of(words: str) -> JobId:
    """The job that some words name."""
    named = re.search(r"`(r-[0-9a-z]+)`", words)
    assert named is not None, words
    return JobId(named[1])


def orders(stage: Stage) -> list[Order]:
    """What the video service was asked for."""
    return [each.order for each in stage.simulator.generations.values()]


def said(result: simcord.InteractionResult) -> str:
    """What the person who asked reads, and nobody else."""
    assert result.response is not None
    assert result.response.ephemeral
    return result.response.content


def fields(shown: simcord.InteractionResult) -> dict[str, Any]:
    """The fields of a form by their labels."""
    assert shown.modal is not None
    return {each["label"]: each["component"] for each in shown.modal["components"]}


def fill(shown: simcord.InteractionResult, values: dict[str, Any]) -> dict[str, Any]:
    """What is given for the fields of a form, by their labels."""
    known = fields(shown)
    return {known[label]["custom_id"]: value for label, value in values.items()}
