"""Two listeners for HTTP: a public one for strangers and services, a private one for the operator.

Knows addresses, limits and signatures; what happens behind them is a call it is given, so it
knows no job, no provider, no adapter and no database.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.log import server_logger
from pydantic import TypeAdapter

from bot.bodies import FOR_FILES, Patience, joined_headers, read_body
from bot.clock import Clock
from bot.errors import (
    BotError,
    ClipBroken,
    ConfigError,
    FrameRejected,
    JobNotFound,
    NotAllowed,
    StoreBusy,
    StoreError,
)
from bot.log import get_logger
from bot.ports import WebCall, WebHandler, WebReply, WebRoute
from bot.streams import Streams

CALLBACK_BYTES = 64 * 1024
CALLBACKS_PER_MINUTE = 30
CALL_BYTES = 1024 * 1024
AGAIN_SECONDS = 5
#: So many files may be on their way to us at once: each lies in memory until it is whole.
FILES_AT_ONCE = 8
FETCHES_PER_FRAME = 20
HEARTBEAT_SECONDS = 30.0
STOP_SECONDS = 5.0
REMEMBERED_KEYS = 10_000
JOB_ID = r"{job_id:r-[0-9a-z]{4,20}}"
#: What an adapter answers, the bare address, too; what has a route keeps to its own methods.
OF_ADAPTERS = r"/{adapter:(?!(?:callbacks|frames|clips)/)[a-z_]{0,40}}{tail:(?:/.*)?}"
#: Of clips and of stills, with what a browser is told.
KINDS = {
    ".mp4": "video/mp4",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
SUFFIX = r"{suffix:\.(mp4|jpg|png|webp)}"
TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")

log = get_logger(__name__)
ARGUMENTS = TypeAdapter(dict[str, object])
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Where the listeners are (port 0: any free one), and which proxies may name the real client.

    The body of a callback or a call has `body_seconds` to arrive, a file `for_files`.
    """

    public_host: str = "127.0.0.1"
    public_port: int = 8080
    private_host: str = "127.0.0.1"
    private_port: int = 8081
    trusted_proxies: tuple[str, ...] = ()
    body_seconds: float = 10.0
    for_files: Patience = FOR_FILES


@dataclass(frozen=True, kw_only=True)
class WebBackend:
    """What lies behind the listeners.

    `on_callback` takes (provider, headers, body, token) and only notes the hint.
    `verify_link` takes (path, exp, sig, now). `frame_at` takes (job id, attempt, slot); it and
    `clip_at` give None, or raise `FrameRejected` or `ClipBroken`, where nothing is kept.
    `find_route` takes (adapter, method, path): None where nobody answers, `StoreBusy` where nobody
    answers yet. `ready` names what is not well. `heartbeat_age` in seconds.
    """

    on_callback: Callable[[str, Mapping[str, str], bytes, str], Awaitable[None]]
    verify_link: Callable[[str, str, str, datetime], bool]
    frame_at: Callable[[str, int, str], Awaitable[Path | None]]
    clip_at: Callable[[str], Awaitable[Path | None]]
    find_route: Callable[[str, str, str], WebHandler | None]
    ready: Callable[[], Awaitable[Mapping[str, str]]]
    troubles: Callable[[], Mapping[str, str]]
    heartbeat_age: Callable[[], float]
    render_metrics: Callable[[], Awaitable[bytes]]
    act: Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]


def act_token(secret_key: str) -> str:
    """The bearer for `/acts`, which only somebody who knows the secret key can make."""
    return hmac.new(secret_key.encode(), b"raybot private acts", "sha256").hexdigest()


