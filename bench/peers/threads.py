"""A thread for each job, beside the event loop that the bot answers people on."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from bench.peers.channel import Channel
from bench.service import KEY

LOOK_SECONDS = 3.0
TIMEOUT_SECONDS = 60.0


@asynccontextmanager
async def open_bot(url: str, channel: Channel) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The bot while the block runs."""
    loop = asyncio.get_running_loop()
    # Straight to the service, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetch(address: str, order: dict[str, str] | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        body = json.dumps(order).encode() if order else None
        request = urllib.request.Request(address, data=body, headers=headers)
        with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
            return cast("bytes", reply.read())

    def work() -> None:
        pause = threading.Event()
        generation: dict[str, Any] = json.loads(fetch(f"{url}/generations", channel.order()))
        channel.begin(generation["id"])
        while generation["state"] != "completed":
            pause.wait(LOOK_SECONDS)
            generation = json.loads(fetch(f"{url}/generations/{generation['id']}"))
            if generation["state"] == "failed":
                raise RuntimeError(generation["failure_reason"])
        clip = fetch(generation["assets"]["video"])
        asyncio.run_coroutine_threadsafe(channel.post(generation["id"], clip), loop).result()

    async def make_clip() -> None:
        done: asyncio.Future[None] = loop.create_future()
        threading.Thread(target=_tell, args=(work, done, loop), daemon=True).start()
        await done

    yield make_clip


def _tell(
    work: Callable[[], None], done: asyncio.Future[None], loop: asyncio.AbstractEventLoop
) -> None:
    error: BaseException | None = None
    try:
        work()
    except (OSError, RuntimeError, ValueError) as failure:
        error = failure
    with suppress(RuntimeError):  # The loop has ended, and nobody waits any more.
        loop.call_soon_threadsafe(_end, done, error)


def _end(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
