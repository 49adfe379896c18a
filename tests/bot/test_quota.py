"""Days and months are those of people's own calendar, and a limit says when it resets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot import quota
from bot.errors import QuotaExceeded
from bot.limits import LIMITS
from bot.quota import Used
from bot.refs import Micros
from bot.tables import LimitsTable

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NO_MONEY = {"usd_per_person_per_day": None, "usd_total_per_month": None}
NONE = LimitsTable.model_validate(NO_MONEY)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # Half an hour of summer time.
    "Atlantic/Azores",  # Falls back from 01:00 to 00:00: two midnights.
    "America/Havana",  # The same, and its spring has no midnight.
    "America/Santiago",  # Springs forward at 00:00: no midnight.
    "Africa/Cairo",
    "Pacific/Apia",  # Had no 30 December 2011.
    "Pacific/Kiritimati",
    "America/Sao_Paulo",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- windows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "now", "start", "end"),
    [
        ("UTC", "2026-11-22T12:00", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("UTC", "2026-11-22T00:00", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("Europe/Berlin", "2026-06-30T22:30", "2026-06-30T22:00", "2026-07-01T22:00"),
        ("Asia/Kathmandu", "2026-11-22T18:14", "2026-11-21T18:15", "2026-11-22T18:15"),
        ("Asia/Kathmandu", "2026-11-22T18:15", "2026-11-22T18:15", "2026-11-23T18:15"),
        ("Australia/Lord_Howe", "2026-10-04T00:00", "2026-10-03T13:30", "2026-10-04T13:00"),
        ("America/Santiago", "2026-09-06T12:00", "2026-09-06T04:00", "2026-09-07T03:00"),
        ("Atlantic/Azores", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-26T01:00"),
        ("Atlantic/Azores", "2026-10-25T01:30", "2026-10-25T00:00", "2026-10-26T01:00"),
        ("Atlantic/Azores", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T01:00"),
        ("Pacific/Apia", "2011-12-29T20:00", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_a_day_is_a_calendar_day_of_the_zone(zone: str, now: str, start: str, end: str) -> None:
    span = quota.windows(at(now), zone)
    assert (span.day_start, span.day_end) == (at(start), at(end))


@pytest.mark.parametrize(
    ("zone", "now", "start", "end"),
    [
        ("UTC", "2026-11-30T23:59", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("UTC", "2026-02-28T12:00", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("UTC", "2026-01-31T12:00", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("Europe/Berlin", "2026-03-15T12:00", "2026-02-28T23:00", "2026-03-31T22:00"),
        ("Europe/Berlin", "2026-10-15T12:00", "2026-09-30T22:00", "2026-10-31T23:00"),
        ("Pacific/Kiritimati", "2026-12-31T09:59", "2026-11-30T10:00", "2026-12-31T10:00"),
        ("Pacific/Kiritimati", "2026-12-31T10:00", "2026-12-31T10:00", "2027-01-31T10:00"),
        ("America/New_York", "2026-11-01T03:30", "2026-10-01T04:00", "2026-11-01T04:00"),
        ("Atlantic/Azores", "2026-10-25T01:30", "2026-10-01T00:00", "2026-11-01T01:00"),
    ],
)
def test_a_month_is_a_calendar_month_of_the_zone(
    zone: str, now: str, start: str, end: str
) -> None:
    span = quota.windows(at(now), zone)
    assert (span.month_start, span.month_end) == (at(start), at(end))


MOMENTS = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2037, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(now=MOMENTS, zone=st.sampled_from(ZONES))
@example(now=at("2026-10-25T01:30"), zone="Atlantic/Azores")
@example(now=at("2011-12-29T20:00"), zone="Pacific/Apia")
@settings(max_examples=300)
def test_windows_hold_the_moment_and_leave_no_gap(now: datetime, zone: str) -> None:
    span = quota.windows(now, zone)
    assert span.day_start <= now < span.day_end
    assert span.month_start <= span.day_start
    assert span.day_end <= span.month_end
    assert quota.windows(span.day_end, zone).day_start == span.day_end
    assert quota.windows(span.month_end, zone).month_start == span.month_end
    before = quota.windows(span.day_start - timedelta(microseconds=1), zone)
    assert before.day_end == span.day_start


@given(now=MOMENTS, zone=st.sampled_from(ZONES), seconds=st.integers(0, 100_000))
@settings(max_examples=200)
def test_two_moments_share_a_day_exactly_when_people_say_so(
    now: datetime, zone: str, seconds: int
) -> None:
    later = now + timedelta(seconds=seconds)
    here, there = (each.astimezone(ZoneInfo(zone)) for each in (now, later))
    span, other = quota.windows(now, zone), quota.windows(later, zone)
    assert (span.day_start == other.day_start) == (here.date() == there.date())
    assert (span.month_start == other.month_start) == (
        (here.year, here.month) == (there.year, there.month)
    )


# ---- may this start now? ---------------------------------------------------------------------

DAY_END, MONTH_END = at("2026-11-23T00:00"), at("2026-12-01T00:00")
CASES: list[tuple[dict[str, Any], Used, datetime | None, str]] = [
    ({"running_per_person": 3}, {"running_per_person": 3}, None, "clips running at once"),
    ({"clips_per_person_per_day": 5}, {"clips_per_person_per_day": 5}, DAY_END, "clips per day"),
    ({"usd_per_person_per_day": 1}, {"usd_per_person_per_day": 900_001}, DAY_END, "of your "),
    ({"usd_per_channel_per_day": 1}, {"usd_per_channel_per_day": 900_001}, DAY_END, "channel's"),
    ({"usd_per_tenant_per_month": 1}, {"usd_per_tenant_per_month": 900_001}, MONTH_END, "place's"),
    ({"usd_total_per_month": 1}, {"usd_total_per_month": 900_001}, MONTH_END, "of the whole "),
]
ASKED = Micros(100_000)


@pytest.mark.parametrize(("limit", "used", "resets_at", "words"), CASES)
def test_a_limit_that_would_be_passed_names_itself_and_its_reset(
    limit: dict[str, Any], used: Used, resets_at: datetime | None, words: str
) -> None:
    with pytest.raises(QuotaExceeded) as refused:
        quota.check(NONE.model_copy(update=limit), used, ASKED, NOW)
    assert refused.value.resets_at == resets_at
    assert words in refused.value.sentence


@pytest.mark.parametrize(("limit", "used", "_resets_at", "_words"), CASES)
def test_what_just_fits_may_start(
    limit: dict[str, Any], used: Used, _resets_at: datetime | None, _words: str
) -> None:
    less = {name: value - 1 for name, value in used.items()}
    quota.check(NONE.model_copy(update=limit), less, ASKED, NOW)


@pytest.mark.parametrize(("_limit", "used", "_resets_at", "_words"), CASES)
def test_what_is_not_limited_may_start(
    _limit: dict[str, Any], used: Used, _resets_at: datetime | None, _words: str
) -> None:
    quota.check(NONE, used, Micros(10**12), NOW)


def test_the_sentences_say_what_is_left_and_what_to_do() -> None:
    limits = NONE.model_copy(update={"usd_per_person_per_day": 0.5})
    with pytest.raises(QuotaExceeded, match=r"about \$0\.15; \$0\.04 of your \$0\.50"):
        quota.check(limits, {"usd_per_person_per_day": 460_000}, Micros(153_000), NOW)
    with pytest.raises(QuotaExceeded, match="A shorter or smaller clip costs less"):
        quota.check(limits, {}, Micros(500_001), NOW)
    limits = NONE.model_copy(update={"running_per_person": 2})
    with pytest.raises(QuotaExceeded, match=r"2 of 2 clips running at once.*cancel one"):
        quota.check(limits, {"running_per_person": 2}, Micros(0), NOW)
    limits = NONE.model_copy(update={"clips_per_person_per_day": 0})
    with pytest.raises(QuotaExceeded, match="used 0 of 0 clips per day"):
        quota.check(limits, {}, Micros(0), NOW)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("usd_per_person_per_month", "your $1.00 for this month"),
        ("usd_per_channel_per_day", "this channel's $1.00 for today"),
        ("usd_per_tenant_per_month", "this place's $1.00 for this month"),
        ("usd_total_per_month", "the whole $1.00 for this month"),
    ],
)
def test_a_budget_is_told_with_whose_it_is_and_for_when(key: str, words: str) -> None:
    limits = NONE.model_copy(update={key: 1.0})
    with pytest.raises(QuotaExceeded) as refused:
        quota.check(limits, {key: 900_000}, Micros(200_000), NOW)
    assert f"This costs about $0.20; $0.10 of {words} is left." in refused.value.sentence


def test_what_is_left_is_never_less_than_nothing() -> None:
    """The operator may lower a limit in the middle of a day."""
    limits = NONE.model_copy(update={"usd_per_person_per_day": 0.5})
    with pytest.raises(QuotaExceeded, match=r"\$0\.00 of your \$0\.50 for today is left"):
        quota.check(limits, {"usd_per_person_per_day": 900_000}, Micros(1), NOW)


def test_a_limit_resets_in_the_zone_of_the_place() -> None:
    limits = LimitsTable.model_validate(
        {"timezone": "Asia/Kathmandu", "usd_per_person_per_day": 0}
    )
    with pytest.raises(QuotaExceeded) as refused:
        quota.check(limits, {}, Micros(1), NOW)
    assert refused.value.resets_at == at("2026-11-22T18:15")


def test_every_limit_is_listed_with_its_use() -> None:
    used = {limit.key: number for number, limit in enumerate(LIMITS)}
    listed = quota.allowances(LimitsTable.model_validate({}), used, NOW)
    assert [each.used for each in listed] == list(range(16))
    assert [each.is_money for each in listed] == [*[False, False, False, True, True] * 3, True]
    limited = {each.name: each.allowed for each in listed if each.allowed is not None}
    assert limited == {"your budget per day": 1_000_000, "the whole budget per month": 25_000_000}
    five = [None, DAY_END, MONTH_END, DAY_END, MONTH_END]
    assert [each.resets_at for each in listed] == [*five * 3, MONTH_END]
    assert len({each.name for each in listed}) == 16


# ---- half, most, all of a budget -------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "allowed", "share"),
    [
        (0, 49, 100, None),
        (0, 50, 100, 50),
        (49, 51, 100, 50),
        (50, 79, 100, None),
        (50, 80, 100, 80),
        (79, 99, 100, 80),
        (80, 100, 100, 100),
        (0, 100, 100, 100),
        (0, 90, 100, 80),
        (100, 100, 100, None),
        (0, 5, 0, None),
        (0, 5, None, None),
        (0, 1, 1, 100),
        (1, 2, 3, 50),
    ],
)
def test_a_share_is_told_when_it_is_reached(
    before: int, after: int, allowed: int | None, share: int | None
) -> None:
    assert quota.crossed(before, after, allowed) == share


@given(allowed=st.integers(1, 1000), holds=st.lists(st.integers(0, 300), min_size=1, max_size=30))
@settings(max_examples=200)
def test_growing_use_tells_each_share_once_and_ends_at_the_highest(
    allowed: int, holds: list[int]
) -> None:
    used, told = 0, []
    for hold in holds:
        told.append(quota.crossed(used, used + hold, allowed))
        used += hold
    shares = [share for share in told if share is not None]
    assert shares == sorted(set(shares))
    reached = [share for share in (50, 80, 100) if used * 100 >= share * allowed]
    assert shares[-1:] == reached[-1:]


# ---- guests ----------------------------------------------------------------------------------

LIMIT = st.none() | st.integers(0, 5)


@given(everybody=LIMIT, guests=LIMIT, used=st.integers(0, 6), is_money=st.booleans())
@settings(max_examples=300)
def test_a_guest_is_held_to_the_lower_limit_and_nobody_else_is(
    *, everybody: int | None, guests: int | None, used: int, is_money: bool
) -> None:
    kind = "usd" if is_money else "clips"
    own, theirs = f"{kind}_per_person_per_day", f"{kind}_per_guest_per_day"
    limits = NONE.model_copy(update={own: everybody, theirs: guests})
    spent = {own: used * 1_000_000 if is_money else used}
    for is_guest, allowed in ((False, [everybody]), (True, [everybody, guests])):
        fits = all(limit is None or used + 1 <= limit for limit in allowed)
        assert is_allowed(limits, spent, is_guest=is_guest) == fits


def is_allowed(limits: LimitsTable, used: Used, *, is_guest: bool) -> bool:
    try:
        quota.check(limits, used, Micros(1_000_000), NOW, is_guest=is_guest)
    except QuotaExceeded:
        return False
    return True


@pytest.mark.parametrize("limit", ["clips_per_guest_per_day", "usd_per_guest_per_day"])
def test_guests_who_may_have_nothing_are_told_so_also_of_a_test_clip(limit: str) -> None:
    limits = NONE.model_copy(update={limit: 0})
    with pytest.raises(QuotaExceeded, match=r"Guests cannot use Raybot here\.") as refused:
        quota.check(limits, {}, Micros(0), NOW, is_guest=True)
    assert refused.value.resets_at is None
    quota.check(limits, {}, Micros(0), NOW)
