"""Posts, changes and removes once what stands beside a job's own messages.

Reports and clips for those who run a place, copies in its gallery, and direct messages. Each is a
row, so that what one process began the next one ends.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from bot.clips import Clips
from bot.clips import filename as clip_filename
from bot.clock import Clock
from bot.consent import DENIED
from bot.errors import (
    BotError,
    ClipBroken,
    ClipError,
    DeliveryError,
    DeliveryUnavailable,
    PostedBefore,
    StoreError,
    ThreadGone,
)
from bot.job import Job, JobState
from bot.log import get_logger, naming
from bot.notices import (
    About,
    ConsentAsked,
    Gallery,
    Letter,
    Notice,
    Reported,
    Reviewed,
    ReviewNeeded,
)
from bot.outlook import Outlook, to_about, to_status
from bot.ports import Adapter
from bot.refs import JobId, MessageRef, ThreadRef
from bot.replicas import Replicas
from bot.request import is_spoiler
from bot.store import complaints, errands, jobs, messages, reviews, settings, stars
from bot.store.database import Database
from bot.store.errands import Errand
from bot.store.transaction import Tx
from bot.text import gist

log = get_logger(__name__)
AGAIN_SECONDS = 30.0
LOOK_EVERY, FAULT_PAUSE = timedelta(minutes=1), timedelta(minutes=10)
#: What says anew what is so.
EDITED = frozenset({"report", "review", "consent"})
#: What the operator is told of where it cannot be posted.
_NAMES = {
    "report": "A report",
    "gallery": "A clip for the gallery",
    "review": "A clip for moderators to look at",
}


class Courier:
    """Brings each errand to its end: its message says what is so, or is gone."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        clips: Clips,
        clock: Clock,
        clip_link: Callable[[Job], str | None],
        replicas: Replicas,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._clips = clips
        self._clock = clock
        self._clip_link = clip_link
        self._replicas = replicas
        self._due = asyncio.Event()

    def wake(self) -> None:
        """There is something to do."""
        self._due.set()

    async def run(self) -> None:
        """Do what is due until cancelled; what fails is tried again later."""
        while True:
            self._due.clear()
            try:
                await self._carry_due()
                soon = await self._database.read(errands.next_due)
            except StoreError as error:
                log.error("courier.store_failed", cause=error.sentence)  # noqa: TRY400
                soon = None
            until = self._clock.now() + LOOK_EVERY
            await self._clock.wait(self._due, min(until, soon) if soon else until)

    async def _carry_due(self) -> None:
        now = self._clock.now()
        for errand in await self._database.read(lambda conn: errands.due(conn, now)):
            await self._try(errand)

    async def _try(self, errand: Errand) -> None:
        try:
            await self.carry(errand.key)
        except (DeliveryError, ClipError) as error:
            log.warning("courier.not_done", job=errand.job_id, cause=type(error).__name__)
        except StoreError:
            raise
        except Exception:
            # It would end the whole bot, and at every start again, because it stays due.
            log.exception("courier.fault", job=errand.job_id, kind=errand.kind)
            await self._database.write(lambda tx: self._note_fault(tx, errand))

    async def settle(self, job_id: JobId, *, is_begun: bool = False) -> None:
        """Do now what is to be done of a job; raises `DeliveryUnavailable` where it cannot be.

        Then all that stands of it anywhere is known. `is_begun`: only what may stand there.
        """
        for errand in await self._database.read(
            lambda conn: errands.open_of(conn, job_id, is_begun=is_begun)
        ):
            try:
                await self.carry(errand.key)
            except ThreadGone as error:
                log.info("courier.gone", job=job_id, cause=type(error).__name__)

    async def carry(self, key: str) -> None:
        """Do one errand, if it is still to be done.

        Raises `DeliveryError`s and `ClipError`s; only what may pass is tried again.
        """
        async with self._replicas.turn(key):
            errand = await self._database.read(lambda conn: errands.get(conn, key))
            if errand is None:
                return
            try:
                with naming(errand.job_id):
                    await self._carry(errand)
            except BotError as error:
                failure = error
                await self._database.write(lambda tx: self._note_failure(tx, errand, failure))
                raise

    async def clear_thread_title(self, job: Job, message: MessageRef) -> None:
        """Take a job's words off the thread that was opened for it; raises `DeliveryError`s."""
        if (adapter := self._adapters.get(message.thread.adapter)) is not None:
            await adapter.clear_thread_title(job.request.thread, message)

    def _note_failure(self, tx: Tx, errand: Errand, error: BotError) -> None:
        """What cannot be said there is given up; a report then goes to the operator."""
        is_passing = not isinstance(error, ThreadGone | ClipBroken)
        if is_passing:
            seconds = getattr(error, "retry_after", None) or AGAIN_SECONDS
            errands.put_off(tx, errand, self._clock.now() + timedelta(seconds=seconds))
            return
        errands.finish(tx, errand)
        is_known = isinstance(error, PostedBefore | ClipBroken)
        if is_known or errand.kind not in _NAMES:
            return
        what = _NAMES[errand.kind]
        sentence = f"{what} could not be posted where it should be. {error.sentence}"
        settings.note_operator(
            tx, f"errand:{errand.key}", sentence, self._clock.now(), errand.job_id
        )

    def _note_fault(self, tx: Tx, errand: Errand) -> None:
        now = self._clock.now()
        errands.put_off(tx, errand, now + FAULT_PAUSE)
        what = _NAMES.get(errand.kind, "A message beside a clip")
        sentence = f"{what} met a fault of Raybot's own, which goes on trying; see its log."
        settings.note_operator(tx, f"fault:{errand.key}", sentence, now, errand.job_id)

    # ---- one errand ----------------------------------------------------------------------

    async def _carry(self, errand: Errand) -> None:
        adapter = self._adapters.get(errand.to.adapter)
        if adapter is None:
            raise DeliveryUnavailable("This chat platform is not configured any more.")
        job, posted = await self._database.read(
            lambda conn: (jobs.get(conn, errand.job_id), messages.get(conn, errand.key))
        )
        if not _has_content(errand, job):
            await self._take_away(errand, adapter, posted)
            return
        is_over = posted.message is not None and errand.kind not in EDITED
        # Nobody need hear of an answer who was not asked yet.
        is_late = posted.message is None and not posted.is_begun and _is_answered(errand, job)
        is_direct = errand.kind in ("why", "price")
        is_alone = is_direct and not adapter.limits(job.request.thread).is_shared
        if is_over or is_late or is_alone:
            await self._database.write(lambda tx: errands.finish(tx, errand))
            return
        thread = await self._thread_of(errand, adapter)
        notice = await self._to_notice(errand, job, adapter, thread)
        digest = hashlib.sha256(repr(notice).encode()).hexdigest()
        message = posted.message
        if message is None:
            await self._database.write(lambda tx: messages.begin(tx, errand.key, job.id))
            memo = messages.StoredMemo(self._database, errand.key, job.id, posted.kept)
            message = await adapter.post(thread, notice, key=errand.key, memo=memo)
        # What was posted by an earlier try may say what was so then.
        is_new = posted.message is None and not posted.is_begun
        if errand.kind in EDITED and not is_new and posted.digest != digest:
            with suppress(ThreadGone):  # What cannot be changed any more stays as it is.
                await adapter.edit(message, notice)
        await self._database.write(lambda tx: self._note_done(tx, errand, message, digest))

    def _note_done(self, tx: Tx, errand: Errand, message: MessageRef, digest: str) -> None:
        messages.put(tx, errand.key, errand.job_id, message, digest)
        errands.finish(tx, errand)

    async def _thread_of(self, errand: Errand, adapter: Adapter) -> ThreadRef:
        if errand.kind == "consent":
            status = await self._status_of(errand.job_id)
            if status is None:
                raise DeliveryUnavailable("Its status message is not posted yet.", retry_after=2.0)
            return status.thread
        if isinstance(errand.to, ThreadRef):
            return errand.to
        thread = await adapter.direct(errand.to)
        if thread is None:
            raise ThreadGone("There is no way to write to them directly.")
        return thread

    async def _status_of(self, job_id: JobId) -> MessageRef | None:
        key = messages.status_key(job_id)
        return (await self._database.read(lambda conn: messages.get(conn, key))).message

    async def _take_away(self, errand: Errand, adapter: Adapter, posted: messages.Posted) -> None:
        """Remove a copy of what was deleted."""
        if posted.message is not None:
            await adapter.delete(posted.message)

        def write(tx: Tx) -> None:
            messages.remove(tx, errand.key)
            errands.finish(tx, errand)

        await self._database.write(write)

    async def _to_notice(
        self, errand: Errand, job: Job, adapter: Adapter, thread: ThreadRef
    ) -> Notice:
        if errand.kind == "report":
            said = await self._database.read(lambda conn: complaints.of_job(conn, job.id))
            return Reported(
                about=_to_about(job),
                count=said.count,
                reasons=said.reasons,
                clip=job.message if job.clip is not None else None,
                outcome=said.outcome,
                decided_by=said.decided_by.rpartition(":")[2],
            )
        if errand.kind == "consent":
            status = await self._status_of(job.id)
            return replace(_to_asking(errand, job), about=replace(to_about(job), asked_in=status))
        if errand.kind in ("why", "price"):
            return to_status(job, Outlook(confirm_until=job.next_at))
        if errand.kind == "review" and job.state is not JobState.REVIEWING:
            verdict, by = await self._database.read(lambda conn: reviews.decision(conn, job.id))
            by = by.rpartition(":")[2]
            return Reviewed(about=_to_about(job), verdict=verdict, decided_by=by)
        return await self._to_copy(errand, job, await adapter.max_upload(thread))

    async def _to_copy(
        self, errand: Errand, job: Job, limit: int
    ) -> Gallery | Letter | ReviewNeeded:
        assert job.clip is not None
        link = self._clip_link(job)
        # Moderators decide by a picture rather than by nothing.
        may_be_poster = link is not None or errand.kind == "review"
        path, form = await self._clips.fitted(job.clip, limit, has_link=may_be_poster)
        letter = Letter(
            about=_to_about(job),
            path=str(path),
            filename=clip_filename(job.id, path, model=job.work.model, prompt=gist(job.work)),
            bytes=(await asyncio.to_thread(path.stat)).st_size,
            clip=job.message,
            is_hidden=is_spoiler(job.request.work),
            form=form,
            original_link=None if form == "original" else link,
        )
        if errand.kind == "letter":
            return letter
        if errand.kind == "review":
            is_reminder = errand.key != messages.review_key(job.id)
            shown = {name: value for name, value in vars(letter).items() if name != "clip"}
            return ReviewNeeded(is_reminder=is_reminder, **shown)
        count = await self._database.read(lambda conn: stars.count(conn, job.id))
        return Gallery(stars=count, **vars(letter))


