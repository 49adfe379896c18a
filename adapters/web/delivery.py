"""What the page shows of a job: to post or to edit a message is to draw the job's card anew.

Nothing is kept here: a card is drawn from the job itself, so a message is there once however often
it is posted, and the page is the same after a restart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.web.images import Images
from adapters.web.parse import NAME, THREAD
from adapters.web.rooms import Rooms
from bot.clock import Clock
from bot.errors import ThreadGone
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
        self._images = Images(studio, folder, days=image_days, clock=clock)
        self._rooms = Rooms(studio, self._images, clock=clock)

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
        await self._rooms.redraw(JobId(message.message.partition(":")[0]))

    async def unname(self, asked: ThreadRef, message: MessageRef) -> None:
        """Threads have no names of their own here."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        """Whoever is here has the channel to themselves."""
        del requester
        return THREAD

    async def is_admin(self, requester: Requester) -> bool:
        """Whoever comes to the page without the desk runs nothing."""
        del requester
        return False

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """There is none, as `can_host` says."""
        raise ThreadGone

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an image that somebody brought."""
        return self._images.read(attachment)

    async def _tell(self, notice: Notice) -> None:
        if not isinstance(notice, Jobless):
            await self._rooms.redraw(notice.about.job_id, notice.about.requester)
