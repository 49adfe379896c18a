"""One peer in a process of its own: takes its jobs at the pace at which Raybot gets them too."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from bench.loop import watch_stalls
from bench.pace import paced
from bench.peers import GIVES_UP, PEERS
from bench.peers.channel import Channel
from bench.post_log import PostLog
from bench.program import resident_bytes

#: Jobs come at this rate, after the first few have shown what the process takes without them.
RATE = 200.0
FIRST = 10
LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class PeerRun:
    """So many jobs on one account, at most `at_once` of them at a time; given up after a while."""

    peer: str
    url: str
    jobs: int
    at_once: int | None = None
    seconds: float = 120.0
    post_log: Path | None = None


@dataclass(frozen=True, kw_only=True)
class PeerResult:
    """When each clip was visible, how late the loop was, memory per running job, what failed.

    `running` is how many generations the peer knew of at the most.
    """

    visible: dict[str, float] = field(repr=False)
    late: Sequence[float] = field(repr=False)
    job_bytes: float
    running: int
    gave_up: Counter[str]


def run_peers(peer_runs: Sequence[PeerRun]) -> list[PeerResult]:
    """Run all of them side by side in this process, each until all of its jobs have ended."""

    async def run_all() -> list[PeerResult]:
        return await asyncio.gather(*(_Runner(each).run() for each in peer_runs))

    return asyncio.run(run_all())


def run_until_told(pipe: Connection, peer_run: PeerRun, patience: float) -> None:
    """Bring all to run; send the generations that do; once told, send what became of them."""

    async def run() -> None:
        runner = _Runner(peer_run)
        running = asyncio.ensure_future(runner.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await runner.until_begun(peer_run.jobs)
        runner.weigh()
        pipe.send(list(runner.channel.begun))
        await asyncio.to_thread(pipe.recv)
        pipe.send(runner.peer_result())
        running.cancel()

    asyncio.run(run())


class _Runner:
    def __init__(self, peer_run: PeerRun) -> None:
        self.channel = Channel(PostLog(peer_run.post_log) if peer_run.post_log else None)
        self._race = peer_run
        self._late: list[float] = []
        self._gave_up: Counter[str] = Counter()
        self._base = self._full = math.nan

    async def run(self) -> PeerResult:
        """All of its jobs, until each was posted or given up, or time is over."""
        peer_run, gate = self._race, asyncio.Semaphore(self._race.at_once or self._race.jobs)
        watching = asyncio.ensure_future(watch_stalls(self._late))
        first = min(FIRST, peer_run.jobs)
        async with PEERS[peer_run.peer](peer_run.url, self.channel) as make_clip:
            with suppress(TimeoutError):
                await self._all(gate, first, make_clip)
        watching.cancel()
        return self.peer_result()

    async def _all(
        self, gate: asyncio.Semaphore, first: int, make_clip: Callable[[], Awaitable[None]]
    ) -> None:
        peer_run = self._race
        async with asyncio.timeout(peer_run.seconds), asyncio.TaskGroup() as group:
            for _ in range(first):
                group.create_task(self._one(gate, make_clip))
            if peer_run.at_once is None:
                await self.until_begun(first)
                self._base = resident_bytes()
                group.create_task(self._weigh_all())
            async for _ in paced(peer_run.jobs - first, RATE):
                group.create_task(self._one(gate, make_clip))

    async def _one(
        self, gate: asyncio.Semaphore, make_clip: Callable[[], Awaitable[None]]
    ) -> None:
        async with gate:
            try:
                await make_clip()
            except GIVES_UP as error:
                self._gave_up[type(error).__name__] += 1

    async def until_begun(self, count: int) -> None:
        """Wait until so many generations are known, or given up."""
        while len(self.channel.begun) + self._gave_up.total() < count:
            await asyncio.sleep(LOOK_SECONDS)

    async def _weigh_all(self) -> None:
        await self.until_begun(self._race.jobs)
        if not self.channel.visible:
            self.weigh()

    def weigh(self) -> None:
        """As many run now as ever will."""
        self._full = resident_bytes()

    def peer_result(self) -> PeerResult:
        """How it went until now."""
        more = len(self.channel.begun) - FIRST
        return PeerResult(
            visible=dict(self.channel.visible),
            late=list(self._late),
            job_bytes=(self._full - self._base) / more if more > 0 else math.nan,
            running=len(self.channel.begun),
            gave_up=self._gave_up,
        )
