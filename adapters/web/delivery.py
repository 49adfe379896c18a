"""What the page shows of a job: to post or to edit a message is to draw the job's card anew.

Nothing is kept here: a card is drawn from the job itself, so a message is there once however often
it is posted, and the page is the same after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.login import whoami
from adapters.web import render
from adapters.web.images import Images
from adapters.web.news import News
from adapters.web.parse import NAME, THREAD
from bot.clock import Clock
from bot.errors import JobNotFound, ThreadGone
from bot.notices import Jobless, Notice
from bot.ports import AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Studio

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
        self._news = News(clock=clock)
        self._drawing = asyncio.Lock()

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
        await self._tell(notice)
        return MessageRef(thread=thread, message=key)

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Show what is so now."""
        del message
        await self._tell(notice)

    async def delete(self, message: MessageRef) -> None:
        """The clip is gone with its job's; the card says so when it is drawn next."""
        await self._redraw(JobId(message.message.partition(":")[0]))

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

    # ---- cards ---------------------------------------------------------------------------

    async def _tell(self, notice: Notice) -> None:
        if not isinstance(notice, Jobless):
            await self._redraw(notice.about.job_id)

    async def _redraw(self, job_id: JobId) -> str:
        """The job's card as it is now, which every page that is open gets, too."""
        # In order: else what was read first could be told last.
        async with self._drawing:
            try:
                shown = await self._studio.show(job_id, self._requester)
            except JobNotFound:
                return ""
            drawn = render.draw_card(shown, self._images.has)
            self._news.tell(job_id, drawn)
            return drawn

    async def _everything(self) -> list[str]:
        """The cards of the channel's newest page."""
        lines = await self._studio.jobs(self._requester)
        shown = [await self._studio.show(line.job_id, self._requester) for line in reversed(lines)]
        return [render.draw_card(each, self._images.has) for each in shown]
