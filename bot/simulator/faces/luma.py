"""Luma's Dream Machine API: its routes, its replies, its callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from aiohttp import hdrs, web
from yarl import URL

from bot.simulator.account import Generation
from bot.simulator.camera import CONCEPTS
from bot.simulator.deeds import TYPES, read_deed
from bot.simulator.face import FILES, Call, Face, read_number
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, Deed, read_order, read_still

#: What is done to the clip behind a link, and to that of a generation.
DEEDS: dict[str, Deed] = {
    "/generations/video/reframe": "reframe",
    "/generations/video/modify": "modify",
    "/generations/{id}/upscale": "upscale",
    "/generations/{id}/audio": "audio",
}


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
        **{f"POST {path}": "create" for path in DEEDS},
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
            web.post("/generations/image/reframe", self._other_work),
            *(web.post(path, partial(self._work_on, deed)) for path, deed in DEEDS.items()),
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
        body = await self._body(request)
        if is_still := request.path.endswith("/image"):
            body = {"generation_type": "image", **body} if isinstance(body, dict) else body
        order = read_still(body) if is_still else read_order(body)
        origin = str(request.url.origin())
        generation = self.account.create(order, body, self.clock.now(), origin)
        reply = web.json_response(generation.to_json(), status=201)
        self.simulator.begin(generation)
        return reply

    async def _body(self, request: web.Request) -> Any:
        """The JSON of a create request, which is counted."""
        self.account.count_create(asyncio.get_running_loop().time())
        try:
            return await request.json()
        except ValueError as error:
            raise ApiError(422, "JSON decode error") from error

    async def _work_on(self, deed: Deed, request: web.Request) -> web.Response:
        """Upscale, sound, reframe or modify a finished clip."""
        body = await self._body(request)
        is_readable = True
        if of_generation := request.match_info.get("id"):
            source = self.account.to_source(of_generation)
        else:
            source, is_readable = self._by_link(body)
        order = replace(read_deed(deed, body, source.order), is_readable=is_readable)
        told = {"generation_type": TYPES[deed], **body}
        origin = str(request.url.origin())
        generation = self.account.create(order, told, self.clock.now(), origin, source=source)
        reply = web.json_response(generation.to_json(), status=200 if of_generation else 201)
        self.simulator.begin(generation)
        return reply

    def _by_link(self, body: Any) -> tuple[Generation, bool]:
        """The clip behind a link of ours, and whether that link leads to it still."""
        media = body.get("media") if isinstance(body, dict) else None
        url = media.get("url") if isinstance(media, dict) else None
        if not isinstance(url, str):
            raise ApiError(422, "media: Field required")
        link, made = URL(url), self.account.generations
        named = link.parts[2] if len(link.parts) == 4 and link.path.startswith(FILES) else ""
        if named not in made:
            raise ApiError(400, "The simulator works on its own clips alone")
        source = made[named]
        return source, link.query.get("since", "0") == str(source.expired_links)

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
        raise ApiError(400, "The simulator reframes clips, no stills")


FACE = LumaFace
