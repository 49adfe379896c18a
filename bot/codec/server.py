"""The codec's other process: forks one child per file, bounds it, and tells how it ended.

Speaks JSON lines on standard input and output. A child's answer is JSON as well, never a pickle:
who takes over a decoder can lie about a picture, but not run anything in the bot.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av

from bot.codec import charts, films, images
from bot.codec.images import Unusable, is_of_disk

CALLS: dict[str, Callable[..., dict[str, Any]]] = {
    "normalise_image": images.normalise_image,
    "probe_clip": films.probe_clip,
    "probe_picture": images.probe_picture,
    "take_frame": films.take_frame,
    "reencode": films.reencode,
    "join": films.join,
    "draw_usage": charts.draw_usage,
}
_ENDINGS = {signal.SIGXCPU: "time", signal.SIGKILL: "time"}
_READ_BYTES = 65_536


@dataclass(kw_only=True)
class _Child:
    number: int
    pid: int
    deadline: float
    answer: bytearray = field(default_factory=bytearray)


class _Loop:
    """One thread, so that a fork never copies a lock that another thread holds."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._children: dict[int, _Child] = {}
        self._unread = b""

    def run(self) -> None:
        """Serve until the bot closes our input or dies; no child outlives that."""
        _tell({"ready": True})
        is_open = True
        while is_open:
            for key, _ in self._selector.select(self._patience()):
                if key.fd == 0:
                    is_open = self._hear()
                else:
                    self._collect(key.fd)
            self._end_late()
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)

    def _patience(self) -> float | None:
        deadlines = [child.deadline for child in self._children.values()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _hear(self) -> bool:
        received = os.read(0, _READ_BYTES)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["call"] == "stop":
                self._stop(order["number"])
            else:
                self._fork(order)
        return bool(received)

    def _stop(self, number: int) -> None:
        for child in self._children.values():
            if child.number == number:
                os.kill(child.pid, signal.SIGKILL)

    def _fork(self, order: dict[str, Any]) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _work(order, writer)
        os.close(writer)
        self._selector.register(reader, selectors.EVENT_READ)
        self._children[reader] = _Child(
            number=order["number"], pid=pid, deadline=time.monotonic() + order["seconds"]
        )

    def _collect(self, reader: int) -> None:
        child = self._children[reader]
        if received := os.read(reader, _READ_BYTES):
            child.answer += received
            return
        del self._children[reader]
        self._selector.unregister(reader)
        os.close(reader)
        _, status = os.waitpid(child.pid, 0)
        _tell({"number": child.number} | _read(bytes(child.answer), status))

    def _end_late(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.deadline <= now:
                # Its pipe closes with it; until it is waited for, its number stays its own.
                os.kill(child.pid, signal.SIGKILL)
                child.deadline = now + 1.0


def _read(answer: bytes, status: int) -> dict[str, Any]:
    if os.WIFSIGNALED(status):
        return {"ended": _ENDINGS.get(signal.Signals(os.WTERMSIG(status)), "crash")}
    if os.WEXITSTATUS(status) != 0:
        return {"ended": "crash"}
    read: dict[str, Any] = json.loads(answer)
    return read


def _tell(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _work(order: dict[str, Any], writer: int) -> None:
    """The whole life of a child; never returns."""
    status = 1
    try:
        _bound(order)
        os.write(writer, json.dumps(_answer(order)).encode())
        status = 0
    finally:
        if status:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": CALLS[order["call"]](**order["arguments"])}
    except Unusable as error:
        return {"declined": str(error)}
    except MemoryError:
        return {"ended": "memory"}
    except (OSError, av.FFmpegError) as error:
        if not is_of_disk(error):
            raise
        return {"ended": "disk"}


def _bound(order: dict[str, Any]) -> None:
    memory, seconds = order["memory_bytes"], order["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def serve() -> None:
    """Answer orders until standard input ends."""
    # A decoder that prints must not be taken for an answer.
    sys.stdout = sys.stderr
    # A collection in a child would copy every page that it shares with us.
    gc.freeze()
    gc.disable()
    _Loop().run()
