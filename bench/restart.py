"""A start over thousands of generations that a killed process left running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from threading import Event
from time import perf_counter

from sqlalchemy import func, select

from bench.children import Child, PipedChild
from bench.figures import Figure
from bench.history import add_generating
from bench.loop import idle_worst, watch_stalls
from bench.options import RunOptions
from bench.program import Chat, Journey, running, settled_bytes, to_bench_config
from bench.sample import Sample, take_sample
from bench.service import Account, Service
from bench.workspace import Workspace, temporary_workspace
from bot.store.schema import attempts

RUN_SECONDS = 240.0
GOAL_SECONDS = 3.0
#: As many as few: what a process takes with these is what it takes without the others.
FEW = 10


@dataclass(frozen=True, kw_only=True)
class Life:
    """A life after the kill: what it delivered, what it tried anew, its loop and its memory."""

    journeys: dict[str, Journey] = field(repr=False)
    late: Sequence[float] = field(repr=False)
    attempts: int
    resident: int


def prepare(workspace: Workspace, url: str, generations: Sequence[str]) -> None:
    """The rows, through the store, in a process that then ends."""
    asyncio.run(add_generating(workspace, url, generations))


def run_again(pipe: Connection, workspace: Workspace, url: str, count: int) -> None:
    """The next life, until it is told to send what became of it."""
    asyncio.run(_run_again(pipe, workspace, url, count))


async def _run_again(pipe: Connection, workspace: Workspace, url: str, count: int) -> None:
    late: list[float] = []
    config = to_bench_config(workspace, url, running=count, gets_per_second=10.0)
    async with running(config, chat=Chat(workspace.post_log)) as program:
        watching = asyncio.ensure_future(watch_stalls(late))
        await asyncio.to_thread(pipe.recv)
        watching.cancel()
        query = select(func.count()).select_from(attempts)
        made = await program.app.database.read(lambda conn: conn.execute(query).scalar_one())
        pipe.send(
            Life(
                journeys=await program.journeys(),
                late=late,
                attempts=made - count,
                resident=settled_bytes(),
            )
        )
        await asyncio.to_thread(pipe.recv)


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Seconds to the first look, the lives of all processes, and the sample that finished then."""

    seconds: float
    lives: Sequence[Life]
    sample: Sample


def start_again(count: int, options: RunOptions, *, is_sampled: bool = True) -> Restart:
    """Leave so many running, start all processes, then let some of all ages finish."""
    with (
        Service([Account(manual=True, full_size=False)]) as service,
        temporary_workspace(options.database_url) as workspace,
    ):
        url = service.urls[0]
        ids = service.begin(count)
        Child(prepare, workspace, url, ids).result(RUN_SECONDS)
        began = perf_counter()
        children = [PipedChild(run_again, workspace, url, count) for _ in range(options.processes)]
        try:
            pause = Event()
            while not service.report().looks and perf_counter() < began + RUN_SECONDS:
                pause.wait(0.02)
            seconds = perf_counter() - began
            sample = take_sample(service, ids if is_sampled else [])
            for each in children:
                each.send("enough")
            lives: list[Life] = [each.recv(RUN_SECONDS) for each in children]
        finally:
            for each in children:
                each.end()
    return Restart(seconds=seconds, lives=lives, sample=sample)


def measure_restart(options: RunOptions) -> list[Figure]:
    """From the start of the new process to its first sweep; then lag and memory with so many."""
    count = 2000 if options.is_quick else 10_000
    idle_worst()
    again = start_again(count, options)
    few = start_again(FEW, options, is_sampled=False)
    report = again.sample.report
    posts = sum(n for kind, n in report.requests.items() if kind.startswith("POST"))
    # What was sent, and what the books say of it: of the two whichever knows of more.
    twice = max(posts, again.lives[0].attempts)
    stats = again.sample.to_lag_stats(
        {k: j for life in again.lives for k, j in life.journeys.items()}
    )
    more = sum(life.resident for life in again.lives) - sum(life.resident for life in few.lives)
    late = again.lives[0].late
    return [
        Figure(
            name=f"restart with {count:,} running: first look",
            goal=f"< {GOAL_SECONDS:.0f} s, none submitted twice",
            measured=f"{again.seconds:.2f} s, {twice} submitted twice",
            remark="from the start of the process, imports included, to its first sweep",
            is_reached=again.seconds < GOAL_SECONDS and twice == 0,
        ),
        Figure(
            name=f"lag by polling, {count:,} running, 10 GET/s",
            measured=stats.words,
            remark=again.sample.words,
            score=stats.to_score(
                "Raybot, polling", count, late=late, job_bytes=more / (count - FEW)
            ),
        ),
    ]
