"""What the operator does and hears: resolve, unpark, checks, notices, and the hourly cleaning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bot.clips import Clips
from bot.clock import Clock
from bot.config import BotTable
from bot.errors import BotError, InvalidRequest, StoreError
from bot.frames import Frames
from bot.job import Failure, Job, JobState
from bot.log import get_logger
from bot.ports import Dispatcher, Provider
from bot.refs import GenerationId, JobId
from bot.store import attempts, jobs, ledger, settings
from bot.store.database import Database, Tx

log = get_logger(__name__)
How = Literal["adopt", "charge", "release"]
TELL_EVERY = timedelta(seconds=10)
PARK_AFTER_CRASHES = 3
CLEAN_EVERY = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing `raybot check` has to say."""

    is_well: bool
    sentence: str


class Operations:
    """The operator's acts, each in the audit log, and the house's own chores."""

    def __init__(
        self,
        *,
        database: Database,
        dispatcher: Dispatcher,
        clock: Clock,
        announce: Callable[[JobId], None],
        watch: Callable[[Job], None],
        providers: Mapping[str, Provider],
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._clock = clock
        self._announce = announce
        self._watch = watch
        self._providers = providers

    async def resolve(
        self, job_id: JobId, how: How, *, generation_id: GenerationId | None, actor: str
    ) -> Job:
        """End an open question: `adopt` a generation, `charge` for it, or `release` the hold.

        Raises `InvalidRequest` where the job is not uncertain or the generation is taken.
        """
        if how == "adopt" and generation_id is None:
            raise InvalidRequest("Say which generation: `raybot resolve ID adopt GENERATION`.")
        if how == "adopt" and generation_id is not None:
            await self._check_known(job_id, generation_id)

        def work(tx: Tx) -> Job:
            job = jobs.get(tx.conn, job_id)
            if job.state is not JobState.UNCERTAIN:
                raise InvalidRequest(f"{job_id} is {job.state}, not uncertain.")
            resolved = self._resolve(tx, job, how, generation_id)
            settings.write_audit(
                tx,
                self._clock.now(),
                actor=actor,
                act=f"resolve {how}",
                target=job_id,
                detail=generation_id or "",
            )
            tx.after_commit(lambda: self._announce(job_id))
            return resolved

        job = await self._database.write(work)
        self._watch(job)
        return job

    async def _check_known(self, job_id: JobId, generation_id: GenerationId) -> None:
        """A typing mistake would leave the job waiting for nothing for ever."""
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        provider = self._providers.get(job.plan.provider) if job.plan else None
        if provider is None or not await provider.check([generation_id]):
            raise InvalidRequest(f"The video service knows no generation {generation_id}.")

    def _resolve(self, tx: Tx, job: Job, how: How, generation_id: GenerationId | None) -> Job:
        now = self._clock.now()
        match how:
            case "adopt":
                assert generation_id is not None
                return attempts.adopt(tx, job, generation_id, "adopted", now)
            case "charge":
                failure = Failure(
                    code="resolved",
                    sentence="The operator found that the video service ran it, but the clip "
                    "could not be had.",
                )
                return ledger.end(tx, job, JobState.FAILED, now, charged=job.cost, failure=failure)
            case "release":
                failure = Failure(
                    code="resolved",
                    sentence="The operator found that the video service never ran it. Please "
                    "ask again.",
                )
                return ledger.fail(tx, job, now, failure)

    async def unpark(self, job_id: JobId, *, actor: str) -> Job:
        """Let a job that was put aside go on."""
        now = self._clock.now()

        def work(tx: Tx) -> Job:
            job = jobs.get(tx.conn, job_id)
            if job.parked_at is None:
                raise InvalidRequest(f"{job_id} was not put aside.")
            settings.write_audit(tx, now, actor=actor, act="unpark", target=job_id, detail="")
            self._dispatcher.wake(tx, job_id, now)
            return jobs.change(tx, job, parked_at=None, next_at=now, crashes=0, tries=0)

        return await self._database.write(work)

    async def recover(self, providers: Collection[str]) -> None:
        """At a start: blame what crashed the last one, and end what nobody can carry out."""
        now = self._clock.now()
        for job_id in await self._database.write(lambda tx: _count_crashes(tx, now)):
            log.error("job.parked", job=job_id)
        await self._database.write(lambda tx: self._end_unserved(tx, providers))

    def _end_unserved(self, tx: Tx, providers: Collection[str]) -> None:
        """Jobs of a provider that is configured no more: waiting ones end, others are told of."""
        now = self._clock.now()
        for job in jobs.unserved(tx.conn, providers):
            assert job.plan is not None
            name = job.plan.provider
            if job.state is JobState.ACCEPTED:
                sentence = f"The video service {name} is not set up here any more. Ask again."
                ledger.fail(tx, job, now, Failure(code="refused", sentence=sentence))
                continue
            sentence = f"{job.id} is {job.state} at {name}, which is not configured any more."
            settings.note_operator(tx, f"unserved:{job.id}", sentence, now, job.id)

    async def tell(self) -> None:
        """Say what the operator was not told yet; here, in the log."""
        notices = await self._database.read(settings.untold)
        for notice in notices:
            log.warning("operator.notice", sentence=notice.sentence, job=notice.job_id)
            now, key = self._clock.now(), notice.key
            await self._database.write(lambda tx: settings.tell(tx, key, now))  # noqa: B023 - awaited here

    async def tell_forever(self) -> None:
        """Tell every few seconds until cancelled."""
        while True:
            try:
                await self.tell()
            except StoreError as error:
                log.error("operations.store_failed", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + TELL_EVERY)


def _count_crashes(tx: Tx, now: datetime) -> list[JobId]:
    crashed = settings.boot(tx, now)
    parked = jobs.count_crashes(tx, now, PARK_AFTER_CRASHES) if crashed else []
    for job_id in parked:
        sentence = (
            f"{job_id} was put aside: the bot stopped {PARK_AFTER_CRASHES} times while it was in "
            f"hand. `raybot unpark {job_id}` lets it go on."
        )
        settings.note_operator(tx, f"crashed:{job_id}", sentence, now, job_id)
    return parked


class Housekeeping:
    """Retention and the hourly look at the books."""

    def __init__(
        self, *, database: Database, clips: Clips, frames: Frames, table: BotTable, clock: Clock
    ) -> None:
        self._database = database
        self._clips = clips
        self._frames = frames
        self._table = table
        self._clock = clock

    async def run(self) -> None:
        """Clean every hour until cancelled."""
        while True:
            await self._clock.wait(asyncio.Event(), self._clock.now() + CLEAN_EVERY)
            try:
                await self.clean()
            except BotError as error:
                log.error("housekeeping.failed", cause=error.sentence)  # noqa: TRY400

    async def clean(self) -> None:
        """Drop what is past its time, and tell the operator of books that do not add up."""
        now = self._clock.now()
        await self._clips.sweep(now, days=self._table.clip_retention_days)
        in_use = await self._database.read(jobs.open_ids)
        await self._frames.sweep(now, hours=self._table.frame_retention_hours, spare=in_use)
        before = now - timedelta(days=self._table.prompt_retention_days)
        while await self._database.write(lambda tx: jobs.forget_prompts(tx, before)):
            pass
        broken = await self._database.read(ledger.broken_invariants)
        for rule, ids in broken.items():
            sentence = f"The books break a rule ({rule}): {', '.join(ids[:5])}."
            key = f"invariant:{rule}:{now:%Y-%m-%d}"
            await self._database.write(
                lambda tx: settings.note_operator(tx, key, sentence, now)  # noqa: B023 - awaited here
            )


async def inspect(database: Database) -> list[Finding]:
    """What the database itself shows: the books, open questions, jobs put aside."""
    broken = await database.read(ledger.broken_invariants)
    findings = [
        Finding(is_well=False, sentence=f"The books break a rule ({rule}): {', '.join(ids[:5])}")
        for rule, ids in broken.items()
    ] or [Finding(is_well=True, sentence="The books add up")]
    uncertain = await database.read(lambda conn: jobs.open_ids(conn, JobState.UNCERTAIN))
    findings += [
        Finding(is_well=False, sentence=f"{job_id} is uncertain: `raybot resolve {job_id} …`")
        for job_id in uncertain
    ]
    findings += [
        Finding(is_well=False, sentence=f"{job.id} was put aside ({job.state})")
        for job in await database.read(jobs.parked)
    ]
    return findings
