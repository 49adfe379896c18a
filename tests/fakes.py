"""Stand-ins for what lies outside: a clock that can be moved, a chat that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakSet

from bot.clock import SystemClock
from bot.errors import DeliveryError, ThreadGone
from bot.notices import Delivered, Digest, Notice, Starred
from bot.ports import AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, Micros, ThreadRef
from bot.request import GenerationRequest, Requester, VideoWork

#: How the tasks are called in which a dispatcher, or procrastinate, carries out a step.
STEPS = ("advance ", "process job ")
#: Some never end by themselves, so each is waited for so often, and so many seconds.
MOST_OF_A_STEP, A_LITTLE = 600, 0.005


class MovableClock(SystemClock):
    """Real time plus an offset; moving it wakes whoever waits for a time that has come."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._error = timedelta(0)
        self._moved: set[asyncio.Event] = set()
        self._napping: set[asyncio.Task[Any] | None] = set()
        self._endless: WeakSet[asyncio.Task[Any]] = WeakSet()

    def now(self) -> datetime:
        return super().now() + self._offset + self._error

    def boottime(self) -> float:
        return super().boottime() + self._offset.total_seconds()

    @property
    def moved(self) -> timedelta:
        """How far it was moved in all, however slow the machine is."""
        return self._offset

    def move(self, **by: float) -> None:
        """Jump ahead, e.g. `move(seconds=30)`."""
        self._offset += timedelta(**by)
        self._wake()

    async def let_pass(self, *, moment: float = 0.02, **by: float) -> None:
        """Jump ahead once nobody is in the midst of a step, and wait for a real moment.

        A step that more than five seconds seem to pass in believes that it was frozen.
        """
        for _ in range(MOST_OF_A_STEP):
            if not self._at_work():
                break
            await asyncio.sleep(A_LITTLE)
        self._endless.update(self._at_work())
        self.move(**by)
        await asyncio.sleep(moment)

    def _at_work(self) -> set[asyncio.Task[Any]]:
        steps = {each for each in asyncio.all_tasks() if each.get_name().startswith(STEPS)}
        return steps.difference(self._napping, self._endless)

    def set_wall(self, **by: float) -> None:
        """Set the wall clock alone, back where it is negative; no time passes."""
        self._error += timedelta(**by)
        self._wake()

    def set_to_noon(self) -> None:
        """Set the wall clock to the middle of this day, so that none ends while a test runs."""
        self.set_wall(hours=12 - self.now().hour)

    def _wake(self) -> None:
        for event in self._moved:
            event.set()

    async def _nap(self, event: asyncio.Event, seconds: float) -> None:
        moved = asyncio.Event()
        self._moved.add(moved)
        self._napping.add(napping := asyncio.current_task())
        first = {asyncio.ensure_future(each.wait()) for each in (event, moved)}
        try:
            await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._moved.discard(moved)
            self._napping.discard(napping)
            for each in first:
                each.cancel()


@dataclass
class Post:
    """One message as the platform shows it."""

    key: str
    ref: MessageRef
    notices: list[Notice] = field(default_factory=list)


@dataclass
class Memory:
    """What a post must not forget."""

    kept: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def put(self, name: str, value: str) -> None:
        self.kept[name] = value


class RecordingAdapter:
    """A chat platform in memory. `fault` may raise before or after a post took place."""

    name = "recording"
    trouble: str | None = None

    def __init__(self, max_upload_bytes: int = 50_000_000) -> None:
        self.posts: list[Post] = []
        self.images: dict[str, bytes] = {}
        self.before_post: Callable[[Notice], DeliveryError | None] = lambda _: None
        self.max_upload_bytes = max_upload_bytes
        self.is_placed_first = False
        self.admins: set[str] = set()
        self.rights_fault: DeliveryError | None = None
        self.routes: Mapping[tuple[str, str], WebHandler] = {}
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        await asyncio.Event().wait()

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        return AdapterLimits(
            can_edit=True,
            edit_seconds=0.0,
            is_placed_first=self.is_placed_first,
        )

    async def max_upload(self, thread: ThreadRef) -> int:
        return self.max_upload_bytes

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        if error := self.before_post(notice):
            raise error
        for post in self.posts:
            if post.key == key:
                return post.ref
        if isinstance(notice, Delivered):
            assert Path(notice.path).stat().st_size == notice.bytes
        ref = MessageRef(thread=thread, message=str(len(self.posts) + 1))
        self.posts.append(Post(key, ref, [notice]))
        await self._tell()
        return ref

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        next(post for post in self.posts if post.ref == message).notices.append(notice)
        await self._tell()

    async def delete(self, message: MessageRef) -> None:
        self.posts = [post for post in self.posts if post.ref != message]
        await self._tell()

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Its conversations have no names."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        return ThreadRef(adapter=self.name, workspace="local", channel=f"dm-{requester.user}")

    async def is_admin(self, requester: Requester) -> bool:
        if self.rights_fault is not None:
            raise self.rights_fault
        return requester.user in self.admins

    def link_to(self, message: MessageRef) -> str:
        return f"https://chat.example/{message.thread.channel}/{message.message}"

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """There is none, as the limits say."""
        raise ThreadGone

    async def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        yield self.images[attachment.id]

    # ---- what a test looks at ------------------------------------------------------------

    def clips(self, job_id: JobId | None = None) -> list[Delivered]:
        """The clips that were posted, of one job or of all."""
        found = [post.notices[0] for post in self.posts if post.key.endswith(":clip")]
        delivered = [each for each in found if isinstance(each, Delivered)]
        return [each for each in delivered if job_id in (None, each.about.job_id)]

    def status(self, job_id: JobId) -> Notice | None:
        """What a job's status message says now."""
        for post in self.posts:
            if post.key == f"{job_id}:status":
                return post.notices[-1]
        return None

    async def until(self, is_so: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something is true, looked at whenever a message changes."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(is_so)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def until(is_so: Callable[[], object]) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.002)


def to_requester(user: str = "ana", *, workspace: str = "local") -> Requester:
    return Requester(adapter="recording", workspace=workspace, user=user, display_name=user)


def to_request(
    prompt: str = "a red fox in snow", *, key: str = "k1", user: str = "ana", **work: object
) -> GenerationRequest:
    """A request from the recording platform; what `work` names counts as typed."""
    return GenerationRequest(
        dedupe_key=key,
        requester=to_requester(user),
        thread=ThreadRef(adapter="recording", workspace="local", channel="general"),
        work=VideoWork.model_validate(
            {"prompt": prompt, **work, "typed": {"prompt", *work} - {"is_draft"}}
        ),
    )


def digest_of(*starred: Starred) -> Digest:
    """A week in which these clips were liked most."""
    return Digest(
        since=date(2026, 10, 26),
        until=date(2026, 11, 1),
        clips=3,
        people=2,
        seconds=15.0,
        charged=Micros(420_000),
        starred=starred,
        money_left=Micros(4_580_000),
        clips_left=1,
    )
