"""The true bot in a process of its own, in a Discord on loopback: killed, it goes on.

Only the addresses in its configuration tell it that this is neither Discord nor Luma.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.pictures import draw_picture
from bot.store import integrity
from bot.store.database import open_database
from tests.discord_server.problems import Json
from tests.discord_server.remote import Remote, outside
from tests.forked import Forked
from tests.journey.processes import Log, begin_to_stop, end, stop
from tests.ports import free_port

GUILD = 4242
#: Enough on a busy machine; who has nothing to do any more does not wait for its end.
GRACE_SECONDS = 20
KEY = "luma-a-very-private-key-0123456789"
#: What people ask for.
WORDS = ("a red fox in snow", "slow zoom")
CONFIG = """
[bot]
data_dir = {folder}
public_port = 0
private_port = 0
min_free_bytes = 0
shutdown_grace_seconds = {grace}
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

    @cached_property
    def log(self) -> Log:
        """What the bot logs."""
        return Log(self.folder / "bot.log")

    @property
    def channel(self) -> Json:
        channel: Json = self.discord.start["channel"]
        return channel

    @property
    def posts(self) -> str:
        """The path of posts to the channel, as a regular expression."""
        return f"^/channels/{self.channel['id']}/messages$"

    @asynccontextmanager
    async def bot(
        self,
        token: str | None = None,
        *,
        later: float = 0,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Forked]:
        """Run the bot while the block runs, unless it is killed before.

        `later`: so many seconds have passed for it. `settings` are names of the environment.
        """
        config = self.folder / "config.toml"
        config.write_text(
            CONFIG.format(
                folder=json.dumps(str(self.folder / "data")),
                guild=GUILD,
                grace=GRACE_SECONDS,
                luma=self.luma.base_url,
                api=self.discord.api_base_url,
                gateway=self.discord.gateway_url,
            ),
            "utf-8",
        )
        secrets = {
            "RAYBOT_PROVIDERS__LUMA__API_KEY": KEY,
            "RAYBOT_ADAPTERS__DISCORD__TOKEN": token or self.discord.token,
        }
        words = ("tests.journey.later", str(later)) if later else ("bot", "run", "--config")
        self.log.hidden |= {*secrets.values(), *WORDS}
        with self.log.life((*words, str(config)), {**secrets, **(settings or {})}) as process:
            yield process
            self.log.hidden |= {
                each.token for each in self.luma.generations.values() if each.token
            }
            for asked in await self.discord.requests("POST", "^/interactions/"):
                self.log.hidden.add(asked["path"].split("/")[3])
            self.log.hidden.add((self.folder / "data" / "secret.key").read_text("utf-8"))

    async def animate(self, thread: Json) -> Json:
        """Ana uses the slash command with an attachment, in a thread."""
        await self.discord.wait("connected", seconds=30)
        asked: Json = await self.discord.call(
            "Ana", "slash", "ray animate", thread, image=draw_picture(), prompt="slow zoom"
        )
        return asked

    async def create(self) -> None:
        """Ana wants a clip of nothing but words."""
        await self.discord.wait("connected", seconds=30)
        await self.discord.call("Ana", "slash", "ray create", prompt="a red fox in snow")

    async def hold_clip(self, when: str) -> Json:
        """Ask for a clip; its post is held at the returned gate, before it counts or after."""
        await self.animate(self.channel)
        await asyncio.wait_for(self.luma.wait_for_creates(1), 30)
        await self.discord.wait("message", channel=self.channel, seconds=30)
        gate: Json = await self.discord.call("faults", "hold", "POST", self.posts, when=when)
        await self.finish()
        await self.discord.wait("gate", gate=gate, seconds=30)
        return gate

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
        async with asyncio.timeout(30):
            while self.read("SELECT state FROM jobs") != [("generating",)]:
                await asyncio.sleep(0.02)

    async def ended(self) -> tuple[Any, ...]:
        """Wait until the book says that the one job has ended: its state and its cost."""
        async with asyncio.timeout(30):
            while not (
                found := self.read("SELECT state, cost FROM jobs WHERE ended_at IS NOT NULL")
            ):
                await asyncio.sleep(0.05)
        [row] = found
        return row

    def read(self, question: str) -> list[tuple[Any, ...]]:
        """What the book says now, whether the bot runs or not."""
        book = sqlite3.connect(f"file:{self.folder / 'data' / 'raybot.db'}?mode=ro", uri=True)
        try:
            return book.execute(question).fetchall()
        finally:
            book.close()

    async def check_books(self) -> None:
        """One charge in one ledger, whose rules hold; to be asked once the bot is gone."""
        charges = self.read("SELECT kind FROM ledger_entries ORDER BY id")
        assert [kind for (kind,) in charges] == ["hold", "settle"]
        database = open_database(f"sqlite+aiosqlite:///{self.folder / 'data' / 'raybot.db'}")
        await database.start()
        try:
            assert await database.read(integrity.broken_invariants) == {}
        finally:
            await database.stop()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    settings = SimulatorSettings(manual=True, same_clip=True, full_size=False, api_key=KEY)
    luma = Simulator(settings, Faults())
    async with outside(guild_id=GUILD) as discord:
        # Not one that counts as this machine: it reaches the bot by a `public_url` or not at all.
        await luma.start("127.0.0.2")
        try:
            yield Place(discord, luma, tmp_path)
        finally:
            await luma.stop()


