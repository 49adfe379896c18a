"""What the page shows of a job: to post or to edit a message is to draw the job's card anew.

Nothing is kept of that: a card is drawn from the job itself, so a message is there once however
often it is posted, and the page is the same after a restart. What is said beside jobs is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.web.asides import Asides, Kept
from adapters.web.images import Images
from adapters.web.keeper import WebKeeper
from adapters.web.parse import NAME, direct_to, to_direct
from adapters.web.rooms import CHANGED, RoomContext, Rooms
from bot.clock import Clock
from bot.errors import BotError, ThreadGone
from bot.log import get_logger
from bot.notices import Aside, ConsentAsked, Notice
from bot.ports import AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
SWEEP_EVERY = timedelta(hours=1)
#: A message of ours is changed at once, and others do not read along.
LIMITS = AdapterLimits(
    can_edit=True,
    edit_seconds=0.0,
    is_shared=False,
)
MAX_UPLOAD = 1 << 50


class Delivery:
    """The ports of an adapter, all but listening."""

    name = NAME
    trouble = None

    def __init__(self, studio: Studio, *, folder: Path, image_days: int, clock: Clock) -> None:
        self._studio = studio
        self._clock = clock
        self._images = Images(studio, folder, days=image_days, clock=clock)
        self._asides = Asides(studio, self._images, days=image_days, clock=clock)
        context = RoomContext(
            studio=studio,
            images=self._images,
            asides=self._asides,
            clock=clock,
            is_alone=not studio.entry.is_public,
        )
        self._rooms = Rooms(context)
        studio.erasure.also(WebKeeper(context, self._rooms))
        #: What other processes say has changed, and for whom.
        self._heard: dict[tuple[str, str], None] = {}
        self._hears = asyncio.Event()
        studio.replicas.on(CHANGED, self._on_heard)

    @property
    def routes(self) -> Mapping[tuple[str, str], WebHandler]:
        """None: this part is called by the bot alone."""
        return {}

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """A message is changed at once."""
        del thread
        return LIMITS

    async def max_upload(self, thread: ThreadRef) -> int:
        """Any size: it is a file beside the page."""
        del thread
        return MAX_UPLOAD

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Show what is so now; the key is the message's id."""
        del memo
        await self._tell(notice, key, thread)
        return MessageRef(thread=thread, message=key)

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Show what is so now."""
        await self._tell(notice, message.message, message.thread)

    async def delete(self, message: MessageRef) -> None:
        """What was said beside a job goes; of a clip that went with its job the card says so."""
        if (gone := await self._asides.take_away(message.message)) is not None:
            await self._show(gone)
            return
        await self._rooms.show(JobId(message.message.partition(":")[0]))

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Threads have no names of their own here."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        """Their room, without those who share what is said to everybody."""
        return to_direct(requester)

    async def is_admin(self, requester: Requester) -> bool:
        """Whoever comes to the page without the desk runs nothing."""
        del requester
        return False

    def link_to(self, message: MessageRef) -> str:
        """The thread of a job."""
        return f"/web/thread?job={message.message.partition(':')[0]}"

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """There is none, as `can_host` says."""
        raise ThreadGone

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an image that somebody brought."""
        return self._images.read(attachment)

    # ---- what stands in the channel ------------------------------------------------------

    async def _tell(self, notice: Notice, key: str, thread: ThreadRef) -> None:
        if not isinstance(notice, Aside):
            await self._rooms.show(notice.about.job_id, notice.about.requester.person)
            return
        whom = notice.owner if isinstance(notice, ConsentAsked) else direct_to(thread)
        await self._show(await self._asides.put(key, notice, whom=whom))

    async def _show(self, aside: Kept) -> None:
        await self._rooms.show(aside.name, aside.person)

    # ---- other processes, and time ------------------------------------------------------

    def _on_heard(self, said: Mapping[str, str]) -> None:
        self._heard[said["name"], said.get("person", "")] = None
        self._hears.set()

    async def _hear(self) -> None:
        """Show what another process changed, until cancelled."""
        while True:
            await self._hears.wait()
            self._hears.clear()
            while self._heard:
                name, person = next(iter(self._heard))
                # Before it is shown: one that breaks what shows it is not met again.
                del self._heard[name, person]
                try:
                    await self._rooms.show(name, person, is_heard=True)
                except BotError as error:
                    log.info("web.not_redrawn", cause=type(error).__name__)

    async def _sweep(self) -> None:
        """Let go what is old, until cancelled."""
        while True:
            await self._images.sweep()
            try:
                await self._asides.sweep()
            except BotError as error:
                log.warning("web.asides_not_swept", cause=type(error).__name__)
            await self._clock.wait(asyncio.Event(), self._clock.now() + SWEEP_EVERY)
