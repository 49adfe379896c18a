"""A PostgreSQL for a command that is no test: the one that is named, else one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.postgres import SERVER

SCRIPT = str(Path(__file__).parents[1] / ".ci" / "postgres")
#: How the sentence begins that says what follows from it.
NO_SERVER = "No PostgreSQL could be started here"


@contextmanager
def postgres_server() -> Iterator[bool]:
    """Whether there is one while the block runs."""
    if os.environ.get(SERVER):
        yield True
        return
    with own_server() as url:
        if not url:
            yield False
            return
        os.environ[SERVER] = url
        try:
            yield True
        finally:
            del os.environ[SERVER]


@contextmanager
def own_server(*how: str, parent: Path | None = None) -> Iterator[str]:
    """The address of one that runs as long as the block; empty where none could be started."""
    with TemporaryDirectory(prefix="raybot-postgres-", dir=parent) as folder:
        begun = subprocess.run(
            [SCRIPT, "start", folder, *how], capture_output=True, text=True, check=False
        )
        if begun.returncode != 0:
            print(begun.stderr.strip(), file=sys.stderr)
            yield ""
            return
        try:
            yield begun.stdout.strip()
        finally:
            subprocess.run([SCRIPT, "stop", folder], check=True)


def run(command: Coroutine[Any, Any, int]) -> int:
    """What it ends with; SIGTERM ends it as Ctrl-C does, so that what it started is stopped."""
    try:
        return asyncio.run(until_ended(command))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


async def until_ended(command: Coroutine[Any, Any, int]) -> int:
    """The same; where SIGTERM ended it, it was cancelled."""
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        return await command
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
