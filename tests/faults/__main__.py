"""Long outages of the video service, one fault at a time; prints what they cost.

Ten minutes each by the bot's clock, and calls may end before it goes on; about seven minutes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from bot.job import JobState
from bot.log import setup_logging
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faults import Operation
from bot.store import ledger
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.kit import (
    IMPATIENT,
    PATIENCE,
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
#: One look every fifteen seconds; once the two-thousandth power of two ended the bot.
LOOKS_IN_VAIN = 1100
EVERYTHING: tuple[Operation, ...] = ("create", "list", "get", "credits")
TIMES = 100_000

Break = Callable[[House, FaultProxy], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an outage cost, and how all came out."""

    calls: int
    posts: int
    recovered: float
    generations: int
    clips: int
    broken_rules: int

    @property
    def is_good(self) -> bool:
        """Each of the two jobs was paid once and delivered once."""
        return (self.generations, self.clips, self.broken_rules) == (2, 2, 0)


async def outage(begin: Break, *, steps: int, moment: float) -> Outcome:
    """One job runs when it begins, another is asked for meanwhile."""
    settings = SimulatorSettings(
        manual=True, same_clip=True, full_size=False, running_limit=None, creates_per_minute=None
    )
    clock, chat = MovableClock(), RecordingAdapter()
    with TemporaryDirectory() as folder:
        async with Simulator(settings, Faults()) as simulator, before(simulator.base_url) as wire:
            luma = {"base_url": through(wire, simulator.base_url), **IMPATIENT}
            config = to_test_config(Path(folder), simulator, luma=luma)
            async with running(config, simulator, chat, clock) as house:
                first = await house.ask("one fox")
                await until(house, first, JobState.GENERATING)
                await begin(house, wire)
                await wire.cut()
                second = await house.ask("two foxes")
                calls, posts = provider_calls(house), provider_calls(house, "POST")
                await pass_time(house, seconds=steps * STEP, step=STEP, moment=moment)
                calls = provider_calls(house) - calls
                posts = provider_calls(house, "POST") - posts
                simulator.faults.up()
                simulator.faults._replies.clear()
                await wire.mend()
                mended = clock.boottime()
                await until(house, second, JobState.GENERATING)
                recovered = clock.boottime() - mended
                await finish_all(simulator)
                for job_id in (first, second):
                    await until(house, job_id, JobState.DELIVERED)
                return Outcome(
                    calls=calls,
                    posts=posts,
                    recovered=recovered,
                    generations=len(simulator.generations),
                    clips=len(chat.clips()),
                    broken_rules=len(await house.app.database.read(ledger.broken_invariants)),
                )


def wire_breaks(fault: Fault) -> Break:
    """The wire does this."""

    async def begin(_: House, wire: FaultProxy) -> None:
        await wire.break_(fault)

    return begin


async def is_down(house: House, _: FaultProxy) -> None:
    """Everything is answered 503."""
    house.simulator.faults.down()


async def too_many(house: House, _: FaultProxy) -> None:
    """Everything is answered 429."""
    for each in EVERYTHING:
        house.simulator.faults.too_many(each, times=TIMES)


async def bad_key(house: House, _: FaultProxy) -> None:
    """Everything is answered 401."""
    for each in EVERYTHING:
        house.simulator.faults.refuse(each, 401, "Invalid API key is provided", times=TIMES)


async def main() -> int:
    """Try all, and say whether all came out well."""
    setup_logging("critical")
    steps, is_good = round(MINUTES * 60 / STEP), True
    tries: list[tuple[str, Break, int, float]] = [
        (fault, wire_breaks(fault), steps, MOMENT) for fault in get_args(Fault)
    ]
    tries += [("503", is_down, steps, MOMENT), ("429", too_many, steps, MOMENT)]
    tries += [("401, for hours", bad_key, LOOKS_IN_VAIN, 0.01)]
    print("| fault | minutes | calls a minute | POSTs | s to go on | generations | clips |")
    print("|---|---|---|---|---|---|---|")
    for name, begin, count, moment in tries:
        found, minutes = await outage(begin, steps=count, moment=moment), count * STEP / 60
        is_good = is_good and found.is_good
        print(
            f"| {name} | {minutes:.0f} | {found.calls / minutes:.1f} | {found.posts} "
            f"| {found.recovered:.0f} | {found.generations} | {found.clips} |",
            flush=True,
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
