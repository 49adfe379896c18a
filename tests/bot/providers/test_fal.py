"""fal's provider: its pure readers on recorded replies, and its calls to a server on loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bot import pricing
from bot.dialects.fal_queue import APP, read_call, read_result, to_path, to_payload
from bot.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.ports import CannotTell, FrameHandle, Generation, Provider, Submission
from bot.providers.fal import KEYS, LOOKS, MOST_IMAGE_BYTES, Fal, Settings, create, read_error
from bot.refs import GenerationId, JobId
from bot.request import Duration, Resolution, VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.fal import FalFace
from bot.tariffs import PerClip
from tests.fakes import MovableClock

RECORDED = Path(__file__).parents[2] / "recorded" / "fal"
KEY = "11111111-2222-3333-4444-555555555555:0123456789abcdef0123456789abcdef"
TOKEN = "SECRET-TOKEN-0001"
CALLBACK = f"https://bot.example.org/callbacks/fal/{TOKEN}"
ID = GenerationId("764cabcf-b745-4b3e-ae38-1200304cf45b")
CLIP = "https://v3b.fal.media/files/b/rabbit/a1b2c3_output.mp4"


def recorded(name: str) -> Any:
    """A reply as fal's docs, client and users show it, scrubbed."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def to_submission(*, callback: bool = False, frames: Any = None, **work: Any) -> Submission:
    """An attempt as it is sent (with `callback`: there is a public address)."""
    values = {"prompt": "a red fox in snow", "aspect_ratio": "16:9", **work}
    clock = MovableClock()
    return Submission(
        job_id=JobId("r-1"),
        attempt=1,
        work=VideoWork.model_validate(values),
        sent_at=clock.now(),
        token_hash=hashlib.sha256(TOKEN.encode()).hexdigest(),
        callback_url=CALLBACK if callback else None,
        has_callback=callback,
        **(frames or {}),
    )


# ---- what we send ------------------------------------------------------------------------------


def test_a_plain_prompt() -> None:
    submission = to_submission(prompt="  a red fox \n")
    assert to_path(submission) == "fal-ai/luma-dream-machine/ray-2-flash"
    assert to_payload(submission) == {
        "prompt": "a red fox",
        "aspect_ratio": "16:9",
        "resolution": "540p",
        "duration": "5s",
        "loop": False,
    }


@pytest.mark.parametrize("slot", ["start_frame", "end_frame"])
def test_an_image_goes_to_the_path_for_images(slot: str) -> None:
    frames = {slot: FrameHandle(path="fox.jpg")}
    submission = to_submission(model="ray-2", frames=frames)
    assert to_path(submission) == "fal-ai/luma-dream-machine/ray-2/image-to-video"


def test_a_full_request_keeps_its_empty_prompt_which_fal_wants() -> None:
    submission = to_submission(
        model="ray-2", prompt="", duration="9s", resolution="1080p", loop=True
    )
    assert to_payload(submission, start="data:a", end="data:b") == {
        "prompt": "",
        "aspect_ratio": "16:9",
        "resolution": "1080p",
        "duration": "9s",
        "loop": True,
        "image_url": "data:a",
        "end_image_url": "data:b",
    }


# ---- prices and capabilities -------------------------------------------------------------------


def make(**values: Any) -> Fal:
    return create(Settings(**values), clock=MovableClock())


PUBLISHED: list[tuple[str, Resolution, Duration, float]] = [
    ("ray-flash-2", "540p", "5s", 0.20),
    ("ray-flash-2", "540p", "9s", 0.40),
    ("ray-flash-2", "720p", "5s", 0.40),
    ("ray-flash-2", "720p", "9s", 0.80),
    ("ray-flash-2", "1080p", "5s", 0.80),
    ("ray-flash-2", "1080p", "9s", 1.60),
    ("ray-2", "540p", "5s", 0.50),
    ("ray-2", "540p", "9s", 1.00),
    ("ray-2", "720p", "5s", 1.00),
    ("ray-2", "720p", "9s", 2.00),
    ("ray-2", "1080p", "5s", 2.00),
    ("ray-2", "1080p", "9s", 4.00),
]


