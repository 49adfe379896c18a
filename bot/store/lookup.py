"""All that is looked up of a request before a row is written for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from bot import consent
from bot.errors import JobNotFound
from bot.job import Job
from bot.limits import Rules
from bot.refs import JobId
from bot.request import GenerationRequest, Requester, clips_of
from bot.store import allowances, jobs, places, settings
from bot.store.places import Standing
from bot.tables import LimitsTable


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the rows say of a request: its `job` where there is one, and how its person stands.

    `earlier` are the jobs that it names and its person may see. `others` are the people whose
    images it animates, `closed` those of them who let nobody do that, `asked` those whom its
    person has asked for another image already.
    """

    job: Job | None
    standing: Standing
    limits: LimitsTable
    earlier: Mapping[JobId, Job]
    others: tuple[str, ...]
    closed: frozenset[str]
    asked: frozenset[str]


def look_up(
    conn: Connection,
    request: GenerationRequest,
    named: Collection[JobId],
    house: LimitsTable,
    now: datetime,
) -> Known:
    """What is known of a request, in one visit; `named` are the jobs that it came of."""
    requester, channel = request.requester, request.thread.channel
    found = {each: jobs.get_or_none(conn, each) for each in {*named, *clips_of(request.work)}}
    earlier = {each: job for each, job in found.items() if job and _is_seen(job, requester)}
    marked = request.model_copy(update={"work": consent.with_authors(request, earlier.values())})
    sources = [earlier[each] for each in clips_of(request.work) if each in earlier]
    others = consent.owners(marked, sources)
    standing = places.standing(conn, requester, channel, now, key=request.dedupe_key)
    chosen = standing.chosen
    rules = Rules(place=chosen.rules, channel=chosen.channel_rules if channel else {})
    return Known(
        job=jobs.get(conn, standing.asked) if standing.asked is not None else None,
        standing=standing,
        limits=allowances.under(rules, requester, house),
        earlier=earlier,
        others=others,
        closed=frozenset(each for each in others if _is_closed(conn, each)),
        asked=_asked(conn, request) if others else frozenset(),
    )


def visible(conn: Connection, job_id: JobId, requester: Requester) -> Job:
    """A job that somebody may read of; raises `JobNotFound`."""
    job = jobs.get(conn, job_id)
    if not _is_seen(job, requester):
        raise JobNotFound(f"There is no job {job_id}.")
    return job


def _is_seen(job: Job, requester: Requester) -> bool:
    return job.request.is_seen_by(requester)


def _asked(conn: Connection, request: GenerationRequest) -> frozenset[str]:
    """Who has not answered yet about other requests of the same person."""
    others = (
        job
        for job in jobs.open_of(conn, request.requester.person)
        if job.request.dedupe_key != request.dedupe_key
        and (not request.batch or job.request.batch != request.batch)
    )
    questions = (job.plan.question for job in others if job.plan is not None)
    return frozenset(each.person for each in questions if each is not None and each.person)


def _is_closed(conn: Connection, person: str) -> bool:
    """Whether somebody lets nobody animate their images."""
    kept = settings.chosen(conn, settings.trust_scope(person))
    return kept.get(consent.ANIMATE_MINE) == consent.NOBODY


def own_settings(conn: Connection, person: str) -> dict[str, str]:
    """A person's own defaults, and who may animate their images where they said it."""
    trust = settings.chosen(conn, settings.trust_scope(person))
    said = {name: trust[name] for name in (consent.ANIMATE_MINE,) if name in trust}
    return {**settings.chosen(conn, person), **said}
