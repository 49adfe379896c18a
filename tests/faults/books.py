"""PostgreSQL behind a wire that breaks for a minute, while a job runs and another is asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from sqlalchemy import make_url

from bot.alongside import alongside
from bot.errors import StoreError
from bot.job import JobState
from bot.simulator import Faults, Simulator
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.outages import (
    DATABASE,
    Allowed,
    Outcome,
    Row,
    finish_all,
    look,
    sum_up,
)
from tests.faults.proxy import Fault, FaultProxy
from tests.postgres import postgres_database

#: By true time: what is due is found by the server's clock, which nobody moves.
SECONDS, STEPS = 60.0, 40
#: Connections: of roles, ears, mouth and dispatcher one a second each, and those of who reads and
#: writes. What failed for a minute may be tried again a minute later.
ALLOWED = Allowed(party=DATABASE, calls=600, posts=0, seconds=90)
#: For whoever waits for a job.
AGES = 120.0


@asynccontextmanager
async def on_postgres(folder: Path) -> AsyncIterator[tuple[RunningBot, FaultProxy]]:
    """A bot whose database is behind a wire."""
    with postgres_database() as url:
        there = make_url(url)
        assert there.host is not None
        assert there.port is not None
        async with (
            Simulator(MANUAL, Faults()) as simulator,
            FaultProxy(there.host, there.port) as wire,
        ):
            table = {
                "database_url": there.set(port=wire.port).render_as_string(hide_password=False),
                "single_host": True,
            }
            config = to_test_config(folder, simulator, bot=table)
            async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
                try:
                    yield bot, wire
                finally:
                    # A stop waits for what it writes.
                    await wire.mend()
                    await wire.cut()


async def outage(fault: Fault, *, steps: int, moment: float) -> Outcome:
    """One of so many steps."""
    with TemporaryDirectory() as folder:
        async with on_postgres(Path(folder)) as (bot, wire):
            first = await bot.ask("one fox")
            await bot.until(first, JobState.GENERATING)
            known = wire.connections
            await wire.break_(fault)
            await finish_all(bot.simulator)
            async with alongside(_is_taken(bot)) as asking:
                await asyncio.sleep(steps * moment)
                calls, during = wire.connections - known, await look(bot)
                await wire.mend()
                await wire.cut()
                mended = time.monotonic()
                is_taken = await asking
            while not is_taken:
                await asyncio.sleep(0.1)
                is_taken = await _is_taken(bot)
            [_, second] = bot.jobs
            await bot.until(first, JobState.DELIVERED, seconds=AGES)
            await bot.until(second, JobState.GENERATING, seconds=AGES)
            recovered = time.monotonic() - mended
            await finish_all(bot.simulator)
            await bot.until(second, JobState.DELIVERED, seconds=AGES)
            return await sum_up(
                bot,
                clips=len(bot.chat.clips()),
                allowed=ALLOWED if fault != "slow" else replace(ALLOWED, is_named=None),
                minutes=steps * moment / 60,
                calls=calls,
                posts=0,
                recovered=recovered,
                during=during,
            )


async def _is_taken(bot: RunningBot) -> bool:
    """Ask for the second; whoever is told that it was not taken asks for the same again."""
    try:
        await bot.ask("two foxes")
    except StoreError:
        return False
    return True


ROWS = tuple(
    Row(
        name=f"PostgreSQL: {each}",
        play=partial(outage, each),
        steps=STEPS,
        moment=SECONDS / STEPS,
    )
    for each in get_args(Fault)
)
