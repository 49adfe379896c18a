"""A server in a process of its own, and the hand that steers it from a test."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.discord_server.cdn import Upload
from tests.discord_server.problems import Json, NotPossible
from tests.forked import forked

ROOT = Path(__file__).resolve().parents[2]


class Remote:
    """Calls a server by its control address; `start` is what it printed when it listened."""

    def __init__(self, session: aiohttp.ClientSession, start: Json) -> None:
        self.start = start
        self.api_base_url: str = start["api_base_url"]
        self.gateway_url: str = start["gateway_url"]
        self.token: str = start["token"]
        self._session = session
        self._control = f"{start['base_url']}/control"

    async def call(self, on: str | Json, do: str, *args: Any, **kwargs: Any) -> Any:
        """Let the server, a person, a gate or a part of it do something and tell the result."""
        order = {"on": on, "do": do, "with": _encode(list(args)), "by": _encode(kwargs)}
        return await self._post("call", order)

    async def set(self, on: str, name: str, value: Any) -> None:
        """Change a public setting of the server or of a part of it."""
        await self._post("set", {"on": on, "name": name, "value": _encode(value)})

    async def wait(self, what: str, **known: Any) -> Any:
        """Wait for a `message`, a `request`, an `answer`, or a `gate` that a request came to.

        Or for the bot being `connected`, or having `left`: it closed every session of its own.
        """
        return await self._post("wait", {"for": what, **known})

    async def requests(self, method: str | None = None, path: str = "") -> list[Json]:
        """What came so far."""
        query = {"path": path, **({"method": method} if method else {})}
        async with self._session.get(f"{self._control}/requests", params=query) as reply:
            found: list[Json] = await reply.json()
            return found

    async def file(self, attachment: str) -> bytes:
        """The bytes of an attachment."""
        async with self._session.get(f"{self._control}/files/{attachment}") as reply:
            return await reply.read()

    async def _post(self, what: str, order: Json) -> Any:
        async with self._session.post(f"{self._control}/{what}", json=order) as reply:
            answer = await reply.json()
        if reply.status == 200:
            return answer
        kind = NotPossible if answer["error"] == "NotPossible" else AssertionError
        raise kind(answer["says"])


def kind(name: str) -> Json:
    """A channel type by name, e.g. `kind("FORUM")`."""
    return {"$": "kind", "name": name}


def permission(name: str) -> Json:
    """A permission by name."""
    return {"$": "permission", "name": name}


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$": "bytes", "base64": base64.b64encode(value).decode()}
    if isinstance(value, Upload):
        content = base64.b64encode(value.content).decode()
        return {"$": "upload", "name": value.name, "base64": content}
    if isinstance(value, list | tuple):
        return [_encode(each) for each in value]
    if isinstance(value, dict):
        return {key: _encode(each) for key, each in value.items()}
    return value


@asynccontextmanager
async def outside(*, port: int = 0, guild_id: int | None = None) -> AsyncIterator[Remote]:
    """Run a server in another process while the block runs."""
    order = ["tests.discord_server", "--port", str(port)]
    if guild_id is not None:
        order += ["--guild-id", str(guild_id)]
    with forked(*order, cwd=ROOT, env=os.environ) as server:
        start = json.loads(await asyncio.to_thread(server.out.readline))
        async with aiohttp.ClientSession() as session:
            yield Remote(session, start)
