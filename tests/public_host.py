"""A web host on loopback that looks public.

Names resolve to public addresses, and dialling one of those ends here. Nothing of ours is
patched for that: resolver and transport are constructor arguments.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer

ADDRESS = "93.184.216.34"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PublicHost:
    """Serves what `pages` holds by path, and remembers who was dialled and what was heard."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | web.Response | Handler] = {}
        self.names: dict[str, Sequence[str]] = {"images.example": [ADDRESS]}
        self.down: set[str] = set()
        self.asked: list[str] = []
        self.dialled: list[tuple[str, str]] = []
        self.heard: list[web.Request] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.server.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(request)
        match self.pages.get(request.path):
            case None:
                return web.Response(status=404)
            case bytes() as content:
                return web.Response(body=content)
            case web.Response(status=status, body=body, headers=headers):
                return web.Response(status=status, body=body, headers=headers)
            case handler:
                return await handler(request)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """What the system's resolver would say."""
        del port
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(-2, "Name or service not known")
        return self.names[host]

    def connect(self) -> httpx.AsyncBaseTransport:
        """A transport on which every address leads to this host."""
        return _Wire(self)


class _Wire(httpx.AsyncBaseTransport):
    def __init__(self, host: PublicHost) -> None:
        self._host = host
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = request.url.host
        self._host.dialled.append((address, request.extensions["sni_hostname"]))
        if address in self._host.down:
            raise httpx.ConnectError("refused")
        here = request.url.copy_with(
            scheme="http", host=self._host.server.host, port=self._host.server.port
        )
        return await self._inner.handle_async_request(
            httpx.Request("GET", here, headers=request.headers, extensions=request.extensions)
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


def redirect(to: str) -> web.Response:
    """A redirect to anywhere."""
    return web.Response(status=302, headers={"Location": to, "Set-Cookie": "a=b"})


def cut_short(content: bytes, *, declared: int) -> Handler:
    """A body that ends before its declared length."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(declared)})
        await response.prepare(request)
        await response.write(content)
        assert request.transport is not None
        request.transport.close()
        return response

    return answer
