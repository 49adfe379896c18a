"""`/ray-admin` as Discord's commands. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import discord
from discord import app_commands
from discord.app_commands import Choice, Group, Range

from bot.errors import InvalidRequest

Interaction = discord.Interaction[Any]
MENTION = re.compile(r"<#(\d+)>")
RULES = {
    "who may go on from a clip (anyone, own)": "remix",
    "the gallery's channel": "gallery_channel",
    "stars that a clip needs for the gallery": "gallery_stars",
    "whether the gallery is age-restricted (yes, no)": "gallery_age_restricted",
    "the moderators' channel": "moderators_channel",
    "whether they look at clips first (off, before_post)": "review",
    "whether images of others are animated (anyone, own, ask)": "animate_others",
    "the rules that everybody accepts once": "rules",
}
#: What can be set for a server, a channel or a role, as `bot.limits` has it.
LIMITS = {
    "a person's clips at once": "running_per_person",
    "a person's clips per day": "clips_per_person_per_day",
    "a person's clips per month": "clips_per_person_per_month",
    "a person's dollars per day": "usd_per_person_per_day",
    "a person's dollars per month": "usd_per_person_per_month",
    "a channel's clips at once": "running_per_channel",
    "a channel's clips per day": "clips_per_channel_per_day",
    "a channel's clips per month": "clips_per_channel_per_month",
    "a channel's dollars per day": "usd_per_channel_per_day",
    "a channel's dollars per month": "usd_per_channel_per_month",
    "this server's clips at once": "running_per_tenant",
    "this server's clips per day": "clips_per_tenant_per_day",
    "this server's clips per month": "clips_per_tenant_per_month",
    "this server's dollars per day": "usd_per_tenant_per_day",
    "this server's dollars per month": "usd_per_tenant_per_month",
    "a guest's clips per day": "clips_per_guest_per_day",
    "a guest's dollars per day": "usd_per_guest_per_day",
    "the models that may be used": "models",
    "the sizes that may be used": "resolutions",
}
LIMIT_WORDS = {name: words for words, name in LIMITS.items()}


class RunsPlaces(Protocol):
    """Who carries them out."""

    async def on_admin(self, interaction: Interaction, act: str, **given: Any) -> None:
        """`/ray-admin …`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A channel that was picked; where nobody can write it is none."""

    id: str
    name: str
    is_place: bool = True


def checked(place: Place) -> Place:
    """The same; raises `InvalidRequest` where nobody can write there."""
    if not place.is_place:
        raise InvalidRequest("That is a category. Choose one of its channels.", field="channel")
    return place


class PlaceTransformer(app_commands.Transformer):
    """A channel as its person sees it, whether or not the bot does; a thread is its channel."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        """What the person picks."""
        return discord.AppCommandOptionType.channel

    async def transform(self, _interaction: Interaction, value: Any, /) -> Place:
        """The channel by its id and the name that people know."""
        if isinstance(value, app_commands.AppCommandThread):
            parent = value.parent
            return Place(id=str(value.parent_id), name=parent.name if parent else value.name)
        is_place = value.type is not discord.ChannelType.category
        return Place(id=str(value.id), name=value.name, is_place=is_place)


PlaceOption = app_commands.Transform[Place, PlaceTransformer]


def named(values: Mapping[str, str]) -> list[Choice[str]]:
    """The choices of an option, by what people call them."""
    return [Choice(name=name, value=value) for name, value in values.items()]


SETTINGS = {
    **{name: name for name in ("model", "duration", "resolution", "aspect_ratio", "loop")},
    "camera": "concepts",
    "words before every prompt": "prefix",
    "words after every prompt": "suffix",
}
OWN_SETTINGS = {**SETTINGS, "who animates my images (anyone, nobody)": "animate_mine"}
DAYS = {"today": 1, "week": 7, "month": 31, "year": 366}


def ray_admin(handler: RunsPlaces) -> Group:
    """`/ray-admin` with all its commands."""
    admin = Group(
        name="ray-admin",
        description="Run Raybot in this server",
        default_permissions=discord.Permissions(manage_guild=True),
        guild_only=True,
    )

    @admin.command(name="usage", description="Who used what in this server, with a chart")
    @app_commands.describe(since="How far back")
    async def usage(
        interaction: Interaction, since: Literal["today", "week", "month", "year"] = "month"
    ) -> None:
        await handler.on_admin(interaction, "usage", days=DAYS[since])

    @admin.command(name="digest", description="What was made here, each Monday in a channel")
    @app_commands.describe(channel="Which one; none: no digest any more")
    async def digest(interaction: Interaction, channel: PlaceOption | None = None) -> None:
        await handler.on_admin(interaction, "digest", place=channel)

    @admin.command(name="desk", description="A link for you alone to this server's desk: a page")
    async def page(interaction: Interaction) -> None:
        await handler.on_admin(interaction, "desk")

    @admin.command(name="limits", description="The limits and rules in force here")
    async def limits(interaction: Interaction) -> None:
        await handler.on_admin(interaction, "limits")

    _add_rules(admin, handler)
    _add_community(admin, handler)
    _add_views(admin, handler)
    _add_people(admin, handler)
    return admin


def _add_rules(admin: Group, handler: RunsPlaces) -> None:
    @admin.command(name="channel", description="Allow a channel, or take that back")
    @app_commands.describe(
        allowed="Whether I may be used there", channel="Which one; without it, every channel"
    )
    async def channel(
        interaction: Interaction,
        allowed: bool,  # noqa: FBT001 - an option
        channel: PlaceOption | None = None,
    ) -> None:
        await handler.on_admin(interaction, "channel", place=channel, is_allowed=allowed)

    @admin.command(name="defaults", description="What holds where nobody says otherwise")
    @app_commands.describe(
        setting="Which one", value="Empty takes it back", channel="Only there; else the server"
    )
    @app_commands.choices(setting=named(SETTINGS))
    async def defaults(
        interaction: Interaction,
        setting: str,
        value: str = "",
        channel: PlaceOption | None = None,
    ) -> None:
        await handler.on_admin(
            interaction, "defaults", setting=setting, value=value, place=channel
        )


def _add_people(admin: Group, handler: RunsPlaces) -> None:
    @admin.command(name="block", description="Let somebody ask for nothing more")
    @app_commands.describe(member="Whom", days="For so long; else for good", reason="Why")
    async def block(
        interaction: Interaction,
        member: discord.User,
        days: Range[int, 1, 3650] | None = None,
        reason: str = "",
    ) -> None:
        await handler.on_admin(interaction, "block", user=str(member.id), days=days, reason=reason)

    @admin.command(name="unblock", description="Let somebody ask again")
    async def unblock(interaction: Interaction, member: discord.User) -> None:
        await handler.on_admin(interaction, "unblock", user=str(member.id))

    @admin.command(name="forget", description="Remove all that is kept of somebody here")
    async def forget(interaction: Interaction, member: discord.User) -> None:
        await handler.on_admin(interaction, "forget", user=str(member.id))

    @admin.command(name="grant", description="Let somebody spend more, once")
    @app_commands.describe(member="Whom", dollars="How much", days="Else until the month ends")
    async def grant(
        interaction: Interaction,
        member: discord.User,
        dollars: Range[float, 0.01, 100_000.0],
        days: Range[int, 1, 366] | None = None,
    ) -> None:
        await handler.on_admin(
            interaction, "grant", user=str(member.id), dollars=dollars, days=days
        )

    @admin.command(name="pause", description="Start nothing new in this server")
    @app_commands.describe(message="What people read who ask meanwhile")
    async def pause(interaction: Interaction, message: Range[str, 0, 300] = "") -> None:
        await handler.on_admin(interaction, "pause", message=message)

    @admin.command(name="resume", description="Go on after a pause")
    async def resume(interaction: Interaction) -> None:
        await handler.on_admin(interaction, "resume")


def _has_channel(interaction: Interaction, value: str) -> bool:
    """Whether this is the id of a channel or thread of the server itself."""
    guild, is_id = interaction.guild, re.fullmatch(r"[0-9]{1,20}", value) is not None
    return is_id and guild is not None and guild.get_channel_or_thread(int(value)) is not None


def _add_community(admin: Group, handler: RunsPlaces) -> None:
    @admin.command(name="rule", description="Decide about clips and people here")
    @app_commands.describe(
        name="Which rule", value="Empty takes it back; a channel as #name", channel="Only there"
    )
    @app_commands.choices(name=named(RULES))
    async def rule(
        interaction: Interaction, name: str, value: str = "", channel: PlaceOption | None = None
    ) -> None:
        where = channel.id if channel else ""
        # What somebody picks after typing # comes as a mention.
        mention = MENTION.fullmatch(value.strip())
        given = mention[1] if mention else value.strip()
        is_ours = _has_channel(interaction, given)
        await handler.on_admin(
            interaction, "rule", name=name, value=given, channel=where, is_ours=is_ours
        )

    @admin.command(name="limit", description="Set a limit of this server, a channel or a role")
    @app_commands.describe(name="Which limit", value="Empty takes it back", channel="Only there")
    @app_commands.choices(name=named(LIMITS))
    async def limit(
        interaction: Interaction,
        name: str,
        value: str = "",
        channel: PlaceOption | None = None,
        role: discord.Role | None = None,
    ) -> None:
        await handler.on_admin(
            interaction,
            "limit",
            name=name.strip(),
            value=value.strip(),
            channel=channel.id if channel else "",
            role=str(role.id) if role else "",
        )


def _add_views(admin: Group, handler: RunsPlaces) -> None:
    @admin.command(name="words", description="Words and patterns that nobody may ask for")
    @app_commands.describe(
        entry="Add it or, where it is on the list, take it off", kind="Of which"
    )
    async def words(
        interaction: Interaction, entry: str = "", kind: Literal["word", "pattern"] = "word"
    ) -> None:
        await handler.on_admin(interaction, "words", entry=entry, kind=kind)

    @admin.command(name="queue", description="What waits and runs in this server")
    async def queue(interaction: Interaction) -> None:
        await handler.on_admin(interaction, "queue")

    @admin.command(name="audit", description="Who did what to whom")
    async def audit(interaction: Interaction, page: Range[int, 1, 1000] = 1) -> None:
        await handler.on_admin(interaction, "audit", page=page)
