"""What those who run a place read of it, as values without words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bot.config import LimitsTable
from bot.ports import UsageRow
from bot.refs import Micros

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
class PlaceLimits:
    """The limits in force in a place, and what is held or charged of those that people share.

    The month ends at `month_ends`; `month` is what its people asked and were charged in it.
    """

    limits: LimitsTable
    place_used: Micros
    total_used: Micros
    month: UsageRow
    month_ends: datetime


@dataclass(frozen=True, kw_only=True)
class PlaceRules:
    """What was decided for a place: `channels` are the allowed ones by id with their names."""

    tenant: str
    is_served: bool
    paused_at: datetime | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    channel_defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    blocked: tuple[Blocked, ...] = ()