async def test_a_clip_in_the_thread_although_the_bot_was_killed_while_it_was_made(
    place: Place,
) -> None:
    thread = await place.discord.call("Ana", "open_thread", place.channel, "foxes")
    async with place.bot() as process:
        await place.animate(thread)
        await asyncio.wait_for(place.luma.wait_for_creates(1), 30)
        await place.generating()
        process.kill()
        await process.wait()
    async with place.bot() as process:
        await place.discord.wait("connected", seconds=30)
        await place.finish()
        state, cost = await place.ended()
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    [clip] = await place.clips()
    assert clip["channel"]["id"] == thread["id"]
    assert clip["pings"]["users"] == [place.discord.start["person"]["user_id"]]
    assert len(place.luma.generations) == 1
    await place.check_books()
    assert len(await place.discord.requests("PUT", "/commands$")) == 1
    [waiting] = [await place.discord.requests("POST", "/callback$")]
    assert len(waiting) == 1


async def test_one_clip_although_the_bot_was_killed_right_after_its_post(place: Place) -> None:
    async with place.bot() as process:
        await place.hold_clip("after")
        process.kill()
        await process.wait()
    async with place.bot() as process:
        state, cost = await place.ended()
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    assert len(await place.clips()) == 1
    assert len(place.luma.generations) == 1
    await place.check_books()


@pytest.mark.parametrize("known_by", ["callback", "token", "request"])
async def test_one_generation_although_the_bot_was_killed_before_it_heard_that_it_was_taken(
    place: Place, known_by: str
) -> None:
    """With a public address, a call or the list show its secret; without, only what was asked."""
    port = free_port()
    address = {
        "RAYBOT_BOT__PUBLIC_PORT": str(port),
        "RAYBOT_BOT__PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    settings = {} if known_by == "request" else address
    # The first call would come before the answer; without the second one, it has to search.
    place.luma.faults.break_callback("lost", times=1 if known_by == "callback" else 2)
    answer = place.luma.faults.hold("create")
    async with place.bot(settings=settings) as process:
        await (place.animate(place.channel) if known_by == "request" else place.create())
        await asyncio.wait_for(place.luma.wait_for_creates(1), 30)
        process.kill()
        await process.wait()
    answer.set()
    assert place.read("SELECT state, generation_id FROM jobs") == [("submitting", None)]
    logins = {"method": "GET", "path": "^/users/@me$"}
    count = len(await place.discord.requests(**logins))
    # A search waits for more than a minute, because the POST might still be on its way.
    later = 0 if known_by == "callback" else 90
    async with place.bot(later=later, settings=settings) as process:
        # Discord may not have seen yet that the other connection ended.
        await place.discord.wait("request", **logins, count=count + 1, seconds=30)
        await place.finish()
        state, cost = await place.ended()
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    assert len(await place.clips()) == 1
    assert place.luma.requests["POST /generations/video"] == len(place.luma.generations) == 1
    assert len(place.luma.callbacks) == (known_by == "callback")
    await place.check_books()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_clip_on_its_way_is_posted_and_charged_before_the_bot_stops(
    place: Place, when: str
) -> None:
    async with place.bot() as process:
        gate = await place.hold_clip(when)
        await begin_to_stop(process)
        await place.discord.wait("connected")
        await place.discord.call(gate, "open")
        await end(process, seconds=GRACE_SECONDS)
    await place.discord.wait("left")
    assert place.read("SELECT state, cost > 0 FROM jobs") == [("delivered", True)]
    assert len(await place.clips()) == 1
    await place.check_books()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_clip_that_outlasts_the_grace_is_posted_and_charged_once(
    place: Place, when: str
) -> None:
    """What Discord was slow to do may still come true after the restart."""
    short = {"RAYBOT_BOT__SHUTDOWN_GRACE_SECONDS": "0.5"}
    async with place.bot(settings=short) as process:
        gate = await place.hold_clip(when)
        process.send_signal(signal.SIGTERM)
        await end(process, seconds=0.5 + 5)
    await place.discord.wait("left")
    assert place.read("SELECT state, cost > 0 FROM jobs") == [("delivering", True)]
    async with place.bot() as process:
        state, cost = await place.ended()
        await place.discord.call(gate, "open")
        await place.discord.wait("request", method="POST", path=place.posts, count=3)
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    assert len(await place.clips()) == 1
    await place.check_books()


async def test_a_token_that_is_refused_ends_the_bot_with_one_sentence(place: Place) -> None:
    async with place.bot(token="not.the.right-token") as process:
        await asyncio.wait_for(process.wait(), 30)
    assert process.returncode == 2
    last = place.log.text.strip().splitlines()[-1]
    assert last.startswith("raybot: [adapters.discord] token:")
