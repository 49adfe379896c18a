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
from tests.faults.reach import BY_ADDRESS, HERE, ON_THE_WIRE, Reach, Way, reached
from tests.postgres import postgres_database

#: By true time: what is due is found by the server's clock, which nobody moves.
SECONDS, STEPS = 60.0, 40
#: Connections: of roles, ears, mouth and dispatcher one a second each, and those of who reads and
#: writes. What failed for a minute may be tried again a minute later.
ALLOWED = Allowed(party=DATABASE, calls=600, posts=0, seconds=90)
#: With TLS from the first byte on, as a wire speaks it that knows no protocol.
PROVED = {"sslmode": "verify-full", "sslnegotiation": "direct"}
#: For whoever waits for a job.
AGES = 120.0


@asynccontextmanager
async def on_postgres(folder: Path, way: Way) -> AsyncIterator[tuple[RunningBot, Reach]]:
    """A bot whose database is behind a wire, by the address that this way to break wants."""
    with postgres_database() as url:
        there = make_url(url)
        assert there.host is not None
        assert there.port is not None
        async with (
            Simulator(MANUAL, Faults()) as simulator,
            reached(
                folder, f"http://{there.host}:{there.port}", scheme=way.scheme, host=way.host
            ) as reach,
        ):
            named = there.set(host=way.host, port=reach.wire.port)
            if way.scheme == "https":
                trusted = {"sslrootcert": str(reach.authority.file)}
                named = named.update_query_dict(PROVED | trusted)
            table = {
                "database_url": named.render_as_string(hide_password=False),
                "single_host": True,
            }
            config = to_test_config(folder, simulator, bot=table)
            async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
                try:
                    yield bot, reach
                finally:
                    # A stop waits for what it writes.
                    await reach.mend()


async def outage(way: Way, *, steps: int, moment: float) -> Outcome:
    """One of so many steps."""
    with TemporaryDirectory() as folder:
        async with on_postgres(Path(folder), way) as (bot, reach):
            wire = reach.wire
            first = await bot.ask("one fox")
            await bot.until(first, JobState.GENERATING)
            known = wire.connections
            await way.begin(reach)
            if way.host != HERE:
                # What is connected needs no name.
                await wire.cut()
            await finish_all(bot.simulator)
            async with alongside(_is_taken(bot)) as asking:
                await asyncio.sleep(steps * moment)
                calls, during = wire.connections - known, await look(bot)
                await reach.mend()
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
                allowed=ALLOWED if way.name != "slow" else replace(ALLOWED, is_named=None),
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
        name=f"PostgreSQL: {each.name}",
        play=partial(outage, each),
        steps=STEPS,
        moment=SECONDS / STEPS,
    )
    for each in (*ON_THE_WIRE, *BY_ADDRESS)
)
