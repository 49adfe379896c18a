"""Codec servers that need not load anew: forked from one process that has loaded all they need.

Each bot of a test has a server of its own, as it has outside of tests, with its own children and
its own end; only the loading, which takes a tenth of a second of work, is done once. What is said
of the true start of a server is tested in `tests/bot/test_codec.py` and by whole processes.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from bot.codec import Codec, Server

_ROOT = Path(__file__).parents[1]


def warm_codec() -> Codec:
    """A codec whose server starts at once."""
    return Codec(launch=_launch)


async def _launch() -> Server:
    near, far = socket.socketpair()
    with far:
        control = _nursery()
        socket.send_fds(control, [b"+"], [far.fileno()])
        if not (answer := control.recv(4)):
            near.close()
            raise BrokenPipeError
        pid = int.from_bytes(answer, "big")
    near.setblocking(False)
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: _Line(pid), sock=near)
    return line.server


@cache
def _nursery() -> socket.socket:
    """The process that forks servers; it ends with this one."""
    near, far = socket.socketpair()
    flags = [f"-Xpycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    with far:
        process = subprocess.Popen(
            [sys.executable, *flags, "-m", __name__],
            stdin=far.fileno(),
            stdout=subprocess.DEVNULL,
            cwd=_ROOT,
            env={},
            start_new_session=True,
        )

    def end() -> None:
        near.close()
        process.terminate()
        process.wait()

    atexit.register(end)
    return near


class _Line(asyncio.Protocol):
    """Makes a socket to a server what pipes to a child of our own would be."""

    def __init__(self, pid: int) -> None:
        self.server = Server()
        self._pid = pid

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.server.connection_made(_Process(self._pid, transport))

    def data_received(self, data: bytes) -> None:
        self.server.pipe_data_received(1, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.process_exited()


class _Process(asyncio.SubprocessTransport):
    def __init__(self, pid: int, line: asyncio.Transport) -> None:
        super().__init__()
        self._pid, self._line = pid, line
        self._input = _Input(line)

    def get_pid(self) -> int:
        return self._pid

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        return self._input if fd == 0 else None

    def is_closing(self) -> bool:
        return self._line.is_closing()

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        self._line.close()


class _Input(asyncio.WriteTransport):
    def __init__(self, line: asyncio.Transport) -> None:
        super().__init__()
        self._line = line
        self._is_closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._line.write(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self._line.writelines(list_of_data)

    def is_closing(self) -> bool:
        return self._is_closed or self._line.is_closing()

    def close(self) -> None:
        """Only the way there: the server answers by its own end."""
        if not self.is_closing():
            self._is_closed = True
            self._line.write_eof()


def _fork_servers() -> None:
    from bot.codec.server import serve

    control = socket.socket(fileno=0)
    # Nobody waits for a server here, so none may stay as a zombie.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while descriptors := socket.recv_fds(control, 1, 1)[1]:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            control.detach()
            os.dup2(descriptors[0], 0)
            os.dup2(descriptors[0], 1)
            os.close(descriptors[0])
            serve()
            os._exit(0)
        os.close(descriptors[0])
        control.send(pid.to_bytes(4, "big"))


if __name__ == "__main__":
    _fork_servers()
