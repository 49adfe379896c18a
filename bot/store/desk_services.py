"""How a video service did lately, as the rows say it, for all places or for one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from bot.desk_views import Ending
from bot.job import JobState
from bot.refs import JobId
from bot.store import desk_clips
from bot.store.jobs import HAS_SLOT
from bot.store.schema import jobs

_WAITS = and_(jobs.c.state == JobState.ACCEPTED.value, jobs.c.admitted_at.is_(None))


@dataclass(frozen=True, kw_only=True)
class Load:
    """What runs at a service and waits for it, since when, and how it ended last."""

    running: int
    waiting: int
    oldest: datetime | None
    success: Ending | None
    failure: Ending | None


def load(conn: Connection, provider: str, tenant: str | None) -> Load:
    """One service, of all places or of one."""
    own = [jobs.c.provider == provider, *([jobs.c.tenant == tenant] if tenant else [])]
    oldest, waiting = conn.execute(
        select(func.min(jobs.c.accepted_at), func.count()).where(*own, _WAITS)
    ).one()
    return Load(
        running=int(conn.execute(select(func.count()).where(*own, HAS_SLOT)).scalar_one()),
        waiting=int(waiting),
        oldest=oldest,
        success=_last(conn, own, JobState.DELIVERED),
        failure=_last(conn, own, JobState.FAILED),
    )


def _last(conn: Connection, own: list[ColumnElement[Any]], state: JobState) -> Ending | None:
    """The last that it was let have, of those that ended so."""
    row = conn.execute(
        select(jobs.c.id, jobs.c.completed_at, jobs.c.ended_at, jobs.c.failure, *desk_clips.VEIL)
        .where(*own, jobs.c.state == state.value, jobs.c.admitted_at.is_not(None))
        .order_by(jobs.c.admitted_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    at = row.completed_at if state is JobState.DELIVERED else row.ended_at
    is_told = state is JobState.FAILED and not desk_clips.is_hidden(row)
    sentence = (row.failure or {}).get("sentence", "") if is_told else ""
    return Ending(at=at or row.ended_at, job_id=JobId(row.id), sentence=sentence)
