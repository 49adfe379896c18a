"""The host of an image's link out of order for ten minutes: who gave it is told, and pays nothing.

The link leads to this machine, which is trusted here as the hosts of services are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.errors import FrameRejected
from bot.job import JobState
from bot.request import LinkFrame
from bot.simulator import Faults, Simulator
from tests import rendered
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
from tests.faults.reach import ANSWERED, BY_ADDRESS, HERE, NAME, ON_THE_WIRE, Reach, Way, reached

#: An answer through a wire that is slow is in time; one that never comes is soon given up.
PATIENCE = 1.0
#: Nobody hears for longer that nothing comes of it, on however busy a machine.
AGES = 30.0
#: Each link is opened once, and nobody comes back by himself. Two are taken at once, which a busy
#: machine takes its time for.
ALLOWED = Allowed(party="links", calls=1, posts=0, seconds=10, is_named=False)


async def _fox(_: web.Request) -> web.Response:
    return web.Response(body=rendered.png(400, 300))


@asynccontextmanager
async def linked(folder: Path, way: Way) -> AsyncIterator[tuple[RunningBot, Reach, LinkFrame]]:
    """A bot whose people have a link to an image."""
    app = web.Application()
    app.router.add_get("/fox.png", _fox)
    async with Simulator(MANUAL, Faults()) as simulator, TestServer(app) as server:
        url = str(server.make_url("/fox.png"))
        async with (
            reached(folder, url, scheme=way.scheme, host=way.host) as reach,
            running(
                to_test_config(folder, simulator), simulator, RecordingAdapter(), MovableClock()
            ) as bot,
        ):
            _wait(bot, PATIENCE)
            bot.app._frames._guard._trusted = frozenset({HERE, NAME})
            yield bot, reach, LinkFrame(url=reach.to(url))


async def outage(way: Way, *, steps: int, moment: float) -> Outcome:
    """Two give a link when it begins, and again once it is over."""
    with TemporaryDirectory() as folder:
        async with linked(Path(folder), way) as (bot, reach, link):
            await way.begin(reach)
            await reach.wire.cut()
            refusals = [await _refusal(bot, link, key) for key in ("one", "two")]
            is_open = way.name == "slow"
            assert all(_is_clear(each) for each in refusals) != is_open, refusals
            await pass_time(bot, seconds=steps * STEP, step=STEP, moment=moment)
            assert await _is_charged(bot) == is_open
            calls, during = list(reach.wire.calls), await look(bot)
            await reach.mend()
            _wait(bot, AGES)
            mended = bot.clock.boottime()
            if not is_open:
                assert not bot.simulator.generations
                for key in ("one", "two"):
                    await bot.submit(key=f"{key} again", start_frame=link)
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
                posts=0,
                recovered=recovered,
                during=during,
            )


def _wait(bot: RunningBot, seconds: float) -> None:
    """So long an answer may take from now on."""
    frames = bot.app._frames
    frames._link_seconds = frames._guard._seconds = seconds


async def _refusal(bot: RunningBot, link: LinkFrame, key: str) -> str:
    """What whoever gives this link reads; nothing where it is taken."""
    try:
        async with asyncio.timeout(AGES):
            await bot.submit(key=key, start_frame=link)
    except FrameRejected as error:
        return error.sentence
    return ""


def _is_clear(sentence: str) -> bool:
    """Whether it says what is wrong, and what else can be done."""
    return "image's link" in sentence and "attach the image" in sentence


async def _is_charged(bot: RunningBot) -> bool:
    return await bot.app.database.read(
        lambda conn: bool(conn.exec_driver_sql("SELECT count(*) FROM ledger_entries").scalar())
    )


ROWS = tuple(
    # Nobody opens it by himself, so there is nothing to wait for.
    Row(name=f"Image link: {each.name}", play=partial(outage, each), moment=0.05)
    for each in (*ON_THE_WIRE, *ANSWERED, *BY_ADDRESS)
)
