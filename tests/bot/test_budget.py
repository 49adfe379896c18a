from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budget import CircuitBreaker, TokenBucket


def test_a_full_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(2.0, burst=3)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(10.0) == pytest.approx(0.5)
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert not bucket.take(10.5)


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(5.0, burst=2)
    assert bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_waiting_as_long_as_told_is_enough() -> None:
    bucket = TokenBucket(20 / 60, burst=1)
    now = 100.0
    for _ in range(50):
        now += bucket.wait(now)
        assert bucket.take(now)


def test_a_penalty_closes_the_bucket_and_takes_its_burst() -> None:
    bucket = TokenBucket(5.0, burst=5)
    bucket.penalise(100.0, 30.0)
    assert bucket.wait(100.0) == pytest.approx(30.0)
    assert not bucket.take(129.9)
    assert bucket.take(130.0)
    assert not bucket.take(130.0)


def test_the_longer_of_two_penalties_holds() -> None:
    bucket = TokenBucket(5.0, burst=5)
    bucket.penalise(100.0, 30.0)
    bucket.penalise(101.0, 5.0)
    assert not bucket.take(129.9)
    assert bucket.take(130.0)


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = TokenBucket(1.0, burst=1)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.5)
    assert bucket.take(101.0)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_a_bucket_that_lets_nothing_through_is_a_mistake(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        TokenBucket(rate, burst=burst)


@given(
    rate=st.floats(0.1, 50.0),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60),
)
def test_no_stretch_of_time_sees_more_than_promised(
    rate: float, burst: int, pauses: list[float]
) -> None:
    bucket, now, taken = TokenBucket(rate, burst=burst), 0.0, []
    for pause in pauses:
        now += pause
        while bucket.take(now):
            taken.append(now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - begin) + 0.001


def fail(breaker: CircuitBreaker, times: int, *, now: float) -> None:
    for _ in range(times):
        breaker.failed(now)


def test_five_failures_in_a_row_open_the_circuit() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 4, now=0.0)
    assert breaker.allows(0.0)
    fail(breaker, 1, now=0.0)
    assert breaker.is_open
    assert not breaker.allows(0.0)
    assert breaker.wait(5.0) == pytest.approx(10.0)


def test_a_success_in_between_keeps_it_closed() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 4, now=0.0)
    breaker.succeeded(0.0)
    fail(breaker, 4, now=0.0)
    assert not breaker.is_open


def test_more_than_half_of_twenty_within_thirty_seconds_open_it() -> None:
    breaker = CircuitBreaker()
    for index in range(18):
        fail(breaker, 1, now=index) if index % 2 else breaker.succeeded(index)
    breaker.failed(18.0)
    assert not breaker.is_open, "nineteen calls are not enough to judge"
    breaker.failed(19.0)
    assert breaker.is_open


def test_old_failures_do_not_count() -> None:
    breaker = CircuitBreaker()
    for index in range(19):
        fail(breaker, 1, now=index * 2.0) if index % 2 else breaker.succeeded(index * 2.0)
    fail(breaker, 2, now=40.0)
    assert not breaker.is_open


def test_one_probe_after_fifteen_seconds_then_ever_later() -> None:
    breaker, now, waits = CircuitBreaker(), 0.0, []
    fail(breaker, 5, now=now)
    for _ in range(6):
        waits.append(breaker.wait(now))
        now += breaker.wait(now)
        assert breaker.allows(now)
        assert not breaker.allows(now), "only one probe"
        breaker.failed(now)
    assert waits == [15.0, 30.0, 60.0, 120.0, 120.0, 120.0]


def test_a_good_probe_closes_it_and_the_next_outage_starts_afresh() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 5, now=0.0)
    assert breaker.allows(15.0)
    breaker.failed(15.0)
    assert breaker.allows(45.0)
    breaker.succeeded(45.0)
    assert breaker.allows(45.0)
    assert breaker.wait(45.0) == 0.0
    fail(breaker, 4, now=46.0)
    assert not breaker.is_open
    fail(breaker, 1, now=46.0)
    assert breaker.wait(46.0) == 15.0


def test_a_probe_that_never_reports_is_followed_by_another() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 5, now=0.0)
    assert breaker.allows(15.0)
    assert not breaker.allows(29.0)
    assert breaker.allows(30.0)


def test_calls_that_were_under_way_do_not_lengthen_the_wait() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 12, now=0.0)
    assert breaker.wait(0.0) == 15.0