@pytest.mark.parametrize(("model", "resolution", "duration", "dollars"), PUBLISHED)
def test_every_published_price(
    model: str, resolution: Resolution, duration: Duration, dollars: float
) -> None:
    fal = make()
    work = VideoWork(prompt="fox", model=model, duration=duration, resolution=resolution)
    price = pricing.estimate(work, fal.tariffs[model], can=fal.capabilities[model])
    assert price == round(dollars * 1_000_000)


def test_a_price_of_the_operators_moves_all_sizes_of_that_model() -> None:
    fal = make(prices={"ray-2": 0.3})
    tariff = fal.tariffs["ray-2"]
    assert isinstance(tariff, PerClip)
    assert tariff.clips["540p", "5s"] == 300_000
    assert tariff.clips["1080p", "9s"] == 2_400_000
    assert fal.tariffs["ray-flash-2"] == make().tariffs["ray-flash-2"]


def test_it_is_a_provider_with_what_the_model_pages_list() -> None:
    provider: Provider = make(running_limit=3, min_balance_usd=1.5)
    assert list(provider.capabilities) == ["ray-flash-2", "ray-2"]
    assert (provider.name, provider.is_test) == ("fal", False)
    assert (provider.limits.running, provider.limits.min_balance) == (3, 1_500_000)
    for can in provider.capabilities.values():
        assert can.durations == ("5s", "9s")
        assert can.resolutions == ("540p", "720p", "1080p")
        assert set(can.aspect_ratios) == {"16:9", "9:16", "4:3", "3:4", "21:9", "9:21"}
        assert (can.image_input, can.concepts) == ("bytes", ())
        assert all("clip" not in pair for pair in can.frames)
        assert can.frames["image", "none"].loop_refusal is None
        assert can.frames["image", "image"].loop_refusal


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, KEYS),
        ({"base_url": "https://queue.fal.run/"}, KEYS),
        ({"base_url": "http://127.0.0.1:9"}, "http://127.0.0.1:9/.well-known/jwks.json"),
        ({"jwks_url": "https://keys.example.org/set"}, "https://keys.example.org/set"),
    ],
)
def test_the_keys_of_calls_have_an_address(values: dict[str, Any], url: str) -> None:
    assert Settings(**values).to_jwks_url() == url


