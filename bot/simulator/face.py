"""What every API of the simulator has: keys, files, and the faults planned for its requests."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, assert_never

from aiohttp import hdrs, web

from bot.clock import SystemClock
from bot.simulator.account import Generation
from bot.simulator.faults import ClipFault, Delay, Drop, Hold, Operation, Refuse
from bot.simulator.order import ApiError

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

FILES, REPORT = "/cdn", "/simulator/generations"
#: Requests may hold a picture.
MOST_BYTES = 64 << 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A callback to be made, with `headers` beside the usual ones."""

    url: str
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def to_bytes(body: dict[str, Any]) -> bytes:
    """The body of a callback as it is sent, for whoever signs it."""
    return json.dumps(body).encode()


class Face(ABC):
    """Reads requests, asks the simulator, writes replies. Each API is a subclass.

    Its paths begin with `prefix`; `operations` maps method and path, without it, to the operation
    whose faults they take.
    """

    prefix: ClassVar[str] = ""
    #: Whether it tells senders of what happens, and proves that it is itself.
    calls: ClassVar[bool] = False
    signs_calls: ClassVar[bool] = False
    #: Whether its links to finished files end, and a new look gives new ones.
    links_end: ClassVar[bool] = True
    #: Whether it takes a request that its account cannot pay, and only fails it afterwards.
    fails_unpaid: ClassVar[bool] = False
    #: Whether a create is answered with the clip itself, about which nobody can be asked later.
    answers_at_once: ClassVar[bool] = False
    takes_images: ClassVar[bool] = True
    #: What an operator has to tell a provider of this service beside the key: keys of its table.
    table: ClassVar[Mapping[str, Any]] = {}
    operations: ClassVar[Mapping[str, Operation]] = {}

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.account = simulator.account
        self.clock = SystemClock()
        self._faults = simulator.faults

    def application(self) -> web.Application:
        """All routes; those below the API's address want the key, clips want none."""
        application = web.Application(
            middlewares=[self._watch, self._spoil, self._guard], client_max_size=MOST_BYTES
        )
        for route in self.routes():
            application.router.add_route(route.method, self.prefix + route.path, route.handler)
        application.add_routes(
            [
                web.get(FILES + "/{id}/{name}", self._clip),
                web.get(REPORT, self._report),
            ]
        )
        return application

    # ---- what an API has of its own ------------------------------------------------------------

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """What it answers to, below its prefix."""

    def check_key(self, request: web.Request) -> None:
        """Want the key as a bearer's; raises `ApiError`."""
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme != "Bearer" or not self.is_key(key):
            raise ApiError(401, "Unauthenticated")

    def error(self, status: int, detail: str) -> web.Response:
        """A refusal in the API's words."""
        return web.json_response({"detail": detail}, status=status)

    def callback(self, generation: Generation) -> Call | None:
        """What its sender is told of the state that a generation just reached, if anything."""
        return None

    def is_key(self, key: str) -> bool:
        """Whether this is the account's key."""
        return hmac.compare_digest(key.encode(), self.simulator.settings.api_key.encode())

    # ---- before and after every request --------------------------------------------------------

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count it, let it take its time, and put every error into the API's words."""
        self.simulator.requests[self._template(request)] += 1
        if self._is_api(request):
            await asyncio.sleep(self.simulator.settings.latency_seconds)
        try:
            return await handler(request)
        except ApiError as error:
            return self.error(error.status, error.detail)
        except web.HTTPError as error:
            return self.error(error.status, error.reason)

    @web.middleware
    async def _spoil(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let happen what was planned for this request."""
        if self._faults.is_down:
            return self.error(503, "Service Unavailable")
        fault = self._faults.take_reply(self._operation(request))
        match fault:
            case None:
                return await handler(request)
            case Delay(seconds=seconds):
                reply = await handler(request)
                await asyncio.sleep(seconds)
                return reply
            case Hold(released=released):
                reply = await handler(request)
                await released.wait()
                return reply
            case Drop(accepted=accepted):
                if accepted:
                    await handler(request)
                return _hang_up(request)
            case Refuse():
                return await self._refuse(request, handler, fault)
            case _:
                assert_never(fault)

    async def _refuse(
        self, request: web.Request, handler: Handler, fault: Refuse
    ) -> web.StreamResponse:
        if fault.accepted:
            await handler(request)
        if fault.released is not None:
            await fault.released.wait()
        reply = self.error(fault.status, fault.detail)
        if fault.retry_after is not None:
            reply.headers[hdrs.RETRY_AFTER] = f"{fault.retry_after:g}"
        return reply

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Want the key of those who ask the API."""
        if self._is_api(request):
            self.check_key(request)
        return await handler(request)

    def _is_api(self, request: web.Request) -> bool:
        return not request.path.startswith((FILES + "/", REPORT))

    def _template(self, request: web.Request) -> str:
        resource = request.match_info.route.resource
        path = resource.canonical.removeprefix(self.prefix) if resource else "(unknown)"
        return f"{request.method} {path}"

    def _operation(self, request: web.Request) -> Operation:
        if request.path.startswith(FILES + "/"):
            return "clip"
        return self.operations.get(self._template(request), "other")

    # ---- beside the API ------------------------------------------------------------------------

    async def _report(self, _: web.Request) -> web.Response:
        """When each generation was due and done, for a bench in another process."""
        return web.json_response(
            {
                each.id: {
                    "state": each.state,
                    "created_at": each.created_at.timestamp(),
                    "completed_at": each.completed_at and each.completed_at.timestamp(),
                    "downloads": each.downloads,
                }
                for each in self.account.generations.values()
            }
        )

    # ---- the files -----------------------------------------------------------------------------

    async def _clip(self, request: web.Request) -> web.StreamResponse:
        generation = self.account.generations.get(request.match_info["id"])
        if generation is None or generation.state != "completed":
            raise web.HTTPNotFound
        if request.query.get("since", "0") != str(generation.expired_links):
            raise web.HTTPForbidden(reason="This link has expired")
        if request.match_info["name"] == "thumb.jpg":
            return web.FileResponse(self.simulator.file(generation, ".jpg"))
        return await self.serve(request, generation)

    async def serve(self, request: web.Request, generation: Generation) -> web.StreamResponse:
        """The finished clip or picture, spoiled if a fault was planned for it."""
        generation.downloads += 1
        path = self.simulator.result(generation)
        fault = self._faults.take_clip()
        if fault is None:
            return web.FileResponse(path)
        return await _spoiled(request, fault, path.read_bytes())


async def _spoiled(request: web.Request, fault: ClipFault, clip: bytes) -> web.StreamResponse:
    half = clip[: len(clip) // 2]
    match fault:
        case "garbage":
            return _video(b"no clip at all. " * (len(clip) // 16))
        case "empty":
            return _video(b"")
        case "cut":
            return _video(half)
        case "html":
            page = "<!doctype html><title>Just a moment</title><p>Checking your browser."
            return web.Response(text=page, content_type="text/html")
        case "missing":
            raise web.HTTPNotFound
        case "short":
            return await _partly(request, half, len(clip))
        case "long":
            return await _partly(request, clip, len(clip) + 1000)
        case "stalled":
            return await _partly(request, half, len(clip), silence=3600)
        case _:
            assert_never(fault)


def _video(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="video/mp4")


async def _partly(
    request: web.Request, body: bytes, announced: int, *, silence: float = 0
) -> web.StreamResponse:
    reply = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "video/mp4"})
    reply.content_length = announced
    await reply.prepare(request)
    await reply.write(body)
    await asyncio.sleep(silence)
    _hang_up(request)
    return reply


def read_data_uri(text: str) -> bytes:
    """The bytes of a `data:` address (RFC 2397) in base64; raises `ApiError`."""
    match = re.fullmatch(r"data:image/[a-z+.-]+;base64,([A-Za-z0-9+/]+=*)", text)
    if match is None or len(match[1]) % 4:
        raise ApiError(422, "The image is no valid data URI")
    return base64.b64decode(match[1])


def read_number(request: web.Request, name: str, default: int) -> int:
    """A whole number of the query; raises `ApiError`."""
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise ApiError(422, f"{name}: Input should be a valid integer")
    return int(text)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()
