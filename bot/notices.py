"""What we tell a person, before it has words: a closed union that every adapter can draw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never, get_args

from bot.acts import Offered
from bot.job import Failure, Job, JobState, Plan, Route
from bot.refs import JobId, MessageRef, Micros, Price
from bot.request import Relation, Requester, Work

#: The clip as it was made, re-encoded to fit the place, or a picture of it beside a link.
ClipForm = Literal["original", "smaller", "poster"]
#: What those who run a place decide about a clip that was reported.
Outcome = Literal["removed", "blocked", "kept"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


PUT_ASIDE = "Something went wrong on our side. The operator has been told; nothing is lost."


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The job that another came of, how, and where its clip stands."""

    job_id: JobId
    relation: Relation | None = None
    message: MessageRef | None = None


@dataclass(frozen=True, kw_only=True)
class About:
    """The job a notice is about. `remarks` tell of values that were chosen for the person."""

    job_id: JobId
    requester: Requester
    work: Work
    price: Price | None = None
    remarks: tuple[str, ...] = ()
    retry_of: JobId | None = None
    asked_in: MessageRef | None = None
    parent: Parent | None = None


@dataclass(frozen=True, kw_only=True)
class Received:
    """The request is in our book; images are being read. No money yet."""

    about: About


@dataclass(frozen=True, kw_only=True)
class ConfirmNeeded:
    """The price is above the place's threshold; nothing is held until the person confirms.

    `batch_size` clips were asked for at once: to confirm one is to confirm them all.
    """

    about: About
    expires_at: datetime
    batch_size: int = 1


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
    """The clip itself. `path` is a local copy to post; `sizes` pixels, seconds and bytes.

    `acts` is what can be done with it, in the order to offer it in.
    """

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
    acts: tuple[Offered, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Done:
    """The status message's last words after the clip was posted; `clip` is where it is."""

    about: About
    charged: Micros
    took: timedelta
    clip: MessageRef | None = None
    acts: tuple[Offered, ...] = ()


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


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A sentence for whoever runs the bot."""

    code: str
    sentence: str
    job_id: JobId | None = None


@dataclass(frozen=True, kw_only=True)
class Reported:
    """People reported a clip: for those who run its place; `clip` is where it is.

    `reasons` are what people wrote, and nobody's name. `decided_by` is the id of who decided.
    """

    about: About
    count: int
    reasons: tuple[str, ...] = ()
    clip: MessageRef | None = None
    outcome: Outcome | None = None
    decided_by: str = ""

    @property
    def choices(self) -> tuple[Outcome, ...]:
        """What can still be decided."""
        return OUTCOMES if self.outcome is None else ()


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """A copy of a clip in its place's gallery, once so many people starred it; calls nobody.

    `clip` is where the original is; `is_hidden`: it is shown only to who uncovers it.
    """

    about: About
    path: str
    filename: str
    bytes: int
    stars: int
    clip: MessageRef | None = None
    is_hidden: bool = False
    form: ClipForm = "original"
    original_link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A copy of a clip for somebody who asked for it, in their direct messages."""

    about: About
    path: str
    filename: str
    bytes: int
    clip: MessageRef | None = None
    is_hidden: bool = False
    form: ClipForm = "original"
    original_link: str | None = None


Notice = (
    Received
    | ConfirmNeeded
    | Accepted
    | Queued
    | Generating
    | Waiting
    | Uncertain
    | Fetching
    | Delivered
    | Done
    | Failed
    | Cancelled
    | Operator
    | Reported
    | Gallery
    | Letter
)
#: No word of a job in its own thread.
Aside = Operator | Reported | Gallery | Letter
#: What carries a file.
WithFile = Delivered | Gallery | Letter


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


def to_about(job: Job, parent: Parent | None = None) -> About:
    """The job as every notice names it."""
    return About(
        job_id=job.id,
        requester=job.request.requester,
        work=job.work,
        price=job.plan.price if job.plan else None,
        remarks=_remarks(job.plan) if job.plan else (),
        retry_of=job.retry_of,
        asked_in=job.request.asked_in,
        parent=parent,
    )


def _remarks(plan: Plan) -> tuple[str, ...]:
    return (plan.detour, *plan.remarks) if plan.detour else plan.remarks


def to_status(job: Job, outlook: Outlook) -> Notice:
    """What a job's status message says now."""
    about = to_about(job, outlook.parent)
    if job.parked_at is not None:
        return Waiting(about=about, sentence=PUT_ASIDE)
    if job.is_taken_back:
        return Cancelled(about=about, charged=job.cost)
    match job.state:
        case JobState.RECEIVED if job.plan is not None and outlook.confirm_until is not None:
            return ConfirmNeeded(
                about=about,
                expires_at=outlook.confirm_until,
                batch_size=job.request.batch_size,
            )
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
            return _to_end(job, outlook)
        case _:
            assert_never(job.state)


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
        return Cancelled(about=about, charged=job.cost)
    failure = job.failure or Failure(code="unknown", sentence="It ended without a clip.")
    return Failed(about=about, code=failure.code, sentence=failure.sentence, charged=job.cost)


def took(job: Job) -> timedelta:
    """How long a person waited for their clip."""
    return (job.ended_at or job.completed_at or job.created_at) - job.created_at
