"""Comfy's router to Luma's models: one long answered POST, a queue, keys that are charged once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import hdrs, web

from bot.simulator.account import Generation
from bot.simulator.face import Face
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, read_order

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

ROUTE = "/v2/models/luma/{model}"
MODELS = ("ray-flash-2", "ray-2")
REQUIRED = ("duration", "resolution", "prompt", "aspect_ratio")
BUCKETS = {
    400: "invalid_input",
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "request_not_found",
    409: "invalid_input",
    422: "invalid_input",
    429: "rate_limited",
    503: "service_unavailable",
}
STATES = {
    "queued": "IN_QUEUE",
    "dreaming": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "COMPLETED",
}
#: Words of Luma's that the router files under its content policy.
POLICY = ("blacklisted", "moderation")
DEADLINE_SECONDS = 600.0


@dataclass(kw_only=True)
class Record:
    """What the router keeps of one key: what was asked with it, and how far it was answered."""

    asked: bytes
    generation: Generation
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    is_answered: bool = False
    is_cut_off: bool = False


class ComfyRouterFace(Face):
    """The router. Without `has_queue` the key's workspace has none, as is told by 403."""

    operations: ClassVar[Mapping[str, Operation]] = {
        f"POST {ROUTE}": "create",
        f"POST {ROUTE}/requests": "create",
        f"GET {ROUTE}/requests/{{id}}/status": "get",
        f"GET {ROUTE}/requests/{{id}}": "get",
    }

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.has_queue = True
        self.deadline_seconds = DEADLINE_SECONDS / simulator.settings.speed
        self._records: dict[str, Record] = {}
        self._requests: dict[str, Record] = {}

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [
            web.get(ROUTE, self._entry),
            web.post(ROUTE, self._run),
            web.post(f"{ROUTE}/requests", self._submit),
            web.get(f"{ROUTE}/requests/{{id}}/status", self._status),
            web.get(f"{ROUTE}/requests/{{id}}", self._result),
        ]

    def check_key(self, request: web.Request) -> None:
        """Want the key in either header."""
        _, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if not self.is_key(request.headers.get("X-API-Key", token)):
            raise ApiError(401, "Missing or invalid credentials.")

    def error(self, status: int, detail: str) -> web.Response:
        """The router's envelope; of what Luma itself refused it passes on the words."""
        bucket = BUCKETS.get(status, "internal_error")
        if status == 422:
            rows = [{"loc": ["body"], "msg": detail, "type": "value_error"}]
            return _reply(status, bucket, {"detail": rows})
        if status == 400:
            body = {"detail": "The model provider refused the request.", "upstream_detail": detail}
            return _reply(status, bucket, {**body, "error_type": bucket})
        return _told(status, bucket, detail)

    async def _entry(self, request: web.Request) -> web.Response:
        """The model in the catalog."""
        model = request.match_info["model"]
        if model not in MODELS:
            raise ApiError(404, f"luma/{model} names no model.")
        billing = {"charges_on_policy_rejection": "unknown"}
        entry = {"id": f"luma/{model}", "provider": "luma", "model": model, "billing": billing}
        return web.json_response(entry)

    # ---- the two ways to run a model -----------------------------------------------------------

    async def _run(self, request: web.Request) -> web.Response:
        """Hold the connection until it is done; the same key collects what nobody heard."""
        record, is_replay = await self._record(request)
        generation = record.generation
        if is_replay and not generation.is_over and not record.is_cut_off:
            return _again_later(409, "concurrency_limit_exceeded", "That call is still running.")
        if record.is_answered:  # A link of Luma's own is not told a second time.
            raise ApiError(409, "The key's response cannot be replayed.")
        try:
            async with asyncio.timeout(self.deadline_seconds):
                await self.simulator.until(lambda: generation.is_over)
        except TimeoutError:
            record.is_cut_off = True
            return _again_later(504, "deadline_exceeded", "Comfy stopped holding the connection.")
        record.is_answered = request.transport is not None and not request.transport.is_closing()
        return _outcome(generation, {"Idempotent-Replayed": "true"} if is_replay else {})

    async def _submit(self, request: web.Request) -> web.Response:
        """Take it into the queue and answer with its handle."""
        if not self.has_queue:
            return _told(403, "not_enabled", "This credential is attached to no workspace.")
        record, is_replay = await self._record(request)
        reply = web.json_response(self._state(request, record.request_id), status=201)
        if is_replay:
            reply.headers["Idempotent-Replayed"] = "true"
        return reply

    async def _record(self, request: web.Request) -> tuple[Record, bool]:
        """The run of this key, and whether it stood for one before; raises `ApiError`."""
        asked = request.path_qs.encode() + b" " + await request.read()
        key = request.headers.get("Idempotency-Key") or str(uuid.uuid4())
        if (known := self._records.get(key)) is not None:
            if known.asked != asked:
                raise ApiError(409, "The key was used for a different request.")
            return known, True
        generation = await self._create(request)
        record = Record(asked=asked, generation=generation)
        self._records[key] = self._requests[record.request_id] = record
        self.simulator.begin(generation)
        return record, False

    async def _create(self, request: web.Request) -> Generation:
        model = request.match_info["model"]
        if model not in MODELS:
            raise ApiError(404, f"luma/{model} names no model.")
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(400, "The body is no JSON") from error
        missing = [name for name in REQUIRED if not isinstance(body, dict) or name not in body]
        if missing or "model" in body:
            raise ApiError(422, "Field required" if missing else "model is in the path")
        luma = {**body, "model": model}
        origin = str(request.url.origin())
        return self.account.create(read_order(luma), luma, self.clock.now(), origin)

    # ---- the queue -----------------------------------------------------------------------------

    async def _status(self, request: web.Request) -> web.Response:
        record = self._find(request)
        reply = web.json_response(self._state(request, record.request_id))
        if not record.generation.is_over:
            reply.headers[hdrs.RETRY_AFTER] = "3"
        return reply

    async def _result(self, request: web.Request) -> web.Response:
        record = self._find(request)
        if not record.generation.is_over:
            return web.json_response(self._state(request, record.request_id), status=202)
        return _outcome(record.generation, {})

    def _find(self, request: web.Request) -> Record:
        record = self._requests.get(request.match_info["id"])
        if record is None or record.generation.order.model != request.match_info["model"]:
            raise ApiError(404, "The request_id names no request of yours under this model.")
        return record

    def _state(self, request: web.Request, request_id: str) -> dict[str, Any]:
        generation = self._requests[request_id].generation
        here = request.url.origin().with_path(ROUTE.format(**request.match_info))
        url = f"{here}/requests/{request_id}"
        body: dict[str, Any] = {
            "request_id": request_id,
            "status": STATES[generation.state],
            "status_url": f"{url}/status",
            "response_url": url,
            "cancel_url": f"{url}/cancel",
        }
        if generation.state == "queued":
            body["queue_position"] = 0
        if generation.state == "failed":
            body["error_type"] = _bucket(generation)
        return body


def _bucket(generation: Generation) -> str:
    reason = (generation.failure_reason or "").lower()
    is_policy = any(word in reason for word in POLICY)
    return "content_policy_violation" if is_policy else "provider_error"


def _outcome(generation: Generation, headers: Mapping[str, str]) -> web.Response:
    """Luma's own JSON of a finished one, or why it failed."""
    if generation.state == "completed":
        return web.json_response(generation.to_json(), headers=headers)
    bucket = _bucket(generation)
    status = 400 if bucket == "content_policy_violation" else 502
    return _told(status, bucket, generation.failure_reason or "The provider failed.")


def _told(status: int, bucket: str, detail: str) -> web.Response:
    return _reply(status, bucket, {"detail": detail, "error_type": bucket})


def _again_later(status: int, bucket: str, detail: str) -> web.Response:
    reply = _told(status, bucket, detail)
    reply.headers[hdrs.RETRY_AFTER] = "1"
    return reply


def _reply(status: int, bucket: str, body: dict[str, Any]) -> web.Response:
    return web.json_response(body, status=status, headers={"X-Comfy-Error-Type": bucket})


FACE = ComfyRouterFace
