"""Reads what a caller sends: so much of it at most, and no longer than it may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how many seconds a body may come in all, and for how many nothing of it."""

    whole: float
    silence: float


#: A large file takes minutes on a slow line; whoever sends drop by drop is given up.
FOR_FILES = Patience(whole=300.0, silence=30.0)


def joined_headers(request: web.Request) -> dict[str, str]:
    """The headers by name in lower case; what came twice is joined, as HTTP has it."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        before = joined.get(name.lower())
        joined[name.lower()] = value if before is None else f"{before}, {value}"
    return joined


async def read_body(request: web.Request, most: int, patience: Patience) -> bytes:
    """The body; raises what answers 413 where it is larger, 408 where it does not arrive."""
    body = bytearray()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience.whole), asyncio.timeout(patience.silence) as silence:
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                silence.reschedule(loop.time() + patience.silence)
                body += chunk
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)
