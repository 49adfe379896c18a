"""Where a job goes that its provider certainly did not take, and for what price unasked."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from bot.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.job import Plan, Route
from bot.refs import Micros, Price
from bot.request import VideoWork
from bot.routing.failover import Failover, explain, may_leave, move, without_alternatives

WORK = VideoWork(prompt="a red fox")


def route(provider: str, cents: int, *, rate: int = 0) -> Route:
    return Route(
        provider=provider, work=WORK, price=Price(micros=Micros(cents * 10_000)), rate=rate
    )


def plan(first: Route, *others: Route, hold: int = 1_000_000) -> Plan:
    return Plan(**dict(first), hold=Micros(hold), others=others)


def failover(*open_ones: str, confirm_above_usd: float | None = 1.0) -> Failover:
    names: Collection[str] = open_ones
    return Failover(
        is_open=lambda name: name in names,
        is_well=lambda name: name in names,
        confirm_above_usd=confirm_above_usd,
        moved=lambda *_: None,
    )


ALL = plan(route("luma", 14), route("fal", 20), route("comfy", 120), route("dear", 130))


@pytest.mark.parametrize(
    ("error", "leaves"),
    [
        (ProviderAuthError(provider="luma"), True),
        (ProviderOutOfCredits(provider="luma"), True),
        (ProviderRetired(provider="luma"), True),
        (ProviderUnavailable(provider="luma"), True),
        (ProviderUnavailable(provider="luma", retry_after=7), False),
        (ProviderRejected(provider="luma", code="moderation"), False),
        (SubmissionUncertain(provider="luma"), False),
        (None, False),
    ],
)
def test_a_job_leaves_only_what_certainly_did_not_take_it(
    error: ProviderError | None, leaves: bool
) -> None:
    assert may_leave(error) is leaves


def test_the_first_way_that_is_open_is_taken() -> None:
    assert failover("fal", "comfy").next(ALL) == ALL.others[0]
    assert failover("luma").next(ALL) is None, "the one it waits for is no other way"


def test_nobody_pays_more_than_they_agreed_to_without_being_asked() -> None:
    only_dear = failover("comfy", "dear")
    assert only_dear.next(ALL) is None
    assert only_dear.offer(ALL) == ALL.others[1]
    assert failover("fal", "comfy").offer(ALL) is None, "where another way is free to take"
    confirmed = plan(route("luma", 125), route("comfy", 120), route("dear", 130))
    assert only_dear.next(confirmed) == confirmed.others[0]
    assert failover("dear").offer(confirmed) == confirmed.others[1]
    assert failover("dear", confirm_above_usd=None).next(ALL) == ALL.others[2]


def test_what_was_agreed_to_once_is_agreed_to() -> None:
    dear = plan(route("luma", 300), route("fal", 150), route("comfy", 310))
    moved = move(dear, dear.others[0])
    assert (moved.provider, [each.provider for each in moved.others]) == ("fal", ["comfy", "luma"])
    assert moved.detour.startswith("luma takes nothing right now")
    back = failover("luma").next(moved)
    assert back is not None
    assert back.provider == "luma", "three dollars were agreed to at the start"
    assert failover("comfy").next(moved) is None


def test_a_line_goes_only_where_it_works_and_one_alone_may_try() -> None:
    half_open = Failover(
        is_open=lambda _: True,
        is_well=lambda name: name == "comfy",
        confirm_above_usd=None,
        moved=lambda *_: None,
    )
    first, line = half_open.next(ALL), half_open.next_of_line(ALL)
    assert (first and first.provider, line and line.provider) == ("fal", "comfy")


def test_an_offer_stands_while_it_is_needed_and_can_be_kept() -> None:
    asked = ALL.model_copy(update={"offered": ALL.others[1]})
    assert failover("comfy").may_take_offer(asked)
    assert not failover("dear").may_take_offer(asked), "it takes nothing any more"
    assert not failover("luma", "comfy").may_take_offer(asked), "its own takes jobs again"
    assert not failover("comfy").may_take_offer(ALL), "nothing was offered"


def test_alone_holds_what_its_own_price_asks_for() -> None:
    by_pixels = plan(route("luma", 14, rate=2200), route("fal", 20))
    assert (without_alternatives(by_pixels).hold, without_alternatives(by_pixels).others) == (
        156_800,
        (),
    )
    by_clip = plan(route("fal", 20), route("luma", 14, rate=2200))
    assert without_alternatives(by_clip).hold == 200_000


def test_its_person_reads_who_makes_it_and_what_that_changes() -> None:
    said = explain(route("fal", 20), route("luma", 14))
    assert said == "luma takes nothing right now, so fal makes it, for $0.20 instead of $0.14."
    same = explain(route("comfy", 14), route("luma", 14))
    assert same == "luma takes nothing right now, so comfy makes it."
