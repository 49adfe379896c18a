"""What becomes of the jobs of a provider that is configured no more, or is draining.

Those that wait go elsewhere, or end. What one that is draining has already, its watcher looks
after, be it in another process; of the others the operator is told. Of several processes each may
know other providers while their configuration is changed, so there it takes a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from functools import partial

from bot.choice import is_draining
from bot.clock import Clock
from bot.errors import StoreError
from bot.job import Failure, Job, JobState
from bot.log import get_logger
from bot.ports import Provider
from bot.replicas import Replicas, drain_role, watch_role
from bot.routing.failover import Failover
from bot.store import jobs, ledger, settings
from bot.store.database import Database
from bot.store.transaction import Tx

log = get_logger(__name__)
LOOK_EVERY = timedelta(minutes=1)
#: How long nobody may have watched a provider before its jobs are given up.
PATIENCE = timedelta(minutes=10)


class Unserved:
    """Gives up what no process can carry out."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        replicas: Replicas,
        failover: Failover,
        hand_on: Callable[[Tx, Job], Job],
        providers: Mapping[str, Provider],
    ) -> None:
        self._database = database
        self._clock = clock
        self._replicas = replicas
        self._failover = failover
        self._hand_on = hand_on
        self._draining = {name for name, each in providers.items() if is_draining(each)}
        serving = providers.keys() - self._draining
        self._left = partial(jobs.unserved, serving=serving, draining=self._draining)
        #: Since when nobody watches a provider that has jobs, in boot time.
        self._free_since: dict[str, float] = {}

    async def give_up(self) -> None:
        """At once: there is no other process."""
        await self._database.write(lambda tx: self._end(tx, self._left(tx.conn)))

    async def run(self) -> None:
        """Look until cancelled: what is draining may put a job back in line."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.error("unserved.store_failed", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def look(self) -> None:
        """Tell of each provider that nobody watches any more, and give its jobs up in the end."""
        found = await self._database.read(self._left)
        if not self._database.is_shared:
            if any(job.state is JobState.ACCEPTED for job in found):
                await self.give_up()
            return
        names, is_held = {_provider_of(job) for job in found}, self._replicas.is_held
        elsewhere = {name for name in names if await is_held(drain_role(name))}
        left = partial(self._left, draining=self._draining | elsewhere)
        now, free = self._clock.boottime(), dict[str, float]()
        for name in {_provider_of(job) for job in await self._database.read(left)}:
            if not await is_held(watch_role(name)):
                free[name] = self._free_since.get(name, now)
        new = free.keys() - self._free_since.keys()
        over = {name for name, since in free.items() if now - since >= PATIENCE.total_seconds()}
        if new:
            await self._database.write(lambda tx: self._tell(tx, new))
        if over:
            await self._database.write(
                lambda tx: self._end(
                    tx, (each for each in left(tx.conn) if _provider_of(each) in over)
                )
            )
        self._free_since = free

    def _tell(self, tx: Tx, new: Collection[str]) -> None:
        now = self._clock.now()
        for name in sorted(new):
            sentence = (
                f"Jobs are left at {name}, which no process of Raybot serves. If none does in "
                f"{PATIENCE.seconds // 60} minutes, those that wait go elsewhere, or end."
            )
            settings.note_operator(tx, f"unserved:{name}:{now:%Y%m%dT%H%M%S}", sentence, now)

    def _end(self, tx: Tx, left: Iterable[Job]) -> None:
        now = self._clock.now()
        for job in left:
            assert job.plan is not None
            name, route = job.plan.provider, self._failover.next(job.plan)
            if job.state is not JobState.ACCEPTED:
                sentence = (
                    f"{job.id} is {job.state} at {name}, which is not configured any more. It "
                    f"goes on once [providers.{name}] has its key again."
                )
                settings.note_operator(tx, f"unserved:{job.id}", sentence, now, job.id)
                continue
            if route is not None:
                self._hand_on(tx, self._failover.take(tx, job, route, now))
            else:
                sentence = f"The video service {name} is not set up here any more. Ask again."
                failure = Failure(code="refused", sentence=sentence)
                self._hand_on(tx, ledger.fail(tx, job, now, failure))


def _provider_of(job: Job) -> str:
    assert job.plan is not None
    return job.plan.provider
