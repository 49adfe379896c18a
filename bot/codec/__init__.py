"""Decodes and encodes images and clips in child processes, because every file is untrusted.

This side never touches a picture: it asks the fork server (`bot.codec.server`), which has each
file opened by a child within bounds of memory and time, and turns how that ended into our errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bot.errors import ClipBroken, ClipHeavy, ClipTooLarge, ClipUnavailable, FrameRejected

log = logging.getLogger(__name__)

MAX_PIXELS = 40_000_000
_START_SECONDS = 20.0
_GRACE_SECONDS = 5.0
_BOOT = """
import json, sys, types
sys.path[:] = json.loads(sys.argv[1])
# Not by this file, the bot's own end: it would load asyncio, and a server starts with each bot.
package = sys.modules["bot.codec"] = types.ModuleType("bot.codec")
package.__path__ = [sys.argv[2]]
from bot.codec.server import serve
serve()
"""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one child may use before it is ended: bytes of memory, seconds of CPU and of time."""

    memory_bytes: int
    cpu_seconds: int
    seconds: float


IMAGE_BOUNDS = Bounds(memory_bytes=1_200_000_000, cpu_seconds=15, seconds=30)
PROBE_BOUNDS = Bounds(memory_bytes=2_000_000_000, cpu_seconds=60, seconds=120)
ENCODE_BOUNDS = Bounds(memory_bytes=3_000_000_000, cpu_seconds=600, seconds=600)


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """A normalised image; sides in pixels, already upright."""

    width: int
    height: int
    content_type: str


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """A verified clip; sides in pixels."""

    width: int
    height: int
    frames: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PictureInfo:
    """A verified still; sides in pixels, and the suffix of its format."""

    width: int
    height: int
    suffix: str


#: How a fork server is started; a test may have one that is loaded already.
Launch = Callable[[], Awaitable["Server"]]


class _Declined(Exception):
    """The child looked at the file and said, in a sentence, why it cannot be used."""


class _Ended(Exception):
    """The child was ended, or ended itself, without an answer; the message says by what."""


class Codec:
    """Asks the fork server, which is started at first use and again should it ever die."""

    def __init__(
        self,
        *,
        images: Bounds = IMAGE_BOUNDS,
        probes: Bounds = PROBE_BOUNDS,
        encodes: Bounds = ENCODE_BOUNDS,
        launch: Launch | None = None,
    ) -> None:
        self._launch = launch or _launch
        self._images = images
        self._probes = probes
        self._encodes = encodes
        self._starting = asyncio.Lock()
        self._places = asyncio.Semaphore(max(2, os.cpu_count() or 1))
        self._server: Server | None = None

    async def start(self) -> None:
        """Start the fork server now instead of at first use."""
        with contextlib.suppress(_Ended):
            await self._running()

    async def aclose(self) -> None:
        """End the fork server and every child."""
        async with self._starting:
            if self._server is not None:
                await self._server.aclose()
            self._server = None

    async def normalise_image(
        self,
        source: Path,
        target: Path,
        *,
        max_side: int = 4096,
        min_side: int = 64,
        max_bytes: int = 10_000_000,
    ) -> ImageInfo:
        """Write an upright JPEG without metadata, whatever the source is; or `FrameRejected`.

        Raises `ClipUnavailable` where the disk takes it not.
        """
        try:
            answer = await self._ask(
                "normalise_image",
                self._images,
                source=source,
                target=target,
                max_side=max_side,
                min_side=min_side,
                max_bytes=max_bytes,
                max_pixels=MAX_PIXELS,
            )
        except _Declined as error:
            raise FrameRejected(str(error)) from error
        except _Ended as error:
            if str(error) == "disk":
                raise ClipUnavailable(_NO_DISK) from error
            raise FrameRejected(_IMAGE_ENDINGS[str(error)]) from error
        return ImageInfo(**answer)

    async def probe_clip(self, path: Path) -> ClipInfo:
        """Verify an H.264 clip from its container to its last frame; raises `ClipBroken`."""
        return ClipInfo(**await self._ask_of_clip("probe_clip", self._probes, source=path))

    async def probe_picture(self, path: Path) -> PictureInfo:
        """Verify a JPEG, PNG or WebP to its last pixel; raises `ClipBroken`."""
        asked = {"source": path, "max_pixels": MAX_PIXELS}
        return PictureInfo(**await self._ask_of_clip("probe_picture", self._images, **asked))

    async def poster(self, path: Path, target: Path) -> None:
        """Write a clip's first frame as JPEG; raises `ClipBroken`."""
        await self._ask_of_clip("take_frame", self._probes, source=path, target=target, at="first")

    async def frame_png(self, path: Path, target: Path, *, at: Literal["first", "last"]) -> None:
        """Write a clip's first or last frame as PNG; raises `ClipBroken`."""
        await self._ask_of_clip("take_frame", self._probes, source=path, target=target, at=at)

    async def reencode(self, path: Path, target: Path, *, max_bytes: int) -> ClipInfo:
        """Write a smaller H.264 clip of at most so many bytes; `ClipTooLarge` if impossible."""
        answer = await self._ask_of_clip(
            "reencode", self._encodes, source=path, target=target, max_bytes=max_bytes
        )
        if not answer:
            raise ClipTooLarge(max_bytes=max_bytes)
        return ClipInfo(**answer)

    async def join(self, paths: Sequence[Path], target: Path) -> ClipInfo:
        """Write one clip of several, one after another; raises `ClipBroken`."""
        sources = [str(path.absolute()) for path in paths]
        asked = {"sources": sources, "target": target}
        return ClipInfo(**await self._ask_of_clip("join", self._encodes, **asked))

    async def draw_usage(self, target: Path, *, cache: Path, **words: Any) -> bool:
        """Write a chart as PNG, as `bot.codec.charts` draws it; False where that fails."""
        try:
            await self._ask("draw_usage", self._probes, target=target, cache=cache, **words)
        except (_Declined, _Ended) as error:
            log.warning("The chart was not drawn: %s", error)
            return False
        return True

    async def _ask_of_clip(self, call: str, bounds: Bounds, **arguments: Any) -> dict[str, Any]:
        try:
            return await self._ask(call, bounds, **arguments)
        except _Declined as error:
            raise ClipBroken(str(error)) from error
        except _Ended as error:
            if str(error) == "disk":
                raise ClipUnavailable(_NO_DISK) from error
            if str(error) == "server":
                raise ClipUnavailable("The clip cannot be checked right now.") from error
            if str(error) == "crash":
                raise ClipBroken("The clip cannot be read.") from error
            raise ClipHeavy("The clip takes too much time or memory to read here.") from error

    async def _ask(self, call: str, bounds: Bounds, **arguments: Any) -> dict[str, Any]:
        texts = {
            name: str(value.absolute()) if isinstance(value, Path) else value
            for name, value in arguments.items()
        }
        async with self._places:
            server = await self._running()
            try:
                async with asyncio.timeout(bounds.seconds + _GRACE_SECONDS):
                    answer = await server.ask({"call": call, "arguments": texts} | asdict(bounds))
            except TimeoutError:
                await server.aclose()
                raise _Ended("server") from None
        if "declined" in answer:
            raise _Declined(answer["declined"])
        if "ended" in answer:
            raise _Ended(answer["ended"])
        result: dict[str, Any] = answer["result"]
        return result

    async def _running(self) -> Server:
        async with self._starting:
            if self._server is None or self._server.is_closed:
                self._server = await _start_server(self._launch)
            return self._server


