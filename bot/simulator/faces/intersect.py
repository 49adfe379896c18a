"""Codenteam Intersect's two calls that are known: the models of a key, and a clip from a prompt.

The paths and the request are those of Codenteam's own connector. Its answers are assumed: errors
as OpenAI words them, the clip's link at `output.url`, a failed clip as a 400.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from bot.simulator.face import Face
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, read_order

#: What its clips are like: nobody can choose.
CLIP = {
    "model": "ray-flash-2",
    "resolution": "720p",
    "duration": "5s",
    "aspect_ratio": "16:9",
}


class IntersectFace(Face):
    """One tenant's address."""

    answers_at_once: ClassVar[bool] = True
    takes_images: ClassVar[bool] = False
    table: ClassVar[Mapping[str, Any]] = {"result": "output.url", "prices": {"ray-flash-2": 0.3}}
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET /api/v1/models": "ping",
        "POST /canvas/create-video": "create",
    }

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [
            web.get("/api/v1/models", self._models),
            web.post("/canvas/create-video", self._create),
        ]

    def error(self, status: int, detail: str) -> web.Response:
        """OpenAI's shape."""
        error = {"message": detail, "type": "invalid_request_error", "code": None}
        return web.json_response({"error": error}, status=status)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-4o"}]})

    async def _create(self, request: web.Request) -> web.Response:
        self.account.count_create(asyncio.get_running_loop().time())
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(400, "Invalid JSON") from error
        prompt = body.get("prompt") if isinstance(body, dict) else None
        order = read_order({**CLIP, "prompt": prompt})
        origin = str(request.url.origin())
        generation = self.account.create(order, {}, self.clock.now(), origin)
        self.simulator.begin(generation)
        await self.simulator.until(lambda: generation.is_over)
        if generation.failure_reason is not None:
            raise ApiError(400, generation.failure_reason)
        return web.json_response({"output": {"url": generation.link("result.mp4")}})


FACE = IntersectFace
