"""An open transaction, and what waits for its COMMIT and for the answer that follows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

#: Writes rows that were put off, all at once.
Late = Callable[[Connection, list[Any]], object]
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Tx:
    """An open transaction: the connection, and what to do once it is durable."""

    conn: Connection
    hooks: list[Callable[[], None]] = field(default_factory=list)
    late: dict[Late, list[Any]] = field(default_factory=dict)

    def put_off(self, write: Callable[[Connection, list[T]], object], row: T) -> None:
        """Write this row at the end, together with others: nothing before the commit reads it."""
        self.late.setdefault(write, []).append(row)

    def write_late(self) -> None:
        """Write what was put off; whoever opens a transaction of their own ends with this."""
        for write, rows in self.late.items():
            write(self.conn, rows)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run this on the event loop once the transaction is durable, before its caller goes on.

        A fault in it undoes nothing: it is logged, and the caller still gets the result.
        """
        self.hooks.append(call)


#: What is written together with something else, or not at all.
Also = Callable[[Tx], None]


@dataclass
class Item(Generic[R]):
    """One transaction that waits in the writer's queue, and what became of it."""

    work: Callable[[Tx], R]
    future: asyncio.Future[R]
    hooks: list[Callable[[], None]] = field(default_factory=list)
    result: R | None = None
    error: BaseException | None = None

    def start_over(self) -> None:
        """Nothing of it was written."""
        self.result, self.error, self.hooks = None, None, []

    def answer(self) -> None:
        """Tell the caller; runs on the event loop, after the commit and the hooks."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # None only if R is


def resolve(batch: list[Item[Any]]) -> None:
    """Run the hooks of what was committed, and answer its callers, each on its own loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Item[Any]]] = {}
    for item in batch:
        by_loop.setdefault(item.future.get_loop(), []).append(item)
    for loop, items in by_loop.items():
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(_resolve_all, items, loop)


def _resolve_all(items: list[Item[Any]], loop: asyncio.AbstractEventLoop) -> None:
    """Each hook and each answer is a call of its own, in order.

    So one that raises is logged by the loop, and nobody in the batch waits for ever.
    """
    for item in items:
        if item.error is None:
            for hook in item.hooks:
                loop.call_soon(hook)
        loop.call_soon(item.answer)
