"""The true program in a process of the bench's own, with a chat that only takes its time.

Knows how to start it, ask it for clips and see when each was visible; judges nothing.
"""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select

from bench.pace import paced
from bench.post_log import UPLOAD_SECONDS, PostLog
from bench.service import KEY, to_prompt
from bench.workspace import Workspace
from bot.about import About
from bot.addresses import load_early
from bot.app import App
from bot.clock import SystemClock
from bot.config import Config, to_config
from bot.errors import DeliveryUnavailable, ThreadGone
from bot.job import Job
from bot.log import setup_logging
from bot.notices import Delivered, Notice
from bot.ports import AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import GenerationRequest, Requester, VideoWork
from bot.store import jobs as rows
from bot.store.schema import job_events, jobs
from bot.wiring.supply import AdapterFactory

NAME = "bench"
LOOK_SECONDS = 0.1


class Chat:
    """A chat platform that takes a while for each message and remembers only when clips came."""

    name = NAME
    trouble = None
    routes: Mapping[tuple[str, str], WebHandler] = MappingProxyType({})

    def __init__(
        self, post_log: PostLog | None = None, upload_seconds: float = UPLOAD_SECONDS
    ) -> None:
        self.clips: dict[JobId, float] = {}
        self.posts = 0
        self._post_log = post_log
        self._upload_seconds = upload_seconds
        self._posted = asyncio.Event()

    async def run(self) -> None:
        """Hear nothing; the bench asks the studio itself."""
        await asyncio.Event().wait()

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """Those of Discord."""
        return AdapterLimits(can_edit=True)

    async def max_upload(self, thread: ThreadRef) -> int:
        """That of Discord."""
        return 10_000_000

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Take the time of an upload; then it is visible."""
        await asyncio.sleep(self._upload_seconds)
        match notice:
            case Delivered(about=About(job_id=job_id, work=VideoWork(prompt=prompt))):
                self.clips.setdefault(job_id, SystemClock().now().timestamp())
                if self._post_log is not None:
                    self._post_log.show(prompt, key)
        self.posts += 1
        self._posted.set()
        return MessageRef(thread=thread, message=key)

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """As long as a post."""
        await asyncio.sleep(self._upload_seconds)

    async def delete(self, message: MessageRef) -> None:
        """Nothing to remove."""

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Its conversations have no names."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        """There are no direct messages."""
        return None

    async def is_admin(self, requester: Requester) -> bool:
        """Nobody is."""
        del requester
        return False

    def link_to(self, message: MessageRef) -> str:
        """There is nothing to read."""
        del message
        return ""

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """There is none, as the limits say."""
        raise ThreadGone

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """There are no attachments."""
        raise DeliveryUnavailable

    async def until(self, is_so: Callable[[Chat], bool]) -> None:
        """Wait until something is true, looked at after every post."""
        while not is_so(self):
            self._posted.clear()
            await self._posted.wait()


@dataclass(frozen=True, kw_only=True)
class Journey:
    """When a finished generation was seen, its file kept, and its clip visible in the thread."""

    seen: float
    kept: float
    visible: float


@dataclass(frozen=True, kw_only=True)
class Program:
    """A running bot and its chat."""

    app: App
    chat: Chat

    def now(self) -> float:
        """PostLog time in seconds, as the simulator's report has it."""
        return SystemClock().now().timestamp()

    async def ask(self, number: int, *, person: str = "") -> JobId:
        """Submit the `number`th request, of its own person or of a named one."""
        receipt = await self.app.studio.submit(to_request(number, person=person))
        return receipt.job_id

    async def ask_for(
        self, numbers: Sequence[int], *, at_once: int = 50, person: str = ""
    ) -> list[JobId]:
        """Submit many, so many at the same time."""
        # A task for each of thousands would be memory of ours that the program seems to take.
        waiting, taken = iter(numbers), list[JobId]()

        async def ask() -> None:
            for number in waiting:
                taken.append(await self.ask(number, person=person))

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(ask())
        return taken

    async def ask_at_pace(self, numbers: range, rate: float) -> None:
        """Submit so many a second, whoever has been answered; then wait until all were."""
        async with asyncio.TaskGroup() as group:
            waiting = iter(numbers)
            async for _ in paced(len(numbers), rate):
                group.create_task(self.ask(next(waiting)))

    async def until_generating(self, count: int) -> None:
        """Wait until so many generations have been begun in all."""
        query = select(func.count()).select_from(jobs).where(jobs.c.generation_id.is_not(None))
        while await self.app.database.read(lambda conn: conn.execute(query).scalar_one()) < count:
            await asyncio.sleep(LOOK_SECONDS)

    async def until_ended(self) -> None:
        """Wait until nothing that was asked for is still open."""
        query = select(func.count()).select_from(jobs).where(jobs.c.ended_at.is_(None))
        while await self.app.database.read(lambda conn: conn.execute(query).scalar_one()):
            await asyncio.sleep(LOOK_SECONDS)

    async def job(self, job_id: JobId) -> Job:
        """One job as it stands."""
        return await self.app.database.read(lambda conn: rows.get(conn, job_id))

    async def journeys(self) -> dict[str, Journey]:
        """The last stretch of each generation whose clip is visible."""
        query = (
            select(jobs.c.id, jobs.c.generation_id, job_events.c.at)
            .join(job_events, job_events.c.job_id == jobs.c.id)
            .where(job_events.c.to_state.in_(["fetching", "delivering"]))
            .order_by(job_events.c.version)
        )
        found = await self.app.database.read(lambda conn: conn.execute(query).all())
        times: dict[tuple[JobId, str], list[float]] = {}
        for job_id, generation, at in found:
            times.setdefault((job_id, generation), []).append(at.timestamp())
        clips = self.chat.clips
        return {
            generation: Journey(seen=seen[0], kept=seen[1], visible=clips[job_id])
            for (job_id, generation), seen in times.items()
            if job_id in clips
        }


