"""A job as its person reads it in a list, and with its kept file."""

from __future__ import annotations

from pathlib import Path

from bot.acts import Offered
from bot.clips import filename
from bot.job import Job, JobState
from bot.notices import (
    Delivered,
    Ended,
    Notice,
)
from bot.outlook import to_about, took
from bot.overview import JobLine
from bot.refs import Micros
from bot.studio.removal import is_deleted
from bot.text import gist


def to_line(job: Job) -> JobLine:
    """A job in a list."""
    return JobLine(
        job_id=job.id,
        state=JobState.CANCELLED if job.is_taken_back else job.state,
        prompt=job.work.prompt,
        created_at=job.created_at,
        price=_price_of(job),
        message=job.message if not is_deleted(job) else None,
        is_private=job.request.is_private,
        is_test=job.plan is not None and job.plan.price.is_test,
    )


def _price_of(job: Job) -> Micros:
    """What it cost once it was charged; before, and of a test, what it would."""
    if job.plan is None:
        return Micros(0)
    is_over = job.ended_at is not None or job.state is JobState.REVIEWING
    is_charged = is_over and not job.plan.price.is_test
    return job.cost if is_charged else job.plan.price.micros


def to_kept(job: Job, path: Path, said: Notice, *, acts: tuple[Offered, ...]) -> Delivered:
    """A job with its clip, which is kept at `path`; `said` is how it stands, with its shots."""
    assert job.clip is not None
    return Delivered(
        about=said.about if isinstance(said, Ended) else to_about(job),
        path=str(path),
        filename=filename(job.id, path, model=job.work.model, prompt=gist(job.work)),
        width=job.clip.width,
        height=job.clip.height,
        seconds=job.clip.seconds,
        bytes=job.clip.bytes,
        charged=said.charged if isinstance(said, Ended) else job.cost,
        took=took(job),
        acts=acts,
    )
