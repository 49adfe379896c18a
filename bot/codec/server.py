"""The codec's other process: forks a child for each file, bounds it, and tells how it ended.

Only clips that are looked over share one, a few after one another. Speaks JSON lines on standard
input and output. A child's answer is JSON as well, never a pickle: who takes over a decoder can
lie about what it is shown, but not run anything in the bot.
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
from contextlib import suppress
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
#: What is made by a video service and comes in crowds: a child that has read one is ready for the
#: next, which halves the work. What people send has a child of its own, each.
_IN_A_ROW = frozenset({"probe_clip"})
_FILES_EACH, _IDLE_SECONDS = 20, 1.0
#: Nobody but the system kills a child that is still waited for.
_ENDINGS = {signal.SIGXCPU: "time", signal.SIGKILL: "memory"}
_READ_BYTES = 65_536


@dataclass(kw_only=True)
class _Child:
    """One child; without an `order` nobody waits for it: it is ready for one, or at its end."""

    pid: int
    orders: int | None
    order: dict[str, Any] | None = None
    deadline: float = 0.0
    files: int = 0
    answer: bytearray = field(default_factory=bytearray)

    def take(self, order: dict[str, Any]) -> None:
        """Let it work, as its last if that is no work in a row; raises `BrokenPipeError`."""
        assert self.orders is not None
        os.write(self.orders, json.dumps(order).encode() + b"\n")
        self.order, self.deadline = order, time.monotonic() + order["seconds"]
        self.files += 1
        if order["call"] not in _IN_A_ROW or self.files == _FILES_EACH:
            self.dismiss()

    def dismiss(self) -> None:
        """Let it end after what it does now."""
        if self.orders is not None:
            os.close(self.orders)
        self.orders = None

    def kill(self) -> None:
        """End it now; its pipe closes with it, and until then its number stays its own."""
        self.dismiss()
        os.kill(self.pid, signal.SIGKILL)


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
                self._take(order)
        return bool(received)

    def _stop(self, number: int) -> None:
        for child in self._children.values():
            if child.order is not None and child.order["number"] == number:
                child.order = None
                child.kill()

    def _take(self, order: dict[str, Any]) -> None:
        if order["call"] in _IN_A_ROW:
            for child in self._children.values():
                if child.order is None and child.orders is not None:
                    with suppress(BrokenPipeError):  # It has just died.
                        child.take(order)
                        return
        self._fork().take(order)

    def _fork(self) -> _Child:
        (orders, ours), (theirs, writer) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            # Or its brothers would not hear that they are dismissed.
            os.close(ours)
            for brother in self._children.values():
                brother.dismiss()
            _work(orders, writer)
        os.close(orders)
        os.close(writer)
        self._selector.register(theirs, selectors.EVENT_READ)
        self._children[theirs] = child = _Child(pid=pid, orders=ours)
        return child

    def _collect(self, reader: int) -> None:
        child = self._children[reader]
        if received := os.read(reader, _READ_BYTES):
            child.answer += received
            if child.order is not None and child.answer.endswith(b"\n"):
                self._tell_of(child, json.loads(child.answer))
            return
        del self._children[reader]
        self._selector.unregister(reader)
        os.close(reader)
        child.dismiss()
        _, status = os.waitpid(child.pid, 0)
        if child.order is not None and child.files > 1:
            # It may have died of the files before: this one is judged alone.
            self._fork().take(child.order)
        elif child.order is not None:
            self._tell_of(child, {"ended": _to_ending(status)})

    def _tell_of(self, child: _Child, answer: dict[str, Any]) -> None:
        assert child.order is not None
        _tell({"number": child.order["number"]} | answer)
        child.answer.clear()
        child.order, child.deadline = None, time.monotonic() + _IDLE_SECONDS

    def _end_late(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.deadline > now:
                continue
            if child.order is None and child.orders is not None:
                child.dismiss()
            else:
                if child.order is not None:
                    self._tell_of(child, {"ended": "time"})
                child.kill()
            child.deadline = now + 1.0


def _to_ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return _ENDINGS.get(signal.Signals(os.WTERMSIG(status)), "crash")
    return "crash"


def _tell(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _work(orders: int, writer: int) -> None:
    """The whole life of a child: an order, or some in a row; never returns."""
    status = 1
    try:
        with open(orders, "rb") as lines:
            for line in lines:
                order = json.loads(line)
                _bound(order)
                os.write(writer, json.dumps(_answer(order)).encode() + b"\n")
                gc.collect()
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
    """For this file alone, whatever those before it have used."""
    memory, seconds = order["memory_bytes"], order["cpu_seconds"]
    until = round(time.process_time()) + seconds
    most = seconds * (_FILES_EACH if order["call"] in _IN_A_ROW else 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (until, most + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def serve() -> None:
    """Answer orders until standard input ends."""
    # A decoder that prints must not be taken for an answer.
    sys.stdout = sys.stderr
    # A collection in a child would copy every page that it shares with us.
    gc.freeze()
    gc.disable()
    _Loop().run()