@pytest.mark.parametrize(
    "values",
    [{"base_url": "queue.fal.run"}, {"jwks_url": "ftp://x"}, {"prices": {"ray-2": -1}}, {"x": 1}],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


# ---- errors ------------------------------------------------------------------------------------

REFUSALS = [
    (422, "error_prompt_filter", "moderation"),
    (422, "error_image_filter", "image_moderation"),
    (422, "error_image", "image"),
    (422, "error_download", "image"),
    (422, "error_prompt", "prompt"),
    (422, "error_field", "refused"),
    (400, "error_nothing", "refused"),
    (413, "not_found", "image"),
]


@pytest.mark.parametrize(("status", "name", "code"), REFUSALS)
def test_every_refusal_has_a_code_and_a_sentence(status: int, name: str, code: str) -> None:
    error = read_error(httpx.Response(status, json=recorded(name)))
    assert isinstance(error, ProviderRejected)
    assert (error.code, error.provider) == (code, "fal")
    assert "(removed)" not in error.sentence


def test_what_luma_said_may_come_through() -> None:
    for status in (400, 422):
        body = {"detail": "Advanced prompt moderation failed"}
        error = read_error(httpx.Response(status, json=body))
        assert isinstance(error, ProviderRejected)
        assert error.code == "moderation"


CLOSED = [
    (401, "error_key", ProviderAuthError, "key"),
    (403, "error_key", ProviderAuthError, "key"),
    (403, "error_locked", ProviderAuthError, "support@fal.ai"),
    (403, "error_money", ProviderOutOfCredits, "no credits left"),
    (403, "error_top_up", ProviderOutOfCredits, "no credits left"),
    (402, "error_key", ProviderOutOfCredits, "no credits left"),
    (404, "not_found", ProviderRetired, "does not offer"),
    (405, "not_found", ProviderRetired, "does not offer"),
    (410, "not_found", ProviderRetired, "does not offer"),
    (429, "error_key", ProviderUnavailable, "pause"),
    (499, "error_stopped", SubmissionUncertain, "did not say"),
    (500, "error_service", ProviderUnavailable, "cannot be reached"),
    (503, "error_runner", ProviderUnavailable, "cannot be reached"),
]


@pytest.mark.parametrize(("status", "name", "kind", "words"), CLOSED)
def test_what_is_not_about_the_request_has_its_own_type(
    status: int, name: str, kind: type[ProviderError], words: str
) -> None:
    error = read_error(httpx.Response(status, json=recorded(name)))
    assert type(error) is kind
    assert words in error.sentence


# ---- what became of a request ------------------------------------------------------------------


def test_a_result_has_a_clip() -> None:
    done = read_result(ID, 200, recorded("result"))
    assert done == Generation(id=ID, state="completed", clip_url=CLIP)


@pytest.mark.parametrize("body", [None, [], {}, {"video": None}, {"video": {"url": "file:///x"}}])
def test_a_result_without_a_clip_is_left_open(body: object) -> None:
    assert read_result(ID, 200, body) is None


FAILURES = [
    (422, "error_prompt_filter", "moderation", False),
    (422, "error_image_filter", "image_moderation", False),
    (422, "error_image", "image", False),
    (422, "error_prompt", "prompt", False),
    (422, "error_field", "unknown", False),
    (422, "error_nothing", "unknown", False),
    (499, "error_stopped", "stopped", False),
    (500, "error_service", "service", True),
    (504, "error_timeout", "service", True),
    (503, "error_runner", "service", True),
    # A fault of the service that may be charged all the same is not tried again.
    (422, "error_service", "unknown", False),
]


@pytest.mark.parametrize(("status", "name", "code", "can_retry"), FAILURES)
def test_every_failure_has_a_code_and_a_sentence(
    status: int, name: str, code: str, can_retry: bool
) -> None:
    failed = read_result(ID, status, recorded(name))
    assert failed is not None
    assert failed.failure is not None
    assert (failed.state, failed.failure.code, failed.can_retry) == ("failed", code, can_retry)
    assert failed.failure.sentence.endswith(".")


@pytest.mark.parametrize("body", [None, "<html>nginx", {"detail": "Internal Server Error"}])
def test_an_error_of_no_kind_is_the_requests_only_where_its_status_says_so(body: object) -> None:
    """A gateway that is down for a moment must not cost somebody a clip that is paid for."""
    assert read_result(ID, 502, body) is None
    assert read_result(ID, 401, recorded("error_key")) is None
    told = read_result(ID, 502, body, told="error")
    assert told is not None
    assert told.failure is not None
    assert (told.failure.code, told.can_retry) == ("service", True)


# ---- the server --------------------------------------------------------------------------------


@dataclass
class FalServer:
    """fal as far as the provider uses it; `next_answers` come before its own."""

    statuses: list[str] = field(default_factory=list)
    result: tuple[int, Any] = (200, None)
    next_answers: list[web.Response | str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    signing_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    elsewhere: str = ""
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        self.headers.append({**request.headers, "query": request.query_string})
        if request.method == "POST":
            self.bodies.append(await request.json())
        match self.next_answers.pop(0) if self.next_answers else None:
            case "drop":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case web.Response() as prepared:
                return prepared
        if request.path.endswith("jwks.json"):
            raw = self.signing_key.public_key().public_bytes_raw()
            x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
            others: list[Any] = [5, {"kty": "RSA", "n": "AQAB"}, {"x": "short"}]
            return web.json_response({"keys": [*others, {"kty": "OKP", "x": x}]})
        if request.method == "POST":
            links = dict.fromkeys(("status_url", "response_url", "cancel_url"), self.elsewhere)
            return web.json_response({**recorded("submitted"), **links})
        if request.method == "PUT":
            return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)
        if request.path.endswith("/status"):
            name = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            code = 404 if name == "not_found" else 200 if name == "completed" else 202
            return web.json_response(recorded(name), status=code)
        status, body = self.result
        return web.json_response(body or recorded("result"), status=status)


@pytest.fixture
async def server() -> AsyncIterator[FalServer]:
    server = FalServer(statuses=["in_progress"])
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(application) as started:
        server.url = str(started.make_url("/"))
        yield server


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def fal(server: FalServer, clock: MovableClock) -> AsyncIterator[Fal]:
    table = Settings(api_key=SecretStr(KEY), base_url=server.url, submit_timeout_seconds=1)
    provider = create(table, clock=clock)
    yield provider
    await provider.aclose()


def error(status: int, name: str) -> web.Response:
    return web.json_response(recorded(name), status=status)


# ---- submit ------------------------------------------------------------------------------------


async def test_one_post_with_the_key_and_the_callback(fal: Fal, server: FalServer) -> None:
    made = await fal.submit(to_submission(callback=True))
    assert made == Generation(id=ID, state="queued")
    assert server.calls == [f"POST /{APP}/ray-2-flash"]
    [headers] = server.headers
    assert headers["Authorization"] == f"Key {KEY}"
    assert headers["x-app-fal-disable-fallback"] == "true"
    assert httpx.QueryParams(headers["query"])["fal_webhook"] == CALLBACK
    assert server.bodies == [to_payload(to_submission())]


async def test_images_go_inside_of_the_request(
    fal: Fal, server: FalServer, tmp_path: Path
) -> None:
    (tmp_path / "fox.png").write_bytes(b"\x89PNG fox")
    frame = FrameHandle(path=str(tmp_path / "fox.png"), content_type="image/png")
    await fal.submit(to_submission(frames={"start_frame": frame, "end_frame": frame}))
    assert server.calls == [f"POST /{APP}/ray-2-flash/image-to-video"]
    address = "data:image/png;base64," + base64.b64encode(b"\x89PNG fox").decode()
    assert server.bodies[0]["image_url"] == server.bodies[0]["end_image_url"] == address


@pytest.mark.parametrize("size", [0, MOST_IMAGE_BYTES + 1])
async def test_an_image_that_cannot_go_is_refused_before_anything_is_sent(
    fal: Fal, server: FalServer, tmp_path: Path, size: int
) -> None:
    (tmp_path / "fox.jpg").write_bytes(b"x" * size)
    frame = FrameHandle(path=str(tmp_path / "fox.jpg"))
    with pytest.raises(ProviderRejected) as refused:
        await fal.submit(to_submission(frames={"start_frame": frame}))
    assert refused.value.code == "image"
    assert server.calls == []


async def test_an_image_that_is_out_of_reach_means_later(
    fal: Fal, server: FalServer, tmp_path: Path
) -> None:
    frame = FrameHandle(path=str(tmp_path / "gone.jpg"))
    with pytest.raises(ProviderUnavailable):
        await fal.submit(to_submission(frames={"end_frame": frame}))
    assert server.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        error(500, "error_service"),
        error(503, "error_runner"),
        error(499, "error_stopped"),
        error(408, "error_runner"),
        web.Response(status=301, headers={"Location": "http://127.0.0.1:9/"}),
        web.json_response({"status": "IN_QUEUE"}),
        web.json_response({"request_id": "../../x"}),
        web.Response(text="<html>"),
        "drop",
    ],
)
async def test_an_answer_that_is_not_clear_is_doubt_and_never_repeated(
    fal: Fal, server: FalServer, answer: web.Response | str
) -> None:
    server.next_answers = [answer]
    with pytest.raises(SubmissionUncertain):
        await fal.submit(to_submission())
    assert len(server.calls) == 1


