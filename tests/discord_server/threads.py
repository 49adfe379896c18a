"""Threads and forum posts: opening them, joining them, archiving them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tests.discord_server import problems as no
from tests.discord_server.application import Application
from tests.discord_server.happenings import Happenings
from tests.discord_server.permissions import Permission
from tests.discord_server.posting import Posting
from tests.discord_server.problems import ApiError, Json, Problems
from tests.discord_server.wire import SentFile
from tests.discord_server.world import (
    FORUMS,
    THREADS,
    Channel,
    Flag,
    Kind,
    Message,
    User,
    World,
)

ARCHIVE_MINUTES = frozenset({60, 1440, 4320, 10080})
MOST_TAGS = 5


class Threads:
    """Opens and changes threads, for people and for the bot."""

    def __init__(
        self, world: World, app: Application, happenings: Happenings, posting: Posting
    ) -> None:
        self._world = world
        self._app = app
        self._happenings = happenings
        self._posting = posting

    def open(
        self,
        parent: Channel,
        name: str,
        owner: User,
        *,
        kind: Kind = Kind.PUBLIC_THREAD,
        thread_id: int | None = None,
        tags: Collection[int] = (),
        minutes: int = 1440,
    ) -> Channel:
        """A new thread, without any check; `thread_id` is that of the message it starts from."""
        now = self._world.clock.now()
        thread = Channel(
            id=thread_id or self._world.snowflake(),
            kind=kind,
            name=name,
            guild=parent.guild,
            parent=parent,
            owner=owner,
            made_at=now,
            applied_tags=list(tags),
            auto_archive_minutes=minutes,
            thread_members={owner.id: now},
        )
        return self._world.add_channel(thread)

    def from_message(self, message: Message, body: Json) -> Channel:
        """The one thread of a message, opened by the bot."""
        parent = message.channel
        self._app.require(parent, Permission.CREATE_PUBLIC_THREADS)
        if message.thread is not None:
            raise ApiError(*no.THREAD_EXISTS)
        name, minutes = self._check(parent, body)
        is_news = parent.kind is Kind.ANNOUNCEMENT
        thread = self.open(
            parent,
            name,
            self._app.bot,
            kind=Kind.ANNOUNCEMENT_THREAD if is_news else Kind.PUBLIC_THREAD,
            thread_id=message.id,
            minutes=minutes,
        )
        message.thread = thread
        message.flags |= Flag.HAS_THREAD
        self._happenings.thread_created(thread)
        return thread

    def without_message(self, parent: Channel, body: Json) -> Channel:
        """A thread of its own beside the channel, opened by the bot."""
        problems = Problems()
        given = body.get("type") or Kind.PRIVATE_THREAD
        problems.choice(given, ("type",), THREADS)
        problems.refuse_if_any()
        kind = Kind(given)
        needed = (
            Permission.CREATE_PRIVATE_THREADS
            if kind is Kind.PRIVATE_THREAD
            else Permission.CREATE_PUBLIC_THREADS
        )
        self._app.require(parent, needed)
        name, minutes = self._check(parent, body)
        thread = self.open(parent, name, self._app.bot, kind=kind, minutes=minutes)
        self._happenings.thread_created(thread)
        return thread

    def post(
        self, forum: Channel, body: Json, files: Collection[SentFile]
    ) -> tuple[Channel, Message]:
        """A post in a forum with its first message, by the bot."""
        self._app.require(forum, Permission.SEND_MESSAGES)
        name, minutes = self._check(forum, body)
        tags = self._tags(forum, body.get("applied_tags"))
        problems = Problems()
        first = problems.object(body.get("message"), ("message",))
        if not first:
            problems.required(("message",))
        problems.refuse_if_any()
        thread = self.open(forum, name, self._app.bot, tags=tags, minutes=minutes)
        message = Message(
            id=thread.id, channel=thread, author=self._app.bot, at=self._world.clock.now()
        )
        try:
            limit = self._world.upload_limit_in(forum.guild)
            self._posting.write(message, first, files, limit=limit, path=("message",))
        except ApiError:
            self._forget(thread)
            raise
        self._happenings.thread_created(thread)
        self._posting.add(message)
        return thread, message

    def change(self, thread: Channel, body: Json) -> None:
        """Archive, lock, rename or tag; the owner may, others need Manage Threads."""
        is_only_opening = body.keys() <= {"archived"} and body.get("archived") is False
        if thread.owner is not self._app.bot and not is_only_opening:
            self._app.require(thread, Permission.MANAGE_THREADS)
        if thread.is_archived and not is_only_opening and body.get("archived") is not False:
            raise ApiError(*no.THREAD_IS_ARCHIVED)
        problems = Problems()
        name = problems.text(body, "name", (), 0, 100)
        if minutes := body.get("auto_archive_duration"):
            problems.choice(minutes, ("auto_archive_duration",), ARCHIVE_MINUTES)
        problems.refuse_if_any()
        if "applied_tags" in body and thread.parent is not None:
            thread.applied_tags = self._tags(thread.parent, body["applied_tags"])
        thread.name = name or thread.name
        thread.is_archived = bool(body.get("archived", thread.is_archived))
        thread.is_locked = bool(body.get("locked", thread.is_locked))
        thread.auto_archive_minutes = minutes or thread.auto_archive_minutes
        self._happenings.channel_changed(thread)

    def join(self, thread: Channel) -> None:
        """Make the bot a member of a thread."""
        if thread.is_archived:
            raise ApiError(*no.THREAD_IS_ARCHIVED)
        thread.thread_members.setdefault(self._app.bot.id, self._world.clock.now())

    def _forget(self, thread: Channel) -> None:
        del self._world.channels[thread.id]
        if thread.guild is not None:
            del thread.guild.channels[thread.id]

    def _check(self, parent: Channel, body: Json) -> tuple[str, int]:
        problems = Problems()
        name = problems.text(body, "name", (), 1, 100)
        minutes = body.get("auto_archive_duration") or 1440
        problems.choice(minutes, ("auto_archive_duration",), ARCHIVE_MINUTES)
        problems.refuse_if_any()
        if parent.guild is not None:
            beside = parent.guild.channels.values()
            active = sum(each.is_thread and not each.is_archived for each in beside)
            if active >= parent.guild.most_active_threads:
                raise ApiError(*no.TOO_MANY_THREADS)
        return name, minutes

    def _tags(self, forum: Channel, given: Any) -> list[int]:
        problems = Problems()
        listed = problems.count(given, ("applied_tags",), 0, MOST_TAGS)
        known = {str(each.id) for each in forum.tags}
        for index, each in enumerate(listed):
            problems.choice(str(each), ("applied_tags", index), known)
        problems.refuse_if_any()
        if forum.kind in FORUMS and forum.is_tag_required and not listed:
            raise ApiError(*no.TAG_REQUIRED)
        return [int(each) for each in listed]
