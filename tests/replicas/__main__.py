"""Several processes on one PostgreSQL, and what befalls them: `python -m tests.replicas STORY …`.

Prints a line for each story; ends with exit code 1 where anything is lost, doubled or wrong, with
2 where there is no PostgreSQL, and with 3 where only a goal was missed.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import mkdtemp

from tests.postgres_server import NO_SERVER, postgres_server, run
from tests.replicas import acts, media, outages, shards, stories
from tests.replicas.cluster import Cluster, cluster
from tests.replicas.stories import Told

STORY_SECONDS = 400


async def _limited(folder: Path) -> Told:
    slots = {"running_limit": stories.FEW}
    async with cluster(folder, providers__luma=slots, limits=stories.FEW_CLIPS) as place:
        return await stories.limited(place)


async def _commanded(folder: Path) -> Told:
    async with cluster(folder, providers__luma={"running_limit": 1}) as place:
        return await acts.commanded(place)


async def _gone(folder: Path) -> Told:
    async with outages.cluster_of_its_own(folder) as (place, server):
        return await outages.gone(place, server)


async def _called(folder: Path) -> Told:
    async with cluster(folder, is_called=True) as place:
        return await stories.called(place)


async def _sharded(folder: Path) -> Told:
    async with cluster(folder, shards=shards.SHARDS) as place:
        return await shards.sharded(place)


async def _handed_over(folder: Path) -> Told:
    async with media.cluster_with_a_bucket(folder) as (place, bucket):
        return await media.handed_over(place, bucket)


def _in_a_cluster(
    story: Callable[[Cluster], Awaitable[Told]],
) -> Callable[[Path], Awaitable[Told]]:
    async def told(folder: Path) -> Told:
        async with cluster(folder) as place:
            return await story(place)

    return told


STORIES: dict[str, Callable[[Path], Awaitable[Told]]] = {
    "together": _in_a_cluster(stories.together),
    "killed": _in_a_cluster(stories.killed),
    "rolling": _in_a_cluster(stories.rolling),
    "frozen": _in_a_cluster(stories.frozen),
    "limited": _limited,
    "commanded": _commanded,
    "cut": _in_a_cluster(outages.cut),
    "gone": _gone,
    "called": _called,
    "shards": _sharded,
    "bucket": _handed_over,
}


async def main(names: list[str]) -> int:
    """Tell each story on the server that is named, else on one of its own."""
    with postgres_server() as has_one:
        if has_one:
            return await _told(names)
    print(f"{NO_SERVER}: install it.", file=sys.stderr)
    return 2


async def _told(names: list[str]) -> int:
    """The logs of a story that went wrong are left where it says."""
    told = []
    print("| story | measured | missed | wrong |\n|---|---|---|---|", flush=True)
    for name in names or STORIES:
        folder = Path(mkdtemp(prefix=f"replicas-{name}-"))
        each = await tell(name, folder)
        print(draw(each, folder), flush=True)
        told.append(each)
        if not each.wrong:
            shutil.rmtree(folder)
    if any(each.wrong for each in told):
        return 1
    return 3 if any(each.missed for each in told) else 0


async def tell(name: str, folder: Path) -> Told:
    """One story; what it waited for in vain is wrong, too."""
    try:
        async with asyncio.timeout(STORY_SECONDS):
            return await STORIES[name](folder)
    except (AssertionError, TimeoutError, ExceptionGroup):
        traceback.print_exc()
        return Told(story=name, wrong=["It did not come to its end."])


def draw(told: Told, folder: Path) -> str:
    """A line of the table."""
    goals = {name: f" (< {goal:g})" for name, goal in told.goals.items()}
    measured = [f"{name} {n:.3g}{goals.get(name, '')}" for name, n in told.measured.items()]
    missed = "; ".join(told.missed) or "nothing"
    wrong = "; ".join([*told.wrong, f"see {folder}"]) if told.wrong else "nothing"
    return f"| {told.story} | {', '.join(measured)} | {missed} | {wrong} |"


if __name__ == "__main__":
    sys.exit(run(main(sys.argv[1:])))
