"""What became of a request, as whoever asked is told, and the writes that change it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import StoreError
from bot.job import Job
from bot.notices import Accepted, Notice
from bot.outlook import to_about
from bot.ports import Dispatcher
from bot.refs import JobId
from bot.store import errands, jobs, lineage, stories
from bot.store.database import Database
from bot.store.transaction import Tx


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a request at once.

    `is_repeat`: it was a second press for what is under way already.
    """

    job_id: JobId
    notice: Notice
    is_repeat: bool = False


def hand_on(tx: Tx, job: Job, *, dispatcher: Dispatcher, announce: Callable[[JobId], None]) -> Job:
    """Let a job that was changed be advanced when it is due, and show how it stands."""
    if job.next_at is not None:
        dispatcher.wake(tx, job.id, job.next_at)
    stories.wake(tx, dispatcher, job)
    tx.after_commit(partial(announce, job.id))
    return job


class Receipts:
    """Answers about jobs, and changes them so that everybody hears of it.

    `wake_courier` makes the courier bring what is said beside a job's own messages.
    """

    def __init__(
        self,
        *,
        database: Database,
        dispatcher: Dispatcher,
        clock: Clock,
        context: BotContext,
        wake_courier: Callable[[], None],
    ) -> None:
        self._database = database
        self._wake_courier = wake_courier
        self._clock = clock
        self._context = context
        self._hand_on = partial(hand_on, dispatcher=dispatcher, announce=context.announce)

    async def write(self, work: Callable[[Tx], Job]) -> Job:
        """Change a job, let it be advanced when it is due, and show how it stands."""
        return (await self.write_all(lambda tx: [work(tx)]))[0]

    async def write_all(self, work: Callable[[Tx], list[Job]]) -> list[Job]:
        """Change several jobs in one transaction; otherwise like `write`."""

        def write(tx: Tx) -> list[Job]:
            every = work(tx)
            for changed in every:
                self._hand_on(tx, changed)
                if changed.plan is not None and (changed.plan.question or changed.plan.granted):
                    errands.renew_questions(tx, changed.id, self._clock.now())
                    tx.after_commit(self._wake_courier)
            return every

        return await self._database.write(write)

    async def first_answer(self, job: Job) -> Receipt:
        """How a job stands."""
        return Receipt(job_id=job.id, notice=await self._context.to_notice(job))

    async def first_answers(self, job: Job) -> tuple[Receipt, ...]:
        """Of a job, and of those that were asked for with it."""
        batch = await self._database.read(lambda conn: lineage.batch(conn, job))
        return tuple([await self.first_answer(each) for each in batch])

    async def of(self, dedupe_key: str) -> tuple[Receipt, ...]:
        """What became of a request, and of those asked for with it; none where there is none."""
        job = await self._database.read(lambda conn: jobs.by_dedupe_key(conn, dedupe_key))
        return await self.first_answers(job) if job is not None else ()

    async def answer_now(self, job_id: JobId) -> Receipt:
        """For who came too late: how the job stands after somebody else changed it."""
        return await self.first_answer(
            await self._database.read(lambda conn: jobs.get(conn, job_id))
        )

    async def to_accepted(self, job: Job) -> Receipt:
        """That a job was accepted just now."""
        parent = None
        if job.parent is not None:
            # It is accepted, so no fault of a read may say that it is not.
            with suppress(StoreError):
                parent = await self._database.read(lambda conn: lineage.parent(conn, job))
        return Receipt(job_id=job.id, notice=Accepted(about=to_about(job, parent)))