async def test_a_queue_that_takes_no_more_says_when(fal: Fal, server: FalServer) -> None:
    server.next_answers = [web.json_response({}, status=429, headers={"Retry-After": "9"})]
    with pytest.raises(ProviderUnavailable) as refused:
        await fal.submit(to_submission())
    assert refused.value.retry_after == 9


async def test_no_address_of_a_reply_gets_the_key(fal: Fal, server: FalServer) -> None:
    visits: list[str] = []

    async def note(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.json_response({})

    stranger = web.Application()
    stranger.router.add_route("*", "/{path:.*}", note)
    async with TestServer(stranger) as elsewhere:
        server.elsewhere = str(elsewhere.make_url("/x"))
        made = await fal.submit(to_submission())
        server.statuses = ["completed"]
        await fal.check([made.id])
        await fal.cancel(made.id)
    assert visits == []


# ---- check -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state"),
    [("in_queue", "queued"), ("in_progress", "running"), ("submitted", "queued")],
)
async def test_one_call_tells_that_it_goes_on(
    fal: Fal, server: FalServer, name: str, state: str
) -> None:
    server.statuses = [name]
    seen = await fal.check([ID])
    assert seen[ID].state == state
    assert server.calls == [f"GET /{APP}/requests/{ID}/status"]


async def test_what_is_over_is_told_by_its_result(fal: Fal, server: FalServer) -> None:
    server.statuses = ["completed"]
    assert (await fal.check([ID]))[ID].clip_url == CLIP
    server.statuses, server.result = ["failed"], (422, recorded("error_prompt_filter"))
    failed = (await fal.check([ID]))[ID]
    assert failed.failure is not None
    assert (failed.failure.code, failed.can_retry) == ("moderation", False)
    assert f"GET /{APP}/requests/{ID}" in server.calls


