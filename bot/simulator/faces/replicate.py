"""Replicate's API: predictions of Luma's models, uploaded files, signed webhooks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import hdrs, web

from bot.simulator.account import Generation
from bot.simulator.camera import CONCEPTS
from bot.simulator.face import Call, Face, read_data_uri, read_number, to_bytes
from bot.simulator.faults import Operation
from bot.simulator.order import RATIOS, ApiError, KeyFrame, Order, clip_size

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

MODELS = {
    "ray-flash-2-540p": ("ray-flash-2", "540p"),
    "ray-flash-2-720p": ("ray-flash-2", "720p"),
    "ray-2-540p": ("ray-2", "540p"),
    "ray-2-720p": ("ray-2", "720p"),
}
SECONDS = (5, 9)
PAGE = 100
#: What was asked and made is taken away after an hour; what was uploaded stays for a day.
KEPT, FILES_KEPT = timedelta(hours=1), timedelta(days=1)
TITLES = {401: "Unauthenticated", 402: "Insufficient credit", 422: "Input validation failed"}
DETAILS = {
    402: "You have insufficient credit to run this model. Go to "
    "https://replicate.com/account/billing#billing to purchase credit.",
    404: "The requested resource could not be found.",
    429: "Request was throttled. Your rate limit resets in ~5s.",
}
STATUSES = {
    "queued": "starting",
    "dreaming": "processing",
    "completed": "succeeded",
    "failed": "failed",
}
FLAGGED = "The input or output was flagged as sensitive. Please try again with different inputs."
STOPPED = "Stopped by its owner"


class ReplicateFace(Face):
    """The part of Replicate's HTTP API that runs a hosted model."""

    prefix: ClassVar[str] = "/v1"
    calls: ClassVar[bool] = True
    signs_calls: ClassVar[bool] = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET /account": "credits",
        "POST /models/{owner}/{name}/predictions": "create",
        "GET /predictions": "list",
        "GET /predictions/{id}": "get",
        "POST /predictions/{id}/cancel": "delete",
    }

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        #: Signs the calls; a new one is another account's, or this one's after a rotation.
        self.secret = self.new_secret()
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        #: What their owner stopped, and what it is called then.
        self._stopped: dict[str, str] = {}

    @staticmethod
    def new_secret() -> str:
        """A secret as Replicate makes them."""
        return "whsec_" + base64.b64encode(os.urandom(24)).decode()

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [
            web.get("/account", self._account),
            web.post("/models/{owner}/{name}/predictions", self._create),
            web.get("/predictions", self._list),
            web.get("/predictions/{id}", self._get),
            web.post("/predictions/{id}/cancel", self._cancel),
            web.post("/files", self._upload),
            web.get("/files", self._list_files),
            web.get("/files/{id}", self._get_file),
            web.delete("/files/{id}", self._delete_file),
            web.get("/webhooks/default/secret", self._get_secret),
        ]

    def check_key(self, request: web.Request) -> None:
        """Want the key, behind either of two words."""
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if not key:
            raise ApiError(401, "You did not pass an authentication token")
        if scheme not in ("Bearer", "Token") or not self.is_key(key):
            raise ApiError(401, "You did not pass a valid authentication token")

    def error(self, status: int, detail: str) -> web.Response:
        """A problem of RFC 7807, with Replicate's own words where they are known."""
        body = {"detail": DETAILS.get(status, detail), "status": status}
        if status in TITLES:
            body["title"] = TITLES[status]
        return web.json_response(body, status=status)

    def callback(self, generation: Generation) -> Call | None:
        """Told of the start and of the end, as asked for; signed by Standard Webhooks."""
        url, event = generation.order.callback_url, "completed" if generation.is_over else "start"
        wanted = generation.request.get("webhook_events_filter") or ["output", "completed"]
        is_stopping = event == "start" and generation.id in self._stopped
        if not url or event not in wanted or is_stopping:
            return None
        body = self._to_json(generation)
        sent, at = f"msg_{uuid.uuid4().hex}", str(int(self.clock.now().timestamp()))
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        content = f"{sent}.{at}.".encode() + to_bytes(body)
        signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        headers = {
            "webhook-id": sent,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
        }
        return Call(url=url, body=body, headers=headers)

    # ---- predictions ---------------------------------------------------------------------------

    async def _account(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"type": "user", "username": "raybot", "name": "Raybot", "github_url": None}
        )

    async def _create(self, request: web.Request) -> web.Response:
        self.account.count_create(asyncio.get_running_loop().time())
        if request.match_info["owner"] != "luma" or request.match_info["name"] not in MODELS:
            raise ApiError(404, "")
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(400, "The request body is not valid JSON") from error
        order = self._read_order(request.match_info["name"], body)
        origin, asked = str(request.url.origin()), {**body, "model": request.match_info["name"]}
        generation = self.account.create(order, asked, self.clock.now(), origin)
        reply = web.json_response(self._to_json(generation), status=201)
        self.simulator.begin(generation)
        return reply

    async def _list(self, request: web.Request) -> web.Response:
        """Newest first; rows tell all but the webhook, as in Replicate's own example."""
        offset = read_number(request, "cursor", 0)
        page = self.account.page(PAGE, offset)
        rows = [self._to_json(self.account.get(row["id"])) for row in page["generations"]]
        for row in rows:
            del row["webhook"]
        address = str(request.url.with_query({}))
        following = f"{address}?cursor={offset + len(rows)}" if page["has_more"] else None
        return web.json_response({"next": following, "previous": None, "results": rows})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._to_json(self.account.get(request.match_info["id"])))

    async def _cancel(self, request: web.Request) -> web.Response:
        generation = self.account.get(request.match_info["id"])
        if not generation.is_over:
            is_early = generation.state == "queued"
            self._stopped[generation.id] = "aborted" if is_early else "canceled"
            generation.verdict = STOPPED
            generation.released.set()
            if not is_early:
                await self.simulator.finish(generation.id)
        return web.json_response(self._to_json(generation))

    def _to_json(self, generation: Generation) -> dict[str, Any]:
        """A prediction as every reply, list and callback shows it."""
        ended = generation.completed_at
        is_removed = ended is not None and self.clock.now() - ended > KEPT
        has_output = generation.state == "completed" and not is_removed
        address = f"{generation.origin}{self.prefix}/predictions/{generation.id}"
        began = _stamp(generation.created_at)
        return {
            "id": generation.id,
            "model": f"luma/{generation.request['model']}",
            "version": "hidden",
            "input": {} if is_removed else generation.request["input"],
            "logs": "",
            "output": generation.link("result.mp4") if has_output else None,
            "data_removed": is_removed,
            "error": _to_error(generation),
            "source": "api",
            "status": self._stopped.get(generation.id) or STATUSES[generation.state],
            "created_at": began,
            "started_at": None if generation.state == "queued" else began,
            "completed_at": ended and _stamp(ended),
            "metrics": {},
            "webhook": generation.order.callback_url,
            "urls": {"get": address, "cancel": f"{address}/cancel"},
        }

    # ---- what is asked -------------------------------------------------------------------------

    def _read_order(self, name: str, body: Any) -> Order:
        """Understand a request by the schema of these models; raises `ApiError`."""
        asked = body.get("input") if isinstance(body, dict) else None
        if not isinstance(asked, dict):
            raise ApiError(422, "- input: Expected an object")
        model, resolution = MODELS[name]
        prompt, loop = asked.get("prompt"), asked.get("loop", False)
        seconds, ratio = asked.get("duration", SECONDS[0]), asked.get("aspect_ratio", "16:9")
        concepts = asked.get("concepts") or []
        if not isinstance(prompt, str):
            raise ApiError(422, "- input: prompt is required")
        if seconds not in SECONDS or isinstance(seconds, bool):
            raise ApiError(422, "- input.duration: must be one of the following: 5, 9")
        if ratio not in RATIOS:
            raise ApiError(422, f"- input.aspect_ratio: must be one of: {', '.join(RATIOS)}")
        if not isinstance(loop, bool):
            raise ApiError(422, "- input.loop: Invalid type. Expected: boolean")
        if not isinstance(concepts, list) or not set(map(str, concepts)) <= set(CONCEPTS):
            raise ApiError(422, "- input.concepts: must be a list of camera concepts")
        width, height = clip_size(resolution, ratio)
        return Order(
            model=model,
            prompt=prompt,
            width=width,
            height=height,
            seconds=seconds,
            loop=loop,
            concepts=tuple(concepts),
            start=self._frame(asked, "start_image"),
            end=self._frame(asked, "end_image"),
            callback_url=body.get("webhook"),
        )

    def _frame(self, asked: dict[str, Any], side: str) -> KeyFrame | None:
        match asked.get(side):
            case None:
                return None
            case str(uri) if uri.startswith("data:"):
                return KeyFrame(kind="image", content=read_data_uri(uri))
            case str(url) if url.startswith(("http://", "https://")):
                _, content = self._files.get(url.rpartition("/")[2], (None, None))
                return KeyFrame(kind="image", value=url, content=content)
            case _:
                raise ApiError(422, f"- input.{side}: Does not match format 'uri'")

    # ---- files, and the secret -----------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("content")
        if not isinstance(file, web.FileField):
            raise ApiError(400, "Missing content")
        content, id_, now = file.file.read(), uuid.uuid4().hex, self.clock.now()
        shown = {
            "id": id_,
            "name": file.filename,
            "content_type": file.content_type,
            "size": len(content),
            "etag": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "checksums": {"sha256": hashlib.sha256(content).hexdigest()},
            "metadata": {},
            "created_at": _stamp(now),
            "expires_at": _stamp(now + FILES_KEPT),
            "urls": {"get": f"{request.url.origin()}{self.prefix}/files/{id_}"},
        }
        self._files[id_] = shown, content
        return web.json_response(shown, status=201)

    async def _list_files(self, _: web.Request) -> web.Response:
        shown = [shown for shown, _ in reversed(self._files.values())]
        return web.json_response({"next": None, "previous": None, "results": shown})

    async def _get_file(self, request: web.Request) -> web.Response:
        return web.json_response(self._file(request)[0])

    async def _delete_file(self, request: web.Request) -> web.Response:
        del self._files[self._file(request)[0]["id"]]
        return web.Response(status=204)

    def _file(self, request: web.Request) -> tuple[dict[str, Any], bytes]:
        if (file := self._files.get(request.match_info["id"])) is None:
            raise ApiError(404, "")
        return file

    async def _get_secret(self, _: web.Request) -> web.Response:
        return web.json_response({"key": self.secret})


def _to_error(generation: Generation) -> str | None:
    """Why it failed; what Luma's filter says is told in Replicate's own words."""
    reason = generation.failure_reason
    if reason is None or reason == STOPPED:
        return None
    code = generation.id[:10]
    return f"{FLAGGED} (E005) ({code})" if reason == generation.order.moderation else reason


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")[:26] + "Z"


FACE = ReplicateFace
