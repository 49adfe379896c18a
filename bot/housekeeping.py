"""The house's own chores: retention, who sleeps for too long, an hourly look at the books."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta

from bot.clips import Clips
from bot.clock import Clock
from bot.errors import BotError, StoreError
from bot.frames import Frames
from bot.log import get_logger
from bot.metrics import Metrics
from bot.ports import Dispatcher, Provider
from bot.refs import JobId
from bot.store import inbox, integrity, jobs, queues, settings, sittings, stories
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.tables import BotTable

log = get_logger(__name__)
CLEAN_EVERY = timedelta(hours=1)
#: How long adapter state is kept after a job ends.
KEPT_FOR_JOBS = timedelta(days=3)
#: Platforms redeliver for up to a day, so keys are kept longer.
KNOWN_KEYS = timedelta(hours=25)
#: How long an unanswered delivery is kept: nobody waits for an answer any longer.
UNDONE_FOR = timedelta(days=1)
OVERSLEPT = "jobs that sleep for too long"


class Housekeeping:
    """The chores: of jobs that oversleep and the books at the start, and of all every hour."""

    def __init__(
        self,
        *,
        database: Database,
        dispatcher: Dispatcher,
        providers: Collection[Provider],
        clips: Clips,
        frames: Frames,
        table: BotTable,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._providers = providers
        self._clips = clips
        self._frames = frames
        self._table = table
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Do the chores every hour until cancelled; one that fails spoils no other."""
        try:
            await self._try(OVERSLEPT, self._wake_overslept)
            await self._try("the books", self.verify_books)
            while True:
                await self._clock.wait(asyncio.Event(), self._clock.now() + CLEAN_EVERY)
                await self.clean()
                await self._try("the books", self.verify_books)
        finally:
            # Another process looks from now on, and this one would not hear that they are mended.
            self._metrics.broken_rules.set(0)

    async def clean(self) -> None:
        """Drop what is past its time, as far as it can be."""
        chores = {
            OVERSLEPT: self._wake_overslept,
            "old clips": self._clean_clips,
            "old images": self._clean_images,
            "what chats keep of old jobs": self._forget_ended,
            "old deliveries": self._forget_deliveries,
            "old sessions": self._end_sittings,
            "old prompts": self._forget_prompts,
        }
        for what, chore in chores.items():
            await self._try(what, chore)

    async def _try(self, what: str, chore: Callable[[], Awaitable[None]]) -> None:
        """Do a chore; where it fails, the operator hears of it once a day."""
        try:
            await chore()
        except BotError as error:
            log.error("housekeeping.failed", chore=what, cause=error.sentence)  # noqa: TRY400
            now = self._clock.now()
            key = f"housekeeping:{what}:{now:%Y-%m-%d}"
            sentence = f"Housekeeping fails at {what}, and tries again each hour: {error.sentence}"
            with suppress(StoreError):
                await self._note(key, sentence, now)

    async def _wake_overslept(self) -> None:
        """Wake what was put off while the wall clock was ahead, also by another process."""
        now, own = self._clock.now(), [each.limits.submit_seconds for each in self._providers]

        def wake(tx: Tx) -> int:
            woken = queues.wake_overslept(tx, now, submit_seconds=max(own, default=0.0))
            for job_id, at in woken:
                self._dispatcher.wake(tx, job_id, at)
            return len(woken)

        if count := await self._database.write(wake):
            log.warning("clock.was_ahead", jobs=count)

    async def _clean_clips(self) -> None:
        days, in_use = self._table.clip_retention_days, await self._in_use()
        await self._clips.sweep(self._clock.now(), days=days, spare=in_use)

    async def _clean_images(self) -> None:
        hours, days = self._table.frame_retention_hours, self._table.upload_retention_days
        in_use = await self._in_use()
        await self._frames.sweep(self._clock.now(), hours=hours, days=days, spare=in_use)

    async def _in_use(self) -> Collection[JobId]:
        return await self._database.read(stories.in_use)

    async def _forget_ended(self) -> None:
        before = self._clock.now() - KEPT_FOR_JOBS
        await self._database.write(lambda tx: settings.forget_ended(tx, before))

    async def _forget_deliveries(self) -> None:
        now = self._clock.now()
        done, undone = now - KNOWN_KEYS, now - UNDONE_FOR
        await self._database.write(lambda tx: inbox.forget(tx, done=done, undone=undone))

    async def _end_sittings(self) -> None:
        now = self._clock.now()
        await self._database.write(lambda tx: sittings.sweep(tx, now))

    async def _forget_prompts(self) -> None:
        before = self._clock.now() - timedelta(days=self._table.prompt_retention_days)
        while await self._database.write(lambda tx: jobs.forget_prompts(tx, before)):
            pass

    async def verify_books(self) -> None:
        """Hold the books to their rules; the operator hears of each broken one once a day.

        Reads every row: a fifth of a second at ten thousand jobs.
        """
        broken = await self._database.read(integrity.broken_invariants)
        self._metrics.broken_rules.set(len(broken))
        for rule, ids in broken.items():
            await self._note_broken(rule, ids)

    async def _note_broken(self, rule: str, ids: list[str]) -> None:
        now = self._clock.now()
        sentence = f"The books break a rule ({rule}): {', '.join(ids[:5])}."
        await self._note(f"invariant:{rule}:{now:%Y-%m-%d}", sentence, now)

    async def _note(self, key: str, sentence: str, now: datetime) -> None:
        await self._database.write(lambda tx: settings.note_operator(tx, key, sentence, now))
