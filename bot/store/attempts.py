"""Submission attempts: what was about to be sent, its secret's hash, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, select, update

from bot.errors import Stale
from bot.job import Failure, Job, JobState
from bot.ports import FrameHandle, Generation, Submission
from bot.refs import GenerationId, JobId
from bot.store import jobs as job_rows
from bot.store.schema import attempts
from bot.store.transaction import Tx

#: The code of a failure that costs nothing and may pass.
WORTH_ANOTHER = "service"
Outcome = Literal["open", "taken", "refused", "absent", "adopted", "orphan", "restored"]
_INSERT = attempts.insert()
_UPDATE = update(attempts).where(
    attempts.c.job_id == bindparam("of_job"), attempts.c.attempt == bindparam("number")
)
_OWNED = select(attempts.c.generation_id).where(attempts.c.generation_id.is_not(None))
_IS_CALLED = attempts.c.token_hash == bindparam("hash")
_BY_TOKEN_HASH = select(attempts).where(_IS_CALLED)
_CALLED = select(attempts.c.job_id, attempts.c.generation_id).where(_IS_CALLED)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One row of `attempts`. The submission is as it was sent, without the callback's secret."""

    provider: str
    submission: Submission
    outcome: Outcome
    generation_id: GenerationId | None
    absences: int


def begin(tx: Tx, provider: str, submission: Submission) -> None:
    """Write the intent, before the POST."""
    stored = submission.model_copy(
        update={
            "callback_url": None,
            "start_frame": _without_key(submission.start_frame),
            "end_frame": _without_key(submission.end_frame),
            "source": _without_key(submission.source),
        }
    )
    tx.conn.execute(
        _INSERT,
        {
            "job_id": submission.job_id,
            "attempt": submission.attempt,
            "provider": provider,
            "token_hash": submission.token_hash,
            # Apart, since an older process refuses a submission with a key that it does not know.
            "submission": stored.model_dump(mode="json", exclude={"account"}),
            "account": submission.account or None,
            "sent_at": submission.sent_at,
            "outcome": "open",
        },
    )


def _without_key(frame: FrameHandle | None) -> FrameHandle | None:
    """A link's query is what opens it, so that it stays out of the book."""
    if frame is None or frame.url is None:
        return frame
    return frame.model_copy(update={"url": frame.url.partition("?")[0]})


def finish(
    tx: Tx,
    job_id: JobId,
    attempt: int,
    outcome: Outcome,
    generation_id: GenerationId | None = None,
) -> None:
    """Write what became of an attempt; without a generation it keeps the one it has."""
    values: dict[str, Any] = {"outcome": outcome}
    if generation_id is not None:
        values["generation_id"] = generation_id
    tx.conn.execute(_UPDATE, {**values, "of_job": job_id, "number": attempt})


def adopt(
    tx: Tx,
    job: Job,
    generation_id: GenerationId,
    outcome: Outcome,
    now: datetime,
    *,
    attempt: int | None = None,
) -> Job:
    """The provider runs it: the job and this attempt (the present one) own the generation."""
    finish(tx, job.id, attempt or job.attempt, outcome, generation_id)
    return job_rows.move(
        tx,
        job,
        JobState.GENERATING,
        now,
        generation_id=generation_id,
        submitted_at=job.submitted_at or now,
        provider_failure=None,
        # What it was put aside for is answered.
        parked_at=None,
        next_at=None,
    )


def complete(tx: Tx, job: Job, clip_url: str | None, now: datetime) -> Job:
    """The provider is done: the clip can be fetched from this link."""
    return job_rows.move(
        tx, job, JobState.FETCHING, now, clip_url=clip_url, completed_at=now, next_at=now
    )


def take(
    tx: Tx, job: Job, generation: Generation, outcome: Literal["taken", "adopted"], now: datetime
) -> Job:
    """The provider runs it, or has run it: a link that is told only once is kept at once."""
    running = adopt(tx, job, generation.id, outcome, now)
    if generation.state != "completed":
        return running
    return complete(tx, running, generation.clip_url, now)


def end(tx: Tx, job: Job, generation: Generation, now: datetime) -> Job:
    """The provider is done with it, or gave up: a failure is the tracker's to judge."""
    if generation.state == "completed":
        return complete(tx, job, generation.clip_url, now)
    return job_rows.change(tx, job, provider_failure=_to_failure(generation), next_at=now)


def put_back(
    tx: Tx, job: Job, now: datetime, *, until: datetime | None = None, why: Failure | None = None
) -> Job:
    """Put a job that was not taken, or whose generation failed, back in line without that.

    It waits until then; `why` is the refusal that its operator has to do something about.
    """
    return job_rows.move(
        tx,
        job,
        JobState.ACCEPTED,
        now,
        admitted_at=None,
        submitted_at=None,
        generation_id=None,
        provider_failure=why,
        next_at=until or now,
    )


