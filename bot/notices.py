"""What we tell a person, before it has words: a closed union that every adapter can draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal, get_args

from bot.about import About as About
from bot.about import Parent as Parent
from bot.about import Shot as Shot
from bot.acts import Offered
from bot.errors import Filtered
from bot.job import DELICATE, FILTERS, Route
from bot.refs import JobId, MessageRef, Micros

#: The clip as it was made, re-encoded to fit the place, or a picture of it beside a link.
ClipForm = Literal["original", "smaller", "poster"]
#: What those who run a place decide about a clip that was reported.
Outcome = Literal["removed", "blocked", "kept"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
#: What a moderator says of a clip that waits for them.
Verdict = Literal["post", "reject"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


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
class RulesFirst:
    """The place has rules that its person has not accepted yet; nothing is held until they do.

    Only they are shown the `rules`; where `is_for_all`, others read along.
    """

    about: About
    rules: str
    expires_at: datetime
    is_for_all: bool = False


@dataclass(frozen=True, kw_only=True)
class ConsentNeeded:
    """Who posted its image is asked whether it may be animated; nothing is held until then."""

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
    `code` is that of its failure; `is_for_all`: others read along, who are not told why.
    """

    about: About
    number: int
    sentence: str
    until: datetime
    can_finish: bool
    code: str = ""
    is_for_all: bool = False


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
class Reviewing:
    """The clip is kept and charged; it is posted once a moderator says so."""

    about: About


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The clip itself. `path` is a local copy to post, `width` and `height` its pixels.

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
    """It ended without a clip: why, what to do, and what was charged.

    `is_for_all`: others read along, who are not told why.
    """

    about: About
    code: str
    sentence: str
    charged: Micros
    is_for_all: bool = False

    @property
    def minded(self) -> Filtered | None:
        """What a filter of the service minded, where it was one."""
        return FILTERS.get(self.code)

    @property
    def can_edit(self) -> bool:
        """Whether its form, filled in, is the way on; a shot is made again with its film."""
        is_form = self.about.work.kind in ("video", "image")
        return self.minded is not None and is_form and self.about.film is None


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """The person took it back; `charged` is not zero where it was made all the same.

    `was_made`: it waited for a moderator, who need not look at it any more.
    """

    about: About
    charged: Micros
    was_made: bool = False


Ended = Done | Failed | Cancelled


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A sentence for whoever runs the bot."""

    code: str
    sentence: str
    job_id: JobId | None = None

    @property
    def target(self) -> str:
        """The job, else the place, that can be decided about at once."""
        return self.job_id or self.code.partition(":")[2]


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


@dataclass(frozen=True, kw_only=True)
class ConsentAsked:
    """The question to the platform's user `owner`, beside the job, about an image of theirs.

    `answer` is what they said, or that nobody needs to know any more.
    """

    about: About
    owner: str
    expires_at: datetime | None = None
    answer: Literal["allowed", "denied", "over"] | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewNeeded:
    """A clip that waits for moderators, to them; `is_hidden` as its person had it."""

    about: About
    path: str
    filename: str
    bytes: int
    is_hidden: bool = False
    form: ClipForm = "original"
    original_link: str | None = None
    is_reminder: bool = False


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """What the moderators' message says once it was decided, by the id of who did.

    `verdict` is None where its person took it back.
    """

    about: About
    verdict: Verdict | None
    decided_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Starred:
    """A clip that people starred, whose it is, and where it stands."""

    job_id: JobId
    stars: int
    name: str
    message: MessageRef | None = None


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What a place made in a week, both ends included; of nobody's prompts, and it calls nobody.

    `starred` are the clips with most stars, but none that is private or deleted. What is left of
    the month is None where no limit is set.
    """

    since: date
    until: date
    clips: int
    people: int
    seconds: float
    charged: Micros
    starred: tuple[Starred, ...] = ()
    money_left: Micros | None = None
    clips_left: int | None = None


Notice = (
    Received
    | ConfirmNeeded
    | RulesFirst
    | ConsentNeeded
    | Accepted
    | Queued
    | Generating
    | Filming
    | ShotFailed
    | Waiting
    | Uncertain
    | Fetching
    | Reviewing
    | Delivered
    | Done
    | Failed
    | Cancelled
    | Operator
    | Reported
    | Gallery
    | Letter
    | ReviewNeeded
    | Reviewed
    | ConsentAsked
    | Digest
)
#: What is about no one job.
Jobless = Operator | Digest
#: No word of a job in its own thread.
Aside = Jobless | Reported | Gallery | Letter | ReviewNeeded | Reviewed | ConsentAsked
#: What carries a file.
WithFile = Delivered | Gallery | Letter | ReviewNeeded


def for_all(notice: Notice) -> Notice:
    """A notice as others may read it: some reasons are for one's person alone."""
    if isinstance(notice, RulesFirst):
        return replace(notice, is_for_all=True)
    if isinstance(notice, Failed | ShotFailed) and notice.code in DELICATE:
        return replace(notice, is_for_all=True)
    return notice
