"""Requests that were being prepared by a process that died: another one takes them up."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from datetime import UTC, datetime, timedelta

from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import BotError, DeliveryUnavailable, StoreError
from bot.log import get_logger, naming
from bot.refs import JobId
from bot.store import preparing
from bot.store.database import Database
from bot.studio.intake import Intake

log = get_logger(__name__)
#: What is younger is in good hands; without images, in ours or nobody's, that is over much sooner.
LEFT_AFTER, LEFT_SOON = timedelta(minutes=3), timedelta(seconds=5)
LOOK_EVERY = timedelta(seconds=5)
LATEST = datetime.max.replace(tzinfo=UTC)


class Leftovers:
    """Looks for requests that nobody prepares any more."""

    def __init__(
        self, *, database: Database, intake: Intake, clock: Clock, context: BotContext
    ) -> None:
        self._database = database
        self._intake = intake
        self._clock = clock
        self._replicas, moderation = context.replicas, context.moderation
        hook_for = moderation.hook_timeout_seconds if moderation.hook_url else 0.0
        # What waits for the hook is in good hands.
        self._left_soon = LEFT_SOON + timedelta(seconds=hook_for)
        #: Taken up here in vain, because their chat platform is away.
        self._put_off: set[JobId] = set()
        #: The processes that were not there at the last look; one may be cut off for a moment.
        self._gone: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Take up what is left, until cancelled; alone, at a start, all that there is."""
        if self._replicas.is_single:
            await self.take_up()
        while True:
            await self.take_up(after=LEFT_AFTER)
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def take_up(self, *, after: timedelta | None = None) -> None:
        """Prepare again what a process had that is gone, or what began so long ago.

        What fails is logged. Where nobody else is at work that is all there is, also what a clock
        that was put back since has dated later.
        """
        until = soon = LATEST
        if after is not None:
            now = self._clock.now()
            until, soon = now - after, now - min(after, self._left_soon)
        try:
            left = await self._database.read(preparing.by_process)
            taken = await self._take_over({by for _, by in left if by})
        except StoreError as error:
            self._gone = frozenset()
            log.error("leftovers.store_failed", cause=error.sentence)  # noqa: TRY400
            return
        again, self._put_off = self._put_off | taken, set[JobId]()
        for job_id, by in left:
            is_elsewhere = by not in ("", self._replicas.name)
            bare = until if is_elsewhere else soon
            times = (LATEST, LATEST) if job_id in again else (until, bare)
            with naming(job_id):
                try:
                    await self._intake.take_up(job_id, until=times[0], soon=times[1])
                except BotError as error:
                    log.info("job.not_taken_up", job=job_id, cause=type(error).__name__)
                    if isinstance(error, DeliveryUnavailable):
                        self._put_off.add(job_id)

    async def _take_over(self, names: Set[str]) -> frozenset[JobId]:
        """What those have who were not there twice; it is this process's from now on."""
        gone = await self._replicas.gone(names - {self._replicas.name})
        dead, self._gone = gone & self._gone, gone
        if not dead:
            return frozenset()
        by = self._replicas.name
        return await self._database.write(lambda tx: preparing.take_over(tx, dead, by=by))
