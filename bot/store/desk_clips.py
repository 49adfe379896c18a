"""All that was asked, the newest first, as the desk turns it over and searches it.

A page begins where the one before it ended, so that the thousandth costs as much as the first. A
search looks through so many jobs at a time and then says how far it came: so it answers at once
however much there is, and who asks for a clip waits for no index of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from bot.desk_job_views import ClipLine, ClipPage, Search, Spot
from bot.job import Job, JobState
from bot.refs import JobId, MessageRef, Micros
from bot.store.schema import UtcTime, erasures, jobs

#: Maximum of jobs looked through for one answer: a few hundredths of a second.
WINDOW = 2000
MOST_TENANTS = 500
_IS_PRIVATE = func.coalesce(jobs.c.request["is_private"].as_boolean(), false())
#: Somebody asked that it be forgotten, and it is on its way out.
_IS_GOING = exists().where(erasures.c.job_id == jobs.c.id)
_PLACE = tuple_(jobs.c.created_at, jobs.c.id)
_NEWEST = (jobs.c.created_at.desc(), jobs.c.id.desc())


def called(row: FromClause) -> ColumnElement[str]:
    """What somebody called themselves as they asked; empty where that is to be forgotten."""
    is_going = exists().where(erasures.c.job_id == row.c.id)
    name: ColumnElement[str] = row.c.request["requester"]["display_name"].as_string()
    return case((or_(row.c.erased_at.is_not(None), is_going), ""), else_=name)


#: What `is_forgotten` and `is_hidden` look at.
VEIL: tuple[ColumnElement[Any], ...] = (
    jobs.c.person,
    jobs.c.erased_at,
    _IS_PRIVATE.label("is_private"),
    _IS_GOING.label("is_going"),
)
#: What a line shows; whole rows would be many times as much.
COLUMNS: tuple[ColumnElement[Any], ...] = (
    *VEIL,
    jobs.c.id,
    jobs.c.state,
    jobs.c.tenant,
    jobs.c.model,
    jobs.c.prompt,
    jobs.c.created_at,
    jobs.c.ended_at,
    jobs.c.cost,
    jobs.c.list_price,
    jobs.c.provider,
    jobs.c.seconds,
    jobs.c.is_test,
    jobs.c.parent,
    jobs.c.story,
    jobs.c.shot,
    jobs.c.message,
    jobs.c.clip["key"].as_string().label("clip_key"),
    jobs.c.failure["code"].as_string().label("failure_code"),
    called(jobs).label("name"),
    jobs.c.request["work"]["kind"].as_string().label("kind"),
)


def look(
    conn: Connection,
    search: Search,
    after: Spot | None,
    *,
    reader: str,
    limit: int,
    window: int = WINDOW,
) -> ClipPage:
    """Some of what is looked for, older than a spot; the words of others' private ones are not.

    `reader` is the key of who reads.
    """
    reach = _reach(search, after)
    end = _end(conn, reach, window) if search.is_narrow else None
    if end is not None:
        reach = [*reach, _as_row(end) <= _PLACE]
    rows = conn.execute(
        select(*COLUMNS)
        .where(*reach, *_narrow(search, reader))
        .order_by(*_NEWEST)
        .limit(limit + 1)
    ).all()
    lines = [to_line(row, reader) for row in rows[:limit]]
    if len(rows) > limit:
        return ClipPage(lines=lines, older=Spot(at=lines[-1].asked_at, job_id=lines[-1].job_id))
    return ClipPage(lines=lines, older=end, looked_to=end.at if end else None)


def one(conn: Connection, job_id: JobId, reader: str) -> ClipLine | None:
    """A job as it stands in a list."""
    row = conn.execute(select(*COLUMNS).where(jobs.c.id == job_id)).one_or_none()
    return to_line(row, reader) if row is not None else None


def nameless(conn: Connection, found: Sequence[Job]) -> list[Job]:
    """These jobs without the names of people who asked to be forgotten."""
    ids = [each.id for each in found]
    going = set(conn.execute(select(jobs.c.id).where(jobs.c.id.in_(ids), _IS_GOING)).scalars())
    return [_without_name(each) if each.id in going else each for each in found]


def _without_name(job: Job) -> Job:
    nobody = job.request.requester.model_copy(update={"display_name": ""})
    return replace(job, request=job.request.model_copy(update={"requester": nobody}))


def _reach(search: Search, after: Spot | None) -> list[ColumnElement[bool]]:
    """What an index leads to: whose, of which place, and when."""
    tenant = jobs.c.tenant.concat("") if search.person else jobs.c.tenant
    found = [
        tenant == search.tenant if search.tenant else None,
        jobs.c.person == search.person if search.person else None,
        jobs.c.created_at >= search.since if search.since is not None else None,
        jobs.c.created_at < search.until if search.until is not None else None,
        _as_row(after) > _PLACE if after is not None else None,
    ]
    return [each for each in found if each is not None]


def _narrow(search: Search, reader: str) -> list[ColumnElement[bool]]:
    """What each job must be looked at for; no other index may be taken for it."""
    found = [jobs.c.prompt.icontains(each, autoescape=True) for each in search.words]
    if search.state:
        found.append(jobs.c.state.concat("") == search.state)
    if search.model:
        found.append(jobs.c.model == search.model)
    if search.words:
        found.append(or_(jobs.c.person.concat("") == reader, _IS_PRIVATE.is_(false())))
        found.append(~_IS_GOING)
    return found


def _end(conn: Connection, reach: Sequence[ColumnElement[bool]], window: int) -> Spot | None:
    """The last of so many; None where there are fewer."""
    found = conn.execute(
        select(jobs.c.created_at, jobs.c.id)
        .where(*reach)
        .order_by(*_NEWEST)
        .offset(window - 1)
        .limit(1)
    ).one_or_none()
    return Spot(at=found.created_at, job_id=JobId(found.id)) if found is not None else None


def _as_row(spot: Spot) -> ColumnElement[Any]:
    return tuple_(literal(spot.at, UtcTime()), literal(spot.job_id))


def is_forgotten(row: Row[Any]) -> bool:
    """Whether its person asked that a job with such a `VEIL` be forgotten."""
    return row.erased_at is not None or bool(row.is_going)


def is_hidden(row: Row[Any], reader: str = "") -> bool:
    """Whether a job's words are not for a reader; without one, not for everybody."""
    return is_forgotten(row) or (bool(row.is_private) and row.person != reader)


