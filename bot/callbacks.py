"""Callbacks of one provider: hints of strangers until their secret is found to be one of ours."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bot.clock import Clock
from bot.errors import StoreError
from bot.job import Job, JobState
from bot.log import get_logger
from bot.ports import Generation
from bot.refs import GenerationId, JobId
from bot.store import attempts, jobs, settings
from bot.store.database import Database, Tx

log = get_logger(__name__)
AT_ONCE = 1000
ID_CHARS = 120
IN_DOUBT = (JobState.SUBMITTING, JobState.UNCERTAIN)


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A callback's claim: something happened to the attempt with this secret."""

    token_hash: str
    generation: Generation


class Callbacks:
    """Collects hints, finds out which are ours, and adopts generations that were lost."""

    def __init__(
        self, *, database: Database, clock: Clock, announce: Callable[[JobId], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._announce = announce
        self._hints: list[Hint] = []
        self.last_at: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self._hints)

    def add(self, hint: Hint) -> None:
        """Note a hint; anybody can send one, so there is a bound."""
        if len(self._hints) < AT_ONCE:
            self._hints.append(hint)

    def put_back(self, calls: dict[GenerationId, Hint]) -> None:
        """Look into these again, because the provider did not answer."""
        self._hints = [*calls.values(), *self._hints][:AT_ONCE]

    async def take(self) -> dict[GenerationId, Hint]:
        """What was called for, by the generation to look at; forgeries are dropped.

        The body is believed only where its attempt has no generation yet.
        """
        hints, self._hints = self._hints, []
        calls: dict[GenerationId, Hint] = {}
        for token in {hint.token_hash: hint for hint in hints}.values():
            claimed = await self._read(token)
            if claimed is not None:
                calls[claimed] = token
        return calls

    async def _read(self, hint: Hint) -> GenerationId | None:
        attempt = await self._database.read(
            lambda conn: attempts.by_token_hash(conn, hint.token_hash)
        )
        if attempt is None or not hmac.compare_digest(
            attempt.submission.token_hash, hint.token_hash
        ):
            log.warning("callback.unknown")
            return None
        self.last_at = self._clock.now()
        claimed = attempt.generation_id or hint.generation.id
        return claimed if len(claimed) <= ID_CHARS else None

    async def adopt(self, hint: Hint, seen: Generation) -> Job | None:
        """Give a lost generation to its job, or report it as orphaned; the job if it now runs."""
        if seen.token_hash not in (None, hint.token_hash):
            log.warning("callback.unknown")
            return None
        try:
            return await self._database.write(
                lambda tx: self._adopt_or_report(tx, hint.token_hash, seen)
            )
        except StoreError as error:
            log.warning("callback.not_taken", cause=error.sentence)
            return None

    def _adopt_or_report(self, tx: Tx, secret_hash: str, seen: Generation) -> Job | None:
        now = self._clock.now()
        attempt = attempts.by_token_hash(tx.conn, secret_hash)
        if attempt is None or attempt.generation_id == seen.id:
            return None
        sent = attempt.submission
        job = jobs.get(tx.conn, sent.job_id)
        is_now = job.state in IN_DOUBT and job.attempt == sent.attempt
        # One taken for absent may turn up after all, while its job waits to be sent again.
        if is_now or job.state is JobState.ACCEPTED:
            adopted = attempts.adopt(tx, job, seen.id, "adopted", now, attempt=sent.attempt)
            tx.after_commit(lambda: self._announce(job.id))
            return adopted
        attempts.finish(tx, job.id, sent.attempt, "orphan", seen.id)
        settings.note_operator(
            tx,
            f"orphan:{seen.id}",
            f"The video service also ran generation {seen.id} for {job.id}, an attempt that was "
            "given up. It was probably paid and was not delivered.",
            now,
            job.id,
        )
        return None


def token_hash(token: str) -> str:
    """A callback secret as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
