"""When jobs reached their states: rows of `job_events`, and a line in the log for each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from bot.job import JobState
from bot.log import get_logger
from bot.refs import GenerationId, JobId
from bot.store.schema import job_events
from bot.store.transaction import Tx

log = get_logger(__name__)
_INSERT = job_events.insert()


def append(
    tx: Tx,
    job_id: JobId,
    now: datetime,
    before: JobState | None,
    to: JobState,
    version: int,
    generation: GenerationId | None = None,
) -> None:
    """A job is in this state from now on, which is logged once it is durable."""
    row = {"job_id": job_id, "at": now, "from_state": before, "to_state": to, "version": version}
    # The guarded write of the job before it has made sure that there is one of each version.
    tx.put_off(_insert, row)
    event = f"job.{to}"
    known = {"generation": generation} if generation else {}
    tx.after_commit(lambda: log.info(event, job=job_id, was=before, **known))


def _insert(conn: Connection, rows: list[dict[str, Any]]) -> None:
    conn.execute(_INSERT, rows)


def of(conn: Connection, job_id: JobId) -> tuple[tuple[datetime, str], ...]:
    """When the job reached each of its states."""
    rows = conn.execute(
        select(job_events.c.at, job_events.c.to_state)
        .where(job_events.c.job_id == job_id)
        .order_by(job_events.c.version)
    )
    return tuple((row.at, row.to_state) for row in rows)
