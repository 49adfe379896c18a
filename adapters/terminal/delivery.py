"""What the terminal keeps: the numbered transcript and the clips; posts, edits and reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from adapters.terminal.parse import NAME, THREAD
from adapters.terminal.render import Screen
from bot.clock import Clock
from bot.errors import DeliveryUnavailable, FrameRejected, InvalidRequest, ThreadGone
from bot.notices import (
    Cancelled,
    ConsentNeeded,
    Done,
    Failed,
    Notice,
    Reviewed,
    Reviewing,
    ShotFailed,
    Uncertain,
    WithFile,
)
from bot.ports import AdapterLimits, Hosted, Hosting, Memo, WebHandler
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import ClipFrame, Frame, Requester

LIMITS = AdapterLimits(
    can_edit=True,
    edit_seconds=0.0,
    is_shared=False,
)
MAX_UPLOAD = 1 << 50
CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One message that was posted: its id, and where its clip is."""

    message: str
    path: Path | None = None


class Transcript:
    """What was posted under which key, in an append-only file that outlives the process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".transcript.jsonl"
        self._by_key: dict[str, Entry] = {}
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            path = Path(row["path"]) if row["path"] else None
            self._by_key[row["key"]] = Entry(message=row["message"], path=path)
        except (ValueError, KeyError, TypeError):
            return  # The last line of a process that was killed while writing it.

    def posted(self, key: str) -> Entry | None:
        """What was posted under this key."""
        return self._by_key.get(key)

    def clip_of(self, message: str) -> Path | None:
        """Where the clip of a message is."""
        return next((e.path for e in self._by_key.values() if e.message == message), None)

    def drop_path(self, path: Path) -> None:
        """Leave out where a clip was, as words of its prompt are in that; its posts stay known."""
        gone = str(path.absolute())
        rows = self._path.read_bytes().splitlines() if self._path.exists() else []
        part = self._path.with_suffix(".part")
        try:
            part.write_bytes(b"".join(_without(gone, row) + b"\n" for row in rows))
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        # Only then: whoever could not write it tries again, and has to find it.
        for key, entry in self._by_key.items():
            if entry.path and str(entry.path.absolute()) == gone:
                self._by_key[key] = replace(entry, path=None)

    def append(self, entry: Entry, *, key: str, at: str) -> None:
        """Write a post down, durably before returning."""
        path = str(entry.path.absolute()) if entry.path else None
        row = {"key": key, "message": entry.message, "path": path, "at": at}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            # A line that a killed process left unfinished must not swallow this one.
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            gap = b"" if file.read(1) in {b"", b"\n"} else b"\n"
            file.write(gap + json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._by_key[key] = entry


def _without(gone: str, row: bytes) -> bytes:
    """A row of the transcript, without this path."""
    with contextlib.suppress(ValueError, TypeError):
        read = json.loads(row)
        if read.get("path") == gone:
            return json.dumps({**read, "path": None}).encode()
    return row


def keep_clip(clip: Path, folder: Path, filename: str) -> Path:
    """Copy a clip into the folder under its name, whole or not at all."""
    target = folder / (Path(filename).name.lstrip(".") or "clip.mp4")
    part = folder / f".{target.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(clip, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return target


class Delivery:
    """The ports of an adapter, all but listening."""

    name = NAME
    trouble = None
    #: It is called by nobody: it asks.
    routes: Mapping[tuple[str, str], WebHandler] = MappingProxyType({})

    def __init__(self, *, folder: Path, screen: Screen, clock: Clock) -> None:
        self._folder = folder
        self._screen = screen
        self._clock = clock
        self._transcript = Transcript(folder)
        self._posting = asyncio.Lock()
        self._id = uuid.uuid4().hex
        #: The messages of this session are numbered from 1; some can be replied to.
        self._last = 0
        self._frames: dict[int, Frame] = {}
        #: Whether a job ended with its clip; one that waits for somebody's word did not. And which
        #: jobs were asked for in this session.
        self._outcomes: dict[JobId, bool] = {}
        self._session: set[JobId] = set()
        self._changed = asyncio.Event()

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """A terminal is edited at once."""
        del thread
        return LIMITS

    async def max_upload(self, thread: ThreadRef) -> int:
        """Any size: it is copied beside the transcript."""
        del thread
        return MAX_UPLOAD

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Show it once for this key; a clip is copied into the folder and gets a number."""
        del memo  # The transcript is what this adapter remembers.
        async with self._posting:
            entry = self._transcript.posted(key)
            if entry is None:
                entry, number = await self._keep(notice, key=key)
                self._say(notice, number=number, path=entry.path)
        self._note(notice)
        return MessageRef(thread=thread, message=entry.message)

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Show what the message says now; what moderators did not let be posted goes."""
        if isinstance(notice, Reviewed) and notice.verdict != "post":
            await self.delete(message)
        # There is one row or line for each job.
        self._say(notice)
        self._note(notice)

    async def delete(self, message: MessageRef) -> None:
        """Remove the clip of a message; what scrolled by cannot be taken back."""
        async with self._posting:
            if (path := self._transcript.clip_of(message.message)) is None:
                return
            try:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                await asyncio.to_thread(self._transcript.drop_path, path)
            except OSError as error:
                raise self._unwritable(error) from error

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Conversations have no names here."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        """Whoever sits here is alone already."""
        del requester
        return THREAD

    async def is_admin(self, requester: Requester) -> bool:
        """Whoever sits here runs this place."""
        return requester.adapter == self.name

    def link_to(self, message: MessageRef) -> str:
        """What a terminal shows has no address."""
        del message
        return ""

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """There is none, as the limits say."""
        raise ThreadGone

    async def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream a local file."""
        try:
            with await asyncio.to_thread(Path(attachment.id).open, "rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            why = error.strerror or "it is gone"
            raise FrameRejected(f"{attachment.filename} cannot be read: {why}.") from error

    # ---- what it keeps -------------------------------------------------------------------

    async def _keep(self, notice: Notice, *, key: str) -> tuple[Entry, str]:
        """Write a post down before it is shown, of a clip first the file; and its number."""
        entry, number = Entry(message=key), ""
        try:
            if isinstance(notice, WithFile):
                clip = Path(notice.path)
                path = await asyncio.to_thread(keep_clip, clip, self._folder, notice.filename)
                number = self._number(ClipFrame(job_id=notice.about.job_id))
                entry = Entry(message=f"{self._id}:{number}", path=path)
            at = self._clock.now().isoformat()
            await asyncio.to_thread(self._transcript.append, entry, key=key, at=at)
        except OSError as error:
            raise self._unwritable(error) from error
        return entry, number

    def _unwritable(self, error: OSError) -> DeliveryUnavailable:
        why = error.strerror or "unknown cause"
        return DeliveryUnavailable(f"{self._folder} cannot be written to: {why}.")

    def _number(self, frame: Frame | None = None) -> str:
        """The next message's number; a reply to it starts from the frame."""
        self._last += 1
        if frame is not None:
            self._frames[self._last] = frame
        return str(self._last)

    def _frame_of(self, number: int) -> Frame:
        if number in self._frames:
            return self._frames[number]
        is_later = number > self._last
        what = "is not here" if is_later else "shows no image and no clip to start from"
        raise InvalidRequest(f"Message {number} {what}.", field="start_frame")

    # ---- what it shows -------------------------------------------------------------------

    def _say(self, notice: Notice, *, number: str = "", path: Path | None = None) -> None:
        """Show a notice."""
        self._screen.show(notice, number=number, path=path)

    def _note(self, notice: Notice) -> None:
        match notice:
            case Done(about=about):
                self._outcomes[about.job_id] = True
            case (
                Failed(about=about)
                | Cancelled(about=about)
                | Uncertain(about=about)
                | ShotFailed(about=about)
                | Reviewing(about=about)
                | ConsentNeeded(about=about)
            ):
                self._outcomes[about.job_id] = False
            case _:
                return
        self._changed.set()
