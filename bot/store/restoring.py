"""A database of an earlier time: what went on since is not in it, and may have been paid.

So nothing that may have been submitted since is submitted again by itself, and whatever may have
been posted since is looked for before it is posted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from bot.errors import StoreError
from bot.job import Failure, Job, JobState
from bot.ports import FIRST_TRY, LAST_TRY
from bot.refs import JobId
from bot.store import attempts as attempt_rows
from bot.store import jobs, ledger, messages, sittings
from bot.store import settings as choices
from bot.store.database import Database, cause
from bot.store.schema import COPY, attempts, errands, inbox, settings
from bot.store.transaction import Tx

ASK_AGAIN = (
    "Raybot was set back to an earlier time, so it does not know whether this was started. "
    "If there is no clip, please ask again."
)


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What became of the jobs that were open: put aside, looked up again, ended."""

    aside: tuple[JobId, ...]
    looked_up: int
    ended: int


def copied_at(conn: Connection) -> datetime | None:
    """When this copy was made; None where it is no copy, or was restored since."""
    kept = choices.chosen(conn, COPY).get("at")
    return datetime.fromisoformat(kept) if kept else None


def settle(database: Database, since: datetime, now: datetime) -> Restored:
    """Do so with a database that is in its place already, while nobody else is connected to it.

    Raises `ConfigError` where somebody is, `SchemaTooNew` and `StoreError`; then nothing changed.
    """
    database.lock()
    try:
        with database.alone():
            pass  # Whoever else is here is told of before the schema changes.
        database.migrate()
        with database.alone() as conn:
            return restore(conn, since, now)
    except SQLAlchemyError as error:
        raise StoreError(f"Nothing was restored, because: {cause(error)}.") from error
    finally:
        database.unlock()


def restore(conn: Connection, since: datetime, now: datetime) -> Restored:
    """Let a bot go on from the state of `since` without paying or posting anything twice."""
    tx = Tx(conn)
    tx.conn.execute(delete(settings).where(settings.c.scope == COPY))
    aside, looked_up, ended = [], 0, 0
    for job_id in jobs.open_ids(tx.conn):
        job = jobs.get(tx.conn, job_id)
        if job.state is JobState.RECEIVED:
            failure = Failure(code=ledger.LATE_FAULT, sentence=ASK_AGAIN)
            ledger.fail(tx, job, now, failure)
            ended += 1
        elif job.state is JobState.ACCEPTED:
            _note(tx, job, now)
            jobs.change(tx, job, parked_at=now, admitted_at=None, next_at=None)
            aside.append(job_id)
        else:
            _note(tx, job, now)
            looked_up += 1
        for key in (
            messages.status_key(job_id),
            messages.clip_key(job_id),
            messages.why_key(job_id),
            *(messages.review_key(job_id, at) for at in range(messages.MOST_ASKED)),
        ):
            _expect(tx, key, job_id, since, now)
    rows = select(errands.c.key, errands.c.job_id).where(errands.c.due_at.is_not(None))
    for row in tx.conn.execute(rows).all():
        _expect(tx, row.key, JobId(row.job_id), since, now)
    # What was told then was carried out since, or is too old to be.
    is_left = inbox.c.done_at.is_(None)
    tx.conn.execute(update(inbox).where(is_left).values(payload={}, done_at=now))
    # Who had signed out since would be in again.
    sittings.end_all(tx)
    choices.stop(tx, now)
    tx.write_late()
    return Restored(aside=tuple(aside), looked_up=looked_up, ended=ended)


def _note(tx: Tx, job: Job, now: datetime) -> None:
    """Let no doubt and no failure of this job lead to one more submission by itself."""
    if job.plan is None or job.is_film or attempt_rows.was_restored(tx.conn, job.id):
        return
    row = {
        "job_id": job.id,
        "attempt": 0,
        "provider": job.plan.provider,
        "token_hash": secrets.token_hex(32),
        "submission": {},
        "sent_at": now,
        "outcome": "restored",
    }
    tx.conn.execute(attempts.insert(), row)


def _expect(tx: Tx, key: str, job_id: JobId, since: datetime, now: datetime) -> None:
    """Let a message be looked for in all this time before it is posted."""
    known = messages.get(tx.conn, key)
    if known.message is None:
        first = known.kept.get(FIRST_TRY) or since.isoformat()
        memo = {**known.kept, FIRST_TRY: first, LAST_TRY: now.isoformat()}
        messages.put_memo(tx, key, job_id, memo)
