"""A long list is read round and round, a bounded stretch at a time, its newest page most often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.list_paging import OVERLAP, Horizon, Rounds, Turns, reaches
from bot.ports import Generation, GenerationState
from bot.refs import GenerationId

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
A, B = GenerationId("a"), GenerationId("b")


def read(rounds: Rounds, *, rows: int, page: int = 10, end: int | None = None) -> list[int]:
    """One stretch on a list of so many rows, of which those from `end` on do not matter."""
    offsets: list[int] = []
    offset: int | None = rounds.begin()
    while offset is not None:
        offsets.append(offset)
        count = max(0, min(page, rows - offset))
        is_end = offset + count >= (rows if end is None else min(end, rows))
        offset = rounds.after(count, is_end=is_end)
    return offsets


def test_a_short_list_is_read_to_its_end_each_time() -> None:
    rounds = Rounds(pages=5)
    assert [read(rounds, rows=30) for _ in range(2)] == [[0, 10, 20]] * 2


def test_a_long_list_is_read_on_and_round() -> None:
    rounds = Rounds(pages=4)
    assert read(rounds, rows=60) == [0, 10, 20, 30]
    assert read(rounds, rows=60) == [0, 30, 40, 50]
    assert read(rounds, rows=60) == [0, 10, 20, 30]


def test_a_stretch_that_found_all_does_not_lead_further_away() -> None:
    rounds = Rounds(pages=2)
    read(rounds, rows=60)
    rounds.rewind()
    assert read(rounds, rows=60) == [0, 10]


def test_the_next_page_is_guessed_from_the_one_before() -> None:
    rounds = Rounds(pages=4)
    rounds.begin()
    assert rounds.ahead() is None, "nobody knows how long a page is"
    assert rounds.after(10, is_end=False) == 10
    assert rounds.ahead() == 20
    assert [rounds.after(10, is_end=False) for _ in range(3)] == [20, 30, None]
    rounds.begin()
    assert rounds.ahead() == 30, "it goes on where it stopped"


def test_each_has_its_turn_also_where_others_are_asked_about_alone() -> None:
    turns, ids = Turns(5), [GenerationId(f"g{number}") for number in range(10)]
    first = turns.take(ids)
    assert turns.take([A]) == [A]
    assert {*first, *turns.take(ids)} == set(ids)


def test_a_list_that_became_shorter_is_read_from_its_second_page() -> None:
    rounds = Rounds(pages=4)
    read(rounds, rows=60)
    assert read(rounds, rows=15) == [0, 30, 10]
    assert read(rounds, rows=15) == [0, 10]


@given(
    rows=st.integers(0, 1000),
    page=st.integers(40, 60),
    pages=st.integers(2, 5),
    added=st.integers(0, 20),
    removed=st.integers(0, OVERLAP),
)
def test_whatever_is_added_or_removed_between_all_is_read(
    rows: int, page: int, pages: int, added: int, removed: int
) -> None:
    """A list of numbers grows at its front, and some that were read are removed."""
    listed, wanted, seen, rounds = (
        list(range(rows)),
        set(range(rows)),
        set[int](),
        Rounds(pages=pages),
    )
    for stretch in range(1, 101):
        calls = 0
        offset: int | None = rounds.begin()
        while offset is not None:
            part = listed[offset : offset + page]
            seen.update(part)
            calls += 1
            offset = rounds.after(len(part), is_end=offset + page >= len(listed))
        assert calls <= pages
        if wanted <= seen:
            return
        gone = [each for each in listed if each in seen][:removed]
        listed = [-stretch] * added + [each for each in listed if each not in gone]
    raise AssertionError(wanted - seen)


def test_the_oldest_that_is_looked_for_bounds_a_list() -> None:
    horizon = Horizon()

    def see(name: GenerationId, minutes: int, state: GenerationState = "running") -> None:
        at = NOON - timedelta(minutes=minutes)
        horizon.remember([Generation(id=name, state=state, created_at=at)])

    see(A, 5)
    assert horizon.of({A, B}) == ({A, B}, None), "nobody knows how old the second is"
    see(B, 9)
    assert horizon.of({A, B}) == ({A, B}, NOON - timedelta(minutes=9))
    see(B, 9, "completed")
    assert horizon.of({A, B}) == ({A, B}, None)
    horizon.miss(B)
    assert horizon.of({A, B}) == ({A}, NOON - timedelta(minutes=5))
    see(B, 1)
    assert horizon.of({A, B}) == ({A, B}, NOON - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("minutes", "is_so"),
    [([1, 2, 9], True), ([1, 2, 3], False), ([9], False), ([], False), ([2, 1, 9], False)],
)
def test_older_ones_only_follow_where_the_order_says_so(minutes: list[int], is_so: bool) -> None:
    times = [NOON - timedelta(minutes=each) for each in minutes]
    assert reaches(times, NOON - timedelta(minutes=5)) is is_so
    assert not reaches([*times, None], NOON - timedelta(minutes=5))
    assert not reaches(times, None)
