"""Takes out what the rows say of a person, or of a place's people; sums, counts and ids stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, case, delete, exists, func, literal, or_, select
from sqlalchemy import update as change_rows

from bot.job import DELETED, OPEN, Failure, Job, JobState
from bot.overview import Belongings
from bot.refs import GenerationId, JobId, MessageRef
from bot.request import AnyWork, ClipWork, VideoWork, clips_of, without_words
from bot.store import complaints, digests, errands, places, settings, sittings, stars
from bot.store.jobs import IS_WHOLE, change, get, to_job
from bot.store.portable import insert
from bot.store.schema import attempts, erasures, jobs, messages
from bot.store.schema import places as places_table
from bot.store.transaction import Tx

#: What is said of what was removed, to whoever still has its id.
GONE = "It was removed for good."
_TO_GO = jobs.c.erased_at.is_(None) & ~exists().where(erasures.c.job_id == jobs.c.id)
#: What is posted elsewhere are errands, which are ended by themselves.
_ASIDE = (":report", ":gallery", ":letter:", ":review:", ":why", ":consent:")
_IS_ASIDE = or_(*(messages.c.key.contains(each, autoescape=True) for each in _ASIDE))
_FRAMES = ("start_frame", "end_frame")
#: Whether others go on from a generation: not, just now, or its file is theirs by now.
Leaning = Literal["nobody", "now", "for good"]


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """A job of which something is still to be removed; `is_gone`: its place removed the bot."""

    job: Job
    is_gone: bool


def belongings(conn: Connection, person: str) -> Belongings:
    """How much there is of a person that is not on its way out already."""
    kinds = (jobs.c.request["work"][each]["kind"].as_string() for each in _FRAMES)
    images = [_count(each.in_(["image", "link"])) for each in kinds]
    found = conn.execute(
        select(
            _count(IS_WHOLE),
            _count(IS_WHOLE & jobs.c.state.in_(OPEN)),
            images[0] + images[1],
            _count(IS_WHOLE & jobs.c.clip.is_not(None)),
        ).where(jobs.c.person == person, _TO_GO)
    ).one()
    going = select(func.count()).select_from(erasures.join(jobs)).where(jobs.c.person == person)
    return Belongings(
        requests=found[0],
        under_way=found[1],
        images=found[2],
        clips=found[3],
        settings=sum(len(settings.chosen(conn, each)) for each in settings.scopes_of(person)),
        stars=stars.by(conn, person),
        reasons=len(complaints.reasons_by(conn, person)),
        letters=len(errands.letters(conn, person)),
        going=int(conn.execute(going).scalar_one()),
    )


def _count(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((which, 1), else_=0)), 0)


# ---- what is to go ---------------------------------------------------------------------------


def begin(tx: Tx, person: str, now: datetime) -> None:
    """Let all go that is a person's; what they have beside their jobs goes with this."""
    _put(tx, (jobs.c.person == person) & _TO_GO, is_gone=False)
    for scope in settings.scopes_of(person):
        settings.choose(tx, scope, dict.fromkeys(settings.chosen(tx.conn, scope), ""))
    stars.forget(tx, person)
    for job_id in complaints.reasons_by(tx.conn, person):
        errands.renew(tx, job_id, now, kind="report")
    complaints.forget_reasons(tx, person)
    errands.forget_letters(tx, person, now)
    sittings.forget(tx, person)


def begin_place(tx: Tx, tenant: str, before: datetime) -> None:
    """Let all go that the people of a place asked for, if it left before this time."""
    if tenant not in places.away(tx.conn, before=before):
        return
    _put(tx, (jobs.c.tenant == tenant) & _TO_GO, is_gone=True)


def begin_strewn(tx: Tx) -> None:
    """Let go, too, what was just being posted of a job as it was removed, and shots of its film.

    A film may have been begun with just before it went.
    """
    is_posted = exists().where(messages.c.job_id == jobs.c.id, ~_IS_ASIDE)
    is_done = ~exists().where(erasures.c.job_id == jobs.c.id)
    _put(tx, jobs.c.erased_at.is_not(None) & is_posted & is_done, is_gone=False)
    film, going = jobs.alias(), erasures.alias()
    is_going = exists().where(going.c.job_id == film.c.id) | film.c.erased_at.is_not(None)
    of_film = exists().where(film.c.id == jobs.c.story, film.c.id != jobs.c.id, is_going)
    _put(tx, of_film & _TO_GO, is_gone=False)


def _put(tx: Tx, which: ColumnElement[bool], *, is_gone: bool) -> None:
    found = select(jobs.c.id, literal(is_gone)).where(which)
    tx.conn.execute(insert(erasures).from_select(["job_id", "is_gone"], found))


def due(conn: Connection) -> list[Erasing]:
    """What is still to be removed, what came of another before that."""
    rows = conn.execute(
        select(jobs, erasures.c.is_gone)
        .select_from(erasures.join(jobs))
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    )
    return [Erasing(job=to_job(row), is_gone=row.is_gone) for row in rows]


