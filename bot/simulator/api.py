"""The HTTP face of the simulator: routes, keys, replies, and the faults planned for them."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, assert_never

from aiohttp import hdrs, web

from bot.clock import SystemClock
from bot.simulator.camera import CONCEPTS
from bot.simulator.faults import ClipFault, Delay, Drop, Operation, Refuse
from bot.simulator.order import ApiError, read_order

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

API = "/dream-machine/v1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPERATIONS: dict[str, Operation] = {
    "GET /ping": "ping",
    "GET /credits": "credits",
    "POST /generations": "create",
    "POST /generations/video": "create",
    "GET /generations": "list",
    "GET /generations/{id}": "get",
    "DELETE /generations/{id}": "delete",
    "GET /generations/concepts/list": "concepts",
    "GET /generations/camera_motion/list": "concepts",
    "GET /cdn/{id}/{name}": "clip",
}
#: What Luma also sells and this simulator does not make.
OTHER_WORK = (
    "/generations/image",
    "/generations/image/reframe",
    "/generations/video/reframe",
    "/generations/video/modify",
    "/generations/{id}/upscale",
    "/generations/{id}/audio",
)


class Api:
    """Reads requests, asks the simulator, writes replies."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._account = simulator.account
        self._faults = simulator.faults
        self._clock = SystemClock()

    def application(self) -> web.Application:
        """All routes; those below the API address want the key, clips want none."""
        application = web.Application(middlewares=[self._watch, self._spoil, self._guard])
        create = self._create
        application.add_routes(
            [
                web.get(API + "/ping", self._ping),
                web.get(API + "/credits", self._credits),
                web.post(API + "/generations", create),
                web.post(API + "/generations/video", create),
                web.get(API + "/generations", self._list),
                web.get(API + "/generations/concepts/list", self._concepts),
                web.get(API + "/generations/camera_motion/list", self._camera_motions),
                web.get(API + "/generations/{id}", self._get),
                web.delete(API + "/generations/{id}", self._delete),
                *(web.post(API + path, self._other_work) for path in OTHER_WORK),
                web.get("/cdn/{id}/{name}", self._clip),
                web.get("/simulator/generations", self._report),
            ]
        )
        return application

    # ---- before and after every request --------------------------------------------------------

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count it, let it take its time, and put every error into the API's words."""
        self._simulator.requests[_template(request)] += 1
        if request.path.startswith(API):
            await asyncio.sleep(self._simulator.settings.latency_seconds)
        try:
            return await handler(request)
        except ApiError as error:
            return _error(error.status, error.detail)
        except web.HTTPError as error:
            return _error(error.status, error.reason)

    @web.middleware
    async def _spoil(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let happen what was planned for this request."""
        if self._faults.is_down:
            return _error(503, "Service Unavailable")
        fault = self._faults.take_reply(OPERATIONS.get(_template(request), "other"))
        match fault:
            case None:
                return await handler(request)
            case Delay(seconds=seconds):
                reply = await handler(request)
                await asyncio.sleep(seconds)
                return reply
            case Drop(accepted=accepted):
                if accepted:
                    await handler(request)
                return _hang_up(request)
            case Refuse(accepted=accepted):
                if accepted:
                    await handler(request)
                return _error(fault.status, fault.detail, fault.retry_after)
            case _:
                assert_never(fault)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Want the key. Keys of Luma's other API are told apart by how they begin."""
        if request.path.startswith(API):
            scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
            if scheme != "Bearer" or not key or key.startswith("luma-api-"):
                raise ApiError(403, "Not authenticated")
            if not hmac.compare_digest(key.encode(), self._simulator.settings.api_key.encode()):
                raise ApiError(401, "Invalid API key is provided")
        return await handler(request)

    # ---- the API -------------------------------------------------------------------------------

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({"message": "pong"})

    async def _credits(self, _: web.Request) -> web.Response:
        return web.json_response({"credit_balance": round(self._account.balance_cents, 4)})

    async def _create(self, request: web.Request) -> web.Response:
        self._account.count_create(asyncio.get_running_loop().time())
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(422, "JSON decode error") from error
        order = read_order(body)
        origin = str(request.url.origin())
        generation = self._account.create(order, body, self._clock.now(), origin)
        reply = web.json_response(generation.to_json(), status=201)
        self._simulator.begin(generation)
        return reply

    async def _list(self, request: web.Request) -> web.Response:
        limit, offset = _number(request, "limit", 100), _number(request, "offset", 0)
        return web.json_response(self._account.page(limit, offset))

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._account.get(request.match_info["id"]).to_json())

    async def _delete(self, request: web.Request) -> web.Response:
        self._account.get(request.match_info["id"]).is_deleted = True
        return web.Response(status=204)

    async def _concepts(self, _: web.Request) -> web.Response:
        return web.json_response(list(CONCEPTS))

    async def _camera_motions(self, _: web.Request) -> web.Response:
        moves = (
            key for key in CONCEPTS if key.endswith(("left", "right", "up", "down", "in", "out"))
        )
        return web.json_response([f"camera {key.replace('_', ' ')}" for key in moves])

    async def _other_work(self, _: web.Request) -> web.Response:
        raise ApiError(400, "The simulator makes clips from text and images, nothing else")

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
                for each in self._account.generations.values()
            }
        )

    # ---- the files -----------------------------------------------------------------------------

    async def _clip(self, request: web.Request) -> web.StreamResponse:
        generation = self._account.generations.get(request.match_info["id"])
        if generation is None or generation.state != "completed":
            raise web.HTTPNotFound
        if request.match_info["name"].endswith(".jpg"):
            return web.FileResponse(self._simulator.file(generation, ".jpg"))
        generation.downloads += 1
        path = self._simulator.file(generation, ".mp4")
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


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    path = resource.canonical.removeprefix(API) if resource else "(unknown)"
    return f"{request.method} {path}"


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise ApiError(422, f"{name}: Input should be a valid integer")
    return int(text)


def _error(status: int, detail: str, retry_after: float | None = None) -> web.Response:
    headers = {} if retry_after is None else {hdrs.RETRY_AFTER: f"{retry_after:g}"}
    return web.json_response({"detail": detail}, status=status, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()
