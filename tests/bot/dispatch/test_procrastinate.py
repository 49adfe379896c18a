"""Nudges commit with their rows, and one process at a time advances a job, whichever lives."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from procrastinate import exceptions
from procrastinate.manager import JobManager
from procrastinate.worker import Worker
from psycopg.sql import SQL

from bot.clock import SystemClock
from bot.dispatch import connector, procrastinate
from bot.dispatch.procrastinate import (
    ADVANCE,
    RETRY_STALLED,
    WORKERS,
    ProcrastinateDispatcher,
)
from bot.dispatch.replicas import PostgresReplicas
from bot.errors import StoreError
from bot.ports import Transaction
from bot.refs import JobId
from bot.store.database import Database
from bot.store.postgres import postgres_url
from bot.store.transaction import Tx
from tests.postgres import CUT, at_server

A, B = JobId("r-a"), JobId("r-b")
CLOCK = SystemClock()


DEAD = SQL(
    "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
    " VALUES (now() - '1 min'::interval) RETURNING id)"
    " UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM dead)"
)


#: Ends the connections that procrastinate's calls share, and leaves the one that hears of tasks.
CUT_POOL = SQL(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid != pg_backend_pid()"
    " AND query LIKE '%procrastinate%' AND query NOT LIKE 'LISTEN%'"
)


@dataclass
class Process:
    """One dispatcher as a process has it, and what it advanced."""

    url: str
    rows: list[tuple[JobId, datetime]] = field(default_factory=list)
    advanced: list[JobId] = field(default_factory=list)
    stalled: list[JobId] = field(default_factory=list)
    #: When the row of what was stalled is due.
    due_at: datetime | None = None
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_end.set()
        self.took = asyncio.Event()
        self.replicas = PostgresReplicas(postgres_url(self.url))
        self.dispatcher = ProcrastinateDispatcher(
            postgres_url(self.url),
            CLOCK,
            self._due,
            stalled=self._stalled,
            turn=self.replicas.turn,
            grace_seconds=5,
        )

    async def _due(self) -> list[tuple[JobId, datetime]]:
        return self.rows

    async def _stalled(self, job_id: JobId) -> datetime | None:
        self.stalled.append(job_id)
        # As long as a busy database takes; another process looks for stalled ones meanwhile.
        await asyncio.sleep(0.1)
        return self.due_at

    async def advance(self, job_id: JobId, _at: datetime) -> None:
        self.advanced.append(job_id)
        self.took.set()
        await self.may_end.wait()

    async def until(self, count: int, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while len(self.advanced) < count:
                self.took.clear()
                await self.took.wait()


@asynccontextmanager
async def working(*processes: Process) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = []
        for each in processes:
            await each.dispatcher.open()
            tasks.append(group.create_task(each.replicas.run()))
            tasks.append(group.create_task(each.dispatcher.run(each.advance)))
        yield
        for task in tasks:
            task.cancel()


async def wake(database: Database, process: Process, job_id: JobId, **later: float) -> None:
    at = CLOCK.now() + timedelta(**later)
    await database.write(lambda tx: process.dispatcher.wake(tx, job_id, at))


async def test_a_nudge_comes_with_its_transaction_or_not_at_all(
    url: str, database: Database
) -> None:
    process = Process(url)

    def fail(tx: object) -> None:
        process.dispatcher.wake(tx, A, CLOCK.now())  # type: ignore[arg-type]  # as `write` gives it
        raise ValueError("rolled back")

    async with working(process):
        with pytest.raises(ValueError, match="rolled back"):
            await database.write(fail)
        await wake(database, process, B)
        await process.until(1)
    assert process.advanced == [B]


async def test_a_crowd_of_nudges_is_taken_in_all_hands_at_once(
    url: str, database: Database
) -> None:
    """More than one worker has: those that are not told of new ones look by themselves."""
    process = Process(url)
    process.may_end.clear()
    crowd = [JobId(f"r-{number:010}") for number in range(process.dispatcher._hands)]

    def nudge(tx: Tx) -> None:
        for job_id in crowd:
            process.dispatcher.wake(tx, job_id, CLOCK.now())

    async with working(process):
        await database.write(nudge)
        await process.until(len(crowd))
        process.may_end.set()
    assert sorted(process.advanced) == crowd


async def test_a_worker_that_ends_leaves_no_step_of_the_others_behind(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ends as it lost its connection, another fails for that: the third's step ends first."""
    process, made = Process(url), list[Worker]()
    process.dispatcher._grace_seconds = 60
    process.may_end.clear()
    has_failed, true = asyncio.Event(), process.dispatcher._to_worker

    def to_worker(number: int) -> Worker:
        made.append(true(number))
        return made[-1]

    def has_step(worker: Worker) -> bool:
        return any(each.job.task_name == ADVANCE for each in worker._running_jobs.values())

    async def fail() -> None:
        has_failed.set()
        raise exceptions.ConnectorException

    monkeypatch.setattr(process.dispatcher, "_to_worker", to_worker)
    async with working(process):
        await wake(database, process, A)
        await process.until(1)
        work = process.dispatcher._worker
        assert work is not None
        ending, failing = (each for each in made if not has_step(each))
        monkeypatch.setattr(failing, "_fetch_and_process_jobs", fail)
        ending.stop()  # type: ignore[no-untyped-call]  # procrastinate says nothing of it
        with suppress(TimeoutError):
            # It may be told to stop before it looks again, and ends well then.
            await asyncio.wait_for(has_failed.wait(), 3)
        await asyncio.wait({work}, timeout=0.3)
        assert not work.done()
        process.may_end.set()
        await asyncio.wait({work}, timeout=10)
        assert work.done()
    assert (process.advanced, process.stalled) == ([A], [])


