"""The loop that Luma's documentation shows for its SDK, with the asynchronous client.

The SDK's own retries stand at their defaults, and the POST is among what they repeat. The
documented loop also sleeps once more after the last look; here it does not, in its favour.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from lumaai import AsyncLumaAI

from bench.peers.channel import Channel
from bench.service import KEY

LOOK_SECONDS = 3.0


@asynccontextmanager
async def open_bot(url: str, channel: Channel) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The bot while the block runs."""
    async with (
        AsyncLumaAI(auth_token=KEY, base_url=url) as client,
        httpx.AsyncClient(trust_env=False) as files,
    ):

        async def make_clip() -> None:
            order: dict[str, Any] = channel.order()
            generation = await client.generations.create(**order)
            assert generation.id is not None
            channel.begin(generation.id)
            while True:
                generation = await client.generations.get(id=generation.id or "")
                if generation.state == "completed":
                    break
                if generation.state == "failed":
                    raise RuntimeError(f"Generation failed: {generation.failure_reason}")
                await asyncio.sleep(LOOK_SECONDS)
            assert generation.id is not None
            assert generation.assets is not None
            reply = await files.get(generation.assets.video or "")
            await channel.post(generation.id, reply.content)

        yield make_clip
