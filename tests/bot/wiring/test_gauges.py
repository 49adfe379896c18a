"""The figures say of money and time what the books and the events say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.conftest import RunningBot
from tests.fakes import to_requester

#: How often a figure is looked at before the next look at the rows is due.
PATIENCE = 200


def figure(bot: RunningBot, name: str, **labels: str) -> float:
    """One figure as the page shows it now; 0 where it is not there yet."""
    return bot.app._metrics.registry.get_sample_value(f"raybot_{name}", labels) or 0.0


async def measured(bot: RunningBot, name: str, value: float, **labels: str) -> None:
    """Wait for the look that shows it; there is one every 15 s."""

    def is_shown() -> bool:
        return round(figure(bot, name, **labels), 6) == value

    async with asyncio.timeout(30):
        while not is_shown():
            await bot.clock.let_pass(seconds=15)
            # However long that look takes, hours shall not seem to pass.
            for _ in range(PATIENCE):
                if is_shown():
                    break
                await asyncio.sleep(0.01)


async def test_money_is_held_then_charged_and_each_part_of_a_job_has_its_time(
    bot: RunningBot,
) -> None:
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    plan = (await bot.job(job_id)).plan
    assert plan is not None
    await measured(bot, "held_usd", plan.hold / 1e6)
    [generation] = bot.simulator.generations
    await bot.simulator.finish(generation)
    cost = (await bot.delivered(job_id)).cost
    await measured(bot, "charged_usd", cost / 1e6, provider="luma", model="ray-flash-2")
    await measured(bot, "held_usd", 0)
    for part in ("wait", "make", "deliver"):
        await measured(bot, "job_seconds_count", 1, part=part)
    assert figure(bot, "loop_stall_seconds_count") > 0


async def test_a_question_ages_nothing_until_it_is_answered(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(limits={"confirm_above_usd": 0.1})
    job_id = await bot.ask()
    bot.clock.move(minutes=40)
    await measured(bot, "jobs", 1, state="received")
    assert figure(bot, "oldest_open_job_seconds") == 0
    await bot.studio.confirm(job_id, to_requester())
    await bot.simulator.wait_for_creates(1)
    await measured(bot, "jobs", 1, state="generating")
    assert 0 < figure(bot, "oldest_open_job_seconds") < 600
