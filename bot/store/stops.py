"""Whose jobs may not be started now: everybody's, those of a paused place, of a blocked person.

They stay in line: nothing was paid for them, and what is paused goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from bot.errors import NotAllowed, Paused
from bot.job import OPEN, Job, JobState
from bot.store.jobs import IS_WHOLE, to_job
from bot.store.places import EVERYWHERE, rules
from bot.store.schema import blocks, jobs, place_rules

_PAUSED = select(place_rules.c.tenant).where(place_rules.c.paused_at.is_not(None))


def is_stopped(now: datetime) -> ColumnElement[bool]:
    """Whether a row of `jobs` is of somebody whose jobs may not be started now."""
    holds = or_(blocks.c.until.is_(None), blocks.c.until > now)
    return or_(
        jobs.c.tenant.in_(_PAUSED),
        exists(_PAUSED.where(place_rules.c.tenant == EVERYWHERE)),
        jobs.c.person.in_(select(blocks.c.person).where(holds)),
    )


def why(conn: Connection, job: Job, now: datetime) -> str | None:
    """Why a job may not be started now, in a sentence that its thread may read."""
    if conn.execute(select(jobs.c.id).where(jobs.c.id == job.id, is_stopped(now))).first() is None:
        return None
    here = rules(conn, job.request.requester.tenant)
    if here.paused_at is not None:
        return Paused(here.paused_message or None).sentence
    return NotAllowed("Those who run this place have stopped it.").sentence


def in_line(conn: Connection, **of: str) -> list[Job]:
    """What waits and was paid to nobody, films whole; `of` are columns with their values."""
    # A film runs as long as one of its shots waits.
    is_film = and_(jobs.c.story == jobs.c.id, jobs.c.state.in_(OPEN - {JobState.REVIEWING}))
    is_asked = jobs.c.state == JobState.RECEIVED
    is_waiting = and_(jobs.c.state == JobState.ACCEPTED, jobs.c.admitted_at.is_(None))
    wanted: list[Any] = [jobs.c[name] == value for name, value in of.items()]
    query = select(jobs).where(IS_WHOLE, or_(is_film, is_asked, is_waiting), *wanted)
    return [to_job(row) for row in conn.execute(query.order_by(jobs.c.created_at, jobs.c.id))]
