from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.simulator.account import Account, Generation, SimulatorSettings
from bot.simulator.order import ApiError, read_order

NOW = datetime(2026, 11, 22, 12, 0, 0, 388000, tzinfo=UTC)
BODY = {"model": "ray-flash-2", "prompt": "a red fox", "aspect_ratio": "16:9"}
ORIGIN = "http://127.0.0.1:4000"


def create(account: Account, **fields: Any) -> Generation:
    body = {**BODY, **fields}
    return account.create(read_order(body), body, NOW, ORIGIN)


def ids(page: dict[str, Any]) -> list[str]:
    return [each["id"] for each in page["generations"]]


def test_places_and_money_are_counted() -> None:
    account = Account(SimulatorSettings(balance_cents=100))
    kept, lost = create(account), create(account)
    cost = kept.order.cost_cents
    assert account.running == 2
    assert account.balance_cents == pytest.approx(100 - 2 * cost)

    account.end(kept, at=NOW + timedelta(seconds=40), failure=None)
    account.end(lost, at=NOW, failure="Job failed")

    assert account.running == 0
    assert account.balance_cents == pytest.approx(100 - cost)
    assert kept.completed_at == NOW + timedelta(seconds=40)
    assert (lost.completed_at, lost.failure_reason) == (None, "Job failed")


def test_the_last_credit_can_be_spent() -> None:
    cost = read_order(BODY).cost_cents
    account = Account(SimulatorSettings(balance_cents=2 * cost))
    create(account)
    create(account)
    with pytest.raises(ApiError) as caught:
        create(account)
    assert (caught.value.status, len(account.generations)) == (402, 2)


@pytest.mark.parametrize("limit", [1, 3])
def test_a_refused_create_takes_no_place(limit: int) -> None:
    account = Account(SimulatorSettings(running_limit=limit))
    made = [create(account) for _ in range(limit)]
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            create(account)
        assert caught.value.status == 429
    assert account.running == limit
    account.end(made[0], at=NOW, failure=None)
    create(account)


def test_without_limits_anything_goes() -> None:
    account = Account(SimulatorSettings(running_limit=None, creates_per_minute=None))
    for second in range(200):
        account.count_create(second / 1000)
        create(account)
    assert account.running == 200


def test_the_minute_slides() -> None:
    account = Account(SimulatorSettings(creates_per_minute=2))
    account.count_create(0)
    account.count_create(50)
    with pytest.raises(ApiError):
        account.count_create(59.9)
    account.count_create(60)
    with pytest.raises(ApiError):
        account.count_create(109)
    account.count_create(110)


def test_how_a_generation_reads() -> None:
    account = Account(SimulatorSettings())
    made = create(account, callback_url="https://example.org/callbacks/luma/secret/")
    assert made.token == "secret"
    assert made.to_json()["created_at"] == "2026-11-22T12:00:00.388000Z"
    assert made.to_json()["assets"] is None
    made.state = "completed"
    assert made.to_json()["assets"] == {
        "video": f"{ORIGIN}/cdn/{made.id}/result.mp4",
        "image": f"{ORIGIN}/cdn/{made.id}/thumb.jpg",
        "progress_video": None,
    }
    assert create(account).token is None


def test_the_echo_holds_all_that_was_sent_and_names_the_rest() -> None:
    account = Account(SimulatorSettings())
    echo = create(account, unheard_of=[1, 2]).request
    assert echo == {
        **BODY,
        "unheard_of": [1, 2],
        "generation_type": "video",
        "loop": False,
        "keyframes": None,
        "callback_url": None,
        "resolution": None,
        "duration": None,
        "concepts": None,
    }


def test_pages_leave_out_the_deleted_and_the_hidden() -> None:
    account = Account(SimulatorSettings())
    old, gone, young = create(account), create(account), create(account)
    gone.is_deleted = True
    young.hidden_lists = 1
    assert ids(account.page(10, 0)) == [old.id]
    assert ids(account.page(10, 0)) == [young.id, old.id]
    assert ids(account.page(1, 1)) == [old.id]
    assert account.page(0, 0)["has_more"] is True
    assert account.page(10, 5) == {
        "generations": [],
        "count": 0,
        "limit": 10,
        "offset": 5,
        "has_more": False,
    }
    with pytest.raises(ApiError) as caught:
        account.get(gone.id)
    assert caught.value.status == 404
    assert account.get(old.id) is old


def test_a_seed_gives_the_same_durations_again() -> None:
    lengths = []
    for seed in (1, 1, 2):
        account = Account(SimulatorSettings(seed=seed))
        lengths.append([create(account).seconds for _ in range(3)])
    assert lengths[0] == lengths[1] != lengths[2]


def test_the_median_is_the_median() -> None:
    settings = SimulatorSettings(median_seconds=45, sigma=0.5, speed=9)
    rng = random.Random(5)
    drawn = sorted(settings.draw_seconds(rng) for _ in range(2001))
    assert drawn[1000] == pytest.approx(5, rel=0.1)
    assert drawn[1900] > 1.8 * drawn[1000]
    made = create(Account(settings))
    assert (made.ready_at - made.created_at).total_seconds() == pytest.approx(made.seconds)
