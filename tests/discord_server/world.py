"""Servers, channels, people and messages as plain objects; it knows neither HTTP nor JSON."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag

from bot.clock import Clock
from tests.discord_server import permissions
from tests.discord_server.permissions import Overwrite, Permission
from tests.discord_server.problems import Json

EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
MIB = 1 << 20
#: Per file; Discord raised it from 10 MiB on 2026-09-03. Boost tiers 2 and 3 have more.
DEFAULT_UPLOAD_LIMIT = 20 * MIB
BOOST_UPLOAD_LIMITS = {2: 50 * MIB, 3: 100 * MIB}


class Kind(IntEnum):
    """Channel types."""

    TEXT = 0
    DM = 1
    VOICE = 2
    GROUP_DM = 3
    CATEGORY = 4
    ANNOUNCEMENT = 5
    ANNOUNCEMENT_THREAD = 10
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12
    FORUM = 15
    MEDIA = 16


THREADS = frozenset({Kind.ANNOUNCEMENT_THREAD, Kind.PUBLIC_THREAD, Kind.PRIVATE_THREAD})
FORUMS = frozenset({Kind.FORUM, Kind.MEDIA})
PRIVATE = frozenset({Kind.DM, Kind.GROUP_DM})


class Flag(IntFlag):
    """Message flags."""

    NONE = 0
    SUPPRESS_EMBEDS = 1 << 2
    HAS_THREAD = 1 << 5
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    HAS_SNAPSHOT = 1 << 14
    COMPONENTS_V2 = 1 << 15


@dataclass(kw_only=True, eq=False)
class User:
    """An account, of a person or of a bot."""

    id: int
    name: str
    is_bot: bool = False
    locale: str = "en-US"
    #: Nitro raises what a person may upload; it counts in their interactions, too.
    nitro_upload_limit: int = 0
    accepts_direct_messages: bool = True

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"


@dataclass(kw_only=True, eq=False)
class Role:
    """A role of one server; the one with the server's id is everyone's."""

    id: int
    name: str
    permissions: Permission
    is_mentionable: bool = False
    bot: int | None = None


@dataclass(kw_only=True, eq=False)
class Member:
    """A user in a server."""

    user: User
    joined_at: datetime
    roles: set[int] = field(default_factory=set)
    nick: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A label of a forum."""

    id: int
    name: str


@dataclass(kw_only=True, eq=False)
class Attachment:
    """A file that Discord keeps; `folder` is the channel it was sent to."""

    id: int
    folder: int
    filename: str
    content: bytes
    content_type: str | None
    size_in_pixels: tuple[int, int] | None = None
    description: str | None = None
    is_ephemeral: bool = False
    is_gone: bool = False


@dataclass
class Pings:
    """Who is told about a message."""

    users: set[int] = field(default_factory=set)
    roles: set[int] = field(default_factory=set)
    everyone: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.roles or self.everyone)

    def __or__(self, other: Pings) -> Pings:
        return Pings(
            self.users | other.users, self.roles | other.roles, self.everyone or other.everyone
        )


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a message replies to, or forwards."""

    message_id: int
    channel: Channel
    is_forward: bool = False


@dataclass(kw_only=True, eq=False)
class Message:
    """One message; `versions` keeps what it said before each edit."""

    id: int
    channel: Channel
    author: User
    at: datetime
    type: int = 0
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    #: The names of its stickers.
    stickers: list[str] = field(default_factory=list)
    flags: Flag = Flag.NONE
    nonce: str | int | None = None
    reference: Reference | None = None
    #: The copy that a forward carries.
    snapshot: Message | None = None
    edited_at: datetime | None = None
    mentions: Pings = field(default_factory=Pings)
    #: Everybody any version of it could reach: an edit is parsed anew.
    pings: Pings = field(default_factory=Pings)
    #: The interaction it answers: its id, and what the message tells about it.
    interaction: int | None = None
    interaction_metadata: Json | None = None
    #: Only this user sees it, if it is ephemeral.
    seen_by: int | None = None
    thread: Channel | None = None
    reactions: dict[str, set[int]] = field(default_factory=dict)
    is_deleted: bool = False
    versions: list[Message] = field(default_factory=list)

    @property
    def is_ephemeral(self) -> bool:
        return bool(self.flags & Flag.EPHEMERAL)

    @property
    def is_loading(self) -> bool:
        return bool(self.flags & Flag.LOADING)

    @property
    def files(self) -> dict[str, bytes]:
        """The attached files' bytes by name."""
        return {each.filename: each.content for each in self.attachments}

    @property
    def text(self) -> str:
        """All words a person reads: content, embeds and text components, in order."""
        words = [self.content, *_words_of_embeds(self.embeds)]
        words += [each["content"] for each in walk(self.components) if each["type"] == 10]
        return "\n".join(filter(None, words))

    @property
    def buttons(self) -> dict[str, Json]:
        """The buttons by label (or by custom id, where they have none)."""
        found = [each for each in walk(self.components) if each["type"] == 2]
        return {each.get("label") or each.get("custom_id") or each["url"]: each for each in found}

    def keep_version(self) -> None:
        """Remember what it says now, before it changes."""
        old = copy(self)
        old.versions = []
        self.versions.append(old)


