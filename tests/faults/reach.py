"""The way to one party outside, and what goes wrong on it: wire, answer, name, certificate."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot import http
from tests.faults.certificates import Authority
from tests.faults.outages import before, through
from tests.faults.proxy import Fault, FaultProxy

#: A name of our own, and where it leads.
NAME, HERE = "party.test", "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A party behind a wire; `lost` are names that nobody finds any more."""

    wire: FaultProxy
    grumbler: Grumbler
    authority: Authority
    lost: set[str]
    scheme: str
    host: str
    target: tuple[str, int]

    def to(self, url: str) -> str:
        """An address of the party's, by way of the wire."""
        return through(self.wire, url, scheme=self.scheme).replace(HERE, self.host)

    async def mend(self) -> None:
        """All is as it should be for whoever connects from now on."""
        self.lost.clear()
        self.wire.target = self.target
        await self.wire.mend()
        if self.scheme == "https":
            await self.wire.show(self.authority.context())
        await self.wire.cut()


@asynccontextmanager
async def reached(
    folder: Path, url: str, *, scheme: str = "http", host: str = HERE
) -> AsyncIterator[Reach]:
    """A way to the server at this address."""
    lost, authority = set[str](), Authority(folder)
    async with Grumbler() as grumbler, before(url) as wire:
        if scheme == "https":
            _trust(authority)
            await wire.show(authority.context())
        with _found_unless(lost):
            yield Reach(
                wire=wire,
                grumbler=grumbler,
                authority=authority,
                lost=lost,
                scheme=scheme,
                host=host,
                target=wire.target,
            )


class Grumbler:
    """A server that has one answer to everything."""

    status = 503

    async def __aenter__(self) -> Grumbler:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def place(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._server.port is not None
        return self._server.host, self._server.port

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, headers={"Retry-After": "30"})


def _trust(authority: Authority) -> None:
    """Whatever of the bot speaks TLS takes its word, as if it came with the list of all."""
    for each in (aiohttp.connector._SSL_CONTEXT_VERIFIED, http.tls()):
        each.load_verify_locations(authority.file)


@contextmanager
def _found_unless(lost: set[str]) -> Iterator[None]:
    """The name of our own leads to this machine, unless nobody finds it any more."""
    true = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in lost:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return true(HERE if name == NAME else host, *args, **more)

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = true


# ---- what breaks -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to break, and by which address the party has to be reached for it."""

    name: str
    begin: Callable[[Reach], Awaitable[None]]
    scheme: str = "http"
    host: str = HERE


def _on_the_wire(fault: Fault) -> Way:
    async def begin(at: Reach) -> None:
        await at.wire.break_(fault)

    return Way(name=fault, begin=begin)


def _answered(status: int) -> Way:
    async def begin(at: Reach) -> None:
        at.grumbler.status, at.wire.target = status, at.grumbler.place

    return Way(name=str(status), begin=begin)


async def _lose_the_name(at: Reach) -> None:
    at.lost.add(NAME)


async def _expire(at: Reach) -> None:
    await at.wire.show(at.authority.context(ends=-timedelta(days=1)))


ON_THE_WIRE = tuple(_on_the_wire(each) for each in get_args(Fault))
ANSWERED = tuple(_answered(each) for each in (503, 429))
BY_ADDRESS = (
    Way(name="no such name", begin=_lose_the_name, host=NAME),
    Way(name="certificate ended", begin=_expire, scheme="https"),
)
