"""The ids of Slack that our own records hold, and what a workspace knows us by. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

from bot.refs import Attachment, JobId, MessageRef, ThreadRef

NAME = "slack"
#: In front of a direct conversation's id: an answer for one person, to what was asked elsewhere.
ONLY = "only:"
#: Between the time stamp of a message and the id of the file that it shows.
_FILE = "/"
_ACTION = re.compile(r"ray:(?P<action>[a-z_]{1,20}):(?P<target>[A-Za-z0-9:._-]{1,80})")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Our bot in one workspace: its token, who it is there, and what the token may do."""

    token: str = field(repr=False)
    workspace: str
    bot_user: str
    bot_id: str
    name: str = ""
    enterprise: str = ""
    scopes: frozenset[str] = frozenset()


class Accounts(Protocol):
    """Knows our bot in every workspace that has it."""

    async def of(self, workspace: str) -> Account:
        """Our account there; raises `ThreadGone` where we have none any more."""

    async def lose(self, workspace: str) -> None:
        """Slack said that our token there ended (`token_revoked`, `account_inactive`, …)."""


# ---- places ----------------------------------------------------------------------------------


def to_thread(workspace: str, channel: str, ts: str = "", *, only: str = "") -> ThreadRef:
    """A channel, or a thread of it; with `only`, the direct conversation that is answered in."""
    inner = f"{ONLY}{only}" if only else ts or None
    return ThreadRef(adapter=NAME, workspace=workspace, channel=channel, thread=inner)


def channel_of(thread: ThreadRef) -> str:
    """Where to post: the channel, or the direct conversation of its person."""
    inner = thread.thread or ""
    return inner.removeprefix(ONLY) if inner.startswith(ONLY) else thread.channel


def parent_of(thread: ThreadRef) -> str:
    """The time stamp of the thread's first message; empty where it is no thread."""
    inner = thread.thread or ""
    return "" if inner.startswith(ONLY) else inner


def is_direct(channel: str) -> bool:
    """Whether a channel is a direct conversation."""
    return channel.startswith("D")


# ---- messages and files ----------------------------------------------------------------------


def to_message(thread: ThreadRef, ts: str, *, file_id: str = "") -> MessageRef:
    """A message by its time stamp; one that shows a clip is removed by its file."""
    return MessageRef(thread=thread, message=f"{ts}{_FILE}{file_id}" if file_id else ts)


def ts_of(message: MessageRef) -> str:
    """The message's time stamp, which is its id in its channel."""
    return message.message.partition(_FILE)[0]


def file_of(message: MessageRef) -> str:
    """The file that it shows; empty where it shows none."""
    return message.message.partition(_FILE)[2]


def to_attachment(workspace: str, file_id: str, *, filename: str, size: int | None) -> Attachment:
    """A file of a workspace; its link is private, and asked for when it is read."""
    return Attachment(adapter=NAME, id=f"{workspace}/{file_id}", filename=filename, size=size)


def workspace_and_file(attachment: Attachment) -> tuple[str, str]:
    """Whose file it is, and which."""
    workspace, _, file_id = attachment.id.partition("/")
    return workspace, file_id


# ---- buttons ---------------------------------------------------------------------------------


def action_id(action: str, target: str) -> str:
    """All that a button needs to know for months; `target` is mostly a job's id."""
    return f"ray:{action}:{target}"


def read_action(text: str) -> tuple[str, str] | None:
    """What a button is for and of which job; None where it is none of ours."""
    found = _ACTION.fullmatch(text)
    return (found["action"], found["target"]) if found else None


def clip_of(action_ids: list[str]) -> JobId | None:
    """The job of one of our own clips: only they have a Delete button, which names it."""
    for each in action_ids:
        if (read := read_action(each)) is not None and read[0] == "delete":
            return JobId(read[1])
    return None