async def test_a_lost_connection_is_the_stores_fault(url: str, database: Database) -> None:
    """As a process finds it that froze in a transaction, which the server then ended."""
    process = Process(url)

    def write(tx: Tx) -> None:
        at_server(url, CUT)
        process.dispatcher.wake(tx, A, CLOCK.now())

    with pytest.raises(StoreError):
        await database.write(write)


async def test_a_nudge_for_later_holds_up_none_for_now(url: str, database: Database) -> None:
    process = Process(url)
    async with working(process):
        await wake(database, process, A, seconds=3600)
        await wake(database, process, A, seconds=1)
        await wake(database, process, A)
        await process.until(2)


async def test_a_job_is_in_one_pair_of_hands_among_processes(url: str, database: Database) -> None:
    one, two = Process(url), Process(url)
    one.may_end.clear()
    two.may_end.clear()
    async with working(one, two):
        for _ in range(3):
            await wake(database, one, A)
        await wake(database, one, B)
        async with asyncio.timeout(30):
            while B not in one.advanced + two.advanced or A not in one.advanced + two.advanced:
                await asyncio.sleep(0.02)
        assert sorted(one.advanced + two.advanced) == [A, B]
        one.may_end.set()
        two.may_end.set()
        async with asyncio.timeout(30):
            while len(one.advanced + two.advanced) < 4:
                await asyncio.sleep(0.02)


@dataclass
class GoingOn(Process):
    """A process in which the first step of A makes it due at once; and the nudges it made."""

    database: Database | None = None
    nudges: list[JobId] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        true = self.dispatcher.wake

        def wake(tx: Transaction, job_id: JobId, at: datetime) -> None:
            self.nudges.append(job_id)
            true(tx, job_id, at)

        setattr(self.dispatcher, "wake", wake)  # noqa: B010 - mypy knows a method cannot be set

    async def advance(self, job_id: JobId, at: datetime) -> None:
        is_first = job_id not in self.advanced
        await super().advance(job_id, at)
        if is_first and job_id == A:
            await self.go_on(A)

    async def go_on(self, job_id: JobId, seconds: float | None = 0.0) -> None:
        assert self.database is not None
        at = None if seconds is None else CLOCK.now() + timedelta(seconds=seconds)
        await self.database.write(lambda tx: self.dispatcher.go_on(tx, job_id, at))


