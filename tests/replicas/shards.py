"""Two sets of shards: of each one process listens, and another one stands by for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from bot.store import integrity
from tests.discord_server import Interaction
from tests.replicas.cluster import PATIENCE_SECONDS, Cluster
from tests.replicas.fleet import Replica
from tests.replicas.stories import (
    DEATH_GOALS,
    GATEWAY,
    GATEWAY_BACK,
    JOBS_GO_ON,
    Told,
    kill,
    under_load,
)

SHARDS = 2
GOALS = {name: DEATH_GOALS[name] for name in (GATEWAY_BACK, JOBS_GO_ON)}


async def sharded(cluster: Cluster, *, many: int = 24) -> Told:
    """SIGKILL for whoever listens to the last shard, under load."""
    told = Told(story="kill -9 of who listens to one of two shards", goals=GOALS)
    last = await start(cluster, 2, 2)
    async with undisturbed(cluster, told), under_load(cluster, told, many):
        await asyncio.sleep(1)
        await replace(cluster, told, last)
    told.wrong += await asked_in_private(cluster)
    return told


async def start(cluster: Cluster, *many: int) -> list[Replica]:
    """So many processes of each shard, of which one listens; those of the last shard."""
    *_, last = await asyncio.gather(
        *(
            cluster.fleet.start(each, RAYBOT_ADAPTERS__DISCORD__SHARD_IDS=str(shard))
            for shard, each in enumerate(many)
        )
    )
    for shard in range(len(many)):
        await cluster.fleet.wait_holder(role_of(shard))
    await cluster.discord.wait_connected(shards=len(many), seconds=20)
    await cluster.wait_slack(sum(many))
    return last


def role_of(shard: int) -> str:
    """What whoever listens to this shard alone has."""
    return f"{GATEWAY}{shard}"


async def replace(cluster: Cluster, told: Told, last: Collection[Replica]) -> None:
    """Kill the one of these that listens to the last shard; the next one listens instead."""
    role = role_of(SHARDS - 1)
    await kill(cluster, told, await cluster.fleet.wait_holder(role))
    heir = await cluster.fleet.wait_holder(role)
    if heir not in last:
        told.wrong.append(f"{heir.name} listens, which is of another shard")


@asynccontextmanager
async def undisturbed(cluster: Cluster, told: Told) -> AsyncIterator[None]:
    """Whatever happens in the block, the first shard's people notice nothing of it."""
    there = cluster.discord_people[0].here.guild
    [before] = cluster.discord.gateway.listeners(there)
    yield
    if cluster.discord.gateway.listeners(there) != [before] or before.resumes:
        told.wrong.append("somebody else listens to the first shard")
    asked = [each for each in cluster.discord.interactions.all if each.guild is there]
    told.wrong += [f"{each.id} was not answered" for each in asked if each.answer is None]


async def asked_in_private(cluster: Cluster, *, times: int = 4) -> list[str]:
    """In each shard; any process makes the clip, and only the one that heard of it can show it."""
    asked = [
        (person, await person.slash("ray create", prompt=f"private {n}", private=True))
        for n in range(times)
        for person in cluster.discord_people[:SHARDS]
    ]
    for person, interaction in asked:
        await person.answer(interaction, seconds=PATIENCE_SECONDS)
    found = await cluster.settled()
    found += [f"{who.name} sees no private clip" for who, each in asked if not _has_clip(each)]
    if broken := await cluster.read(integrity.broken_invariants):
        found.append(f"books: {broken}")
    return found


def _has_clip(asked: Interaction) -> bool:
    files = [file for each in asked.replies for file in each.attachments]
    return any(each.filename.endswith(".mp4") for each in files)