class Tally:
    """Counts events per key; beyond `REMEMBERED_KEYS` the longest unseen key is forgotten."""

    def __init__(self, most: int, *, seconds: float | None = None) -> None:
        self._most = most
        self._seconds = seconds
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Count one more; False once there were `most` of them (within `seconds`, if given)."""
        since, count = self._seen.pop(key, (now, 0))
        if self._seconds is not None and now - since >= self._seconds:
            since, count = now, 0
        self._seen[key] = (since, min(count + 1, self._most + 1))
        if len(self._seen) > REMEMBERED_KEYS:
            self._seen.popitem(last=False)
        return count < self._most


class Web:
    """The two listeners."""

    def __init__(
        self,
        settings: WebSettings,
        behind: WebBackend,
        *,
        clock: Clock,
        secret_key: str,
        providers: Collection[str],
    ) -> None:
        self._settings = settings
        self._behind = behind
        self._clock = clock
        self._files = asyncio.Semaphore(FILES_AT_ONCE)
        self._for_calls = Patience(whole=settings.body_seconds, silence=settings.body_seconds)
        self._bearer = f"Bearer {act_token(secret_key)}".encode()
        self._providers = frozenset(providers)
        self._proxies = to_networks(settings.trusted_proxies)
        self._callbacks = Tally(CALLBACKS_PER_MINUTE, seconds=60.0)
        self._fetches = Tally(FETCHES_PER_FRAME)
        self._streams = Streams()
        frame_path = f"/frames/{JOB_ID}/{{attempt:[0-9]{{1,4}}}}/{{slot:start|end}}"
        self._public = self._runner(
            web.post("/callbacks/{provider}/{token}", self._on_callback),
            web.get(frame_path, self._frame),
            web.get(f"/clips/{JOB_ID}{SUFFIX}", self._clip),
            web.get(OF_ADAPTERS, self._on_call, allow_head=False),
            web.post(OF_ADAPTERS, self._on_call),
        )
        self._private = self._runner(
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
            web.post("/acts/{name:[a-z_]{1,40}}", self._act),
        )

    def _runner(self, *routes: web.RouteDef) -> web.AppRunner:
        server_logger.addFilter(_is_ours)
        app = web.Application()
        app.on_response_prepare.append(self._say_little)
        app.add_routes(routes)
        return web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)

    async def start(self) -> None:
        """Open both listeners; raises `ConfigError` that names the key of a port that is taken."""
        wanted = self._settings
        try:
            await _listen(self._private, wanted.private_host, wanted.private_port, "private")
            await _listen(self._public, wanted.public_host, wanted.public_port, "public")
        except ConfigError:
            await self.stop()
            raise
        log.info("web.listening", public=self.public_address, private=self.private_address)

    async def stop(self) -> None:
        """Close both listeners; what is being answered gets `STOP_SECONDS`. Fine if repeated."""
        self._streams.close()
        await self._public.cleanup()
        await self._private.cleanup()

    @property
    def public_address(self) -> str:
        """The public listener's own address, e.g. `http://127.0.0.1:8080`; empty while closed."""
        return _address(self._public)

    @property
    def private_address(self) -> str:
        """The private listener's own address; empty while closed."""
        return _address(self._private)

    async def _say_little(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set what every answer carries; log a refusal by its route, for paths hold tokens."""
        response.headers.pop("Server", None)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        if response.status >= 400:
            response.headers.setdefault("Content-Security-Policy", "default-src 'none'")
            response.headers.setdefault("Referrer-Policy", "no-referrer")
            resource = request.match_info.route.resource
            route = resource.canonical if resource else "none"
            log.debug("web.refused", route=route, status=response.status, by=self._client(request))

    def _client(self, request: web.Request) -> str:
        """The client's address: the last one in `X-Forwarded-For` that no own proxy added."""
        # A proxy may add a line of its own below those that a stranger wrote.
        said = joined_headers(request).get("x-forwarded-for", "")
        hops = [hop.strip() for hop in said.split(",")]
        address = request.remote or ""
        while hops and _is_in(address, self._proxies):
            address = hops.pop() or address
        return address

    async def _on_callback(self, request: web.Request) -> web.Response:
        provider, token = request.match_info["provider"], request.match_info["token"]
        if provider not in self._providers or not TOKEN.fullmatch(token):
            raise web.HTTPNotFound
        if not self._callbacks.take(token, self._clock.boottime()):
            raise web.HTTPTooManyRequests
        body = await read_body(request, CALLBACK_BYTES, self._for_calls)
        await self._behind.on_callback(provider, request.headers, body, token)
        return web.Response(text="ok")

    async def _on_call(self, request: web.Request) -> web.StreamResponse:
        """What an adapter answers. A fault of its own is 500, and never logged with the body."""
        method, path = request.method, request.path
        try:
            answer = self._behind.find_route(request.match_info["adapter"], method, path)
        except StoreBusy:
            return web.Response(status=503, headers={"Retry-After": str(AGAIN_SECONDS)})
        if answer is None:
            raise web.HTTPNotFound
        call = WebCall(
            method=method,
            path=path,
            query=dict(request.query),
            headers=joined_headers(request),
            body=b"",
            client=self._client(request),
        )
        try:
            if isinstance(answer, WebRoute):
                reply = await self._take_file(answer, call, request)
            else:
                body = await read_body(request, CALL_BYTES, self._for_calls)
                reply = await answer(replace(call, body=body))
        except BotError as error:
            log.error("web.call_failed", path=path, cause=type(error).__name__)  # noqa: TRY400
            return web.Response(status=500)
        if reply.stream is not None:
            return await self._streams.send(request, reply, reply.stream)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _take_file(self, route: WebRoute, call: WebCall, request: web.Request) -> WebReply:
        """Nobody keeps others from sending theirs who may send none."""
        knocked = await route.knock(call)
        if knocked.status != HTTPStatus.CONTINUE:
            return knocked
        if self._files.locked():
            return WebReply(status=503, headers=(("Retry-After", str(AGAIN_SECONDS)),))
        async with self._files:
            body = await read_body(request, route.max_bytes, self._settings.for_files)
        return await route(replace(call, body=body))

    def _check_link(self, request: web.Request) -> None:
        exp, sig = request.query.get("exp", ""), request.query.get("sig", "")
        if not self._behind.verify_link(request.path, exp, sig, self._clock.now()):
            raise web.HTTPNotFound

    async def _frame(self, request: web.Request) -> web.FileResponse:
        self._check_link(request)
        if not self._fetches.take(request.path, self._clock.boottime()):
            raise web.HTTPNotFound
        said = request.match_info
        frame = self._behind.frame_at(said["job_id"], int(said["attempt"]), said["slot"])
        return _file(await _kept(frame), name=f"{said['job_id']}-{said['slot']}")

    async def _clip(self, request: web.Request) -> web.FileResponse:
        self._check_link(request)
        job_id = request.match_info["job_id"]
        path = await _kept(self._behind.clip_at(job_id))
        suffix = request.match_info["suffix"]
        return _file(path, name=f"{job_id}{suffix}", kind=KINDS[suffix])

    async def _livez(self, _request: web.Request) -> web.Response:
        age = self._behind.heartbeat_age()
        status = 200 if age <= HEARTBEAT_SECONDS else 503
        return web.json_response({"heartbeat_age_seconds": round(age, 3)}, status=status)

    async def _readyz(self, _request: web.Request) -> web.Response:
        problems = dict(await self._behind.ready())
        # What is away elsewhere is told, and is no reason to send people to nobody at all.
        troubles = dict(self._behind.troubles())
        body = {"ready": not problems, "problems": problems, "troubles": troubles}
        return web.json_response(body, status=503 if problems else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        # Imported here: commands that only need `act_token` need not pay a tenth of a second.
        from prometheus_client import CONTENT_TYPE_LATEST

        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=await self._behind.render_metrics(), headers=headers)

    async def _act(self, request: web.Request) -> web.Response:
        said = request.headers.get("Authorization", "")
        if not hmac.compare_digest(said.encode("utf-8", "surrogateescape"), self._bearer):
            raise web.HTTPUnauthorized
        try:
            wanted = ARGUMENTS.validate_json(await request.read() or b"{}")
        except ValueError:
            raise web.HTTPBadRequest from None
        try:
            answer = await self._behind.act(request.match_info["name"], wanted)
        except BotError as error:
            return web.json_response({"sentence": error.sentence}, status=_status(error))
        return web.json_response(dict(answer))


def _status(error: BotError) -> int:
    match error:
        case JobNotFound():
            return 404
        case NotAllowed():
            return 403
        case StoreError():
            return 503
        case _:
            return 400


async def _kept(file: Awaitable[Path | None]) -> Path | None:
    """The file, None where its row outlived it."""
    try:
        return await file
    except (ClipBroken, FrameRejected):
        return None


def _file(path: Path | None, *, name: str, kind: str | None = None) -> web.FileResponse:
    if path is None:
        raise web.HTTPNotFound
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    if kind:
        headers["Content-Type"] = kind
    return web.FileResponse(path, headers=headers)


async def _listen(runner: web.AppRunner, host: str, port: int, which: str) -> None:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        why = (
            f"cannot listen on {host}:{port} ({error.strerror}); set {which}_host and {which}_port"
        )
        if error.errno == errno.EADDRINUSE:
            why = f"another program listens on {host}:{port}; stop it, or set a free {which}_port"
        raise ConfigError(f"[bot] {which}_port: {why}.") from error


def _address(runner: web.AppRunner) -> str:
    for address in runner.addresses:
        host, port = address[0], address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return ""


def _is_ours(record: logging.LogRecord) -> bool:
    """What is no HTTP is no fault of ours: no stranger fills the log, nor writes into it."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def to_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Addresses and networks as texts; raises `ConfigError`."""
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ConfigError(f"[bot] trusted_proxies: {error}.") from None


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in networks)
    except ValueError:
        return False
