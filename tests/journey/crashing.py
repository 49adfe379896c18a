"""Runs the true program in a child process that kills itself at its n-th boundary.

A boundary lies before and after each commit, each submission's POST and each post to the chat.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.app import App
from bot.config import to_config
from bot.errors import DeliveryUnavailable
from bot.log import setup_logging
from bot.notices import Delivered, Notice
from bot.ports import Memo
from bot.providers.luma import Luma
from bot.refs import Attachment, MessageRef, ThreadRef
from bot.request import GenerationRequest
from bot.store import jobs, migrations
from bot.store.database import Database
from tests.fakes import MovableClock, RecordingAdapter


@dataclass(frozen=True)
class Orders:
    """What one child does: which tables, which requests, and where it dies (0: nowhere).

    Boundaries count from the end of its `after_submits`-th submission on.
    """

    tables: dict[str, Any]
    requests: tuple[str, ...]
    folder: str
    die_at: int = 0
    is_restart: bool = False
    after_submits: int = 0


class Boundaries:
    """Counts boundaries, and ends the process at one of them without any goodbye."""

    def __init__(self, orders: Orders) -> None:
        self._die_at = orders.die_at
        self._passed = 0
        self._submits_to_come = orders.after_submits
        self._log = Path(orders.folder) / "boundaries.log"

    def cross(self, name: str) -> None:
        if self._submits_to_come:
            self._submits_to_come -= name == "after submit"
            return
        self._passed += 1
        if self._passed == self._die_at:
            with self._log.open("a") as log:
                log.write(f"{self._passed} {name}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    @property
    def passed(self) -> int:
        return self._passed


class DurableChat(RecordingAdapter):
    """A platform that outlives the bot: a line per message, and no key twice."""

    def __init__(self, folder: Path, boundaries: Boundaries) -> None:
        super().__init__()
        self._file = folder / "posts.jsonl"
        self._boundaries = boundaries

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        self._boundaries.cross(f"before post {key}")
        known = self._file.read_text().splitlines() if self._file.exists() else []
        if isinstance(notice, Delivered) and not Path(notice.path).exists():
            raise DeliveryUnavailable
        if not any(json.loads(line)["key"] == key for line in known):
            with self._file.open("a") as file:
                file.write(json.dumps({"key": key, "kind": type(notice).__name__}) + "\n")
        self._boundaries.cross(f"after post {key}")
        return MessageRef(thread=thread, message=key)

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        return

    async def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        yield Path(attachment.id).read_bytes()


#: Loaded once in the fork server: a child that migrates would spend half a second on it.
PRELOADED = (migrations,)


def live(orders: Orders) -> None:
    """Be the bot until every job has ended, or until the boundary."""
    boundaries = Boundaries(orders)
    setup_logging("debug", stream=(Path(orders.folder) / "bot.log").open("a"))
    _wrap(Database, "_write_batch", boundaries)
    _wrap_async(Luma, "submit", boundaries)
    asyncio.run(_live(orders, boundaries))
    (Path(orders.folder) / "passed").write_text(str(boundaries.passed))


async def _live(orders: Orders, boundaries: Boundaries) -> None:
    clock = MovableClock()
    if orders.is_restart:
        clock.move(seconds=120)
    chat = DurableChat(Path(orders.folder), boundaries)
    async with (
        App(to_config(orders.tables), {"recording": lambda _: chat}, clock=clock) as app,
        asyncio.TaskGroup() as group,
    ):
        stop = asyncio.Event()
        group.create_task(app.run(stop))
        for text in orders.requests:
            request = GenerationRequest.model_validate_json(text)
            await app.studio.submit(request)
        await _until_all_ended(app, clock, hurries=orders.is_restart)
        stop.set()


async def _until_all_ended(app: App, clock: MovableClock, *, hurries: bool) -> None:
    async with asyncio.timeout(30):
        while await app.database.read(jobs.open_ids):
            await clock.let_pass(seconds=5 if hurries else 0)


def _wrap(owner: type, name: str, boundaries: Boundaries) -> None:
    true: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        boundaries.cross(f"before {name}")
        result = true(*args, **kwargs)
        boundaries.cross(f"after {name}")
        return result

    setattr(owner, name, wrapped)


def _wrap_async(owner: type, name: str, boundaries: Boundaries) -> None:
    true: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        boundaries.cross(f"before {name}")
        result = await true(*args, **kwargs)
        boundaries.cross(f"after {name}")
        return result

    setattr(owner, name, wrapped)
