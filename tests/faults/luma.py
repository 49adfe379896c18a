"""The video service out of order for ten minutes of the bot's clock, one fault at a time.

One job runs when that begins, another is asked for meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from bot.budget import OPERATOR_PAUSE_SECONDS
from bot.job import JobState
from bot.simulator import Faults, Simulator
from bot.simulator.faults import Operation
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.outages import (
    IMPATIENT,
    STEP,
    Allowed,
    Outcome,
    Row,
    before,
    finish_all,
    look,
    pass_time,
    provider_calls,
    sum_up,
    through,
    until,
)
from tests.faults.proxy import Fault, FaultProxy

#: One look every fifteen seconds; once the two-thousandth power of two ended the bot.
LOOKS_IN_VAIN = 1100
EVERYTHING: tuple[Operation, ...] = ("create", "list", "get", "credits")
TIMES = 100_000
#: A look every fifteen seconds is asked three times at most, and whoever is in doubt looks, too.
#: Submissions wait for the circuit, whose longest pause is two minutes.
ALLOWED = Allowed(party="luma", calls=20, posts=6, seconds=150)

#: With a key that is refused a submission waits five minutes for the operator.
REFUSED = replace(ALLOWED, seconds=OPERATOR_PAUSE_SECONDS + 90)

Break = Callable[[RunningBot, FaultProxy], Awaitable[None]]


async def outage(begin: Break, allowed: Allowed, *, steps: int, moment: float) -> Outcome:
    """One of so many steps."""
    clock, chat = MovableClock(), RecordingAdapter()
    with TemporaryDirectory() as folder:
        async with Simulator(MANUAL, Faults()) as simulator, before(simulator.base_url) as wire:
            luma = {"base_url": through(wire, simulator.base_url), **IMPATIENT}
            config = to_test_config(Path(folder), simulator, luma=luma)
            async with running(config, simulator, chat, clock) as bot:
                first = await bot.ask("one fox")
                await until(bot, first, JobState.GENERATING)
                await begin(bot, wire)
                await wire.cut()
                second = await bot.ask("two foxes")
                calls, posts = provider_calls(bot), provider_calls(bot, "POST")
                await pass_time(bot, seconds=steps * STEP, step=STEP, moment=moment)
                calls = provider_calls(bot) - calls
                posts = provider_calls(bot, "POST") - posts
                during = await look(bot)
                await _mend(simulator, wire)
                mended = clock.boottime()
                await until(bot, second, JobState.GENERATING)
                recovered = clock.boottime() - mended
                await finish_all(simulator)
                for job_id in (first, second):
                    await until(bot, job_id, JobState.DELIVERED)
                return await sum_up(
                    bot,
                    clips=len(chat.clips()),
                    allowed=allowed,
                    minutes=steps * STEP / 60,
                    calls=calls,
                    posts=posts,
                    recovered=recovered,
                    during=during,
                )


async def _mend(simulator: Simulator, wire: FaultProxy) -> None:
    simulator.faults.up()
    simulator.faults._replies.clear()
    await wire.mend()
    await wire.cut()


def _wire_breaks(fault: Fault) -> Break:
    async def begin(_: RunningBot, wire: FaultProxy) -> None:
        await wire.break_(fault)

    return begin


async def _is_down(bot: RunningBot, _: FaultProxy) -> None:
    bot.simulator.faults.down()


async def _too_many(bot: RunningBot, _: FaultProxy) -> None:
    for each in EVERYTHING:
        bot.simulator.faults.too_many(each, times=TIMES)


async def _bad_key(bot: RunningBot, _: FaultProxy) -> None:
    for each in EVERYTHING:
        bot.simulator.faults.refuse(each, 401, "Invalid API key is provided", times=TIMES)


def _to_row(name: str, begin: Break, allowed: Allowed = ALLOWED) -> Row:
    return Row(name=f"Luma: {name}", play=partial(outage, begin, allowed))


ROWS = (
    *(
        # What is slow is just within our patience, or just not.
        _to_row(each, _wire_breaks(each), replace(ALLOWED, is_named=None))
        if each == "slow"
        else _to_row(each, _wire_breaks(each))
        for each in get_args(Fault)
    ),
    _to_row("503", _is_down),
    _to_row("429", _too_many),
    replace(_to_row("401, for hours", _bad_key, REFUSED), steps=LOOKS_IN_VAIN, moment=0.01),
)
