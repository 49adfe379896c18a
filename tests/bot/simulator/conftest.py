from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.simulator import Faults, Simulator, SimulatorSettings

BODY = {
    "model": "ray-flash-2",
    "prompt": "a red fox in snow",
    "aspect_ratio": "16:9",
    "resolution": "540p",
    "duration": "5s",
    "loop": False,
}
#: Nothing here speaks TLS, and loading authorities takes longer than most tests.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
KEY = {"Authorization": "Bearer luma-simulator"}


class Served:
    """A running simulator and a client with its key."""

    def __init__(self, simulator: Simulator, client: httpx.AsyncClient) -> None:
        self.simulator = simulator
        self.client = client

    async def create(self, **fields: Any) -> dict[str, Any]:
        """A new generation: the usual request with these fields."""
        reply = await self.client.post("/generations/video", json={**BODY, **fields})
        assert reply.status_code == 201, reply.text
        generation: dict[str, Any] = reply.json()
        return generation

    async def get(self, id_: str) -> dict[str, Any]:
        """One generation."""
        generation: dict[str, Any] = (await self.client.get(f"/generations/{id_}")).json()
        return generation

    async def detail(self, status: int, **fields: Any) -> str:
        """The words with which a create is refused."""
        reply = await self.client.post("/generations/video", json={**BODY, **fields})
        assert reply.status_code == status, reply.text
        return str(reply.json()["detail"])


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a simulator whose generations end only when the test says so."""
    async with AsyncExitStack() as stack:

        async def start(faults: Faults | None = None, **settings: Any) -> Served:
            small: dict[str, Any] = {"manual": True, "same_clip": True, "full_size": False}
            chosen = SimulatorSettings(**{**small, **settings})
            simulator = await stack.enter_async_context(Simulator(chosen, faults))
            client = httpx.AsyncClient(
                base_url=simulator.base_url, headers=KEY, timeout=10, verify=PLAIN
            )
            return Served(simulator, await stack.enter_async_context(client))

        yield start


class Hook:
    """Somebody's server: it remembers the JSON it gets and answers the statuses it was told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.pages: dict[str, bytes] = {}
        self.url = ""

    @property
    def states(self) -> list[str]:
        """The states that were called back, in order."""
        return [body["state"] for body in self.bodies]

    async def take(self, request: web.Request) -> web.Response:
        """Take a callback."""
        self.bodies.append(await request.json())
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def page(self, request: web.Request) -> web.Response:
        """Serve a picture."""
        body = self.pages.get(request.path)
        return web.Response(body=body) if body is not None else web.Response(status=404)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    application = web.Application()
    application.add_routes([web.post("/{_:.*}", hook.take), web.get("/{_:.*}", hook.page)])
    async with TestServer(application) as server:
        hook.url = str(server.make_url("/"))
        yield hook
