"""A start over thousands of generations that a killed process left running."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import perf_counter

from sqlalchemy import func, select

from bench.children import Child
from bench.figures import Figure, percentile
from bench.history import add_generating
from bench.program import Journey, running, scratch, to_bench_config
from bench.service import Account, Service
from bot.store.schema import attempts

RUN_SECONDS = 240.0
FINISHED = 40
LATE_SECONDS = 30.0


def prepare(folder: str, url: str, generations: list[str]) -> None:
    """The rows, through the store, in a process that then ends."""
    asyncio.run(add_generating(Path(folder), url, generations))


def run_again(folder: str, url: str, count: int) -> tuple[dict[str, Journey], int]:
    """The next life, until the finished ones are delivered; and attempts beyond one a job."""
    return asyncio.run(_run_again(Path(folder), url, count))


async def _run_again(folder: Path, url: str, count: int) -> tuple[dict[str, Journey], int]:
    async with running(to_bench_config(folder, url, running=count)) as program:
        with suppress(TimeoutError):
            async with asyncio.timeout(LATE_SECONDS):
                await program.chat.until(lambda chat: len(chat.clips) >= FINISHED)
        query = select(func.count()).select_from(attempts)
        made = await program.app.database.read(lambda conn: conn.execute(query).scalar_one())
        return await program.journeys(), made - count


def restarting(*, is_quick: bool) -> list[Figure]:
    """From the start of the new process to its first sweep; then some of all ages finish."""
    count = 2000 if is_quick else 10_000
    with scratch() as folder, Service([Account(manual=True)]) as service:
        url = service.urls[0]
        ids = service.begin(count)
        Child(prepare, folder, url, ids).result(RUN_SECONDS)
        began = perf_counter()
        child = Child(run_again, folder, url, count)
        pause = Event()
        while not service.report().looks and perf_counter() < began + RUN_SECONDS:
            pause.wait(0.02)
        seconds = perf_counter() - began
        service.finish(ids[:: count // FINISHED][:FINISHED])
        journeys, again = child.result(RUN_SECONDS)
        report = service.report()
    lags = [each.visible - report.completed[id_] for id_, each in journeys.items()]
    posts = sum(kind.startswith("POST") * count for kind, count in report.requests.items())
    return [
        Figure(
            name=f"restart with {count:,} running: all under watch",
            goal="< 5 s, none submitted twice",
            measured=f"{seconds:.2f} s, {posts + again} submitted twice",
            remark="from the start of the process, imports included, to its first sweep",
            is_reached=seconds < 5 and posts + again == 0,
        ),
        Figure(
            name=f"  {FINISHED} of all ages that finish then",
            measured=f"{len(lags)} delivered within {LATE_SECONDS:.0f} s, "
            f"p95 {percentile(lags, 95):.1f} s",
        ),
    ]
