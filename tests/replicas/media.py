"""A clip in a bucket: the process that fetched it dies, and one without its files posts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from tests.bucket import NAME, Bucket
from tests.replicas.cluster import Cluster, cluster
from tests.replicas.stories import SETTLE_SECONDS, Told, ready

#: Each process has its files in its own folder, and only the bucket is everybody's.
APART = {"media_url": f"s3://{NAME}", "single_host": False, "data_dir": "data"}
#: No generation is done before the chats stop taking clips.
LONG = 4.0
ONE_EACH = 2
FOREVER = 1000
_FETCHED = text("SELECT count(*) FROM jobs WHERE state = 'delivering'")


@asynccontextmanager
async def cluster_with_a_bucket(folder: Path) -> AsyncIterator[tuple[Cluster, Bucket]]:
    """All of it, and a bucket that keeps what is everybody's."""
    async with Bucket() as bucket:
        settings = {
            "AWS_ENDPOINT_URL": bucket.endpoint,
            "AWS_ALLOW_HTTP": "true",
            **{f"AWS_{name.upper()}": value for name, value in bucket.keys.items()},
        }
        async with cluster(folder, environment=settings, bot=APART) as place:
            yield place, bucket


async def handed_over(cluster: Cluster, bucket: Bucket) -> Told:
    """One asks in each chat; neither chat takes a clip before the first process is dead."""
    told = Told(story="a bucket: one fetches and dies, another one posts")
    await ready(cluster, 1)
    [first] = cluster.fleet.living
    cluster.luma.faults.slow(LONG, times=ONE_EACH)
    await cluster.ask(ONE_EACH)
    async with asyncio.timeout(SETTLE_SECONDS):
        cluster.discord.faults.drop("POST", "/messages$", times=FOREVER)
        cluster.slack.faults.fail("files.getUploadURLExternal", times=FOREVER)
        while await cluster.read(_fetched) < ONE_EACH:
            await asyncio.sleep(0.1)
        await first.kill()
        cluster.discord.faults.clear()
        cluster.slack.faults.clear()
        [second] = await cluster.fleet.start()
    told.wrong += await cluster.settled(seconds=SETTLE_SECONDS)
    told.wrong += await cluster.wrong()
    if (many := len(second.lines("job.delivered"))) != ONE_EACH:
        told.wrong.append(f"{many} posted by the second one")
    if (kept := sum(each.endswith(".mp4") for each in bucket.objects)) != ONE_EACH:
        told.wrong.append(f"{kept} clips in the bucket")
    told.measured["posted by another process"] = many
    return told


def _fetched(conn: Connection) -> int:
    return int(conn.execute(_FETCHED).scalar_one())
