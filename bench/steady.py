"""Commands at a steady rate in a chat beside many running jobs: how soon they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from bench.children import PipedChild
from bench.figures import Figure, percentile
from bench.options import RunOptions
from bench.pace import paced
from bench.service import Account, Service
from bot.app import App
from bot.config import Config
from bot.wiring.supply import AdapterFactory

PEOPLE = 50
RATE = 50.0
RUN_SECONDS = 200.0
START_SECONDS = 30.0
Who = TypeVar("Who")
Asked = TypeVar("Asked")
#: The local chat: gets a pipe, how many jobs to start, and for how many seconds to ask then. Sends
#: its address, then for each of the later commands the seconds until it was acknowledged.
RunChat = Callable[[Connection, int, float], None]
#: The bot: gets a pipe, the video service's address and the chat's; ends when it is told to.
RunBot = Callable[[Connection, str, Any], None]


async def ask(
    people: Sequence[Who], count: int, act: Callable[[Who, str], Awaitable[Asked]]
) -> list[Asked]:
    """So many commands, one after the other at the rate, whoever has been answered."""
    asked: list[Asked] = []
    async for _ in paced(count, RATE):
        number = len(asked)
        asked.append(await act(people[number % len(people)], f"a red fox, number {number}"))
    return asked


@asynccontextmanager
async def bot(config: Config, adapters: Mapping[str, AdapterFactory]) -> AsyncIterator[None]:
    """Run the true program with these adapters while the block runs."""
    stop = asyncio.Event()
    async with App(config, adapters) as app, asyncio.TaskGroup() as group:
        group.create_task(app.run(stop))
        try:
            yield
        finally:
            stop.set()


def measure_acknowledgements(
    chat: str, run_chat: RunChat, run_bot: RunBot, *, goal: int, remark: str, options: RunOptions
) -> list[Figure]:
    """Beside as many running jobs as asked for; `goal` is in milliseconds."""
    running, seconds = (200, 5.0) if options.is_quick else (1000, 15.0)
    with Service([Account(min_seconds=90, max_seconds=120, full_size=False)]) as service:
        child = PipedChild(run_chat, running, seconds)
        children = [child]
        try:
            address = child.recv(START_SECONDS)
            children.insert(0, PipedChild(run_bot, service.urls[0], address))
            waited: list[float] = child.recv(RUN_SECONDS)
            report = service.report()
        finally:
            for each in children:
                each.end()
    beside = len(report.created) - len(report.completed)
    middle, high = (percentile(waited, each) * 1000 for each in (50, 99))
    return [
        Figure(
            name=f"acknowledging {RATE:.0f} commands a second in {chat}, {running:,} running",
            goal=f"p99 < {goal} ms",
            measured=f"p50 {middle:.0f} ms, p99 {high:.0f} ms",
            remark=f"{len(waited)} commands, {remark}; its limit is 3 s; {beside:,} running at "
            "the end",
            is_reached=high < goal and beside >= running,
        )
    ]
