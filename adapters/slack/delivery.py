"""What Raybot does in Slack: post, edit, delete, read. Hears nothing; see `listener`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.slack import addresses, refusals, render
from adapters.slack.addresses import NAME, Accounts
from adapters.slack.blocks import jump
from adapters.slack.clients import Clients
from adapters.slack.images import Images
from adapters.slack.pace import Pace
from adapters.slack.people import People
from adapters.slack.posted import ON_ITS_WAY, Note, Posted, to_metadata
from adapters.slack.uploads import FILE, Uploads, parent_for
from adapters.statuses import Statuses
from bot.clock import Clock
from bot.errors import (
    ClipTooLarge,
    DeliveryError,
    DeliveryUnavailable,
    EditsPaused,
    ThreadGone,
)
from bot.log import get_logger
from bot.notices import Aside, Cancelled, Done, Failed, Jobless, Notice, Operator, WithFile
from bot.ports import FIRST_TRY, AdapterLimits, Hosted, Hosting, Memo
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Requester
from bot.send_guard import send_only_while

if TYPE_CHECKING:
    from bot.studio import Document

log = get_logger(__name__)
EDIT_SECONDS = 5.0
#: Where a workspace takes smaller files only, it does not say how small.
SIZES = tuple(each << 20 for each in (100, 50, 20, 10, 5, 2, 1))
#: A message that cannot be changed today cannot be changed tomorrow either.
UNCHANGEABLE_SECONDS = 3600.0
NO_SENSE = "Slack does not answer as it should."


class Delivery:
    """The ports of an adapter, all but listening."""

    name = NAME

    def __init__(
        self,
        *,
        accounts: Accounts,
        clock: Clock,
        base_url: str,
        upload_limit_bytes: int,
        file_hosts: Collection[str],
        admins: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._upload_limit = upload_limit_bytes
        self.clients = Clients(accounts, base_url=base_url)
        self._accounts = accounts
        self._people = People(self.clients, clock=clock, admins=admins)
        self.images = Images(self.clients, clock, hosts=file_hosts)
        self._posted = Posted(self.clients, clock)
        self._uploads = Uploads(self.clients, clock)
        self._pace = Pace(clock)
        self._caps: dict[str, int] = {}
        self._notes: dict[tuple[ThreadRef, str], Note] = {}
        self._statuses = Statuses()

    # ---- what the listener asks and is told ----------------------------------------------

    def on_told(self, notice: Notice) -> None:
        """A message says this now; for whoever shows the same elsewhere."""

    async def placed(self, job_id: JobId, seconds: float) -> MessageRef | None:
        """Where a job's status message is, once it is posted; None where that takes longer."""
        return await self._statuses.wait(job_id, seconds)

    # ---- the port ------------------------------------------------------------------------

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """What this place takes."""
        return AdapterLimits(can_edit=True, edit_seconds=EDIT_SECONDS, is_placed_first=True)

    async def max_upload(self, thread: ThreadRef) -> int:
        """What is configured, or less where a workspace refused a file."""
        return self._caps.get(thread.workspace, self._upload_limit)

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Post a message, at most once for this key; `PostedBefore` where that is in doubt."""
        if isinstance(notice, WithFile):
            message = await self._post_clip(thread, notice, memo=memo)
        elif isinstance(notice, Operator):
            # Nobody keeps a memo for these; of a lost answer at least this process knows.
            memo = self._notes.setdefault((thread, key), Note())
            message = await self._post_words(thread, notice, key=key, memo=memo)
            del self._notes[thread, key]
        else:
            message = await self._post_words(thread, notice, key=key, memo=memo)
            if not isinstance(notice, Aside):
                self._statuses.note(notice.about.job_id, message)
        self.on_told(notice)
        return message

    async def _post_clip(self, thread: ThreadRef, notice: WithFile, *, memo: Memo) -> MessageRef:
        try:
            if memo.get(FIRST_TRY) and not memo.get(FILE):
                # A database that was set back does not know what was uploaded since.
                parent, channel = parent_for(thread, notice), addresses.channel_of(thread)
                where = addresses.to_thread(thread.workspace, channel, parent)
                job_id = notice.about.job_id
                found = await self._posted.find(where, key="", memo=memo, job_id=job_id)
                if found is not None:
                    return found
            return await self._uploads.post(thread, notice, memo=memo)
        except DeliveryError as error:
            is_size = isinstance(error, ClipTooLarge)
            if not is_size and refusals.code_of(error) not in refusals.TOO_LARGE:
                raise
            raise self._to_too_large(thread, notice) from error

    def _to_too_large(self, thread: ThreadRef, notice: WithFile) -> DeliveryError:
        """The clip is made smaller for the next try; a picture of it cannot be."""
        lower = next((each for each in SIZES if each < notice.bytes), notice.bytes // 2)
        if notice.form == "poster":
            return ClipTooLarge(max_bytes=lower)
        self._caps[thread.workspace] = lower
        log.warning("slack.clip_too_large", workspace=thread.workspace, lower=lower)
        return DeliveryUnavailable("The clip is too large for this place.", retry_after=1.0)

    async def _post_words(
        self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo
    ) -> MessageRef:
        # What is said of a clip now may have been the clip itself before.
        if (shown := await self._uploads.earlier(thread, memo)) is not None:
            return shown
        is_first = not memo.get(FIRST_TRY)
        # Whoever tries after that takes this try for posted, or for never.
        until = self._clock.boottime() + ON_ITS_WAY.total_seconds()
        found = await self._posted.find(thread, key=key, memo=memo)
        if found is not None:
            return found
        try:
            with send_only_while(lambda: self._clock.boottime() < until):
                return await self._send(thread, notice, key=key)
        except DeliveryError as error:
            if is_first and refusals.is_certain(error):
                await memo.put(FIRST_TRY, "")
            raise

    async def _send(self, thread: ThreadRef, notice: Notice, *, key: str) -> MessageRef:
        parent = addresses.parent_of(thread)
        async with self.clients.translated(thread.workspace):
            client = await self.clients.api(thread.workspace)
            got = await client.chat_postMessage(
                channel=addresses.channel_of(thread),
                thread_ts=parent or None,
                metadata=to_metadata(key, _job_of(notice)),
                unfurl_links=False,
                unfurl_media=False,
                **self._draw(notice),
            )
        try:
            return addresses.to_message(thread, addresses.read_ts(got.get("ts")))
        except LookupError as error:
            # It stands there, and the next try finds it.
            raise DeliveryUnavailable(NO_SENSE) from error

    def _draw(self, notice: Notice) -> dict[str, Any]:
        drawn = render.draw(notice, now=self._clock.now())
        return {"text": drawn.text, "blocks": drawn.blocks}

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Replace what an own message says; last words go before those of running jobs."""
        thread, is_last = message.thread, isinstance(notice, Done | Failed | Cancelled)
        self._pace.take(thread.workspace, is_last=is_last)
        try:
            async with self.clients.translated(thread.workspace):
                client = await self.clients.api(thread.workspace)
                await client.chat_update(
                    channel=addresses.channel_of(thread),
                    ts=addresses.ts_of(message),
                    **self._draw(notice),
                )
        except DeliveryUnavailable as error:
            if refusals.is_pause(error) and error.retry_after:
                self._pace.rest(thread.workspace, error.retry_after)
            raise
        except ThreadGone as error:
            is_alone = isinstance(notice, Failed | Cancelled)
            if is_alone and refusals.code_of(error) in refusals.UNCHANGEABLE:
                # No clip tells of it, so a new message may.
                raise EditsPaused(retry_after=UNCHANGEABLE_SECONDS) from error
            raise
        self.on_told(notice)

    async def delete(self, message: MessageRef) -> None:
        """Remove an own message and its file; fine if they are gone."""
        fine = refusals.ALREADY_GONE
        if file_id := addresses.file_of(message):
            await self._remove(message, "files.delete", {"file": file_id}, fine=fine)
            # Without its file a message may be gone already, or not be for us to remove.
            fine |= refusals.GONE.keys() - {refusals.KEEPS_ALL}
        place = {"channel": addresses.channel_of(message.thread), "ts": addresses.ts_of(message)}
        await self._remove(message, "chat.delete", place, fine=fine)

    async def _remove(
        self, message: MessageRef, method: str, what: dict[str, str], *, fine: Collection[str]
    ) -> None:
        workspace = message.thread.workspace
        try:
            async with self.clients.translated(workspace):
                await (await self.clients.api(workspace)).api_call(method, json=what)
        except ThreadGone as error:
            if refusals.code_of(error) not in fine:
                raise

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Conversations have no names here."""

    async def direct(self, requester: Requester) -> ThreadRef:
        """The direct messages with this person."""
        workspace = requester.workspace
        async with self.clients.translated(workspace):
            client = await self.clients.api(workspace)
            got = await client.conversations_open(users=requester.user)
        channel = got.get("channel")
        if not isinstance(channel, dict) or not channel.get("id"):
            raise DeliveryUnavailable(NO_SENSE)
        return addresses.to_thread(workspace, str(channel["id"]))

    async def is_admin(self, requester: Requester) -> bool:
        """Whether somebody is an admin of their workspace now, or the configuration says so."""
        account = await self._accounts.of(requester.workspace)
        return (await self._people.anew(account, requester.user)).is_admin

    async def hand_over(
        self, requester: Requester, documents: Sequence[Document], words: str
    ) -> None:
        """Send files to somebody directly, where nobody else sees them."""
        thread = await self.direct(requester)
        await self._uploads.hand_over(thread, documents, words)

    # ---- images --------------------------------------------------------------------------

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an image from Slack, by the link of today."""
        return self.images.read(attachment)

    def link_to(self, message: MessageRef) -> str:
        """The link to a message, through Slack's own address."""
        return jump(message)

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """There is none: what Slack keeps needs a token."""
        raise ThreadGone("Slack gives no public links to images.")


def _job_of(notice: Notice) -> str:
    if isinstance(notice, Jobless):
        return (notice.job_id or "") if isinstance(notice, Operator) else ""
    return notice.about.job_id