async def test_the_unknown_is_left_out_and_no_strange_id_becomes_a_path(
    fal: Fal, server: FalServer
) -> None:
    server.statuses = ["not_found"]
    assert await fal.check([ID]) == {}
    server.calls.clear()
    assert await fal.check([GenerationId("../../../tokens"), GenerationId("")]) == {}
    assert server.calls == []


async def test_a_result_that_cannot_be_read_is_looked_at_again(
    fal: Fal, server: FalServer
) -> None:
    server.statuses, server.result = ["completed"], (502, {"detail": "Bad Gateway"})
    with pytest.raises(ProviderUnavailable):
        await fal.check([ID])
    server.result = (400, {"detail": "Request is still in progress"})
    with pytest.raises(ProviderUnavailable):
        await fal.check([ID])
    for status in (404, 410):
        server.result = (status, recorded("not_found"))
        assert await fal.check([ID]) == {}
    server.result = (200, None)
    assert (await fal.check([ID]))[ID].state == "completed"


async def test_many_take_turns(fal: Fal) -> None:
    ids = [GenerationId(f"id-{number}") for number in range(2 * LOOKS)]
    first, second = await fal.check(ids), await fal.check(ids)
    assert len(first) == len(second) == LOOKS
    assert first.keys() | second.keys() == set(ids)


async def test_a_key_that_is_refused_is_told(fal: Fal, server: FalServer) -> None:
    server.next_answers = [error(401, "error_key")]
    with pytest.raises(ProviderAuthError):
        await fal.check([ID])


# ---- find, cancel, balance ---------------------------------------------------------------------


async def test_nobody_can_tell_what_became_of_a_lost_one(fal: Fal, server: FalServer) -> None:
    assert await fal.find(to_submission(), []) == CannotTell()
    assert await fal.balance() is None
    assert server.calls == []


async def test_a_running_one_is_not_even_asked_to_stop(fal: Fal, server: FalServer) -> None:
    for name in ("in_progress", "completed", "not_found"):
        server.statuses = [name]
        assert await fal.cancel(ID) is False
    assert not [call for call in server.calls if call.startswith("PUT")]


@pytest.mark.parametrize(
    ("afterwards", "is_stopped"),
    [
        ("stopped", True),
        ("in_queue", False),
        ("in_progress", False),
        ("completed", False),
        ("failed", False),
        ("not_found", False),
    ],
)
async def test_a_yes_is_believed_only_where_it_is_seen(
    fal: Fal, server: FalServer, afterwards: str, is_stopped: bool
) -> None:
    server.statuses = ["in_queue", afterwards]
    assert await fal.cancel(ID) is is_stopped
    assert f"PUT /{APP}/requests/{ID}/cancel" in server.calls


async def test_one_that_ran_before_it_was_stopped_may_cost(fal: Fal, server: FalServer) -> None:
    ran = {**recorded("stopped"), "metrics": {"inference_time": 2.5}}
    server.statuses = ["in_queue"]
    server.next_answers = [error(202, "in_queue"), error(202, "not_found"), web.json_response(ran)]
    assert await fal.cancel(ID) is False


async def test_a_cancel_without_an_answer_is_no_yes(fal: Fal, server: FalServer) -> None:
    server.statuses = ["in_queue"]
    server.next_answers = [error(202, "in_queue"), "drop"]
    assert await fal.cancel(ID) is False


