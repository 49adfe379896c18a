"""What the program takes of the memory: with a thousand running, and thousands that wait."""

from __future__ import annotations

import asyncio

from bench.children import Child
from bench.figures import Figure
from bench.history import add_generating
from bench.options import RunOptions
from bench.program import Chat, running, settled_bytes, to_bench_config
from bench.service import Account, Service
from bench.workspace import Workspace, temporary_workspace

RUN_SECONDS = 240.0
WARM = 100
MOST_MB = 150


def prepare(workspace: Workspace, url: str) -> None:
    """A database as any but the first start finds it."""
    asyncio.run(add_generating(workspace, url, []))


def run_waiting(workspace: Workspace, url: str, run: int, wait: int) -> tuple[int, int]:
    """Resident bytes with so many running and a few waiting, and with `wait` waiting."""
    return asyncio.run(_run_waiting(workspace, url, run, wait))


async def _run_waiting(workspace: Workspace, url: str, run: int, wait: int) -> tuple[int, int]:
    chat = Chat(upload_seconds=0.0)
    config = to_bench_config(workspace, url, running=run, gets_per_second=10.0)
    async with asyncio.timeout(RUN_SECONDS), running(config, chat=chat) as program:
        few = run + WARM
        await program.ask_for(range(few))
        await program.until_generating(run)
        await chat.until(lambda chat: chat.posts >= few)
        base = settled_bytes()
        await program.ask_for(range(few, run + wait))
        await chat.until(lambda chat: chat.posts >= run + wait)
        return base, settled_bytes()


def measure_memory(options: RunOptions) -> list[Figure]:
    """Jobs that run for ever and jobs that wait for ever, each with its status message."""
    run, wait = (200, 2000) if options.is_quick else (1000, 10_000)
    with (
        Service([Account(manual=True)]) as service,
        temporary_workspace(options.database_url) as workspace,
    ):
        Child(prepare, workspace, service.urls[0]).result(RUN_SECONDS)
        child = Child(run_waiting, workspace, service.urls[0], run, wait)
        base, full = child.result(RUN_SECONDS)
    each = (full - base) / (wait - WARM) / 1024
    return [
        Figure(
            name=f"memory with {wait:,} waiting and {run:,} running",
            goal=f"< {MOST_MB} MB",
            measured=f"{full / 1e6:.0f} MB",
            remark=f"{base / 1e6:.0f} MB with {WARM} waiting; no chat platform among it",
            is_reached=full < MOST_MB * 1e6,
        ),
        Figure(
            name=f"memory per waiting job, {wait:,} waiting",
            goal="< 10 KiB beyond the base",
            measured=f"{each:.2f} KiB",
            is_reached=each < 10,
        ),
    ]
