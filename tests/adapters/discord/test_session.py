"""The connection: signing in, the intents that were granted, coming back, and going away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import app_commands

from adapters.discord import Settings, create
from adapters.discord.session import Client, Session, Wire
from adapters.discord.standby import StandBy
from bot.errors import ConfigError, StoreError
from tests.adapters.discord.conftest import Community, LocalDiscord, hold_closing
from tests.discord_server import DiscordServer, Guild, Intent, Person
from tests.fakes import MovableClock
from tests.ports import free_port


@dataclass
class EventRecorder:
    """Who hears what comes in; it keeps all of it."""

    messages: asyncio.Queue[discord.Message] = field(default_factory=asyncio.Queue)
    online: int = 0
    fault: Exception | None = None
    places: set[int] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)

    async def on_place(self, guild_id: int, *, is_here: bool) -> None:
        (self.places.add if is_here else self.places.remove)(guild_id)

    async def on_places(self, guild_ids: Collection[int], *, is_all: bool) -> None:
        self.places = set(guild_ids) if is_all else self.places | set(guild_ids)

    async def on_refused(self, sentence: str) -> None:
        self.refusals.append(sentence)

    async def on_online(self, client: Client) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        self.online += 1

    async def on_message(self, message: discord.Message) -> None:
        self.messages.put_nowait(message)

    async def on_reaction(self, payload: discord.RawReactionActionEvent, *, is_on: bool) -> None:
        """Nobody reacts here."""

    async def on_action(
        self, interaction: discord.Interaction[Any], action: str, target: str
    ) -> None:
        raise AssertionError

    async def on_command_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError
    ) -> None:
        raise AssertionError


@dataclass
class Line:
    """A session alone, with nothing behind it."""

    discord: DiscordServer
    guild: Guild
    ana: Person
    clock: MovableClock
    recorder: EventRecorder
    session: Session | None = None

    def wire(self, **known: Any) -> Wire:
        given: dict[str, Any] = {
            "token": self.discord.token,
            "api_base_url": self.discord.api_base_url,
            "gateway_url": self.discord.gateway_url,
            "shard_count": 1,
        }
        return Wire(**{**given, **known})

    @asynccontextmanager
    async def open(self, **known: Any) -> AsyncIterator[Session]:
        """Run a session while the block runs; a fault in it ends the block with that fault."""
        session = Session(
            self.recorder, self.wire(**known), places=self.recorder, clock=self.clock
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(session.run())
            try:
                yield session
            finally:
                task.cancel()

    async def heard(self, words: str) -> None:
        """The session hears what somebody says to the bot."""
        await self.ana.say(self.ana.here, f"<@{self.discord.app.id}> {words}")
        async with asyncio.timeout(30):
            while not (await self.recorder.messages.get()).content.endswith(words):
                pass

    async def hurry(self, look: Callable[[], object]) -> None:
        """Let the bot's time run until this is so."""
        async with asyncio.timeout(30):
            while not look():
                await self.clock.let_pass(seconds=5)


@pytest.fixture
def line(discord_server: DiscordServer, clock: MovableClock) -> Line:
    guild = discord_server.guild("Foxes")
    return Line(discord_server, guild, discord_server.person("Ana", guild), clock, EventRecorder())


async def refusal(line: Line, **known: Any) -> str:
    session = Session(line.recorder, line.wire(**known), places=line.recorder, clock=line.clock)
    with pytest.raises(ConfigError) as caught:
        async with asyncio.timeout(30):
            await session.run()
    return caught.value.sentence


# ---- signing in --------------------------------------------------------------------------------


async def test_a_token_that_is_refused_says_what_to_do(line: Line) -> None:
    sentence = await refusal(line, token="a wrong token")
    assert "discord.com/developers" in sentence
    assert "a wrong token" not in sentence
    assert line.discord.invalid_requests == 1


@pytest.mark.parametrize("code", [4010, 4011])
async def test_shards_that_are_refused_at_a_start_say_what_to_do(line: Line, code: int) -> None:
    line.discord.gateway.refusal = code
    assert "shard_count" in await refusal(line)


@pytest.mark.parametrize("code", [4010, 4011])
async def test_shards_that_are_refused_later_are_told_and_tried_again(
    line: Line, code: int
) -> None:
    """As where the bot came into more servers than they may have."""
    async with line.open() as session:
        await line.discord.wait_connected()
        line.discord.gateway.refusal = code
        line.discord.gateway.close_all(code)
        await line.hurry(lambda: line.recorder.refusals)
        assert "shard_count: Discord does not accept it." in (session.trouble or "")
        await line.hurry(lambda: line.discord.gateway.closes == [code])
        line.discord.gateway.refusal = None
        await line.hurry(lambda: line.discord.gateway.connected)
        await line.heard("hello again")


