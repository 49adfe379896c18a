"""What is seen at the operator's desk, as values without words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.overview import Allowance, Blocked, UsageRow
from bot.refs import JobId


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What was asked and charged today, this month and on each of the last days.

    `budgets` are the shared limits in force, with what is used of each; `models` and `places`
    are this month's, each place by its key. `is_test`: all of it cost nothing.
    """

    today: UsageRow
    month: UsageRow
    month_ends: datetime
    days: Sequence[UsageRow] = ()
    models: Sequence[UsageRow] = ()
    places: Sequence[UsageRow] = ()
    budgets: Sequence[Allowance] = ()


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
class PlaceSight:
    """A place: `state` is what it asked or what was decided, `is_configured`: by [access]."""

    tenant: str
    name: str
    state: str
    is_configured: bool
    is_served: bool
    paused_at: datetime | None = None
    paused_message: str = ""


@dataclass(frozen=True, kw_only=True)
class LimitSight:
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
