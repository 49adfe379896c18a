"""What is around the processes: a video service, two chats, a database, and people who ask."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text

from adapters.slack.manifest import EVENTS_PATH
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import integrity
from bot.store.postgres import postgres_url, reader_engine
from tests.conftest import KEY
from tests.discord_server import DiscordServer, NotPossible
from tests.discord_server import Message as DiscordMessage
from tests.discord_server import Person as DiscordPerson
from tests.postgres import postgres_database
from tests.replicas.balancer import Balancer
from tests.replicas.fleet import Fleet, fleet
from tests.slack_server import Channel, SlackServer
from tests.slack_server import Message as SlackMessage
from tests.slack_server import Person as SlackPerson

T = TypeVar("T")
GUILD = 4242
#: What the video service allows, and what a person may have in a day where a story says so.
RUNNING_LIMIT, A_DAY = 10, 5
#: How somebody is told that they had all of it.
REFUSED = f"failed You have used {A_DAY} of {A_DAY} "
NAMES = ("Ana", "Ben", "Cem", "Dia")
#: Who reads that the application did not respond asks again, as who sees it think for so long.
ACK_SECONDS, PATIENCE_SECONDS = 3.0, 45.0
#: Slack tells of an event again three times; soon, after a minute, and after five.
REDELIVER_SECONDS, RETRIES = 10.0, 3
SAMPLE_SECONDS, AGAIN_SECONDS = 0.02, 2.0
#: How Slack comes to the processes where it calls them.
CALLED = {"mode": "http"}
CLIP = re.compile(r"r-[0-9a-z]{6,}")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One wish of a person, and how it went: they may have had to ask again."""

    prompt: str
    tries: int


