"""A chat platform out of order for a while, whichever it is.

A clip is done when that begins, and another one is asked for once it is over.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sized
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bot.job import JobState
from bot.refs import JobId
from tests.conftest import RunningBot
from tests.faults.outages import (
    PATIENCE,
    STEP,
    Allowed,
    Outcome,
    Row,
    finish_all,
    look,
    sum_up,
)
from tests.faults.reach import BY_ADDRESS, Reach, Way

#: What Slack's library asks to be connected again, at a pace that tests have made quick.
CONNECTS = re.compile(r" /(link|api/apps\.connections\.open)\b")


class Community(Protocol):
    """A place on the platform, with the bot in it."""

    bot: RunningBot

    def later(self, **by: float) -> None:
        """Time passes, for the platform and for the bot."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A bot whose platform is behind a way that breaks.

    `clips` are those that everyone sees, wherever they were asked for. `wait` says how many
    seconds a call may take, None: as outside of tests. `answers` are what the platform can begin
    to say to everything; `answer_well` ends that. `is_back` tells whether it goes on, None: once
    a clip is there, which waited for that. `try_` is what somebody tries as soon as it is out of
    order.
    """

    community: Community
    reach: Reach
    clips: Callable[[], Sized]
    ask: Callable[[str], Awaitable[JobId]]
    wait: Callable[[float | None], None]
    forget_names: Callable[[], None]
    answers: Mapping[str, Callable[[], None]]
    answer_well: Callable[[], None]
    is_back: Callable[[], object] | None = None
    try_: Callable[[], Awaitable[None]] | None = None


class OpenScene(Protocol):
    """Sets a scene up in a folder, for a way to break that wants this address."""

    def __call__(
        self, folder: Path, *, scheme: str, host: str
    ) -> AbstractAsyncContextManager[Scene]: ...


async def nothing(_: Reach) -> None:
    """The way is well: it is the platform that says something else."""


async def _begin(at: Scene, way: Way) -> None:
    """From now on it is out of order."""
    at.wait(PATIENCE)
    at.answers.get(way.name, _say_nothing)()
    await way.begin(at.reach)
    at.forget_names()
    await at.reach.wire.cut()
    at.reach.wire.calls.clear()


def _say_nothing() -> None:
    """It answers as ever, where anything reaches it."""


async def _end(at: Scene) -> None:
    at.wait(None)
    at.answer_well()
    await at.reach.mend()


async def outage(
    open_scene: OpenScene, way: Way, allowed: Allowed, *, steps: int, moment: float
) -> Outcome:
    """One of so many steps."""
    with TemporaryDirectory() as folder:
        async with open_scene(Path(folder), scheme=way.scheme, host=way.host) as at:
            community, bot = at.community, at.community.bot
            first = await at.ask("one fox")
            await _begin(at, way)
            if at.try_ is not None:
                await at.try_()
            await finish_all(bot.simulator)
            for _ in range(steps):
                community.later(seconds=STEP)
                await asyncio.sleep(moment)
            calls = [each for each in at.reach.wire.calls if not CONNECTS.search(each)]
            during = await look(bot)
            is_deaf = at.is_back is not None
            assert way not in BY_ADDRESS or is_deaf or not at.clips(), "nothing gets there"
            await _end(at)
            mended = bot.clock.boottime()
            async with asyncio.timeout(30):
                while not (at.is_back or at.clips)():
                    await _go_on(community)
            recovered = bot.clock.boottime() - mended
            second = await at.ask("two foxes")
            await finish_all(bot.simulator)
            for job_id in (first, second):
                await _delivered(community, job_id)
            return await sum_up(
                bot,
                clips=len(at.clips()),
                allowed=allowed,
                minutes=steps * STEP / 60,
                calls=len(calls),
                posts=sum(each.startswith("POST") for each in calls),
                recovered=recovered,
                during=during,
            )


async def _delivered(community: Community, job_id: JobId) -> None:
    async with asyncio.timeout(30):
        while (await community.bot.job(job_id)).state is not JobState.DELIVERED:
            await _go_on(community)


async def _go_on(community: Community) -> None:
    """Let a few seconds pass, once nobody is in the midst of a step: that would take them all."""
    await community.bot.clock.let_pass(moment=0)
    community.later(seconds=6)
    await asyncio.sleep(0.02)


def to_row(party: str, open_scene: OpenScene, way: Way, allowed: Allowed) -> Row:
    """This way to break, as `make faults` has it."""
    return Row(name=f"{party}: {way.name}", play=partial(outage, open_scene, way, allowed))
