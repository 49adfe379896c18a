"""What moderators look after, of all places or of one: reports, reviews and pauses."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from bot.desk_views import PausedPlace, ReportedClip, Told, WaitingReview
from bot.errors import ProviderRetired
from bot.job import JobState
from bot.refs import JobId
from bot.store.places import EVERYWHERE
from bot.store.schema import (
    attempts,
    job_events,
    jobs,
    operator_notices,
    place_rules,
    reports,
)
from bot.store.settings import PROVIDER


def reported(conn: Connection, tenant: str | None, limit: int) -> list[ReportedClip]:
    """What was reported, what is not decided first, then the latest."""
    is_there = [jobs.c.tenant == tenant] if tenant is not None else []
    rows = conn.execute(
        select(reports, jobs.c.tenant)
        .join(jobs, jobs.c.id == reports.c.job_id)
        .where(*is_there)
        .order_by(reports.c.outcome.is_not(None), reports.c.at.desc(), reports.c.job_id)
        .limit(limit)
    )
    return [
        ReportedClip(
            job_id=JobId(row.job_id),
            tenant=row.tenant,
            reason=row.reason,
            at=row.at,
            outcome=row.outcome,
            decided_by=row.decided_by or "",
            decided_at=row.decided_at,
        )
        for row in rows
    ]


def held_back(conn: Connection, tenant: str | None, limit: int) -> list[WaitingReview]:
    """Clips that wait for a moderator, the oldest first."""
    is_there = [jobs.c.tenant == tenant] if tenant is not None else []
    began = and_(
        job_events.c.job_id == jobs.c.id,
        job_events.c.to_state == JobState.REVIEWING.value,
    )
    rows = conn.execute(
        select(jobs.c.id, jobs.c.tenant, jobs.c.person, job_events.c.at, jobs.c.created_at)
        .outerjoin(job_events, began)
        .where(jobs.c.state == JobState.REVIEWING.value, *is_there)
        .order_by(jobs.c.created_at)
        .limit(limit)
    )
    return [
        WaitingReview(
            job_id=JobId(row.id),
            tenant=row.tenant,
            person=row.person,
            since=row.at or row.created_at,
        )
        for row in rows
    ]


def paused(conn: Connection, tenant: str | None) -> list[PausedPlace]:
    """The places that take nothing new, the latest first; of one place, what stops it.

    A place is told that everything is paused, and not by which of its operators.
    """
    which = (tenant, EVERYWHERE)
    is_there = [place_rules.c.tenant.in_(which)] if tenant is not None else []
    rows = conn.execute(
        select(place_rules)
        .where(place_rules.c.paused_at.is_not(None), *is_there)
        .order_by(place_rules.c.paused_at.desc())
    )
    return [
        PausedPlace(
            tenant=row.tenant,
            at=row.paused_at,
            by="" if tenant is not None and row.tenant == EVERYWHERE else row.paused_by,
            message=row.paused_message or "",
        )
        for row in rows
    ]


def told(conn: Connection, limit: int) -> list[Told]:
    """What the operator is to be told first, then what was told last."""
    rows = conn.execute(
        select(operator_notices)
        .order_by(operator_notices.c.told_at.is_not(None), operator_notices.c.at.desc())
        .limit(limit)
    )
    return [
        Told(
            at=row.at,
            sentence=row.sentence,
            job_id=JobId(row.job_id) if row.job_id else None,
            told_at=row.told_at,
            over_at=_taken_since(conn, row.key, row.at),
        )
        for row in rows.all()
    ]


def _taken_since(conn: Connection, key: str, at: datetime) -> datetime | None:
    """When the service of a notice took a job for the first time after it, where it is of one.

    What tells of one model is over only with a job for that model.
    """
    about, provider, kind, of_what = (*key.split(":", 3), "", "", "")[:4]
    if about != PROVIDER:
        return None
    is_taken = [
        attempts.c.provider == provider,
        attempts.c.sent_at > at,
        attempts.c.generation_id.is_not(None),
    ]
    if kind == ProviderRetired.__name__ and of_what:
        is_taken += [jobs.c.id == attempts.c.job_id, jobs.c.model == of_what]
    first: datetime | None = conn.execute(
        select(func.min(attempts.c.sent_at)).where(*is_taken)
    ).scalar_one()
    return first
