"""From a typed line to a command or a request. Of files it knows only whether they are there."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from adapters import command_text, near_words
from adapters.command_text import Command, Draft
from adapters.opinions import Opinion, read_opinion
from adapters.own_place import AdminAct, read_admin
from bot.errors import InvalidRequest
from bot.refs import Attachment, JobId, ThreadRef
from bot.request import ClipFrame, Frame, GenerationRequest, ImageFrame, Requester
from bot.text import clean

NAME = "terminal"
THREAD = ThreadRef(adapter=NAME, workspace="local", channel=NAME)


@dataclass(frozen=True)
class Picture:
    """`image PATH`: put an image into the conversation, to be replied to."""

    path: str


Typed = Draft | Command | Picture | AdminAct | Opinion


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a line asks for, and the number of the message it replies to."""

    typed: Typed
    reply_to: int | None = None


_REPLY = re.compile(r">\s*([0-9]{1,9})(?:\s+(.*))?", re.DOTALL)
_RAY = re.compile(r"/ray(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)
_PICTURE = re.compile(r"image\s+(?:\"([^\"]+)\"|'([^']+)'|(\S+))", re.IGNORECASE)
_JOB = re.compile(r"r-[0-9a-z]{4,16}")


def read_line(text: str) -> Line:
    """Read a line; `/ray` may stand in front. Raises `InvalidRequest`."""
    text, reply_to = text.strip(), None
    if reply := _REPLY.fullmatch(text):
        reply_to, text = int(reply[1]), (reply[2] or "").strip()
    bare = re.sub(r"\A/ray\s+", "", text, flags=re.IGNORECASE)
    if (act := read_admin(bare)) is not None:
        return Line(typed=AdminAct(act), reply_to=reply_to)
    if (opinion := read_opinion(bare)) is not None:
        return Line(typed=opinion, reply_to=reply_to)
    if ray := _RAY.fullmatch(text):
        return Line(typed=command_text.parse(ray[1] or ""), reply_to=reply_to)
    if picture := _PICTURE.fullmatch(text):
        path = picture[1] or picture[2] or picture[3]
        if command_text.read_link(path) or re.search(r"\.\w{2,5}\Z", path):
            return Line(typed=Picture(path))
    if reply_to is None:
        near_words.check_no_end(text)
    return Line(typed=command_text.parse(text), reply_to=reply_to)


def to_frame(typed: str, *, field: str) -> Frame:
    """A link, a local file or an earlier job as a frame; raises `InvalidRequest`."""
    if link := command_text.read_link(typed):
        return link
    shown = clean(typed, limit=120)
    try:
        path = Path(typed).expanduser().absolute()
        found = path.stat()
    except (OSError, RuntimeError, ValueError):
        if _JOB.fullmatch(typed):
            return ClipFrame(job_id=JobId(typed))
        raise InvalidRequest(f"There is no file {shown} here.", field=field) from None
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequest(f"{shown} is not a file.", field=field)
    attachment = Attachment(
        adapter=NAME, id=str(path), filename=clean(path.name), size=found.st_size
    )
    return ImageFrame(attachment=attachment)


def to_request(
    draft: Draft, *, reply: Frame | None, requester: Requester, dedupe_key: str
) -> GenerationRequest:
    """A draft, and the frame of the message it replies to, as a request."""
    if reply is not None and draft.start is not None:
        raise InvalidRequest(
            "The message you reply to already gives the first picture; leave out --start.",
            field="start_frame",
        )
    start = reply if draft.start is None else to_frame(draft.start, field="start_frame")
    end = None if draft.end is None else to_frame(draft.end, field="end_frame")
    return GenerationRequest(
        dedupe_key=dedupe_key,
        requester=requester,
        thread=THREAD,
        work=command_text.to_work(draft, start_frame=start, end_frame=end),
        # Whoever sits at the terminal runs the bot.
        is_age_restricted=True,
        is_private=draft.is_private,
    )
