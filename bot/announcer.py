"""Status messages: one per job, edited when what they say changes, never too often.

Where a platform asks for it, a job's first one is posted before anything is paid, and taken down
again if the request is then refused: that is told to its person alone.

With the last word of one, the message that showed its job's images is taken away.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from bot.clock import Clock, to_wall
from bot.errors import (
    DeliveryError,
    DeliveryUnavailable,
    EditsPaused,
    PostedBefore,
    StoreError,
    ThreadGone,
)
from bot.job import Job, JobState
from bot.log import get_logger, name_job, naming
from bot.notices import ConfirmNeeded, Notice, Received, ShotFailed, for_all
from bot.outlook import PASSING_SECONDS, is_passing, to_about
from bot.ports import Adapter
from bot.refs import JobId, MessageRef, ThreadRef
from bot.replicas import Replicas
from bot.store import jobs, ledger, messages
from bot.store.database import Database
from bot.store.transaction import Tx

log = get_logger(__name__)
AT_ONCE = 8
AGAIN_SECONDS = 30.0
#: Pauses after a fault of an adapter, which may pass; then what is next to say is waited for.
FAULT_SECONDS = (30.0, 120.0, 600.0, 3600.0)
#: How long a bot that is stopped goes on telling.
LAST_WORDS_SECONDS = 5.0
#: Ends of which the status message alone tells: no clip comes that would.
TOLD_NOWHERE_ELSE = frozenset({JobState.FAILED, JobState.CANCELLED})


class Announcer:
    """Shows each touched job's present state in its thread."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        clock: Clock,
        to_notice: Callable[[Job], Awaitable[Notice]],
        replicas: Replicas,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._clock = clock
        self._to_notice = to_notice
        self._replicas = replicas
        # All of these are boot times.
        self._due: dict[JobId, float] = {}
        self._heap: list[tuple[float, JobId]] = []
        self._not_before: dict[JobId, float] = {}
        #: Jobs whose platform rate-limited us; `drain` does not override it.
        self._put_off: set[JobId] = set()
        #: How many faults in a row stopped a job's message.
        self._faults: dict[JobId, int] = {}
        #: Whose message is in somebody's hands, and what is set once it no longer is.
        self._in_hand: dict[JobId, asyncio.Event] = {}
        self._at_once = 0
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()
        replicas.on("announce", lambda said: self.touch(JobId(said["job"])))

    def touch(self, job_id: JobId, *, after: float = 0.0) -> None:
        """Something about this job may have changed; it may take so many seconds to show.

        News for very many is spread in time like this, so that it floods nobody.
        """
        at = max(self._clock.boottime() + after, self._not_before.get(job_id, 0.0))
        if at < self._due.get(job_id, math.inf):
            self._push(job_id, at)

    def _push(self, job_id: JobId, at: float) -> None:
        self._due[job_id] = at
        heapq.heappush(self._heap, (at, job_id))
        self._changed.set()

    async def run(self) -> None:
        """Show changes until cancelled, a few at once, each job in one pair of hands."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                while (job_id := self._next()) is not None:
                    group.create_task(self._take(job_id), name=f"announce {job_id}")
                is_full = self._at_once >= AT_ONCE or not self._heap
                until = None if is_full else to_wall(self._clock, self._heap[0][0])
                await self._clock.wait(self._changed, until)

    async def drain(self, seconds: float) -> None:
        """Show what has changed now and not later, in a few seconds at most; `run` goes on.

        What a platform asked us to put off stays put off.
        """
        until = self._clock.boottime() + min(seconds, LAST_WORDS_SECONDS)
        for job_id in (self._due.keys() & self._not_before.keys()) - self._put_off:
            self._not_before.pop(job_id, None)
            self._push(job_id, self._clock.boottime())
        while (self._in_hand or self._is_due()) and self._clock.boottime() < until:
            self._freed.clear()
            await self._clock.wait(self._freed, to_wall(self._clock, until))

    def _is_due(self) -> bool:
        now = self._clock.boottime()
        return any(at <= now for at in self._due.values())

    def _next(self) -> JobId | None:
        now = self._clock.boottime()
        while self._heap and self._heap[0][0] <= now and self._at_once < AT_ONCE:
            at, job_id = heapq.heappop(self._heap)
            if self._due.get(job_id) != at or job_id in self._in_hand:
                continue
            del self._due[job_id]
            self._in_hand[job_id] = asyncio.Event()
            self._at_once += 1
            return job_id
        return None

    async def _take(self, job_id: JobId) -> None:
        self._not_before.pop(job_id, None)
        self._put_off.discard(job_id)
        try:
            with naming(job_id):
                async with self._replicas.turn(messages.status_key(job_id)):
                    await self._show(job_id)
        except StoreError as error:
            log.error("announcer.store_failed", job=job_id, cause=error.sentence)  # noqa: TRY400
            self._rest(job_id, AGAIN_SECONDS)
            self.touch(job_id)
        finally:
            self._at_once -= 1
            self._let_go(job_id)

    def _let_go(self, job_id: JobId) -> None:
        self._in_hand.pop(job_id).set()
        if job_id in self._due:
            at = max(self._due[job_id], self._not_before.get(job_id, 0.0))
            self._push(job_id, at)
        self._changed.set()
        self._freed.set()

    @asynccontextmanager
    async def _alone(self, job_id: JobId) -> AsyncIterator[None]:
        """With this job's message in our hands only."""
        while (is_free := self._in_hand.get(job_id)) is not None:
            await is_free.wait()
        self._in_hand[job_id] = asyncio.Event()
        try:
            async with self._replicas.turn(messages.status_key(job_id)):
                with naming(job_id):
                    yield
        finally:
            self._let_go(job_id)

    # ---- before anything is paid ---------------------------------------------------------

    def is_placed_first(self, thread: ThreadRef) -> bool:
        """Whether only a first message shows whether one may write there."""
        adapter = self._adapters.get(thread.adapter)
        return adapter is not None and adapter.limits(thread).is_placed_first

    async def place(self, job: Job) -> None:
        """Post a new job's status message now, where its platform shows only so whether it may.

        Raises `ThreadGone` where it may not; where that cannot be told now, it is posted later.
        """
        if not self.is_placed_first(job.request.thread):
            return
        adapter, key = self._adapters[job.request.thread.adapter], messages.status_key(job.id)
        async with self._alone(job.id):
            posted = await self._database.read(lambda conn: messages.get(conn, key))
            if posted.message is not None:
                return
            # If its answer is lost, it may stand there all the same: see `_take_down`.
            await self._database.write(lambda tx: messages.begin(tx, key, job.id))
            try:
                await self._post_or_edit(job, adapter, posted)
            except DeliveryUnavailable as error:
                self._delay(job.id, error)
            except PostedBefore as error:
                log.warning("status.not_shown", job=job.id, cause=error.sentence)
            except ThreadGone:
                await self._database.write(lambda tx: messages.remove(tx, key))
                raise

    async def _take_down(self, job: Job, adapter: Adapter, posted: messages.Posted) -> None:
        """Remove what stands, or may, of a request that was refused directly to the requester."""
        key, message = messages.status_key(job.id), posted.message
        if message is None and not posted.is_begun:
            return
        try:
            if message is None:
                # Found by its key, if it came through; else it says nothing that is not known.
                memo = messages.StoredMemo(self._database, key, job.id, posted.kept)
                notice = Received(about=to_about(job))
                message = await adapter.post(job.request.thread, notice, key=key, memo=memo)
            await adapter.delete(message)
        except DeliveryUnavailable:
            raise
        except DeliveryError as error:
            log.warning("status.not_removed", job=job.id, cause=error.sentence)
        await self._database.write(lambda tx: messages.remove(tx, key))

    # ---- what is so now ------------------------------------------------------------------

    async def _show(self, job_id: JobId) -> None:
        faults = self._faults.pop(job_id, 0)
        try:
            key = messages.status_key(job_id)
            images = messages.images_key(job_id)
            job, (posted, shown) = await self._database.read(
                lambda conn: (jobs.get(conn, job_id), messages.get_both(conn, key, images))
            )
            letter = shown.message
            if job.erased_at is not None:
                return
            name_job(job_id, job.generation_id)
            adapter = self._adapters.get(job.request.thread.adapter)
            if adapter is not None and letter is not None and job.ended_at is not None:
                await self._take_back(job_id, adapter, letter)
            if job.film is not None:
                # Nobody reads of a shot alone.
                self.touch(job.film)
            elif adapter is not None and ledger.was_told(job):
                await self._take_down(job, adapter, posted)
            elif adapter is not None:
                await self._say(job, adapter, posted)
        except DeliveryUnavailable as error:
            self._delay(job_id, error)
        except DeliveryError as error:
            log.warning("status.not_shown", job=job_id, cause=error.sentence)
        except StoreError:
            raise
        except Exception:
            # An adapter broke its promise; one status message must not end the whole bot.
            log.exception("status.fault", job=job_id)
            self._try_again(job_id, faults)

    def _try_again(self, job_id: JobId, faults: int) -> None:
        if faults < len(FAULT_SECONDS):
            self._faults[job_id] = faults + 1
            self.touch(job_id, after=FAULT_SECONDS[faults])

    async def _take_back(self, job_id: JobId, adapter: Adapter, letter: MessageRef) -> None:
        """Delete the message that showed a job's images; its status message waits for nothing."""
        try:
            await adapter.delete(letter)
        except DeliveryUnavailable as error:
            self._delay(job_id, error, what="images.not_deleted_yet")
            return
        except DeliveryError as error:
            log.warning("images.not_deleted", job=job_id, cause=error.sentence)
        key = messages.images_key(job_id)
        await self._database.write(lambda tx: messages.remove(tx, key))

    def _delay(
        self, job_id: JobId, error: DeliveryUnavailable, *, what: str = "status.delayed"
    ) -> None:
        # Maybe another process can say it there.
        self._replicas.tell("announce", job=job_id)
        self._put_off.add(job_id)
        self._rest(job_id, error.retry_after or AGAIN_SECONDS)
        self.touch(job_id)
        log.warning(what, job=job_id, cause=error.sentence)

    def _rest(self, job_id: JobId, seconds: float) -> None:
        """Leave this job's message alone for so long."""
        self._not_before[job_id] = self._clock.boottime() + seconds

    async def _say(self, job: Job, adapter: Adapter, posted: messages.Posted) -> None:
        """Post or edit it; a private answer that has ended is left alone until there is news."""
        try:
            await self._post_or_edit(job, adapter, posted)
        except PostedBefore:
            raise
        except ThreadGone:
            if job.request.is_private:
                # Processes that cannot know that it ended would ask the others again and again.
                key, unsaid = messages.status_key(job.id), _unsaid(job, await self._to_notice(job))
                await self._database.write(lambda tx: messages.give_up(tx, key, job, unsaid))
            raise

    async def _post_or_edit(self, job: Job, adapter: Adapter, posted: messages.Posted) -> None:
        key, message = messages.status_key(job.id), posted.message
        if message is not None and is_passing(job, self._clock.now()):
            self.touch(job.id, after=PASSING_SECONDS)
            return
        notice = await self._to_notice(job)
        is_shared = adapter.limits(job.request.thread).is_shared and not job.request.is_private
        notice = for_all(notice) if is_shared else notice
        if message is None and is_shared and _is_silent(job):
            return
        digest = hashlib.sha256(repr(notice).encode()).hexdigest()
        if posted.digest in (digest, _unsaid(job, notice)):
            return
        if message is None:
            message = await self._post(job, adapter, notice, posted)
        elif adapter.limits(job.request.thread).can_edit:
            message = await self._edit(job, adapter, message, notice)
        placed = message
        keys = [key] if posted.message in (None, placed) else [key, messages.last_key(job.id)]

        def write(tx: Tx) -> None:
            for each in keys:
                messages.put(tx, each, job.id, placed, digest, shown=job.version)

        await self._database.write(write)
        if job.ended_at is None:
            self._rest(job.id, adapter.limits(job.request.thread).edit_seconds)

    async def _post(
        self, job: Job, adapter: Adapter, notice: Notice, posted: messages.Posted
    ) -> MessageRef:
        """Post a status message; a private one directly where its own answer cannot say it."""
        key, thread, own = messages.status_key(job.id), job.request.thread, job.request.requester
        memo = messages.StoredMemo(self._database, key, job.id, posted.kept)
        try:
            return await adapter.post(thread, notice, key=key, memo=memo)
        except ThreadGone:
            direct = await adapter.direct(own) if job.request.is_private else None
            if direct is None or direct == thread:
                raise
            return await adapter.post(direct, notice, key=key, memo=memo)

    async def _edit(
        self, job: Job, adapter: Adapter, message: MessageRef, notice: Notice
    ) -> MessageRef:
        """Let this message say it, or a new one in its place; returns the one that does."""
        asks = isinstance(notice, ConfirmNeeded | ShotFailed)
        if job.state not in TOLD_NOWHERE_ELSE and not asks:
            await adapter.edit(message, notice)
            return message
        key = messages.last_key(job.id)
        last = await self._database.read(lambda conn: messages.get(conn, key))
        if last.is_begun:
            # It may stand there already: to edit now would say it twice.
            return await self._say_anew(job, adapter, message, notice)
        try:
            await adapter.edit(message, notice)
        except (EditsPaused, ThreadGone) as error:
            is_over = isinstance(error, ThreadGone) and not job.request.is_private
            if is_over or last.message is not None:
                raise
            await self._database.write(lambda tx: messages.begin(tx, key, job.id))
            return await self._say_anew(job, adapter, message, notice)
        return message

    async def _say_anew(
        self, job: Job, adapter: Adapter, old: MessageRef, notice: Notice
    ) -> MessageRef:
        """Post a job's last word where its status message cannot be edited, and remove that."""
        key = messages.last_key(job.id)
        memo = await messages.open_memo(self._database, key, job.id)
        try:
            placed = await adapter.post(old.thread, notice, key=key, memo=memo)
        except PostedBefore:
            raise
        except ThreadGone:
            is_private, own = job.request.is_private, job.request.requester
            direct = await adapter.direct(own) if is_private else None
            if direct in (None, old.thread):
                # Nothing new can be said there; what stands there may be changed some time.
                await adapter.edit(old, notice)
                return old
            # What only its person may read comes to them, where the private answer has ended.
            placed = await adapter.post(direct, notice, key=key, memo=memo)
        try:
            await adapter.delete(old)
        except DeliveryError as error:
            log.warning("status.not_removed", job=job.id, cause=error.sentence)
        return placed


def _unsaid(job: Job, notice: Notice) -> str:
    """Stands for the digest of what could not be said, the same in each process."""
    # Not each process knows what a job in line waits for.
    kind = "" if job.state is JobState.ACCEPTED else type(notice).__name__
    return f"unsaid {job.state} {kind}"


def _is_silent(job: Job) -> bool:
    """Whether only its person knows of it as yet: they have not accepted the rules."""
    question = job.plan.question if job.plan is not None else None
    return question is not None and question.kind == "rules"
