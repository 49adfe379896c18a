"""How every notice names its job: whose it is, what was asked, what it came of."""

from __future__ import annotations

from dataclasses import dataclass

from bot.job import JobState
from bot.refs import JobId, MessageRef, Micros, Price
from bot.request import Relation, Requester, Work


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The job that another came of, how, and where its clip stands."""

    job_id: JobId
    relation: Relation | None = None
    message: MessageRef | None = None


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
    parent: Parent | None = None
    shots: tuple[Shot, ...] = ()
    film: JobId | None = None
