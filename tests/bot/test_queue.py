from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.queue import Waiting, line, next_up, positions
from bot.refs import JobId


def wait(*people: str) -> list[Waiting]:
    """Jobs in the order they came, named by person and number: a1, a2, b1."""
    seen: Counter[str] = Counter()
    jobs = []
    for seq, person in enumerate(people):
        seen[person] += 1
        job_id = JobId(f"{person}{seen[person]}")
        jobs.append(Waiting(job_id=job_id, person=person, seq=seq))
    return jobs


def test_the_oldest_is_first_when_all_are_equal() -> None:
    assert next_up(wait("a", "b", "c"), {}, slots=2) == ["a1", "b1"]


def test_a_flood_does_not_stand_before_anothers_first() -> None:
    jobs = wait(*["a"] * 20, "b")
    assert next_up(jobs, {}, slots=3) == ["a1", "b1", "a2"]


def test_who_has_fewer_running_is_first() -> None:
    jobs = wait(*"aaabbb")
    assert next_up(jobs, {"a": 2}, slots=4) == ["b1", "b2", "a1", "b3"]


def test_a_newcomer_takes_the_next_free_slot_of_a_flood() -> None:
    jobs = wait(*["a"] * 100, "new")
    assert next_up(jobs, {"a": 9}, slots=1) == ["new1"]


def test_ones_own_jobs_keep_their_order_however_they_are_listed() -> None:
    jobs = list(reversed(wait("a", "b", "a", "b")))
    assert list(line(jobs, {})) == ["a1", "b1", "a2", "b2"]


def test_no_slot_means_nobody() -> None:
    assert next_up(wait("a"), {}, slots=0) == []
    assert next_up(wait("a"), {}, slots=-1) == []
    assert next_up([], {}, slots=5) == []


def test_people_who_only_run_do_not_matter() -> None:
    assert next_up(wait("a"), {"z": 10}, slots=3) == ["a1"]


def test_positions_count_from_one_in_the_order_of_turns() -> None:
    assert positions(wait(*"aaab"), {}) == {"a1": 1, "b1": 2, "a2": 3, "a3": 4}


def test_ten_thousand_waiting_are_placed() -> None:
    jobs = [
        Waiting(job_id=JobId(str(seq)), person=f"p{seq % 700}", seq=seq) for seq in range(10_000)
    ]
    placed = positions(jobs, {f"p{index}": index % 3 for index in range(700)})
    assert sorted(placed.values()) == list(range(1, 10_001))


lines = st.lists(st.sampled_from("abcde"), max_size=40).map(lambda people: wait(*people))
running = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 6))


@given(lines, running)
def test_everyone_is_in_line_exactly_once(jobs: list[Waiting], busy: dict[str, int]) -> None:
    assert sorted(line(jobs, busy)) == sorted(each.job_id for each in jobs)


@given(lines, running)
def test_next_is_always_one_with_the_fewest_and_among_those_the_oldest(
    jobs: list[Waiting], busy: dict[str, int]
) -> None:
    counts, left = Counter(busy), {each.job_id: each for each in jobs}
    for job_id in line(jobs, busy):
        first = {
            person: min(each.seq for each in left.values() if each.person == person)
            for person in {each.person for each in left.values()}
        }
        chosen = left.pop(job_id)
        assert (counts[chosen.person], chosen.seq) == min(
            (counts[person], seq) for person, seq in first.items()
        )
        counts[chosen.person] += 1


@given(lines, running, st.integers(0, 10))
def test_slots_end_as_even_as_they_can(
    jobs: list[Waiting], busy: dict[str, int], slots: int
) -> None:
    """Nobody gets one while somebody who still waits has two fewer."""
    chosen = set(islice(line(jobs, busy), slots))
    counts = Counter(busy)
    for each in jobs:
        counts[each.person] += each.job_id in chosen
    still_waiting = {each.person for each in jobs if each.job_id not in chosen}
    served = {each.person for each in jobs if each.job_id in chosen}
    for hungry in still_waiting:
        assert all(counts[person] <= counts[hungry] + 1 for person in served)


@given(st.integers(1, 30), st.integers(1, 5))
def test_nobody_starves_beside_a_stream_of_newcomers(flood: int, slots: int) -> None:
    """With one new job of a busy person at each turn, a patient one is served at once."""
    jobs = wait(*["busy"] * flood, "patient")
    turns, seq, counts = 0, len(jobs), Counter[str]()
    while any(each.person == "patient" for each in jobs):
        up = set(next_up(jobs, counts, slots=slots))
        counts.update(each.person for each in jobs if each.job_id in up)
        jobs = [each for each in jobs if each.job_id not in up]
        jobs.append(Waiting(job_id=JobId(f"late{seq}"), person="busy", seq=seq))
        seq, turns = seq + 1, turns + 1
    assert turns <= 2


@pytest.mark.parametrize("slots", [1, 2, 3, 10])
@given(ends=st.randoms(use_true_random=False), early=st.booleans())
@settings(max_examples=20)
def test_nobody_waits_behind_more_than_one_of_two_hundred_for_each_slot(
    slots: int, ends: Random, *, early: bool
) -> None:
    """One person queues 200, ten others one each, before or after the first of those began."""
    flood, others = ["flood"] * 200, [f"p{number}" for number in range(10)]
    jobs, owner = wait(*flood, *others), dict[JobId, str]()
    owner |= {each.job_id: each.person for each in jobs}
    running: list[str] = ["flood"] * slots if early else []
    served, behind, turns = ({"flood": 1} if early else {}), 0, 1
    while any(each.person != "flood" for each in jobs):
        up = next_up(jobs, Counter(running), served, slots=slots - len(running))
        for job_id in up:
            turns += 1
            behind += owner[job_id] == "flood"
            running.append(owner[job_id])
            served[owner[job_id]] = turns
        jobs = [each for each in jobs if each.job_id not in up]
        running.pop(ends.randrange(len(running)))
    assert behind <= slots
