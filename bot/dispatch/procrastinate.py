"""The dispatcher of several processes on PostgreSQL: procrastinate says who advances what.

A task there is only a nudge, deferred in the transaction that made the job due; the truth is the
row. Procrastinate's claim, notices, heartbeats and detection of stalled workers are used as they
are. A job's tasks have one lock, and the earlier one is due, the higher its priority: so a nudge
for later never holds up one for now. What a step makes due at once needs no other nudge: the task
in hand goes on. What it makes due later gets one when the task ends: most of it is void by then.
A task that is cut off, or whose process dies, is taken again by others when its row is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import cast, overload

import psycopg
from procrastinate import App, JobContext, SyncPsycopgConnector, exceptions
from procrastinate.jobs import Job as Task
from procrastinate.jobs import Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker
from sqlalchemy import URL, Connection

from bot.alongside import alongside
from bot.clock import Clock
from bot.dispatch.connector import Connector
from bot.errors import StoreError
from bot.log import get_logger
from bot.ports import Transaction
from bot.refs import JobId
from bot.store.database import cause
from bot.store.postgres import MIGRATING, connect_args, conninfo
from bot.store.transaction import Tx

QUEUE = "raybot"
ADVANCE, RETRY_STALLED, SWEEP = "raybot:advance", "raybot:retry_stalled", "raybot:sweep"
#: How often a process says that it lives, and how long one is silent before it counts as dead.
HEARTBEAT_SECONDS, STALLED_SECONDS = 1.0, 5.0
POLL_SECONDS = 1.0
#: A worker claims one task after another, which takes some turns of the loop each. Only the first
#: is told of new ones; the others look each second, and go on claiming while there are any.
WORKERS = 3
AGAIN_SECONDS = 1.0
#: How long a row may be due without a nudge before it gets one.
OVERDUE = timedelta(seconds=15)
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_HAS_TABLES = "SELECT to_regclass('procrastinate_jobs')"
log = get_logger(__name__)
Advance = Callable[[JobId, datetime], Awaitable[None]]


class ProcrastinateDispatcher:
    """Nudges in procrastinate's tables; a job is in one pair of hands among all processes.

    A step mostly waits, for a host, a chat or its row, so there are more `hands` than clips of a
    crowd that end within a second: with half as many they queued for theirs.
    """

    def __init__(
        self,
        url: URL,
        clock: Clock,
        due_times: Callable[[], Awaitable[list[tuple[JobId, datetime]]]],
        *,
        stalled: Callable[[JobId], Awaitable[datetime | None]],
        turn: Callable[[str], AbstractAsyncContextManager[None]],
        grace_seconds: float,
        hands: int = 96,
    ) -> None:
        self._url = url
        self._clock = clock
        self._due_times = due_times
        self._stalled = stalled
        self._turn = turn
        self._grace_seconds = grace_seconds
        self._hands = hands
        self._advance: Advance | None = None
        self._worker: asyncio.Task[None] | None = None
        #: What is in hand here, or was cut off, and when it is due again by its own step.
        self._in_hand: dict[JobId, datetime | None] = {}
        self._cut_off: dict[JobId, datetime | None] = {}
        self._is_draining = False
        #: When others heard of us last, or we began; of one worker as of the next.
        self._beat_at = clock.boottime()
        # Of its own, because tasks are deferred on the connection of the store's writer thread.
        self._deferrer = JobManager(SyncPsycopgConnector())
        self._app = self._build()

    def _build(self) -> App:
        app = App(connector=Connector(self._url))
        left = LeftToOthers(lambda job_id: self._cut_off.pop(job_id, None))
        app.task(name=ADVANCE, queue=QUEUE, retry=left, pass_context=True)(self._take)
        app.task(name=RETRY_STALLED, queue=QUEUE, queueing_lock=RETRY_STALLED)(self._retry_stalled)
        app.periodic(cron="* * * * *")(
            app.task(name=SWEEP, queue=QUEUE, queueing_lock=SWEEP)(self._sweep)
        )
        return app

    async def open(self) -> None:
        """Make procrastinate's tables where they are missing; raises `StoreError`."""
        try:
            await asyncio.to_thread(_make_tables, self._url)
        except (psycopg.Error, exceptions.ConnectorException) as error:
            raise StoreError(f"procrastinate's tables cannot be made: {error}.") from error

    def wake(self, tx: Transaction, job_id: JobId, at: datetime) -> None:
        """Let this job be advanced at this time, if the transaction commits."""
        cast("Tx", tx).put_off(self._defer, to_task(job_id, at))

    def _defer(self, conn: Connection, tasks: list[Task]) -> None:
        driver = conn.connection.driver_connection
        try:
            self._deferrer.batch_defer_jobs(tasks, connection=driver)
        except exceptions.ConnectorException as error:
            # The store knows what to do where only the connection ended.
            lost = error.__cause__
            if isinstance(lost, psycopg.Error):
                raise lost from None
            raise StoreError("The database did not take it.") from error

    def go_on(self, tx: Transaction, job_id: JobId, at: datetime | None) -> None:
        """Like `wake`, but called by the job's own step, whose task is enough while it is in hand.

        None cancels it.
        """
        is_here = job_id in self._in_hand
        if at is not None and (not is_here or (self._is_draining and at <= self._clock.now())):
            self.wake(tx, job_id, at)
        else:
            tx.after_commit(lambda: self._keep(job_id, at))

    def _keep(self, job_id: JobId, at: datetime | None) -> None:
        if job_id in self._in_hand:
            self._in_hand[job_id] = at

    async def run(self, advance: Advance) -> None:
        """Advance what is due until cancelled; a worker that lost the database begins anew."""
        self._advance = advance
        is_lost = False
        while not self._is_draining:
            async with alongside(self._work()) as self._worker:
                await asyncio.wait({self._worker})
            if self._worker.cancelled():
                break
            error = self._worker.exception()
            is_away = isinstance(error, psycopg.OperationalError)
            if error is not None and not (is_lost and is_away):
                log.warning("dispatch.lost_database", cause=_cause(error))
            is_lost = is_away
            await asyncio.sleep(AGAIN_SECONDS)
        # Drained: nothing more is started here.
        await asyncio.Event().wait()

    async def _work(self) -> None:
        # First a connection of its own: a pool would try ever less often.
        async with await psycopg.AsyncConnection.connect(conninfo(self._url), **connect_args()):
            pass
        workers = [self._to_worker(number) for number in range(WORKERS)]
        async with self._opened(), alongside(self._beat(workers), again_after=AGAIN_SECONDS):
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_run(each)) for each in workers]
                    # One ends early because it lost the database: then the others have, too.
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    # Not cancelled: a second cancel leaves the steps in hand to themselves.
                    for worker in workers:
                        worker.stop()  # type: ignore[no-untyped-call]  # procrastinate says nothing of it
            except BaseExceptionGroup as errors:
                first = errors.exceptions[0]
                raise first from first.__cause__

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        try:
            # Apart, because a cancel may be lost while they open, as said in `alongside`.
            async with alongside(self._app.open_async()) as opening:
                await asyncio.wait({opening})
            opening.result()
            yield
        finally:
            await self._app.close_async()

    def _to_worker(self, number: int) -> Worker:
        return Worker(
            self._app,
            queues=[QUEUE],
            concurrency=self._hands // WORKERS,
            listen_notify=number == 0,
            fetch_job_polling_interval=POLL_SECONDS,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
            shutdown_graceful_timeout=self._grace_seconds,
            delete_jobs="always",
            install_signal_handlers=False,
        )

    async def _beat(self, workers: Sequence[Worker]) -> None:
        """Show that we live also while steps end, and look whether others do.

        A worker that stops does not beat itself.
        """
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            ids = [each.worker_id for each in workers if each.worker_id is not None]
            if not ids:
                continue
            with suppress(exceptions.ConnectorException):
                for worker_id in ids:
                    await self._app.job_manager.update_heartbeat(worker_id)
                before, self._beat_at = self._beat_at, self._clock.boottime()
                silent = self._beat_at - before
                # Who was frozen or cut off does not judge: others were, too, and beat only now.
                if silent < STALLED_SECONDS - HEARTBEAT_SECONDS and await self._find_stalled():
                    await self._look_at_stalled()

    async def drain(self, seconds: float) -> float:
        """Start nothing more, and let the steps in hand end; others go on with what is left."""
        began, self._is_draining = self._clock.boottime(), True
        if self._worker is not None and not self._worker.done():
            self._worker.cancel()
            await asyncio.wait({self._worker}, timeout=seconds)
        return max(0.0, seconds - (self._clock.boottime() - began))

    # ---- tasks ---------------------------------------------------------------------------

    async def _take(self, context: JobContext, *, job_id: str, at: str) -> None:
        assert self._advance is not None
        assert context.job is not None
        job, due = JobId(job_id), datetime.fromisoformat(at)
        # One that is taken again may be due later than it was.
        due = max(due, context.job.scheduled_at or due)
        if context.job.queueing_lock is not None:
            # One of the sweep is not taken again by others, so each step has a nudge of its own.
            await self._advance(job, due)
            return
        try:
            while True:
                self._in_hand[job] = None
                await self._advance(job, due)
                again = self._in_hand.get(job)
                if again is None or again > self._clock.now():
                    break
                due = again
            if again is not None:
                # Without the database it cannot be said; the sweep finds the row.
                with suppress(exceptions.ConnectorException):
                    await self._app.job_manager.defer_job_async(to_task(job, again))
        except asyncio.CancelledError:
            self._cut_off[job] = self._in_hand.get(job)
            raise
        finally:
            self._in_hand.pop(job, None)

    async def _find_stalled(self) -> list[Task]:
        found = await self._app.job_manager.get_stalled_jobs(
            queue=QUEUE, seconds_since_heartbeat=STALLED_SECONDS
        )
        return list(found)

    async def _look_at_stalled(self) -> None:
        """Let some process retry what is stalled; this also wakes all that wait for a task."""
        with suppress(exceptions.AlreadyEnqueued):
            await self._app.configure_task(RETRY_STALLED).defer_async()

    async def _retry_stalled(self) -> None:
        """Give to others what a process that died or froze has in its hands."""
        # One process at a time: another one would blame the job once more, and give away what
        # is in good hands again.
        async with self._turn(RETRY_STALLED):
            given = await asyncio.gather(*map(self._give_away, await self._find_stalled()))
        if any(given):
            # Nobody is told of a task that is retried, but of a new one.
            await self._look_at_stalled()

    async def _give_away(self, task: Task) -> bool:
        """Whether it was; else it is looked at again a moment later."""
        log.warning("dispatch.stalled", task=task.task_name, job=task.task_kwargs.get("job_id"))
        manager, at = self._app.job_manager, None
        try:
            if task.task_name == ADVANCE:
                at = await self._stalled(JobId(str(task.task_kwargs["job_id"])))
            if task.queueing_lock is None:
                await manager.retry_job(task, retry_at=at, priority=to_priority(at))
            else:
                # It comes again by itself, and maybe waits already, which it may only once.
                await manager.finish_job(task, Status.ABORTED, delete_job=True)
        except (exceptions.ConnectorException, StoreError):
            return False
        return True

    async def _sweep(self, timestamp: int) -> None:
        """Nudge the rows that are due and that nobody was told of."""
        del timestamp
        overdue = self._clock.now() - OVERDUE
        for job_id, at in await self._due_times():
            if at > overdue:
                continue
            try:
                await self._app.job_manager.defer_job_async(
                    to_task(job_id, at, queueing_lock=f"sweep:{job_id}")
                )
            except exceptions.AlreadyEnqueued:
                continue


