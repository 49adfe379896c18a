"""A job: our durable record of carrying out one request, its states and the allowed moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from bot.errors import Filtered
from bot.refs import Frozen, GenerationId, JobId, MediaKey, MessageRef, Micros, Price
from bot.request import GenerationRequest, Work


class JobState(StrEnum):
    """Where a job stands. The order of the members is the order of a job's life."""

    #: A row and references to attachments; no money yet.
    RECEIVED = "received"
    #: Limits passed and money held; waits for a slot at the provider.
    ACCEPTED = "accepted"
    #: The intent to submit is written; the POST may or may not have left.
    SUBMITTING = "submitting"
    #: Nobody could tell whether the provider took it; a person must decide.
    UNCERTAIN = "uncertain"
    #: The provider works on it.
    GENERATING = "generating"
    #: The provider is done; the file is being kept.
    FETCHING = "fetching"
    #: The file is kept and charged; a moderator looks at it before it is posted.
    REVIEWING = "reviewing"
    #: The file is kept; it is being posted.
    DELIVERING = "delivering"
    #: The clip is in the thread, and charged.
    DELIVERED = "delivered"
    #: It ended without a clip in the thread; `Failure` says why and whether it was charged.
    FAILED = "failed"
    #: The person took it back.
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.DELIVERED, JobState.FAILED, JobState.CANCELLED})
OPEN = frozenset(JobState) - TERMINAL
#: States in which a job occupies one of the provider's slots.
AT_PROVIDER = frozenset({JobState.SUBMITTING, JobState.UNCERTAIN, JobState.GENERATING})

#: How many tries in vain, the last ones ten minutes apart, are the operator's matter.
TRIES_BEFORE_TELLING = 12
#: The same, a minute apart, of a lost answer that is looked for, and of a finished file; from then
#: on the operator may give it up.
STUCK_AFTER = MappingProxyType({JobState.SUBMITTING: 75, JobState.FETCHING: 38})

#: The `Failure.code` of a job whose clip was removed.
DELETED = "deleted"

#: The failure of a clip that a moderator did not let be posted.
WITHHELD = "withheld"
#: Failures of a service's filter, and what it minded.
FILTERS: Mapping[str, Filtered] = {
    "moderation": "words",
    "image_moderation": "image",
    "names": "names",
}
#: Failures whose reason is for one's person alone.
DELICATE = frozenset({WITHHELD, *FILTERS})
#: How long a film waits for its person's word on a shot that failed.
DECIDE_WITHIN = timedelta(days=1)

