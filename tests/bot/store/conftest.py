"""A true database file, and the shortest legal way to a job in any state."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, Unpack

import pytest
from sqlalchemy import Connection, select, text

from bot.job import Clip, Failure, Job, JobState, Plan
from bot.ports import Submission
from bot.refs import GenerationId, JobId, MediaKey, MessageRef, Micros, Price
from bot.request import GenerationRequest
from bot.store import attempts, integrity, jobs, ledger
from bot.store.columns import JobColumns
from bot.store.database import Database, open_database
from bot.store.schema import settings
from bot.store.transaction import Tx
from bot.tables import LimitsTable
from tests.conftest import migrated
from tests.fakes import to_request
from tests.postgres import postgres_database

R = TypeVar("R")
ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NO_MONEY = {"usd_per_person_per_day": None, "usd_total_per_month": None}
UNLIMITED = LimitsTable.model_validate(NO_MONEY)
#: The states on the way to a delivered clip, in order.
WAY = (
    JobState.ACCEPTED,
    JobState.SUBMITTING,
    JobState.GENERATING,
    JobState.FETCHING,
    JobState.DELIVERING,
    JobState.DELIVERED,
)


def to_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def to_plan(request: GenerationRequest, micros: int = 100, *, is_test: bool = False) -> Plan:
    """A plan whose hold is its price."""
    price = Price(micros=Micros(micros), is_test=is_test)
    return Plan(provider="luma", work=request.work, price=price, hold=price.charged)


def to_clip(job: Job) -> Clip:
    return Clip(
        key=MediaKey(f"clips/{job.id}.mp4"),
        width=960,
        height=540,
        frames=121,
        seconds=5.0,
        bytes=1000,
        sha256="0" * 64,
    )


def to_submission(job: Job, attempt: int, at: datetime = NOW) -> Submission:
    return Submission(
        job_id=job.id,
        attempt=attempt,
        work=job.work,
        sent_at=at,
        token_hash=f"{job.id}-{attempt}",
    )


def step(tx: Tx, job: Job, to: JobState, at: datetime = NOW) -> Job:
    """The next legal move on the way to a delivered clip, as the program makes it."""
    match to:
        case JobState.SUBMITTING:
            moved = jobs.move(tx, job, to, at, attempt=job.attempt + 1, submitted_at=at)
            attempts.begin(tx, "luma", to_submission(moved, moved.attempt, at))
            return moved
        case JobState.GENERATING:
            return attempts.adopt(tx, job, GenerationId(f"g-{job.id}"), "taken", at)
        case JobState.FETCHING:
            return jobs.move(tx, job, to, at, completed_at=at, clip_url="http://127.0.0.1/c")
        case JobState.DELIVERING:
            return jobs.move(tx, job, to, at, clip=to_clip(job), seconds=5.0)
        case JobState.DELIVERED:
            assert job.plan is not None
            message = MessageRef(thread=job.request.thread, message="1")
            return ledger.end(tx, job, to, at, charged=job.plan.hold, message=message)
    raise AssertionError(to)


class Books:
    """The rows of one database, made and looked at in few words."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._count = 0

    async def received(
        self,
        *,
        user: str = "ana",
        at: datetime = NOW,
        key: str | None = None,
        channel: str = "general",
        **work: Any,
    ) -> Job:
        self._count += 1
        request = to_request(key=key or f"b{self._count}", user=user, **work)
        thread = request.thread.model_copy(update={"channel": channel})
        request = request.model_copy(update={"thread": thread})
        job, _ = await self.database.write(lambda tx: jobs.insert(tx, request, at))
        return job

    async def accept(
        self,
        job: Job,
        micros: int = 100,
        *,
        limits: LimitsTable = UNLIMITED,
        at: datetime = NOW,
        is_test: bool = False,
    ) -> Job:
        plan = to_plan(job.request, micros, is_test=is_test)
        return await self.database.write(lambda tx: ledger.accept(tx, job, plan, limits, at))

    async def reach(
        self,
        state: JobState,
        *,
        user: str = "ana",
        at: datetime = NOW,
        micros: int = 100,
        is_test: bool = False,
        **work: Any,
    ) -> Job:
        """A job that went all the legal way to a state."""
        if state is JobState.RECEIVED:
            return await self.received(user=user, at=at, **work)
        job = await self.received(user=user, at=at, **work)
        job = await self.accept(job, micros, at=at, is_test=is_test)

        def walk(tx: Tx) -> Job:
            here = job
            for stop in WAY[1 : WAY.index(state) + 1]:
                here = step(tx, here, stop, at)
            return here

        return await self.database.write(walk)

    async def end(
        self,
        job: Job,
        to: JobState = JobState.FAILED,
        *,
        charged: int | None = None,
        at: datetime = NOW,
        code: str = "test",
    ) -> Job:
        failure = Failure(code=code, sentence="It ended.") if to is JobState.FAILED else None
        paid = None if charged is None else Micros(charged)
        return await self.database.write(
            lambda tx: ledger.end(tx, job, to, at, charged=paid, failure=failure)
        )

    async def move(
        self, job: Job, to: JobState, at: datetime = NOW, **columns: Unpack[JobColumns]
    ) -> Job:
        return await self.database.write(lambda tx: jobs.move(tx, job, to, at, **columns))

    async def change(self, job: Job, **columns: Unpack[JobColumns]) -> Job:
        return await self.database.write(lambda tx: jobs.change(tx, job, **columns))

    async def get(self, job_id: JobId) -> Job:
        return await self.database.read(lambda conn: jobs.get(conn, job_id))

    async def sql(self, statement: str, **values: object) -> None:
        """Change rows behind the program's back."""
        await self.database.write(lambda tx: tx.conn.execute(text(statement), values).rowcount)

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return await self.database.read(
            lambda conn: [tuple(row) for row in conn.execute(text(query), values)]
        )

    async def entries(self, job: Job) -> list[tuple[str, int]]:
        query = "SELECT kind, micros FROM ledger_entries WHERE job_id = :id ORDER BY id"
        return [(kind, micros) for kind, micros in await self.rows(query, id=job.id)]

    async def broken(self) -> dict[str, list[str]]:
        return await self.database.read(integrity.broken_invariants)


