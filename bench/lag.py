"""From a generation's completion to its clip in the thread, and the calls that it took."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bench.children import Child
from bench.figures import PEER, Figure
from bench.history import add_past
from bench.lag_stats import remark, to_lag_stats, to_peer_stats
from bench.loop import watch_stalls
from bench.options import RunOptions
from bench.peer_run import FIRST, RATE, PeerRun, run_peers
from bench.program import Chat, Journey, Program, resident_bytes, running, to_bench_config
from bench.service import Account, Service
from bench.workspace import Workspace, temporary_workspace

RUN_SECONDS = 200.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Orders:
    """One program: its service, how many generations at once, and how many jobs in all.

    With `has_past` it has delivered fifty clips before, so it knows how long they take. Where it
    shares its workspace, it asks for `share` of the jobs and stays until all are delivered.
    """

    url: str
    at_once: int
    jobs: int
    gets_per_second: float = 5.0
    has_past: bool = False
    workspace: Workspace | None = None
    share: range | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of each generation, how late the event loop was, and memory per running job."""

    journeys: Mapping[str, Journey] = field(repr=False)
    late: Sequence[float] = field(repr=False)
    job_bytes: float = math.nan


def run_programs(orders: Sequence[Orders]) -> list[Outcome]:
    """Run all of them side by side in this process."""

    async def run_all() -> list[Outcome]:
        # One opens after the other: what migrates their databases is no thing for two threads.
        opening = asyncio.Lock()
        return await asyncio.gather(*(_run(each, opening) for each in orders))

    return asyncio.run(run_all())


async def _run(orders: Orders, opening: asyncio.Lock) -> Outcome:
    late: list[float] = []
    async with AsyncExitStack() as stack:
        workspace = orders.workspace or stack.enter_context(temporary_workspace())
        config = to_bench_config(
            workspace, orders.url, running=orders.at_once, gets_per_second=orders.gets_per_second
        )
        async with opening:
            if orders.has_past:
                await add_past(config, [random.uniform(20, 40) for _ in range(50)])
            program = await stack.enter_async_context(
                running(config, chat=Chat(workspace.post_log))
            )
        watching = asyncio.ensure_future(watch_stalls(late))
        async with asyncio.timeout(RUN_SECONDS):
            job_bytes = await _ask(program, orders.share or range(orders.jobs))
            while len(set(workspace.post_log.clips())) < orders.jobs:
                await asyncio.sleep(LOOK_SECONDS)
        journeys = await program.journeys()
        watching.cancel()
    return Outcome(journeys=journeys, late=late, job_bytes=job_bytes)


async def _ask(program: Program, numbers: range) -> float:
    """A few, then the rest at the pace of the peers; bytes for each more that runs."""
    first, more = numbers[:FIRST], numbers[FIRST:]
    await program.ask_at_pace(first, RATE)
    if not more:
        return math.nan
    await program.until_generating(len(first))
    base = resident_bytes()
    await program.ask_at_pace(more, RATE)
    await program.until_generating(len(numbers))
    return (resident_bytes() - base) / len(more)


# ---- one at a time -----------------------------------------------------------------------------


def measure_one(options: RunOptions) -> list[Figure]:
    """Programs and peers with one job each at a time, several pairs side by side."""
    pairs, rounds = (4, 1) if options.is_quick else (6, 2)
    with Service([Account(seed=number) for number in range(pairs)] * 3) as service:
        urls = [service.urls[start : start + pairs] for start in range(0, 3 * pairs, pairs)]
        programs = [
            Child(run_programs, [_alone(url, rounds, has_past=has_past) for url in part])
            for part, has_past in zip(urls, (False, True), strict=False)
        ]
        runs = [PeerRun(peer="SDK loop", url=url, at_once=1, jobs=rounds) for url in urls[2]]
        peers = Child(run_peers, runs)
        outcomes = [program.result(RUN_SECONDS) for program in programs]
        visible = [each.visible for each in peers.result(RUN_SECONDS)]
        reports = [service.report(number) for number in range(3 * pairs)]
    new, known = (
        to_lag_stats([each.journeys for each in part], reports[number * pairs :][:pairs])
        for number, part in enumerate(outcomes)
    )
    peer = to_peer_stats(visible, reports[2 * pairs :])
    goal = "p50 ≤ 1.0 s, GETs ≤ 1.5 × the peer's"
    return [
        Figure(name=f"{PEER}SDK loop, 1 running", measured=peer.words, remark=remark(peer)),
        *(
            Figure(
                name=f"lag by polling, 1 running, {kind}",
                goal=goal,
                measured=each.words,
                remark=remark(each),
                is_reached=each.p50 <= 1.0 and each.looks <= 1.5 * peer.looks,
            )
            for kind, each in (("fresh install", new), ("50 clips known", known))
        ),
    ]


def _alone(url: str, rounds: int, *, has_past: bool) -> Orders:
    return Orders(url=url, at_once=1, jobs=rounds, has_past=has_past)
