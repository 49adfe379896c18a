"""What is known of jobs, people and places that somebody at the desk may act on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, select

from bot.job import Job
from bot.overview import Blocked, PlaceLimit
from bot.quota import Used
from bot.refs import JobId, Micros
from bot.request import Requester
from bot.store import allowances, complaints, desk_clips, desk_people, reports, stories
from bot.store import jobs as rows
from bot.store import places as place_rows
from bot.store.places import PlaceState, Rules
from bot.store.schema import jobs, place_rules, places
from bot.tables import LimitsTable


@dataclass(frozen=True, kw_only=True)
class FoundJob:
    """A job; whether something that it made is kept, and whether its generation is lost."""

    job: Job
    has_clip: bool
    is_lost: bool
    is_reported: bool
    charged: Micros


@dataclass(frozen=True, kw_only=True)
class FoundPlace:
    """A place as it was named and decided about."""

    name: str
    state: PlaceState | None
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class FoundLimits:
    """The limits that hold in a place, what was set there, and what is used of what it shares."""

    held: LimitsTable
    rules: tuple[PlaceLimit, ...]
    used: Used


def job(conn: Connection, job_id: JobId) -> FoundJob | None:
    """A job; None where there is none."""
    asked = rows.get_or_none(conn, job_id)
    if asked is None:
        return None
    [found] = desk_clips.nameless(conn, [asked])
    every = [found, *stories.every(conn, job_id)] if found.is_film else [found]
    said = complaints.of_job(conn, job_id)
    return FoundJob(
        job=found,
        has_clip=any(each.clip is not None for each in every),
        is_lost=(found.id, found.generation_id) in reports.lost(conn),
        is_reported=said.count > 0 and said.outcome is None,
        charged=stories.charged(conn, found),
    )


def person(conn: Connection, who: str, now: datetime) -> tuple[Requester | None, Blocked | None]:
    """Somebody as they asked last, and what keeps them out."""
    return desk_people.requester(conn, who), desk_people.blocked(conn, [who], now).get(who)


def known_places(conn: Connection) -> set[str]:
    """The places that ever asked to be served, were decided about, or asked for clips."""
    found: set[str] = set()
    for column in (places.c.tenant, place_rules.c.tenant, jobs.c.tenant):
        found.update(conn.execute(select(column).distinct()).scalars())
    return found - {place_rows.EVERYWHERE}


def is_known_place(conn: Connection, tenant: str) -> bool:
    """Whether there is anything of a place."""
    columns = (places.c.tenant, place_rules.c.tenant, jobs.c.tenant)
    return tenant != place_rows.EVERYWHERE and any(
        conn.execute(select(exists().where(column == tenant))).scalar_one() for column in columns
    )


def place(conn: Connection, tenant: str) -> FoundPlace:
    """A place, whether or not there is anything of it."""
    name = conn.execute(select(places.c.name).where(places.c.tenant == tenant))
    return FoundPlace(
        name=name.scalar_one_or_none() or "",
        state=place_rows.state(conn, tenant),
        rules=place_rows.rules(conn, tenant),
    )


def limits(conn: Connection, tenant: str, house: LimitsTable, now: datetime) -> FoundLimits:
    """What holds in a place."""
    adapter, _, workspace = tenant.partition(":")
    anybody = Requester(adapter=adapter, workspace=workspace, user="")
    held = allowances.of_people(conn, anybody, "", house)
    used = allowances.used(conn, anybody, "", held, now)
    return FoundLimits(
        held=held,
        rules=allowances.rules_in(conn, tenant),
        used=allowances.only(used, "tenant"),
    )
