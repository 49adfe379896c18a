"""What we tell a person, before it has words: a closed union that every adapter can draw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.refs import JobId, Micros, Price
from bot.request import Requester, VideoWork


@dataclass(frozen=True, kw_only=True)
class About:
    """The job a notice is about. `remarks` tell of values that were chosen for the person."""

    job_id: JobId
    requester: Requester
    work: VideoWork
    price: Price | None = None
    remarks: tuple[str, ...] = ()
    retry_of: JobId | None = None


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
class Waiting:
    """The provider cannot take it now; it stays in line. `sentence` says why."""

    about: About
    sentence: str


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
    original_link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """The status message's last words after the clip was posted."""

    about: About
    charged: Micros
    took: timedelta


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
)
