"""How fast requests are accepted: each with its row, its hold and a full fsync."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

from bench.children import PipedChild
from bench.figures import Figure, percentile
from bench.options import RunOptions
from bench.pace import paced
from bench.program import Program, running, to_bench_config
from bench.service import Account, Service
from bench.workspace import Workspace, temporary_workspace
from bot.errors import StoreBusy

RUN_SECONDS = 240.0
#: Requests a second, with the milliseconds that one in a hundred may exceed.
GOALS = {50: 250, 200: 1000}
AT_ONCE, WARM, WITHOUT_PAUSE = 64, 300, 1500


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one process asks for: so many seconds at each rate, as the `number`th of `count`."""

    seconds: Mapping[int, float]
    number: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Seconds of each submit at each rate, submits a second without pause, seconds per fsync.

    A submit that was refused, because too many waited, has taken for ever.
    """

    seconds: Mapping[int, Sequence[float]] = field(repr=False)
    most: float
    fsync: float


def run_acceptance(pipe: Connection, workspace: Workspace, url: str, part: Part) -> None:
    """Arrivals by chance at a mean rate, whether or not earlier ones were answered.

    Says when it is warm, begins when it is told to, and sends what it found.
    """
    asyncio.run(_run_acceptance(pipe, workspace, url, part))


async def _run_acceptance(pipe: Connection, workspace: Workspace, url: str, part: Part) -> None:
    fsync = _time_fsync(workspace.folder)
    numbers = iter(range(part.number, 10_000_000, part.count))
    async with running(to_bench_config(workspace, url)) as program:
        await _without_pause(program, [next(numbers) for _ in range(WARM // part.count)])
        pipe.send(None)
        await asyncio.to_thread(pipe.recv)
        taken: dict[int, list[float]] = {rate: [] for rate in part.seconds}
        for rate, seconds in part.seconds.items():
            own = rate / part.count
            async with asyncio.TaskGroup() as group:
                async for due in paced(round(own * seconds), own, by_chance=True):
                    group.create_task(_timed(program, next(numbers), due, taken[rate]))
        more = [next(numbers) for _ in range(WITHOUT_PAUSE // part.count)]
        began = perf_counter()
        await _without_pause(program, more)
        most = len(more) / (perf_counter() - began)
        pipe.send(Acceptance(seconds=taken, most=most, fsync=fsync))
        await asyncio.to_thread(pipe.recv)


async def _without_pause(program: Program, numbers: Sequence[int]) -> None:
    await program.ask_for(numbers, at_once=AT_ONCE)


async def _timed(program: Program, number: int, due: float, taken: list[float]) -> None:
    try:
        await program.ask(number)
    except StoreBusy:
        taken.append(math.inf)
    else:
        taken.append(perf_counter() - due)


def _time_fsync(folder: Path) -> float:
    """The median of a small durable write where the database lies."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began = perf_counter()
            os.fsync(file.fileno())
            times.append(perf_counter() - began)
    return percentile(times, 50)


def measure_accept(options: RunOptions) -> list[Figure]:
    """`Studio.submit` with its hold, the whole program running, nothing of it relaxed."""
    seconds = dict.fromkeys(GOALS, 8.0 if options.is_quick else 15.0)
    with Service([Account()]) as service, temporary_workspace(options.database_url) as workspace:
        children = []
        try:
            for number in range(options.processes):
                part = Part(seconds=seconds, number=number, count=options.processes)
                children.append(PipedChild(run_acceptance, workspace, service.urls[0], part))
                children[-1].recv(RUN_SECONDS)
            for each in children:
                each.send("go")
            found: list[Acceptance] = [each.recv(RUN_SECONDS) for each in children]
        finally:
            for each in children:
                each.end()
    most = sum(each.most for each in found)
    return [
        _to_figure(rate, goal, [second for each in found for second in each.seconds[rate]])
        for rate, goal in GOALS.items()
    ] + [
        Figure(
            name="accepting without pause",
            measured=f"{most:.0f} a second",
            remark=f"{AT_ONCE * options.processes} at a time; "
            f"one fsync here takes {found[0].fsync * 1000:.1f} ms",
        )
    ]


def _to_figure(rate: int, goal: int, seconds: Sequence[float]) -> Figure:
    middle, high = (percentile(seconds, each) * 1000 for each in (50, 99))
    refused = sum(math.isinf(each) for each in seconds)
    return Figure(
        name=f"accepting {rate} requests a second, full fsync",
        goal=f"p99 < {goal} ms",
        measured=f"p50 {middle:.0f} ms, p99 {high:.0f} ms, {refused} refused",
        remark=f"{len(seconds)} requests that arrive by chance; refused: told to ask again",
        is_reached=high < goal and not refused,
    )
