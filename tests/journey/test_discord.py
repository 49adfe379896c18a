"""The true bot in a process of its own, in a Discord on loopback: killed, it goes on.

Only the addresses in its configuration tell it that this is neither Discord nor Luma.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.pictures import draw_picture
from bot.store import ledger
from bot.store.database import Database
from tests.discord_server.problems import Json
from tests.discord_server.remote import ROOT, Remote, outside

GUILD = 4242
CONFIG = """
[bot]
data_dir = {folder}
public_port = 0
private_port = 0
min_free_bytes = 0
shutdown_grace_seconds = 5
[access]
servers = ["{guild}"]
[defaults]
providers = ["luma"]
[limits]
usd_per_person_per_day = 100
[providers.luma]
base_url = "{luma}"
first_look_seconds = 0
look_seconds = 0.05
[adapters.discord]
api_base_url = "{api}"
gateway_url = "{gateway}"
shard_count = 1
"""


@dataclass
class Place:
    """A Discord and a Luma, and the folder of the bot that speaks with both."""

    discord: Remote
    luma: Simulator
    folder: Path

    @property
    def channel(self) -> Json:
        channel: Json = self.discord.start["channel"]
        return channel

    @asynccontextmanager
    async def bot(self, token: str | None = None) -> AsyncIterator[Process]:
        """Run the bot while the block runs, unless it is killed before."""
        config = self.folder / "config.toml"
        config.write_text(
            CONFIG.format(
                folder=json.dumps(str(self.folder / "data")),
                guild=GUILD,
                luma=self.luma.base_url,
                api=self.discord.api_base_url,
                gateway=self.discord.gateway_url,
            ),
            "utf-8",
        )
        secrets = {
            "RAYBOT_PROVIDERS__LUMA__API_KEY": "luma-simulator",
            "RAYBOT_ADAPTERS__DISCORD__TOKEN": token or self.discord.token,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run", "--config", str(config)),
            cwd=ROOT,
            env=os.environ | secrets,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def animate(self, thread: Json) -> Json:
        """Ana uses the slash command with an attachment, in a thread."""
        await self.discord.wait("connected", seconds=15)
        asked: Json = await self.discord.call(
            "Ana", "slash", "ray animate", thread, image=draw_picture(), prompt="slow zoom"
        )
        return asked

    async def clips(self) -> list[Json]:
        """Every clip that everyone sees anywhere, in the channel, its thread and in private."""
        said = await self.discord.call("server", "everything_said")
        return [each for each in said if any(name.endswith(".mp4") for name in each["files"])]

    async def finish(self) -> None:
        for each in list(self.luma.generations.values()):
            if not each.is_over:
                await self.luma.finish(each.id)

    async def generating(self) -> None:
        """Wait until the book says that the video service has the one job."""
        async with asyncio.timeout(15):
            while self._read("SELECT state FROM jobs") != [("generating",)]:
                await asyncio.sleep(0.02)

    async def ended(self) -> tuple[Any, ...]:
        """Wait until the book says that the one job has ended: its state and its cost."""
        async with asyncio.timeout(15):
            while not (
                found := self._read("SELECT state, cost FROM jobs WHERE ended_at IS NOT NULL")
            ):
                await asyncio.sleep(0.05)
        [row] = found
        return row

    def _read(self, question: str) -> list[tuple[Any, ...]]:
        book = sqlite3.connect(f"file:{self.folder / 'data' / 'raybot.db'}?mode=ro", uri=True)
        try:
            return book.execute(question).fetchall()
        finally:
            book.close()

    async def check_books(self) -> None:
        """One charge in one ledger, whose rules hold; to be asked once the bot is gone."""
        charges = self._read("SELECT kind FROM ledger_entries ORDER BY id")
        assert [kind for (kind,) in charges] == ["hold", "settle"]
        database = Database(f"sqlite+aiosqlite:///{self.folder / 'data' / 'raybot.db'}")
        await database.start()
        try:
            assert await database.read(ledger.broken_invariants) == {}
        finally:
            await database.stop()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    settings = SimulatorSettings(manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults()) as luma, outside(guild_id=GUILD) as discord:
        yield Place(discord, luma, tmp_path)


async def stop(process: Process) -> str:
    """End it as a service manager does; what it logged."""
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_a_clip_in_the_thread_although_the_bot_was_killed_while_it_was_made(
    place: Place,
) -> None:
    thread = await place.discord.call("Ana", "open_thread", place.channel, "foxes")
    async with place.bot() as process:
        await place.animate(thread)
        await asyncio.wait_for(place.luma.wait_for_creates(1), 15)
        await place.generating()
        process.kill()
        await process.wait()
    async with place.bot() as process:
        await place.discord.wait("connected", seconds=15)
        await place.finish()
        clip = await place.discord.wait("message", channel=thread, files=True, seconds=15)
        state, cost = await place.ended()
        said = await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    assert [each["id"] for each in await place.clips()] == [clip["id"]]
    assert clip["pings"]["users"] == [place.discord.start["person"]["user_id"]]
    assert len(place.luma.generations) == 1
    await place.check_books()
    assert place.discord.token not in said
    assert len(await place.discord.requests("PUT", "/commands$")) == 1
    [waiting] = [await place.discord.requests("POST", "/callback$")]
    assert len(waiting) == 1


async def test_one_clip_although_the_bot_was_killed_right_after_its_post(place: Place) -> None:
    path = f"^/channels/{place.channel['id']}/messages$"
    async with place.bot() as process:
        await place.animate(place.channel)
        await asyncio.wait_for(place.luma.wait_for_creates(1), 15)
        await place.discord.wait("message", channel=place.channel, seconds=15)
        gate = await place.discord.call("faults", "hold", "POST", path, when="after")
        await place.finish()
        await place.discord.wait("message", channel=place.channel, files=True, seconds=15)
        process.kill()
        await process.wait()
    await place.discord.call("faults", "clear")
    assert gate["$"] == "gate"
    async with place.bot() as process:
        state, cost = await place.ended()
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    assert len(await place.clips()) == 1
    assert len(place.luma.generations) == 1
    await place.check_books()


async def test_a_token_that_is_refused_ends_the_bot_with_one_sentence(place: Place) -> None:
    async with place.bot(token="not.the.right-token") as process:
        _, said = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 2
    last = said.decode().strip().splitlines()[-1]
    assert last.startswith("raybot: [adapters.discord] token:")
    assert "Traceback" not in said.decode()
