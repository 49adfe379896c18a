"""A TCP proxy on loopback that does to its connections what a bad network does.

It knows no protocol: it can stand before any server. For HTTP it also notes each request's line.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from tests.ports import free_port

#: refuse: nobody listens. blackhole: no answer to a connect. reset: closed hard at once. drop:
#: what is sent goes nowhere. lose: it arrives, and the answer is a reset. truncate: only the
#: answer's first bytes come. freeze: nothing moves any more, also on what is open. half-open: the
#: same, and the server thinks that we have gone. slow: each piece comes late. drip: of an answer
#: each byte does.
Fault = Literal[
    "refuse",
    "blackhole",
    "reset",
    "drop",
    "lose",
    "truncate",
    "freeze",
    "half-open",
    "slow",
    "drip",
]
NO_ONE_LISTENS: frozenset[Fault] = frozenset({"refuse", "blackhole"})
HARD = b"\x01\0\0\0\0\0\0\0"
REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1")
PIECE = 1 << 16
#: Of the loop, from an accepted connection to `_serve`, without TLS: three, and some more.
TURNS_TO_BEGIN = 5
Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FaultProxy:
    """Stands before a server; `address` is where it listens, also while nobody seems to.

    `tls` is spoken with those who connect; the server behind is spoken to in plain text.
    """

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        #: Where it leads.
        self.target = host, port
        self.tls = tls
        self.port = free_port()
        self.fault: Fault | None = None
        #: For requests alone whose line fits, such as "POST /messages"; "" is for all.
        self.only = ""
        #: What a fault that takes a size or a time uses.
        self.bytes, self.seconds = 20, 0.05
        self.connections = 0
        self.calls: list[str] = []
        self._server: asyncio.Server | None = None
        self._hole: list[socket.socket] = []
        self._links: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Host and port, as they stand in an address."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    async def break_(self, fault: Fault, *, only: str = "") -> None:
        """From now on this happens; what is open is cut where nobody listens any more."""
        self.fault, self.only = fault, only
        if fault in NO_ONE_LISTENS:
            await self._leave()
        if fault == "blackhole":
            self._open_hole()

    async def mend(self) -> None:
        """All is well for whoever connects from now on; what was broken stays so."""
        self.fault = None
        for each in self._hole:
            each.close()
        self._hole.clear()
        if self._server is None:
            await self._listen()

    async def show(self, tls: ssl.SSLContext) -> None:
        """From now on this is what it shows to whoever connects."""
        self.tls = tls
        await self.break_("refuse")
        await self.mend()

    async def cut(self) -> None:
        """Close every connection that is open."""
        links, self._links = self._links, set()
        for each in links:
            each.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    # ---- listening -----------------------------------------------------------------------

    async def _listen(self) -> None:
        if self.tls is not None:
            # Who refuses what it is shown never comes to `_serve`.
            self.tls.sni_callback = self._count
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=PIECE
        )

    def _count(self, *_: object) -> None:
        self.connections += 1

    async def _leave(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await self._stop_accepting(server)
            server.close()
        await self.cut()
        for each in self._hole:
            each.close()
        self._hole.clear()

    async def _stop_accepting(self, server: asyncio.Server) -> None:
        """Let what was accepted reach `_serve`: asyncio would forget it, still open.

        With TLS that may be later, after the handshake; then it is closed there.
        """
        for each in server.sockets:
            asyncio.get_running_loop().remove_reader(each.fileno())
        for _ in range(TURNS_TO_BEGIN):
            await asyncio.sleep(0)

    def _open_hole(self) -> None:
        """A listener whose queue is full: the kernel lets further connects wait for ever."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._hole.append(listener)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._hole.append(filler)

    # ---- one connection ------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.tls is None:
            self._count()
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if self._server is None or (self.fault == "reset" and not self.only):
                _reset(writer)
                return
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            try:
                await _Link(self, writer).run((reader, far_writer), (far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            # Also where we are cut: a task of the server's that is cancelled would be logged.
            return
        finally:
            self._links.discard(task)
            writer.close()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy, near: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._near = near
        self._is_meant = not proxy.only

    @property
    def _fault(self) -> Fault | None:
        return self._proxy.fault if self._is_meant or not self._proxy.only else None

    async def run(self, there: Way, back: Way) -> None:
        """Carry both ways until both sides have said all, or one direction breaks."""
        works = [self._carry(*there, self._to_server), self._carry(*back, self._to_client)]
        ways = {asyncio.ensure_future(each) for each in works}
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for each in ways:
                each.cancel()
        for each in done:
            each.result()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pass_on: Callable[[bytes], bytes],
    ) -> None:
        while piece := await reader.read(PIECE):
            passed = pass_on(piece)
            if self._fault == "slow":
                await asyncio.sleep(self._proxy.seconds)
            if self._fault == "half-open" and writer is not self._near:
                writer.close()
            if self._fault in ("freeze", "half-open"):
                await _until_left(reader)
                return
            if self._fault == "drip" and writer is self._near:
                await self._drip(passed)
                continue
            writer.write(passed)
            await writer.drain()
            if self._fault == "truncate" and writer is self._near:
                raise ConnectionResetError
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def _drip(self, piece: bytes) -> None:
        for each in piece:
            self._near.write(bytes([each]))
            await self._near.drain()
            await asyncio.sleep(self._proxy.seconds)

    def _to_server(self, piece: bytes) -> bytes:
        for found in REQUEST.finditer(piece):
            call = f"{found[1].decode()} {found[2].decode()}"
            self._proxy.calls.append(call)
            self._is_meant = bool(re.search(self._proxy.only, call))
        if self._fault == "reset":
            self._reset()
        return b"" if self._fault == "drop" else piece

    def _to_client(self, piece: bytes) -> bytes:
        if self._fault == "lose":
            self._reset()
        if self._fault == "truncate":
            return piece[: self._proxy.bytes]
        return b"" if self._fault == "drop" else piece

    def _reset(self) -> None:
        _reset(self._near)
        raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close hard: the other side hears that the connection is broken, not that it is over."""
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
    writer.transport.abort()


async def _until_left(reader: asyncio.StreamReader) -> None:
    """Swallow whatever comes, for as long as somebody sends."""
    while await reader.read(PIECE):
        pass
