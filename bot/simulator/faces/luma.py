"""Luma's Dream Machine API: its routes, its replies, its callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import hdrs, web

from bot.simulator.account import Generation
from bot.simulator.camera import CONCEPTS
from bot.simulator.face import Call, Face, read_number
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, read_order, read_still

#: What Luma also sells and this simulator does not make.
OTHER_WORK = (
    "/generations/image/reframe",
    "/generations/video/reframe",
    "/generations/video/modify",
    "/generations/{id}/upscale",
    "/generations/{id}/audio",
)


class LumaFace(Face):
    """The Dream Machine API."""

    prefix: ClassVar[str] = "/dream-machine/v1"
    calls: ClassVar[bool] = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET /ping": "ping",
        "GET /credits": "credits",
        "POST /generations": "create",
        "POST /generations/video": "create",
        "POST /generations/image": "create",
        "GET /generations": "list",
        "GET /generations/{id}": "get",
        "DELETE /generations/{id}": "delete",
        "GET /generations/concepts/list": "concepts",
        "GET /generations/camera_motion/list": "concepts",
    }

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        create = self._create
        return [
            web.get("/ping", self._ping),
            web.get("/credits", self._credits),
            web.post("/generations", create),
            web.post("/generations/video", create),
            web.post("/generations/image", create),
            web.get("/generations", self._list),
            web.get("/generations/concepts/list", self._concepts),
            web.get("/generations/camera_motion/list", self._camera_motions),
            web.get("/generations/{id}", self._get),
            web.delete("/generations/{id}", self._delete),
            *(web.post(path, self._other_work) for path in OTHER_WORK),
        ]

    def check_key(self, request: web.Request) -> None:
        """Want the key. Keys of Luma's other API are told apart by how they begin."""
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme != "Bearer" or not key or key.startswith("luma-api-"):
            raise ApiError(403, "Not authenticated")
        if not self.is_key(key):
            raise ApiError(401, "Invalid API key is provided")

    def callback(self, generation: Generation) -> Call | None:
        """Told of each state but the first; it is the generation as a GET shows it."""
        url = generation.order.callback_url
        return Call(url=url, body=generation.to_json()) if url else None

    # ---- the API -------------------------------------------------------------------------------

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({"message": "pong"})

    async def _credits(self, _: web.Request) -> web.Response:
        return web.json_response({"credit_balance": round(self.account.balance_cents, 4)})

    async def _create(self, request: web.Request) -> web.Response:
        self.account.count_create(asyncio.get_running_loop().time())
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(422, "JSON decode error") from error
        if is_still := request.path.endswith("/image"):
            body = {"generation_type": "image", **body} if isinstance(body, dict) else body
        order = read_still(body) if is_still else read_order(body)
        origin = str(request.url.origin())
        generation = self.account.create(order, body, self.clock.now(), origin)
        reply = web.json_response(generation.to_json(), status=201)
        self.simulator.begin(generation)
        return reply

    async def _list(self, request: web.Request) -> web.Response:
        limit, offset = read_number(request, "limit", 100), read_number(request, "offset", 0)
        return web.json_response(self.account.page(limit, offset))

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self.account.get(request.match_info["id"]).to_json())

    async def _delete(self, request: web.Request) -> web.Response:
        self.account.get(request.match_info["id"]).is_deleted = True
        return web.Response(status=204)

    async def _concepts(self, _: web.Request) -> web.Response:
        return web.json_response(list(CONCEPTS))

    async def _camera_motions(self, _: web.Request) -> web.Response:
        moves = (
            key for key in CONCEPTS if key.endswith(("left", "right", "up", "down", "in", "out"))
        )
        return web.json_response([f"camera {key.replace('_', ' ')}" for key in moves])

    async def _other_work(self, _: web.Request) -> web.Response:
        raise ApiError(400, "The simulator makes clips and stills, nothing else")


FACE = LumaFace