async def test_discord_is_asked_again_how_many_shards_it_wants(line: Line) -> None:
    async with line.open(shard_count=None):
        await line.discord.wait_connected()
        line.discord.account.shards = 2
        line.discord.gateway.close_all(4011)
        await line.hurry(lambda: len(line.discord.gateway.connected) == 2)
    assert line.recorder.refusals == []


async def test_a_token_that_is_refused_later_is_told_and_tried_again(line: Line) -> None:
    token = line.discord.app.token
    async with line.open() as session:
        await line.discord.wait_connected()
        line.discord.app.token = "reset meanwhile"
        began = line.clock.boottime()
        line.discord.gateway.close_all(4004)
        await line.hurry(lambda: line.recorder.refusals)
        assert "token: Discord does not accept it." in (session.trouble or "")
        await line.hurry(lambda: line.discord.invalid_requests == 2)
        assert line.clock.boottime() - began >= 2 * 300
        line.discord.app.token = token
        await line.hurry(lambda: line.discord.gateway.connected)
        await line.heard("hello again")
        assert session.trouble is None
    assert set(line.recorder.refusals) == {line.recorder.refusals[0]}


@dataclass
class Standing:
    """The replicas of a process that listens once another one has ended."""

    is_single: bool = False
    other_ended: asyncio.Event = field(default_factory=asyncio.Event)
    parts: Sequence[str] = ()

    async def alone(
        self, _role: str, work: Callable[[], Awaitable[None]], *, parts: Sequence[str]
    ) -> None:
        self.parts = parts
        await self.other_ended.wait()
        await work()


@pytest.mark.parametrize("is_of_shards", [False, True])
async def test_who_was_let_in_while_it_stood_by_bears_a_refusal_as_well(
    line: Line, is_of_shards: bool
) -> None:
    replicas, ready = Standing(), asyncio.Event()
    studio: Any = SimpleNamespace(replicas=replicas)
    session = Session(line.recorder, line.wire(), places=line.recorder, clock=line.clock)
    stand_by = StandBy(line.wire(), studio, session, clock=line.clock, ready=lambda _: ready.set())
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(stand_by.run())
        await ready.wait()
        if is_of_shards:
            line.clock.move(minutes=10)
            line.discord.gateway.refusal = 4011
        else:
            line.discord.app.token = "reset meanwhile"
        replicas.other_ended.set()
        await line.hurry(lambda: line.recorder.refusals)
        task.cancel()


async def test_a_token_that_is_refused_later_leaves_all_else_to_go_on(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        local_discord.discord.app.token = "reset meanwhile"
        local_discord.discord.gateway.close_all(4004)
        async with asyncio.timeout(30):
            while not (said := await community.bot.notes()):
                await asyncio.sleep(0.02)
        [note] = said
        assert note.sentence.endswith("Then restart Raybot. All but Discord goes on until then.")
        await community.bot.delivered(await community.bot.ask())


async def test_discord_that_is_away_is_waited_for(line: Line) -> None:
    port = free_port()
    late = DiscordServer()
    wire = {
        "token": late.token,
        "api_base_url": f"http://127.0.0.1:{port}/api/v10",
        "gateway_url": f"ws://127.0.0.1:{port}/gateway/",
    }
    async with line.open(**wire):
        await asyncio.sleep(0.05)
        await late.start(port=port)
        try:
            await line.hurry(lambda: late.gateway.connected)
        finally:
            await late.stop()


async def test_a_database_that_takes_nothing_at_the_sign_in_is_waited_for(line: Line) -> None:
    line.recorder.fault = StoreError("The database did not take it: database is locked.")
    async with line.open():
        await line.hurry(lambda: line.discord.gateway.connected)
        await line.heard("hello")
    assert line.recorder.online == 1


async def test_an_answer_that_makes_no_sense_is_waited_out(line: Line) -> None:
    line.discord.faults.add("GET", "/users/@me$", status=200, json="a page", times=1)
    async with line.open():
        await line.hurry(lambda: line.discord.gateway.connected)
    assert line.discord.faults.left == 0


async def test_pauses_between_tries_grow(line: Line) -> None:
    line.discord.faults.add("GET", "/users/@me$", status=503, times=6)
    async with line.open():
        began = line.clock.boottime()
        await line.hurry(lambda: line.discord.gateway.connected)
        waited = line.clock.boottime() - began
    assert line.discord.faults.left == 0
    assert waited >= 15 + 30 + 60 + 120 + 240 + 300


# ---- intents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "asked", "is_read"),
    [
        (Intent.MESSAGE_CONTENT, "auto", True),
        (Intent.NONE, "auto", False),
        (Intent.MESSAGE_CONTENT, "off", False),
        (Intent.MESSAGE_CONTENT, "on", True),
    ],
)
async def test_message_content_is_asked_for_where_it_was_granted(
    line: Line, granted: Intent, asked: str, is_read: bool
) -> None:
    line.discord.app.granted = granted
    async with line.open(message_content=asked) as session:
        await line.discord.wait_connected()
        assert session.reads_messages is is_read
        [identify] = line.discord.gateway.identifies
        assert bool(identify["intents"] & Intent.MESSAGE_CONTENT) is is_read
        minimal = Intent.GUILDS | Intent.GUILD_MESSAGES | Intent.DIRECT_MESSAGES
        minimal |= Intent.GUILD_MESSAGE_REACTIONS
        assert identify["intents"] & ~Intent.MESSAGE_CONTENT == minimal


