"""What is seen at the operator's desk, as values without words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.notices import Outcome
from bot.overview import Allowance, AuditLine, Blocked, UsageRow
from bot.ports import Finding
from bot.refs import JobId, Micros


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit that people share, and its use: of one place, or of all where `tenant` is empty."""

    tenant: str
    allowance: Allowance


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What was asked and charged today, this month and on each of the last days.

    `budgets` are the shared limits in force, with what is used of each; `models`, `people` and
    `places` are this month's, people and places by their keys, the dearest first. `names` are what
    those call themselves. `held` is reserved for what is under way.
    """

    today: UsageRow
    month: UsageRow
    month_ends: datetime
    held: Micros = Micros(0)
    days: Sequence[UsageRow] = ()
    models: Sequence[UsageRow] = ()
    people: Sequence[UsageRow] = ()
    places: Sequence[UsageRow] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    budgets: Sequence[Budget] = ()


# ---- how services and chats do ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """The median and the 95th percentile of so many durations, in seconds."""

    count: int
    median: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What was asked on one day: how it failed, by class, and how long it took.

    `post` is from the clip's completion at its service to its delivery, `whole` from acceptance.
    """

    day: str
    failures: Mapping[str, int] = field(default_factory=dict)
    post: Percentiles | None = None
    whole: Percentiles | None = None


@dataclass(frozen=True, kw_only=True)
class Health:
    """What this process knows of a service: why it takes nothing, and why nothing is seen of it.

    `may_try`: a job may go there, be it to see whether its trouble is over; where it `is_draining`
    none does. `looked_at` is when what runs there was last looked at, None where another process
    looks.
    """

    trouble: str = ""
    unseen: str = ""
    may_try: bool = True
    is_draining: bool = False
    looked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The last of its kind: a clip, or a failure with its reason."""

    at: datetime
    job_id: JobId
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What is left in an account, None where nobody can tell, and when its service said so."""

    micros: Micros | None = None
    asked_at: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """How a video service does; counts are of the reader's reach.

    `slots` is None, and `balance`, for who may not know what others use, and while it is draining.
    `detour` is the service that its line may go to meanwhile; `prices` are its models, each with
    its cheapest price.
    """

    name: str
    is_test: bool
    health: Health
    running: int
    waiting: int
    oldest: datetime | None = None
    slots: int | None = None
    balance: Balance | None = None
    success: Ending | None = None
    failure: Ending | None = None
    detour: str = ""
    prices: Mapping[str, Micros] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ChatStatus:
    """A chat platform, and why nobody is heard there, if so."""

    name: str
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Services:
    """All services and chats; `is_alone`: there is no other process."""

    services: Sequence[ServiceStatus]
    chats: Sequence[ChatStatus]
    is_alone: bool


# ---- moderation ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ReportedClip:
    """A clip that was reported, and what was decided; nobody learns who reported it."""

    job_id: JobId
    tenant: str
    reason: str
    at: datetime
    outcome: Outcome | None = None
    decided_by: str = ""
    decided_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WaitingReview:
    """A clip that waits for a moderator."""

    job_id: JobId
    tenant: str
    person: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class PausedPlace:
    """A place that takes nothing new, by whose word; empty: the operator's."""

    tenant: str
    at: datetime
    by: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the operator was told, or is to be told.

    What kept a video service from taking anything is over since it took a job again.
    """

    at: datetime
    sentence: str
    job_id: JobId | None = None
    told_at: datetime | None = None
    over_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class AuditSearch:
    """Which lines of the audit log: those in which these words stand."""

    actor: str = ""
    act: str = ""
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class Moderation:
    """What those who run a place look after. `told` is for the operator alone."""

    reports: Sequence[ReportedClip]
    reviews: Sequence[WaitingReview]
    blocked: Sequence[Blocked]
    paused: Sequence[PausedPlace]
    audit: Sequence[AuditLine]
    told: Sequence[Told] = ()


# ---- checks ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """The last run of `raybot check` from the desk; without `ended_at` it goes on.

    `trouble` is why it came to no end.
    """

    began_at: datetime
    by: str
    ended_at: datetime | None = None
    findings: Sequence[Finding] = ()
    trouble: str = ""


# ---- what can be done ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class JobActs:
    """What somebody at the desk can do with a job now.

    `person` asked for it, by `name`; `is_reported`: it waits for a word about reports,
    `is_reviewed`: it waits for one before it is posted.
    """

    job_id: JobId
    tenant: str
    person: str
    name: str
    can_cancel: bool = False
    can_retry: bool = False
    can_delete: bool = False
    can_resolve: bool = False
    can_unpark: bool = False
    is_reported: bool = False
    is_reviewed: bool = False


@dataclass(frozen=True, kw_only=True)
class PersonActs:
    """Somebody who asked, by their key and as they are called; `block` is what keeps them out."""

    person: str
    tenant: str
    user: str
    name: str
    block: Blocked | None = None


@dataclass(frozen=True, kw_only=True)
class PlaceView:
    """A place: `state` is what it asked or what was decided, `is_configured`: by [access].

    `is_paused_everywhere`: it is paused with every other place, by the operator.
    """

    tenant: str
    name: str
    state: str
    is_configured: bool
    is_served: bool
    paused_at: datetime | None = None
    paused_message: str = ""
    is_paused_everywhere: bool = False


@dataclass(frozen=True, kw_only=True)
class LimitView:
    """A limit of a place: `in_force` holds, `own` was set there, `house` is the operator's.

    `can_only_lower`: the operator's is the most that can be set.
    """

    name: str
    title: str
    unit: str
    in_force: str
    own: str = ""
    used: str = ""
    house: str = ""
    can_only_lower: bool = False
    choices: Sequence[str] = ()
