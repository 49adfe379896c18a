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

from tests.forked import forked
from tests.slack_server.problems import Json, NotPossible

ROOT = Path(__file__).resolve().parents[2]


class Remote:
    """Calls a server by its control address; `start` is what it printed when it listened."""

    def __init__(self, session: aiohttp.ClientSession, start: Json) -> None:
        self.start = start
        self.base_url: str = start["base_url"]
        self.api_base_url: str = start["api_base_url"]
        self.file_host: str = start["file_host"]
        self.app_token: str = start["app_token"]
        self.signing_secret: str = start["signing_secret"]
        self.bot_token: str = start["team"]["bot_token"]
        self.team: Json = start["team"]
        self.channel: Json = start["channel"]
        self._session = session

    async def call(self, on: str | Json, do: str, *args: Any, **kwargs: Any) -> Any:
        """Let the server, a person, or a part of it do something and tell the result."""
        order = {"on": on, "do": do, "with": _encode(list(args)), "by": _encode(kwargs)}
        return await self._post("call", order)

    async def set(self, on: str | Json, name: str, value: Any) -> None:
        """Change a public setting of the server or of a part of it."""
        await self._post("set", {"on": on, "name": name, "value": _encode(value)})

    async def get(self, on: str | Json, name: str) -> Any:
        """A public property of the server, of a person or of any object."""
        return await self._post("get", {"on": on, "name": name})

    async def wait(self, what: str, **known: Any) -> Any:
        """Wait for a `message` in a `channel` with `text` (a regular expression) or `files`.

        Or for a `request` to a `method`; an `ephemeral` or `home` `of` a person; what was `said`
        or which `view` was opened in answer `of` an act; a `gate` `of` a fault that was reached;
        the bot being `connected` or having `left`; everything being `acked`.
        """
        return await self._post("wait", {"for": what, **known})

    async def requests(self, method: str | None = None) -> list[Json]:
        """What came so far."""
        query = {"method": method} if method else {}
        async with self._session.get(f"{self.base_url}/control/requests", params=query) as reply:
            found: list[Json] = await reply.json()
            return found

    async def file(self, file_id: str) -> bytes:
        """The bytes of a file."""
        async with self._session.get(f"{self.base_url}/control/files/{file_id}") as reply:
            return await reply.read()

    async def _post(self, what: str, order: Json) -> Any:
        async with self._session.post(f"{self.base_url}/control/{what}", json=order) as reply:
            answer = await reply.json()
        if reply.status == 200:
            return answer
        kind = NotPossible if answer["error"] == "NotPossible" else AssertionError
        raise kind(answer["says"])


def person(name: str) -> Json:
    """Somebody by name, e.g. as the `of` of a wait."""
    return {"$": "person", "id": name}


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$": "bytes", "base64": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [_encode(each) for each in value]
    if isinstance(value, dict):
        return {key: _encode(each) for key, each in value.items()}
    return value


@asynccontextmanager
async def outside(*, port: int = 0) -> AsyncIterator[Remote]:
    """Run a server in another process while the block runs: Foxes with #general and Ana."""
    with forked("tests.slack_server", "--port", str(port), cwd=ROOT, env=os.environ) as server:
        start = json.loads(await asyncio.to_thread(server.out.readline))
        async with aiohttp.ClientSession() as session:
            yield Remote(session, start)