@dataclass(kw_only=True)
class Cluster:
    """Everything that outlives a process. `database` is its address."""

    luma: Simulator
    discord: DiscordServer
    slack: SlackServer
    database: str
    reader: Engine
    fleet: Fleet
    balancer: Balancer
    discord_people: list[DiscordPerson]
    slack_people: list[SlackPerson]
    asked: list[Asked] = field(default_factory=list)
    #: When somebody asked who then had to ask again.
    unheard: list[float] = field(default_factory=list)
    redeliver_seconds: float = REDELIVER_SECONDS
    #: The most generations that the video service had in hand at once.
    most_running: int = 0
    _numbers: Any = field(default_factory=count)

    @property
    def general(self) -> Channel:
        """Where all of Slack asks."""
        [here] = {id(each.here): each.here for each in self.slack_people if each.here}.values()
        return here

    # ---- people --------------------------------------------------------------------------

    async def ask(self, many: int, *, pause: float = 0.1) -> None:
        """So many wishes, in turn in each chat and by each person; ends when all are answered."""
        async with asyncio.TaskGroup() as group:
            for _ in range(many):
                number = next(self._numbers)
                group.create_task(self._wish(number))
                await asyncio.sleep(pause)

    async def _wish(self, number: int) -> None:
        prompt, tries = f"fox number {number} in snow", 0
        hear = self._in_slack if number % 2 else self._in_discord
        while True:
            tries += 1
            at = time.monotonic()
            if await hear(number // 2, f"{prompt} try {tries}"):
                self.asked.append(Asked(prompt=prompt, tries=tries))
                return
            self.unheard.append(at)

    async def _in_discord(self, number: int, prompt: str) -> bool:
        person = self.discord_people[number % len(self.discord_people)]
        await self.discord.wait_for(lambda: self.discord.gateway.listeners(person.here.guild), 200)
        try:
            interaction = await person.slash("ray create", prompt=prompt)
        except NotPossible:
            await asyncio.sleep(0.5)
            return False
        try:
            await self.discord.wait_for(lambda: interaction.answer is not None, ACK_SECONDS)
            answer = await person.answer(interaction, seconds=PATIENCE_SECONDS)
        except AssertionError:
            return self._is_public(prompt)
        # A refusal says why; here only what is away is one, so they ask again.
        return "job `" in answer.text or self._is_public(prompt)

    def _is_public(self, prompt: str) -> bool:
        return any(prompt in each.text for each, _ in self._in_discords())

    async def _in_slack(self, number: int, prompt: str) -> bool:
        person = self.slack_people[number % len(self.slack_people)]
        if number % 3 == 0:
            # A mention is an event: Slack tells of it again until it was acknowledged.
            await person.say(f"{person.team.mention} {prompt}")
            return True
        asked = await person.slash("/ray", prompt, seconds=ACK_SECONDS)
        if asked.error or any("database" in each for each in asked.said):
            await asyncio.sleep(AGAIN_SECONDS)
            return False
        return True

    async def wait_slack(self, many: int) -> None:
        """Wait until so many processes listen to Slack."""
        if self.slack.http_url:
            await self.balancer.wait_ready(many)
        else:
            await self.slack.wait_connected(many, seconds=20)

    async def redeliver(self) -> None:
        """Slack tells again what was not acknowledged, until cancelled."""
        while True:
            await asyncio.sleep(self.redeliver_seconds)
            await self.slack.redeliver()

    async def count_running(self) -> None:
        """Look how many generations run, until cancelled."""
        while True:
            running = sum(not each.is_over for each in self.luma.generations.values())
            self.most_running = max(running, self.most_running)
            await asyncio.sleep(SAMPLE_SECONDS)

    # ---- what came of it -----------------------------------------------------------------

    async def settled(self, *, seconds: float = 60) -> list[str]:
        """Wait until all that was asked has ended, and each message says its last word.

        What has not after so long.
        """
        until = time.monotonic() + seconds
        while left := await self._unsettled():
            if time.monotonic() > until:
                return left
            await asyncio.sleep(0.1)
        return []

    async def _unsettled(self) -> list[str]:
        if not self._is_heard():
            return ["Slack still tells what was not heard."]
        left = await self.read(_open)
        told = [each for each in self._told() if not each.startswith("Delivered")]
        return [*left, *(f"last word: {each}" for each in told)]

    def _is_heard(self) -> bool:
        """Whether Slack tells nothing again any more."""
        events = [each for each in self.slack.envelopes if each.type == "events_api"]
        return all(each.is_acked or each.tries > RETRIES for each in events)

    async def read(self, look: Callable[[Connection], T]) -> T:
        """What the database says; one that was cut off is connected to anew."""
        return await asyncio.to_thread(self._read, look)

    def _read(self, look: Callable[[Connection], T]) -> T:
        with self.reader.connect() as conn:
            return look(conn)

    async def wrong(self, *, refused: int = 0) -> list[str]:
        """What is not as it was promised; nothing, if all is well.

        So many were to be refused, since their people had had all of a day's clips.
        """
        rows = await self.read(_jobs)
        jobs = [(job, prompt) for job, prompt, state in rows if state == "delivered"]
        found = wrong_ends(((job, state) for job, _, state in rows), refused=refused)
        prompts = Counter(prompt for _, prompt in jobs)
        found += [f"asked once, {n} jobs: {each}" for each, n in prompts.items() if n > 1]
        answered = {prompt.partition(" try")[0] for prompt in prompts}
        found += [f"lost: {each.prompt}" for each in self.asked if each.prompt not in answered]
        paid = Counter(each.order.prompt for each in self.luma.generations.values())
        found += [f"{paid[each]} generations: {each}" for each in prompts if paid[each] != 1]
        found += [f"paid for nobody: {each}" for each in paid if each not in prompts]
        clips = Counter(self._clips())
        found += [f"{clips[job]} clips: {job}" for job, _ in jobs if clips[job] != 1]
        if len(clips) != len(jobs):
            found.append(f"{len(clips)} jobs with clips instead of {len(jobs)}")
        told = self._told()
        if len(told) != len(jobs):
            found.append(f"{len(told)} status messages for {len(jobs)} jobs")
        if broken := await self.read(integrity.broken_invariants):
            found.append(f"books: {broken}")
        return found

    def _told(self) -> list[str]:
        """What each message says that everybody sees and that is no clip."""
        in_discord = [each.text for each, names in self._in_discords() if not names]
        in_slack = [each.plain for each, names in self._in_slacks() if not names]
        return [each.strip("*_ ") for each in (*in_discord, *in_slack)]

    def _clips(self) -> list[str]:
        """The job of each clip that people see."""
        names = [name for _, found in (*self._in_discords(), *self._in_slacks()) for name in found]
        found = [CLIP.search(each) for each in names if each.endswith(".mp4")]
        return [each.group() for each in found if each is not None]

    def _in_discords(self) -> list[tuple[DiscordMessage, list[str]]]:
        """Each message that everybody sees, and the names of its files."""
        return [
            (each, [file.filename for file in each.attachments])
            for each in self.discord.everything_said()
            if not each.is_ephemeral and not each.is_deleted
        ]

    def _in_slacks(self) -> list[tuple[SlackMessage, list[str]]]:
        return [
            (each, [file.name for file in each.files if not file.is_deleted])
            for each in self.slack.posted(self.general)
        ]


def wrong_ends(ends: Iterable[tuple[str, str]], *, refused: int = 0) -> list[str]:
    """Which jobs ended in a way that they should not, by what they say at their end."""
    undelivered = [each for each in ends if each[1] != "delivered"]
    failed = [each for each in undelivered if not each[1].startswith(REFUSED)]
    found = [f"{job}: {state}" for job, state in failed]
    if (many := len(undelivered) - len(failed)) != refused:
        found.append(f"{many} refused instead of {refused}")
    return found


def _open(conn: Connection) -> list[str]:
    """The jobs that have not ended, and what is in the inbox."""
    waiting = text(
        "SELECT concat_ws(' ', id, state, next_at, crashes, parked_at) FROM jobs"
        " WHERE ended_at IS NULL"
        " UNION ALL SELECT 'inbox ' || key FROM inbox WHERE done_at IS NULL"
    )
    return [row[0] for row in conn.execute(waiting)]


def _jobs(conn: Connection) -> list[tuple[str, str, str]]:
    asked = "request -> 'work' ->> 'prompt', concat_ws(' ', state, failure ->> 'sentence')"
    rows = conn.execute(text(f"SELECT id, {asked} FROM jobs"))
    return [(row[0], row[1], row[2]) for row in rows]


def guild_of(shard: int) -> int:
    """The id of the server there that Discord tells this shard of."""
    return GUILD + (shard << 22)


@asynccontextmanager
async def cluster(
    folder: Path,
    *,
    url: str = "",
    is_called: bool = False,
    shards: int = 1,
    environment: Mapping[str, str] = MappingProxyType({}),
    **tables: Any,
) -> AsyncIterator[Cluster]:
    """All of it, without any process yet; `url` is of a database that is not to be made.

    Slack may call the processes, by way of what stands before them; else they open sockets. In
    Discord there is a server for each shard.
    """
    settings = SimulatorSettings(
        min_seconds=0.5,
        max_seconds=1.5,
        same_clip=True,
        full_size=False,
        running_limit=None,
        creates_per_minute=None,
    )
    async with (
        Simulator(settings, Faults()) as luma,
        DiscordServer() as discord,
        SlackServer() as slack,
    ):
        with _database(url) as database, _reader(database) as reader:
            guilds = [discord.guild("Foxes", guild_id=guild_of(each)) for each in range(shards)]
            team = slack.team("Foxes")
            general = slack.channel(team, "general")
            people = [slack.person(name, team, general) for name in NAMES]
            config = to_tables(folder, luma, discord, slack, database, tables)
            if is_called:
                config["adapters.slack"] |= CALLED | {"signing_secret": slack.signing_secret}
            async with (
                fleet(folder, config, environment) as processes,
                Balancer(processes) as balancer,
            ):
                if is_called:
                    slack.http_url = balancer.address + EVENTS_PATH
                    slack.line.patience_seconds = ACK_SECONDS
                yield Cluster(
                    luma=luma,
                    discord=discord,
                    slack=slack,
                    database=database,
                    reader=reader,
                    fleet=processes,
                    balancer=balancer,
                    discord_people=[
                        discord.person(name, guilds[at % shards]) for at, name in enumerate(NAMES)
                    ],
                    slack_people=people,
                )


@contextmanager
def _database(url: str) -> Iterator[str]:
    if url:
        yield url
        return
    with postgres_database() as made:
        yield made


@contextmanager
def _reader(database: str) -> Iterator[Engine]:
    engine = reader_engine(postgres_url(database))
    try:
        yield engine
    finally:
        engine.dispose()


def to_tables(
    folder: Path,
    luma: Simulator,
    discord: DiscordServer,
    slack: SlackServer,
    database: str,
    changes: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """The configuration of each process: all lead here and nowhere else."""
    [team] = slack.world.teams.values()
    tables: dict[str, dict[str, Any]] = {
        "bot": {
            "database_url": database,
            "data_dir": str(folder / "data"),
            "secret_key": "a-very-private-key-of-all-processes",
            "single_host": True,
            "public_port": 0,
            "private_port": 0,
            "min_free_bytes": 0,
            "shutdown_grace_seconds": 5,
            "log_format": "json",
        },
        "access": {
            "servers": [str(each) for each in discord.world.guilds],
            "workspaces": [team.id],
        },
        "defaults": {"providers": ["luma"]},
        "limits": {"usd_per_person_per_day": 1000, "usd_total_per_month": 10000},
        "providers.luma": {
            "api_key": KEY,
            "base_url": luma.base_url,
            "first_look_seconds": 0,
            "look_seconds": 0.25,
            "gets_per_second": 100,
            "submit_timeout_seconds": 5,
            "creates_per_minute": 1000,
            "running_limit": RUNNING_LIMIT,
        },
        "adapters.discord": {
            "token": discord.token,
            "api_base_url": discord.api_base_url,
            "gateway_url": discord.gateway_url,
            "shard_count": len(discord.world.guilds),
        },
        "adapters.slack": {
            "bot_token": team.bot_token,
            "app_token": slack.app_token,
            "api_base_url": slack.api_base_url,
            "file_hosts": [slack.file_host],
            "connections": 1,
        },
    }
    for name, table in changes.items():
        tables[name.replace("__", ".")] |= table
    return tables