class LeftToOthers(BaseRetryStrategy):
    """A step that was cut off by its process's end is taken again, by whoever is there."""

    def __init__(self, due: Callable[[JobId], datetime | None]) -> None:
        self._due = due

    def get_retry_decision(self, *, exception: BaseException, job: Task) -> RetryDecision | None:
        """When its row is due where it was cancelled; else never: `advance` tells the row."""
        is_cut = isinstance(exception, asyncio.CancelledError | exceptions.JobAborted)
        # One of the sweep comes again by itself, and may wait only once.
        if not is_cut or job.queueing_lock is not None:
            return None
        at = self._due(JobId(str(job.task_kwargs["job_id"])))
        return RetryDecision(retry_at=at, priority=to_priority(at))


async def _run(worker: Worker) -> None:
    try:
        async with alongside(worker.run()) as running:  # type: ignore[no-untyped-call]  # procrastinate says nothing of it
            try:
                await asyncio.wait({running})
            except asyncio.CancelledError:
                # Where it was about to register its cancel may be lost, as said in `alongside`.
                worker.stop()  # type: ignore[no-untyped-call]  # nor of that
                raise
    finally:
        worker.worker_id = None  # So that nobody says any more that it lives.
        if running.done():
            running.result()  # Else asyncio tells of what it met, with a traceback.


def to_task(job_id: JobId, at: datetime, *, queueing_lock: str | None = None) -> Task:
    """The nudge for a job at a time."""
    return Task(
        id=None,
        queue=QUEUE,
        task_name=ADVANCE,
        task_kwargs={"job_id": job_id, "at": at.isoformat()},
        lock=job_id,
        queueing_lock=queueing_lock,
        scheduled_at=at,
        priority=to_priority(at),
    )


@overload
def to_priority(at: datetime) -> int: ...
@overload
def to_priority(at: None) -> None: ...
def to_priority(at: datetime | None) -> int | None:
    """Higher, the earlier; a nudge that comes again at no certain time keeps the one it has."""
    return None if at is None else -int((at - _EPOCH).total_seconds())


def _cause(error: BaseException) -> str:
    """What the database said; procrastinate itself says only that it said something."""
    while error.__cause__ is not None:
        error = error.__cause__
    return cause(error)


def _make_tables(url: URL) -> None:
    with psycopg.connect(conninfo(url), **connect_args()) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATING,))
        found = conn.execute(_HAS_TABLES).fetchone()
        if found is None or found[0] is None:
            from procrastinate.schema import SchemaManager

            conn.execute(SchemaManager.get_schema())
