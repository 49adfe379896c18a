"""May this requester start this now? Pure rules over what was used; knows no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.config import LimitsTable, micros
from bot.errors import QuotaExceeded
from bot.overview import Allowance
from bot.refs import Micros, money

NO_GUESTS = "Guests cannot use Raybot here."


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The calendar day and month that a moment lies in, as UTC instants."""

    day_start: datetime
    day_end: datetime
    month_start: datetime
    month_end: datetime


@dataclass(frozen=True, kw_only=True)
class Used:
    """What already counts: open and delivered clips, held and settled money."""

    running: int = 0
    clips_today: int = 0
    person_today: Micros = Micros(0)
    channel_today: Micros = Micros(0)
    tenant_month: Micros = Micros(0)
    total_month: Micros = Micros(0)


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


def limits_of(limits: LimitsTable, *, is_guest: bool) -> LimitsTable:
    """The limits that hold for somebody: of a guest's and everybody's, the lower."""
    if not is_guest:
        return limits
    clips = _lower(limits.clips_per_guest_per_day, limits.clips_per_person_per_day)
    dollars = _lower(limits.usd_per_guest_per_day, limits.usd_per_person_per_day)
    lower = {"clips_per_person_per_day": clips, "usd_per_person_per_day": dollars}
    return limits.model_copy(update=lower)


def _lower(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def keeps_guests_out(limits: LimitsTable) -> bool:
    """Whether guests may have nothing at all, no test clip either."""
    return 0 in (limits.clips_per_guest_per_day, limits.usd_per_guest_per_day)


def allowances(limits: LimitsTable, used: Used, now: datetime) -> tuple[Allowance, ...]:
    """Every limit of a person with its use; `allowed` is None where there is no limit."""
    span = windows(now, limits.timezone)
    day, month = span.day_end, span.month_end
    return (
        _count("clips running at once", used.running, limits.running_per_person, None),
        _count("clips per day", used.clips_today, limits.clips_per_person_per_day, day),
        _money("your budget per day", used.person_today, limits.usd_per_person_per_day, day),
        _money(
            "this channel's budget per day",
            used.channel_today,
            limits.usd_per_channel_per_day,
            day,
        ),
        _money(
            "this place's budget per month",
            used.tenant_month,
            limits.usd_per_tenant_per_month,
            month,
        ),
        _money("the whole budget per month", used.total_month, limits.usd_total_per_month, month),
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
    for allowance in allowances(limits_of(limits, is_guest=is_guest), used, now):
        if allowance.allowed is None:
            continue
        in_time = asked if allowance.is_money else clips
        more = in_time if allowance.resets_at is not None else 1
        if allowance.used + more > allowance.allowed:
            raise QuotaExceeded(_sentence(allowance, more), resets_at=allowance.resets_at)


def crossed(before: int, after: int, allowed: int | None) -> int | None:
    """The highest of 50, 80 and 100 % that a budget's use newly reached, if any."""
    if not allowed:
        return None
    reached = [share for share in (50, 80, 100) if before * 100 < share * allowed <= after * 100]
    return reached[-1] if reached else None


def _count(name: str, used: int, allowed: int | None, resets_at: datetime | None) -> Allowance:
    return Allowance(name=name, used=used, allowed=allowed, is_money=False, resets_at=resets_at)


def _money(name: str, used: Micros, dollars: float | None, resets_at: datetime) -> Allowance:
    allowed = None if dollars is None else micros(dollars)
    return Allowance(name=name, used=used, allowed=allowed, is_money=True, resets_at=resets_at)


def _sentence(allowance: Allowance, more: int) -> str:
    assert allowance.allowed is not None
    if allowance.is_money:
        left = max(0, allowance.allowed - allowance.used)
        return (
            f"This would hold {money(more)}, and {money(left)} of {money(allowance.allowed)} "
            f"is left in {allowance.name}. A shorter or smaller clip costs less."
        )
    if allowance.resets_at is None:
        return (
            f"You already have {allowance.used} of {allowance.allowed} {allowance.name}. "
            "Wait for one to finish, or cancel one."
        )
    used = f"You have used {allowance.used} of {allowance.allowed} {allowance.name}."
    return used if more == 1 else f"{used} This would be {more} more."