async def test_an_intent_that_is_refused_is_done_without(line: Line) -> None:
    async with line.open(message_content="on") as session:
        await line.hurry(lambda: line.discord.gateway.connected)
        assert not session.reads_messages
        assert line.discord.gateway.closes == [4014]
        await line.heard("hello")
    assert line.recorder.online == 2


# ---- coming back -------------------------------------------------------------------------------


async def test_a_cut_connection_is_resumed_with_what_was_missed(line: Line) -> None:
    async with line.open():
        await line.discord.wait_connected()
        [session] = line.discord.gateway.connected
        await line.heard("a first word, after which it knows its session")
        line.discord.gateway.drop_all()
        await line.heard("while you were away")
        assert session.resumes == 1
        line.discord.gateway.ask_to_reconnect()
        await line.discord.wait_for(lambda: session.connection is None)
        await line.heard("and again")
        assert session.resumes == 2
        assert len(line.discord.gateway.identifies) == 1
    assert line.recorder.online == 1


async def test_a_session_that_is_over_begins_anew_in_its_turn(line: Line) -> None:
    async with line.open():
        await line.discord.wait_connected()
        line.discord.gateway.invalidate()
        await line.discord.wait_for(lambda: not line.discord.gateway.connected)
        assert len(line.discord.gateway.identifies) == 1
        await line.hurry(lambda: line.discord.gateway.connected)
        await line.heard("hello again")
    assert len(line.discord.gateway.identifies) == 2
    assert line.recorder.online == 1


async def test_two_identifies_are_never_close(line: Line) -> None:
    times: list[float] = []

    async def note(client: discord.Client, token: str) -> None:
        times.append(line.clock.boottime())
        await discord.Client.start(client, token)

    async with line.open(message_content="on", connect=note):
        await line.discord.wait_for(lambda: line.discord.gateway.closes == [4014])
        before = line.clock.boottime()
        await line.hurry(lambda: line.discord.gateway.connected)
        assert line.clock.boottime() - before >= 4.5
    assert len(times) == 2


# ---- going away --------------------------------------------------------------------------------


async def test_the_session_ends_with_a_farewell(line: Line) -> None:
    async with line.open() as session:
        await line.discord.wait_connected()
        client = session.client
    await line.discord.wait_for(lambda: line.discord.gateway.sessions == {})
    assert client is not None
    assert client.is_closed()
    assert session.client is None


# ---- shards ------------------------------------------------------------------------------------