@dataclass
class Saying(GoingOn):
    """One in which each step of A says these, one after the other, before it ends.

    Due in so many seconds, or not any more.
    """

    says: Sequence[float | None] = ()

    async def advance(self, job_id: JobId, at: datetime) -> None:
        for seconds in self.says if job_id == A else ():
            await self.go_on(A, seconds)
        await Process.advance(self, job_id, at)


def cut_pool(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        assert conn.execute(CUT_POOL).fetchall()


def tasks(url: str) -> list[str]:
    """The state of each job's tasks, in procrastinate's words."""
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        found = conn.execute(
            "SELECT status::text FROM procrastinate_jobs WHERE task_name = %s", (ADVANCE,)
        )
        return [status for (status,) in found]


async def later(process: Process) -> list[float]:
    """In how many minutes the nudges are due that nobody has in hand."""
    async with process.dispatcher._app.open_async() as app:
        found = await app.job_manager.list_jobs_async(task=ADVANCE, status="todo")
    now = CLOCK.now()
    times = [each.scheduled_at or now for each in found]
    return [round((at - now).total_seconds() / 60) for at in times]


async def test_a_step_that_is_due_at_once_goes_on_in_the_same_hands(
    url: str, database: Database
) -> None:
    process = GoingOn(url, database=database)
    async with working(process):
        await wake(database, process, A)
        await process.until(2)
        await process.go_on(B)
        await process.until(3)
    assert process.advanced == [A, A, B]
    assert process.nudges == [A, B], "what nobody has in hand gets one"


async def test_what_went_on_in_hands_that_end_is_left_to_others(
    url: str, database: Database
) -> None:
    first, second = GoingOn(url, database=database), Process(url)
    first.dispatcher._grace_seconds = 0.2
    async with working(first):
        await wake(database, first, A)
        await first.until(1)
        first.may_end.clear()
        await first.until(2)
        await first.dispatcher.drain(20)
        async with working(second):
            await second.until(1)
    assert (first.advanced, second.advanced) == ([A, A], [A])


@pytest.mark.parametrize(
    ("says", "left"),
    [((3600.0,), [60]), ((3600.0, None), []), ((None, 3600.0), [60]), ((60.0, 7200.0), [120])],
    ids=["later", "no more", "later after all", "later still"],
)
async def test_what_is_due_later_gets_a_nudge_when_its_step_ends(
    url: str, database: Database, says: Sequence[float | None], left: list[float]
) -> None:
    process = Saying(url, database=database, says=says)
    process.may_end.clear()
    async with working(process):
        await wake(database, process, A)
        await process.until(1)
        assert await later(Process(url)) == []
        process.may_end.set()
        async with asyncio.timeout(30):
            while process.dispatcher._in_hand:
                await asyncio.sleep(0.01)
        assert await later(Process(url)) == left
    assert process.advanced == [A]


async def test_what_is_due_later_is_not_forgotten_by_a_process_that_ends(
    url: str, database: Database
) -> None:
    """Others take again what was in hand, and find that its row is not due yet."""
    process = Saying(url, database=database, says=(3600.0,))
    process.dispatcher._grace_seconds = 0.2
    process.may_end.clear()
    async with working(process):
        await wake(database, process, A)
        await process.until(1)
        await process.dispatcher.drain(20)
    assert await later(Process(url)) == [60]


async def test_what_died_in_hand_and_is_due_later_is_taken_again_then(
    url: str, database: Database
) -> None:
    process = Process(url, due_at=CLOCK.now() + timedelta(hours=1))
    async with working(process):
        await wake(database, process, A, seconds=3600)
        at_server(url, DEAD)
        async with asyncio.timeout(30):
            while not process.stalled or await later(Process(url)) != [60]:
                await asyncio.sleep(0.05)
    assert (process.stalled, process.advanced) == ([A], [])


async def test_a_step_of_the_sweep_leaves_a_nudge_behind(url: str, database: Database) -> None:
    """Because nobody takes such a task again where its process dies."""
    process = GoingOn(url, database=database)
    process.rows = [(A, CLOCK.now() - timedelta(minutes=1))]
    await process.dispatcher.open()
    async with process.dispatcher._app.open_async():
        await process.dispatcher._sweep(0)
    process.rows = []  # It sweeps by itself when it begins, and with each minute.
    async with working(process):
        await process.until(2)
    assert (process.advanced, process.nudges) == ([A, A], [A])


async def test_what_is_in_hand_at_the_end_is_left_to_others(url: str, database: Database) -> None:
    """A process that is stopped gives its steps some time; then another one takes them again."""
    first, second = Process(url), Process(url)
    first.dispatcher._grace_seconds = 0.2
    first.may_end.clear()
    async with working(first):
        await wake(database, first, A)
        await first.until(1)
        assert await first.dispatcher.drain(20) > 0
        async with working(second):
            await second.until(1)
    assert (first.advanced, second.advanced) == ([A], [A])


@pytest.mark.parametrize("is_heard", [True, False], ids=["a farewell", "in silence"])
async def test_a_step_ends_well_though_its_idle_connections_died(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch, *, is_heard: bool
) -> None:
    """Its task is over, instead of being taken for that of a dead process and taken again."""
    if not is_heard:

        async def hear_nothing(_conn: psycopg.AsyncConnection[object]) -> None:
            pass

        monkeypatch.setattr(connector, "_check", hear_nothing)
    process = Process(url)
    process.may_end.clear()
    async with working(process):
        await wake(database, process, A)
        await process.until(1)
        cut_pool(url)
        process.may_end.set()
        await wake(database, process, B)
        await process.until(2)
        async with asyncio.timeout(30):
            while tasks(url):
                await asyncio.sleep(0.05)
    assert (process.advanced, process.stalled) == ([A, B], [])


async def test_a_process_that_drains_while_the_database_is_away_starts_nothing_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, begun, pauses = Process(url), asyncio.Event(), []

    async def work() -> None:
        pauses.append("away")
        begun.set()
        raise psycopg.OperationalError("the server is away")

    monkeypatch.setattr(process.dispatcher, "_work", work)
    monkeypatch.setattr(procrastinate, "AGAIN_SECONDS", 0.1)
    running = asyncio.ensure_future(process.dispatcher.run(process.advance))
    await begun.wait()
    await process.dispatcher.drain(1)
    before = len(pauses)
    await asyncio.wait({running}, timeout=0.5)
    assert (len(pauses), running.done()) == (before, False)
    running.cancel()


async def test_rows_without_a_nudge_are_found(url: str, database: Database) -> None:
    process = Process(url)
    async with working(process):
        await wake(database, process, B)
        await process.until(1)
        process.rows = [(A, CLOCK.now() - timedelta(minutes=1)), (B, CLOCK.now())]
        await process.dispatcher._sweep(0)
        await process.dispatcher._sweep(0)
        await process.until(2)
    # The first nudge may have been taken before the second sweep.
    assert process.advanced[:2] == [B, A]
    assert B not in process.advanced[1:]


@pytest.mark.parametrize(
    ("of", "call"),
    [
        (connector.Connector, "open_async"),
        (JobManager, "register_worker"),
        (JobManager, "update_heartbeat"),
    ],
)
async def test_a_process_ends_though_a_cancel_was_lost(
    url: str, monkeypatch: pytest.MonkeyPatch, of: type, call: str
) -> None:
    """As in the pool of connections, where a cancel comes together with one that is free."""
    asked, lost, was = asyncio.Event(), asyncio.Event(), getattr(of, call)

    async def lose_a_cancel(*arguments: Any, **named: Any) -> Any:
        asked.set()
        if not lost.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            lost.set()
        return await was(*arguments, **named)

    monkeypatch.setattr(of, call, lose_a_cancel)
    process = Process(url)
    await process.dispatcher.open()
    running = asyncio.ensure_future(process.dispatcher.run(process.advance))
    await asked.wait()
    assert await process.dispatcher.drain(20) > 0, "it has ended in time"
    running.cancel()
    await asyncio.wait({running})
    assert lost.is_set()


async def test_what_a_worker_met_at_its_end_is_told_in_a_line(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_work, begun, was = asyncio.Event(), list[int](), JobManager.register_worker
    # Of this test's own loop: others may have left something behind.
    told_by_asyncio = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: told_by_asyncio.append(told))

    async def register(manager: JobManager) -> int:
        begun.append(await was(manager))
        if len(begun) == WORKERS:
            at_work.set()
        return begun[-1]

    async def meet_the_end(_manager: JobManager, _worker_id: int) -> None:
        raise exceptions.ConnectorException from psycopg.OperationalError("the server went down")

    monkeypatch.setattr(JobManager, "register_worker", register)
    monkeypatch.setattr(JobManager, "unregister_worker", meet_the_end)
    process = Process(url)
    await process.dispatcher.open()
    running = asyncio.ensure_future(process.dispatcher.run(process.advance))
    await at_work.wait()
    assert await process.dispatcher.drain(20) > 0
    running.cancel()
    await asyncio.wait({running})
    gc.collect()
    assert "the server went down" in caplog.text
    assert told_by_asyncio == []


async def test_what_died_in_hand_goes_on_with_whoever_lives(url: str, database: Database) -> None:
    process = Process(url)
    async with working(process):
        await wake(database, process, A, seconds=3600)
        at_server(url, DEAD)
        await process.until(1)
    assert (process.stalled, process.advanced) == ([A], [A])


async def test_what_died_in_hand_is_given_away_and_blamed_once(
    url: str, database: Database
) -> None:
    """Two processes look at once; what died may have been looking itself."""
    one, two = Process(url), Process(url)
    await one.dispatcher.open()
    await wake(database, one, A)
    apps = [each.dispatcher._app for each in (one, two)]
    async with apps[0].open_async(), apps[1].open_async(), asyncio.TaskGroup() as group:
        living = [group.create_task(each.replicas.run()) for each in (one, two)]
        await apps[0].configure_task(RETRY_STALLED).defer_async()
        at_server(url, DEAD)
        await asyncio.gather(*(each.dispatcher._retry_stalled() for each in (one, two)))
        left = await apps[0].job_manager.list_jobs_async()
        for task in living:
            task.cancel()
    assert one.stalled + two.stalled == [A]
    # A new look wakes all who wait for a task.
    assert sorted((each.task_name, each.status) for each in left) == [
        (ADVANCE, "todo"),
        (RETRY_STALLED, "todo"),
    ]


class FrozenClock(SystemClock):
    """Each look at it, a minute has gone by; it says when that was several times."""

    def __init__(self) -> None:
        super().__init__()
        self.looks, self.leap = 0, 60.0
        self.was_looked_at = asyncio.Event()

    def boottime(self) -> float:
        self.looks += 1
        if self.looks > 9:
            self.was_looked_at.set()
        return super().boottime() + self.looks * self.leap


async def test_who_was_frozen_takes_nobody_for_dead_before_they_can_beat(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all processes of a machine that slept."""
    monkeypatch.setattr(procrastinate, "HEARTBEAT_SECONDS", 0.01)
    process, clock = Process(url), FrozenClock()
    process.dispatcher._clock = clock
    await process.dispatcher.open()
    await wake(database, process, A)
    at_server(url, DEAD)
    app = process.dispatcher._app
    async with app.open_async():
        workers = [cast("Worker", SimpleNamespace(worker_id=0))]
        beating = asyncio.ensure_future(process.dispatcher._beat(workers))
        await clock.was_looked_at.wait()
        assert not list(await app.job_manager.list_jobs_async(task=RETRY_STALLED))
        clock.leap = 0.0
        async with asyncio.timeout(30):
            while not list(await app.job_manager.list_jobs_async(task=RETRY_STALLED)):
                await asyncio.sleep(0.01)
        beating.cancel()


class LaterClock(SystemClock):
    """The machine's, and as much later as is said."""

    later = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.later


async def test_who_was_cut_off_takes_nobody_for_dead_before_they_can_beat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As all processes of a database that was away."""
    monkeypatch.setattr(procrastinate, "HEARTBEAT_SECONDS", 0.0)
    process, clock = Process("postgresql+psycopg://nobody@127.0.0.1/none"), LaterClock()
    process.dispatcher._clock = clock
    is_away = iter([False, True, True, True, False, False])
    done: list[str] = []
    is_over = asyncio.Event()

    async def beat(_worker: int) -> None:
        clock.later += 2
        done.append("beat")
        if next(is_away):
            raise exceptions.ConnectorException

    async def look(**_: object) -> list[object]:
        done.append("look")
        if done.count("look") == 2:
            is_over.set()
        return []

    manager = process.dispatcher._app.job_manager
    monkeypatch.setattr(manager, "update_heartbeat", beat)
    monkeypatch.setattr(manager, "get_stalled_jobs", look)
    workers = [cast("Worker", SimpleNamespace(worker_id=0))]
    beating = asyncio.ensure_future(process.dispatcher._beat(workers))
    async with asyncio.timeout(30):
        await is_over.wait()
    beating.cancel()
    assert done == ["beat", "look", "beat", "beat", "beat", "beat", "beat", "look"]


async def test_what_the_sweep_began_and_left_holds_up_nothing(
    url: str, database: Database
) -> None:
    """Its next nudge waits already, and only one of them may."""
    process, now = Process(url), CLOCK.now() - timedelta(minutes=5)
    process.rows = [(A, now)]
    await process.dispatcher.open()
    app = process.dispatcher._app
    async with app.open_async(), asyncio.TaskGroup() as group:
        living = group.create_task(process.replicas.run())
        await process.dispatcher._sweep(0)
        at_server(url, DEAD)
        await process.dispatcher._sweep(0)
        await wake(database, process, B)
        await process.dispatcher._retry_stalled()
        left = await app.job_manager.list_jobs_async(task=ADVANCE)
        living.cancel()
    assert process.stalled == [A]
    assert [(each.task_kwargs["job_id"], each.status) for each in left] == [
        (A, "todo"),
        (B, "todo"),
    ]


BEAT = SQL("SELECT max(last_heartbeat) FROM procrastinate_workers")


async def test_a_process_that_ends_its_steps_is_not_taken_for_dead(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procrastinate, "HEARTBEAT_SECONDS", 0.2)
    process = Process(url)
    process.dispatcher._grace_seconds = 60
    process.may_end.clear()
    async with working(process):
        await wake(database, process, A)
        await process.until(1)
        draining = asyncio.ensure_future(process.dispatcher.drain(60))
        async with asyncio.timeout(30):
            # The first may come from the workers that did not hear yet that they shall end.
            for _ in range(WORKERS + 1):
                await beat_after(url, beat(url))
        assert not draining.done()
        process.may_end.set()
        assert await draining > 0


def beat(url: str) -> datetime:
    """When a worker showed last that it lives."""
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        [(at,)] = conn.execute(BEAT).fetchall()
    return cast("datetime", at)


async def beat_after(url: str, last: datetime) -> None:
    """Wait until one shows it again."""
    while beat(url) <= last:
        await asyncio.sleep(0.05)
