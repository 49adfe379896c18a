"""What people read, as values without words: of their own use, and of a place they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bot.notices import Notice
from bot.refs import JobId, MessageRef, Micros, Price
from bot.request import Duration, Relation, Requester, Resolution
from bot.tables import LimitsTable

# ---- of their own ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """One row of a usage table: who, what, how many and how much."""

    label: str
    asked: int
    delivered: int
    refused: int
    failed: int
    seconds: float
    charged: Micros


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """One limit that applies to a person: used of allowed (`None`: no limit), and its reset."""

    name: str
    used: int
    allowed: int | None
    is_money: bool
    resets_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Money that somebody may spend beyond their own limits, once, until a time."""

    micros: Micros
    at: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class UsageReport:
    """What one person used and what is left. `test_micros` is what test clips would have cost.

    `grants` are those that still hold, `last` the latest jobs.
    """

    today: UsageRow
    month: UsageRow
    allowances: tuple[Allowance, ...] = ()
    test_clips: int = 0
    test_micros: Micros = Micros(0)
    grants: tuple[Grant, ...] = ()
    last: tuple[JobLine, ...] = ()

    @property
    def times(self) -> list[datetime]:
        """Those that its lines name."""
        resets = [each.resets_at for each in self.allowances if each.resets_at is not None]
        ends = [each.until for each in self.grants]
        return [*resets, *ends, *(each.created_at for each in self.last)]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One length and size that somebody could ask for now, and its price."""

    duration: Duration
    resolution: Resolution
    price: Price
    is_default: bool


@dataclass(frozen=True, kw_only=True)
class JobLine:
    """One job in a list of one's own; `price` is what it cost, or is to cost while it is open.

    Of a test it is what the same would have cost.
    """

    job_id: JobId
    state: str
    prompt: str
    created_at: datetime
    price: Micros
    message: MessageRef | None = None
    is_private: bool = False
    is_test: bool = False


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A job that another came of, or that came of it, and by what `relation`."""

    job_id: JobId
    relation: Relation | None
    state: str
    prompt: str
    message: MessageRef | None = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One job in full; `notice` is `Delivered` where the clip is kept.

    `parents` are what it came of, the nearest first; `children` what was made of it. `link` is
    the path of its kept file on the public listener, signed for a day or two.
    """

    line: JobLine
    notice: Notice
    events: tuple[tuple[datetime, str], ...]
    parents: tuple[Relative, ...] = ()
    children: tuple[Relative, ...] = ()
    link: str = ""


# ---- of a place ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file for those who run a place; `alt` is what is read aloud of a picture."""

    name: str
    content: bytes
    alt: str = ""


@dataclass(frozen=True, kw_only=True)
class PlaceUsage:
    """What a place used between two times: by person, by model, and on each of the days.

    `tables` are the same as CSV, `chart` is a picture of the days, where it can be drawn.
    """

    since: datetime
    until: datetime
    people: tuple[UsageRow, ...]
    models: tuple[UsageRow, ...]
    days: tuple[UsageRow, ...]
    tables: tuple[Document, ...]
    chart: Document | None = None

    @property
    def documents(self) -> tuple[Document, ...]:
        """The picture first."""
        return (self.chart, *self.tables) if self.chart is not None else self.tables


#: Whose word holds for a setting, the strongest first; `house` is the configuration.
Source = Literal["yours", "channel", "place", "house"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as it holds for a person in a channel, and whose word it is."""

    name: str
    value: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """Somebody who may ask for nothing: for good, or until a time."""

    person: str
    at: datetime
    until: datetime | None = None
    reason: str = ""

    @property
    def user(self) -> str:
        """The person's id at their platform."""
        return self.person.rpartition(":")[2]


@dataclass(frozen=True, kw_only=True)
class PlaceLimit:
    """One limit that was set in chat: for a place, a channel of it, a role, or a role there."""

    name: str
    value: str
    channel: str = ""
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class PlaceLimits:
    """The limits in force in a place, and what is held or charged of those that people share.

    `used` is by the limit's key, `rules` what was set in chat. The month ends at `month_ends`;
    `month` is what its people asked and were charged in it.
    """

    limits: LimitsTable
    month: UsageRow
    month_ends: datetime
    used: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[PlaceLimit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlaceRules:
    """What was decided for a place: `channels` are the allowed ones by id with their names.

    `is_paused_everywhere`: it is paused with every other place, by the operator. `words` and
    `patterns` are how many its people may not use; which is not shown. `digest` is the channel of
    the weekly digest.
    """

    tenant: str
    is_served: bool
    paused_at: datetime | None = None
    paused_message: str = ""
    is_paused_everywhere: bool = False
    channels: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    channel_defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    blocked: tuple[Blocked, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)
    channel_policies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    words: int = 0
    patterns: int = 0
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class QueueLine:
    """One job of a place that has not ended; `position` is its place in line, 0 without one."""

    job_id: JobId
    person: str
    model: str
    since: datetime
    is_running: bool
    position: int
    price: Micros


@dataclass(frozen=True, kw_only=True)
class ProviderLoad:
    """How a video service does: slots in use of all places together, and what troubles it."""

    name: str
    running: int
    slots: int
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """The first of the `count` jobs of a place that have not ended, and the video services."""

    lines: tuple[QueueLine, ...]
    count: int
    providers: tuple[ProviderLoad, ...]


@dataclass(frozen=True, kw_only=True)
class AuditLine:
    """Who did what to whom, and when."""

    at: datetime
    actor: str
    act: str
    target: str
    detail: str


# ---- what is forgotten -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """What is kept of a person in a place: how many of each.

    `under_way` of the requests have not ended; `letters` are copies of clips that they were sent,
    `reasons` what they said of clips they reported. `brought` images and `said` messages are what
    an adapter keeps by itself. `going` requests are being removed already.
    """

    requests: int = 0
    under_way: int = 0
    images: int = 0
    clips: int = 0
    settings: int = 0
    stars: int = 0
    reasons: int = 0
    letters: int = 0
    brought: int = 0
    said: int = 0
    going: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that could be asked to go."""
        kept = (self.requests, self.settings, self.stars, self.reasons, self.letters)
        return not any((*kept, self.brought, self.said))


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """What is asked, or was decided, about all that is kept of a person in a place.

    `of` is somebody's id, where it is not the reader's own; `is_begun`: it goes now.
    """

    what: Belongings
    of: str = ""
    is_begun: bool = False

    @property
    def can_begin(self) -> bool:
        """Whether there is something to be decided."""
        return not self.is_begun and not self.what.is_empty


# ---- who sits at the desk --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """Somebody at the desk: of one place, or of all where `tenant` is empty, until a time.

    Without `has_desk` they may enter the playground alone.
    """

    who: Requester
    tenant: str
    has_desk: bool
    ends_at: datetime
    checked_at: datetime

    def sees(self, tenant: str) -> bool:
        """Whether what is of this place is theirs to see."""
        return self.has_desk and self.tenant in ("", tenant)


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """A link that lets somebody in at the desk once, until a time.

    `is_local`: it opens only on the machine that Raybot runs on.
    """

    link: str
    ends_at: datetime
    is_local: bool
