"""May this requester start this now? Pure rules over what was used; knows no database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.errors import NotAllowed, QuotaExceeded
from bot.limits import BY_KEY, LIMITS, Limit, Per, lower
from bot.overview import Allowance, Grant
from bot.refs import Micros, money
from bot.request import RESOLUTIONS, AnyWork, Resolution
from bot.tables import LimitsTable, micros

NO_GUESTS = "Guests cannot use Raybot here."
_PERIODS: Mapping[Per, str] = {"day": "today", "month": "this month"}
#: What already counts, by the limit's key: open and delivered clips, held and settled money.
Used = Mapping[str, int]
#: When a person's job was accepted, and what it costs now.
Spent = Sequence[tuple[datetime, Micros]]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The calendar day and month that a moment lies in, as UTC instants."""

    day_start: datetime
    day_end: datetime
    month_start: datetime
    month_end: datetime


def windows(now: datetime, timezone: str) -> Windows:
    """The day and month around `now` as people in `timezone` see them."""
    zone = ZoneInfo(timezone)
    # Fold 0: where clocks fall back to midnight, a day begins with the first of its two.
    day = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    month = day.replace(day=1)
    return Windows(
        day_start=day.astimezone(UTC),
        day_end=(day + timedelta(days=1)).astimezone(UTC),
        month_start=month.astimezone(UTC),
        month_end=(month + timedelta(days=32)).replace(day=1).astimezone(UTC),
    )


def days_before(now: datetime, timezone: str, days: int) -> datetime:
    """The start of the first of so many days, of which today is the last."""
    day = windows(now, timezone).day_start.astimezone(ZoneInfo(timezone))
    return (day - timedelta(days=days - 1)).replace(fold=0).astimezone(UTC)


def limits_of(limits: LimitsTable, *, is_guest: bool) -> LimitsTable:
    """The limits that hold for somebody: of a guest's and everybody's, the lower."""
    if not is_guest:
        return limits
    clips = lower(limits.clips_per_guest_per_day, limits.clips_per_person_per_day)
    dollars = lower(limits.usd_per_guest_per_day, limits.usd_per_person_per_day)
    changes = {"clips_per_person_per_day": clips, "usd_per_person_per_day": dollars}
    return limits.model_copy(update=changes)


def keeps_guests_out(limits: LimitsTable) -> bool:
    """Whether guests may have nothing at all, no test clip either."""
    return 0 in (limits.clips_per_guest_per_day, limits.usd_per_guest_per_day)


def check_work(
    limits: LimitsTable, work: AnyWork, sizes: Collection[Resolution] = RESOLUTIONS
) -> None:
    """Raise `NotAllowed` for a model or a resolution that may not be used.

    `sizes` are those in which its model can make it: no other is proposed.
    """
    if limits.models and work.model not in limits.models:
        raise NotAllowed(f"Here you can use {', '.join(limits.models)}.")
    resolution = getattr(work, "resolution", None)
    if resolution is not None and resolution not in limits.resolutions:
        allowed = ", ".join(each for each in limits.resolutions if each in sizes)
        refused = f"{resolution} is off here"
        if not allowed:
            raise NotAllowed(f"{refused}, and so is every other size of {work.model}.")
        raise NotAllowed(f"{refused}. You can use {allowed}.")


def allowances(limits: LimitsTable, used: Used, now: datetime) -> tuple[Allowance, ...]:
    """Every limit of a person with its use; `allowed` is None where there is no limit."""
    return tuple(allowance for _, allowance in _allowances(LIMITS, limits, used, now))


def _allowances(
    which: Iterable[Limit], limits: LimitsTable, used: Used, now: datetime
) -> Iterable[tuple[Limit, Allowance]]:
    span = windows(now, limits.timezone)
    ends = {"": None, "day": span.day_end, "month": span.month_end}
    for limit in which:
        allowed = getattr(limits, limit.key)
        yield (
            limit,
            Allowance(
                name=limit.name,
                used=used.get(limit.key, 0),
                allowed=micros(allowed) if limit.is_money and allowed is not None else allowed,
                is_money=limit.is_money,
                resets_at=ends[limit.per],
            ),
        )


