"""From what was heard in Slack to a requester, a place, words and a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapters import command_text, typed_frames
from adapters.command_text import Draft
from adapters.names import SOME, SOMEBODY, SOMEWHERE, to_words
from adapters.slack import addresses
from adapters.slack.addresses import NAME, Account
from adapters.slack.events import File, SlackEvent
from adapters.slack.filled import read_place, where_of
from bot.errors import InvalidRequest
from bot.refs import MessageRef, ThreadRef
from bot.request import Frame, GenerationRequest, ImageFrame, Requester

MOST_FRAMES = 2
_SPECIAL = re.compile(r"<([^<>]*)>")
_UNNAMED = re.compile(r"<@(\w+)\|?>")
#: People and channels in what is decoded, where others may have typed `<` and `>` themselves.
_CALLED = re.compile(r"<([@#]\w+(?:\|[^<>]*)?)>")
_GROUP = "!subteam^"


@dataclass(frozen=True, kw_only=True)
class Person:
    """What a workspace knows of somebody. A guest may be one of another organisation."""

    user: str
    name: str = ""
    locale: str = "en"
    is_guest: bool = False
    is_admin: bool = False
    is_bot: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Where, when (by Slack's clock, where it says so) and by whom something was asked."""

    dedupe_key: str
    requester: Requester
    thread: ThreadRef
    asked_in: MessageRef | None = None
    asked_at: datetime | None = None
    is_private: bool = False


# ---- who and where ---------------------------------------------------------------------------


def to_requester(person: Person, account: Account, *, is_typed_directly: bool) -> Requester:
    """The person in our workspace; who types in a direct conversation asks outside any channel."""
    return Requester(
        adapter=NAME,
        workspace=account.workspace,
        user=person.user,
        display_name=person.name,
        locale=person.locale,
        is_guest=person.is_guest,
        home=f"{NAME}:{account.workspace}" if is_typed_directly else "",
        is_direct=is_typed_directly,
    )


def is_typed_directly(heard: SlackEvent) -> bool:
    """Whether somebody asks us alone for something new.

    A button there, and the form behind it, belong to what stands there.
    """
    return heard.is_direct and heard.kind != "button" and not heard.target


def to_thread(heard: SlackEvent) -> ThreadRef:
    """Where the answer belongs: the thread it was asked in, or one under what was said.

    A command has neither, so its status message begins a thread.
    """
    ts = heard.thread or (heard.ts if heard.kind in ("message", "shortcut") else "")
    return addresses.to_thread(heard.workspace, heard.channel, ts)


def to_asked(heard: SlackEvent, requester: Requester) -> Asked:
    """Where and by whom this was asked, to be answered where everybody reads it."""
    said = heard.kind == "message"
    place = addresses.to_thread(heard.workspace, heard.channel, heard.thread)
    return Asked(
        dedupe_key=heard.key,
        requester=requester,
        thread=to_thread(heard),
        asked_in=addresses.to_message(place, heard.ts) if said else None,
        asked_at=heard.asked_at,
        is_private=heard.is_direct,
    )


def to_private(asked: Asked, direct: ThreadRef) -> Asked:
    """The same, answered in the direct messages of its person; the channel's rules still hold."""
    place = asked.thread
    only = addresses.to_thread(place.workspace, place.channel, only=direct.channel)
    return replace(asked, thread=only, asked_in=None, is_private=True)


def to_place_before(asked: Asked, before: ThreadRef) -> Asked:
    """Asked under a private answer to what was asked in a channel, it belongs there, too."""
    here = asked.thread.channel
    if before.channel == here or addresses.channel_of(before) != here:
        return asked
    return replace(asked, thread=before)


def to_placed(heard: SlackEvent) -> SlackEvent:
    """A filled form where it was opened, or where its person said; what it is about is `target`.

    Raises `InvalidRequest` for a form of another version.
    """
    place = read_place(str(heard.view.get("private_metadata") or ""))
    return heard.model_copy(
        update={
            "channel": place.channel or where_of(heard.view) or heard.channel,
            "thread": place.thread or "",
            "ts": place.message,
            "target": place.job or place.clip,
        }
    )


