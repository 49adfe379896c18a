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

from adapters.login import whoami
from adapters.web import render
from adapters.web.asides import ASIDE, Asides, Kept
from adapters.web.images import IMAGE, Brought, Images
from adapters.web.news import News
from adapters.web.parse import NAME, THREAD
from bot.clock import Clock
from bot.errors import BotError, JobNotFound, ThreadGone
from bot.log import get_logger
from bot.notices import Aside, Jobless, Notice
from bot.ports import AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
SWEEP_EVERY = timedelta(hours=1)
#: What one process tells the others: a card, an image or a message looks another way now.
CHANGED = "page changed"
#: A message of ours takes any length, is changed at once, and others do not read along.
LIMITS = AdapterLimits(
    max_upload_bytes=1 << 50,
    max_text_chars=1_000_000,
    can_edit=True,
    edit_seconds=0.0,
    is_shared=False,
)


class Delivery:
    """The ports of an adapter, all but listening."""

    name = NAME
    trouble = None

    def __init__(self, studio: Studio, *, folder: Path, image_days: int, clock: Clock) -> None:
        self._studio = studio
        self._clock = clock
        self._requester = whoami(NAME)
        self._images = Images(studio, folder, days=image_days, clock=clock)
        self._asides = Asides(studio, self._images, days=image_days, clock=clock)
        self._news = News(clock=clock)
        self._drawing = asyncio.Lock()
        #: What other processes say has changed.
        self._heard: dict[str, None] = {}
        self._hears = asyncio.Event()
        studio.replicas.on(CHANGED, self._on_heard)

    @property
    def routes(self) -> Mapping[tuple[str, str], WebHandler]:
        """None: this part is called by the bot alone."""
        return {}

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """The page takes everything."""
        del thread
        return LIMITS

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Show what is so now; the key is the message's id."""
        del memo
        await self._tell(notice, key)
        return MessageRef(thread=thread, message=key)

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Show what is so now."""
        await self._tell(notice, message.message)

    async def delete(self, message: MessageRef) -> None:
        """What was said beside a job goes; of a clip that went with its job the card says so."""
        if (gone := await self._asides.take_away(message.message)) is not None:
            await self._show(gone.name)
            return
        await self._show(JobId(message.message.partition(":")[0]))

    async def unname(self, asked: ThreadRef, message: MessageRef) -> None:
        """Threads have no names of their own here."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        """Whoever sits here is alone already."""
        del requester
        return THREAD

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

    async def _tell(self, notice: Notice, key: str) -> None:
        if isinstance(notice, Aside):
            await self._show((await self._asides.put(key, notice)).name)
        else:
            await self._show(notice.about.job_id)

    async def _show(self, name: str, *, is_heard: bool = False) -> str:
        """Something as it is now, for every page that is open, here and at other processes."""
        # In order: else what was read first could be told last.
        async with self._drawing:
            drawn = await self._draw(name)
            if drawn and self._news.tell(name, drawn) and not is_heard:
                self._studio.replicas.tell(CHANGED, name=name)
            return drawn

    async def _draw(self, name: str) -> str:
        """A job's card, an image or a message beside jobs, by its name on the page.

        Empty for what is not on it, such as a job of who sat here before.
        """
        every: dict[str, str] = {}
        if name.startswith(IMAGE):
            every = {each.name: self._draw_image(each) for each in await self._images.shown()}
        elif name.startswith(ASIDE):
            every = {each.name: self._draw_aside(each) for each in await self._asides.shown()}
        else:
            return await self._draw_card(JobId(name))
        return every.get(name) or render.draw_gone(name)

    async def _draw_card(self, job_id: JobId) -> str:
        try:
            shown = await self._studio.show(job_id, self._requester)
        except JobNotFound:
            return ""
        notice = shown.notice
        is_own = isinstance(notice, Jobless) or (
            notice.about.requester.person == self._requester.person
        )
        return render.draw_card(shown, self._images.has) if is_own else ""

    def _draw_image(self, image: Brought) -> str:
        return render.draw_image(image, self._requester.display_name)

    def _draw_aside(self, aside: Kept) -> str:
        return render.draw_aside(aside, self._images.has)

    async def _everything(self, *, runs_it: bool) -> list[str]:
        """The channel's newest page."""
        lines = await self._studio.jobs(self._requester)
        shown = [await self._studio.show(line.job_id, self._requester) for line in reversed(lines)]
        return [
            *(render.draw_card(each, self._images.has) for each in shown),
            *(self._draw_image(each) for each in await self._images.shown()),
            *(self._draw_aside(each) for each in await self._asides.shown(runs_it=runs_it)),
        ]

    # ---- other processes, and time ------------------------------------------------------

    def _on_heard(self, said: Mapping[str, str]) -> None:
        self._heard[said["name"]] = None
        self._hears.set()

    async def _hear(self) -> None:
        """Show what another process changed, until cancelled."""
        while True:
            await self._hears.wait()
            self._hears.clear()
            names, self._heard = self._heard, {}
            for name in names:
                try:
                    await self._show(name, is_heard=True)
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
