"""How messages come to be, change and go, with all that Discord checks on the way."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from tests.discord_server import problems as no
from tests.discord_server.application import Application
from tests.discord_server.cdn import Cdn, Upload
from tests.discord_server.component_rules import number_components
from tests.discord_server.happenings import Happenings
from tests.discord_server.mentions import read_mentions
from tests.discord_server.message_rules import (
    SETTABLE,
    check_attachments,
    check_files,
    check_message,
    refuse_empty,
)
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import ApiError, Json, Path, Problems
from tests.discord_server.wire import SentFile
from tests.discord_server.world import (
    FORUMS,
    Attachment,
    Channel,
    Flag,
    Message,
    Reference,
    User,
    World,
)

#: "The past few minutes", in which a nonce is remembered; the exact time is not published.
NONCE_SECONDS = 300
#: Messages older than an hour: three edits in six seconds in one channel.
OLD = timedelta(hours=1)
OLD_EDITS, OLD_EDITS_SECONDS = 3, 6

REPLY = 19


class Posting:
    """Writes messages for the bot's token and for its interactions."""

    def __init__(self, world: World, app: Application, cdn: Cdn, happenings: Happenings) -> None:
        self.nonce_seconds = NONCE_SECONDS
        #: Every message that was ever put into a channel, deleted ones included.
        self.all: list[Message] = []
        self._world = world
        self._app = app
        self._cdn = cdn
        self._happenings = happenings
        self._nonces: dict[tuple[int, str], tuple[datetime, Message]] = {}
        self._old_edits: defaultdict[int, deque[datetime]] = defaultdict(deque)

    # ---- with the bot's token -----------------------------------------------------------

    def create(self, channel: Channel, body: Json, files: Collection[SentFile]) -> Message:
        """A message of the bot's own; a nonce that was used lately gives the old one again."""
        self._admit(channel, body, files)
        if (earlier := self._earlier(channel, body)) is not None:
            return earlier
        message = Message(
            id=self._world.snowflake(),
            channel=channel,
            author=self._app.bot,
            at=self._world.clock.now(),
            nonce=body.get("nonce"),
        )
        self._refer(message, body.get("message_reference"))
        self.write(message, body, files, limit=self._limit(channel))
        self._wake(channel)
        if body.get("enforce_nonce") and message.nonce is not None:
            key = (channel.id, str(message.nonce))
            self._nonces[key] = (message.at, message)
        self.add(message)
        return message

    def edit(self, message: Message, body: Json, files: Collection[SentFile]) -> None:
        """Change a message of the bot's own."""
        if message.author is not self._app.bot:
            raise ApiError(*no.NOT_YOUR_MESSAGE)
        if message.channel.is_archived:
            raise ApiError(*no.THREAD_IS_ARCHIVED)
        self._slow_old_edits(message)
        message.keep_version()
        try:
            self.write(message, body, files, limit=self._limit(message.channel), is_edit=True)
        except ApiError:
            message.versions.pop()
            raise
        self.changed(message)

    def delete(self, message: Message) -> None:
        """Remove a message of the bot's own, or anybody's with the permission."""
        if message.author is not self._app.bot:
            self._app.require(message.channel, Permission.MANAGE_MESSAGES)
        self.remove(message)

    def find(self, channel: Channel, message_id: int) -> Message:
        """A message that is there for everyone."""
        if message_id not in channel.messages:
            raise ApiError(*no.UNKNOWN_MESSAGE)
        return channel.messages[message_id]

    # ---- for everyone ---------------------------------------------------------------------

    def add(self, message: Message) -> None:
        """Put a finished message into its channel."""
        self.all.append(message)
        message.channel.messages[message.id] = message
        self._happenings.message_created(message)

    def changed(self, message: Message) -> None:
        """A message has a new version."""
        message.edited_at = self._world.clock.now()
        self._happenings.message_changed(message)

    def remove(self, message: Message) -> None:
        """Take a message away; its files go with it."""
        message.is_deleted = True
        message.channel.messages.pop(message.id, None)
        for each in message.attachments:
            each.is_gone = True
        self._happenings.message_deleted(message)

    def write(
        self,
        message: Message,
        body: Json,
        files: Collection[SentFile],
        *,
        limit: int,
        is_edit: bool = False,
        parses: tuple[str, ...] = ("everyone", "roles", "users"),
        path: Path = (),
    ) -> None:
        """Check a body and take it over; a refused one changes nothing. `limit`: bytes a file."""
        if any(len(each.content) > limit for each in files):
            raise ApiError(*no.FILE_TOO_LARGE)
        problems = Problems()
        flags = self._flags(message, body, problems)
        check_attachments(body.get("attachments"), problems, (*path, "attachments"))
        problems.refuse_if_any()
        kept = _kept(message, body) if is_edit else []
        whole = _whole(message, body, kept) if is_edit else body
        names = {each.filename for each in kept} | {each.filename for each in files}
        check_files(body, files, problems, path)
        check_message(whole, problems, path, flags=flags, names=names)
        problems.refuse_if_any()
        refuse_empty(whole, has_files=bool(kept or files), flags=flags)
        message.flags = flags
        message.content = whole.get("content") or ""
        message.embeds = without_nulls(whole.get("embeds") or [])
        message.components = without_nulls(whole.get("components") or [])
        number_components(message.components)
        described = {str(each["id"]): each for each in body.get("attachments") or ()}
        message.attachments = [
            *kept,
            *(self._keep(message, each, described.get(str(each.index), {})) for each in files),
        ]
        self._mention(message, body.get("allowed_mentions"), parses)

    def _keep(self, message: Message, file: SentFile, about: Json) -> Attachment:
        upload = Upload(
            name=about.get("filename") or file.filename,
            content=file.content,
            description=about.get("description"),
        )
        return self._cdn.keep(upload, folder=message.channel.id)

    def _flags(self, message: Message, body: Json, problems: Problems) -> Flag:
        given = problems.number(body, "flags", (), 0, 1 << 31)
        if given is None:
            return message.flags
        fixed = message.flags & ~(Flag.SUPPRESS_EMBEDS | Flag.SUPPRESS_NOTIFICATIONS)
        return fixed | (Flag(given) & SETTABLE)

    def _mention(self, message: Message, allowed: Any, parses: tuple[str, ...]) -> None:
        message.mentions = read_mentions(
            message.text,
            allowed,
            guild=message.channel.guild,
            may=self._app.permissions_in(message.channel),
            replied_to=self.replied_to(message),
            parses=parses,
        )
        message.pings |= message.mentions

    def replied_to(self, message: Message) -> User | None:
        """Whom a reply answers, if that message is still there."""
        reference = message.reference
        if reference is None or reference.is_forward:
            return None
        found = reference.channel.messages.get(reference.message_id)
        return found.author if found is not None else None

    # ---- what stands in the way -------------------------------------------------------------

    def _limit(self, channel: Channel) -> int:
        return self._world.upload_limit_in(channel.guild)

    def _admit(self, channel: Channel, body: Json, files: Collection[SentFile]) -> None:
        if channel.kind in FORUMS:
            raise ApiError(*no.FORUM_HAS_NO_MESSAGES)
        needed = [
            Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        ]
        if files:
            needed.append(Permission.ATTACH_FILES)
        if body.get("embeds"):
            needed.append(Permission.EMBED_LINKS)
        if channel.guild is not None:
            self._app.require(channel, *needed)
        others = [each for each in channel.recipients if each is not self._app.bot]
        if any(not each.accepts_direct_messages for each in others):
            raise ApiError(*no.CANNOT_MESSAGE_USER)
        may = self._app.permissions_in(channel)
        if channel.is_locked and not may & Permission.MANAGE_THREADS:
            raise ApiError(*no.THREAD_IS_LOCKED)
        if body.get("message_reference") and not may & Permission.READ_MESSAGE_HISTORY:
            raise ApiError(*no.NO_HISTORY_FOR_REPLY)

    def _earlier(self, channel: Channel, body: Json) -> Message | None:
        if not body.get("enforce_nonce") or body.get("nonce") is None:
            return None
        key = (channel.id, str(body["nonce"]))
        at, message = self._nonces.get(key, (None, None))
        if at is None or message is None:
            return None
        if self._world.clock.now() - at > timedelta(seconds=self.nonce_seconds):
            return None
        if message.is_deleted:
            raise ApiError(*no.UNKNOWN_MESSAGE)
        return message

    def _refer(self, message: Message, given: Any) -> None:
        if not given:
            return
        problems = Problems()
        given = problems.object(given, ("message_reference",))
        target = problems.snowflake(given.get("message_id"), ("message_reference", "message_id"))
        problems.refuse_if_any()
        assert not given.get("type"), "A bot that forwards is not modelled here."
        channel = message.channel
        if str(given.get("channel_id") or channel.id) != str(channel.id):
            _refuse_reference("REPLIES_CANNOT_REFERENCE_OTHER_CHANNEL", "Other channel")
        if target not in channel.messages:
            if given.get("fail_if_not_exists") is not False:
                _refuse_reference("REPLIES_UNKNOWN_MESSAGE", "Unknown message")
            return
        message.type = REPLY
        message.reference = Reference(message_id=target, channel=channel)

    def _wake(self, channel: Channel) -> None:
        if not channel.is_thread:
            return
        channel.thread_members.setdefault(self._app.bot.id, self._world.clock.now())
        if channel.is_archived:
            channel.is_archived = False
            self._happenings.channel_changed(channel)

    def _slow_old_edits(self, message: Message) -> None:
        now = self._world.clock.now()
        if now - message.at <= OLD:
            return
        recent = self._old_edits[message.channel.id]
        while recent and now - recent[0] > timedelta(seconds=OLD_EDITS_SECONDS):
            recent.popleft()
        if len(recent) >= OLD_EDITS:
            error = ApiError(*no.TOO_MANY_OLD_EDITS, headers={"Via": "1.1 google"})
            error.body |= {"retry_after": float(OLD_EDITS_SECONDS), "global": False}
            raise error
        recent.append(now)


def without_nulls(node: Any) -> Any:
    """A copy in which what was given as null is absent."""
    if isinstance(node, dict):
        return {key: without_nulls(each) for key, each in node.items() if each is not None}
    return [without_nulls(each) for each in node] if isinstance(node, list) else node


def _refuse_reference(code: str, message: str) -> None:
    problems = Problems()
    problems.add(("message_reference",), code, message)
    problems.refuse_if_any()


def _kept(message: Message, body: Json) -> list[Attachment]:
    """An edit keeps the files it lists, and all of them where it lists none."""
    if body.get("attachments") is None:
        return message.attachments
    listed = {str(each["id"]) for each in body["attachments"]}
    return [each for each in message.attachments if str(each.id) in listed]


def _whole(message: Message, body: Json, kept: list[Attachment]) -> Json:
    """What the message will be: the given fields over those it has."""
    whole = {
        "content": message.content,
        "embeds": message.embeds,
        "components": message.components,
    } | {key: value for key, value in body.items() if key != "attachments"}
    shown = [{"id": str(each.id), "description": each.description} for each in kept]
    known = {each["id"] for each in shown}
    new = [each for each in body.get("attachments") or () if str(each["id"]) not in known]
    return whole | {"attachments": [*shown, *new]}
