"""The limits there are, and which of several that were set holds for somebody. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bot.errors import InvalidRequest
from bot.refs import money
from bot.request import RESOLUTIONS, Requester
from bot.tables import LimitsTable, RoleLimits, nearest

Whose = Literal["person", "guest", "channel", "tenant", "total"]
What = Literal["running", "clips", "usd"]
Per = Literal["", "day", "month"]
LISTS = ("models", "resolutions")
#: What a list of models holds where no two rules have one in common; an empty one means every.
NO_MODEL = "no model"
MOST_DOLLARS, MOST_CLIPS = 1_000_000, 1_000_000
_ROLE = re.compile(r"[\w-]{1,60}")
_OWN: dict[What, str] = {
    "running": "clips running at once",
    "clips": "clips",
    "usd": "your budget",
}
_PLACES: dict[Whose, str] = {
    "channel": "this channel's",
    "tenant": "this place's",
    "total": "the whole",
}
_WHOM: dict[Whose, str] = {
    "person": "a person",
    "guest": "a guest",
    "channel": "a channel",
    "tenant": "this place",
}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit that can be set: how much of what, to whom, in which time."""

    whose: Whose
    what: What
    per: Per = ""

    @cached_property
    def key(self) -> str:
        """Its name in the configuration and in chat, such as `usd_per_person_per_day`."""
        whose = "total" if self.whose == "total" else f"per_{self.whose}"
        return f"{self.what}_{whose}" + (f"_per_{self.per}" if self.per else "")

    @property
    def name(self) -> str:
        """What people call it."""
        when = f" per {self.per}" if self.per else ""
        if self.whose in ("person", "guest"):
            return f"{_OWN[self.what]}{when}"
        what = "budget" if self.is_money else _OWN[self.what]
        return f"{_PLACES[self.whose]} {what}{when}"

    @property
    def owner(self) -> str:
        """Whose it is, to whoever meets it: `your`, `this channel's`."""
        return _PLACES.get(self.whose, "your")

    @property
    def title(self) -> str:
        """What those who run a place call it."""
        if self.whose == "total":
            return f"whole budget per {self.per}"
        what = "budget" if self.is_money else "clips"
        return f"{what} of {_WHOM[self.whose]} {f'per {self.per}' if self.per else 'at once'}"

    @property
    def is_money(self) -> bool:
        """Whether it is in dollars."""
        return self.what == "usd"

    @property
    def is_own(self) -> bool:
        """Whether a place may give people more of it than the operator does."""
        return self.whose == "person"


_KINDS: tuple[tuple[What, Per], ...] = (
    ("running", ""),
    ("clips", "day"),
    ("clips", "month"),
    ("usd", "day"),
    ("usd", "month"),
)
_WHOSE: tuple[Whose, ...] = ("person", "channel", "tenant")
#: What a job is held to; for guests, two of these have a stricter twin.
LIMITS = (
    *(Limit(whose=whose, what=what, per=per) for whose in _WHOSE for what, per in _KINDS),
    Limit(whose="total", what="usd", per="month"),
)
GUESTS = (
    Limit(whose="guest", what="clips", per="day"),
    Limit(whose="guest", what="usd", per="day"),
)
BY_KEY = {limit.key: limit for limit in (*LIMITS, *GUESTS)}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What was set in chat for a place and for one channel of it, as it was written down."""

    place: Mapping[str, str]
    channel: Mapping[str, str]


# ---- which holds -----------------------------------------------------------------------------


def in_force(house: LimitsTable, requester: Requester, rules: Rules) -> LimitsTable:
    """The limits that hold for somebody in a channel of a place.

    What is for one person is the nearest's word: the channel's before the place's before the
    operator's, and of each what it says of roles before what it says of everybody. All else is
    the lowest of all words.
    """
    roles = [each for each in house.roles if each.holds_for(requester.adapter, requester.roles)]
    if not (roles or rules.place or rules.channel):
        return house
    changes: dict[str, Any] = {}
    for limit in BY_KEY.values():
        own, key = getattr(house, limit.key), limit.key
        if limit.is_own:
            said = _first(_words(rules, requester.roles, key))
            changes[key] = said if said is not None else _most(roles, key, own)
        else:
            said = _first((_read(rules.channel, key), _read(rules.place, key)))
            changes[key] = lower(own, said)
    changes["models"] = _models(_widest(roles, "models", house.models), requester, rules)
    allowed = _allowed(rules, requester.roles, "resolutions")
    changes["resolutions"] = tuple(
        each
        for each in _widest(roles, "resolutions", house.resolutions)
        if not allowed or each in allowed
    )
    return house.model_copy(update=changes)


def lower(*limits: float | None) -> float | None:
    """The lowest of those that are set."""
    return min((limit for limit in limits if limit is not None), default=None)


def _models(own: Collection[str], requester: Requester, rules: Rules) -> tuple[str, ...]:
    allowed = _allowed(rules, requester.roles, "models")
    if not own or not allowed:
        return tuple(own or allowed)
    return tuple(each for each in own if each in allowed) or (NO_MODEL,)


def _allowed(rules: Rules, roles: Iterable[str], name: str) -> tuple[str, ...]:
    """The nearest word about a list; empty where there is none."""
    for scope in (rules.channel, rules.place):
        of_roles = [scope[key] for role in roles if (key := f"role.{role}.{name}") in scope]
        found = of_roles or [scope[key] for key in (f"limit.{name}",) if key in scope]
        if found:
            return tuple(dict.fromkeys(each for text in found for each in split(text)))
    return ()


def _words(rules: Rules, roles: Iterable[str], key: str) -> Iterator[float | None]:
    """What is said of one limit, the nearest first; of several roles the most."""
    for scope in (rules.channel, rules.place):
        of_roles = [_number(scope.get(f"role.{role}.{key}")) for role in roles]
        yield max((each for each in of_roles if each is not None), default=None)
        yield _read(scope, key)


def _first(words: Iterable[float | None]) -> float | None:
    return next((word for word in words if word is not None), None)


def _read(scope: Mapping[str, str], key: str) -> float | None:
    return _number(scope.get(f"limit.{key}"))


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    return int(text) if text.isdigit() else float(text)


def _most(roles: Iterable[RoleLimits], key: str, own: float | None) -> float | None:
    found = [getattr(role, key) for role in roles]
    return max((each for each in found if each is not None), default=own)


def of_anybody(house: LimitsTable, name: str) -> frozenset[str]:
    """What is on a list of the house's or of any role's."""
    return frozenset(value for each in (house, *house.roles) for value in getattr(each, name))


def _widest(roles: Iterable[RoleLimits], name: str, own: tuple[Any, ...]) -> tuple[Any, ...]:
    """Of several roles what any of them may use; the house's where none says."""
    found = dict.fromkeys(each for role in roles for each in getattr(role, name))
    return tuple(found) or own


