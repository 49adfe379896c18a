"""Fills a server with places and roles at once: events tell of the whole, not of each part."""

from __future__ import annotations

from dataclasses import dataclass

from tests.discord_server.permissions import EVERYONE, Overwrite, Permission
from tests.discord_server.world import Channel, Guild, Kind, World

#: So many channels stand in a category.
TOGETHER = 8


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much a server has beside what every new one has; categories count as channels."""

    channels: int = 0
    roles: int = 0
    threads: int = 0


def furnish(world: World, guild: Guild, size: Size) -> None:
    """Add roles, channels in categories that some roles may enter, and active threads."""
    roles = [
        world.add_role(guild, f"Role number {number}", EVERYONE) for number in range(size.roles)
    ]
    parent, places = None, []
    for number in range(size.channels):
        is_category = number % (TOGETHER + 1) == 0
        channel = world.add_channel(
            Channel(
                id=world.snowflake(),
                kind=Kind.CATEGORY if is_category else Kind.TEXT,
                name=f"{'Category' if is_category else 'channel'}-number-{number}",
                guild=guild,
                parent=None if is_category else parent,
                topic=None if is_category else f"Everything about number {number}, and more.",
                overwrites=[
                    Overwrite(target=each.id, is_member=False, allow=Permission.VIEW_CHANNEL)
                    for each in roles[number : number + 2]
                ],
            )
        )
        if is_category:
            parent = channel
        else:
            places.append(channel)
    for number in range(size.threads if places else 0):
        world.add_channel(
            Channel(
                id=world.snowflake(),
                kind=Kind.PUBLIC_THREAD,
                name=f"thread-number-{number}",
                guild=guild,
                parent=places[number % len(places)],
                owner=guild.owner,
                made_at=world.clock.now(),
            )
        )