_NO_DISK = "Raybot's disk is full or broken, so the file cannot be kept."
_IMAGE_ENDINGS = {
    "memory": "This image takes too much memory to read. Please send a smaller or simpler one.",
    "time": "This image takes too long to read. Please send a smaller or simpler one.",
    "crash": "This image is damaged and cannot be read. Please send another one.",
    "server": "Raybot cannot read images right now. Please try again in a minute.",
}


async def _launch() -> Server:
    """Start the server apart from us.

    It has no terminal, so that Ctrl-C is ours alone, and no environment, because that holds
    secrets which a decoder that was taken over has no business with.
    """
    flags = [f"-Xpycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    paths, folder = json.dumps(sys.path), str(Path(__file__).parent)
    _, server = await asyncio.get_running_loop().subprocess_exec(
        Server,
        sys.executable,
        *flags,
        "-S",
        "-c",
        _BOOT,
        paths,
        folder,
        env={},
        start_new_session=True,
    )
    return server


async def _start_server(launch: Launch) -> Server:
    try:
        server = await launch()
    except OSError as error:
        log.exception("The codec's process does not start.")
        raise _Ended("server") from error
    try:
        async with asyncio.timeout(_START_SECONDS):
            await server.ready
    except BaseException as error:
        await server.aclose()
        if not isinstance(error, TimeoutError | _Ended):
            raise
        # Its own words tell more than our traceback would.
        log.error("The codec's process does not start: %s", server.complaints)  # noqa: TRY400
        raise _Ended("server") from None
    return server


class Server(asyncio.SubprocessProtocol):
    """The near end of the fork server: JSON lines out, JSON lines back, matched by number."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.complaints = ""
        self._exited: asyncio.Future[None] = loop.create_future()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._unread = b""

    @property
    def is_closed(self) -> bool:
        """Whether it has ended or is about to."""
        return self._exited.done() or self._transport.is_closing()

    async def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """What the child of this order answered, or how it ended."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send({"number": number} | order)
            return await answer
        except asyncio.CancelledError:
            self._send({"number": number, "call": "stop"})
            raise
        finally:
            del self._waiting[number]

    async def aclose(self) -> None:
        """Close its input, which ends it and its children; kill it if it does not listen."""
        if (stdin := self._transport.get_pipe_transport(0)) is not None:
            stdin.close()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await asyncio.shield(self._exited)
        except TimeoutError:
            self._transport.kill()
            await self._exited
        self._transport.close()

    def _send(self, message: dict[str, Any]) -> None:
        stdin = self._transport.get_pipe_transport(0)
        if isinstance(stdin, asyncio.WriteTransport) and not stdin.is_closing():
            stdin.write(json.dumps(message).encode() + b"\n")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the process."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what the process says: answers, and complaints on its standard error."""
        if fd == 2:
            self.complaints = (self.complaints + data.decode(errors="replace"))[-4000:]
            # About whatever it does now, and not about the job that it was started for.
            said = data.decode(errors="replace").rstrip()
            Context().run(log.debug, "codec: %s", said)
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._receive(json.loads(line))

    def _receive(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            if not self.ready.done():  # Who waited for it may be gone.
                self.ready.set_result(None)
            return
        waiting = self._waiting.get(message["number"])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def process_exited(self) -> None:
        """Tell all who wait that no answer comes."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_Ended("server"))
        if not self.ready.done():
            self.ready.set_exception(_Ended("server"))
        self._exited.set_result(None)
        self._transport.close()
