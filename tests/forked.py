"""What `python -m` does, in a process forked from one of this worker that has loaded the program.

Loading is most of what a command costs that soon ends, and a second of many a bot's life. True
starts are those of `tests/journey/test_discord_from_the_shell.py`, of a chat in
`tests/journey/test_commands.py` and of `tests/replicas`.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import IO

LOADED = (
    "bot.cli.typed",
    "tests.crash.life",
    "tests.discord_server",
    "tests.journey.crashing",
    "tests.slack_server",
)
ENDS_WITHIN = 30


def processes() -> ForkServerContext:
    """There is one server for all, which loads at its first fork whatever any of them needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*LOADED])
    return context


@dataclass(frozen=True, kw_only=True)
class Forked:
    """A module that runs, what it says, and the end of it."""

    process: ForkServerProcess
    out: IO[str]

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """Below zero: the signal that killed it."""
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.process.kill()

    async def wait(self) -> None:
        await asyncio.to_thread(self.process.join)


@contextmanager
def forked(
    module: str,
    *words: str,
    cwd: Path,
    env: Mapping[str, str],
    said: str = "",
    err: Path | None = None,
) -> Iterator[Forked]:
    """Run it with these words until the block ends, if not before.

    It reads what is said to it; what it complains of is added to a file, or goes where ours goes.
    """
    context = processes()
    (stdin, ours), (heard, stdout) = context.Pipe(duplex=False), context.Pipe(duplex=False)
    command, streams = (module, *words), (stdin, stdout, err)
    process = context.Process(target=_run, args=(command, cwd, {**env}, *streams), daemon=True)
    with stdin, stdout, ours:
        os.write(ours.fileno(), said.encode())
        process.start()
    with heard, open(heard.fileno(), closefd=False) as out:
        try:
            yield Forked(process=process, out=out)
        finally:
            process.terminate()
            process.join(ENDS_WITHIN)
            process.kill()


def _run(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdin: Connection,
    stdout: Connection,
    stderr: Path | None,
) -> None:
    """Put in place what a start gives to a process, and be the module."""
    with stdin, stdout:
        os.dup2(stdin.fileno(), 0)
        os.dup2(stdout.fileno(), 1)
    if stderr:
        with stderr.open("ab") as file:
            os.dup2(file.fileno(), 2)
    sys.stdin = open(0)  # noqa: SIM115
    sys.stdout = open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = command[1:]
    gc.freeze()
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        # A fork ends at once; a process of its own would first complain of what it left open.
        gc.collect()
