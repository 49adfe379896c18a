"""What Raybot does in Discord: post, edit, delete, host, read. Hears nothing; see `listener`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import aiohttp
import discord

from adapters.discord import buttons, refusals, render
from adapters.discord.hosting import HostedImages, attach, send
from adapters.discord.images import Images
from adapters.discord.messages import to_message, to_nonce, without_prompt
from adapters.discord.parse import DIRECT, NAME, channel_id, is_private, is_unopened
from adapters.discord.places import LearnedSizes
from adapters.discord.posted import NONCE_WINDOW, Posted, may_stand_in, place_in
from adapters.discord.private import PrivateAnswers
from adapters.discord.shards import knows
from adapters.statuses import Statuses
from bot.clock import Clock
from bot.errors import (
    ClipTooLarge,
    DeliveryError,
    DeliveryUnavailable,
    PostedBefore,
    ThreadGone,
)
from bot.log import get_logger
from bot.notices import Aside, Cancelled, Delivered, Done, Failed, Jobless, Notice, WithFile
from bot.ports import FIRST_TRY, AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Requester
from bot.send_guard import send_only_while

log = get_logger(__name__)
#: What a thread is called that was opened for a request that is forgotten.
UNNAMED = "Removed"
T = TypeVar("T")
UNREACHED = "Discord cannot be reached right now."
#: A call takes so long at most, its waits for Discord's limits and its upload included.
PATIENCE_SECONDS = 300.0
#: What Discord has allowed for files, by time and boost: the next lower one is tried.
SIZES = (100 << 20, 50 << 20, 20 << 20, 10 << 20, 8 << 20, 4 << 20, 2 << 20, 1 << 20)


class Delivery:
    """The ports of an adapter, all but listening."""

    name = NAME
    #: It is called by nobody: it asks.
    routes: Mapping[tuple[str, str], WebHandler] = MappingProxyType({})

    def __init__(
        self,
        *,
        clock: Clock,
        upload_limit_bytes: int,
        can_host: bool,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._clock = clock
        self._least_upload = upload_limit_bytes
        self._can_host = can_host
        self._patience = patience_seconds
        #: The one that listens, and one that only posts while another process listens.
        self._client: discord.Client | None = None
        self._silent: discord.Client | None = None
        self._breaker = refusals.Breaker(clock)
        self._old_edits = refusals.OldEdits(clock)
        #: What was refused as too large, and what servers take of which no gateway tells.
        self._caps, self._boosts = LearnedSizes(clock), LearnedSizes(clock)
        self._private = PrivateAnswers(clock)
        self._posted = Posted(clock, tried_for=patience_seconds)
        self.images = Images()
        self._hosted = HostedImages()
        self._statuses = Statuses()

    # ---- what the listener tells it ------------------------------------------------------

    def stand_by(self, client: discord.Client) -> None:
        """Post with this client while no other one listens."""
        self._silent = client

    def keep_private(self, interaction: discord.Interaction[Any]) -> str:
        """Answer its job with the interaction's own message, while it can be; says where."""
        return self._private.keep(interaction)

    async def placed(self, job_id: JobId, seconds: float) -> MessageRef | None:
        """Where a job's status message is, once it is posted; None where that takes longer."""
        return await self._statuses.wait(job_id, seconds)

    # ---- the port ------------------------------------------------------------------------

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """What this place takes."""
        return AdapterLimits(can_edit=True, can_host=self._can_host)

    async def max_upload(self, thread: ThreadRef) -> int:
        """The configured least, or more where the server was boosted; lowered by a refusal."""
        if is_private(thread):
            self._private.check_heard(thread, self._listening)  # Who heard it knows.
        else:
            async with self._translated(thread, None):
                await self._learn_boost(thread)
        return self._max_upload(thread)

    def _max_upload(self, thread: ThreadRef) -> int:
        if (interaction := self._private.of(thread)) is not None:
            allowed = interaction.filesize_limit
        else:
            guild = self._guild(thread)
            told = guild.filesize_limit if guild else self._boosts.last(thread.workspace)
            allowed = max(self._least_upload, told or 0)
        cap = self._caps.of(thread.workspace)
        return allowed if cap is None else min(allowed, cap)

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Post a message, at most once for this key; `PostedBefore` where that is in doubt."""
        is_first, may_stand = not memo.get(FIRST_TRY), may_stand_in(thread, memo)
        until = self._clock.boottime() + NONCE_WINDOW.total_seconds()
        try:
            async with self._translated(thread, notice, is_post=not is_private(thread)):
                if is_private(thread):
                    return await self._private.write(thread, notice, self._listening)
                nonce, client = to_nonce(key), self._online
                message = await self._posted.find(client, thread, notice, nonce=nonce, memo=memo)
                if message is None:
                    # Whoever tries after that does not count on the nonce any more.
                    with send_only_while(lambda: self._clock.boottime() < until):
                        message = await self._send(thread, notice, nonce=nonce)
        except DeliveryError as error:
            if is_first and refusals.is_certain(error.__cause__):
                await memo.put(FIRST_TRY, "")
            if may_stand and isinstance(error, ThreadGone):
                # It would be posted elsewhere, too, and nobody can look for it here any more.
                raise PostedBefore(f"It may have been posted already. {error.sentence}") from error
            raise
        if not isinstance(notice, Delivered | Aside):
            self._statuses.note(notice.about.job_id, message)
        return message

    @property
    def _own_id(self) -> int | None:
        """Our user id, once signed in."""
        client = self._client or self._silent
        return client.user.id if client and client.user else None

    async def _send(self, thread: ThreadRef, notice: Notice, *, nonce: str) -> MessageRef:
        """Send it, without what the place refuses of it: a reply, or the words of its person."""
        place, said, has_reply = self._place(thread), notice, True
        while True:
            is_public = thread.workspace != DIRECT
            message = to_message(said, now=self._clock.now(), is_public=is_public)
            if has_reply and (answered := self._answered(thread, notice)) is not None:
                message["reference"] = answered
            try:
                sent = await place.send(**message, nonce=nonce)
            except discord.HTTPException as error:
                if error.code in refusals.NO_REPLY and "reference" in message:
                    has_reply = False
                elif error.code in refusals.WORDS_REFUSED and said is notice:
                    # The clip is paid for, whatever is thought of its prompt.
                    said = without_prompt(notice)
                else:
                    raise
            else:
                return MessageRef(thread=thread, message=str(sent.id))

    def _answered(self, thread: ThreadRef, notice: Notice) -> discord.MessageReference | None:
        """The message that asked, or for a clip our own status message, in the same place."""
        if isinstance(notice, Jobless):
            return None
        is_clip = isinstance(notice, Delivered)
        status = self._statuses.get(notice.about.job_id) if is_clip else None
        for asked in (notice.about.asked_in, status):
            if asked is not None and asked.thread == thread and asked.message.isdecimal():
                guild_id = None if thread.workspace == DIRECT else int(thread.workspace)
                return discord.MessageReference(
                    message_id=int(asked.message),
                    channel_id=channel_id(thread),
                    guild_id=guild_id,
                    fail_if_not_exists=False,
                )
        return None

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Replace what an own message says; its last word takes hosted images away."""
        if is_last := isinstance(notice, Done | Failed | Cancelled):
            self._hosted.forget(notice.about.job_id)
        async with self._translated(message.thread, notice):
            if is_private(message.thread):
                # The clip took the status message's place; its last word is there already.
                if not isinstance(notice, Done):
                    await self._private.write(message.thread, notice, self._listening)
                return
            with self._old_edits.spared(message):
                await self._rewrite(message, notice, is_last=is_last)

    async def _rewrite(self, message: MessageRef, notice: Notice, *, is_last: bool) -> None:
        async def write(said: Notice) -> None:
            is_public = message.thread.workspace != DIRECT
            drawn = render.draw(said, now=self._clock.now(), is_public=is_public)
            changed: dict[str, Any] = {"attachments": []} if is_last else {}
            view = buttons.to_view(drawn.buttons) if drawn.buttons else None
            await self._message(message).edit(content=drawn.content, view=view, **changed)

        async def write_what_may_be_said() -> None:
            try:
                await write(notice)
            except discord.HTTPException as error:
                if error.code not in refusals.WORDS_REFUSED:
                    raise
                await write(without_prompt(notice))

        try:
            await write_what_may_be_said()
        except discord.HTTPException as error:
            if error.code != refusals.ARCHIVED:
                raise
            # Only the last word is worth waking up a thread that people have put away.
            log.info("discord.thread_archived", thread=channel_id(message.thread))
            if is_last:
                await self._wake(message.thread)
                await write_what_may_be_said()

    async def delete(self, message: MessageRef) -> None:
        """Remove an own message; fine if it is gone."""
        if not message.message.isdecimal() or is_private(message.thread):
            return
        async with self._translated(message.thread, None):
            try:
                await self._awake(message.thread, lambda: self._message(message).delete())
            except discord.NotFound:
                return

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Take the words of a request off the name of the thread that was opened for it."""
        inner = message.thread.thread or ""
        if not is_unopened(asked) or not inner.isdecimal():
            return
        async with self._translated(message.thread, None):
            found = await self._online.fetch_channel(int(inner))
            if isinstance(found, discord.Thread) and found.owner_id == self._own_id:
                await self._awake(message.thread, lambda: found.edit(name=UNNAMED))

    async def direct(self, requester: Requester) -> ThreadRef:
        """The direct messages with this person."""
        thread = ThreadRef(adapter=NAME, workspace=DIRECT, channel="0")
        async with self._translated(thread, None):
            channel = await self._online.create_dm(discord.Object(int(requester.user)))
        return ThreadRef(adapter=NAME, workspace=DIRECT, channel=str(channel.id))

    async def is_admin(self, requester: Requester) -> bool:
        """Whether somebody may manage their server now; who left it may not."""
        if not requester.workspace.isdecimal() or not requester.user.isdecimal():
            return False
        thread = ThreadRef(adapter=NAME, workspace=requester.workspace, channel="0")
        async with self._translated(thread, None):
            try:
                guild = await self._online.fetch_guild(int(requester.workspace))
                member = await guild.fetch_member(int(requester.user))
            except (discord.NotFound, discord.Forbidden) as error:
                if refusals.is_shut_out(error):
                    raise
                return False
            return member.guild_permissions.manage_guild

    # ---- images --------------------------------------------------------------------------

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an image from Discord, by the link of today."""
        return self.images.read(attachment, lambda: self._online)

    def link_to(self, message: MessageRef) -> str:
        """The link to a message."""
        return render.jump(message)

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """A link to this image on our own status message; in private, a direct message's."""
        is_hidden = hosting.is_hidden or is_private(hosting.thread)
        is_for_one = is_hidden or hosting.thread.workspace == DIRECT
        place = hosting.letter if is_for_one else hosting.status
        if place is None and is_for_one:
            return await self._send_letter(image, hosting)
        if place is None:
            raise DeliveryUnavailable("The status message is not posted yet.", retry_after=1.0)
        own, shown = self._message(place), self._hosted.of(hosting.job_id)
        async with self._translated(place.thread, None):
            found = await self._awake(place.thread, lambda: attach(own, image, hosting, shown))
        return Hosted(url=found.url, letter=hosting.letter)

    async def _send_letter(self, image: Path, hosting: Hosting) -> Hosted:
        """A direct message of ours shows a job's images where nobody else sees them."""
        thread, shown = await self.direct(hosting.requester), self._hosted.of(hosting.job_id)
        async with self._translated(thread, None):
            sent = await send(self._place(thread), image, hosting, shown)
        letter = MessageRef(thread=thread, message=str(sent.id))
        return Hosted(url=shown[hosting.slot].url, letter=letter)

    # ---- parts ---------------------------------------------------------------------------

    @property
    def _online(self) -> discord.Client:
        client = self._listening or self._silent
        if client is None or client.is_closed():
            raise DeliveryUnavailable("Raybot is not connected to Discord yet.", retry_after=2.0)
        return client

    @property
    def _listening(self) -> discord.Client | None:
        return None if self._client is None or self._client.is_closed() else self._client

    def _guild(self, thread: ThreadRef) -> discord.Guild | None:
        if self._client is None or thread.workspace == DIRECT:
            return None
        return self._client.get_guild(int(thread.workspace))

    async def _learn_boost(self, thread: ThreadRef) -> None:
        """What a server takes of which no gateway tells, once an hour."""
        client, place = self._online, thread.workspace
        is_known = place == DIRECT or self._boosts.of(place) is not None or knows(client, thread)
        if is_known or self._guild(thread):
            return
        with suppress(discord.HTTPException):
            guild = await client.fetch_guild(int(place), with_counts=False)
            self._boosts.learn(place, guild.filesize_limit)

    def _place(self, thread: ThreadRef) -> discord.PartialMessageable:
        return place_in(self._online, thread)

    def _message(self, message: MessageRef) -> discord.PartialMessage:
        return self._place(message.thread).get_partial_message(int(message.message))

    async def _awake(self, thread: ThreadRef, act: Callable[[], Awaitable[T]]) -> T:
        """Do what an archived thread does not allow; then it is opened for that."""
        try:
            return await act()
        except discord.HTTPException as error:
            if error.code != refusals.ARCHIVED:
                raise
        await self._wake(thread)
        return await act()

    async def _wake(self, thread: ThreadRef) -> None:
        found = await self._online.fetch_channel(channel_id(thread))
        if isinstance(found, discord.Thread):
            await found.edit(archived=False)

    @asynccontextmanager
    async def _translated(
        self, thread: ThreadRef, notice: Notice | None, *, is_post: bool = False
    ) -> AsyncIterator[None]:
        self._breaker.check()
        client = self._client
        try:
            async with asyncio.timeout(self._patience):
                yield
        except discord.HTTPException as error:
            raise self._to_error(error, thread, notice, is_post=is_post) from error
        except discord.RateLimited as error:
            raise DeliveryUnavailable(
                "Discord asks for a pause.", retry_after=refusals.pause_of(error)
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryUnavailable(UNREACHED) from error
        except RuntimeError as error:
            # aiohttp's word for a session that is closed, as that of a client that was replaced.
            if client is None or not client.is_closed():
                raise
            raise DeliveryUnavailable(UNREACHED) from error

    def _to_error(
        self,
        error: discord.HTTPException,
        thread: ThreadRef,
        notice: Notice | None,
        *,
        is_post: bool,
    ) -> DeliveryError:
        is_clip = isinstance(notice, WithFile)
        if refusals.is_shut_out(error):
            return self._breaker.open(error)
        if error.code != refusals.TOO_LARGE and error.status != 413:
            return refusals.to_error(error, is_post=is_post, is_clip=is_clip)
        if not isinstance(notice, WithFile) or notice.form == "poster":
            return ClipTooLarge(max_bytes=self._max_upload(thread))
        lower = next((each for each in SIZES if each < notice.bytes), notice.bytes // 2)
        self._caps.learn(thread.workspace, lower)
        return DeliveryUnavailable("The clip is too large for this place.", retry_after=1.0)