# ---- words -----------------------------------------------------------------------------------


def unnamed(said: str, *, own: str) -> list[str]:
    """The people but us of whom a message tells only their ids, each once."""
    return [each for each in dict.fromkeys(_UNNAMED.findall(said)) if each != own]


def to_text(said: str, *, own: str = "", names: Mapping[str, str] | None = None) -> str:
    """What somebody typed, without Slack's dress: links as typed, names without their calls.

    `own` is our user, who is spoken to and not spoken of; `names` are those of people by their
    ids, where a message does not tell them. Without them it is the text without any name in it.
    """
    bare = _unescape(_SPECIAL.sub(lambda found: _undress(found[1], own, names), said))
    return "\n".join(" ".join(line.split(" ")) for line in bare.split("\n")).strip()


def to_decision(said: str, names: Mapping[str, str]) -> str:
    """What an admin typed, in which people and channels still stand as Slack calls them."""

    def undress(found: re.Match[str]) -> str:
        if found[1][:1] not in "@#":
            return _undress(found[1], "", {})
        called = found[1].rstrip("|")
        name = to_words(names.get(called[1:], ""))
        return f"<{called}|{name}>" if name else found[0]

    return _unescape(_SPECIAL.sub(undress, said))


def to_shown(decision: str) -> str:
    """What others read of that: people and channels by their names."""
    return _CALLED.sub(lambda found: _undress(found[1], "", {}), decision)


def _unescape(text: str) -> str:
    # The last one, so that nothing is read twice.
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _undress(inner: str, own: str, names: Mapping[str, str] | None) -> str:
    target, _, label = inner.partition("|")
    match target[:1]:
        case "@" | "#" if names is None or target == f"@{own}":
            return ""
        case "@":
            return to_words(label or (names or {}).get(target[1:], "")) or SOMEBODY
        case "#":
            return f"#{label}" if label else SOMEWHERE
        case "!" if names is not None and target.startswith(_GROUP):
            return to_words(label) or SOME
        case "!":
            return ""
    is_as_typed = label and target.partition("://")[2].rstrip("/") == label.rstrip("/")
    if is_as_typed or target.startswith("mailto:"):
        return label or target.removeprefix("mailto:")
    return target


# ---- images ----------------------------------------------------------------------------------


def pictures_of(files: Sequence[File]) -> list[File]:
    """The files that can be frames."""
    return [each for each in files if each.is_image]


def to_frame(workspace: str, file: File) -> ImageFrame:
    """A file as a frame; its link is asked for when it is read."""
    return ImageFrame(
        attachment=addresses.to_attachment(
            workspace, file.id, filename=file.name, size=file.size, user=file.user
        )
    )


def to_frames(workspace: str, files: Sequence[File]) -> tuple[Frame | None, Frame | None]:
    """Start and end of the images of one message; raises `InvalidRequest` for more than two."""
    shown = pictures_of(files)
    if len(shown) > MOST_FRAMES:
        raise InvalidRequest(
            f"There are {len(shown)} images, and a clip has one to begin and one to end with. "
            "“Animate with Ray”, in the message's menu, lets you choose one."
        )
    frames = [to_frame(workspace, each) for each in shown]
    return (*frames, None, None)[0], (*frames, None, None)[1]


# ---- what is asked ---------------------------------------------------------------------------


def to_request(
    asked: Asked, draft: Draft, *, start: Frame | None = None, end: Frame | None = None
) -> GenerationRequest:
    """A draft with its images as a request; frames that were typed come second."""
    start, end = typed_frames.with_typed(draft, start, end)
    return GenerationRequest(
        dedupe_key=asked.dedupe_key,
        requester=asked.requester,
        thread=asked.thread,
        work=command_text.to_work(draft, start_frame=start, end_frame=end),
        asked_in=asked.asked_in,
        asked_at=asked.asked_at,
        is_private=asked.is_private,
    )
