"""What stands before processes that are called: each call goes to the next one that is ready."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.replicas.fleet import LOOK_SECONDS, Fleet, Replica

#: What is passed on beside the body: who calls, and what is signed.
KEPT = ("Content-Type", "X-Slack-")


class Balancer:
    """Listens for those who call the bot; `took` counts the calls that each process answered."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turns = count()
        self._ready: set[str] = set()
        self.took: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._pass_on)
        self._server = TestServer(app)
        await self._server.start_server()
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._server.close()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{self._server.host}:{self._server.port}"

    async def wait_ready(self, many: int) -> None:
        """Wait until so many processes take calls."""
        async with asyncio.timeout(20):
            while sum([await self._is_ready(each) for each in self._fleet.living]) < many:
                await asyncio.sleep(LOOK_SECONDS)

    async def _is_ready(self, replica: Replica) -> bool:
        """Whether it has said so once; one that starts is not called."""
        if replica.name not in self._ready and replica.lines("web.listening"):
            try:
                async with self._session.get(f"{replica.private}/readyz") as reply:
                    if reply.status == HTTPStatus.OK:
                        self._ready.add(replica.name)
            except aiohttp.ClientError:
                return False
        return replica.name in self._ready

    async def _pass_on(self, request: web.Request) -> web.Response:
        """Only what nobody listens to is tried elsewhere: else it may have been heard."""
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if _is_kept(name)}
        ready = [each for each in self._fleet.living if await self._is_ready(each)]
        first = next(self._turns)
        for replica in (ready[(first + at) % len(ready)] for at in range(len(ready))):
            there = replica.public + request.path
            try:
                async with self._session.post(there, data=body, headers=headers) as reply:
                    self.took[replica.name] += 1
                    answer = await reply.read()
                    return web.Response(
                        status=reply.status, body=answer, content_type=reply.content_type
                    )
            except aiohttp.ClientConnectorError:
                continue
            except aiohttp.ClientError:
                break
        return web.Response(status=502)


def _is_kept(name: str) -> bool:
    return name.startswith(KEPT)