def is_left(conn: Connection, tenant: str) -> bool:
    """Whether something is left of what a place's people asked for."""
    is_open = exists().where(erasures.c.job_id == jobs.c.id)
    which = (jobs.c.tenant == tenant) & (jobs.c.erased_at.is_(None) | is_open)
    return conn.execute(select(jobs.c.id).where(which).limit(1)).one_or_none() is not None


def waiting(conn: Connection, tenant: str) -> list[Job]:
    """What people wait for since before their place left, and nobody was paid for; films whole."""
    left_at = select(places_table.c.left_at).where(places_table.c.tenant == tenant)
    states = (JobState.RECEIVED, JobState.ACCEPTED)
    # What waits for a moderator is made and paid: they may come back to it.
    is_film = (jobs.c.story == jobs.c.id) & jobs.c.state.in_(OPEN - {JobState.REVIEWING})
    is_free = jobs.c.state.in_(states) | is_film
    is_before = jobs.c.created_at <= left_at.scalar_subquery()
    query = select(jobs).where(jobs.c.tenant == tenant, IS_WHOLE, is_free, is_before)
    return [to_job(row) for row in conn.execute(query)]


# ---- one job ---------------------------------------------------------------------------------


def blank(tx: Tx, job_id: JobId, now: datetime, *, is_gone: bool) -> None:
    """Take words, images and names out of an ended job; what it cost and counts for stays.

    Its copies elsewhere go by themselves from now on.
    """
    job = get(tx.conn, job_id)
    errands.forget(tx, job_id, now, is_gone=is_gone)
    if is_gone:
        complaints.forget_said(tx, job_id)
    nobody: dict[str, Any] = {"display_name": "", "roles": (), "locale": "en"}
    own = job.request.requester.model_copy(update={**nobody, "member_since": None})
    asked = {"requester": own, "work": _bare(job.request.work), "asked_in": None}
    change(
        tx,
        job,
        prompt="",
        request=job.request.model_copy(update=asked),
        plan=job.plan
        and job.plan.model_copy(
            update={
                "work": _bare(job.plan.work),
                "others": (),
                "offered": None,
                "shots": (),
                "start_frame": None,
                "end_frame": None,
            }
        ),
        clip=None,
        clip_url=None,
        failure=_told(job),
        provider_failure=None,
        erased_at=now,
    )
    tx.conn.execute(change_rows(attempts).where(attempts.c.job_id == job_id).values(submission={}))
    settings.forget_job(tx, job_id)


def _bare(work: AnyWork) -> AnyWork:
    bare = without_words(work)
    return bare.model_copy(update=dict.fromkeys(_FRAMES)) if isinstance(bare, VideoWork) else bare


def _told(job: Job) -> Failure | None:
    """What it says of its end: one that had a clip was removed, another still counts as it did."""
    if job.failure is not None and job.failure.code == DELETED:
        return job.failure
    if job.clip is not None or job.state is JobState.DELIVERED:
        return Failure(code=DELETED, sentence=GONE)
    return job.failure and job.failure.model_copy(update={"sentence": GONE})


def posts(conn: Connection, job: Job) -> list[MessageRef]:
    """The messages of ours that are a job's own."""
    rows = conn.execute(select(messages.c.message).where(messages.c.job_id == job.id, ~_IS_ASIDE))
    found = [MessageRef.model_validate(row.message) for row in rows if row.message]
    return list(dict.fromkeys([*found, *([job.message] if job.message else [])]))


def generations(conn: Connection, job_id: JobId) -> list[tuple[str, GenerationId]]:
    """Every generation that a job had, each with its provider."""
    rows = conn.execute(
        select(attempts.c.provider, attempts.c.generation_id)
        .where(attempts.c.job_id == job_id, attempts.c.generation_id.is_not(None))
        .order_by(attempts.c.attempt)
    )
    return [(row.provider, GenerationId(row.generation_id)) for row in rows]


def leaning(conn: Connection, job_id: JobId) -> Leaning:
    """Whether others go on from what a job made, so that its provider must keep it."""
    is_going = exists().where(erasures.c.job_id == jobs.c.id)
    may_lean = (jobs.c.parent == job_id) | jobs.c.state.in_(OPEN)
    rows = conn.execute(
        select(jobs, is_going.label("is_going")).where(may_lean, jobs.c.erased_at.is_(None))
    )
    found = [(to_job(row), row.is_going) for row in rows]
    leaners = [(each, going) for each, going in found if job_id in clips_of(each.request.work)]
    if any(each.ended_at is None or going for each, going in leaners):
        return "now"
    is_theirs = any(isinstance(each.request.work, ClipWork) for each, _ in leaners)
    return "for good" if is_theirs else "nobody"


def finish(tx: Tx, job_id: JobId) -> None:
    """Nothing is left of a job but its sums."""
    tx.conn.execute(delete(messages).where(messages.c.job_id == job_id, ~_IS_ASIDE))
    tx.conn.execute(delete(erasures).where(erasures.c.job_id == job_id))


def finish_place(tx: Tx, tenant: str, before: datetime) -> bool:
    """Drop what a place and its people decided; False where it has come back."""
    if tenant not in places.away(tx.conn, before=before) or is_left(tx.conn, tenant):
        return False
    settings.forget_place(tx, tenant)
    digests.want(tx, tenant, "", before)
    places.forget(tx, tenant)
    return True
