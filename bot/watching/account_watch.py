"""What the operator is told of one video service: its balance, its end, and what is amiss."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from bot.clock import Clock
from bot.durations import Running
from bot.errors import ProviderClosed, ProviderError, StoreError
from bot.log import get_logger
from bot.ports import Provider
from bot.refs import GenerationId, JobId, Micros, money
from bot.store import reports, settings
from bot.store.database import Database

BALANCE_EVERY = timedelta(minutes=10)
ENDLESS_SECONDS = 6 * 3600
log = get_logger(__name__)


class AccountWatch:
    """Tells the operator of each matter once; what the database does not take is only logged."""

    def __init__(self, provider: Provider, *, database: Database, clock: Clock) -> None:
        self._provider = provider
        self._database = database
        self._clock = clock
        #: What was told already of generations that do not end.
        self._endless: set[GenerationId] = set()

    async def run(self) -> None:
        """Look after the balance and the announced end of the service until cancelled."""
        least = self._provider.limits.min_balance
        while True:
            if least:
                await self._note_balance(least)
            if (sunset := self._provider.sunset) is not None:
                await self._note(
                    f"sunset:{self._provider.name}:{sunset}",
                    f"{self._provider.name} says that it will close its address ({sunset}). "
                    "Put another provider with a key behind it in [defaults] providers.",
                )
            await self._clock.wait(asyncio.Event(), self._clock.now() + BALANCE_EVERY)

    async def missing(self, job_id: JobId, generation_id: GenerationId) -> None:
        """It does not know a paid generation any more."""
        await self._note(
            f"missing:{generation_id}",
            f"{self._provider.name} no longer knows generation {generation_id} of {job_id}. "
            "Raybot keeps looking; please look there, too.",
            job_id,
        )

    async def endless(self, seen: Mapping[GenerationId, Running], now: float) -> None:
        """Tell of what is still under way after so long that nobody expects its end any more."""
        for generation_id, running in seen.items():
            if now - running.since < ENDLESS_SECONDS or generation_id in self._endless:
                continue
            job_id, hours = running.job_id, ENDLESS_SECONDS // 3600
            is_told = await self._note(
                f"{reports.ENDLESS}{generation_id}",
                f"{self._provider.name} has been at generation {generation_id} of {job_id} for "
                f"more than {hours} hours. Raybot keeps looking; please look there, too. "
                f"`raybot resolve {job_id} charge`, or `… release`, gives it up.",
                job_id,
            )
            if is_told:
                self._endless.add(generation_id)

    async def not_seen(self, error: Exception) -> None:
        """A look failed: of what does not pass by itself the operator is told."""
        if isinstance(error, ProviderClosed):
            await self._note(settings.closed_key(error, self._clock.now()), error.sentence)
        elif not isinstance(error, ProviderError):
            await self._unread()

    async def _unread(self) -> None:
        """It answered what nobody foresaw; told once a day."""
        await self._note(
            f"unread:{self._provider.name}:{self._clock.now():%Y-%m-%d}",
            f"Raybot cannot read what {self._provider.name} says of its generations; the log has "
            "the whole error. Nothing is lost: Raybot keeps looking. Please report it.",
        )

    async def _note_balance(self, least: Micros) -> None:
        try:
            balance = await self._provider.balance()
        except ProviderError as error:
            log.warning("provider.balance_failed", cause=error.sentence)
            return
        if balance is not None and balance < least:
            await self._note(
                f"balance:{self._provider.name}:{self._clock.now():%Y-%m-%d}",
                f"{self._provider.name} has {money(balance)} left, less than the {money(least)} "
                "you want to be told about.",
            )

    async def _note(self, key: str, sentence: str, job_id: JobId | None = None) -> bool:
        now = self._clock.now()
        try:
            await self._database.write(
                lambda tx: settings.note_operator(tx, key, sentence, now, job_id)
            )
        except StoreError as error:
            log.error("account_watch.store_failed", cause=error.sentence)  # noqa: TRY400
            return False
        return True