def check(
    limits: LimitsTable,
    used: Used,
    asked: Micros,
    now: datetime,
    *,
    is_guest: bool = False,
    clips: int = 1,
) -> None:
    """Raise `QuotaExceeded` if more `clips` that hold `asked` together would pass a limit.

    One of them runs at once: they are the shots of one film, or one alone.
    """
    if is_guest and keeps_guests_out(limits):
        raise QuotaExceeded(NO_GUESTS)
    own = limits_of(limits, is_guest=is_guest)
    which = [limit for limit in LIMITS if getattr(own, limit.key) is not None]
    for limit, allowance in _allowances(which, own, used, now):
        assert allowance.allowed is not None
        asked_for = asked if limit.is_money else clips
        more = asked_for if limit.per else 1
        if allowance.used + more > allowance.allowed:
            sentence = _sentence(limit, allowance, more)
            raise QuotaExceeded(sentence, resets_at=allowance.resets_at, limit=limit.key)


# ---- grants ----------------------------------------------------------------------------------


def raised(
    limits: LimitsTable, grants: Sequence[Grant], spent: Spent, now: datetime
) -> LimitsTable:
    """The limits with what is left of a person's grants on top of their own money's.

    A grant is for once: what was spent beyond a limit on one day is not there on the next.
    `spent` reaches back to the month of the first grant.
    """
    changes = {}
    for key in ("usd_per_person_per_day", "usd_per_person_per_month"):
        if (own := getattr(limits, key)) is not None:
            days = _Days(zone=ZoneInfo(limits.timezone), is_month=BY_KEY[key].per == "month")
            extra = _left(micros(own), grants, spent, now, days)
            changes[key] = (micros(own) + extra) / 1_000_000
    return limits.model_copy(update=changes)


@dataclass(frozen=True, kw_only=True)
class _Days:
    """Names the calendar days, or the months, of a time zone, so that later ones are greater."""

    zone: ZoneInfo
    is_month: bool

    def name(self, moment: datetime) -> str:
        return moment.astimezone(self.zone).date().isoformat()[: 7 if self.is_month else 10]


def _left(allowed: int, grants: Sequence[Grant], spent: Spent, now: datetime, days: _Days) -> int:
    """How much more than `allowed` may be spent in the present day or month.

    What is spent beyond it is taken from the grant that ends first.
    """
    by_day: defaultdict[str, int] = defaultdict(int)
    for at, cost in spent:
        by_day[days.name(at)] += cost
    today = days.name(now)
    over = {day: used - allowed for day, used in by_day.items() if used > allowed}
    total = 0
    for grant in sorted(grants, key=lambda each: each.until):
        left: int = grant.micros
        first, last = days.name(grant.at), days.name(grant.until - timedelta(microseconds=1))
        for day in sorted(each for each in over if first <= each <= last and each < today):
            taken = min(left, over[day])
            left, over[day] = left - taken, over[day] - taken
        if grant.until > now:
            total += left
        elif last == today:
            taken = min(left, over.get(today, 0))
            over[today] = over.get(today, 0) - taken
            total += taken
    return total


def crossed(before: int, after: int, allowed: int | None) -> int | None:
    """The highest of 50, 80 and 100 % that a budget's use newly reached, if any."""
    if not allowed:
        return None
    reached = [share for share in (50, 80, 100) if before * 100 < share * allowed <= after * 100]
    return reached[-1] if reached else None


def _sentence(limit: Limit, allowance: Allowance, more: int) -> str:
    assert allowance.allowed is not None
    if limit.is_money:
        left = money(max(0, allowance.allowed - allowance.used))
        whole = f"{limit.owner} {money(allowance.allowed)} for {_PERIODS[limit.per]}"
        return (
            f"This costs about {money(more)}; {left} of {whole} is left. "
            "A shorter or smaller clip costs less."
        )
    used = f"{allowance.used} of {allowance.allowed}"
    further = "" if more == 1 else f" This would be {more} more."
    if limit.whose != "person":
        wait = "" if limit.per else " Wait for one to finish."
        return f"Of {allowance.name}, {used} are used.{wait}{further}"
    if not limit.per:
        return f"You already have {used} {allowance.name}. Wait for one to finish, or cancel one."
    return f"You have used {used} {allowance.name}.{further}"
