"""Luma's Agents API: its generations, its files, its replies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import hdrs, web

from bot.simulator.account import Generation
from bot.simulator.agents_deeds import TYPES, read_deed, read_source
from bot.simulator.agents_order import FLAGGED, PieceOrder, check_kind, read_order
from bot.simulator.face import Face, read_number
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, Deed
from bot.simulator.render import Unreadable, read_image
from bot.simulator.uploads import Upload, Uploads

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

VERSION = "2026-04-01"
UPLOADS = "/uploads"
PRESIGNED = timedelta(minutes=15)
STATES = {"dreaming": "processing"}
ASKED: Mapping[Deed | None, str] = {deed: asked for asked, deed in TYPES.items()}
CODES = (
    "content_moderated",
    "generation_failed",
    "budget_exhausted",
    "output_not_found",
    "image_too_large",
    "unsupported_format",
    "corrupt_input",
    "invalid_request",
    "rate_limited",
)
#: What the account says, and how this API words it.
WORDS = {
    "Insufficient credits": "Insufficient credits. Please add credits to continue.",
    "Too many concurrent generations": "Too many concurrent jobs",
}


class LumaAgentsFace(Face):
    """The Agents API."""

    prefix: ClassVar[str] = "/v1"
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST /generations": "create",
        "GET /generations/{id}": "get",
    }

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.uploads = Uploads()

    def application(self) -> web.Application:
        """All routes; every reply says which version spoke, and can be named to the support."""
        application = super().application()
        application.on_response_prepare.append(self._sign)
        return application

    async def _sign(self, request: web.Request, reply: web.StreamResponse) -> None:
        reply.headers["X-API-Version"] = VERSION
        reply.headers["X-Request-Id"] = request.headers.get("X-Request-Id") or str(uuid.uuid4())

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [
            web.post("/generations", self._create),
            web.get("/generations/{id}", self._get),
            web.post("/files", self._upload),
            web.get("/files", self._list_files),
            web.get("/files/{id}", self._get_file),
            web.delete("/files/{id}", self._delete_file),
            web.post("/files/{id}/complete", self._complete),
            web.put(UPLOADS + "/{id}", self._take_bytes),
        ]

    def check_key(self, request: web.Request) -> None:
        """Want the key; a presigned address has its own proof."""
        if request.path.startswith(self.prefix + UPLOADS):
            return
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme == "Bearer" and self.is_key(key):
            return
        is_form = scheme == "Bearer" and key.startswith("luma-api-")
        raise ApiError(401, "Invalid API key" if is_form else "Missing or invalid API key")

    def error(self, status: int, detail: str) -> web.Response:
        """A refusal in the API's words; one for haste says when to come back."""
        detail = WORDS.get(detail, detail)
        reply = web.json_response({"detail": detail}, status=status)
        if detail == WORDS["Too many concurrent generations"]:
            reply.headers[hdrs.RETRY_AFTER] = "60"
        elif status == web.HTTPTooManyRequests.status_code:
            _, seconds = self.account.creates_left(asyncio.get_running_loop().time())
            reply.headers.update(self._limits())
            reply.headers[hdrs.RETRY_AFTER] = str(round(seconds) or 1)
        return reply

    def _limits(self) -> dict[str, str]:
        """How many more requests this minute takes."""
        left, seconds = self.account.creates_left(asyncio.get_running_loop().time())
        if left is None:
            return {}
        return {
            "X-RateLimit-Limit": str(self.simulator.settings.creates_per_minute),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str(round(self.clock.now().timestamp() + seconds)),
        }

    # ---- generations ---------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        self.account.count_create(asyncio.get_running_loop().time())
        body = await _read_object(request)
        check_kind(body)
        order, source = self._read_order(body)
        origin, now = str(request.url.origin()), self.clock.now()
        generation = self.account.create(order, body, now, origin, source=source)
        reply = web.json_response(to_json(generation), status=201, headers=self._limits())
        self.simulator.begin(generation)
        return reply

    def _read_order(self, body: dict[str, Any]) -> tuple[PieceOrder, Generation | None]:
        """What is asked for, and the generation that is worked on, if any."""
        if body.get("type") not in TYPES:
            return read_order(body, self._read_file), None
        source = self.account.to_source(read_source(body))
        assert isinstance(source.order, PieceOrder)
        return read_deed(body, source.order), source

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(to_json(self.account.get(request.match_info["id"])))

    def _read_file(self, id_: str, where: str) -> bytes:
        return self.uploads.content(id_, where, self.clock.now())

    # ---- files ---------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.Response:
        """The bytes themselves, or the wish for an address to PUT them to."""
        now = self.clock.now()
        if request.content_type != "multipart/form-data":
            upload = self.uploads.add(await _read_object(request), now)
            envelope: dict[str, Any] | None = {
                "method": "PUT",
                "url": f"{self.simulator.base_url}{UPLOADS}/{upload.id}"
                f"?signature={upload.signature}",
                "headers": {hdrs.CONTENT_TYPE: upload.mime_type},
                "expires_at": (now + PRESIGNED).isoformat(),
            }
        else:
            upload, envelope = await self._read_parts(request), None
        reply = {"id": upload.id, "state": upload.state, "file": upload.to_json()}
        return web.json_response({**reply, "upload": envelope}, status=201)

    async def _read_parts(self, request: web.Request) -> Upload:
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField):
            raise ApiError(422, "file: Field required")
        content = file.file.read()
        fields = {key: value for key, value in form.items() if isinstance(value, str)}
        about = {"mime_type": file.content_type, "size_bytes": len(content)}
        upload = self.uploads.add({"filename": file.filename, **fields, **about}, self.clock.now())
        upload.content, upload.is_complete = content, True
        return upload

    async def _take_bytes(self, request: web.Request) -> web.Response:
        upload = self.uploads.get(request.match_info["id"], self.clock.now())
        content = await request.read()
        if request.query.get("signature") != upload.signature:
            raise ApiError(403, "SignatureDoesNotMatch")
        if len(content) != upload.size_bytes:
            raise ApiError(400, "IncompleteBody")
        upload.content = content
        return web.Response()

    async def _complete(self, request: web.Request) -> web.Response:
        upload = self.uploads.get(request.match_info["id"], self.clock.now())
        if upload.content is None:
            raise ApiError(400, "No bytes were uploaded for this file")
        upload.is_complete = True
        return web.json_response(upload.to_json())

    async def _get_file(self, request: web.Request) -> web.Response:
        upload = self.uploads.get(request.match_info["id"], self.clock.now())
        if upload.state == "pending" and upload.is_complete:
            try:
                await asyncio.to_thread(read_image, upload.content or b"")
                upload.state = "ready"
            except Unreadable:
                upload.state, upload.failure_reason = "failed", "The file could not be decoded"
        return web.json_response(upload.to_json())

    async def _list_files(self, request: web.Request) -> web.Response:
        query = request.query
        page = self.uploads.page(
            cursor=query.get("cursor", ""),
            limit=min(max(read_number(request, "limit", 25), 1), 100),
            state=query.get("state", ""),
            purpose=query.get("purpose", ""),
        )
        return web.json_response(page)

    async def _delete_file(self, request: web.Request) -> web.Response:
        upload = self.uploads.get(request.match_info["id"], self.clock.now())
        upload.state, upload.deleted_at = "deleted", self.clock.now()
        return web.Response(status=204)


def to_json(generation: Generation) -> dict[str, Any]:
    """The generation as every reply shows it."""
    is_done, reason = generation.state == "completed", generation.failure_reason
    kind, name = ("image", "still.jpg") if generation.order.is_still else ("video", "result.mp4")
    return {
        "id": generation.id,
        "type": ASKED.get(generation.order.deed, kind),
        "model": generation.order.model,
        "state": STATES.get(generation.state, generation.state),
        "created_at": f"{generation.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "output": [{"type": kind, "url": generation.link(name)}] if is_done else [],
        "failure_reason": reason,
        "failure_code": None if reason is None else _to_code(reason),
    }


def _to_code(reason: str) -> str:
    """A test may name the code itself as the reason."""
    if reason in CODES:
        return reason
    if reason == FLAGGED:
        return "content_moderated"
    return "corrupt_input" if "input frames" in reason else "generation_failed"


async def _read_object(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise ApiError(422, "JSON decode error") from error
    if not isinstance(body, dict):
        raise ApiError(422, "Input should be a valid object")
    return body


FACE = LumaAgentsFace
