"""The one application under test: its bot user, its token, what its portal page allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

from tests.discord_server import permissions
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import (
    MISSING_ACCESS,
    MISSING_PERMISSIONS,
    UNKNOWN_CHANNEL,
    ApiError,
    Json,
)
from tests.discord_server.world import Channel, Guild, Kind, User, World

TOKEN = "MTIz.local.discord-server-token"


class Intent(IntFlag):
    """Gateway intents; three are privileged."""

    NONE = 0
    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    DIRECT_MESSAGES = 1 << 12
    DIRECT_MESSAGE_REACTIONS = 1 << 13
    MESSAGE_CONTENT = 1 << 15


PRIVILEGED = Intent.GUILD_MEMBERS | Intent.GUILD_PRESENCES | Intent.MESSAGE_CONTENT
#: Every bit an IDENTIFY may carry.
KNOWN_INTENTS = (1 << 26) - 1
#: Below the review threshold the portal sets the "limited" flag of each intent.
_LIMITED_FLAGS = {
    Intent.GUILD_PRESENCES: 1 << 13,
    Intent.GUILD_MEMBERS: 1 << 15,
    Intent.MESSAGE_CONTENT: 1 << 19,
}


@dataclass(kw_only=True, eq=False)
class Application:
    """An app as its developer portal shows it. `granted` are the privileged intents."""

    id: int
    bot: User
    owner: User
    name: str = "Ray"
    token: str = TOKEN
    granted: Intent = Intent.NONE
    is_public: bool = True
    interactions_endpoint_url: str | None = None
    requires_code_grant: bool = False
    #: How the portal lets it be installed: "0" in a server, "1" for oneself.
    installs: set[str] = field(default_factory=lambda: {"0", "1"})
    #: People who installed the app for themselves.
    installed_by: set[int] = field(default_factory=set)

    @property
    def flags(self) -> int:
        """The application flags that tell which privileged intents are switched on."""
        return sum(bit for intent, bit in _LIMITED_FLAGS.items() if self.granted & intent)

    @property
    def reads_content(self) -> bool:
        """Whether REST shows this app everybody's words."""
        return bool(self.granted & Intent.MESSAGE_CONTENT)

    def permissions_in(self, channel: Channel) -> Permission:
        """What the app may do in a place, with its bot token or (abroad) by its interactions."""
        if channel.guild is not None and channel.guild.has_bot:
            return channel.guild.permissions(self.bot, channel)
        if channel.kind is Kind.DM and self.bot in channel.recipients:
            return permissions.DIRECT_MESSAGE
        return permissions.PRIVATE_CHANNEL

    def is_in(self, channel: Channel) -> bool:
        """Whether the bot user itself is there."""
        if channel.guild is not None:
            return channel.guild.has_bot
        return self.bot in channel.recipients

    def require(self, channel: Channel, *needed: Permission) -> None:
        """Raise 50001 where the channel is out of sight, 50013 where a permission lacks."""
        has = self.permissions_in(channel)
        if not self.is_in(channel) or not has & Permission.VIEW_CHANNEL:
            raise ApiError(*MISSING_ACCESS)
        if permissions.missing(has, *needed):
            raise ApiError(*MISSING_PERMISSIONS)

    def channel(self, world: World, channel_id: int) -> Channel:
        """A channel that the bot can see."""
        if channel_id not in world.channels:
            raise ApiError(*UNKNOWN_CHANNEL)
        channel = world.channels[channel_id]
        self.require(channel)
        return channel

    def to_json(self, owner: Json, bot: Json, guilds: int) -> Json:
        """What `oauth2/applications/@me` answers."""
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "description": "Ray in your server",
            "summary": "",
            "type": None,
            "bot": bot,
            "owner": owner,
            "team": None,
            "flags": self.flags,
            "verify_key": "00" * 32,
            "bot_public": self.is_public,
            "bot_require_code_grant": self.requires_code_grant,
            "hook": True,
            "redirect_uris": [],
            "interactions_endpoint_url": self.interactions_endpoint_url,
            "role_connections_verification_url": None,
            "approximate_guild_count": guilds,
            "approximate_user_install_count": len(self.installed_by),
            "integration_types_config": {each: {} for each in sorted(self.installs)},
        }


def shard_of(guild: Guild | None, count: int) -> int:
    """Where a server's events go; what belongs to no server goes to the first shard."""
    return 0 if guild is None else (guild.id >> 22) % count
