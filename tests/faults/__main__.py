"""Long outages of the video service and of Discord, one fault at a time; prints what they cost.

Ten minutes each by the bot's clock, and calls may end before it goes on; twenty minutes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from bot.job import JobState
from bot.log import setup_logging
from bot.simulator import Faults, Simulator
from bot.simulator.faults import Operation
from bot.store import ledger
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults import discord
from tests.faults.outages import (
    IMPATIENT,
    PATIENCE,
    Outcome,
    before,
    finish_all,
    pass_time,
    provider_calls,
    through,
    until,
)
from tests.faults.proxy import Fault, FaultProxy

STEP, MINUTES = 15.0, 10
#: A call that is never answered, asked twice, is over by then.
MOMENT = PATIENCE * 2.5
#: A clip's host may say nothing for half a minute; so a silent one is met three times and more.
PATIENT = 3.0
SILENT: tuple[Fault, ...] = ("drop", "half-open", "freeze")
#: One look every fifteen seconds; once the two-thousandth power of two ended the bot.
LOOKS_IN_VAIN = 1100
EVERYTHING: tuple[Operation, ...] = ("create", "list", "get", "credits")
TIMES = 100_000

Break = Callable[[RunningBot, FaultProxy], Awaitable[None]]


async def outage(begin: Break, *, steps: int, moment: float) -> Outcome:
    """One job runs when it begins, another is asked for meanwhile."""
    settings = MANUAL
    clock, chat = MovableClock(), RecordingAdapter()
    with TemporaryDirectory() as folder:
        async with Simulator(settings, Faults()) as simulator, before(simulator.base_url) as wire:
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
                simulator.faults.up()
                simulator.faults._replies.clear()
                await wire.mend()
                await wire.cut()
                mended = clock.boottime()
                await until(bot, second, JobState.GENERATING)
                recovered = clock.boottime() - mended
                await finish_all(simulator)
                for job_id in (first, second):
                    await until(bot, job_id, JobState.DELIVERED)
                return Outcome(
                    calls=calls,
                    posts=posts,
                    recovered=recovered,
                    generations=len(simulator.generations),
                    clips=len(chat.clips()),
                    broken_rules=len(await bot.app.database.read(ledger.broken_invariants)),
                )


def wire_breaks(fault: Fault) -> Break:
    """The wire does this."""

    async def begin(_: RunningBot, wire: FaultProxy) -> None:
        await wire.break_(fault)

    return begin


def no_clip_comes(fault: Fault) -> Break:
    """The wire does this to the first one's clip, which is there to be fetched."""

    async def begin(bot: RunningBot, wire: FaultProxy) -> None:
        await wire.break_(fault, only="/cdn/")
        await finish_all(bot.simulator)

    return begin


async def is_down(bot: RunningBot, _: FaultProxy) -> None:
    """Everything is answered 503."""
    bot.simulator.faults.down()


async def too_many(bot: RunningBot, _: FaultProxy) -> None:
    """Everything is answered 429."""
    for each in EVERYTHING:
        bot.simulator.faults.too_many(each, times=TIMES)


async def bad_key(bot: RunningBot, _: FaultProxy) -> None:
    """Everything is answered 401."""
    for each in EVERYTHING:
        bot.simulator.faults.refuse(each, 401, "Invalid API key is provided", times=TIMES)


async def main() -> int:
    """Try all, and say whether all came out well."""
    setup_logging("critical")
    steps = round(MINUTES * 60 / STEP)
    tries: list[tuple[str, Break, int, float]] = [
        (fault, wire_breaks(fault), steps, MOMENT) for fault in get_args(Fault)
    ]
    tries += [("503", is_down, steps, MOMENT), ("429", too_many, steps, MOMENT)]
    tries += [("401, for hours", bad_key, LOOKS_IN_VAIN, 0.01)]
    tries += [(f"{each}, of a clip", no_clip_comes(each), steps, PATIENT) for each in SILENT]
    print("| fault | minutes | calls a minute | POSTs | s to go on | generations | clips |")
    print("|---|---|---|---|---|---|---|")
    are_good = [
        tell(name, await outage(begin, steps=count, moment=moment), minutes=count * STEP / 60)
        for name, begin, count, moment in tries
    ]
    for name, breaks, scheme, host in discord.ROWS:
        found = await discord.outage(breaks, scheme, host, steps=steps, moment=MOMENT)
        are_good.append(tell(f"Discord: {name}", found, minutes=MINUTES))
    return 0 if all(are_good) else 1


def tell(name: str, found: Outcome, *, minutes: float) -> bool:
    """Print how one came out; whether that was well."""
    print(
        f"| {name} | {minutes:.0f} | {found.calls / minutes:.1f} | {found.posts} "
        f"| {found.recovered:.0f} | {found.generations} | {found.clips} |",
        flush=True,
    )
    return found.is_good


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
