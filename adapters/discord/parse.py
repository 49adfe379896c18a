"""From what Discord sends to a requester, a place, images and a request. Pure; asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import discord

from adapters import command_text, typed_frames
from adapters.command_text import Draft
from bot.errors import InvalidRequest, NotAllowed, ThreadGone
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import Frame, GenerationRequest, ImageFrame, Requester

NAME = "discord"
DIRECT = "@me"
#: In front of an interaction's id: an answer that only its person sees.
ONLY = "only:"
#: In front of a request's number: a thread of its own, which is opened with the first answer.
NEW = "new:"
#: A button's custom id. A place of another platform can be its target, such as slack:T0ABC.
ACTION_ID = re.compile(r"ray:(?P<action>[a-z]{1,16}):(?P<target>[A-Za-z0-9:._-]{1,60})")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".heic", ".heif", ".avif")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image in a message: how it is named for good, and the link to it that holds today."""

    attachment: Attachment
    url: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Where, when (by Discord's clock) and by whom something was asked."""

    dedupe_key: str
    requester: Requester
    thread: ThreadRef
    asked_at: datetime
    asked_in: MessageRef | None = None
    is_age_restricted: bool = False

    @property
    def is_private(self) -> bool:
        """Whether nobody else reads the answer."""
        return is_private(self.thread) or self.thread.workspace == DIRECT


# ---- who and where ---------------------------------------------------------------------------


Where = Literal["here", "direct", "away"]


def where_asked(interaction: discord.Interaction[Any]) -> Where:
    """In a server that has the bot, in its direct messages, or where it can only answer.

    Away is wherever the bot came with a person: foreign servers, conversations with others.
    """
    if interaction.guild_id is not None:
        return "here" if interaction.is_guild_integration() else "away"
    return "direct" if interaction.context.dm_channel else "away"


def to_requester(
    user: discord.User | discord.Member,
    *,
    guild_id: int | None,
    home: discord.Member | None = None,
    is_install: bool = False,
    locale: str = "en",
) -> Requester:
    """The person. Without `guild_id` they asked elsewhere, and count as who they are at `home`."""
    member = user if isinstance(user, discord.Member) else None
    if guild_id is None:
        # What a foreign server made of them says nothing about them.
        member = home
    tenant = guild_id if guild_id is not None else home.guild.id if home is not None else DIRECT
    return Requester(
        adapter=NAME,
        workspace=str(tenant),
        user=str(user.id),
        display_name=user.display_name,
        roles=tuple(str(each.id) for each in member.roles if not each.is_default())
        if member is not None
        else (),
        locale=locale,
        member_since=member.joined_at if member is not None else None,
        home=f"{NAME}:{tenant}" if home is not None and guild_id is None else "",
        is_direct=guild_id is None and not is_install,
        is_install=is_install,
    )


def to_thread(
    channel: discord.abc.Snowflake, *, guild_id: int | None, only: str | None = None
) -> ThreadRef:
    """A channel, or a thread in its channel; what is named `only` is seen by its person alone."""
    parent = getattr(channel, "parent_id", None) if isinstance(channel, discord.Thread) else None
    inner = str(channel.id) if parent is not None else None
    return ThreadRef(
        adapter=NAME,
        workspace=str(guild_id) if guild_id is not None else DIRECT,
        channel=str(parent or channel.id),
        thread=f"{ONLY}{only}" if only is not None else inner,
    )


def place_of(channel: Any) -> str:
    """The id that a place's rules go by: of a thread, its channel's; empty where it is unknown."""
    return to_thread(channel, guild_id=None).channel if channel is not None else ""


def to_new_thread(thread: ThreadRef, number: int) -> ThreadRef:
    """A thread of a request's own in this channel; it is opened when something is to be said."""
    return thread.model_copy(update={"thread": f"{NEW}{number}"})


def is_unopened(thread: ThreadRef) -> bool:
    """Whether this is a thread that a request is to have, and not yet Discord's own."""
    return (thread.thread or "").startswith(NEW)


def is_private(thread: ThreadRef) -> bool:
    """Whether only one person sees what is answered there."""
    return (thread.thread or "").startswith(ONLY)


def channel_id(thread: ThreadRef) -> int:
    """The channel or thread to post into; raises `ThreadGone` where it names none."""
    named = (None if is_private(thread) else thread.thread) or thread.channel
    if not (named.isascii() and named.isdecimal()):
        raise ThreadGone(f"Discord has no channel {named!r}.")
    return int(named)


def is_age_restricted(channel: object) -> bool:
    """Whether Discord shows this channel to adults only; threads have it from their channel."""
    ask = getattr(channel, "is_nsfw", None)
    return bool(ask()) if callable(ask) else False


#: What posting a clip takes, as Discord names it in a channel and in a thread.
_NEEDED = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "attach_files": "Attach Files",
}
_NEEDED_IN_THREADS = {
    "view_channel": "View Channel",
    "send_messages_in_threads": "Send Messages in Threads",
    "attach_files": "Attach Files",
}