def to_request(number: int, *, person: str = "") -> GenerationRequest:
    """A request of one of fifty people."""
    user = person or f"person-{number % 50}"
    return GenerationRequest(
        dedupe_key=f"{user}-{number}",
        requester=Requester(adapter=NAME, workspace="local", user=user),
        thread=ThreadRef(adapter=NAME, workspace="local", channel=f"channel-{number % 10}"),
        work=VideoWork(prompt=to_prompt(number)),
    )


def to_bench_config(
    workspace: Workspace,
    url: str,
    *,
    running: int = 10,
    gets_per_second: float = 5.0,
    servers: Sequence[str] = (),
    workspaces: Sequence[str] = (),
) -> Config:
    """The defaults everywhere but for limits, which must not bind, and the service's address."""
    tables: dict[str, dict[str, Any]] = {
        "bot": {
            "data_dir": str(workspace.folder / "data"),
            "public_port": 0,
            "private_port": 0,
            "shutdown_grace_seconds": 1,
        },
        "access": {"servers": list(servers), "workspaces": list(workspaces)},
        "limits": {"usd_per_person_per_day": 1e6, "usd_total_per_month": 1e7},
        "providers": {
            "luma": {
                "api_key": KEY,
                "base_url": url,
                "running_limit": running,
                "creates_per_minute": 1_000_000,
                "gets_per_second": gets_per_second,
            }
        },
    }
    if workspace.database_url:
        # Its replicas are processes here, so they share the folder and the key.
        tables["bot"] |= {
            "database_url": workspace.database_url,
            "single_host": True,
            "secret_key": "of the bench, and of nothing else",
        }
    return to_config(tables)


@asynccontextmanager
async def running(
    config: Config, *, chat: Chat | None = None, **adapters: AdapterFactory
) -> AsyncIterator[Program]:
    """Run the program while the block runs, with more chats where they are named."""
    setup_logging("error")
    used = chat or Chat()
    stop = asyncio.Event()
    async with (
        App(config, {NAME: lambda _: used, **adapters}) as app,
        asyncio.TaskGroup() as group,
    ):
        await load_early()  # Both as `raybot run` does.
        gc.freeze()
        group.create_task(app.run(stop))
        try:
            yield Program(app=app, chat=used)
        finally:
            stop.set()


def resident_bytes() -> int:
    """The memory of this process now; its highest where the system tells no more."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def settled_bytes() -> int:
    """The same once what is not needed any more is gone."""
    gc.collect()
    return resident_bytes()
