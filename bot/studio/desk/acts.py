"""What somebody at the desk can do with a job or a person now, and whose it is."""

from __future__ import annotations

from bot.clock import Clock
from bot.desk_views import JobActs, PersonActs
from bot.errors import InvalidRequest, JobNotFound
from bot.job import DELETED, TERMINAL, Job, JobState, is_stuck
from bot.overview import Sitting
from bot.refs import JobId, Micros
from bot.store import desk_acts
from bot.store.database import Database
from bot.store.desk_acts import FoundJob
from bot.studio.rights import Rights
from bot.words import clean

NAME_CHARS = 80
NOBODY = "There is nobody like that here."
_OVER = frozenset({*TERMINAL, JobState.DELIVERING})


class ActsView:
    """Finds what is in the reach of a sitting; all else does not exist for it."""

    def __init__(self, *, database: Database, clock: Clock, rights: Rights) -> None:
        self._database = database
        self._clock = clock
        self._rights = rights

    async def of_job(self, sitting: Sitting, job_id: JobId) -> JobActs:
        """What can be done with a job; raises `JobNotFound`."""
        found = await self._database.read(lambda conn: desk_acts.job(conn, job_id))
        if found is None or not sitting.sees(found.job.request.requester.tenant):
            raise JobNotFound(f"There is no job {job_id} here.")
        job, own = found.job, found.job.request.requester
        is_operator = self._rights.is_operator(sitting.who)
        is_theirs = job.film is None and (is_operator or job.request.is_seen_by(sitting.who))
        return JobActs(
            job_id=job.id,
            tenant=own.tenant,
            person=own.person,
            name=clean(own.display_name, limit=NAME_CHARS) or own.user,
            can_cancel=is_theirs and job.state not in _OVER and not job.is_taken_back,
            can_retry=can_retry(job, found.charged),
            can_delete=is_theirs and found.has_clip and _has_ended(job),
            can_resolve=is_operator and _is_open_question(found),
            can_unpark=is_operator and job.parked_at is not None,
            is_reported=found.is_reported,
            is_reviewed=job.state is JobState.REVIEWING,
        )

    async def of_person(self, sitting: Sitting, person: str) -> PersonActs:
        """What can be done about somebody who ever asked; raises `InvalidRequest`."""
        tenant, _, user = person.rpartition(":")
        now = self._clock.now()
        if not user or not sitting.sees(tenant):
            raise InvalidRequest(NOBODY)
        last, block = await self._database.read(lambda conn: desk_acts.person(conn, person, now))
        if last is None and block is None:
            raise InvalidRequest(NOBODY)
        name = clean(last.display_name, limit=NAME_CHARS) if last is not None else ""
        return PersonActs(person=person, tenant=tenant, user=user, name=name or user, block=block)


def can_retry(job: Job, charged: Micros) -> bool:
    """Whether those who run its place may have this tried again, for what it cost already."""
    has_failed = job.state is JobState.FAILED and not charged and job.erased_at is None
    own = job.request
    return has_failed and job.film is None and not (own.is_private or own.requester.is_outside)


def _has_ended(job: Job) -> bool:
    is_deleted = job.failure is not None and job.failure.code == DELETED
    return job.state in TERMINAL and not is_deleted


def _is_open_question(found: FoundJob) -> bool:
    """Whether the operator may have to end it; what they say is checked once more."""
    job = found.job
    if job.state is JobState.UNCERTAIN:
        return True
    if job.state is JobState.GENERATING and job.provider_failure is None:
        return found.is_lost
    return is_stuck(job) or (job.parked_at is not None and job.state is not JobState.REVIEWING)