async def test_only_the_waiting_one_of_two_is_taken_back() -> None:
    table = SimulatorSettings(manual=True, same_clip=True, full_size=False, running_limit=1)
    async with Simulator(table, Faults(), face=FalFace) as simulator:
        settings = Settings(api_key=SecretStr(table.api_key), base_url=simulator.base_url)
        fal = create(settings, clock=MovableClock())
        running, waiting = [(await fal.submit(to_submission())).id for _ in range(2)]
        left = simulator.balance_cents
        assert [await fal.cancel(each) for each in (running, waiting)] == [False, True]
        assert simulator.balance_cents > left
        await simulator.finish(running)
        seen = await fal.check([running, waiting])
        assert (seen[running].state, seen[waiting].state) == ("completed", "failed")
        await fal.aclose()


# ---- callbacks ---------------------------------------------------------------------------------


def sign(
    key: Ed25519PrivateKey, clock: MovableClock, body: bytes, *, age: float = 0
) -> dict[str, str]:
    """The headers of a call as fal's page on webhooks describes them."""
    timestamp = str(int(clock.now().timestamp() - age))
    lines = ["request-1", "user-1", timestamp, hashlib.sha256(body).hexdigest()]
    return {
        "X-Fal-Webhook-Request-Id": "request-1",
        "X-Fal-Webhook-User-Id": "user-1",
        "X-Fal-Webhook-Timestamp": timestamp,
        "X-Fal-Webhook-Signature": key.sign("\n".join(lines).encode()).hex(),
    }


BODY = (RECORDED / "call_ok.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "state"),
    [("call_ok", "completed"), ("call_error", "failed"), ("call_unreadable", "completed")],
)
async def test_a_call_of_fals_is_a_hint(
    fal: Fal, server: FalServer, clock: MovableClock, name: str, state: str
) -> None:
    body = (RECORDED / f"{name}.json").read_bytes()
    headers = {key.lower(): value for key, value in sign(server.signing_key, clock, body).items()}
    hint = await fal.read_callback(headers, body, "another token")
    assert hint is not None
    assert (hint.id, hint.state) == (ID, state)
    assert hint.token_hash == hashlib.sha256(b"another token").hexdigest()


async def test_keys_are_fetched_once_and_our_own_key_stays_at_home(
    fal: Fal, server: FalServer, clock: MovableClock
) -> None:
    for _ in range(3):
        assert await fal.read_callback(sign(server.signing_key, clock, BODY), BODY, TOKEN)
    assert server.calls == ["GET /.well-known/jwks.json"]
    assert "Authorization" not in server.headers[0]


async def test_many_calls_at_once_fetch_the_keys_once(
    fal: Fal, server: FalServer, clock: MovableClock
) -> None:
    headers = sign(server.signing_key, clock, BODY)
    hints = await asyncio.gather(*(fal.read_callback(headers, BODY, TOKEN) for _ in range(5)))
    assert all(hints)
    assert len(server.calls) == 1


async def test_a_call_of_somebody_elses_is_none(
    fal: Fal, server: FalServer, clock: MovableClock
) -> None:
    stranger = Ed25519PrivateKey.generate()
    assert await fal.read_callback(sign(stranger, clock, BODY), BODY, TOKEN) is None
    good = sign(server.signing_key, clock, BODY)
    assert await fal.read_callback(good, BODY.replace(b"OK", b"ERROR"), TOKEN) is None
    for name in good:
        less = {key: value for key, value in good.items() if key != name}
        assert await fal.read_callback(less, BODY, TOKEN) is None
        changed = {**good, name: good[name][:-1] + ("0" if good[name][-1] != "0" else "1")}
        assert await fal.read_callback(changed, BODY, TOKEN) is None
    assert await fal.read_callback(good, BODY, TOKEN)


@pytest.mark.parametrize(
    ("age", "is_read"), [(290, True), (-290, True), (310, False), (-310, False)]
)
async def test_a_call_of_another_time_is_none(
    fal: Fal, server: FalServer, clock: MovableClock, age: float, is_read: bool
) -> None:
    headers = sign(server.signing_key, clock, BODY, age=age)
    assert (await fal.read_callback(headers, BODY, TOKEN) is not None) is is_read


