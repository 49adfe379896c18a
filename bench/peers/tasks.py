"""A task for each job, with aiohttp, which every bot with discord.py has at hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from bench.peers.channel import Channel
from bench.service import KEY

LOOK_SECONDS = 2.0


@asynccontextmanager
async def open_bot(url: str, channel: Channel) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The bot while the block runs."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def make_clip() -> None:
            order = channel.order()
            async with session.post(f"{url}/generations", json=order, headers=headers) as reply:
                generation = await reply.json()
            channel.begin(generation["id"])
            while generation["state"] != "completed":
                await asyncio.sleep(LOOK_SECONDS)
                address = f"{url}/generations/{generation['id']}"
                async with session.get(address, headers=headers) as reply:
                    generation = await reply.json()
                if generation["state"] == "failed":
                    raise RuntimeError(generation["failure_reason"])
            async with session.get(generation["assets"]["video"]) as reply:
                clip = await reply.read()
            await channel.post(generation["id"], clip)

        yield make_clip