def missing_permissions(own: discord.Permissions, channel: object) -> list[str]:
    """The names of the permissions that the bot lacks there to post a clip."""
    needed = _NEEDED_IN_THREADS if isinstance(channel, discord.Thread) else _NEEDED
    return [name for right, name in needed.items() if not getattr(own, right)]


def check_permissions(own: discord.Permissions, channel: object) -> None:
    """Raise `NotAllowed`, before any money is held, where a clip could not be posted."""
    if missing := missing_permissions(own, channel):
        raise NotAllowed(
            f"I cannot post clips here: I lack {', '.join(missing)}. "
            "Who manages this server can allow it in the channel's settings."
        )


def can_open_thread(own: discord.Permissions, channel: object) -> bool:
    """Whether a request can have a thread of its own there."""
    may = own.create_public_threads and own.send_messages_in_threads
    return may and isinstance(channel, discord.TextChannel)


def name_of(guild: discord.Guild | None) -> str:
    """What people call a server, where the bot is in it."""
    return getattr(guild, "name", None) or ""


def is_moderator(interaction: discord.Interaction[Any]) -> bool:
    """Whether this person may remove other people's messages here."""
    return interaction.guild_id is not None and interaction.permissions.manage_messages


def may_moderate(message: discord.Message) -> bool:
    """The same of who wrote a message."""
    author = message.author
    if not isinstance(author, discord.Member):
        return False
    return message.channel.permissions_for(author).manage_messages


# ---- images ----------------------------------------------------------------------------------


def pictures_of(
    message: discord.Message | discord.MessageSnapshot, *, at: str, is_fleeting: bool = False
) -> list[Picture]:
    """Every image that a message shows: attached, embedded, in its components, or forwarded.

    `at` names the message, `<channel>/<message>`, so that a fresh link can be asked for later,
    but where `is_fleeting`: we shall not be shown that message again.
    """
    author = author_of(message)
    every = (
        _to_picture(media, at=f"{at}/{kind}{number}", is_fleeting=is_fleeting, author=author)
        for number, (kind, media) in enumerate(_media_of(message))
    )
    found = [each for each in every if each is not None]
    return list({picture.url.partition("?")[0]: picture for picture in found}.values())


def shows_anything(message: discord.Message | discord.MessageSnapshot) -> bool:
    """Whether there is more in a message than words, be it a picture or not."""
    seen = (message, *getattr(message, "message_snapshots", ()))
    return any(True for _ in _media_of(message)) or any(each.stickers for each in seen)


def author_of(message: discord.Message | discord.MessageSnapshot) -> str:
    """The person who posted a message in a server; empty for programs, and where nobody knows."""
    author, guild = getattr(message, "author", None), getattr(message, "guild", None)
    if author is None or guild is None or author.bot:
        return ""
    return f"{NAME}:{guild.id}:{author.id}"


Kind = Literal["a", "e", "c"]


def _media_of(
    message: discord.Message | discord.MessageSnapshot,
) -> Iterator[tuple[Kind, Any]]:
    """Attachments, embeds' images, and media of components, which leave attachments empty."""
    yield from (("a", each) for each in message.attachments)
    for embed in message.embeds:
        with suppress(TypeError, ValueError):  # discord.py reads an embed only now.
            yield from (("e", each) for each in (embed.image, embed.thumbnail) if each.url)
    waiting: list[Any] = list(message.components)
    while waiting:
        component = waiting.pop(0)
        if getattr(component, "media", None):
            yield "c", component.media
        yield from (("c", item.media) for item in getattr(component, "items", ()))
        waiting += getattr(component, "children", ())
        waiting += [component.accessory] if getattr(component, "accessory", None) else []
    for snapshot in getattr(message, "message_snapshots", ()):
        yield from _media_of(snapshot)


