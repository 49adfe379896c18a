"""Finds the news that nobody shows any more: those of a process died with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.bot_context import Announce
from bot.clock import Clock
from bot.errors import StoreError
from bot.log import get_logger
from bot.refs import JobId
from bot.store import figures, jobs, messages
from bot.store.database import Database

log = get_logger(__name__)
TOLD_OF_LATE = timedelta(days=1)
#: How often a process shows what another one left unshown, and how long that one had for it.
LOOK_EVERY, ITS_OWN = timedelta(seconds=10), timedelta(seconds=5)
#: Ten thousand at once, after a start, would hold up what runs.
SHOWN_A_SECOND = 50


class Unshown:
    """Has the status messages looked at of jobs that nobody here touched."""

    def __init__(self, database: Database, clock: Clock, touch: Announce) -> None:
        self._database = database
        self._clock = clock
        self._touch = touch
        #: The newest move at the last look.
        self._seen: int | None = None
        #: The jobs, and their versions, that asked their person something then: that is no move.
        self._asking: set[tuple[JobId, int]] = set()

    async def run(self) -> None:
        """Look until cancelled; once is enough for a process that has no others."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.error("unshown.store_failed", cause=error.sentence)  # noqa: TRY400
            else:
                if not self._database.is_shared:
                    return
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def look(self) -> None:
        """Touch what moved, or began to ask, since the last look, and does not show it.

        At first all that is open, and what ended of late: its last word may have been lost, too.
        """
        now, seen = self._clock.now(), self._seen
        newest, asking = await self._database.read(
            lambda conn: (figures.last_event(conn, now - ITS_OWN), figures.asking(conn))
        )
        found = await self._database.read(
            lambda conn: (
                [*jobs.worth_showing(conn, now - TOLD_OF_LATE), *messages.showing_images(conn)]
                if seen is None
                else messages.behind(conn, seen, newest)
            )
        )
        asked = [job_id for job_id, _ in asking - self._asking]
        for place, job_id in enumerate(dict.fromkeys((*asked, *found))):
            self._touch(job_id, after=place / SHOWN_A_SECOND)
        self._seen, self._asking = newest, asking
