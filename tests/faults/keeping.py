"""What a finished clip needs out of order for ten minutes: the host it comes from, our bucket.

One generation is done when that begins, and another one is asked for once it is over.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from urllib.parse import urlsplit

from bot.job import JobState
from bot.media import open_media
from bot.refs import JobId
from bot.simulator import Faults, Simulator
from tests import fakes
from tests.bucket import ACCESS_KEY, NAME, REGION, SECRET_KEY, Bucket
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.outages import (
    PATIENCE,
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
from tests.faults.reach import ANSWERED, BY_ADDRESS, HERE, ON_THE_WIRE, Reach, Way, reached
from tests.faults.reach import NAME as HOST

#: Pauses between fetches double: after ten minutes there may be one of 512 s. Each fetch asks a
#: few times, with pauses of true seconds, in which our clock goes on. `/readyz` names no host of
#: clips.
ALLOWED = Allowed(party="clips", calls=15, posts=0, seconds=600, is_named=False)
#: Once all is well, however busy the machine is.
AGES = 30.0
#: What ends a call only when its time is over.
SILENT = ("blackhole", "drop", "freeze", "drip")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A bot with a way that breaks; `ask` makes a generation whose clip has to go that way.

    `look_up` looks for the party's name once more, where nobody does that by himself. `wait` says
    how many seconds a call may take.
    """

    bot: RunningBot
    reach: Reach
    ask: Callable[[str], Awaitable[JobId]]
    look_up: Callable[[], None] = lambda: None
    wait: Callable[[float], None] = lambda _: None


OpenScene = Callable[[Path, Way], AbstractAsyncContextManager[Scene]]


@asynccontextmanager
async def clip_host(folder: Path, way: Way) -> AsyncIterator[Scene]:
    """The clips come from a host of their own."""
    async with (
        Simulator(MANUAL, Faults()) as simulator,
        reached(folder, simulator.base_url, scheme=way.scheme, host=way.host) as reach,
        running(
            to_test_config(folder, simulator), simulator, RecordingAdapter(), MovableClock()
        ) as bot,
    ):
        guard = bot.app._clips._guard
        guard._trusted |= {HOST}
        there = urlsplit(reach.to(simulator.base_url))

        async def ask(prompt: str) -> JobId:
            job_id = await _asked(bot, prompt)
            [*_, made] = simulator.generations.values()
            made.origin = f"{there.scheme}://{there.netloc}"
            return job_id

        def wait(seconds: float) -> None:
            guard._seconds = seconds

        yield Scene(bot=bot, reach=reach, ask=ask, wait=wait)


@asynccontextmanager
async def bucket(folder: Path, way: Way) -> AsyncIterator[Scene]:
    """The clips are kept in a bucket.

    Its driver asks the system for names, which knows none of ours: so only a lost one is one.
    """
    async with (
        Simulator(MANUAL, Faults()) as simulator,
        Bucket() as place,
        reached(folder, place.endpoint, scheme=way.scheme, host=way.host) as reach,
    ):
        there = reach.to(place.endpoint)
        keys = {
            "AWS_ENDPOINT_URL": there.replace(HOST, HERE),
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            # It trusts what the system says, which is where this leads.
            "SSL_CERT_FILE": str(reach.authority.file),
        }
        config = to_test_config(folder, simulator, bot={"media_url": f"s3://{NAME}"})
        with patch.dict(os.environ, keys):
            async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
                media = bot.app._media
                found = media._store
                lost = open_media(f"s3://{NAME}", folder, options={"endpoint": there})._store

                def look_up() -> None:
                    media._store = lost if reach.lost else found

                yield Scene(bot=bot, reach=reach, ask=partial(_asked, bot), look_up=look_up)


async def _asked(bot: RunningBot, prompt: str) -> JobId:
    job_id = await bot.ask(prompt)
    await until(bot, job_id, JobState.GENERATING)
    return job_id


async def outage(
    open_scene: OpenScene, way: Way, allowed: Allowed, *, steps: int, moment: float
) -> Outcome:
    """One of so many steps."""
    with TemporaryDirectory() as folder:
        async with open_scene(Path(folder), way) as at:
            bot, wire = at.bot, at.reach.wire
            first = await at.ask("one fox")
            at.wait(PATIENCE)
            await way.begin(at.reach)
            at.look_up()
            await wire.cut()
            known = len(wire.calls)
            await finish_all(bot.simulator)
            await pass_time(bot, seconds=steps * STEP, step=STEP, moment=moment)
            if allowed.is_named:
                # The driver of a bucket tries a few times, by true time.
                await fakes.until(lambda: bot.app._media.trouble)
            calls, during = len(wire.calls) - known, await look(bot)
            is_kept = (await bot.job(first)).state is JobState.DELIVERED
            # A bucket says little, so that even its drops may be all in time.
            is_open = way.name == "slow" or (is_kept and way.name == "drip")
            assert is_kept == is_open, "what is slow comes, and nothing else"
            await at.reach.mend()
            at.wait(AGES)
            at.look_up()
            mended = bot.clock.boottime()
            await until(bot, first, JobState.DELIVERED, moment=0.1)
            recovered = bot.clock.boottime() - mended
            second = await at.ask("two foxes")
            await finish_all(bot.simulator)
            await until(bot, second, JobState.DELIVERED)
            return await sum_up(
                bot,
                clips=len(bot.chat.clips()),
                allowed=allowed,
                minutes=steps * STEP / 60,
                calls=calls,
                posts=0,
                recovered=recovered,
                during=during,
            )


def _to_row(party: str, open_scene: OpenScene, way: Way) -> Row:
    """Of the two the readiness names only the bucket, which is ours, once a call has failed."""
    allowed = replace(ALLOWED, party=party)
    if open_scene is bucket and way.name != "slow":
        allowed = replace(ALLOWED, party="media", is_named=None if way.name in SILENT else True)
    return Row(name=f"{party}: {way.name}", play=partial(outage, open_scene, way, allowed))


ROWS = tuple(
    _to_row(party, open_scene, each)
    for party, open_scene in (("Clip host", clip_host), ("Bucket", bucket))
    for each in (*ON_THE_WIRE, *ANSWERED, *BY_ADDRESS)
)
