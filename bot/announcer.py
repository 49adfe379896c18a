"""Status messages: one per job, edited when what they say changes, never too often."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from bot.clock import Clock
from bot.errors import DeliveryError, DeliveryUnavailable, StoreError
from bot.job import Job
from bot.log import get_logger
from bot.notices import Notice
from bot.ports import Adapter
from bot.refs import JobId
from bot.store import jobs, messages
from bot.store.database import Database

log = get_logger(__name__)
AT_ONCE = 8
AGAIN_SECONDS = 30.0


class Announcer:
    """Shows each touched job's present state in its thread."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        clock: Clock,
        to_notice: Callable[[Job], Awaitable[Notice]],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._clock = clock
        self._to_notice = to_notice
        self._touched: dict[JobId, datetime] = {}
        self._edited: dict[JobId, datetime] = {}
        self._changed = asyncio.Event()

    def touch(self, job_id: JobId) -> None:
        """Something about this job may have changed."""
        self._touched.setdefault(job_id, self._clock.now())
        self._changed.set()

    async def run(self) -> None:
        """Show changes until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock.now()
            due = [job_id for job_id, at in self._touched.items() if at <= now][:AT_ONCE]
            for job_id in due:
                del self._touched[job_id]
            async with asyncio.TaskGroup() as group:
                for job_id in due:
                    group.create_task(self._show(job_id), name=f"announce {job_id}")
            if len(due) < AT_ONCE:
                at = min(self._touched.values(), default=None)
                await self._clock.wait(self._changed, at)

    async def _show(self, job_id: JobId) -> None:
        try:
            job = await self._database.read(lambda conn: jobs.get(conn, job_id))
            adapter = self._adapters.get(job.request.thread.adapter)
            if adapter is None or not self._may_edit(job, adapter):
                return
            await self._post_or_edit(job, adapter)
        except DeliveryUnavailable as error:
            pause = timedelta(seconds=error.retry_after or AGAIN_SECONDS)
            self._touched.setdefault(job_id, self._clock.now() + pause)
            log.warning("status.delayed", job=job_id, cause=error.sentence)
        except DeliveryError as error:
            log.warning("status.not_shown", job=job_id, cause=error.sentence)
        except StoreError as error:
            log.error("announcer.store_failed", cause=error.sentence)  # noqa: TRY400
        except Exception:
            # An adapter broke its promise; one status message must not end the whole bot.
            log.exception("status.fault", job=job_id)

    def _may_edit(self, job: Job, adapter: Adapter) -> bool:
        """Whether the message may change again already; if not, come back when it may."""
        now = self._clock.now()
        pause = timedelta(seconds=adapter.limits(job.request.thread).edit_seconds)
        edited = self._edited.get(job.id)
        if edited is not None and edited + pause > now:
            self._touched[job.id] = edited + pause
            return False
        return True

    async def _post_or_edit(self, job: Job, adapter: Adapter) -> None:
        key = messages.status_key(job.id)
        notice = await self._to_notice(job)
        digest = hashlib.sha256(repr(notice).encode()).hexdigest()
        message, last = await self._database.read(lambda conn: messages.get(conn, key))
        if last == digest:
            return
        if message is None:
            memo = await messages.open_memo(self._database, key, job.id)
            message = await adapter.post(job.request.thread, notice, key=key, memo=memo)
        elif adapter.limits(job.request.thread).can_edit:
            await adapter.edit(message, notice)
        placed = message
        await self._database.write(lambda tx: messages.put(tx, key, job.id, placed, digest))
        if job.ended_at is None:
            self._edited[job.id] = self._clock.now()
        else:
            self._edited.pop(job.id, None)
