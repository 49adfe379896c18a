"""Requests that are written down and being prepared, and by which process."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select, update

from bot.job import JobState
from bot.refs import JobId
from bot.store.schema import jobs
from bot.store.transaction import Tx

#: Named by no process, so that none of this name is ever there.
EARLIER = ""
#: What has a plan waits for an answer instead.
_IS_PREPARED = (jobs.c.state == JobState.RECEIVED) & jobs.c.plan.is_(None)


def by_process(conn: Connection, adapters: Collection[str]) -> list[tuple[JobId, str]]:
    """Each that was asked for there, oldest first, with its process.

    That is `EARLIER` where an earlier version wrote it.
    """
    rows = conn.execute(
        select(jobs.c.id, jobs.c.prepared_by)
        .where(_IS_PREPARED, jobs.c.adapter.in_(adapters))
        .order_by(jobs.c.created_at)
    )
    return [(JobId(row.id), row.prepared_by or EARLIER) for row in rows]


def take_over(
    tx: Tx, gone: Collection[str], adapters: Collection[str], *, by: str
) -> frozenset[JobId]:
    """Give a process what those had from there which are gone, where no other one was first."""
    rows = tx.conn.execute(
        update(jobs)
        .where(
            _IS_PREPARED,
            jobs.c.adapter.in_(adapters),
            func.coalesce(jobs.c.prepared_by, EARLIER).in_(gone),
        )
        .values(prepared_by=by)
        .returning(jobs.c.id)
    )
    return frozenset(JobId(row.id) for row in rows)
