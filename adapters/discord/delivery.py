"""What Raybot does in Discord: post, edit, delete, host, read. Hears nothing; see `listener`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import discord

from adapters.discord import buttons, render
from adapters.discord.images import Images
from adapters.discord.parse import (
    DIRECT,
    NAME,
    channel_id,
    is_private,
)
from bot.clock import Clock
from bot.errors import DeliveryError, DeliveryUnavailable, ThreadGone
from bot.log import get_logger
from bot.notices import Delivered, Done, Notice, Operator
from bot.ports import AdapterLimits, Hosting, Memo
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Requester

log = get_logger(__name__)
MAX_CHARS = 2000
#: An interaction's token ends after 15 minutes; the last one is left for a slow upload.
TOKEN_LIFE = timedelta(minutes=14)
#: So long Discord surely knows a nonce again ("the past few minutes", its documentation says).
NONCE_WINDOW = timedelta(seconds=90)
#: How many messages after the first try are looked through for our own.
HISTORY = 200
CLOCKS_APART = timedelta(seconds=30)
STATUSES = 10_000
#: What Discord has allowed for files, by time and boost: the next lower one is tried.
SIZES = (100 << 20, 50 << 20, 20 << 20, 10 << 20, 8 << 20, 4 << 20)

#: Of channels, servers, messages (also a nonce whose message was deleted), interactions' tokens.
GONE = {10003, 10004, 10008, 10015, 50001, 50007, 50013, 50027, 50278, 160005}
REFUSED_WORDS = {200000, 240000}
NO_REPLY = {160002, 50035}
TOO_LARGE = 40005
ARCHIVED = 50083
TOO_MANY_EDITS = 30046
SENTENCES = {
    50001: "Raybot cannot see that channel any more.",
    50007: "Your direct messages are closed for Raybot.",
    50013: "Raybot lacks a permission in that channel: Send Messages or Attach Files.",
    160005: "That thread is locked.",
}


class Delivery:
    """The ports of an adapter, all but listening."""

    name = NAME

    def __init__(
        self,
        *,
        clock: Clock,
        serves: Callable[[str], Awaitable[bool]],
        upload_limit_bytes: int,
        can_host: bool,
    ) -> None:
        self._clock = clock
        self._serves = serves
        self._least_upload = upload_limit_bytes
        self._can_host = can_host
        self._client: discord.Client | None = None
        self._caps: dict[str, int] = {}
        #: Interactions whose answer only their person sees, while their tokens live.
        self._private: dict[str, discord.Interaction[Any]] = {}
        self.images = Images()
        self._placed: dict[JobId, asyncio.Future[MessageRef]] = {}
        self._statuses: OrderedDict[JobId, MessageRef] = OrderedDict()

    # ---- what the listener tells it ------------------------------------------------------

    def keep_private(self, interaction: discord.Interaction[Any]) -> None:
        """Answer this interaction's job with the interaction's own message, while it can be."""
        self._private[str(interaction.id)] = interaction

    async def placed(self, job_id: JobId, seconds: float) -> MessageRef | None:
        """Where a job's status message is, once it is posted; None where that takes longer."""
        if job_id in self._statuses:
            return self._statuses[job_id]
        place = self._placed.setdefault(job_id, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(place)
        except TimeoutError:
            return None
        finally:
            self._placed.pop(job_id, None)

    def _note_place(self, job_id: JobId, message: MessageRef) -> None:
        self._statuses[job_id] = message
        while len(self._statuses) > STATUSES:
            self._statuses.popitem(last=False)
        if (place := self._placed.get(job_id)) is not None and not place.done():
            place.set_result(message)

    # ---- the port ------------------------------------------------------------------------

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """What this place takes: the configured least, or more where the server was boosted."""
        return AdapterLimits(
            max_upload_bytes=self._max_upload(thread),
            max_text_chars=MAX_CHARS,
            can_edit=True,
            can_host=self._can_host,
        )

    def _max_upload(self, thread: ThreadRef) -> int:
        if (interaction := self._interaction_of(thread)) is not None:
            allowed = interaction.filesize_limit
        else:
            guild = self._client and thread.workspace != DIRECT
            found = (
                self._client.get_guild(int(thread.workspace)) if guild and self._client else None
            )
            allowed = max(self._least_upload, found.filesize_limit if found else 0)
        return min(allowed, self._caps.get(thread.workspace, allowed))

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Post a message, at most once for this key."""
        with self._translated(thread, notice):
            if is_private(thread):
                return await self._post_private(thread, notice)
            message = await self._find_posted(thread, notice, key=key, memo=memo)
            if message is None:
                message = await self._send(thread, notice, nonce=to_nonce(key))
        if not isinstance(notice, Delivered | Operator):
            self._note_place(notice.about.job_id, message)
        return message

    async def _find_posted(
        self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo
    ) -> MessageRef | None:
        """Our own message of an earlier try whose answer was lost, once its nonce is forgotten."""
        now = self._clock.now()
        first = memo.get("first_try")
        if first is None:
            await memo.put("first_try", now.isoformat())
            return None
        since = datetime.fromisoformat(first)
        if now - since < NONCE_WINDOW or isinstance(notice, Operator):
            return None
        messages = self._place(thread).history(after=since - CLOCKS_APART, limit=HISTORY)
        async for message in messages:
            is_it = (
                message.author.id == self._own_id
                and f"`{notice.about.job_id}`" in message.content
                and bool(message.attachments) is isinstance(notice, Delivered)
            )
            if is_it:
                return MessageRef(thread=thread, message=str(message.id))
        return None

    @property
    def _own_id(self) -> int | None:
        """Our user id, once signed in."""
        return self._client.user.id if self._client and self._client.user else None

    async def _send(self, thread: ThreadRef, notice: Notice, *, nonce: str) -> MessageRef:
        place = self._place(thread)
        try:
            sent = await place.send(**self._to_message(thread, notice), nonce=nonce)
        except discord.HTTPException as error:
            if error.code in NO_REPLY:
                plain = self._to_message(thread, notice, with_reply=False)
            elif error.code in REFUSED_WORDS:
                # The server's own rules do not like the prompt; the clip is paid for.
                plain = self._to_message(thread, without_prompt(notice))
            else:
                raise
            sent = await place.send(**plain, nonce=nonce)
        return MessageRef(thread=thread, message=str(sent.id))

    def _to_message(
        self, thread: ThreadRef, notice: Notice, *, with_reply: bool = True
    ) -> dict[str, Any]:
        drawn = draw(notice, now=self._clock.now())
        message: dict[str, Any] = {
            "content": drawn.content,
            "suppress_embeds": True,
            "allowed_mentions": discord.AllowedMentions(
                everyone=False,
                roles=False,
                users=[discord.Object(each) for each in drawn.pings],
                replied_user=False,
            ),
        }
        if drawn.buttons:
            message["view"] = buttons.to_view(drawn.buttons)
        if drawn.file is not None:
            message["file"] = to_file(drawn.file)
        answered = None if isinstance(notice, Operator) else self._answered(thread, notice)
        if answered is not None and with_reply:
            message["reference"] = answered
        return message

    def _answered(self, thread: ThreadRef, notice: Any) -> discord.MessageReference | None:
        """The message that asked, or our own status message, if it is in the same place."""
        asked = notice.about.asked_in or self._statuses.get(notice.about.job_id)
        if asked is None or asked.thread != thread or not asked.message.isdecimal():
            return None
        guild_id = None if thread.workspace == DIRECT else int(thread.workspace)
        return discord.MessageReference(
            message_id=int(asked.message),
            channel_id=channel_id(thread),
            guild_id=guild_id,
            fail_if_not_exists=False,
        )

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Replace what an own message says."""
        with self._translated(message.thread, notice):
            if is_private(message.thread):
                # The clip took the status message's place; its last word is there already.
                if not isinstance(notice, Done):
                    await self._post_private(message.thread, notice)
                return
            drawn = draw(notice, now=self._clock.now())
            view = buttons.to_view(drawn.buttons) if drawn.buttons else None
            place = self._place(message.thread)
            try:
                own = place.get_partial_message(int(message.message))
                await own.edit(content=drawn.content, view=view)
            except discord.HTTPException as error:
                if error.code != ARCHIVED:
                    raise
                log.info("discord.thread_archived", thread=channel_id(message.thread))

    async def delete(self, message: MessageRef) -> None:
        """Remove an own message; fine if it is gone."""
        if not message.message.isdecimal() or is_private(message.thread):
            return
        with self._translated(message.thread, None):
            try:
                own = self._place(message.thread).get_partial_message(int(message.message))
                await own.delete()
            except discord.NotFound:
                return

    async def direct(self, requester: Requester) -> ThreadRef:
        """The direct messages with this person."""
        thread = ThreadRef(adapter=NAME, workspace=DIRECT, channel="0")
        with self._translated(thread, None):
            channel = await self._online.create_dm(discord.Object(int(requester.user)))
        return ThreadRef(adapter=NAME, workspace=DIRECT, channel=str(channel.id))

    async def host(self, image: Path, hosting: Hosting) -> str:
        """A link to this image on our own status message; in private, a direct message's."""
        name = f"{hosting.slot}{image.suffix}"
        if hosting.is_hidden or is_private(hosting.thread) or hosting.thread.workspace == DIRECT:
            return await self._host_in_private(image, hosting, name)
        if hosting.status is None:
            raise DeliveryUnavailable("The status message is not posted yet.", retry_after=1.0)
        with self._translated(hosting.thread, None):
            place = self._place(hosting.status.thread)
            own = await place.fetch_message(int(hosting.status.message))
            others = [each for each in own.attachments if each.filename != name]
            shown = await own.edit(attachments=[*others, discord.File(image, filename=name)])
        return next(each.url for each in shown.attachments if each.filename == name)

    async def _host_in_private(self, image: Path, hosting: Hosting, name: str) -> str:
        thread = await self.direct(hosting.requester)
        with self._translated(thread, None):
            sent = await self._place(thread).send(
                f"The image for `{hosting.job_id}`, so that the video service can fetch it.",
                file=discord.File(image, filename=name),
                nonce=to_nonce(f"{hosting.job_id}:{hosting.slot}"),
            )
        return sent.attachments[0].url

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an image from Discord, by the link of today."""
        return self.images.read(attachment, lambda: self._online)

    async def home_of(self, user_id: int) -> str:
        """A served server in which this person is a member now; empty where there is none."""
        for guild in self._online.guilds:
            if await self._serves(f"{NAME}:{guild.id}"):
                with suppress(discord.HTTPException):
                    await guild.fetch_member(user_id)
                    return str(guild.id)
        return ""

    # ---- private answers -----------------------------------------------------------------

    def _interaction_of(self, thread: ThreadRef) -> discord.Interaction[Any] | None:
        _, _, number = (thread.thread or "").partition(":")
        interaction = self._private.get(number)
        if interaction is None:
            return None
        if self._clock.now() - interaction.created_at > TOKEN_LIFE:
            del self._private[number]
            return None
        return interaction

    async def _post_private(self, thread: ThreadRef, notice: Notice) -> MessageRef:
        interaction = self._interaction_of(thread)
        if interaction is None:
            raise ThreadGone("The private answer can no longer be written to.")
        drawn = draw(notice, now=self._clock.now())
        await interaction.edit_original_response(
            content=drawn.content,
            view=buttons.to_view(drawn.buttons) if drawn.buttons else None,
            attachments=[to_file(drawn.file)] if drawn.file is not None else [],
        )
        return MessageRef(thread=thread, message="@original")

    # ---- parts ---------------------------------------------------------------------------

    @property
    def _online(self) -> discord.Client:
        if self._client is None:
            raise DeliveryUnavailable("Raybot is not connected to Discord yet.", retry_after=2.0)
        return self._client

    def _place(self, thread: ThreadRef) -> discord.PartialMessageable:
        guild_id = None if thread.workspace == DIRECT else int(thread.workspace)
        return self._online.get_partial_messageable(channel_id(thread), guild_id=guild_id)

    @contextmanager
    def _translated(self, thread: ThreadRef, notice: Notice | None) -> Iterator[None]:
        try:
            yield
        except discord.HTTPException as error:
            raise self._to_error(error, thread, notice) from error
        except discord.RateLimited as error:
            raise DeliveryUnavailable(
                "Discord asks for a pause.", retry_after=error.retry_after
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryUnavailable("Discord cannot be reached right now.") from error

    def _to_error(
        self, error: discord.HTTPException, thread: ThreadRef, notice: Notice | None
    ) -> DeliveryError:
        """What a refusal of Discord's means for the message (its JSON error codes decide)."""
        if error.code == TOO_LARGE or error.status == 413:
            if isinstance(notice, Delivered):
                lower = next((each for each in SIZES if each < notice.bytes), SIZES[-1])
                self._caps[thread.workspace] = lower
            return DeliveryUnavailable("The clip is too large for this place.", retry_after=1.0)
        if error.code in GONE or error.status in {403, 404}:
            sentence = SENTENCES.get(error.code, "That place in Discord is gone.")
            return ThreadGone(sentence)
        if error.status == 429 or error.code == TOO_MANY_EDITS:
            return DeliveryUnavailable("Discord asks for a pause.", retry_after=10.0)
        if error.code == 50035:
            log.error("discord.invalid_form", cause=str(error))
        return DeliveryUnavailable("Discord has a problem right now.")


def draw(notice: Notice, *, now: datetime) -> render.Drawn:
    """A notice as a message."""
    if isinstance(notice, Operator):
        return render.draw_operator(notice)
    return render.draw(notice, now=now)


def without_prompt(notice: Notice) -> Notice:
    """The same without the person's words."""
    if isinstance(notice, Operator):
        return notice
    work = notice.about.work.model_copy(update={"prompt": ""})
    return replace(notice, about=replace(notice.about, work=work))


def to_nonce(key: str) -> str:
    """A key as Discord's nonce, of at most 25 characters."""
    return key[-25:]


def to_file(spec: render.FileSpec) -> discord.File:
    """A file to send, opened anew for each try."""
    return discord.File(
        spec.path, filename=spec.filename, description=spec.alt, spoiler=spec.is_spoiler
    )