@dataclass(kw_only=True, eq=False)
class Channel:
    """A place for messages, of any kind; threads and posts are channels with a parent."""

    id: int
    kind: Kind
    name: str
    guild: Guild | None = None
    parent: Channel | None = None
    overwrites: list[Overwrite] = field(default_factory=list)
    recipients: list[User] = field(default_factory=list)
    messages: dict[int, Message] = field(default_factory=dict)
    topic: str | None = None
    is_age_restricted: bool = False
    tags: list[Tag] = field(default_factory=list)
    is_tag_required: bool = False
    owner: User | None = None
    made_at: datetime = EPOCH
    applied_tags: list[int] = field(default_factory=list)
    auto_archive_minutes: int = 1440
    is_archived: bool = False
    is_locked: bool = False
    thread_members: dict[int, datetime] = field(default_factory=dict)

    @property
    def is_thread(self) -> bool:
        return self.kind in THREADS

    @property
    def is_private(self) -> bool:
        return self.kind in PRIVATE

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"

    def last(self) -> Message | None:
        """The newest message that everyone here sees."""
        return next(reversed(self.messages.values()), None)


@dataclass(kw_only=True, eq=False)
class Guild:
    """A Discord server. Without `has_bot`, only apps that people installed for themselves run."""

    id: int
    name: str
    owner: User
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    has_bot: bool = True
    boost_tier: int = 0
    locale: str = "en-US"
    most_active_threads: int = 1000

    @property
    def bot_role(self) -> Role:
        """The managed role that a bot brings along and nobody else has."""
        return next(each for each in self.roles.values() if each.bot is not None)

    def permissions(self, user: User, channel: Channel | None = None) -> Permission:
        """What a user may do, in the server or in one of its channels; 0 for strangers."""
        if user is self.owner:
            return permissions.ALL
        member = self.members.get(user.id)
        if member is None:
            return Permission.NONE
        base = self.roles[self.id].permissions
        for role in member.roles:
            base |= self.roles[role].permissions
        place = channel.parent if channel is not None and channel.is_thread else channel
        return permissions.in_channel(
            base,
            place.overwrites if place is not None else (),
            everyone=self.id,
            roles=member.roles,
            member=user.id,
        )


class World:
    """Everything there is, by id; ids are snowflakes of the given clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        #: Bytes a file may have where no boost and no Nitro allow more.
        self.upload_limit = DEFAULT_UPLOAD_LIMIT
        self._last_id = 0

    def snowflake(self) -> int:
        """A new id, greater than all before it, that tells the time."""
        milliseconds = (self.clock.now() - EPOCH) // timedelta(milliseconds=1)
        self._last_id = max(self._last_id + 1, milliseconds << 22)
        return self._last_id

    def add_user(self, name: str, *, is_bot: bool = False) -> User:
        """A new account."""
        user = User(id=self.snowflake(), name=name, is_bot=is_bot)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, owner: User, guild_id: int | None = None) -> Guild:
        """A new server with nothing but its owner and the role of everyone."""
        guild = Guild(id=guild_id or self.snowflake(), name=name, owner=owner)
        everyone = Role(id=guild.id, name="@everyone", permissions=permissions.EVERYONE)
        guild.roles[guild.id] = everyone
        self.guilds[guild.id] = guild
        self.join(guild, owner)
        return guild

    def join(self, guild: Guild, user: User, *, since: timedelta = timedelta(days=90)) -> Member:
        """Make a user a member who has been there for some time."""
        member = Member(user=user, joined_at=self.clock.now() - since)
        guild.members[user.id] = member
        return member

    def add_role(self, guild: Guild, name: str, allows: Permission = Permission.NONE) -> Role:
        """A new role of a server."""
        role = Role(id=self.snowflake(), name=name, permissions=allows)
        guild.roles[role.id] = role
        return role

    def add_channel(self, channel: Channel) -> Channel:
        """Enter a channel, and its server's list if it stands there."""
        self.channels[channel.id] = channel
        if channel.guild is not None:
            channel.guild.channels[channel.id] = channel
        return channel

    def upload_limit_in(self, guild: Guild | None, user: User | None = None) -> int:
        """Bytes a file may have, sent by a bot's token or in a person's interaction."""
        boosted = BOOST_UPLOAD_LIMITS.get(guild.boost_tier, 0) if guild else 0
        return max(self.upload_limit, boosted, user.nitro_upload_limit if user else 0)

    def direct(self, *users: User) -> Channel:
        """The private conversation of these users; it always exists."""
        for channel in self.channels.values():
            if channel.is_private and set(channel.recipients) == set(users):
                return channel
        return self.add_channel(
            Channel(
                id=self.snowflake(),
                kind=Kind.DM if len(users) == 2 else Kind.GROUP_DM,
                name=", ".join(each.name for each in users),
                recipients=list(users),
            )
        )


def walk(components: list[Json]) -> Iterator[Json]:
    """Every component of a message or modal, nested ones after what holds them."""
    for each in components:
        yield each
        inner = [*each.get("components", ())]
        inner += [each[key] for key in ("accessory", "component") if each.get(key)]
        yield from walk(inner)


def _words_of_embeds(embeds: list[Json]) -> Iterator[str]:
    for each in embeds:
        yield from (each.get("title", ""), each.get("description", ""))
        for entry in each.get("fields", ()):
            yield f"{entry['name']}: {entry['value']}"
        yield each.get("footer", {}).get("text", "")
