"""The simulator: a server that speaks a video service's API and really makes clips.

It stands where the real service stands, so it shares no code with the provider that calls it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import pkgutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

from bot.clock import SystemClock
from bot.errors import ConfigError
from bot.simulator import faces
from bot.simulator.account import CANCELLED, Account, Generation, SimulatorSettings, State
from bot.simulator.callbacks import Attempt, Callbacks
from bot.simulator.face import Face
from bot.simulator.faces.luma import LumaFace
from bot.simulator.faults import Faults
from bot.simulator.order import Deed, KeyFrame
from bot.simulator.render import (
    DRAWN_PIXELS,
    SAME_PIXELS,
    Cancelled,
    Shot,
    Unreadable,
    read_frame,
    read_image,
    render,
    render_still,
    same_clip,
)
from bot.simulator.retouch import Retouch, retouch

MOST_IMAGE_BYTES = 30_000_000
FETCH_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
UNREADABLE = "Failed to read user input frames"
#: Open requests get this long when the server stops.
GRACE_SECONDS = 0.2


class _Failure(Exception):
    """The generation fails for this reason."""


class Simulator:
    """One service with one key; it starts once. What a test asserts on is public."""

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        faults: Faults | None = None,
        *,
        face: type[Face] = LumaFace,
    ) -> None:
        self.settings = settings or SimulatorSettings()
        self.faults = faults or Faults()
        self.account = Account(self.settings)
        self.requests: Counter[str] = Counter()
        self.base_url = ""
        self.face = face(self)
        self._clock = SystemClock()
        self._slots = asyncio.Semaphore(self.settings.running_limit or 1_000_000)
        # One clip at a time: rendering must leave the machine to the program under test.
        self._easel = asyncio.Semaphore(1)
        self._stopping = threading.Event()
        self._changed = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self._lives: set[asyncio.Task[None]] = set()

    @property
    def generations(self) -> Mapping[str, Generation]:
        """Every generation ever created, oldest first, deleted ones included."""
        return self.account.generations

    @property
    def balance_cents(self) -> float:
        """What is left in the account, in US cents."""
        return self.account.balance_cents

    @property
    def callbacks(self) -> list[Attempt]:
        """Every attempt at a callback, in order."""
        return self._callbacks.attempts

    # ---- the server ----------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes any free one."""
        enter = self._stack.enter_async_context
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._tasks = await enter(asyncio.TaskGroup())
        self._session = await enter(aiohttp.ClientSession())
        self._callbacks = Callbacks(self._session, self.faults, self.notify)
        self._runner = web.AppRunner(
            self.face.application(), access_log=None, shutdown_timeout=GRACE_SECONDS
        )
        await self._runner.setup()
        self._stack.push_async_callback(self._runner.cleanup)
        self._host, self._port = host, port
        await self.open_port()
        self.base_url = f"http://{_reachable(host)}:{self._port}{self.face.prefix}"

    async def stop(self) -> None:
        """Stop listening; generations that have not ended never will."""
        self._stopping.set()
        for task in self._lives:
            task.cancel()
        await self._stack.aclose()

    async def open_port(self) -> None:
        """Accept connections (again)."""
        self._site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def close_port(self) -> None:
        """Refuse connections and cut those that are open; generations go on."""
        await self._site.stop()
        server = self._runner.server
        assert server is not None
        for connection in server.connections:
            connection.force_close()
        # Sockets close in the loop's next turn; nobody shall be served before that.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # ---- steering ------------------------------------------------------------------------------

    async def finish(self, generation_id: str) -> None:
        """Let a generation end now, and wait until it has."""
        generation = self.generations[generation_id]
        generation.released.set()
        await self.until(lambda: generation.is_over)

    def expire_links(self) -> None:
        """Let the links to finished files end; a new look at a generation gives a new one."""
        for each in self.generations.values():
            each.expired_links += 1

    async def fail(self, generation_id: str, reason: str = "Job failed") -> None:
        """Let a generation fail now, and wait until it has."""
        self.generations[generation_id].verdict = reason
        await self.finish(generation_id)

    async def wait_for_creates(self, count: int) -> None:
        """Wait until so many generations have been created in all."""
        await self.until(lambda: len(self.generations) >= count)

    async def wait_for_callbacks(self, count: int) -> None:
        """Wait until so many callbacks have been attempted in all."""
        await self.until(lambda: len(self.callbacks) >= count)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something is true; looked at whenever anything happens here."""
        while not happened():
            await self._changed.wait()

    def notify(self) -> None:
        """Something happened; whoever waits looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def withdraw(self, generation: Generation) -> None:
        """Take one that still waits out of the queue; it never begins and costs nothing."""
        generation.state = "failed"
        self.account.end(generation, at=self._clock.now(), failure="Withdrawn")
        self.notify()

    # ---- the life of a generation --------------------------------------------------------------

    def begin(self, generation: Generation) -> None:
        """Bring a new generation to life, with the faults planned for it."""
        slower = self.faults.take_slow()
        generation.seconds *= slower
        generation.ready_at += (generation.ready_at - generation.created_at) * (slower - 1)
        generation.hidden_lists = self.faults.take_hidden()
        generation.verdict = self.faults.take_failure(len(self.generations))
        self._spawn(self._live(generation))
        self.notify()

    def cancel(self, generation: Generation) -> None:
        """Take back one that has not begun; whatever runs goes on."""
        if generation.state == "queued":
            self.account.end(generation, at=self._clock.now(), failure=CANCELLED)
            self._move(generation, "failed")

    def _spawn(self, life: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(life)
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def _live(self, generation: Generation) -> None:
        async with self._slots:
            if generation.is_over:
                return
            due = asyncio.get_running_loop().time() + generation.seconds
            self._move(generation, "dreaming")
            failure = None
            try:
                await self._dream(generation, due)
            except _Failure as error:
                failure = str(error)
            self.account.end(generation, at=self._clock.now(), failure=failure)
            self._move(generation, "completed" if failure is None else "failed")

    async def _dream(self, generation: Generation, due: float) -> None:
        if generation.order.moderation:
            raise _Failure(generation.order.moderation)
        if not generation.order.is_readable:
            raise _Failure(UNREADABLE)
        start = await self._read_frame(generation.order.start, last=True)
        end = await self._read_frame(generation.order.end, last=False)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._make_clip(generation, start, end))
            both.create_task(self._wait(generation, due))
        if generation.verdict:
            raise _Failure(generation.verdict)

    async def _wait(self, generation: Generation, due: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if self.settings.manual else due):
                await generation.released.wait()

    def _move(self, generation: Generation, state: State) -> None:
        generation.state = state
        if state != "queued" and (call := self.face.callback(generation)) is not None:
            self._spawn(self._callbacks.send(call, is_last=generation.is_over))
        self.notify()

    # ---- pictures ------------------------------------------------------------------------------

    async def _read_frame(self, frame: KeyFrame | None, *, last: bool) -> bytes | None:
        if frame is None:
            return None
        try:
            if frame.kind == "generation":
                path = self._clip_of(self.generations[frame.value])
                return await asyncio.to_thread(read_frame, path, last=last)
            content = frame.content or await self._fetch(frame.value)
            await asyncio.to_thread(read_image, content)
        except (Unreadable, aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _Failure(UNREADABLE) from error
        return content

    def _clip_of(self, generation: Generation) -> Path:
        if generation.order.is_still:
            raise Unreadable("a picture cannot be continued")
        return self._path(generation)

    async def _fetch(self, url: str) -> bytes:
        content = bytearray()
        async with self._session.get(url, timeout=FETCH_TIMEOUT) as reply:
            reply.raise_for_status()
            async for chunk in reply.content.iter_any():
                content += chunk
                if len(content) > MOST_IMAGE_BYTES:
                    raise Unreadable("too many bytes")
        return bytes(content)

    async def _make_clip(
        self, generation: Generation, start: bytes | None, end: bytes | None
    ) -> None:
        path, order = self._path(generation), generation.order
        shrink = 1 if self.settings.full_size else 4
        shot = Shot(
            prompt=order.prompt,
            width=order.width // shrink // 2 * 2,
            height=order.height // shrink // 2 * 2,
            frames=order.frames,
            loop=order.loop,
            concepts=order.concepts,
            start=start,
            end=end,
            drawn_pixels=SAME_PIXELS if self.settings.same_clip else DRAWN_PIXELS,
        )
        is_wanted = self._is_wanted(generation)
        async with self._easel:
            if not is_wanted():
                return
            with contextlib.suppress(Cancelled):
                if order.is_still:
                    await asyncio.to_thread(render_still, shot, path)
                elif self.settings.same_clip and path.exists():
                    return
                elif generation.source and order.deed:
                    given, wanted = self._path(generation.source), _to_retouch(order.deed, shot)
                    await asyncio.to_thread(retouch, given, path, wanted, is_wanted=is_wanted)
                elif self.settings.same_clip:
                    clip = await asyncio.to_thread(same_clip, shot.width, shot.height, shot.frames)
                    path.with_suffix(".jpg").write_bytes(clip[1])
                    path.write_bytes(clip[0])
                else:
                    await asyncio.to_thread(render, shot, path, is_wanted=is_wanted)

    def _is_wanted(self, generation: Generation) -> Callable[[], bool]:
        return lambda: not self._stopping.is_set() and generation.verdict is None

    def _path(self, generation: Generation) -> Path:
        order = generation.order
        of_it = f"-{order.deed}-{order.has_sound}" if order.deed else ""
        same = f"{order.width}x{order.height}-{order.seconds}{of_it}"
        name = same if self.settings.same_clip else generation.id
        return self._folder / f"{name}{'.jpg' if order.is_still else '.mp4'}"

    def result(self, generation: Generation) -> Path:
        """What a completed generation made: a clip or a picture."""
        return self._path(generation)

    def file(self, generation: Generation, suffix: str) -> Path:
        """The file of a completed generation: `.mp4` the clip, `.jpg` its thumbnail."""
        return self._path(generation).with_suffix(suffix)


def _to_retouch(deed: Deed, shot: Shot) -> Retouch:
    return Retouch(deed=deed, prompt=shot.prompt, width=shot.width, height=shot.height)


def face_of(api: str) -> type[Face]:
    """An API by the name of its provider; raises `ConfigError` where there is no such one."""
    names = sorted(each.name for each in pkgutil.iter_modules(faces.__path__))
    if api not in names:
        raise ConfigError(f"The simulator speaks {', '.join(names)}; not {api!r}.")
    face: type[Face] = importlib.import_module(f"bot.simulator.faces.{api}").FACE
    return face


def snippet(api: str, address: str, settings: SimulatorSettings, face: type[Face]) -> str:
    """What a configuration has to say of a service that is simulated at this address."""
    table = {"api_key": settings.api_key, "base_url": address, **face.table}
    head = ("# For config.toml:", "[defaults]", f'providers = ["{api}"]', f"[providers.{api}]")
    return "\n".join([*head, *(f"{key} = {_as_toml(each)}" for key, each in table.items())])


def _as_toml(value: Any) -> str:
    """A value as TOML writes it; only tables differ from JSON."""
    if not isinstance(value, dict):
        return json.dumps(value)
    inner = ", ".join(f"{json.dumps(key)} = {_as_toml(each)}" for key, each in value.items())
    return f"{{ {inner} }}"


async def run_simulator(
    settings: SimulatorSettings,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
    *,
    faults: Faults | None = None,
    face: type[Face] = LumaFace,
) -> None:
    """Serve until `stop`; `on_ready` is told the base address once it listens.

    Raises `ConfigError` where it cannot listen there.
    """
    simulator = Simulator(settings, faults, face=face)
    try:
        try:
            await simulator.start(host, port)
        except OSError as error:
            raise ConfigError(
                f"The simulator cannot listen on {host}, port {port}: {error.strerror}."
            ) from error
        on_ready(simulator.base_url)
        await stop.wait()
    finally:
        await simulator.stop()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - it is replaced
