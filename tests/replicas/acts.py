"""The operator's commands beside running processes, and beside none."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import create_engine, text

from bot.store.postgres import postgres_url
from tests.replicas.cluster import Cluster
from tests.replicas.stories import Told, ready, under_load

_WAITING = "state = 'accepted' AND admitted_at IS NULL"
_PARK = text(
    "UPDATE jobs SET parked_at = now(), version = version + 1"
    f" WHERE id = (SELECT id FROM jobs WHERE {_WAITING} ORDER BY id DESC LIMIT 1) RETURNING id"
)


async def commanded(cluster: Cluster, *, many: int = 6) -> Told:
    """A job is put aside and let go on, while two processes run, and while none does."""
    told = Told(story="raybot's commands beside two processes, and none")
    await ready(cluster, 2)
    async with under_load(cluster, told, many, pause=0.0):
        await _unpark(cluster, told)
    for words in (("usage",), ("backup", "copy.dump"), ("resolve", "r-0000000000", "release")):
        code, said = await cluster.fleet.raybot(*words)
        right = "$0.051" in said if words[0] == "usage" else code == 1
        if not right or "Traceback" in said:
            told.wrong.append(f"{words[0]}: {code} {said}")
    asking = asyncio.ensure_future(cluster.ask(many, pause=0.0))
    job = await _park(cluster)
    for each in cluster.fleet.living:
        await each.stop()
    asking.cancel()
    code, said = await cluster.fleet.raybot("unpark", job)
    if (code, said) != (0, f"{job} is now accepted.\n"):
        told.wrong.append(f"unpark, with none: {code} {said}")
    await cluster.fleet.start()
    told.wrong += await cluster.settled()
    told.wrong += await cluster.wrong()
    return told


async def _unpark(cluster: Cluster, told: Told) -> None:
    """Put a job aside, find it with `raybot check`, and let it go on."""
    job = await _park(cluster)
    code, said = await cluster.fleet.raybot("check")
    if code != 1 or f"raybot unpark {job}" not in said:
        told.wrong.append(f"check: {code} {said}")
    began = time.monotonic()
    code, said = await cluster.fleet.raybot("unpark", job)
    told.note("a command", time.monotonic() - began)
    if (code, said) != (0, f"{job} is now accepted.\n"):
        told.wrong.append(f"unpark: {code} {said}")


async def _park(cluster: Cluster) -> str:
    """Put the last one in line aside, as soon as somebody waits there."""
    async with asyncio.timeout(30):
        while (found := await asyncio.to_thread(_park_one, cluster.database)) is None:
            await asyncio.sleep(0.05)
    return found


def _park_one(database: str) -> str | None:
    engine = create_engine(postgres_url(database))
    try:
        with engine.begin() as conn:
            found: str | None = conn.execute(_PARK).scalar_one_or_none()
            return found
    finally:
        engine.dispose()
