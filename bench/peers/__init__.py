"""What people would use instead: three small bots, as they are commonly found and written.

Each asks Luma for a clip, looks until it is done, downloads it and posts it. What they know of a
job is in memory; each orders the same but for its words. They check neither limits nor the clip.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import httpx
import lumaai

from bench.peers import sdk, tasks, threads
from bench.peers.channel import Channel

#: Makes one clip and returns once it is posted; raises where the bot gives up.
MakeClip = Callable[[], Awaitable[None]]
OpenPeer = Callable[[str, Channel], AbstractAsyncContextManager[MakeClip]]
PEERS: dict[str, OpenPeer] = {
    "SDK loop": sdk.open_bot,
    "thread per job": threads.open_bot,
    "task per job": tasks.open_bot,
}
#: What ends a job of theirs for good; nothing of it is ever taken up again.
GIVES_UP = (
    OSError,
    RuntimeError,
    ValueError,
    aiohttp.ClientError,
    httpx.HTTPError,
    lumaai.LumaAIError,
)
