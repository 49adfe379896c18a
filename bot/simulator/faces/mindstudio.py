"""MindStudio's API with one app: it makes the clip that its launch variables ask for.

As documented: the paths, the bearer key, both shapes of an answer, 400 for what cannot be served.
Assumed, for want of a description: the words of errors, and how a run shows that it failed. It
never calls: what would be sent is not described.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from bot.simulator.account import Generation
from bot.simulator.face import Face
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, read_order

APP, WORKFLOW = "46f2e54b-0000-4055-bbf4-000000000001", "Main"
#: The app's launch variables, and what each becomes in Luma's request.
VARIABLES = {
    "words": "prompt",
    "shape": "aspect_ratio",
    "length": "duration",
    "size": "resolution",
}
FIRST, LAST, ROUND = "firstImage", "lastImage", "isLoop"


class MindStudioFace(Face):
    """The part of the API that runs an app."""

    prefix: ClassVar[str] = "/developer/v2"
    answers_at_once: ClassVar[bool] = True
    table: ClassVar[Mapping[str, Any]] = {
        "app_id": APP,
        "workflow": WORKFLOW,
        "variables": {
            **{luma: name for name, luma in VARIABLES.items()},
            "start_frame": FIRST,
            "end_frame": LAST,
            "loop": ROUND,
        },
        "result": "result.videoUrl",
        "durations": ["5s", "9s"],
        "resolutions": ["540p", "720p"],
        "aspect_ratios": ["16:9", "1:1"],
        "prices": {"ray-flash-2": 0.5, "540p 5s": 0.2},
    }
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET /apps/load": "ping",
        "POST /apps/run": "create",
    }

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [web.get("/apps/load", self._load), web.post("/apps/run", self._run)]

    def error(self, status: int, detail: str) -> web.Response:
        """As MindStudio's own client reads it."""
        return web.json_response({"message": detail, "code": "api_error"}, status=status)

    async def _load(self, _: web.Request) -> web.Response:
        return web.json_response({"orgId": "79249296-1f88", "orgName": "A simulated house"})

    async def _run(self, request: web.Request) -> web.Response:
        self.account.count_create(asyncio.get_running_loop().time())
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(400, "Invalid JSON") from error
        if not isinstance(body, dict) or body.get("appId") != APP:
            raise ApiError(404, "App not found")
        if body.get("workflow", WORKFLOW) != WORKFLOW:
            raise ApiError(400, "Workflow not found")
        order = read_order(_to_luma(body.get("variables") or {}))
        origin = str(request.url.origin())
        generation = self.account.create(order, {}, self.clock.now(), origin)
        self.simulator.begin(generation)
        if body.get("callbackUrl"):
            return web.json_response({"success": True, "callbackInProgress": True})
        await self.simulator.until(lambda: generation.is_over)
        return web.json_response(_to_answer(generation))


def _to_luma(variables: dict[str, Any]) -> dict[str, Any]:
    """What the app asks Luma for; a launch variable that it does not know changes nothing."""
    frames = {"frame0": variables.get(FIRST), "frame1": variables.get(LAST)}
    keyframes = {key: {"type": "image", "url": url} for key, url in frames.items() if url}
    asked = {luma: variables.get(name) for name, luma in VARIABLES.items()}
    loop = variables.get(ROUND)
    return {"model": "ray-flash-2", **asked, "loop": loop, "keyframes": keyframes or None}


def _to_answer(generation: Generation) -> dict[str, Any]:
    reason = generation.failure_reason
    thread = {
        "id": generation.id,
        "appId": APP,
        "source": "api",
        "isRunning": False,
        "isFinished": True,
        "dateCreated": generation.created_at.isoformat(),
        "error": reason,
    }
    result = {"videoUrl": generation.link("result.mp4")} if reason is None else {}
    return {
        "success": reason is None,
        "threadId": generation.id,
        "thread": thread,
        "result": result,
    }


FACE = MindStudioFace
