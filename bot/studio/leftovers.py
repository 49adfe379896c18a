"""Requests that were being prepared by a process that died: another one takes them up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from datetime import timedelta

from bot.clock import Clock
from bot.errors import BotError, StoreError
from bot.log import get_logger, naming
from bot.ports import Adapter
from bot.refs import JobId
from bot.replicas import Replicas
from bot.store import preparing
from bot.store.database import Database
from bot.studio.intake import Intake

log = get_logger(__name__)
LOOK_EVERY = timedelta(seconds=5)


class Leftovers:
    """Looks for requests from this process's chats that nobody prepares any more."""

    def __init__(
        self,
        *,
        database: Database,
        intake: Intake,
        clock: Clock,
        replicas: Replicas,
        adapters: Mapping[str, Adapter],
    ) -> None:
        self._database = database
        self._intake = intake
        self._clock = clock
        self._replicas = replicas
        self._adapters = adapters
        #: The processes that were not there at the last look; one may be cut off for a moment.
        self._gone: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Take up what is left, until cancelled."""
        while True:
            await self.take_up()
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def take_up(self) -> None:
        """Prepare again what this process has not in hand any more, or one had that is gone.

        What fails is logged.
        """
        own = self._replicas.name
        try:
            left = await self._database.read(
                lambda conn: preparing.by_process(conn, self._adapters)
            )
            taken = await self._take_over({by for _, by in left} - {own})
        except StoreError as error:
            self._gone = frozenset()
            log.error("leftovers.store_failed", cause=error.sentence)  # noqa: TRY400
            return
        for job_id in [each for each, by in left if by == own or each in taken]:
            with naming(job_id):
                try:
                    await self._intake.take_up(job_id)
                except BotError as error:
                    log.info("job.not_taken_up", job=job_id, cause=type(error).__name__)

    async def _take_over(self, names: Set[str]) -> frozenset[JobId]:
        """What those have who were not there twice, or once where there are no others."""
        gone = await self._replicas.gone(names)
        dead, self._gone = gone if self._replicas.is_single else gone & self._gone, gone
        if not dead:
            return frozenset()
        adapters, by = self._adapters, self._replicas.name
        return await self._database.write(
            lambda tx: preparing.take_over(tx, dead, adapters, by=by)
        )
