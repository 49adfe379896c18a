"""Keeps the figures page true to the rows: jobs, money, and how each provider is doing.

The heart beats here, too, from which those who ask the listeners hear that the process lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from bot.clock import Clock
from bot.errors import StoreError
from bot.job import JobState
from bot.log import get_logger
from bot.metrics import Metrics
from bot.ports import Provider
from bot.store import figures
from bot.store.database import Database
from bot.watcher import ProviderWatcher

log = get_logger(__name__)
MEASURE_EVERY = timedelta(seconds=15)
BEAT_SECONDS = 1.0


class Heart:
    """Beats each second, and notes how late the event loop let it."""

    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._last = 0.0

    def beat(self) -> None:
        """The process lives."""
        self._last = self._clock.boottime()

    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock.boottime() - self._last

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            later = self._clock.now() + timedelta(seconds=BEAT_SECONDS)
            await self._clock.wait(asyncio.Event(), later)
            self._metrics.loop_stall_seconds.observe(max(0.0, self.age() - BEAT_SECONDS))


class Gauges:
    """Reads the rows and the watchers, and sets the gauges."""

    def __init__(
        self,
        *,
        database: Database,
        metrics: Metrics,
        clock: Clock,
        providers: Mapping[str, Provider],
        watchers: Mapping[str, ProviderWatcher],
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._providers = providers
        self._watchers = watchers
        self._seen: int | None = None

    async def run(self) -> None:
        """Measure now and then until cancelled."""
        while True:
            try:
                await self._measure()
            except StoreError as error:
                log.error("figures.store_failed", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + MEASURE_EVERY)

    async def _measure(self) -> None:
        seen, metrics = await self._database.read(figures.read), self._metrics
        await self._measure_spans()
        for state in JobState:
            metrics.jobs.labels(state).set(seen.by_state.get(state, 0))
        metrics.jobs_parked.set(seen.parked)
        oldest = seen.oldest_open
        age = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        metrics.oldest_open_job_seconds.set(age)
        metrics.held_usd.set(seen.held / 1e6)
        for (provider, model), charged in seen.charged.items():
            metrics.charged_usd.labels(provider, model).set(charged / 1e6)
        for name, watcher in self._watchers.items():
            limits = self._providers[name].limits
            metrics.provider_slots.labels(name, "allowed").set(limits.running)
            metrics.provider_slots.labels(name, "used").set(watcher.running)
            metrics.provider_trouble.labels(name).set(
                watcher.admission.trouble_sentence is not None
            )

    async def _measure_spans(self) -> None:
        """How long the jobs took that were delivered since the last look, or this start."""
        after, last = self._seen, await self._database.read(figures.last_event)
        self._seen = last
        if after is None:
            return
        spans = await self._database.read(lambda conn: figures.spans(conn, after, last))
        for part, seconds in spans:
            self._metrics.job_seconds.labels(part).observe(seconds)
