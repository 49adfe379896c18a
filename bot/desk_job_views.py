"""What is seen at the desk of jobs, clips and people, as values without words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.notices import Outcome
from bot.overview import Allowance, Blocked, Grant, ProviderLoad, UsageRow
from bot.refs import GenerationId, JobId, MessageRef, Micros
from bot.request import Relation, Work

# ---- what waits and runs ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A job that has not ended: since when it waits or runs, and its place in line (0: none).

    `trouble` is why it cannot go on just now; a `shot` `waits_for` the one before it.
    """

    job_id: JobId
    tenant: str
    person: str
    name: str
    model: str
    state: str
    provider: str
    since: datetime
    position: int
    price: Micros
    is_running: bool
    trouble: str = ""
    waits_for: JobId | None = None
    is_film: bool = False
    shot: int | None = None


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The first of the `count` jobs that have not ended, oldest first, and the video services."""

    lines: Sequence[Standing]
    count: int
    providers: Sequence[ProviderLoad] = ()


# ---- clips -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A place in all that was asked, which is in the order of time."""

    at: datetime
    job_id: JobId


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is looked for; what is empty does not matter. All `words` are in the prompt."""

    words: tuple[str, ...] = ()
    tenant: str = ""
    person: str = ""
    state: str = ""
    model: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether many a job must be looked at for each that is found."""
        return bool(self.words or self.state or self.model)


@dataclass(frozen=True, kw_only=True)
class ClipLine:
    """A job with what it made. `charged` is None until it is settled.

    Where `is_hidden`, it is for one person's eyes, or nothing of it is kept: then it has no
    prompt, clip or message. `link` is its file's path on the public listener, signed for hours,
    `chat` where its message is read.
    """

    job_id: JobId
    state: str
    tenant: str
    person: str
    name: str
    model: str
    kind: str
    prompt: str
    asked_at: datetime
    price: Micros
    charged: Micros | None
    provider: str
    seconds: float
    is_test: bool
    is_private: bool
    is_erased: bool
    is_hidden: bool
    has_clip: bool
    failure: str = ""
    parent: JobId | None = None
    story: JobId | None = None
    shot: int | None = None
    message: MessageRef | None = None
    chat: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class ClipPage:
    """Some of what was looked for, the newest first; `older` is where it goes on.

    `looked_to` is the time down to which all was looked through, where the page is not full and
    there is more.
    """

    lines: Sequence[ClipLine]
    older: Spot | None = None
    looked_to: datetime | None = None


# ---- one job ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One time that a job was sent to a video service, and what became of it."""

    number: int
    provider: str
    at: datetime
    outcome: str
    generation_id: GenerationId | None
    absences: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """A state that a job reached, and for how many seconds it was in it; None: it still is."""

    state: str
    at: datetime
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of the ledger."""

    kind: str
    micros: Micros
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Kin:
    """A job that another came of, or that came of it, by a relation, or a film's shot."""

    job_id: JobId
    state: str
    prompt: str
    relation: Relation | None = None
    shot: int | None = None
    is_hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What people said of a clip, without their names, and what was decided."""

    count: int
    reasons: Sequence[str] = ()
    outcome: Outcome | None = None
    decided_by: str = ""


@dataclass(frozen=True, kw_only=True)
class JobView:
    """Everything of a job; `line` is how it stands in a list.

    Where that is hidden, `work` has no words of its person and no images. `failure` and `trouble`
    are a class and its sentence; of the second it may recover. `size` is its file's width, height,
    frames and bytes.
    """

    line: ClipLine
    work: Work
    channel: str
    hold: Micros | None
    generation_id: GenerationId | None
    steps: Sequence[Step] = ()
    sent: Sequence[Sent] = ()
    entries: Sequence[Entry] = ()
    remarks: Sequence[str] = ()
    failure: tuple[str, str] | None = None
    trouble: tuple[str, str] | None = None
    parents: Sequence[Kin] = ()
    children: Sequence[Kin] = ()
    shots: Sequence[Kin] = ()
    complaint: Complaint | None = None
    size: tuple[int, int, int, int] | None = None
    next_at: datetime | None = None
    parked_at: datetime | None = None
    provider_cost: Micros = Micros(0)
    crashes: int = 0
    is_taken_back: bool = False


# ---- people ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PersonLine:
    """Somebody who asked, with this month's usage; `block` is what keeps them from asking.

    Who was blocked before they ever asked was never seen.
    """

    person: str
    tenant: str
    name: str
    last_seen: datetime | None
    asked_ever: int
    month: UsageRow | None = None
    block: Blocked | None = None


@dataclass(frozen=True, kw_only=True)
class People:
    """A page of those who asked, the last seen first."""

    lines: Sequence[PersonLine]
    count: int
    month_ends: datetime


@dataclass(frozen=True, kw_only=True)
class PersonSight:
    """One person: what they used and may use, what they were granted, and their last jobs."""

    line: PersonLine
    today: UsageRow
    month: UsageRow
    days: Sequence[UsageRow]
    allowances: Sequence[Allowance]
    grants: Sequence[Grant]
    last: Sequence[ClipLine]