async def test_a_new_key_is_found_but_not_looked_for_all_the_time(
    fal: Fal, server: FalServer, clock: MovableClock
) -> None:
    assert await fal.read_callback(sign(server.signing_key, clock, BODY), BODY, TOKEN)
    server.signing_key = Ed25519PrivateKey.generate()
    for _ in range(3):
        headers = sign(server.signing_key, clock, BODY)
        assert await fal.read_callback(headers, BODY, TOKEN) is None
    assert len(server.calls) == 1
    clock.move(minutes=6)
    assert await fal.read_callback(sign(server.signing_key, clock, BODY), BODY, TOKEN)
    assert len(server.calls) == 2


async def test_a_key_is_not_believed_for_more_than_a_day(
    fal: Fal, server: FalServer, clock: MovableClock
) -> None:
    old = server.signing_key
    assert await fal.read_callback(sign(old, clock, BODY), BODY, TOKEN)
    server.signing_key = Ed25519PrivateKey.generate()
    clock.move(hours=23)
    assert await fal.read_callback(sign(old, clock, BODY), BODY, TOKEN)
    clock.move(hours=2)
    assert await fal.read_callback(sign(old, clock, BODY), BODY, TOKEN) is None


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=404),
        web.Response(text="<html>"),
        web.json_response({"keys": {"x": "AAAA"}}),
        web.json_response({"keys": [{"x": None}, None, {"x": "ÄÖ"}, {"x": ["A"]}]}),
    ],
)
async def test_without_keys_nobody_is_believed(
    fal: Fal, server: FalServer, clock: MovableClock, answer: web.Response
) -> None:
    server.next_answers = [answer]
    headers = sign(server.signing_key, clock, BODY)
    assert await fal.read_callback(headers, BODY, TOKEN) is None


@pytest.mark.parametrize(
    "row",
    [None, [], {}, {"request_id": "a"}, {"request_id": 5}, {"request_id": "../x"}, {"id": "a"}],
)
def test_what_is_no_call_of_fals_is_none(row: object) -> None:
    shaped = {**row, "status": row.get("status", "NEWS")} if isinstance(row, dict) else row
    assert read_call(shaped) is None


NAMES = [f"x-fal-webhook-{each}" for each in ("request-id", "user-id", "timestamp", "signature")]
TEXTS = (
    st.text(st.characters(), max_size=20)
    | st.just("0" * 128)
    | st.just("1764000000")
    | st.just("9" * 400)
)
BODIES = st.binary(max_size=40) | st.just(BODY) | st.just(b'{"request_id": "a", "status": "OK"}')


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    headers=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=9), TEXTS, max_size=6),
    is_fresh=st.booleans(),
    body=BODIES,
    token=st.text(max_size=9),
)
def test_no_call_upsets_the_reader(
    headers: dict[str, str], is_fresh: bool, body: bytes, token: str
) -> None:
    clock = MovableClock()
    if is_fresh:
        headers = {**headers, **sign(Ed25519PrivateKey.generate(), clock, body)}

    async def read() -> Generation | None:
        fal = create(Settings(base_url="http://127.0.0.1:9"), clock=clock)
        # It has a key already, so that each example is held against one, without a network.
        fal._keyring._keys = (Ed25519PrivateKey.generate().public_key(),)
        fal._keyring._asked_at = fal._keyring._got_at = clock.boottime()
        try:
            return await fal.read_callback(headers, body, token)
        finally:
            await fal.aclose()

    assert asyncio.run(read()) is None


# ---- secrets -----------------------------------------------------------------------------------


async def test_nothing_of_a_prompt_or_a_secret_is_logged_or_told(
    fal: Fal, server: FalServer, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    submission = to_submission(callback=True, prompt="a very private prompt")
    told = [repr(fal), repr(Settings(api_key=SecretStr(KEY)))]
    for answer in (error(500, "error_service"), error(422, "error_field"), "drop"):
        server.next_answers = [answer]
        with pytest.raises(ProviderError) as raised:
            await fal.submit(submission)
        told += [repr(raised.value), raised.value.sentence]
    server.next_answers = [web.Response(status=404)]
    await fal.read_callback(sign(server.signing_key, clock, BODY), BODY, TOKEN)
    for secret in ("very private", TOKEN, KEY, CLIP):
        assert secret not in caplog.text + "".join(told)
