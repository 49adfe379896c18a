"""People, servers and channels as Discord's JSON; it knows nothing of messages."""

from __future__ import annotations

from datetime import datetime

from tests.discord_server.application import Application
from tests.discord_server.permissions import Overwrite, Permission
from tests.discord_server.problems import Json
from tests.discord_server.world import (
    FORUMS,
    Channel,
    Guild,
    Kind,
    Role,
    User,
)


class PlacePayloads:
    """Writes who and where as JSON."""

    def __init__(self, app: Application) -> None:
        self.app = app

    # ---- people and servers -------------------------------------------------------------

    def user(self, user: User) -> Json:
        """A user object."""
        return {
            "id": str(user.id),
            "username": user.name.lower(),
            "global_name": user.name,
            "discriminator": "0",
            "avatar": None,
            "bot": user.is_bot,
            "public_flags": 0,
        }

    def member(self, guild: Guild, user: User) -> Json:
        """A member object without its user; one who left has no roles."""
        member = guild.members.get(user.id)
        return {
            "roles": [str(each) for each in member.roles] if member else [],
            "joined_at": to_time(member.joined_at) if member else None,
            "nick": member.nick if member else None,
            "avatar": None,
            "premium_since": None,
            "pending": False,
            "mute": False,
            "deaf": False,
            "flags": 0,
            "communication_disabled_until": None,
        }

    def whole_member(self, guild: Guild, user: User) -> Json:
        """A member object with its user."""
        return {**self.member(guild, user), "user": self.user(user)}

    def role(self, role: Role) -> Json:
        """A role object; the bot's own managed role is tagged with it."""
        return {
            "id": str(role.id),
            "name": role.name,
            "permissions": str(int(role.permissions)),
            "position": 0 if role.name == "@everyone" else 1,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": role.bot is not None,
            "mentionable": role.is_mentionable,
            "flags": 0,
            **({"tags": {"bot_id": str(role.bot)}} if role.bot else {}),
        }

    def guild(self, guild: Guild) -> Json:
        """A server as REST shows it."""
        return {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "owner_id": str(guild.owner.id),
            "roles": [self.role(each) for each in guild.roles.values()],
            "emojis": [],
            "stickers": [],
            "features": [],
            "premium_tier": guild.boost_tier,
            "preferred_locale": guild.locale,
            "nsfw_level": 0,
            "mfa_level": 0,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "afk_timeout": 300,
            "system_channel_flags": 0,
            "member_count": len(guild.members),
        }

    def whole_guild(self, guild: Guild) -> Json:
        """A server as GUILD_CREATE brings it; of the members only the bot."""
        channels = guild.channels.values()
        threads = [each for each in channels if each.is_thread and not each.is_archived]
        return {
            **self.guild(guild),
            "joined_at": self.member(guild, self.app.bot)["joined_at"],
            "large": False,
            "unavailable": False,
            "channels": [self.channel(each) for each in channels if not each.is_thread],
            "threads": [self.channel(each) for each in threads],
            "members": [self.whole_member(guild, self.app.bot)],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def channel(self, channel: Channel) -> Json:
        """A channel object of any kind."""
        body: Json = {
            "id": str(channel.id),
            "type": int(channel.kind),
            "flags": 0,
            "last_message_id": str(last.id) if (last := channel.last()) else None,
        }
        if channel.is_private:
            others = [each for each in channel.recipients if each is not self.app.bot]
            body["recipients"] = [self.user(each) for each in others]
            if channel.kind is Kind.GROUP_DM:
                body |= {
                    "name": channel.name,
                    "icon": None,
                    "owner_id": body["recipients"][0]["id"],
                }
            return body
        assert channel.guild is not None
        body |= {
            "guild_id": str(channel.guild.id),
            "name": channel.name,
            "parent_id": str(channel.parent.id) if channel.parent else None,
            "rate_limit_per_user": 0,
            "nsfw": (channel.parent or channel).is_age_restricted,
        }
        return body | (self._thread(channel) if channel.is_thread else self._place(channel))

    def _place(self, channel: Channel) -> Json:
        body: Json = {
            "position": 0,
            "permission_overwrites": [_overwrite(each) for each in channel.overwrites],
            "topic": channel.topic,
        }
        if channel.kind in FORUMS:
            body |= {
                "flags": (1 << 4) if channel.is_tag_required else 0,
                "available_tags": [
                    {
                        "id": str(each.id),
                        "name": each.name,
                        "moderated": False,
                        "emoji_id": None,
                        "emoji_name": None,
                    }
                    for each in channel.tags
                ],
                "default_reaction_emoji": None,
                "default_sort_order": None,
                "default_forum_layout": 0,
            }
        if channel.kind is Kind.VOICE:
            body |= {"bitrate": 64000, "user_limit": 0, "rtc_region": None}
        return body

    def _thread(self, thread: Channel) -> Json:
        assert thread.owner is not None
        joined = thread.thread_members.get(self.app.bot.id)
        body: Json = {
            "owner_id": str(thread.owner.id),
            "message_count": len(thread.messages),
            "total_message_sent": len(thread.messages),
            "member_count": len(thread.thread_members),
            "thread_metadata": {
                "archived": thread.is_archived,
                "auto_archive_duration": thread.auto_archive_minutes,
                "archive_timestamp": to_time(thread.made_at),
                "create_timestamp": to_time(thread.made_at),
                "locked": thread.is_locked,
            },
            "applied_tags": [str(each) for each in thread.applied_tags],
        }
        if joined is not None:
            body["member"] = {
                "id": str(thread.id),
                "user_id": str(self.app.bot.id),
                "join_timestamp": to_time(joined),
                "flags": 0,
            }
        return body

    def resolved_channel(self, channel: Channel, by: User) -> Json:
        """A channel as an interaction shows it, with what the person and the app may there."""
        allowed = channel.guild.permissions(by, channel) if channel.guild else Permission.NONE
        return {
            **self.channel(channel),
            "permissions": str(int(allowed)),
            "app_permissions": str(int(self.app.permissions_in(channel))),
        }


def _overwrite(overwrite: Overwrite) -> Json:
    return {
        "id": str(overwrite.target),
        "type": int(overwrite.is_member),
        "allow": str(int(overwrite.allow)),
        "deny": str(int(overwrite.deny)),
    }


def to_time(at: datetime) -> str:
    return at.isoformat()
