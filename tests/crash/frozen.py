"""A process freezes at a point; another one takes over and ends all; then the first is thawed.

Real time passes, because a frozen process is told from a slow one by how long it says nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from tests.crash.fates import Fate
from tests.crash.life import PATIENCE_SECONDS
from tests.crash.points import Where
from tests.crash.worlds import Chat, World, wait_for_end

#: Where to freeze, once a request was heard: around what is paid, posted and noted.
FREEZES = (
    "after commit of .*jobs accepted",
    "after claim of a nudge",
    "between COMMIT and its answer, of .*jobs submitting",
    "after commit of .*jobs submitting",
    "before POST that is paid",
    "before POST /dream-machine",
    "after POST that is paid",
    "before fetch of the clip",
    "before commit of .*jobs delivering",
    "before commit of .*jobs delivered",
    "between COMMIT and its answer, of .*jobs delivered",
)
FREEZES_IN: Mapping[Chat, tuple[str, ...]] = {
    "discord": ("before POST /api/v10/channels", "after POST /api/v10/channels"),
    "slack": (
        "before POST /api/chat.postMessage",
        "after POST /api/chat.postMessage",
        "before POST /upload",
        "after POST /upload",
        "before POST /api/files.completeUploadExternal",
        "after POST /api/files.completeUploadExternal",
    ),
}
#: So long a thawed process has for what it was about to do.
LINGER_SECONDS = 2.0
#: It is frozen for longer than whoever submits waits with a POST.
FROZEN_SECONDS = 10.0


async def tell_frozen(place: World, processes: ForkServerContext, point: Where) -> Fate:
    """The story with a process frozen at this point; it is wrong if it never comes there."""
    began = time.monotonic()
    orders = replace(place.orders(die_at=point), freezes=True, lingers=LINGER_SECONDS)
    async with place.begun(processes, orders) as first:
        where, wrong = str(point), ["It never came there."]
        if await _is_frozen(first):
            frozen_at, where = time.monotonic(), place.passed[-1]
            wrong = await _live_through(place, processes)
            await asyncio.sleep(max(0.0, frozen_at + FROZEN_SECONDS - time.monotonic()))
            os.kill(_pid(first), signal.SIGCONT)
        await wait_for_end(first, PATIENCE_SECONDS)
        code = first.exitcode
    if code != 0:
        wrong.append(f"the thawed one: exit {code}")
    return Fate(
        chat=place.chat,
        database=place.books.kind,
        story=place.story.name,
        die_at=point,
        point=f"frozen: {where}",
        wrong=(*wrong, *place.wrong()),
        seconds=time.monotonic() - began,
    )


async def _live_through(place: World, processes: ForkServerContext) -> list[str]:
    code = await place.live(processes, place.orders())
    return [] if code == 0 else [f"the other one: exit {code}"]


async def _is_frozen(process: ForkServerProcess) -> bool:
    """Wait until it is, or has ended."""
    stat = Path(f"/proc/{_pid(process)}/stat")
    while process.is_alive():
        if stat.read_text().rpartition(") ")[2].startswith("T"):
            return True
        await asyncio.sleep(0.05)
    return False


def _pid(process: ForkServerProcess) -> int:
    assert process.pid is not None
    return process.pid
