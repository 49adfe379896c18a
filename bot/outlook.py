"""How a job stands, from its row and what is in no row, as the notice that says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.acts import Offered
from bot.job import DECIDE_WITHIN, WITHHELD, Failure, Job, JobState, Plan, Route
from bot.notices import (
    About,
    Cancelled,
    ConfirmNeeded,
    ConsentNeeded,
    Done,
    Ended,
    Failed,
    Fetching,
    Filming,
    Generating,
    Jobless,
    Notice,
    Parent,
    Queued,
    Received,
    Reviewing,
    RulesFirst,
    Shot,
    ShotFailed,
    Uncertain,
    Waiting,
)
from bot.refs import Micros, Price

NOT_ANSWERED = (
    "The video service does not answer. Raybot finds out whether it took this request and goes on "
    "by itself; nothing is paid twice."
)
#: What is mostly over in a moment, and shown only where it lasts: an edit less of each message,
#: and the last one need not wait until its platform allows another.
PASSING, PASSING_SECONDS = frozenset({JobState.FETCHING, JobState.DELIVERING}), 3.0
PUT_ASIDE = "Something went wrong on our side. The operator has been told; nothing is lost."


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is known about a job beyond its row: its place in line and how long such clips take.

    `parent` is what it came of, `acts` what can be done with what it made.
    """

    position: int = 0
    expected: timedelta | None = None
    is_slow: bool = False
    provider_trouble: str | None = None
    offer: Route | None = None
    confirm_until: datetime | None = None
    parent: Parent | None = None
    acts: tuple[Offered, ...] = ()


def is_passing(job: Job, now: datetime) -> bool:
    """Whether a job's clip is on its way, and has not been for long."""
    if job.state not in PASSING or job.completed_at is None:
        return False
    return timedelta(0) <= now - job.completed_at < timedelta(seconds=PASSING_SECONDS)


def to_about(job: Job, parent: Parent | None = None, shots: Sequence[Job] = ()) -> About:
    """The job as every notice names it, a film with its shots."""
    return About(
        job_id=job.id,
        requester=job.request.requester,
        work=job.work,
        price=job.plan.price if job.plan else None,
        remarks=_remarks(job.plan) if job.plan else (),
        retry_of=job.retry_of,
        asked_in=job.request.asked_in,
        parent=parent,
        shots=tuple(_to_shot(each) for each in shots),
        film=job.film,
    )


def _to_shot(job: Job) -> Shot:
    return Shot(
        number=job.shot or 0,
        job_id=job.id,
        prompt=job.work.prompt,
        state=job.state,
        price=job.plan.price if job.plan else Price(micros=Micros(0)),
        charged=charge_of([job]),
        seconds=job.clip.seconds if job.clip else 0.0,
    )


def charge_of(shots: Sequence[Job]) -> Micros:
    """What the shots of a film have cost so far; what is held for the others is not counted."""
    return Micros(sum(each.cost for each in shots if each.ended_at is not None))


def _remarks(plan: Plan) -> tuple[str, ...]:
    return (plan.detour, *plan.remarks) if plan.detour else plan.remarks


def to_status(job: Job, outlook: Outlook) -> Notice:
    """What a job's status message says now."""
    about = to_about(job, outlook.parent)
    if job.parked_at is not None:
        return Waiting(about=about, sentence=PUT_ASIDE)
    if job.is_taken_back:
        # What is held besides, for the dearest way and the true size, is given back.
        return Cancelled(about=about, charged=job.plan.price.charged if job.plan else job.cost)
    match job.state:
        case JobState.RECEIVED if job.plan is not None and outlook.confirm_until is not None:
            return _to_question(job, about, outlook.confirm_until)
        case JobState.RECEIVED:
            return Received(about=about)
        case JobState.ACCEPTED:
            return _to_waiting(job, outlook)
        case JobState.SUBMITTING | JobState.GENERATING:
            return _to_running(job, about, outlook)
        case JobState.UNCERTAIN:
            return Uncertain(about=about)
        case JobState.FETCHING | JobState.REVIEWING | JobState.DELIVERING:
            is_reviewing = job.state is JobState.REVIEWING
            return Reviewing(about=about) if is_reviewing else Fetching(about=about)
        case JobState.DELIVERED | JobState.FAILED | JobState.CANCELLED:
            return _to_end(job, outlook)
        case _:
            assert_never(job.state)


