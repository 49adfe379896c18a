"""Runs each part of a measure in a fresh process of its own, and never for ever."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

from bot.__main__ import GARBAGE_AT

CONTEXT = multiprocessing.get_context("spawn")
GRACE_SECONDS = 10.0
R = TypeVar("R")


class ChildFailed(Exception):
    """A part of a measure ended without a result; its own traceback is above."""


class Child(Generic[R]):
    """A function at work in a new interpreter; `result` waits for what it returns."""

    def __init__(self, function: Callable[..., R], *arguments: object) -> None:
        self._name = function.__name__
        self._ours, theirs = CONTEXT.Pipe()
        module, name = function.__module__, function.__qualname__
        self._process = CONTEXT.Process(
            target=_answer, args=(theirs, module, name, arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def result(self, seconds: float) -> R:
        """What the function returned; raises `ChildFailed` where it takes longer or fails."""
        try:
            if not self._ours.poll(seconds):
                raise ChildFailed(f"{self._name} took longer than {seconds:.0f} s")
            return cast("R", self._ours.recv())
        except EOFError:
            raise ChildFailed(f"{self._name} failed") from None
        finally:
            self.end()

    def kill(self) -> None:
        """Kill -9: it gets no moment to put anything in order."""
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        """Let it go; one that does not is killed."""
        end(self._process)


class PipedChild:
    """A child that talks: its function's first argument is a pipe, and None asks it to end."""

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        self._name = function.__name__
        self._pipe, theirs = CONTEXT.Pipe()
        self._child = Child(function, theirs, *arguments)
        theirs.close()

    def send(self, what: object) -> None:
        """Send it something."""
        self._pipe.send(what)

    def recv(self, seconds: float) -> Any:
        """What it sends next; raises `ChildFailed` where it takes longer or fails."""
        try:
            if not self._pipe.poll(seconds):
                raise ChildFailed(f"{self._name} took longer than {seconds:.0f} s")
            return self._pipe.recv()
        except (EOFError, OSError):
            raise ChildFailed(f"{self._name} failed") from None

    def kill(self) -> None:
        """Kill -9: it gets no moment to put anything in order."""
        self._child.kill()

    def end(self) -> None:
        """Let it go; one that does not is killed."""
        with suppress(OSError):
            self._pipe.send(None)
        self._child.end()


def end(process: Any) -> None:
    """Give a process a moment to end by itself, then none."""
    process.join(GRACE_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _answer(pipe: Connection, module: str, name: str, arguments: Any) -> None:
    # As the command itself does while it loads.
    gc.disable()
    function = getattr(importlib.import_module(module), name)
    gc.freeze()
    gc.enable()
    gc.set_threshold(*GARBAGE_AT)
    pipe.send(function(*arguments))
    pipe.close()