S = JobState
MOVES: dict[JobState, frozenset[JobState]] = {
    S.RECEIVED: frozenset({S.ACCEPTED, S.FAILED, S.CANCELLED}),
    S.ACCEPTED: frozenset({S.SUBMITTING, S.GENERATING, S.FAILED, S.CANCELLED}),
    S.SUBMITTING: frozenset({S.ACCEPTED, S.GENERATING, S.UNCERTAIN, S.FAILED}),
    S.UNCERTAIN: frozenset({S.GENERATING, S.FAILED}),
    S.GENERATING: frozenset({S.ACCEPTED, S.FETCHING, S.FAILED, S.CANCELLED}),
    S.FETCHING: frozenset({S.REVIEWING, S.DELIVERING, S.FAILED, S.CANCELLED}),
    S.REVIEWING: frozenset({S.DELIVERING, S.FAILED, S.CANCELLED}),
    S.DELIVERING: frozenset({S.DELIVERED, S.FAILED}),
    S.DELIVERED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
del S


class StoredFrame(Frozen):
    """An input image that was read, checked and kept. Width and height in pixels."""

    key: MediaKey
    content_type: str
    width: int
    height: int
    link: str | None = None


class Route(Frozen):
    """One way to carry a request out: the provider, the settled parameters, what it costs.

    `rate` is micro-dollars per million pixels, 0 where the price is fixed; `remarks` are
    sentences for the person about values that were chosen for them.
    """

    provider: str
    work: Work
    price: Price
    rate: int = 0
    remarks: tuple[str, ...] = ()


class Question(Frozen):
    """What a request waits for: its person accepts the `rules`, or `person` lends their image."""

    kind: Literal["rules", "consent"]
    rules: str = ""
    person: str = ""


class Plan(Route):
    """The way that is taken, and the others, in order, that could be taken instead of it.

    `hold` is enough for each of them; `detour` is the sentence why it is not the first. `agreed`
    is the dearest price taken before, and `offered` a way that its person was asked about.
    `shots` are the plans of a film's shots until they are jobs; it has no way of its own.
    `question` is open; the people in `granted` lend their images.
    """

    hold: Micros
    others: tuple[Route, ...] = ()
    detour: str = ""
    agreed: Micros = Micros(0)
    offered: Route | None = None
    shots: tuple[Plan, ...] = ()
    question: Question | None = None
    granted: tuple[str, ...] = ()
    start_frame: StoredFrame | None = None
    end_frame: StoredFrame | None = None


class Clip(Frozen):
    """A finished clip, or a still, in our keeping. Sizes in pixels, bytes and seconds.

    A still is one frame and takes no time.
    """

    key: MediaKey
    width: int
    height: int
    frames: int
    seconds: float
    bytes: int
    sha256: str


class Failure(Frozen):
    """Why a job ended without a clip in the thread, in a plain sentence.

    Of a job that waits for the operator, `since` is when its provider began to refuse it so.
    """

    code: str
    sentence: str
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """What a generation's watcher needs of its job; thousands are read at a start."""

    id: JobId
    generation_id: GenerationId
    work: Work
    submitted_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One row of `jobs`.

    A film is its own `story`. A shot has its film as `story` and is the `shot`-th of it; one that
    was made again has no such number any more.
    """

    id: JobId
    state: JobState
    version: int
    request: GenerationRequest
    created_at: datetime
    plan: Plan | None = None
    attempt: int = 0
    #: How often its step came to nothing in this state: a move sets it, like each count, to zero.
    tries: int = 0
    #: How many of them brought a damaged file; while it is posted, how many made it no smaller.
    broken: int = 0
    #: How many ended with a fault of our own; after some it is put aside.
    faults: int = 0
    next_at: datetime | None = None
    accepted_at: datetime | None = None
    admitted_at: datetime | None = None
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    ended_at: datetime | None = None
    generation_id: GenerationId | None = None
    clip_url: str | None = None
    clip: Clip | None = None
    failure: Failure | None = None
    provider_failure: Failure | None = None
    message: MessageRef | None = None
    cost: Micros = Micros(0)
    #: How often a process died with its file or post in hand; after some it is put aside, too.
    crashes: int = 0
    parked_at: datetime | None = None
    cancel_requested: bool = False
    retry_of: JobId | None = None
    parent: JobId | None = None
    story: JobId | None = None
    shot: int | None = None
    erased_at: datetime | None = None

    @property
    def film(self) -> JobId | None:
        """The film that it is a shot of, or was before it was made again."""
        return self.story if self.story != self.id else None

    @property
    def is_film(self) -> bool:
        """Whether it is made of shots, which are jobs of their own."""
        return self.story == self.id

    @property
    def work(self) -> Work:
        """The settled parameters once there is a plan, else what was asked."""
        return self.plan.work if self.plan else self.request.work

    @property
    def is_taken_back(self) -> bool:
        """Whether it has ended for its person, although it runs on at its service."""
        has_ended = self.ended_at is not None or self.state is JobState.UNCERTAIN
        return self.cancel_requested and not has_ended


def is_stuck(job: Job) -> bool:
    """Whether a lost answer or a finished clip was looked for until the operator was told."""
    return job.tries >= STUCK_AFTER.get(job.state, math.inf)