def to_film_status(film: Job, outlook: Outlook, shots: Sequence[Job], ahead: Notice) -> Notice:
    """What a film's status message says; `ahead` is what is so of its first shot to come."""
    about, charged = to_about(film, outlook.parent, shots), charge_of(shots)
    if film.state is not JobState.GENERATING or film.parked_at is not None:
        notice = to_status(film, outlook)
        if isinstance(notice, Ended):
            return replace(notice, about=about, charged=charged)
        return replace(notice, about=about) if not isinstance(notice, Jobless) else notice
    shot = next((each for each in shots if each.state is not JobState.DELIVERED), None)
    if shot is None:
        return Fetching(about=about)
    if isinstance(ahead, Queued | Generating | Waiting | Uncertain | Fetching):
        return Filming(about=about, number=shot.shot or 0, shot=ahead)
    return ShotFailed(
        about=about,
        number=shot.shot or 0,
        sentence=shot.failure.sentence if shot.failure else "It was cancelled.",
        until=(shot.ended_at or shot.created_at) + DECIDE_WITHIN,
        can_finish=(shot.shot or 0) > 1,
        code=shot.failure.code if shot.failure else "",
    )


def _to_question(
    job: Job, about: About, until: datetime
) -> RulesFirst | ConsentNeeded | ConfirmNeeded:
    """What a job that is not accepted yet waits for."""
    question = job.plan.question if job.plan is not None else None
    if question is None:
        return ConfirmNeeded(about=about, expires_at=until, batch_size=job.request.batch_size)
    if question.kind == "rules":
        return RulesFirst(about=about, rules=question.rules, expires_at=until)
    return ConsentNeeded(about=about, expires_at=until)


def _to_running(job: Job, about: About, outlook: Outlook) -> Waiting | Generating:
    if job.state is JobState.SUBMITTING and job.tries > 0:
        return Waiting(about=about, sentence=NOT_ANSWERED)
    return Generating(
        about=about,
        since=job.submitted_at or job.admitted_at or job.created_at,
        expected=outlook.expected,
        is_slow=outlook.is_slow,
    )


def _to_waiting(job: Job, outlook: Outlook) -> Notice:
    trouble = outlook.provider_trouble or (
        job.provider_failure.sentence if job.provider_failure else None
    )
    if trouble:
        about = to_about(job, outlook.parent)
        return Waiting(about=about, sentence=trouble, offer=outlook.offer)
    return Queued(
        about=to_about(job, outlook.parent),
        position=outlook.position,
        expected=outlook.expected,
    )


def _to_end(job: Job, outlook: Outlook) -> Notice:
    about = to_about(job, outlook.parent)
    # Its clip may have been deleted since.
    if job.state is JobState.DELIVERED and job.failure is None:
        charged, clip = job.cost, job.message
        return Done(about=about, charged=charged, took=took(job), clip=clip, acts=outlook.acts)
    if job.state is JobState.CANCELLED:
        was_made = job.failure is not None and job.failure.code == WITHHELD
        return Cancelled(about=about, charged=job.cost, was_made=was_made)
    failure = job.failure or Failure(code="unknown", sentence="It ended without a clip.")
    return Failed(about=about, code=failure.code, sentence=failure.sentence, charged=job.cost)


def took(job: Job) -> timedelta:
    """How long a person waited for their clip."""
    return (job.ended_at or job.completed_at or job.created_at) - job.created_at
