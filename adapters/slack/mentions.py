"""The images a message speaks of: its own, its thread's first ones, or the latest there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from adapters.command_text import Draft
from adapters.slack import addresses, buttons, parse
from adapters.slack.addresses import Account
from adapters.slack.clients import Clients
from adapters.slack.events import File, SlackEvent, action_ids, files_in, read_files
from adapters.slack.posted import read_page
from bot.errors import DeliveryError, InvalidRequest
from bot.log import get_logger
from bot.refs import JobId, MessageRef
from bot.request import ClipFrame, Frame

log = get_logger(__name__)
Frames = tuple[Frame | None, Frame | None]
Message = Mapping[str, Any]
JobAt = Callable[[MessageRef], Awaitable[JobId | None]]
#: Slack gives so many replies of a thread at once, or fewer to some apps.
PAGE, MOST_PAGES = 200, 5
#: `ray-2_r-7k2m9q_a-red-fox.mp4`
_CLIP = re.compile(r"[^_]*_(r-[0-9a-z]{4,16})(?:_.*)?\.(?:mp4|jpg|png|webp)", re.DOTALL)
NO_PICTURE = (
    "There is no picture in that message that I can start from. Add one to your mention; for a "
    "clip of words alone, ask outside this thread and without a file."
)
UNREADABLE = (
    "I cannot read this conversation, so I do not see which image you mean. Give it with your "
    "mention, or use “Animate with Ray” in its message's menu."
)


class Mentions:
    """Looks at a message and its thread for images, and for clips of ours."""

    def __init__(self, clients: Clients, job_at: JobAt) -> None:
        self._clients = clients
        self._job_at = job_at

    async def frames_of(self, heard: SlackEvent, account: Account, draft: Draft) -> Frames:
        """Start and end frame; raises `InvalidRequest` where they cannot be told.

        Words that name no picture would be paid alone where a video or the like was meant.
        """
        if found := await self._own_frames(heard.files or (), account, draft):
            return found
        if heard.files is None or heard.thread:
            try:
                thread = await self._thread(heard)
            except DeliveryError as error:
                log.warning("slack.thread_unreadable", cause=error.sentence)
                if heard.thread:
                    raise InvalidRequest(UNREADABLE) from error
                return None, None
            return await self._choose(thread, heard, account, draft)
        return None, None

    async def _choose(
        self, thread: Sequence[Message], heard: SlackEvent, account: Account, draft: Draft
    ) -> Frames:
        """The message's own images, else the parent's, else what came last in the thread.

        A thread may hold papers of any kind; only a video there may be what somebody means.
        """
        own = [each for each in thread if each.get("ts") == heard.ts]
        parent = [each for each in thread[:1] if each not in own]
        before = [each for each in thread[1:] if each not in own]
        is_other = False
        for message in (*own, *parent, *reversed(before)):
            if (clip := clip_in(message, account)) is not None:
                return clip, None
            files = read_files(files_in(message), is_of_bot=bool(message.get("bot_id")))
            if message in own and (found := await self._own_frames(files, account, draft)):
                return found
            told = [await self._told(each, account) for each in files]
            if parse.pictures_of(told):
                return parse.to_frames(account.workspace, told)
            if any(each.is_video for each in told):
                is_other = True
                if message in before:
                    break
        is_asked = draft.start is None
        if is_asked and (is_other or await self._is_of_job(parent, heard, account)):
            raise InvalidRequest(NO_PICTURE)
        return None, None

    async def _own_frames(
        self, files: Sequence[File], account: Account, draft: Draft
    ) -> Frames | None:
        """Those of the message itself, once Slack has said what another organisation's are."""
        told = [await self._told(each, account) for each in files]
        if parse.pictures_of(told):
            return parse.to_frames(account.workspace, told)
        if draft.start is None and any(each.is_there for each in told):
            raise InvalidRequest(NO_PICTURE)
        return None

    async def _is_of_job(
        self, parent: Sequence[Message], heard: SlackEvent, account: Account
    ) -> bool:
        """Whether the thread hangs on what we say of a job."""
        place = addresses.to_thread(account.workspace, heard.channel)
        found = [await self._job_at(addresses.to_message(place, str(e.get("ts")))) for e in parent]
        return any(found)

    async def _told(self, file: File, account: Account) -> File:
        if not file.is_stub:
            return file
        try:
            async with self._clients.translated(account.workspace):
                client = await self._clients.read(account.workspace)
                got = await client.files_info(file=file.id)
        except DeliveryError as error:
            log.info("slack.file_unknown", cause=error.sentence)
            return file
        return (*read_files([got["file"]]), file)[0]

    async def _thread(self, heard: SlackEvent) -> list[Message]:
        """What was said in the thread up to this message, its first message first."""
        found: list[Message] = []
        cursor = ""
        async with self._clients.translated(heard.workspace):
            client = await self._clients.read(heard.workspace)
            for _ in range(MOST_PAGES):
                got = await client.conversations_replies(
                    channel=heard.channel,
                    ts=heard.thread or heard.ts,
                    latest=heard.ts,
                    inclusive=True,
                    limit=PAGE,
                    cursor=cursor or None,
                )
                page, cursor = read_page(got.data)
                found += [each for each in page if each not in found]
                if not cursor:
                    break
        return found


def clip_in(message: Message, account: Account) -> ClipFrame | None:
    """Our own clip that a message shows, by its buttons or its file's name."""
    if not _is_ours(message, account):
        return None
    names = [str(each.get("name", "")) for each in files_in(message)]
    named = [JobId(found[1]) for each in names if (found := _CLIP.fullmatch(each))]
    job_id = buttons.clip_of(action_ids(message)) or (*named, None)[0]
    return ClipFrame(job_id=job_id) if job_id is not None else None


def _is_ours(message: Message, account: Account) -> bool:
    return message.get("user") == account.bot_user or message.get("bot_id") == account.bot_id