def _to_about(job: Job) -> About:
    """The job for people elsewhere: what is said there answers nothing."""
    return replace(to_about(job), asked_in=None)


def _has_content(errand: Errand, job: Job) -> bool:
    """Whether there still is something to say: a copy goes with its clip, a price if answered."""
    if errand.kind == "recall":
        return False
    if errand.kind == "price":
        return job.state is JobState.RECEIVED
    return errand.kind in ("report", "why", "consent") or job.clip is not None


def _is_answered(errand: Errand, job: Job) -> bool:
    """Whether there is nothing to be decided any more."""
    if errand.kind == "consent":
        return _to_asking(errand, job).answer is not None
    return errand.kind == "review" and job.state is not JobState.REVIEWING


def _to_asking(errand: Errand, job: Job) -> ConsentAsked:
    """The question to one of those whose images a request animates, and what they said."""
    assert job.plan is not None
    lent, question = job.plan.granted, job.plan.question
    at = int(errand.key.rpartition(":")[2])
    is_open = job.state is JobState.RECEIVED and at == len(lent)
    person = lent[at] if at < len(lent) else question.person if question is not None else ""
    is_denied = job.failure is not None and job.failure.sentence == DENIED["consent"]
    answer: Literal["allowed", "denied", "over"] = "denied" if is_denied else "over"
    if at < len(lent):
        answer = "allowed"
    return ConsentAsked(
        about=_to_about(job),
        owner=person.rpartition(":")[2],
        expires_at=job.next_at if is_open else None,
        answer=None if is_open else answer,
    )
