"""The images of a chat's message, and those that its words name: links and earlier clips. Pure."""

from __future__ import annotations

import re

from adapters.command_text import Draft, Follow, read_link
from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.request import ClipFrame, Frame, LinkFrame

Frames = tuple[Frame | None, Frame | None]
_JOB = re.compile(r"r-[0-9a-z]{4,16}")


def to_link(text: str, *, field: str) -> LinkFrame | ClipFrame:
    """A typed link, or the id of an earlier job; raises `InvalidRequest`."""
    if _JOB.fullmatch(text.strip()):
        return ClipFrame(job_id=JobId(text.strip()))
    if (frame := read_link(text)) is None:
        raise InvalidRequest("A link to an image begins with https://.", field=field)
    return frame


def with_typed(draft: Draft, start: Frame | None, end: Frame | None) -> Frames:
    """Start and end frame where a draft names some; raises `InvalidRequest` for two of a kind."""
    return (
        _one_of(start, draft.start, field="start_frame"),
        _one_of(end, draft.end, field="end_frame"),
    )


def end_of(command: Follow) -> Frame | None:
    """The image that an extension ends on, where one was typed; raises `InvalidRequest`."""
    return to_link(command.end, field="end_frame") if command.end else None


def _one_of(shown: Frame | None, typed: str | None, *, field: str) -> Frame | None:
    if typed is None:
        return shown
    if shown is not None:
        raise InvalidRequest("There is an image already; leave the flag out.", field=field)
    return to_link(typed, field=field)
