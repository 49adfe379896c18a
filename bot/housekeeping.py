"""The house's own chores: retention, and an hourly look at the books."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.clips import Clips
from bot.clock import Clock
from bot.errors import BotError
from bot.frames import Frames
from bot.log import get_logger
from bot.metrics import Metrics
from bot.store import inbox, jobs, ledger, settings, sittings, stories
from bot.store.database import Database
from bot.tables import BotTable

log = get_logger(__name__)
CLEAN_EVERY = timedelta(hours=1)
#: How long adapter state is kept after a job ends.
KEPT_FOR_JOBS = timedelta(days=3)
#: Platforms redeliver for up to a day, so keys are kept longer.
KNOWN_KEYS = timedelta(hours=25)
#: How long an unanswered delivery is kept: nobody waits for an answer any longer.
UNDONE_FOR = timedelta(days=1)


class Housekeeping:
    """Retention, and the look at the books: at the start and every hour."""

    def __init__(
        self,
        *,
        database: Database,
        clips: Clips,
        frames: Frames,
        table: BotTable,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._clips = clips
        self._frames = frames
        self._table = table
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Do the chores every hour until cancelled; one that fails spoils no other."""
        chores = [self.verify_books]
        while True:
            for chore in chores:
                try:
                    await chore()
                except BotError as error:
                    log.error("housekeeping.failed", cause=error.sentence)  # noqa: TRY400
            chores = [self.clean, self.verify_books]
            await self._clock.wait(asyncio.Event(), self._clock.now() + CLEAN_EVERY)

    async def clean(self) -> None:
        """Drop what is past its time."""
        table, now = self._table, self._clock.now()
        hours, days = table.frame_retention_hours, table.upload_retention_days
        in_use = await self._database.read(stories.in_use)
        await self._clips.sweep(now, days=table.clip_retention_days, spare=in_use)
        await self._frames.sweep(now, hours=hours, days=days, spare=in_use)
        await self._database.write(lambda tx: settings.forget_ended(tx, now - KEPT_FOR_JOBS))
        await self._database.write(
            lambda tx: inbox.forget(tx, done=now - KNOWN_KEYS, undone=now - UNDONE_FOR)
        )
        await self._database.write(lambda tx: sittings.sweep(tx, now))
        before = now - timedelta(days=self._table.prompt_retention_days)
        while await self._database.write(lambda tx: jobs.forget_prompts(tx, before)):
            pass

    async def verify_books(self) -> None:
        """Hold the books to their rules; the operator hears of each broken one once a day.

        Reads every row: a fifth of a second at ten thousand jobs.
        """
        broken = await self._database.read(ledger.broken_invariants)
        self._metrics.broken_rules.set(len(broken))
        for rule, ids in broken.items():
            await self._note_broken(rule, ids)

    async def _note_broken(self, rule: str, ids: list[str]) -> None:
        now = self._clock.now()
        sentence = f"The books break a rule ({rule}): {', '.join(ids[:5])}."
        key = f"invariant:{rule}:{now:%Y-%m-%d}"
        await self._database.write(lambda tx: settings.note_operator(tx, key, sentence, now))
