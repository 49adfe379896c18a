"""Clips at a steady rate for as long as asked: whether the process grows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from bench.children import Child
from bench.figures import Figure
from bench.history import add_generating
from bench.options import RunOptions
from bench.pace import paced
from bench.program import Chat, Program, resident_bytes, running, to_bench_config
from bench.service import Account, Service
from bench.workspace import Workspace, temporary_workspace

RATE = 2.0
LOOK_SECONDS = 1.0
#: What a new process still loads, learns and caches is not its slope.
WARM_SHARE = 0.25
#: A shorter soak shows no slope, whatever it measures.
JUDGED_MINUTES = 30.0
MOST_MB_AN_HOUR = 4.0
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """Seconds and bytes of every look, open files at the first and last look, clips delivered."""

    looks: Sequence[tuple[float, int]] = field(repr=False)
    files: tuple[int, int]
    asked: int
    delivered: int


def prepare(workspace: Workspace, url: str) -> None:
    """A database as any but the first start finds it."""
    asyncio.run(add_generating(workspace, url, []))


def run_soak(workspace: Workspace, url: str, seconds: float) -> Soaked:
    """Ask at the steady rate, look every second, then wait for the last clips."""
    return asyncio.run(_run_soak(workspace, url, seconds))


async def _run_soak(workspace: Workspace, url: str, seconds: float) -> Soaked:
    looks: list[tuple[float, int]] = []
    files: list[int] = []
    count = round(RATE * seconds)
    async with running(to_bench_config(workspace, url), chat=Chat(workspace.post_log)) as program:
        watching = asyncio.ensure_future(_watch(program, looks, files))
        numbers = iter(range(count))
        async with asyncio.TaskGroup() as group:
            async for _ in paced(count, RATE):
                group.create_task(program.ask(next(numbers)))
        watching.cancel()
        until = perf_counter() + PATIENCE_SECONDS
        while len(set(workspace.post_log.clips())) < count and perf_counter() < until:
            await asyncio.sleep(LOOK_SECONDS)
    delivered = len(set(workspace.post_log.clips()))
    return Soaked(looks=looks, files=(files[0], files[-1]), asked=count, delivered=delivered)


async def _watch(program: Program, looks: list[tuple[float, int]], files: list[int]) -> None:
    began = perf_counter()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        # What the bench itself would remember must not count as the program's.
        program.chat.clips.clear()
        looks.append((perf_counter() - began, resident_bytes()))
        files.append(_open_files())


def _open_files() -> int:
    """How many this process has open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The line that lies nearest to all of them rises by so much for each step to the right."""
    count = len(points)
    middle = sum(x for x, _ in points) / count
    level = sum(y for _, y in points) / count
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - level) for x, y in points) / spread


def measure_soak(options: RunOptions) -> list[Figure]:
    """Ten running all the time, each clip fetched, verified and posted."""
    seconds = options.minutes * 60
    account = Account(min_seconds=2, max_seconds=6, full_size=False)
    with Service([account]) as service, temporary_workspace(options.database_url) as workspace:
        Child(prepare, workspace, service.urls[0]).result(PATIENCE_SECONDS)
        child = Child(run_soak, workspace, service.urls[0], seconds)
        found = child.result(seconds + 3 * PATIENCE_SECONDS)
    settled = [each for each in found.looks if each[0] >= WARM_SHARE * seconds]
    rise = slope(settled) * 3600 / 1e6
    is_long = options.minutes >= JUDGED_MINUTES
    is_flat = abs(rise) < MOST_MB_AN_HOUR and found.delivered == found.asked
    delivered = f"{found.delivered:,} of {found.asked:,} delivered"
    return [
        Figure(
            name=f"soak, {options.minutes:g} minutes at {RATE:.0f} clips a second",
            goal=f"slope within ±{MOST_MB_AN_HOUR:.0f} MB an hour" if is_long else "",
            measured=f"{rise:+.1f} MB an hour, {delivered}" if is_long else delivered,
            remark=f"{settled[0][1] / 1e6:.0f} MB, then {settled[-1][1] / 1e6:.0f} MB; open files "
            f"{found.files[0]}, then {found.files[1]}"
            + ("" if is_long else "; too short to tell whether it grows: --minutes 60"),
            is_reached=is_flat if is_long else None,
        )
    ]