def _to_picture(media: Any, *, at: str, is_fleeting: bool, author: str) -> Picture | None:
    # Discord's own copy: a stranger's host never sees our address, nor leads us to another.
    is_file = isinstance(media, discord.Attachment)
    url = str((media.url if is_file else getattr(media, "proxy_url", None)) or "")
    if not url:
        return None
    last = url.partition("?")[0].rpartition("/")[2]
    filename = str(getattr(media, "filename", None) or last)
    kind, size = str(getattr(media, "content_type", None) or ""), getattr(media, "size", None)
    if not kind.startswith("image/") and not filename.lower().endswith(_IMAGE_SUFFIXES):
        return None
    attachment = Attachment(
        adapter=NAME,
        id=at,
        filename=filename,
        size=size if isinstance(size, int) else None,
        is_spoiler=filename.startswith("SPOILER_"),
        is_fleeting=is_fleeting,
        author=author,
    )
    return Picture(attachment=attachment, url=url)


def to_upload(upload: discord.Attachment | discord.Object, *, interaction_id: int) -> Picture:
    """A file given to a command or modal; what it is, its bytes will tell."""
    if isinstance(upload, discord.Object):
        raise InvalidRequest("Discord does not show me that file. Please attach it again.")
    attachment = Attachment(
        adapter=NAME,
        id=f"{ONLY}{interaction_id}/{upload.id}",
        filename=upload.filename,
        size=upload.size,
        is_spoiler=upload.is_spoiler(),
        is_fleeting=True,
    )
    return Picture(attachment=attachment, url=upload.url)


# ---- what is asked ---------------------------------------------------------------------------


def action_id(action: str, target: str) -> str:
    """A button's custom id, all it needs for months."""
    return f"ray:{action}:{target}"


def to_job_id(text: str) -> JobId:
    """A typed job id; raises `InvalidRequest`."""
    if not re.fullmatch(r"r-[0-9a-z]{4,16}", typed := text.strip().lower()):
        raise InvalidRequest("A job's id looks like r-0yb7k2m9q; /ray jobs lists yours.")
    return JobId(typed)


def clip_of(message: discord.Message) -> JobId | None:
    """The job of one of our own clips: only they have a Delete button, which names it."""
    waiting: list[Any] = list(message.components)
    while waiting:
        component = waiting.pop(0)
        waiting += getattr(component, "children", ())
        found = ACTION_ID.fullmatch(str(getattr(component, "custom_id", None)))
        if found is not None and found["action"] == "delete":
            return JobId(found["target"])
    return None


def said_to(content: str, user_id: int) -> str | None:
    """What somebody says to this user by mentioning them, without the mention; else None."""
    mention = re.compile(rf"<@!?{user_id}>")
    if not mention.search(content):
        return None
    return " ".join(mention.sub(" ", content).split(" ")).strip()


def names_our_role(message: discord.Message, user_id: int) -> bool:
    """Whether somebody took the role that Discord gave this bot for the bot itself."""
    tags = [each.tags for each in message.role_mentions if each.tags is not None]
    return any(each.bot_id == user_id for each in tags)


def to_frame(picture: Picture | None, link: str | None, *, field: str) -> Frame | None:
    """An image or a typed link as a frame; raises `InvalidRequest`."""
    if picture is not None and link:
        raise InvalidRequest("Give either an image or a link to one, not both.", field=field)
    if picture is not None:
        return ImageFrame(attachment=picture.attachment)
    return typed_frames.to_link(link, field=field) if link else None


def to_request(
    asked: Asked, draft: Draft, *, start: Frame | None = None, end: Frame | None = None
) -> GenerationRequest:
    """A draft with its images as a request; frames that were typed come second.

    A message stands where everybody reads it: only the command can be private.
    """
    if draft.is_private:
        raise InvalidRequest(
            "Leave out --private: /ray create has the option private.", field="flags"
        )
    start, end = typed_frames.with_typed(draft, start, end)
    return GenerationRequest(
        dedupe_key=asked.dedupe_key,
        requester=asked.requester,
        thread=asked.thread,
        work=command_text.to_work(draft, start_frame=start, end_frame=end),
        asked_in=asked.asked_in,
        asked_at=asked.asked_at,
        is_age_restricted=asked.is_age_restricted,
        is_private=asked.is_private,
    )
