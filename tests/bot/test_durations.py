from __future__ import annotations

import random
from datetime import timedelta

import pytest

from bot.durations import (
    ENOUGH,
    REMEMBERED,
    STALE_AT_LEAST,
    Durations,
    Running,
    WorkClass,
    to_work_class,
)
from bot.refs import JobId
from bot.request import ImageWork

FLASH = WorkClass(model="ray-flash-2", resolution="540p", duration="5s", has_frames=False)
FLASH_FRAMES = WorkClass(model="ray-flash-2", resolution="540p", duration="5s", has_frames=True)


def learned(*seconds: float) -> Durations:
    durations = Durations()
    for each in seconds:
        durations.record(FLASH, each)
    return durations


def found(*, first_at: float, seen_at: float | None = None) -> Running:
    """One that was begun at zero."""
    return Running(job_id=JobId("r-a"), key=FLASH, since=0.0, first_at=first_at, seen_at=seen_at)


def test_nothing_is_claimed_while_nothing_is_known() -> None:
    durations = Durations()
    assert durations.first_look(FLASH, 15.0) == 15.0
    assert durations.expected(FLASH) is None
    assert durations.expected_wait(FLASH, position=3, slots=10) is None
    assert durations.stale_after(FLASH) == STALE_AT_LEAST


def test_a_few_do_not_move_the_first_look() -> None:
    durations = learned(*[40.0] * (ENOUGH - 1))
    assert durations.first_look(FLASH, 15.0) == 15.0
    durations.record(FLASH, 40.0)
    assert durations.first_look(FLASH, 15.0) == 40.0


def test_the_first_look_is_the_fifth_percentile() -> None:
    assert learned(*map(float, range(1, 41))).first_look(FLASH, 15.0) == 2.0


def test_a_first_look_of_zero_seconds_falls_back_to_the_default() -> None:
    assert learned(*[0.0] * 20).first_look(FLASH, 0.5) == 0.5


def test_the_first_look_moves_earlier_where_clips_are_done_before_it() -> None:
    durations, looks = learned(*[40.0] * ENOUGH), 0
    while (first := durations.first_look(FLASH, 15.0)) > 5.0:
        durations.learn(found(first_at=first), first)
        looks += 1
    assert looks < REMEMBERED
    for _ in range(REMEMBERED):
        durations.learn(found(first_at=5.0, seen_at=39.0), 40.0)
    assert durations.first_look(FLASH, 15.0) == 40.0


def test_the_first_look_settles_where_few_are_done_before_it() -> None:
    durations, chance = learned(*[60.0] * ENOUGH), random.Random(7)
    early = 0
    for number in range(1000):
        seconds, look = chance.uniform(20.0, 40.0), durations.first_look(FLASH, 15.0)
        early += number >= 500 and seconds <= look
        seen_at = None if seconds <= look else seconds
        durations.learn(found(first_at=look, seen_at=seen_at), max(seconds, look))
    assert early <= 0.1 * 500
    assert 15.0 < durations.first_look(FLASH, 15.0) < 25.0


@pytest.mark.parametrize(
    ("first_at", "seen_at", "now", "is_told"),
    [
        (30.0, None, 32.0, True),
        (30.0, None, 600.0, False),
        (30.0, 30.0, 49.0, True),
        (30.0, 30.0, 600.0, False),
        (30.0, 500.0, 600.0, True),
    ],
    ids=["at the first look", "after a stop", "seen before", "after an outage", "looks are rare"],
)
def test_what_nobody_looked_at_for_long_tells_nothing(
    first_at: float, seen_at: float | None, now: float, *, is_told: bool
) -> None:
    durations = Durations()
    durations.learn(found(first_at=first_at, seen_at=seen_at), now)
    assert (durations.expected(FLASH) is not None) == is_told


def test_stills_are_looked_at_sooner_while_none_is_known() -> None:
    durations = Durations()
    still = to_work_class(ImageWork(prompt="a fox", model="photon-flash-1"))
    assert durations.first_look(still, 15.0) == 5.0
    for _ in range(ENOUGH):
        durations.record(still, 8.0)
    assert durations.first_look(still, 15.0) == 8.0


def test_the_median_is_expected() -> None:
    assert learned(50.0, 10.0, 30.0).expected(FLASH) == timedelta(seconds=30)


def test_one_slow_run_hardly_changes_what_is_expected() -> None:
    assert learned(*[30.0] * 20, 900.0).expected(FLASH) == timedelta(seconds=30)


def test_kinds_are_kept_apart() -> None:
    durations = learned(*[30.0] * 20)
    assert durations.expected(FLASH_FRAMES) is None
    durations.record(FLASH_FRAMES, 60.0)
    assert durations.expected(FLASH_FRAMES) == timedelta(seconds=60)
    assert durations.expected(FLASH) == timedelta(seconds=30)


def test_only_the_last_fifty_count() -> None:
    durations = learned(*[100.0] * 200, *[10.0] * REMEMBERED)
    assert durations.first_look(FLASH, 15.0) == 10.0
    assert durations.expected(FLASH) == timedelta(seconds=10)


@pytest.mark.parametrize(
    ("position", "slots", "seconds"), [(1, 1, 80), (1, 10, 44), (10, 10, 80), (25, 10, 140)]
)
def test_the_wait_is_the_turns_before_and_then_one_generation(
    position: int, slots: int, seconds: int
) -> None:
    durations = learned(*[40.0] * 10)
    wait = durations.expected_wait(FLASH, position=position, slots=slots)
    assert wait == timedelta(seconds=seconds)


def test_slow_is_half_as_long_again_as_nearly_all() -> None:
    durations = learned(*[40.0] * 20)
    assert not durations.is_slow(FLASH, timedelta(seconds=60))
    assert durations.is_slow(FLASH, timedelta(seconds=61))


def test_slow_is_five_minutes_while_little_is_known() -> None:
    durations = learned(20.0)
    assert not durations.is_slow(FLASH, timedelta(minutes=5))
    assert durations.is_slow(FLASH, timedelta(minutes=5, seconds=1))


def test_a_generation_keeps_its_slot_for_ten_times_the_usual() -> None:
    assert learned(*[40.0] * 20).stale_after(FLASH) == timedelta(minutes=20)
    assert learned(*[300.0] * 20).stale_after(FLASH) == timedelta(minutes=50)


def test_a_clock_set_back_leaves_no_negative_time() -> None:
    assert learned(-5.0).expected(FLASH) == timedelta(0)