class Gate:
    """Holds the writer's thread inside a transaction, so that what follows shares one batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self.entered = asyncio.Event()
        self._opened = threading.Event()

    def work(self, _tx: Tx) -> None:
        """A transaction that waits for the gate to open."""
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self._opened.wait(10)

    def open(self) -> None:
        self._opened.set()


@asynccontextmanager
async def one_batch(database: Database) -> AsyncIterator[None]:
    """What is written inside the block waits, and then goes into one transaction."""
    gate = Gate(database)
    async with asyncio.TaskGroup() as group:
        group.create_task(database.write(gate.work))
        await gate.entered.wait()
        try:
            yield
        finally:
            gate.open()


def start_write(
    group: asyncio.TaskGroup, database: Database, work: Callable[[Tx], R]
) -> asyncio.Task[R]:
    return group.create_task(database.write(work))


def _insert(conn: Connection, rows: list[dict[str, str]]) -> None:
    conn.execute(settings.insert(), rows)


def note(scope: str, size: int = 2) -> Callable[[Tx], str]:
    """A transaction that writes one row of so many bytes."""

    def work(tx: Tx) -> str:
        tx.conn.execute(settings.insert(), {"scope": scope, "chosen": "x" * (size - 2)})
        return scope

    return work


def put_off(scope: str) -> Callable[[Tx], str]:
    """A transaction that writes its row at the end."""

    def work(tx: Tx) -> str:
        tx.put_off(_insert, {"scope": scope, "chosen": ""})
        return scope

    return work


def noted(conn: Connection) -> list[str]:
    """What was written, in the order of its names."""
    return list(conn.execute(select(settings.c.scope).order_by(settings.c.scope)).scalars())


async def outcomes(
    database: Database, *works: Callable[[Tx], object]
) -> list[object | BaseException]:
    """What became of transactions that went into one commit."""
    tasks: list[asyncio.Task[object]] = []
    async with one_batch(database):
        tasks = [asyncio.ensure_future(database.write(work)) for work in works]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = open_database(url)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


WRITER = """
import asyncio, os, resource, sys
from sqlalchemy import Connection, select, text
from bot.errors import StoreError
from bot.store.database import open_database

INSERT = text("INSERT INTO settings (scope, chosen) VALUES (:scope, '{}')")

async def write(database, name):
    for number in range(100_000):
        scope = f"{name}-{number}"
        await database.write(lambda tx: tx.conn.execute(INSERT, {"scope": scope}).rowcount)
        os.write(1, scope.encode() + b"\\n")

async def main(url, most_bytes):
    database = open_database(url)
    await database.start()
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    await asyncio.gather(*(write(database, name) for name in range(20)))

try:
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
except StoreError as error:
    sys.stderr.write(str(error))
    os._exit(7)
"""


def start_writer(url: str, most_bytes: int = 0) -> subprocess.Popen[bytes]:
    """A process that writes without end and tells each row that was acknowledged."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(most_bytes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with today's schema and no rows; copying it is quicker than migrating."""
    path = tmp_path_factory.mktemp("schema") / "empty.db"
    path.write_bytes(migrated())
    return path


@pytest.fixture
def path(empty_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_file, tmp_path / "raybot.db"))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        yield to_url(request.getfixturevalue("path"))
    else:
        with postgres_database() as found:
            yield found


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = open_database(url)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)
