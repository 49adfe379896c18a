"""Which servers a process hears of, where other processes of this bot hear of the rest."""

from __future__ import annotations

from collections.abc import Collection

import discord

from adapters.discord.parse import DIRECT, is_private
from bot.refs import ThreadRef


def _own(client: discord.Client) -> Collection[int]:
    """The shards of a client that has some only."""
    shards = client.shard_ids if isinstance(client, discord.AutoShardedClient) else None
    return shards if shards and client.shard_count else ()


def name_private(interaction: discord.Interaction[discord.Client]) -> str:
    """What the place is called where an interaction is answered: it says who heard that.

    Discord does not document which shard hears of a personal install in a foreign server.
    """
    own = _own(interaction.client)
    return f"{interaction.id}/{min(own)}" if own else f"{interaction.id}"


def hears_of(client: discord.Client, guild_id: int) -> bool:
    """Whether this client is told what happens in a server."""
    own = _own(client)
    return not own or (guild_id >> 22) % (client.shard_count or 1) in own


def hears(client: discord.Client, thread: ThreadRef) -> bool:
    """Whether what is said in this place is told to this client."""
    if not (own := _own(client)):
        return True
    _, _, shard = (thread.thread or "").partition("/")
    if is_private(thread) and shard.isdecimal():
        return int(shard) in own
    # What is outside all servers is the first shard's.
    return hears_of(client, 0 if thread.workspace == DIRECT else int(thread.workspace))


def knows(client: discord.Client, thread: ThreadRef) -> bool:
    """Whether what this client does not know of a place's server is not there."""
    return client.is_ready() and hears(client, thread)
