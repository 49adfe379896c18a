"""The operator's own check out of order for ten minutes: nothing that it has not seen is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.errors import NotChecked
from bot.job import JobState
from bot.moderators import HookModerator
from bot.simulator import Faults, Simulator
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.outages import (
    STEP,
    Allowed,
    Outcome,
    Row,
    finish_all,
    look,
    pass_time,
    sum_up,
    until,
)
from tests.faults.reach import ANSWERED, BY_ADDRESS, ON_THE_WIRE, Reach, Way, reached

#: An answer through a wire that is slow is in time; one that never comes is soon given up.
PATIENCE = 1.0
#: Once all is well, however busy the machine is.
AGES = 30.0
#: Each request is put to it once, and nobody comes back by himself. Two are taken at
#: once, which on a busy machine is within two seconds.
ALLOWED = Allowed(party="hook", calls=1, posts=1, seconds=2, is_named=False)


async def _allow(_: web.Request) -> web.Response:
    return web.json_response({"allow": True})


@asynccontextmanager
async def checked(folder: Path, way: Way) -> AsyncIterator[tuple[RunningBot, Reach]]:
    """A bot whose requests are checked."""
    app = web.Application()
    app.router.add_post("/check", _allow)
    async with Simulator(MANUAL, Faults()) as simulator, TestServer(app) as server:
        url = str(server.make_url("/check"))
        async with reached(folder, url, scheme=way.scheme, host=way.host) as reach:
            hook = {
                "hook_url": reach.to(url),
                "hook_secret": "a-secret-of-the-hook",
                "hook_timeout_seconds": PATIENCE,
            }
            config = to_test_config(folder, simulator, moderation=hook)
            async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
                yield bot, reach


async def outage(way: Way, *, steps: int, moment: float) -> Outcome:
    """Two ask for something when it begins, and again once it is over."""
    with TemporaryDirectory() as folder:
        async with checked(Path(folder), way) as (bot, reach):
            await way.begin(reach)
            await reach.wire.cut()
            is_let_through = [await _is_let_through(bot, key) for key in ("one", "two")]
            assert set(is_let_through) == {way.name == "slow"}, "what is not checked is not made"
            await pass_time(bot, seconds=steps * STEP, step=STEP, moment=moment)
            calls, during = list(reach.wire.calls), await look(bot)
            await reach.mend()
            wait(bot, AGES)
            mended = bot.clock.boottime()
            if not bot.jobs:
                for key in ("one", "two"):
                    await bot.submit(key=f"{key} again")
            recovered = bot.clock.boottime() - mended
            await bot.simulator.wait_for_creates(2)
            for job_id in bot.jobs:
                await until(bot, job_id, JobState.GENERATING)
            await finish_all(bot.simulator)
            for job_id in bot.jobs:
                await until(bot, job_id, JobState.DELIVERED)
            return await sum_up(
                bot,
                clips=len(bot.chat.clips()),
                allowed=ALLOWED,
                minutes=steps * STEP / 60,
                calls=len(calls),
                posts=len(calls),
                recovered=recovered,
                during=during,
            )


def wait(bot: RunningBot, seconds: float) -> None:
    """So long an answer may take from now on."""
    [*_, moderator] = bot.studio._context.moderators
    assert isinstance(moderator, HookModerator)
    moderator._seconds = seconds


async def _is_let_through(bot: RunningBot, key: str) -> bool:
    try:
        await bot.submit(key=key)
    except NotChecked:
        return False
    return True


ROWS = tuple(
    # Nobody asks it by himself, so there is nothing to wait for.
    Row(name=f"Hook: {each.name}", play=partial(outage, each), moment=0.05)
    for each in (*ON_THE_WIRE, *ANSWERED, *BY_ADDRESS)
)
