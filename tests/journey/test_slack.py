"""The true bot in a process of its own, in a Slack on loopback: killed, it goes on.

Only the addresses in its configuration tell it that this is neither Slack nor Luma.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.pictures import draw_picture
from bot.store import integrity
from bot.store.database import open_database
from tests.forked import Forked
from tests.journey.processes import Log, begin_to_stop, end, stop
from tests.slack_server.problems import Json
from tests.slack_server.remote import Remote, outside

#: Enough on a busy machine; who has nothing to do any more does not wait for its end.
GRACE_SECONDS = 20
KEY = "luma-a-very-private-key-0123456789"
#: What people ask for.
WORDS = ("a red fox in snow", "slow zoom")
COMPLETE = "files.completeUploadExternal"
#: Longer than a clip that was taken may need to be shown, and than a message may be on its way.
MUCH_LATER, LATER = 130, 20
CONFIG = """
[bot]
data_dir = {folder}
public_port = 0
private_port = 0
min_free_bytes = 0
shutdown_grace_seconds = {grace}
[access]
workspaces = ["{team}"]
[defaults]
providers = ["luma"]
[limits]
usd_per_person_per_day = 100
[providers.luma]
base_url = "{luma}"
first_look_seconds = 0
look_seconds = 0.05
[adapters.slack]
api_base_url = "{api}"
file_hosts = ["{files}"]
"""


@dataclass
class Place:
    """A Slack and a Luma, and the folder of the bot that speaks with both."""

    slack: Remote
    luma: Simulator
    folder: Path

    @cached_property
    def log(self) -> Log:
        """What the bot logs."""
        return Log(self.folder / "bot.log")

    @asynccontextmanager
    async def bot(self, *, later: float = 0) -> AsyncIterator[Forked]:
        """Run the bot while the block runs, unless it is killed before.

        `later`: so many seconds have passed for it.
        """
        config = self.folder / "config.toml"
        config.write_text(
            CONFIG.format(
                folder=json.dumps(str(self.folder / "data")),
                team=self.slack.team["id"],
                grace=GRACE_SECONDS,
                luma=self.luma.base_url,
                api=self.slack.api_base_url,
                files=self.slack.file_host,
            ),
            "utf-8",
        )
        secrets = {
            "RAYBOT_PROVIDERS__LUMA__API_KEY": KEY,
            "RAYBOT_ADAPTERS__SLACK__BOT_TOKEN": self.slack.bot_token,
            "RAYBOT_ADAPTERS__SLACK__APP_TOKEN": self.slack.app_token,
        }
        words = ("tests.journey.later", str(later)) if later else ("bot", "run", "--config")
        self.log.hidden |= {*secrets.values(), *WORDS}
        with self.log.life((*words, str(config)), secrets) as process:
            yield process
            self.log.hidden |= {
                each.token for each in self.luma.generations.values() if each.token
            }
            self.log.hidden.add((self.folder / "data" / "secret.key").read_text("utf-8"))

    async def ask(self) -> Json:
        """Ana uses the command once the bot is there."""
        await self.slack.wait("connected", sockets=2, seconds=30)
        asked: Json = await self.slack.call("Ana", "slash", "/ray", "a red fox in snow")
        assert asked["is_acked"], asked
        return asked

    async def hold_clip(self, when: str) -> Json:
        """Ask for a clip; the call that shows it is held, before it counts or after."""
        gate: Json = await self.slack.call("faults", "hold", COMPLETE, when=when)
        await self.ask()
        await asyncio.wait_for(self.luma.wait_for_creates(1), 30)
        await self.finish()
        await self.slack.wait("gate", of=gate, seconds=30)
        return gate

    async def finish(self) -> None:
        for each in list(self.luma.generations.values()):
            if not each.is_over:
                await self.luma.finish(each.id)

    async def said(self) -> list[Json]:
        """What the bot says in the channel now."""
        found: list[Json] = await self.slack.call("server", "posted", self.slack.channel)
        return found

    async def clips(self) -> list[Json]:
        """The clips that everybody sees."""
        return [
            each
            for each in await self.said()
            if any(name.endswith(".mp4") for name in each["files"])
        ]

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
        with closing(book):
            return book.execute(question).fetchall()

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
    async with outside() as slack:
        # Not one that counts as this machine: it gets images as links, or not at all.
        await luma.start("127.0.0.1")
        try:
            yield Place(slack, luma, tmp_path)
        finally:
            await luma.stop()


async def kill(process: Forked) -> None:
    """As a power cut does."""
    process.kill()
    await process.wait()


async def test_a_mention_in_the_thread_of_an_image_becomes_a_clip_there(place: Place) -> None:
    async with place.bot() as process:
        await place.slack.wait("connected", sockets=2, seconds=30)
        image = ["fox.png", draw_picture(), "image/png"]
        shown = await place.slack.call("Ana", "say", "look", files=[image])
        words = f"<@{place.slack.team['bot_user']}> slow zoom"
        await place.slack.call("Ana", "say", words, thread=shown)
        await asyncio.wait_for(place.luma.wait_for_creates(1), 30)
        await place.finish()
        state, cost = await place.ended()
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    [clip] = await place.clips()
    assert clip["thread_ts"] == shown["ts"]
    await place.slack.wait("left")
    await place.check_books()


@pytest.mark.parametrize(("when", "later"), [("before", MUCH_LATER), ("after", 0)])
async def test_one_clip_although_the_bot_was_killed_while_slack_took_it(
    place: Place, when: str, later: float
) -> None:
    """What Slack was slow to do may still come true after the restart."""
    async with place.bot() as process:
        gate = await place.hold_clip(when)
        await kill(process)
    async with place.bot(later=later) as process:
        state, cost = await place.ended()
        await place.slack.call(gate, "open")
        await place.slack.wait("request", method="files.info", seconds=30)
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    assert len(await place.clips()) == 1
    calls = await place.slack.requests(COMPLETE)
    assert len(calls) == (2 if when == "before" else 1)
    assert len(place.luma.generations) == 1
    await place.check_books()


async def test_one_status_although_the_bot_was_killed_right_after_its_post(place: Place) -> None:
    async with place.bot() as process:
        gate = await place.slack.call("faults", "hold", "chat.postMessage", when="after")
        await place.ask()
        await place.slack.wait("gate", of=gate, seconds=30)
        await kill(process)
    await place.slack.call(gate, "open")
    async with place.bot(later=LATER) as process:
        await asyncio.wait_for(place.luma.wait_for_creates(1), 30)
        await place.slack.wait("request", method="conversations.history", seconds=30)
        await place.finish()
        state, cost = await place.ended()
        await stop(process)
    assert (state, cost > 0) == ("delivered", True)
    [clip] = await place.clips()
    [status] = [each for each in await place.said() if each["ts"] != clip["ts"]]
    assert clip["thread_ts"] == status["ts"]
    assert len(await place.slack.requests("chat.postMessage")) == 1
    await place.check_books()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_clip_on_its_way_is_posted_and_charged_before_the_bot_stops(
    place: Place, when: str
) -> None:
    async with place.bot() as process:
        gate = await place.hold_clip(when)
        await begin_to_stop(process)
        await place.slack.call(gate, "open")
        await end(process, seconds=GRACE_SECONDS)
    assert place.read("SELECT state, cost > 0 FROM jobs") == [("delivered", True)]
    assert len(await place.clips()) == 1
    await place.check_books()
