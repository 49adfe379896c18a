"""Which files the public port serves, as long as somebody may need them, and the links to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath

from bot.clips import Clips
from bot.clock import Clock
from bot.frames import Frames
from bot.job import Job, JobState
from bot.media import LinkSigner
from bot.refs import JobId
from bot.store import jobs
from bot.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Links:
    """`public_url` is empty where nobody outside can open a link; clips are kept `clip_days`."""

    database: Database
    frames: Frames
    clips: Clips
    signer: LinkSigner
    clock: Clock
    public_url: str
    clip_days: int

    async def frame_at(self, job_id: str, attempt: int, slot: str) -> Path | None:
        """An input image, while that attempt is being submitted or generated."""
        job = await self._find(job_id)
        if job is None or job.plan is None or job.attempt > attempt:
            return None
        is_live = job.state in (JobState.ACCEPTED, JobState.SUBMITTING, JobState.GENERATING)
        frame = job.plan.start_frame if slot == "start" else job.plan.end_frame
        return await self.frames.local(frame) if frame and is_live else None

    async def clip_at(self, job_id: str) -> Path | None:
        """A kept clip."""
        job = await self._find(job_id)
        return await self.clips.local(job.clip) if job and job.clip else None

    def clip_link(self, job: Job) -> str | None:
        """A signed link to a kept clip or still, while it is kept; None without an address."""
        if not self.public_url or job.clip is None:
            return None
        until = self.clock.now() + timedelta(days=self.clip_days)
        path = f"/clips/{job.id}{PurePosixPath(job.clip.key).suffix}"
        return self.public_url.rstrip("/") + self.signer.sign(path, until)

    async def _find(self, job_id: str) -> Job | None:
        return await self.database.read(lambda conn: jobs.get_or_none(conn, JobId(job_id)))