async def test_a_stop_while_a_client_closes_leaves_no_connection_open(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one only asks what was granted; discord.py closes it in a task of its own."""
    closing = hold_closing(monkeypatch)
    session = Session(line.recorder, line.wire(), places=line.recorder, clock=line.clock)
    running = asyncio.ensure_future(session.run())
    async with asyncio.timeout(30):
        http = await closing.get()
        running.cancel()
        await asyncio.wait({running})
    assert http.connector.closed


async def test_each_shard_is_its_own_session(line: Line) -> None:
    async with line.open(shard_count=3, shard_ids=(0, 2)):
        await line.hurry(lambda: len(line.discord.gateway.connected) == 2)
    shards = [each["shard"] for each in line.discord.gateway.identifies]
    assert shards == [[0, 3], [2, 3]]


async def test_discord_says_how_many_shards_it_wants(line: Line) -> None:
    async with line.open(shard_count=None):
        await line.discord.wait_connected()
    [identify] = line.discord.gateway.identifies
    assert identify["shard"] == [0, 1]


@pytest.mark.parametrize("shards", [{"shard_ids": (0,)}, {"shard_ids": (0, 2), "shard_count": 2}])
def test_shards_that_cannot_be_are_refused(shards: dict[str, Any]) -> None:
    settings = Settings(token="a.b.c", **shards)  # type: ignore[arg-type]  # as from a file
    with pytest.raises(ConfigError, match="shard_ids"):
        create(settings, None, clock=MovableClock())  # type: ignore[arg-type]  # not reached


@pytest.mark.parametrize(
    ("shards", "parts"),
    [
        ({"shard_count": 3, "shard_ids": (0, 2)}, ["discord 0", "discord 2"]),
        ({"shard_count": 2}, ["discord 0", "discord 1"]),
        ({"shard_count": None}, ["discord 0"]),
    ],
    ids=["some", "all", "as many as Discord suggests"],
)
async def test_whoever_listens_has_each_of_its_shards_alone(
    line: Line, shards: dict[str, Any], parts: list[str]
) -> None:
    replicas, ready = Standing(), asyncio.Event()
    studio: Any = SimpleNamespace(replicas=replicas)
    session: Any = SimpleNamespace(run=asyncio.Event().wait)
    wire = line.wire(**shards)
    stand_by = StandBy(wire, studio, session, clock=line.clock, ready=lambda _: ready.set())
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(stand_by.run())
        await ready.wait()
        task.cancel()
    assert replicas.parts == parts


# ---- commands ----------------------------------------------------------------------------------


def syncs(local_discord: LocalDiscord) -> int:
    return len(local_discord.discord.requests_to("PUT", "/commands$"))


async def test_commands_are_told_once_until_they_change(local_discord: LocalDiscord) -> None:
    async with local_discord.community():
        assert syncs(local_discord) == 1
    async with local_discord.community() as community:
        local_discord.discord.gateway.drop_all()
        await local_discord.discord.wait_connected()
        local_discord.discord.gateway.invalidate()
        await community.hurry(lambda: len(local_discord.discord.gateway.identifies) == 3)
        await local_discord.discord.wait_connected()
        asked = await community.ana.slash("ray help")
        assert (await community.ana.answer(asked)).content
    assert syncs(local_discord) == 1
    async with local_discord.community({"dev_guild_ids": (local_discord.guild.id,)}):
        assert syncs(local_discord) == 2
    [_, last] = local_discord.discord.requests_to("PUT", "/commands$")
    assert f"/guilds/{local_discord.guild.id}/" in last.path


@pytest.mark.parametrize("where", ["everywhere", "one server"])
async def test_commands_that_somebody_else_changed_are_told_again(
    local_discord: LocalDiscord, where: str
) -> None:
    adapter = {"dev_guild_ids": (local_discord.guild.id,)} if where == "one server" else {}
    async with local_discord.community(adapter):
        there = local_discord.discord.commands.all(
            local_discord.guild.id if where == "one server" else None
        )
        there[0]["options"].pop()
    async with local_discord.community(adapter) as community:
        assert syncs(local_discord) == 2
        asked = await community.ana.slash("ray help")
        assert (await community.ana.answer(asked)).content
    async with local_discord.community(adapter):
        assert syncs(local_discord) == 2


async def test_commands_that_cannot_be_looked_at_stay(local_discord: LocalDiscord) -> None:
    async with local_discord.community():
        pass
    local_discord.discord.faults.error("GET", "/commands$", 403, 50001)
    async with local_discord.community() as community:
        asked = await community.ana.slash("ray help")
        assert (await community.ana.answer(asked)).content
    assert syncs(local_discord) == 1


@pytest.mark.parametrize(("status", "code"), [(400, 30034), (403, 50001), (503, 0)])
async def test_a_sync_that_fails_leaves_yesterdays_commands(
    local_discord: LocalDiscord, status: int, code: int
) -> None:
    async with local_discord.community():
        pass
    local_discord.discord.faults.error("PUT", "/commands$", status, code)
    async with local_discord.community({"dev_guild_ids": (local_discord.guild.id,)}) as community:
        asked = await community.ana.slash("ray help")
        assert (await community.ana.answer(asked)).content
    async with local_discord.community({"dev_guild_ids": (local_discord.guild.id,)}):
        assert syncs(local_discord) == 3


async def test_who_has_made_too_many_commands_today_is_online_all_the_same(
    local_discord: LocalDiscord,
) -> None:
    """Discord asks to wait for hours, for which discord.py does not wait."""
    local_discord.discord.faults.too_many("PUT", "/commands$", code=30034, retry_after=7200.0)
    async with local_discord.community():
        answer = await local_discord.discord.wait_request("PUT", "/commands$")
        assert answer.code == 30034
    async with local_discord.community() as community:
        assert (await community.ana.answer(await community.ana.slash("ray help"))).content
        assert syncs(local_discord) == 2


async def test_commands_can_be_left_alone(
    open_community: Callable[..., Awaitable[Community]],
) -> None:
    community = await open_community({"sync_commands": False})
    assert community.discord.requests_to("PUT", "/commands$") == []
