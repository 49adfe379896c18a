"""The true program on a temporary folder, against the simulator over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from sqlalchemy import Row, text

from bot import log
from bot.app import App
from bot.cli.checkup import look_within
from bot.clock import SystemClock
from bot.config import Config, to_config
from bot.job import Job, JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import integrity, jobs
from bot.store.database import SQLITE
from bot.store.migrations import migrate
from bot.store.sqlite import sqlite_path
from bot.studio import Receipt, Studio
from bot.wiring.startup import database_url
from bot.wiring.supply import AdapterFactory
from tests.fakes import MovableClock, RecordingAdapter, to_request
from tests.ports import free_port
from tests.warm_codec import warm_codec

KEY = "luma-simulator"
#: A simulator that finishes only when told, with small clips, and takes whatever comes.
MANUAL = SimulatorSettings(
    manual=True, same_clip=True, full_size=False, running_limit=None, creates_per_minute=None
)
ROOT = Path(__file__).parents[1]
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4_000_000_000
# Where the machine has room for it, temporary folders lie in memory: the program still asks for
# every fsync, and thousands of databases need not wait for a disk.
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# How long an example takes is the machine's affair; the first texts of a fresh checkout take long.
hypothesis.settings.register_profile(
    "raybot", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis.settings.load_profile("raybot")
#: Whatever takes longer counts nothing by days.
LONGEST_TEST = timedelta(seconds=20)
_STATE = "SELECT state FROM jobs WHERE id = ?"


def pytest_configure() -> None:
    """Look for cycles less often: thousands of tests make few, and each look walks them all."""
    gc.set_threshold(20_000, 50, 10)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Let each worker begin with other modules, and find those of the others rewritten.

    In a fresh checkout each would else rewrite the assertions of all of them, at the same time.
    """
    known = getattr(session.config, "workerinput", None)
    if known and session.config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        number, count = int(known["workerid"].removeprefix("gw")), known["workercount"]
        modules = sorted(Path(__file__).parent.rglob("test_*.py"))
        for path in modules[len(modules) * number // count :]:
            # What cannot be imported is told of when it is collected.
            with contextlib.suppress(Exception):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Let no test begin in one day and end in the next: limits and figures count by days."""
    now = SystemClock().now()
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if (left := midnight - now) < LONGEST_TEST:
        Event().wait(left.total_seconds())
    return (yield)


def pytest_collection_finish() -> None:
    """Leave all that was collected out of every later look; it stays anyway."""
    gc.freeze()


@dataclass
class RunningBot:
    """One running bot with its surroundings."""

    app: App
    simulator: Simulator
    chat: RecordingAdapter
    clock: MovableClock
    config: Config
    jobs: list[JobId] = field(default_factory=list)

    @property
    def studio(self) -> Studio:
        return self.app.studio

    def studio_with(self, **rules: Any) -> Studio:
        """Another face of this bot, under changed rules."""
        studio = self.app.studio
        return Studio(
            database=self.app.database,
            planner=studio._planner,
            clips=studio._clips,
            dispatcher=self.app._dispatcher,
            clock=self.clock,
            context=replace(studio._context, **rules),
            vault=studio.vault,
            courier=self.app._courier,
        )

    async def ask(self, prompt: str = "a red fox in snow", **work: object) -> JobId:
        """Submit one request and return its job."""
        receipt = await self.submit(prompt, **work)
        return receipt.job_id

    async def submit(self, prompt: str = "a red fox in snow", **work: Any) -> Receipt:
        work.setdefault("key", f"k{len(self.jobs)}")
        receipt = await self.studio.submit(to_request(prompt, **work))
        self.jobs.append(receipt.job_id)
        return receipt

    async def job(self, job_id: JobId) -> Job:
        return await self.app.database.read(lambda conn: jobs.get(conn, job_id))

    async def until(self, job_id: JobId, *states: JobState, seconds: float = 30) -> Job:
        """Wait until a job stands in one of these states."""
        url = database_url(self.config)
        async with asyncio.timeout(seconds):
            if not url.startswith(SQLITE):
                while (job := await self.job(job_id)).state not in states:
                    await asyncio.sleep(0.02)
                return job
            path = sqlite_path(url)
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                # Looking at the file costs a hundredth of a read by the bot.
                while file.execute(_STATE, (job_id,)).fetchone()[0] not in states:
                    await asyncio.sleep(0.005)
        return await self.job(job_id)

    async def delivered(self, job_id: JobId) -> Job:
        return await self.until(job_id, JobState.DELIVERED)

    async def finish(self, job_id: JobId) -> Job:
        """Let a job's generation end, and wait for its clip."""
        job = await self.until(job_id, JobState.GENERATING)
        await self.simulator.finish(str(job.generation_id))
        return await self.delivered(job_id)

    async def notes(self) -> Sequence[Row[Any]]:
        """What the operator was told or will be: sentences and jobs, oldest first."""
        query = text("SELECT sentence, job_id FROM operator_notices ORDER BY at")
        return await self.app.database.read(lambda conn: conn.execute(query).all())

    async def check_books(self) -> None:
        """The rules of the ledger hold."""
        assert await self.app.database.read(integrity.broken_invariants) == {}


def to_test_config(folder: Path, simulator: Simulator, **tables: dict[str, Any]) -> Config:
    """A configuration that drives Luma's provider, for money, against the simulator."""
    base: dict[str, dict[str, Any]] = {
        "bot": {
            "data_dir": str(folder / "data"),
            "public_port": 0,
            "private_port": 0,
            "min_free_bytes": 0,
            "shutdown_grace_seconds": 2,
        },
        "defaults": {"providers": ["luma"]},
        "limits": {"usd_per_person_per_day": 1000, "usd_total_per_month": 10000},
        "providers": {
            "luma": {
                "api_key": KEY,
                "base_url": simulator.base_url,
                "first_look_seconds": 0,
                "look_seconds": 0.05,
                "gets_per_second": 100,
                "submit_timeout_seconds": 2,
                "creates_per_minute": 1000,
            }
        },
    }
    for name, table in tables.items():
        if name in ("luma", "replicate"):
            base["providers"][name] = {**base["providers"].get(name, {}), **table}
        else:
            base[name] = {**base.get(name, {}), **table}
    return to_config(base)


@cache
def migrated() -> bytes:
    """A database as the migrations leave it: made once, since a bot asks a tenth of its time."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        migrate(path)
        return path.read_bytes()


@asynccontextmanager
async def running(
    config: Config,
    simulator: Simulator,
    chat: RecordingAdapter,
    clock: MovableClock,
    **adapters: AdapterFactory,
) -> AsyncIterator[RunningBot]:
    """Run the bot while the block runs; a fault in it ends the block with that fault."""
    url = database_url(config)
    if url.startswith(SQLITE) and not (path := sqlite_path(url)).exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(migrated())
    async with (
        App(
            config,
            {"recording": lambda _: chat, **adapters},
            clock=clock,
            check=look_within,
            codec=warm_codec(),
        ) as app,
        asyncio.TaskGroup() as group,
    ):
        stop = asyncio.Event()
        group.create_task(app.run(stop))
        try:
            yield RunningBot(app, simulator, chat, clock, config)
        finally:
            stop.set()


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """What a test says of how much is logged, and the secrets it reads, are for it alone.

    Each bot has some of its own: after a thousand, every line would be searched for them all.
    """
    secrets, root = log._registry, logging.getLogger()
    log._registry, level = deepcopy(secrets), root.level
    yield
    log._registry = secrets
    root.setLevel(level)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator that finishes only when told, with small clips."""
    server = Simulator(MANUAL, Faults())
    # Nobody else is given its port while it is closed for a while.
    await server.start(port=free_port())
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def chat() -> RecordingAdapter:
    return RecordingAdapter()


@pytest.fixture
async def start_bot(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> AsyncIterator[Callable[..., Any]]:
    """Starts the bot, with changed tables where they are given by name."""
    async with AsyncExitStack() as stack:

        async def start(**tables: dict[str, Any]) -> RunningBot:
            config = to_test_config(tmp_path, simulator, **tables)
            return await stack.enter_async_context(running(config, simulator, chat, clock))

        yield start


@pytest.fixture
async def bot(start_bot: Callable[..., Any]) -> RunningBot:
    opened: RunningBot = await start_bot()
    return opened
