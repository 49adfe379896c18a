"""A PostgreSQL of a story's own, which can be gone for a while and come back as it was."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp

from psycopg.sql import SQL

from tests.postgres import at_server, database_at
from tests.postgres_server import SCRIPT

#: Its answer to COMMIT is to be true even where it is ended at once.
TRUE_COMMITS = SQL("ALTER DATABASE {name} SET synchronous_commit = on")


class OwnServer:
    """Started and ended by the script that CI uses; its address stays the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.database = ""

    async def start(self) -> None:
        """Make it, with a database in it."""
        url = await _said(SCRIPT, "start", str(self._folder))
        at_server(url, SQL("CREATE DATABASE {name}"), name="raybot")
        at_server(url, TRUE_COMMITS, name="raybot")
        self.database = database_at(url, "raybot")

    async def stop(self) -> None:
        """End it as a crash would: `-m immediate`."""
        await _said(SCRIPT, "stop", str(self._folder))

    async def start_again(self) -> None:
        """With the data that it has, at the same address."""
        words = (self._folder / "data" / "postmaster.opts").read_text("utf-8")
        server, *options = shlex.split(words)
        control = str(Path(server).with_name("pg_ctl"))
        data, log = str(self._folder / "data"), str(self._folder / "log")
        own = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        rest = [each for each in options if each not in ("-D", data)]
        await _said(*own, control, "-D", data, "-l", log, "-w", "start", "-o", shlex.join(rest))


@asynccontextmanager
async def own_server() -> AsyncIterator[OwnServer]:
    """It is ended with the block."""
    folder = Path(mkdtemp(prefix="replicas-postgres-"))
    folder.chmod(0o755)
    server = OwnServer(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
        shutil.rmtree(folder)


async def _said(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    # The server keeps the pipe open, so what it says ends with its first line.
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert await process.wait() == 0, words
    return line.decode().strip()