def to_line(row: Row[Any], reader: str) -> ClipLine:
    """A row of `COLUMNS` as a value, without what its reader may not see."""
    is_erased, is_veiled = is_forgotten(row), is_hidden(row, reader)
    has_clip = row.clip_key is not None and not is_veiled
    is_charged = row.ended_at is not None or row.state == JobState.REVIEWING
    return ClipLine(
        job_id=JobId(row.id),
        state=row.state,
        tenant=row.tenant,
        person=row.person,
        name=row.name or "",
        model=row.model,
        kind=row.kind,
        prompt="" if is_veiled else row.prompt,
        asked_at=row.created_at,
        price=Micros(row.list_price),
        charged=Micros(row.cost) if is_charged else None,
        provider=row.provider or "",
        seconds=row.seconds,
        is_test=row.is_test,
        is_private=bool(row.is_private),
        is_erased=is_erased,
        is_hidden=is_veiled,
        has_clip=has_clip,
        failure=row.failure_code or "",
        parent=JobId(row.parent) if row.parent else None,
        story=JobId(row.story) if row.story else None,
        shot=row.shot,
        message=None if is_veiled or not row.message else MessageRef.model_validate(row.message),
        link=row.clip_key if has_clip else "",
    )


def tenants(conn: Connection) -> list[str]:
    """The places in which anybody asked: each is a jump in an index."""
    first = select(func.min(jobs.c.tenant).label("tenant")).cte(recursive=True)
    above = select(func.min(jobs.c.tenant)).where(jobs.c.tenant > first.c.tenant)
    every = first.union_all(select(above.scalar_subquery()).where(first.c.tenant.is_not(None)))
    found = conn.execute(select(every.c.tenant).limit(MOST_TENANTS)).scalars()
    return [each for each in found if each is not None]