def _to_failure(generation: Generation) -> Failure:
    """A failed generation as the job's failure; only code `service` earns one more attempt."""
    failure = generation.failure or Failure(
        code="unknown", sentence="The video service gave up without saying why."
    )
    if generation.can_retry:
        return failure.model_copy(update={"code": WORTH_ANOTHER})
    # A fault that may have cost is told like any other, but not bought again.
    is_final = failure.code == WORTH_ANOTHER
    return failure.model_copy(update={"code": "service_final"}) if is_final else failure


def count_absence(tx: Tx, job_id: JobId, attempt: int) -> int:
    """One more look that did not find it; returns how many there were."""
    row = tx.conn.execute(
        update(attempts)
        .where(*_is(job_id, attempt), attempts.c.outcome == "open")
        .values(absences=attempts.c.absences + 1)
        .returning(attempts.c.absences)
    ).one_or_none()
    if row is None:
        raise Stale
    return int(row.absences)


def get(conn: Connection, job_id: JobId, attempt: int) -> Attempt | None:
    """One attempt of a job."""
    row = conn.execute(select(attempts).where(*_is(job_id, attempt))).one_or_none()
    return _to_attempt(row) if row is not None else None


def by_token_hash(conn: Connection, token_hash: str) -> Attempt | None:
    """The attempt whose callback secret has this SHA-256."""
    row = conn.execute(_BY_TOKEN_HASH, {"hash": token_hash}).one_or_none()
    return _to_attempt(row) if row is not None else None


def called(conn: Connection, token_hash: str) -> tuple[JobId, GenerationId | None] | None:
    """The job and generation of that attempt: of each call, so without the whole of it."""
    row = conn.execute(_CALLED, {"hash": token_hash}).one_or_none()
    return (row.job_id, row.generation_id) if row is not None else None


def doubtful(conn: Connection, job_id: JobId) -> int:
    """How many attempts of a job were provably absent after a doubtful answer.

    One that nobody knows of is counted, where the database was set back to an earlier time.
    """
    rows = conn.execute(
        select(attempts.c.attempt).where(
            attempts.c.job_id == job_id, attempts.c.outcome.in_(("absent", "restored"))
        )
    )
    return len(rows.all())


def orphan(conn: Connection, job_id: JobId) -> Attempt | None:
    """The newest attempt of a job whose generation turned up when nobody could have it."""
    rows = conn.execute(
        select(attempts)
        .where(attempts.c.job_id == job_id, attempts.c.outcome == "orphan")
        .order_by(attempts.c.attempt.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    return _to_attempt(row) if row is not None else None


def was_restored(conn: Connection, job_id: JobId) -> bool:
    """Whether there may be attempts of a job that are not in this database."""
    query = select(attempts.c.attempt).where(*_is(job_id, 0))
    return conn.execute(query).one_or_none() is not None


def generations(conn: Connection, job_id: JobId) -> int:
    """How many generations a job has had, failed ones included."""
    rows = conn.execute(
        select(attempts.c.attempt).where(
            attempts.c.job_id == job_id, attempts.c.generation_id.is_not(None)
        )
    )
    return len(rows.all())


def owned(conn: Connection, provider: str, since: datetime) -> set[GenerationId]:
    """Generations that attempts own which were sent since a time, failed ones included."""
    rows = conn.execute(_OWNED.where(attempts.c.provider == provider, attempts.c.sent_at >= since))
    return {GenerationId(row.generation_id) for row in rows}


def newest_owned(
    conn: Connection, provider: str, before: datetime, *, most: int
) -> list[GenerationId]:
    """So many generations that attempts own which were sent before a time, the newest first."""
    query = _OWNED.where(attempts.c.provider == provider, attempts.c.sent_at < before)
    rows = conn.execute(query.order_by(attempts.c.sent_at.desc()).limit(most))
    return [GenerationId(row.generation_id) for row in rows]


def _is(job_id: JobId, attempt: int) -> tuple[Any, ...]:
    return attempts.c.job_id == job_id, attempts.c.attempt == attempt


def _to_attempt(row: Row[Any]) -> Attempt | None:
    if not row.submission:
        return None
    return Attempt(
        provider=row.provider,
        submission=Submission.model_validate({**row.submission, "account": row.account or ""}),
        outcome=row.outcome,
        generation_id=GenerationId(row.generation_id) if row.generation_id else None,
        absences=row.absences,
    )
