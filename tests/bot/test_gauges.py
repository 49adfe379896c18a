"""The figures say of money and time what the books and the events say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.conftest import House
from tests.fakes import to_requester


def figure(house: House, name: str, **labels: str) -> float:
    """One figure as the page shows it now; 0 where it is not there yet."""
    return house.app._metrics.registry.get_sample_value(f"raybot_{name}", labels) or 0.0


async def measured(house: House, name: str, value: float, **labels: str) -> None:
    """Wait for the look that shows it; there is one every 15 s."""
    async with asyncio.timeout(10):
        while round(figure(house, name, **labels), 6) != value:
            house.clock.move(seconds=15)
            await asyncio.sleep(0.02)


async def test_money_is_held_then_charged_and_each_part_of_a_job_has_its_time(
    house: House,
) -> None:
    job_id = await house.ask()
    await house.simulator.wait_for_creates(1)
    plan = (await house.job(job_id)).plan
    assert plan is not None
    await measured(house, "held_usd", plan.hold / 1e6)
    [generation] = house.simulator.generations
    await house.simulator.finish(generation)
    cost = (await house.delivered(job_id)).cost
    await measured(house, "charged_usd", cost / 1e6, provider="luma", model="ray-flash-2")
    await measured(house, "held_usd", 0)
    for part in ("wait", "make", "deliver"):
        await measured(house, "job_seconds_count", 1, part=part)
    assert figure(house, "loop_stall_seconds_count") > 0


async def test_a_question_ages_nothing_until_it_is_answered(
    open_house: Callable[..., Any],
) -> None:
    house: House = await open_house(limits={"confirm_above_usd": 0.1})
    job_id = await house.ask()
    house.clock.move(minutes=40)
    await measured(house, "jobs", 1, state="received")
    assert figure(house, "oldest_open_job_seconds") == 0
    await house.studio.confirm(job_id, to_requester())
    await house.simulator.wait_for_creates(1)
    await measured(house, "jobs", 1, state="generating")
    assert 0 < figure(house, "oldest_open_job_seconds") < 600
