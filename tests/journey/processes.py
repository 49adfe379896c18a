"""How the bot in a process of its own is ended in order."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from pathlib import Path


async def stop(process: Process) -> str:
    """End it as a service manager does; what it logged."""
    process.send_signal(signal.SIGTERM)
    return await end(process, seconds=15)


async def begin_to_stop(process: Process) -> None:
    """The same, but come back once it has heard of it: it catches the signal only once."""
    process.send_signal(signal.SIGTERM)
    status = Path(f"/proc/{process.pid}/status")
    async with asyncio.timeout(5):
        while _catches(status.read_text(), signal.SIGTERM):
            await asyncio.sleep(0.01)


def _catches(status: str, number: int) -> bool:
    [caught] = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


async def end(process: Process, *, seconds: float) -> str:
    """Let it end in order within so many seconds; what it logged."""
    _, said = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode == 0, said.decode()
    for fault in (b"Traceback", b"Unclosed"):
        assert fault not in said, said.decode()
    return said.decode()
