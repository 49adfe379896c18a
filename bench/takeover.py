"""Three processes on PostgreSQL, of which one is killed or lost: when the others go on.

Plays what `make replicas` plays, before the whole local Discord and Slack, while people ask.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from bench.children import ChildFailed
from bench.figures import Figure, number
from bench.options import RunOptions
from bench.workspace import temporary_workspace
from tests.replicas import stories
from tests.replicas.cluster import Cluster, cluster
from tests.replicas.stories import DEATH_GOALS, GATEWAY, GATEWAY_BACK, LOST_SECONDS, WATCH, Told

PROCESSES, PAUSE_SECONDS = 3, 0.4
#: Whoever has these is killed, one after another, and replaced.
KILLED = (GATEWAY, WATCH, GATEWAY)
#: More than can be asked until all is measured.
ENDLESS = 10_000
RUN_SECONDS = 240.0


def measure_takeover(options: RunOptions) -> list[Figure]:
    """Until somebody listens to Discord again, and goes on with the jobs of one that is gone.

    Nothing where there is no PostgreSQL: several processes need it.
    """
    server = options.database_url or options.beside_url
    if not server:
        return []
    with temporary_workspace(server) as workspace:
        try:
            died, lost = asyncio.run(_taken_over(workspace.folder, workspace.database_url))
        except (AssertionError, TimeoutError, ExceptionGroup) as error:
            raise ChildFailed(f"nobody took over: {error!r}") from error
    [goal] = {seconds for name, seconds in DEATH_GOALS.items() if name != GATEWAY_BACK}
    return [
        to_figure("kill -9: gateway back", died, [GATEWAY_BACK], DEATH_GOALS[GATEWAY_BACK]),
        to_figure("kill -9: its jobs go on", died, DEATH_GOALS.keys() - {GATEWAY_BACK}, goal),
        to_figure("machine lost: all of it goes on", lost, lost.goals, LOST_SECONDS),
    ]


async def _taken_over(folder: Path, database: str) -> tuple[Told, Told]:
    """What was measured of those that were killed, and of the one that was lost."""
    died, lost = Told(story="killed"), Told(story="lost")
    async with asyncio.timeout(RUN_SECONDS), cluster(folder, url=database) as place:
        await stories.ready(place, PROCESSES)
        async with _asked(place):
            for role in KILLED:
                await stories.kill(place, died, await place.fleet.wait_holder(role))
                await place.fleet.start()
            await stories.freeze(place, lost, await place.fleet.wait_holder(GATEWAY))
    return died, lost


@asynccontextmanager
async def _asked(place: Cluster) -> AsyncIterator[None]:
    """People ask while the block runs."""
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(place.ask(ENDLESS, pause=PAUSE_SECONDS))
        yield
        asking.cancel()


def to_figure(what: str, told: Told, names: Iterable[str], goal: float) -> Figure:
    """The slowest of these, and whether it is within the goal."""
    found = {name: told.measured.get(name, math.inf) for name in sorted(names)}
    slowest = max(found.values())
    return Figure(
        name=f"one of {PROCESSES} processes on PostgreSQL, {what}",
        goal=f"< {goal:.0f} s",
        measured=f"{number(slowest)} s",
        remark="the slowest of each: "
        + ", ".join(f"{name} {number(seconds)} s" for name, seconds in found.items()),
        is_reached=slowest < goal,
    )