def split(text: str) -> tuple[str, ...]:
    """The values of a list that was typed with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


# ---- what may be set in chat -----------------------------------------------------------------


def settable(*, channel: str, role: str) -> tuple[str, ...]:
    """What those who run a place can set for it, for one channel, or for a role."""
    whose: tuple[Whose, ...] = ("person", "channel", "tenant", "guest")
    if role:
        whose = ("person",)
    elif channel:
        whose = ("person", "channel")
    return (*(key for key, limit in BY_KEY.items() if limit.whose in whose), *LISTS)


def to_settings(
    changes: Mapping[str, str],
    house: LimitsTable,
    *,
    channel: str,
    role: str,
    models: Collection[str],
) -> dict[str, str]:
    """Changes as they are written down; raises `InvalidRequest` for what cannot be set."""
    if role and not _ROLE.fullmatch(role):
        raise InvalidRequest("Name the role by its id.", field="role")
    known = settable(channel=channel, role=role)
    prefix = f"role.{role}." if role else "limit."
    written = {}
    for name, value in changes.items():
        if name not in known:
            raise InvalidRequest(_no_limit(name, known, channel=channel, role=role), field=name)
        if not value.strip():
            written[prefix + name] = ""
        elif name in LISTS:
            choices = models if name == "models" else RESOLUTIONS
            written[prefix + name] = _to_list(name, value, choices)
        else:
            written[prefix + name] = _to_number(BY_KEY[name], value, house)
    return written


def _no_limit(name: str, known: Collection[str], *, channel: str, role: str) -> str:
    if name in BY_KEY:
        where = "for a role" if role else "for a channel" if channel else "in chat"
        return f"{name} cannot be set {where}."
    hint = nearest(name, known) or f" There are {', '.join(known)}."
    return f"There is no limit {name!r}.{hint}"


def _to_list(name: str, value: str, choices: Collection[str]) -> str:
    for each in (asked := split(value)):
        if each not in choices:
            hint = nearest(each, choices) or f" There are {', '.join(choices)}."
            raise InvalidRequest(f"{name}: {each!r} is not known.{hint}", field=name)
    return ",".join(dict.fromkeys(asked))


def _to_number(limit: Limit, value: str, house: LimitsTable) -> str:
    key, text = limit.key, value.strip().removeprefix("$")
    try:
        number = float(text) if limit.is_money else int(text)
    except ValueError:
        number = math.nan
    least, most = (1 if limit.what == "running" else 0), MOST_DOLLARS
    if not least <= number <= (most if limit.is_money else MOST_CLIPS):
        what = "dollars, such as 2.50" if limit.is_money else f"a whole number from {least} on"
        raise InvalidRequest(f"{key}: {value!r} is no limit. Give {what}.", field=key)
    ceiling = getattr(house, key)
    if not limit.is_own and ceiling is not None and number > ceiling:
        allowed = money(round(ceiling * 1_000_000)) if limit.is_money else str(ceiling)
        raise InvalidRequest(
            f"{key} can be at most {allowed} here, which the operator of this bot has set.",
            field=key,
        )
    return f"{number:.6f}".rstrip("0").rstrip(".") if limit.is_money else str(number)
