"""Films in the book: their shots are accepted together, run one after another, and end together.

A film is a job of its own that holds nothing: each of its shots is a clip with its own hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, or_, select

from bot.errors import Stale
from bot.job import DECIDE_WITHIN, OPEN, TERMINAL, Failure, Job, JobState, Plan
from bot.ports import Dispatcher
from bot.refs import GenerationId, JobId, Micros
from bot.store import jobs as job_rows
from bot.store import ledger
from bot.store.schema import jobs
from bot.store.transaction import Tx
from bot.tables import LimitsTable

NOTHING_MADE = Failure(code="story", sentence="None of its shots could be made.")


def shots(conn: Connection, film_id: JobId) -> list[Job]:
    """The shots of a film in their order, each as it was last tried."""
    rows = conn.execute(
        select(jobs).where(jobs.c.story == film_id, jobs.c.shot.is_not(None)).order_by(jobs.c.shot)
    )
    return [job_rows.to_job(row) for row in rows]


def before(conn: Connection, shot: Job) -> Job | None:
    """The shot that a shot, or another try of one outside its film, goes on from."""
    while shot.shot is None and shot.retry_of is not None:
        shot = job_rows.get(conn, shot.retry_of)
    if shot.film is not None:
        # The place of one that failed may be another one's by now.
        again = {each.retry_of: each for each in every(conn, shot.film)}
        while shot.shot is None:
            shot = again[shot.id]
    row = conn.execute(
        select(jobs).where(jobs.c.story == shot.story, jobs.c.shot == (shot.shot or 0) - 1)
    ).one_or_none()
    return job_rows.to_job(row) if row is not None else None


def every(conn: Connection, film_id: JobId) -> list[Job]:
    """All shots of a film, with those that were made again."""
    rows = conn.execute(select(jobs).where(jobs.c.story == film_id, jobs.c.id != film_id))
    return [job_rows.to_job(row) for row in rows]


def in_use(conn: Connection) -> set[JobId]:
    """Whose files are still needed: open jobs, and the shots of open films, ended or not."""
    films = jobs.alias()
    open_films = select(films.c.id).where(films.c.state.in_(OPEN))
    is_of_open = jobs.c.story.in_(open_films)
    rows = conn.execute(select(jobs.c.id).where(or_(jobs.c.state.in_(OPEN), is_of_open)))
    return {JobId(row.id) for row in rows}


def charged(conn: Connection, job: Job) -> Micros:
    """What a job cost its person; a film itself costs nothing, but each of its shots does."""
    whole = [job, *every(conn, job.id)] if job.is_film else [job]
    return Micros(sum(each.cost for each in whole))


def accept(tx: Tx, film: Job, plan: Plan, limits: LimitsTable, now: datetime) -> Job:
    """Hold the money of all shots and put the first in line, or raise `QuotaExceeded`."""
    ways = [way for shot in plan.shots for way in (shot, *shot.others)]
    room = ledger.check(tx, film.request, ways, plan.hold, limits, now, clips=len(plan.shots))
    # The guarded move first: a film that was accepted meanwhile is `Stale`, and so are its shots.
    bare = plan.model_copy(update={"shots": (), "hold": Micros(0)})
    accepted = ledger.hold(tx, film, bare, now, provider=None, is_test=False, list_price=Micros(0))
    last: JobId | None = None
    for number, each in enumerate(plan.shots, start=1):
        request = film.request.model_copy(
            update={
                "dedupe_key": f"{film.id}:{number}",
                "work": each.work,
                "asked_in": None,
            }
        )
        shot, _ = job_rows.insert(tx, request, now, story=film.id, shot=number, waits_for=last)
        last = ledger.hold(tx, shot, each, now).id
    ledger.note_budgets(tx, room, now)
    return job_rows.move(tx, accepted, JobState.GENERATING, now, submitted_at=now, next_at=None)


def _check_unchanged(tx: Tx, job: Job) -> None:
    """Raise `Stale` where it was accepted meanwhile: its own hold would count against it."""
    current = job_rows.get(tx.conn, job.id)
    if (current.state, current.version) != (job.state, job.version):
        raise Stale


def accept_all(tx: Tx, planned: Sequence[Job], limits: LimitsTable, now: datetime) -> list[Job]:
    """Hold for all of them, or raise `QuotaExceeded`; a film is asked for alone."""
    for job in planned:
        _check_unchanged(tx, job)
    film = planned[0]
    if film.plan is not None and film.plan.shots:
        return [accept(tx, film, film.plan, limits, now)]
    return ledger.accept_all(tx, planned, limits, now)


def replace(
    tx: Tx, shot: Job, request_key: str, plan: Plan, limits: LimitsTable, now: datetime
) -> Job:
    """Put another try in the place of a shot that failed, or raise `QuotaExceeded`."""
    assert shot.film is not None
    room = ledger.check(tx, shot.request, (plan, *plan.others), plan.hold, limits, now)
    request = shot.request.model_copy(update={"dedupe_key": request_key, "work": plan.work})
    job_rows.change(tx, shot, shot=None)
    again, _ = job_rows.insert(tx, request, now, story=shot.film, shot=shot.shot, retry_of=shot.id)
    film = job_rows.get(tx.conn, shot.film)
    job_rows.change(tx, film, next_at=None)
    held = ledger.hold(tx, again, plan, now)
    ledger.note_budgets(tx, room, now)
    return held


def wake(tx: Tx, dispatcher: Dispatcher, job: Job) -> None:
    """Let the film of a shot that has ended go on at once; when it is due, `ledger.end` wrote."""
    if job.film is not None and job.ended_at is not None:
        dispatcher.wake(tx, job.film, job.ended_at)


def follow(tx: Tx, film: Job, now: datetime) -> Job:
    """Let a film go on from what became of its shots: the next shot, the end, or a question."""
    ahead = next((each for each in shots(tx.conn, film.id) if each.state != "delivered"), None)
    if ahead is None:
        return finish(tx, film, now)
    if ahead.state in TERMINAL:
        until = (ahead.ended_at or now) + DECIDE_WITHIN
        return finish(tx, film, now) if now >= until else job_rows.change(tx, film, next_at=until)
    if ahead.state is JobState.ACCEPTED and ahead.admitted_at is None:
        job_rows.change(tx, ahead, waits_for=None)
    return job_rows.change(tx, film, next_at=None)


def finish(tx: Tx, film: Job, now: datetime) -> Job:
    """End a film with the shots that there are; what is held for the others is given back.

    Raises `Stale` where one is being made after all: it would be paid and be in no film.
    """
    every_shot = shots(tx.conn, film.id)
    for shot in every_shot:
        if shot.state is JobState.ACCEPTED:
            ledger.end(tx, shot, JobState.CANCELLED, now, charged=None)
        elif shot.state not in TERMINAL:
            raise Stale(f"Shot {shot.shot} of {film.id} is being made again.")
    film = job_rows.get(tx.conn, film.id)
    if not any(shot.state is JobState.DELIVERED for shot in every_shot):
        return ledger.fail(tx, film, now, NOTHING_MADE)
    return job_rows.move(tx, film, JobState.FETCHING, now, completed_at=now, next_at=now)


def cancel(tx: Tx, film: Job, now: datetime, *, stopped: frozenset[GenerationId | None]) -> Job:
    """End a film and take its shots back; one that runs on is charged when it ends."""
    for shot in shots(tx.conn, film.id):
        is_stopped = shot.state is JobState.GENERATING and shot.generation_id in stopped
        if shot.state in TERMINAL | {JobState.DELIVERING}:
            continue
        if shot.state is JobState.ACCEPTED or is_stopped:
            ledger.end(tx, shot, JobState.CANCELLED, now, charged=None)
        else:
            job_rows.change(tx, shot, cancel_requested=True)
    film = job_rows.get(tx.conn, film.id)
    return ledger.end(tx, film, JobState.CANCELLED, now, charged=None)
