"""Whose jobs may not be started now: everybody's, those of a paused place, of a blocked person.

What is paused stays in line and goes on later; what a blocked person waits for is taken back.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, true

from bot.errors import Paused
from bot.job import Job, JobState
from bot.refs import JobId
from bot.store.jobs import IS_IN_LINE, to_job
from bot.store.places import EVERYWHERE, rules
from bot.store.schema import blocks, jobs, place_rules
from bot.store.settings import IS_BLOCKED

_PAUSED = select(place_rules.c.tenant).where(place_rules.c.paused_at.is_not(None))


def is_paused() -> ColumnElement[bool]:
    """Whether a row of `jobs` is of a place that is paused, or everything is."""
    is_all = exists(_PAUSED.where(place_rules.c.tenant == EVERYWHERE))
    return or_(jobs.c.tenant.in_(_PAUSED), is_all)


def paused(conn: Connection) -> frozenset[str]:
    """The places that are paused; `EVERYWHERE` is all of them."""
    return frozenset(conn.execute(_PAUSED).scalars())


def why_paused(conn: Connection, job: Job) -> str | None:
    """What people are told where a job may not be started now, but later."""
    here = rules(conn, job.request.requester.tenant)
    return None if here.paused_at is None else Paused(here.paused_message or None).sentence


def is_blocked(conn: Connection, job: Job, now: datetime) -> bool:
    """Whether the person of a job may have nothing started."""
    is_it = blocks.c.person == job.request.requester.person
    found = conn.execute(select(blocks.c.person).where(is_it, IS_BLOCKED), {"now": now})
    return found.first() is not None


def in_line(conn: Connection, tenants: Collection[str], *, provider: str = "") -> list[JobId]:
    """Who waits for a slot in these places, the oldest first; for a shot that is its film."""
    is_there = true() if EVERYWHERE in tenants else jobs.c.tenant.in_(tenants)
    is_its = jobs.c.provider == provider if provider else true()
    told = func.coalesce(jobs.c.story, jobs.c.id).label("told")
    rows = conn.execute(
        select(told).where(IS_IN_LINE, is_there, is_its).order_by(jobs.c.accepted_at, jobs.c.id)
    )
    return list(dict.fromkeys(JobId(row.told) for row in rows))


def unstarted(conn: Connection, person: str) -> list[Job]:
    """What somebody asked for that was paid to nobody; films, whose shots may be, are none."""
    is_asked = jobs.c.state == JobState.RECEIVED
    query = select(jobs).where(
        jobs.c.person == person, jobs.c.story.is_(None), or_(is_asked, IS_IN_LINE)
    )
    return [to_job(row) for row in conn.execute(query.order_by(jobs.c.created_at, jobs.c.id))]
