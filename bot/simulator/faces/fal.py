"""fal's queue API: requests of two models in one queue, results with their errors, signed calls.

A request that does not fit is refused at once, where fal's queue tells it with the result.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import hdrs, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.simulator.account import CANCELLED, Generation
from bot.simulator.face import Call, Face, read_data_uri, to_bytes
from bot.simulator.faults import Operation
from bot.simulator.order import RATIOS, SECONDS, ApiError, KeyFrame, Order, clip_size

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

APP = "/fal-ai/luma-dream-machine"
MODELS = {"ray-2-flash": "ray-flash-2", "ray-2": "ray-2"}
ANIMATE = "/image-to-video"
REQUEST = APP + "/requests/{id}"
SHAPES = [each for each in RATIOS if each != "1:1"]
RESOLUTIONS = ["540p", "720p", "1080p"]
JWKS = "/.well-known/jwks.json"
USER = "github|1234567"
NO_MONEY = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard."
FILTERED = "The content could not be processed because it was flagged by a content checker."
UNREADABLE = "Failed to load the image. Please ensure the image file is not corrupted."
BROKEN = "Downstream service error"


class FalFace(Face):
    """The queue of one account. Whatever is too much at once waits in it."""

    calls: ClassVar[bool] = True
    signs_calls: ClassVar[bool] = True
    operations: ClassVar[Mapping[str, Operation]] = {
        **{f"POST {APP}/{model}": "create" for model in MODELS},
        **{f"POST {APP}/{model}{ANIMATE}": "create" for model in MODELS},
        f"GET {REQUEST}": "get",
        f"GET {REQUEST}/status": "get",
        f"PUT {REQUEST}/cancel": "delete",
    }

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.account.settings = replace(simulator.settings, over_limit="queue")
        self.signing_key = Ed25519PrivateKey.generate()

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [
            *(web.post(f"{APP}/{model}", self._create) for model in MODELS),
            *(web.post(f"{APP}/{model}{ANIMATE}", self._create) for model in MODELS),
            web.get(REQUEST, self._result),
            web.get(REQUEST + "/status", self._status),
            web.put(REQUEST + "/cancel", self._cancel),
            web.get(JWKS, self._keys),
        ]

    def check_key(self, request: web.Request) -> None:
        """Want the key behind the word Key; the keys that sign calls are everybody's."""
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if request.path != JWKS and (scheme != "Key" or not self.is_key(key)):
            raise ApiError(401, "Invalid key credentials")

    def error(self, status: int, detail: str) -> web.Response:
        """A refusal in fal's shapes: of its gateway, of its queue, or of a model."""
        match status:
            case 402:
                return web.json_response({"detail": NO_MONEY}, status=403)
            case 404 if detail == "Generation not found":
                return web.json_response({"status": "NOT_FOUND"}, status=404)
            case 422:
                field, _, said = detail.rpartition(": ")
                return _reply(422, _detail("value_error", said, field))
            case _:
                return web.json_response({"detail": detail}, status=status)

    def callback(self, generation: Generation) -> Call | None:
        """Told once, of the end: the result, or the error that stands in its place."""
        url = generation.order.callback_url
        if not url or not generation.is_over:
            return None
        status, payload = _outcome(generation)
        is_well = status == 200
        body = {
            "request_id": generation.id,
            "gateway_request_id": generation.id,
            "status": "OK" if is_well else "ERROR",
            "payload": payload,
            "error": None if is_well else f"Invalid status code: {status}",
        }
        return Call(url=url, body=body, headers=self._sign(generation.id, to_bytes(body)))

    def _sign(self, request_id: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self.clock.now().timestamp()))
        lines = [request_id, USER, timestamp, hashlib.sha256(body).hexdigest()]
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": USER,
            "X-Fal-Webhook-Timestamp": timestamp,
            "X-Fal-Webhook-Signature": self.signing_key.sign("\n".join(lines).encode()).hex(),
        }

    # ---- the API -------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
        except ValueError as error:
            raise ApiError(422, "body: JSON decode error") from error
        model = MODELS[request.path.removeprefix(APP).split("/")[1]]
        order = read_order(
            model,
            body,
            request.query.get("fal_webhook"),
            has_images=request.path.endswith(ANIMATE),
        )
        origin = str(request.url.origin())
        generation = self.account.create(order, {}, self.clock.now(), origin)
        reply = _reply(200, {**_addresses(generation), "queue_position": 0, "status": "IN_QUEUE"})
        self.simulator.begin(generation)
        return reply

    async def _status(self, request: web.Request) -> web.Response:
        generation = self.account.get(request.match_info["id"])
        told = _addresses(generation)
        if generation.state == "queued":
            place = sum(each.state == "queued" for each in self.account.generations.values()) - 1
            return _reply(202, {**told, "status": "IN_QUEUE", "queue_position": place})
        if not generation.is_over:
            return _reply(202, {**told, "status": "IN_PROGRESS", "logs": None})
        status, payload = _outcome(generation)
        told |= {"status": "COMPLETED", "logs": None, "metrics": {}}
        if generation.failure_reason != CANCELLED:
            told["metrics"] = {"inference_time": generation.seconds}
        if status != 200:
            kind = payload.get("error_type") or payload["detail"][0]["type"]
            told |= {"error": f"Invalid status code: {status}", "error_type": kind}
        return _reply(200, told)

    async def _result(self, request: web.Request) -> web.Response:
        generation = self.account.get(request.match_info["id"])
        if not generation.is_over:
            raise ApiError(400, "Request is still in progress")
        return _reply(*_outcome(generation))

    async def _cancel(self, request: web.Request) -> web.Response:
        generation = self.account.get(request.match_info["id"])
        if generation.is_over:
            return _reply(400, {"status": "ALREADY_COMPLETED"})
        # The model has no way to stop, so one that runs goes on.
        self.simulator.cancel(generation)
        return _reply(202, {"status": "CANCELLATION_REQUESTED"})

    async def _keys(self, _: web.Request) -> web.Response:
        raw = self.signing_key.public_key().public_bytes_raw()
        text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return _reply(200, {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": text, "kid": "1"}]})


def read_order(model: str, body: Any, webhook: str | None, *, has_images: bool) -> Order:
    """Understand a request by the models' published schemas; raises `ApiError`."""
    if not isinstance(body, dict):
        raise ApiError(422, "body: Input should be a valid dictionary")
    prompt, loop = body.get("prompt"), body.get("loop", False)
    if not isinstance(prompt, str):
        raise ApiError(422, "prompt: Field required")
    if not isinstance(loop, bool):
        raise ApiError(422, "loop: Input should be a valid boolean")
    width, height = clip_size(
        _choice(body, "resolution", RESOLUTIONS), _choice(body, "aspect_ratio", SHAPES, "16:9")
    )
    return Order(
        model=model,
        prompt=prompt,
        width=width,
        height=height,
        seconds=SECONDS[_choice(body, "duration", [*SECONDS])],
        loop=loop,
        concepts=(),
        start=_image(body.get("image_url")) if has_images else None,
        end=_image(body.get("end_image_url")) if has_images else None,
        callback_url=webhook,
    )


def _choice(body: dict[str, Any], field: str, known: list[str], default: str = "") -> str:
    value = body.get(field, default or known[0])
    if value not in known:
        raise ApiError(422, f"{field}: Input should be {' or '.join(known)}")
    return str(value)


def _image(address: object) -> KeyFrame | None:
    match address:
        case None:
            return None
        case str() if address.startswith(("http://", "https://")):
            return KeyFrame(kind="image", value=address)
        case _:
            return KeyFrame(kind="image", content=read_data_uri(str(address)))


def _outcome(generation: Generation) -> tuple[int, dict[str, Any]]:
    """Status and body of the result of a request that is over."""
    reason = (generation.failure_reason or "").lower()
    match reason:
        case "":
            video = {
                "url": generation.link("result.mp4"),
                "content_type": "video/mp4",
                "file_name": "result.mp4",
                "file_size": None,
            }
            return 200, {"video": video}
        case _ if generation.failure_reason == CANCELLED:
            return 499, {"detail": "Request was cancelled", "error_type": "client_cancelled"}
        case _ if "frame moderation" in reason:
            return 422, _detail("content_policy_violation", FILTERED, "image_url")
        case _ if "moderation" in reason or "blacklisted" in reason:
            return 422, _detail("content_policy_violation", FILTERED, "prompt")
        case _ if "input frames" in reason:
            return 422, _detail("image_load_error", UNREADABLE, "image_url")
        case _:
            return 500, _detail("downstream_service_error", BROKEN, "")


def _detail(kind: str, said: str, field: str) -> dict[str, Any]:
    address = f"https://docs.fal.ai/errors#{kind}"
    place = ["body", field] if field not in ("", "body") else ["body"]
    return {"detail": [{"loc": place, "msg": said, "type": kind, "url": address}]}


def _addresses(generation: Generation) -> dict[str, Any]:
    address = f"{generation.origin}{APP}/requests/{generation.id}"
    return {
        "request_id": generation.id,
        "response_url": address,
        "status_url": f"{address}/status",
        "cancel_url": f"{address}/cancel",
    }


def _reply(status: int, body: dict[str, Any]) -> web.Response:
    return web.json_response(body, status=status)


FACE = FalFace
