"""The ids of Slack that our own records hold, and what a workspace knows us by. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from bot.refs import Attachment, MessageRef, ThreadRef

NAME = "slack"
#: In front of a direct conversation's id: an answer for one person, to what was asked elsewhere.
ONLY = "only:"
#: Between the time stamp of a message and the id of the file that it shows.
_FILE = "/"


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

    async def renewed(self, workspace: str) -> Account:
        """The same as it is kept now, whatever this process knew of it."""

    async def lose(self, workspace: str, token: str) -> None:
        """Slack said that this token of ours ended (`token_revoked`, `account_inactive`, …).

        Raises `DeliveryUnavailable` where the workspace has given us another one since.
        """


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


def read_ts(told: object) -> str:
    """A message's time stamp, as Slack tells it; raises `LookupError` where it tells none."""
    if not isinstance(told, str) or not told:
        raise LookupError("No time stamp is told.")
    return told


def ts_of(message: MessageRef) -> str:
    """The message's time stamp, which is its id in its channel."""
    return message.message.partition(_FILE)[0]


def file_of(message: MessageRef) -> str:
    """The file that it shows; empty where it shows none."""
    return message.message.partition(_FILE)[2]


def to_attachment(
    workspace: str, file_id: str, *, filename: str, size: int | None, user: str = ""
) -> Attachment:
    """A file of a workspace; its link is private, and asked for when it is read."""
    author = f"{NAME}:{workspace}:{user}" if user else ""
    return Attachment(
        adapter=NAME, id=f"{workspace}/{file_id}", filename=filename, size=size, author=author
    )


def workspace_and_file(attachment: Attachment) -> tuple[str, str]:
    """Whose file it is, and which."""
    workspace, _, file_id = attachment.id.partition("/")
    return workspace, file_id
