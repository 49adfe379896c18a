"""Callbacks of one provider: hints of strangers until their secret is found to be one of ours."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.clock import Clock
from bot.errors import StoreError
from bot.job import Job, JobState
from bot.log import get_logger
from bot.ports import Generation, GenerationState
from bot.refs import GenerationId, JobId
from bot.routing.claims import claim, tell_if_ended
from bot.store import attempts, jobs
from bot.store.database import Database
from bot.store.transaction import Tx

log = get_logger(__name__)
AT_ONCE = 1000
#: One that cannot be looked into is tried again ever later, and given up after a few days.
LONGEST_PAUSE, TRIES = 600.0, 500
ID_CHARS = 120
#: What a provider says of a generation that did not end yet.
UNDER_WAY: tuple[GenerationState, ...] = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A callback's claim: something happened to the attempt with this secret.

    `job_id` is whose attempt that is, once it is found.
    """

    token_hash: str
    generation: Generation
    job_id: JobId | None = None


class Callbacks:
    """Collects hints, finds out which are ours, and adopts generations that were lost."""

    def __init__(
        self, *, database: Database, clock: Clock, announce: Callable[[JobId], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._announce = announce
        self._hints: list[tuple[float, Hint]] = []
        self._put_off: list[tuple[float, Hint]] = []
        self._tries = Counter[str]()
        #: The boot time at which a callback of ours was last read.
        self.last_at: float | None = None

    @property
    def since(self) -> float | None:
        """The boot time at which the first of those that wait arrived; None where none does."""
        return self._hints[0][0] if self._hints else None

    @property
    def has_end(self) -> bool:
        """Whether one of those that wait says that a generation ended."""
        return any(hint.generation.state not in UNDER_WAY for _, hint in self._hints)

    def add(self, hint: Hint) -> None:
        """Note a hint; anybody can send one, so there is a bound."""
        if len(self._hints) < AT_ONCE:
            self._hints.append((self._clock.boottime(), hint))

    def put_back(self, calls: dict[GenerationId, Hint]) -> None:
        """Look into these again, because the provider did not answer."""
        again = [(self._clock.boottime(), hint) for hint in calls.values()]
        self._hints = [*again, *self._hints][:AT_ONCE]

    def put_off(self, hint: Hint) -> None:
        """Look into this one again later: nobody else does, and others shall not wait for it."""
        self._tries[hint.token_hash] += 1
        tries = self._tries[hint.token_hash]
        if tries > TRIES or len(self._put_off) >= AT_ONCE:
            log.warning("callback.given_up", job=hint.job_id, generation=hint.generation.id)
            del self._tries[hint.token_hash]
            return
        pause = min(2.0 ** min(tries, 10), LONGEST_PAUSE)
        self._put_off.append((self._clock.boottime() + pause, hint))

    @property
    def next_at(self) -> float:
        """The boot time at which the first of those that were put off is looked into again."""
        return min((at for at, _ in self._put_off), default=math.inf)

    def take_up(self) -> None:
        """Let those whose time has come wait with the others."""
        now = self._clock.boottime()
        self._hints += [each for each in self._put_off if each[0] <= now]
        self._put_off = [each for each in self._put_off if each[0] > now]

    async def take(self) -> dict[GenerationId, Hint]:
        """What was called for, by the generation to look at; forgeries are dropped.

        The body is believed only where its attempt has no generation yet. Raises `StoreError`,
        and then all are kept.
        """
        count, hints = len(self._hints), self._newest()
        if not hints:
            return {}
        found = await self._database.read(
            lambda conn: [attempts.called(conn, each) for each in hints]
        )
        del self._hints[:count]
        calls: dict[GenerationId, Hint] = {}
        for hint, called in zip(hints.values(), found, strict=True):
            if called is None:
                log.warning("callback.unknown")
                continue
            self.last_at = self._clock.boottime()
            job_id, known = called
            claimed = known or hint.generation.id
            if len(claimed) <= ID_CHARS:
                calls[claimed] = replace(hint, job_id=job_id)
        return calls

    def _newest(self) -> dict[str, Hint]:
        """One hint of each secret; calls come in any order, so an end counts whenever it came."""
        newest: dict[str, Hint] = {}
        for _, hint in self._hints:
            known = newest.get(hint.token_hash)
            if known is None or known.generation.state in UNDER_WAY:
                newest[hint.token_hash] = hint
        return newest

    async def adopt(self, hint: Hint, seen: Generation) -> Job | None:
        """Give a lost generation to its job, or report it as orphaned; the job if it runs now."""
        if seen.token_hash not in (None, hint.token_hash):
            log.warning("callback.unknown", job=hint.job_id, generation=seen.id)
            return None
        try:
            job = await self._database.write(lambda tx: self._adopt_or_report(tx, hint, seen))
        except StoreError as error:
            told = {"job": hint.job_id, "generation": seen.id, "cause": error.sentence}
            log.warning("callback.not_taken", **told)
            self.put_off(hint)
            return None
        self._tries.pop(hint.token_hash, None)
        return job

    def _adopt_or_report(self, tx: Tx, hint: Hint, seen: Generation) -> Job | None:
        now = self._clock.now()
        adopted = claim(tx, hint.token_hash, seen.id, now)
        if adopted is not None:
            tx.after_commit(lambda: self._announce(adopted.id))
        elif hint.job_id is not None:
            job = jobs.get(tx.conn, hint.job_id)
            if job.state is JobState.GENERATING and job.generation_id == seen.id:
                return job  # Whoever submitted it has written that down, and not said so yet.
            tell_if_ended(tx, job, seen, now)
        return adopted


def token_hash(token: str) -> str:
    """A callback secret as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
