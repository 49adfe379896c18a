"""What we tell a person, before it has words: a closed union that every adapter can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from bot.job import DECIDE_WITHIN, Failure, Job, JobState, Plan, Route
from bot.refs import JobId, MessageRef, Micros, Price
from bot.request import Requester, Work

#: The clip as it was made, re-encoded to fit the place, or a picture of it beside a link.
ClipForm = Literal["original", "smaller", "poster"]


PUT_ASIDE = "Something went wrong on our side. The operator has been told; nothing is lost."


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot of a film: how it stands, and what it cost or will cost; `seconds` once kept."""

    number: int
    job_id: JobId
    prompt: str
    state: JobState
    price: Price
    charged: Micros
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class About:
    """The job a notice is about. `remarks` tell of values that were chosen for the person.

    `shots` are those of a film, `film` that of a shot.
    """

    job_id: JobId
    requester: Requester
    work: Work
    price: Price | None = None
    remarks: tuple[str, ...] = ()
    retry_of: JobId | None = None
    asked_in: MessageRef | None = None
    shots: tuple[Shot, ...] = ()
    film: JobId | None = None


@dataclass(frozen=True, kw_only=True)
class Received:
    """The request is in our book; images are being read. No money yet."""

    about: About


@dataclass(frozen=True, kw_only=True)
class ConfirmNeeded:
    """The price is above the place's threshold; nothing is held until the person confirms."""

    about: About
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """Limits passed and money held."""

    about: About


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Waits for a free slot: `position` counts from 1; `expected` is the wait until the clip."""

    about: About
    position: int
    expected: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Generating:
    """The provider works on it since `since`; `is_slow` once it takes unusually long."""

    about: About
    since: datetime
    expected: timedelta | None
    is_slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Filming:
    """A film in the making: which shot of it is at work, and what would be said of that alone."""

    about: About
    number: int
    shot: Queued | Generating | Waiting | Uncertain | Fetching


@dataclass(frozen=True, kw_only=True)
class ShotFailed:
    """A film waits for its person's word on a shot that failed, until it decides itself.

    They may have it made again or cancel; where `can_finish`, take the shots before as the film.
    """

    about: About
    number: int
    sentence: str
    until: datetime
    can_finish: bool


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The provider cannot take it now; it stays in line. `sentence` says why.

    `offer` is another way, dearer than its person agreed to.
    """

    about: About
    sentence: str
    offer: Route | None = None


@dataclass(frozen=True, kw_only=True)
class Uncertain:
    """Nobody can tell whether the provider took it; the operator is asked; the hold stays."""

    about: About


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """The clip is finished and being kept and posted."""

    about: About


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The clip itself. `path` is a local copy to post; `sizes` pixels, seconds and bytes."""

    about: About
    path: str
    filename: str
    width: int
    height: int
    seconds: float
    bytes: int
    charged: Micros
    took: timedelta
    form: ClipForm = "original"
    original_link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """The status message's last words after the clip was posted; `clip` is where it is."""

    about: About
    charged: Micros
    took: timedelta
    clip: MessageRef | None = None


@dataclass(frozen=True, kw_only=True)
class Failed:
    """It ended without a clip: why, what to do, and what was charged."""

    about: About
    code: str
    sentence: str
    charged: Micros


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """The person took it back; `charged` is not zero where the provider kept running."""

    about: About
    charged: Micros


Ended = Done | Failed | Cancelled


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A sentence for whoever runs the bot."""

    code: str
    sentence: str
    job_id: JobId | None = None


Notice = (
    Received
    | ConfirmNeeded
    | Accepted
    | Queued
    | Generating
    | Filming
    | ShotFailed
    | Waiting
    | Uncertain
    | Fetching
    | Delivered
    | Done
    | Failed
    | Cancelled
    | Operator
)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is known about a job beyond its row: its place in line and how long such clips take."""

    position: int = 0
    expected: timedelta | None = None
    is_slow: bool = False
    provider_trouble: str | None = None
    offer: Route | None = None
    confirm_until: datetime | None = None


def to_about(job: Job, shots: Sequence[Job] = ()) -> About:
    """The job as every notice names it, a film with its shots."""
    return About(
        job_id=job.id,
        requester=job.request.requester,
        work=job.work,
        price=job.plan.price if job.plan else None,
        remarks=_remarks(job.plan) if job.plan else (),
        retry_of=job.retry_of,
        asked_in=job.request.asked_in,
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
    about = to_about(job)
    if job.parked_at is not None:
        return Waiting(about=about, sentence=PUT_ASIDE)
    if job.is_taken_back:
        return Cancelled(about=about, charged=job.cost)
    match job.state:
        case JobState.RECEIVED if job.plan is not None and outlook.confirm_until is not None:
            return ConfirmNeeded(about=about, expires_at=outlook.confirm_until)
        case JobState.RECEIVED:
            return Received(about=about)
        case JobState.ACCEPTED:
            return _to_waiting(job, outlook)
        case JobState.SUBMITTING | JobState.GENERATING:
            return Generating(
                about=about,
                since=job.submitted_at or job.admitted_at or job.created_at,
                expected=outlook.expected,
                is_slow=outlook.is_slow,
            )
        case JobState.UNCERTAIN:
            return Uncertain(about=about)
        case JobState.FETCHING | JobState.DELIVERING:
            return Fetching(about=about)
        case JobState.DELIVERED | JobState.FAILED | JobState.CANCELLED:
            return _to_end(job)
        case _:
            assert_never(job.state)


def to_film_status(film: Job, outlook: Outlook, shots: Sequence[Job], ahead: Notice) -> Notice:
    """What a film's status message says; `ahead` is what is so of its first shot to come."""
    about, charged = to_about(film, shots), charge_of(shots)
    if film.state is not JobState.GENERATING or film.parked_at is not None:
        notice = to_status(film, outlook)
        if isinstance(notice, Ended):
            return replace(notice, about=about, charged=charged)
        return replace(notice, about=about) if not isinstance(notice, Operator) else notice
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
    )


def _to_waiting(job: Job, outlook: Outlook) -> Notice:
    trouble = outlook.provider_trouble or (
        job.provider_failure.sentence if job.provider_failure else None
    )
    if trouble:
        return Waiting(about=to_about(job), sentence=trouble, offer=outlook.offer)
    return Queued(about=to_about(job), position=outlook.position, expected=outlook.expected)


def _to_end(job: Job) -> Notice:
    about = to_about(job)
    # Its clip may have been deleted since.
    if job.state is JobState.DELIVERED and job.failure is None:
        return Done(about=about, charged=job.cost, took=took(job), clip=job.message)
    if job.state is JobState.CANCELLED:
        return Cancelled(about=about, charged=job.cost)
    failure = job.failure or Failure(code="unknown", sentence="It ended without a clip.")
    return Failed(about=about, code=failure.code, sentence=failure.sentence, charged=job.cost)


def took(job: Job) -> timedelta:
    """How long a person waited for their clip."""
    return (job.ended_at or job.completed_at or job.created_at) - job.created_at
