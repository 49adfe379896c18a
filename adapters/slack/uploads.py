"""A clip's three calls to Slack, at most once: bytes, the call that shows it, and its message.

The last call may be made once for a file, and the message appears some time after it; until then
nobody can tell whether it will. What is withdrawn before another try can never appear.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

from adapters.slack import addresses, refusals, render
from adapters.slack.clients import Clients
from bot.clock import Clock
from bot.errors import (
    ClipTooLarge,
    DeliveryError,
    DeliveryUnavailable,
    PostedBefore,
    ThreadGone,
)
from bot.log import get_logger
from bot.notices import WithFile
from bot.ports import Memo
from bot.refs import MessageRef, ThreadRef

if TYPE_CHECKING:
    from bot.studio import Document

log = get_logger(__name__)
#: In the memo: the file whose bytes are up, and what of the clip it is; since when its last call
#: was made or may have been; the file that is being withdrawn; whether Slack has refused our
#: blocks with it.
FILE, FORM, SHOWING, WITHDRAWN, IS_PLAIN = "file", "form", "showing", "withdrawn", "is_plain"
#: Between looks for the message, in one call.
LOOKS = (0.0, 0.5, 1.0, 1.5, 3.0, 4.0)
LOOK_AGAIN_SECONDS = 15.0
PATIENCE = timedelta(minutes=2)
MOST_IN_VAIN = 3
OK, TOO_LARGE = 200, 413
#: Slack drops a file whose last call does not come soon; and takes that call once.
STALE = frozenset({"file_not_found", "file_deleted", "files_not_found", "invalid_file_id"})
_DOUBT = "The clip may have been posted, and Slack does not let Raybot look."
_GONE = "The clip was posted and has been deleted since."


class Uploads:
    """Puts clips into channels, threads and direct messages."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def post(self, thread: ThreadRef, notice: WithFile, *, memo: Memo) -> MessageRef:
        """Show a clip; `PostedBefore` where it was shown, or may be and nobody can tell."""
        if withdrawn := memo.get(WITHDRAWN):
            await self._withdraw(thread, withdrawn, memo)
        if memo.get(SHOWING):
            if (shown := await self._look(thread, memo)) is not None:
                return shown
            await self._withdraw(thread, memo.get(FILE) or "", memo)
        if _in_vain(memo, thread) >= MOST_IN_VAIN:
            raise ThreadGone("Slack took the clip and never showed it.")
        drawn = render.draw(notice, now=self._clock.now())
        if (memo.get(FORM) or "original") != notice.form:
            # What is up, and nobody has seen, is not what these words are about.
            await memo.put(FILE, "")
            await memo.put(FORM, notice.form)
        if not memo.get(FILE):
            await memo.put(FILE, await self._upload(thread, notice, drawn))
        await self._show(thread, notice, drawn, memo)
        if (shown := await self._look(thread, memo)) is not None:
            return shown
        raise DeliveryUnavailable("Slack took the clip and does not show it.", retry_after=1.0)

    async def earlier(self, thread: ThreadRef, memo: Memo) -> MessageRef | None:
        """The clip of an earlier try, where words take its place; never shown, it is withdrawn."""
        is_looked_for = memo.get(SHOWING) and not memo.get(WITHDRAWN)
        if is_looked_for and (shown := await self._look(thread, memo)) is not None:
            return shown
        if file := memo.get(WITHDRAWN) or memo.get(FILE):
            await self._withdraw(thread, file, memo)
        return None

    # ---- the bytes -----------------------------------------------------------------------

    async def _upload(self, thread: ThreadRef, notice: WithFile, drawn: render.Drawn) -> str:
        """Send the clip's bytes; nobody sees them yet."""
        spec = drawn.file
        assert spec is not None
        with await asyncio.to_thread(spec.path.open, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            # It is documented for pictures only.
            alt = spec.alt if notice.form == "poster" else None
            return await self._send(thread, file, spec.filename, length=length, alt=alt)

    async def _send(
        self,
        thread: ThreadRef,
        content: IO[bytes],
        filename: str,
        *,
        length: int,
        alt: str | None,
    ) -> str:
        """Send bytes to where Slack wants them; the file's id."""
        async with self._clients.translated(thread.workspace, is_clip=True):
            client = await self._clients.api(thread.workspace)
            place = await client.files_getUploadURLExternal(
                filename=filename, length=length, alt_txt=alt
            )
            address, file_id = place["upload_url"], place["file_id"]
            if not (address and file_id):
                raise DeliveryUnavailable("Slack did not say where the file goes.")
            # The address is a secret of its own: no token goes there.
            async with self._clients.uploads.post(
                address,
                data=content,
                headers={"Content-Type": "application/octet-stream"},
                allow_redirects=False,
            ) as got:
                status = got.status
        if status == TOO_LARGE:
            raise ClipTooLarge(max_bytes=length - 1)
        if status != OK:
            log.warning("slack.bytes_not_taken", status=status)
            raise DeliveryUnavailable("Slack did not take the bytes.")
        return str(file_id)

    async def hand_over(
        self, thread: ThreadRef, documents: Sequence[Document], words: str
    ) -> None:
        """Show files in direct messages, in one message; tried once."""
        files = [
            {
                "id": await self._send(
                    thread,
                    io.BytesIO(each.content),
                    each.name,
                    length=len(each.content),
                    alt=each.alt or None,
                ),
                "title": each.name,
            }
            for each in documents
        ]
        async with self._clients.translated(thread.workspace):
            client = await self._clients.api(thread.workspace)
            where = {"channel_id": addresses.channel_of(thread), "initial_comment": words}
            said = {"files": json.dumps(files), **where}
            await client.api_call("files.completeUploadExternal", data=said)

    # ---- the last call -------------------------------------------------------------------

    async def _show(
        self, thread: ThreadRef, notice: WithFile, drawn: render.Drawn, memo: Memo
    ) -> None:
        """Let Slack show the file, without what it refuses; returns where it will, or may."""
        said = _to_call(thread, notice, drawn, memo)
        while True:
            try:
                await self._complete(thread, said, memo)
            except DeliveryError as error:
                code = refusals.code_of(error)
                if code in refusals.BLOCKS_REFUSED and "blocks" in said:
                    await memo.put(IS_PLAIN, "1")
                    said = _to_call(thread, notice, drawn, memo)
                elif code in refusals.NO_REPLY and "thread_ts" in said and not _is_thread(thread):
                    del said["thread_ts"]
                else:
                    await self._drop(thread, code, memo)
                    raise
            else:
                return

    async def _complete(self, thread: ThreadRef, said: dict[str, str], memo: Memo) -> None:
        await memo.put(SHOWING, self._clock.now().isoformat())
        try:
            async with self._clients.translated(thread.workspace, is_clip=True):
                client = await self._clients.api(thread.workspace)
                # In the body: in an address, as the SDK has it, a long prompt has no room.
                await client.api_call("files.completeUploadExternal", data=said)
        except DeliveryError as error:
            if refusals.is_certain(error):
                await memo.put(SHOWING, "")
                raise
            if refusals.code_of(error) == "internal_error":
                # It is what Slack says of some blocks, too.
                await memo.put(IS_PLAIN, "1")
            log.warning("slack.clip_in_doubt", cause=error.sentence)

    async def _drop(self, thread: ThreadRef, code: str, memo: Memo) -> None:
        """Forget a file that is of no use for the next try."""
        if code in STALE or code in refusals.TOO_LARGE:
            await memo.put(FILE, "")
            await self._count(memo, thread)
        if code in STALE:
            raise DeliveryUnavailable("Slack dropped the clip.", retry_after=1.0)

    # ---- its message ---------------------------------------------------------------------

    async def _look(self, thread: ThreadRef, memo: Memo) -> MessageRef | None:
        """The clip's message; None where it did not come for so long that it is withdrawn."""
        since = datetime.fromisoformat(memo.get(SHOWING) or "")
        for pause in LOOKS:
            await self._pause(pause)
            is_late = self._clock.now() - since >= PATIENCE
            found = await self._shown(thread, memo.get(FILE) or "")
            if found is not None or is_late:
                return found
        raise DeliveryUnavailable(
            "Slack has the clip and does not show it yet.", retry_after=LOOK_AGAIN_SECONDS
        )

    async def _pause(self, seconds: float) -> None:
        await self._clock.wait(asyncio.Event(), self._clock.now() + timedelta(seconds=seconds))

    async def _shown(self, thread: ThreadRef, file_id: str) -> MessageRef | None:
        try:
            async with self._clients.translated(thread.workspace):
                client = await self._clients.read(thread.workspace)
                told = (await client.files_info(file=file_id)).get("file")
        except ThreadGone as error:
            code = refusals.code_of(error)
            if code == "file_not_found":
                # It is said for a moment of a file that was just taken, too.
                return None
            raise PostedBefore(_GONE if code == "file_deleted" else _DOUBT) from error
        if isinstance(told, Mapping) and told.get("mode") == "tombstone":
            raise PostedBefore(_GONE)
        return to_share(told or {}, thread)

    # ---- another try ---------------------------------------------------------------------

    async def _withdraw(self, thread: ThreadRef, file_id: str, memo: Memo) -> None:
        """Delete a file that was never shown, so that it never will be beside its successor."""
        await memo.put(WITHDRAWN, file_id)
        try:
            async with self._clients.translated(thread.workspace):
                client = await self._clients.api(thread.workspace)
                await client.files_delete(file=file_id)
        except ThreadGone as error:
            if refusals.code_of(error) not in refusals.ALREADY_GONE:
                raise PostedBefore(_DOUBT) from error
        log.warning("slack.clip_never_shown", file=file_id)
        if memo.get(FILE):
            await self._count(memo, thread)
        for each in (SHOWING, FILE, WITHDRAWN):
            await memo.put(each, "")

    async def _count(self, memo: Memo, thread: ThreadRef) -> None:
        await memo.put(_counter(thread), str(_in_vain(memo, thread) + 1))


def _counter(thread: ThreadRef) -> str:
    return f"in_vain:{addresses.channel_of(thread)}"


def _in_vain(memo: Memo, thread: ThreadRef) -> int:
    """So many files were taken for this place and never shown there."""
    return int(memo.get(_counter(thread)) or 0)


def _is_thread(thread: ThreadRef) -> bool:
    return bool(addresses.parent_of(thread))


def _to_call(
    thread: ThreadRef, notice: WithFile, drawn: render.Drawn, memo: Memo
) -> dict[str, str]:
    """What the last call says: where, and in blocks, or in words alone once they were refused."""
    assert drawn.file is not None
    file = {"id": memo.get(FILE), "title": drawn.file.title}
    said = {"files": json.dumps([file]), "channel_id": addresses.channel_of(thread)}
    if parent := parent_for(thread, notice):
        said["thread_ts"] = parent
    if memo.get(IS_PLAIN):
        return {**said, "initial_comment": drawn.text}
    return {**said, "blocks": json.dumps(drawn.blocks, ensure_ascii=False)}


def parent_for(thread: ThreadRef, notice: WithFile) -> str:
    """The message whose thread a clip goes to: the thread's first, else the one that asked."""
    asked = notice.about.asked_in
    if parent := addresses.parent_of(thread):
        return parent
    if asked is None or asked.thread.workspace != thread.workspace:
        return ""
    if addresses.channel_of(asked.thread) != addresses.channel_of(thread):
        return ""
    return addresses.parent_of(asked.thread) or addresses.ts_of(asked)


def to_share(told: Mapping[str, Any], thread: ThreadRef) -> MessageRef | None:
    """The message that shows a file, in this place or another; None while there is none.

    Raises `DeliveryUnavailable` where Slack says it otherwise than it documents it.
    """
    try:
        return _to_share(told, thread)
    except (AttributeError, LookupError, TypeError) as error:
        raise DeliveryUnavailable(
            "Slack does not answer as it should.", retry_after=LOOK_AGAIN_SECONDS
        ) from error


def _to_share(told: Mapping[str, Any], thread: ThreadRef) -> MessageRef | None:
    kinds = (told.get("shares") or {}).values()
    places = {channel: seen[0] for kind in kinds for channel, seen in kind.items() if seen}
    here = addresses.channel_of(thread)
    for channel in sorted(places, key=lambda each: each != here):
        ts = addresses.read_ts(places[channel]["ts"])
        parent = str(places[channel].get("thread_ts") or "")
        where = thread
        if channel != here or parent not in ("", ts):
            where = addresses.to_thread(thread.workspace, channel, parent if parent != ts else "")
        return addresses.to_message(where, ts, file_id=str(told["id"]))
    return None
