"""Many requests: how fast they are accepted, and what a waiting one takes of the memory."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from bench.children import Child
from bench.figures import Figure, percentile
from bench.program import (
    Chat,
    Program,
    running,
    scratch,
    settled_bytes,
    to_bench_config,
)
from bench.service import Account, Service

RUN_SECONDS = 240.0
RATE = 50.0
AT_ONCE = 64
WARM = 300


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Seconds per submit at the asked rate, submits a second without pause, seconds per fsync."""

    seconds: Sequence[float] = field(repr=False)
    most: float
    fsync: float


def run_acceptance(url: str, seconds: float) -> Acceptance:
    """Arrivals by chance at a mean rate, whether or not earlier ones were answered."""
    return asyncio.run(_run_acceptance(url, seconds))


async def _run_acceptance(url: str, seconds: float) -> Acceptance:
    with scratch() as folder:
        fsync = _time_fsync(Path(folder))
        async with running(to_bench_config(Path(folder), url)) as program:
            await program.ask_for(range(WARM))
            taken: list[float] = []
            arrivals = range(WARM, WARM + round(RATE * seconds))
            async with asyncio.TaskGroup() as group:
                due = perf_counter()
                for number in arrivals:
                    due += random.expovariate(RATE)
                    await asyncio.sleep(max(0.0, due - perf_counter()))
                    group.create_task(_timed(program, number, due, taken))
            began = perf_counter()
            more = range(arrivals.stop, arrivals.stop + 1500)
            await program.ask_for(more, at_once=AT_ONCE)
            most = len(more) / (perf_counter() - began)
    return Acceptance(seconds=taken, most=most, fsync=fsync)


async def _timed(program: Program, number: int, due: float, taken: list[float]) -> None:
    await program.ask(number)
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


def accepting(*, is_quick: bool) -> list[Figure]:
    """`Studio.submit` with its hold, the whole program running, nothing of it relaxed."""
    with Service([Account()]) as service:
        child = Child(run_acceptance, service.urls[0], 8.0 if is_quick else 20.0)
        found = child.result(RUN_SECONDS)
    middle, high = (percentile(found.seconds, each) * 1000 for each in (50, 99))
    return [
        Figure(
            name=f"accepting {RATE:.0f} requests a second, full fsync",
            goal="p99 < 250 ms",
            measured=f"p50 {middle:.0f} ms, p99 {high:.0f} ms",
            remark=f"{len(found.seconds)} requests; one fsync here takes {found.fsync * 1000:.1f} "
            f"ms; without pause, {AT_ONCE} at a time: {found.most:.0f} a second",
            is_reached=high < 250,
        )
    ]


# ---- memory ------------------------------------------------------------------------------------


def run_waiting(url: str, count: int) -> tuple[int, int]:
    """Resident bytes with a few waiting jobs, and with `count` more."""
    return asyncio.run(_run_waiting(url, count))


async def _run_waiting(url: str, count: int) -> tuple[int, int]:
    with scratch() as folder:
        chat = Chat(upload_seconds=0.0)
        async with running(to_bench_config(Path(folder), url), chat=chat) as program:
            await program.ask_for(range(WARM))
            await chat.until(lambda chat: chat.posts >= WARM)
            base = settled_bytes()
            await program.ask_for(range(WARM, WARM + count))
            async with asyncio.timeout(RUN_SECONDS):
                await chat.until(lambda chat: chat.posts >= WARM + count)
            return base, settled_bytes()


def memory(*, is_quick: bool) -> list[Figure]:
    """The program with ten running and thousands waiting, each with its status message."""
    count = 2000 if is_quick else 10_000
    with Service([Account(manual=True)]) as service:
        base, full = Child(run_waiting, service.urls[0], count).result(RUN_SECONDS)
    each = (full - base) / count / 1024
    return [
        Figure(
            name=f"memory per waiting job, {count:,} waiting",
            goal="< 10 KiB beyond the base",
            measured=f"{each:.2f} KiB",
            remark=f"{base / 1e6:.0f} MB with {WARM} waiting, {full / 1e6:.0f} MB with all",
            is_reached=each < 10,
        )
    ]
