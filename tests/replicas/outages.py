"""The database goes away under load, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from psycopg.sql import SQL

from tests.postgres import at_server
from tests.replicas.cluster import Cluster, cluster
from tests.replicas.fleet import LOOK_SECONDS, Replica
from tests.replicas.server import OwnServer, own_server
from tests.replicas.stories import Told, ready, under_load

#: So many lines of its log a process may write in a minute without a database.
LINES_A_MINUTE = 200
CUT = SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid != pg_backend_pid()"
)


@asynccontextmanager
async def cluster_of_its_own(folder: Path) -> AsyncIterator[tuple[Cluster, OwnServer]]:
    """A cluster whose database can go away."""
    async with own_server() as server, cluster(folder, url=server.database) as place:
        yield place, server


async def gone(
    cluster: Cluster, server: OwnServer, *, many: int = 24, seconds: float = 60
) -> Told:
    """PostgreSQL is ended at once, and is back later; no process is started anew."""
    told = Told(story=f"PostgreSQL gone for {seconds:.0f} s, ended at once")
    await ready(cluster, 3)
    cluster.redeliver_seconds = 30.0
    async with under_load(cluster, told, many):
        await asyncio.sleep(4)
        lines = {each.name: len(each.lines()) for each in cluster.fleet.living}
        cpu = {each.name: each.cpu_seconds for each in cluster.fleet.living}
        at = time.monotonic()
        await server.stop()
        sentences = [await _unready(each) for each in cluster.fleet.living]
        told.note("not ready after", time.monotonic() - at)
        told.wrong += [f"/readyz says {each}" for each in sentences if "database" not in each]
        await asyncio.sleep(seconds)
        for each in cluster.fleet.living:
            said = each.lines()[lines[each.name] :]
            told.note("lines of log a minute", len(said) * 60 / seconds)
            told.note("CPU meanwhile, %", (each.cpu_seconds - cpu[each.name]) * 100 / seconds)
            if len(said) * 60 / seconds > LINES_A_MINUTE:
                often = Counter(str(line["event"])[:60] for line in said).most_common(3)
                told.wrong.append(f"{each.name} logged {len(said)} lines: {often}")
        await server.start_again()
        back = time.monotonic()
        for each in cluster.fleet.living:
            await _until_ready(each)
        told.note("ready again after", time.monotonic() - back)
        told.gaps.append((at - 45, time.monotonic() + 15))
    if len(cluster.fleet.living) != len(cluster.fleet.all):
        told.wrong.append("A process has ended.")
    return told


async def cut(cluster: Cluster, *, many: int = 36) -> Told:
    """Every connection to PostgreSQL is ended, again and again."""
    told = Told(story="all connections ended, five times")
    await ready(cluster, 3)
    async with under_load(cluster, told, many):
        for _ in range(5):
            await asyncio.sleep(3)
            at = time.monotonic()
            await asyncio.to_thread(at_server, cluster.database, CUT)
            told.gaps.append((at - 45, at + 10))
    if len(cluster.fleet.living) != len(cluster.fleet.all):
        told.wrong.append("A process has ended.")
    return told


async def _unready(replica: Replica) -> str:
    """What it says once it is not ready."""
    while not (problems := await _problems(replica)):
        await asyncio.sleep(LOOK_SECONDS)
    return problems


async def _until_ready(replica: Replica) -> None:
    while await _problems(replica):
        await asyncio.sleep(LOOK_SECONDS)


async def _problems(replica: Replica) -> str:
    """What `/readyz` finds wrong; empty where nothing is."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{replica.private}/readyz") as said,
    ):
        body = await said.json()
        return "" if said.status == 200 else str(body["problems"])
