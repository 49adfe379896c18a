"""Comfy's router: what is sent, what its replies mean, and how a doubt ends by the same key."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.clock import SystemClock
from bot.dialects.comfy import PRICES, to_uuid
from bot.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.ports import Absent, CannotTell, Found, FrameHandle, Submission
from bot.providers.comfy_router import (
    ComfyRouter,
    NotSwitchedOn,
    Settings,
    create,
    read_error,
    to_payload,
)
from bot.refs import GenerationId, JobId
from bot.request import VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.comfy_router import ComfyRouterFace
from bot.tariffs import PerClip
from tests.fakes import MovableClock

RECORDED = Path(__file__).parents[2] / "recorded" / "comfy_router"
KEY = "comfyui-0123456789abcdef0123456789"
TOKEN = "SECRET-TOKEN-0001"
REQUEST = "6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21"
OURS = GenerationId(f"ray-flash-2:{REQUEST}")
LINK = "https://bot.example.org/frames/r-1/1/start?exp=1&sig=SIGNATURE-0001"


def recorded(name: str) -> Any:
    """A reply as the router's documents show it."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def to_submission(*, attempt: int = 1, token: str = TOKEN, **changes: Any) -> Submission:
    values = {
        "job_id": JobId("r-1"),
        "attempt": attempt,
        "work": VideoWork(prompt="a red fox", aspect_ratio="16:9"),
        "sent_at": SystemClock().now(),
        "token_hash": hashlib.sha256(token.encode()).hexdigest(),
        "callback_url": f"https://bot.example.org/callbacks/comfy_router/{token}",
        "has_callback": True,
    }
    return Submission(**{**values, **changes})


def with_image() -> Submission:
    return to_submission(start_frame=FrameHandle(url=LINK))


def stored(submission: Submission) -> Submission:
    """The same as it comes back from the store: no callback, no query of a link."""
    frame = submission.start_frame
    if frame is not None and frame.url is not None:
        frame = frame.model_copy(update={"url": frame.url.partition("?")[0]})
    return submission.model_copy(update={"callback_url": None, "start_frame": frame})


# ---- what we send -----------------------------------------------------------------------------


def test_the_model_is_in_the_path_and_no_secret_is_in_the_body() -> None:
    assert to_payload(to_submission()) == {
        "prompt": "a red fox",
        "aspect_ratio": "16:9",
        "loop": False,
        "duration": "5s",
        "resolution": "540p",
    }


def test_an_image_is_a_link_and_needs_no_words() -> None:
    work = VideoWork(prompt=" ", duration="9s", loop=True)
    body = to_payload(to_submission(work=work, start_frame=FrameHandle(url=LINK)))
    assert body["keyframes"] == {"frame0": {"type": "image", "url": LINK}}
    assert (body["prompt"], body["duration"], body["loop"]) == ("", "9s", True)


def test_the_body_and_the_key_of_a_text_can_be_made_again_from_the_row() -> None:
    sent = to_submission()
    assert to_payload(stored(sent)) == to_payload(sent)
    assert to_uuid(stored(sent)) == to_uuid(sent)


def test_no_two_attempts_and_no_two_bots_have_the_same_key() -> None:
    keys = {
        to_uuid(to_submission()),
        to_uuid(to_submission(attempt=2)),
        to_uuid(to_submission(token="another bot's")),
    }
    assert len(keys) == 3


def test_the_prices_are_comfys_and_an_own_price_keeps_their_ratio() -> None:
    own = create(Settings(prices={"ray-2": 1.14}), clock=SystemClock())
    flash, ray = own.tariffs["ray-flash-2"], own.tariffs["ray-2"]
    assert isinstance(flash, PerClip)
    assert isinstance(ray, PerClip)
    assert flash.clips[("540p", "5s")] == 200_000
    assert flash.clips[("4k", "9s")] == 5_650_000
    assert ray.clips[("540p", "5s")] == 1_140_000
    assert ray.clips[("4k", "9s")] == 2 * 16_400_000
    for model, table in PRICES.items():
        can = own.capabilities[model]
        assert set(table) == {
            (size, length) for size in can.resolutions for length in can.durations
        }


def test_what_the_router_does_not_take_is_not_offered() -> None:
    for can in create(Settings(), clock=SystemClock()).capabilities.values():
        assert can.concepts == ()
        assert not any("clip" in pair for pair in can.frames)


# ---- what its refusals mean -------------------------------------------------------------------


def refusal(status: int, bucket: str = "", body: Any = None, **headers: str) -> ProviderError:
    told = {"X-Comfy-Error-Type": bucket} if bucket else {}
    return read_error(httpx.Response(status, json=body, headers={**told, **headers}))


@pytest.mark.parametrize(
    ("status", "bucket", "kind"),
    [
        (401, "unauthorized", ProviderAuthError),
        (403, "forbidden", ProviderAuthError),
        (403, "not_enabled", NotSwitchedOn),
        (403, "", ProviderAuthError),
        (402, "insufficient_credits", ProviderOutOfCredits),
        (403, "insufficient_credits", ProviderOutOfCredits),
        (402, "", ProviderOutOfCredits),
        (404, "model_not_found", ProviderRetired),
        (404, "", ProviderRetired),
        (405, "", ProviderRetired),
        (410, "request_not_found", ProviderRetired),
        (429, "rate_limited", ProviderUnavailable),
        (429, "concurrency_limit_exceeded", ProviderUnavailable),
        (429, "queue_backlog_full", ProviderUnavailable),
        (400, "invalid_input", ProviderRejected),
        (413, "invalid_input", ProviderRejected),
        (422, "invalid_input", ProviderRejected),
        (400, "something_new", ProviderRejected),
        (400, "content_policy_violation", ProviderRejected),
    ],
)
def test_each_refusal_has_its_type_and_a_sentence(
    status: int, bucket: str, kind: type[ProviderError]
) -> None:
    error = refusal(status, bucket, {"detail": "no", "error_type": bucket})
    assert type(error) is kind
    assert error.sentence.endswith(".")
    assert error.provider == "comfy_router"


def test_a_pause_says_how_long() -> None:
    assert refusal(429, "rate_limited", **{"Retry-After": "7"}).retry_after == 7


@pytest.mark.parametrize(
    ("status", "bucket", "body", "code"),
    [
        (400, "content_policy_violation", {"detail": "no"}, "moderation"),
        (
            400,
            "content_policy_violation",
            {"detail": "Frame moderation failed"},
            "image_moderation",
        ),
        (400, "invalid_input", recorded("error_upstream"), "prompt"),
        (422, "invalid_input", recorded("error_fields"), "unknown"),
        (400, "invalid_input", {"detail": "Loop is not supported for keyframes"}, "loop"),
    ],
)
def test_a_rejection_has_lumas_code(status: int, bucket: str, body: Any, code: str) -> None:
    error = refusal(status, bucket, body)
    assert isinstance(error, ProviderRejected)
    assert error.code == code
    assert error.sentence.endswith(".")


def test_the_bucket_is_read_from_the_body_too() -> None:
    assert isinstance(refusal(403, "", recorded("error_gate")), NotSwitchedOn)


def test_a_page_of_a_proxy_is_not_quoted() -> None:
    page = httpx.Response(400, text="<html>https://internal.example/ Bad Request</html>")
    assert "internal" not in read_error(page).sentence


# ---- a router that answers what a test prepares -----------------------------------------------


@dataclass
class Stub:
    """It keeps what it is asked, and answers what was prepared, at last 404."""

    answers: list[web.Response] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    def say(self, status: int, body: Any, bucket: str = "", **headers: str) -> None:
        told = {"X-Comfy-Error-Type": bucket} if bucket else {}
        reply = web.json_response(body, status=status, headers={**told, **headers})
        self.answers.append(reply)

    async def take(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        self.bodies.append(await request.json() if request.can_read_body else None)
        return self.answers.pop(0) if self.answers else web.json_response({}, status=404)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    own, application = Stub(), web.Application()
    application.router.add_route("*", "/{path:.*}", own.take)
    async with TestServer(application) as server:
        own.url = str(server.make_url("/"))
        yield own


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def router(stub: Stub, clock: MovableClock) -> AsyncIterator[ComfyRouter]:
    own = to_router(stub.url, clock)
    yield own
    await own.aclose()


def to_router(url: str, clock: MovableClock, **keys: Any) -> ComfyRouter:
    chosen: dict[str, Any] = {"submit_timeout_seconds": 5, "gets_per_second": 1000, **keys}
    return create(Settings(api_key=SecretStr(KEY), base_url=url, **chosen), clock=clock)


QUEUE = "POST /v2/models/luma/ray-flash-2/requests"
SYNC = "POST /v2/models/luma/ray-flash-2"


async def test_the_queue_is_asked_first_and_its_handle_is_kept(
    stub: Stub, router: ComfyRouter
) -> None:
    stub.say(201, recorded("submitted"))
    sent = to_submission()
    assert (await router.submit(sent)).id == OURS
    assert stub.asked == [QUEUE]
    assert stub.keys == [to_uuid(sent)]


@pytest.mark.parametrize(
    ("status", "bucket"), [(403, "not_enabled"), (404, "model_not_found"), (405, "")]
)
async def test_a_closed_queue_leads_to_the_long_answer_by_the_same_key_and_body(
    stub: Stub, router: ComfyRouter, status: int, bucket: str
) -> None:
    stub.say(status, {"detail": "no"}, bucket)
    stub.say(200, recorded("result"))
    done = await router.submit(to_submission())
    assert (done.state, done.clip_url) == ("completed", recorded("result")["assets"]["video"])
    assert stub.asked == [QUEUE, SYNC]
    assert stub.keys[0] == stub.keys[1]
    assert stub.bodies[0] == stub.bodies[1]
    stub.say(200, recorded("result"))
    await router.submit(to_submission(attempt=2))
    assert stub.asked[2:] == [SYNC], "the queue is not asked again"


@pytest.mark.parametrize(
    ("status", "bucket"), [(401, "unauthorized"), (403, "forbidden"), (402, ""), (429, "")]
)
async def test_another_refusal_of_the_queue_leads_nowhere_else(
    stub: Stub, router: ComfyRouter, status: int, bucket: str
) -> None:
    stub.say(status, {"detail": "no"}, bucket)
    with pytest.raises(ProviderError):
        await router.submit(to_submission())
    assert stub.asked == [QUEUE]


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
async def test_a_doubt_about_the_queue_leads_nowhere_else(
    stub: Stub, router: ComfyRouter, status: int
) -> None:
    stub.say(status, {"detail": "no"}, "not_enabled")
    with pytest.raises(SubmissionUncertain):
        await router.submit(to_submission())
    assert stub.asked == [QUEUE]


@pytest.mark.parametrize(("delivery", "asked"), [("queue", QUEUE), ("sync", SYNC)])
async def test_a_chosen_delivery_is_the_only_one(
    stub: Stub, clock: MovableClock, delivery: str, asked: str
) -> None:
    router = to_router(stub.url, clock, delivery=delivery)
    stub.say(403, recorded("error_gate"))
    with pytest.raises(NotSwitchedOn):
        await router.submit(to_submission())
    assert stub.asked == [asked]
    await router.aclose()


@pytest.mark.parametrize("body", [None, [], {}, {"request_id": "../x"}, {"request_id": None}])
async def test_a_yes_without_a_handle_is_a_doubt(
    stub: Stub, router: ComfyRouter, body: Any
) -> None:
    stub.say(201, body)
    with pytest.raises(SubmissionUncertain):
        await router.submit(to_submission())


async def test_a_long_answer_that_tells_of_a_failure_ends_the_job(
    stub: Stub, clock: MovableClock
) -> None:
    router = to_router(stub.url, clock, delivery="sync")
    said = {"state": "failed", "failure_reason": "Contains blacklisted words", "assets": None}
    stub.say(200, {**recorded("result"), **said})
    with pytest.raises(ProviderRejected) as caught:
        await router.submit(to_submission())
    assert caught.value.code == "moderation"
    await router.aclose()


# ---- the same once more -----------------------------------------------------------------------


async def in_doubt(stub: Stub, router: ComfyRouter, submission: Submission) -> None:
    stub.say(500, {"detail": "no"})
    with pytest.raises(SubmissionUncertain):
        await router.submit(submission)


@pytest.mark.parametrize("submission", [to_submission(), with_image()])
async def test_a_doubt_is_cleared_by_the_very_same_post(
    stub: Stub, router: ComfyRouter, submission: Submission
) -> None:
    await in_doubt(stub, router, submission)
    stub.say(201, recorded("submitted"), **{"Idempotent-Replayed": "true"})
    found = await router.find(stored(submission), [])
    assert isinstance(found, Found)
    assert found.generations[0].id == OURS
    assert stub.asked == [QUEUE, QUEUE]
    assert stub.keys[0] == stub.keys[1]
    assert stub.bodies[0] == stub.bodies[1]


async def test_after_a_restart_a_body_with_a_link_cannot_be_made_again(
    stub: Stub, router: ComfyRouter
) -> None:
    assert await router.find(stored(with_image()), []) == CannotTell()
    assert stub.asked == []


@pytest.mark.parametrize("hours", [20.1, 48, -1])
async def test_a_key_that_may_be_forgotten_is_not_used_again(
    stub: Stub, router: ComfyRouter, clock: MovableClock, hours: float
) -> None:
    sent = to_submission(sent_at=clock.now() - timedelta(hours=hours))
    assert await router.find(sent, []) == CannotTell()
    assert stub.asked == []


async def test_after_a_restart_the_queue_is_asked_before_the_long_answer(
    stub: Stub, router: ComfyRouter
) -> None:
    stub.say(403, recorded("error_gate"), "not_enabled")
    stub.say(200, recorded("result"))
    found = await router.find(stored(to_submission()), [])
    assert isinstance(found, Found)
    assert found.generations[0].clip_url is not None
    assert stub.asked == [QUEUE, SYNC]


async def test_a_key_of_the_other_route_leads_there(stub: Stub, router: ComfyRouter) -> None:
    stub.say(409, {"detail": "different request"}, "invalid_input")
    stub.say(200, recorded("result"))
    assert isinstance(await router.find(to_submission(), []), Found)
    assert stub.asked == [QUEUE, SYNC]


async def test_a_known_route_is_the_only_one(stub: Stub, router: ComfyRouter) -> None:
    await in_doubt(stub, router, to_submission())
    stub.say(403, recorded("error_gate"), "not_enabled")
    assert await router.find(to_submission(), []) == CannotTell()
    assert stub.asked == [QUEUE, QUEUE]


@pytest.mark.parametrize(
    ("status", "bucket", "wait"),
    [
        (409, "concurrency_limit_exceeded", "3"),
        (504, "deadline_exceeded", "3"),
        (429, "rate_limited", "3"),
        (503, "service_unavailable", "3"),
    ],
)
async def test_what_still_runs_is_asked_for_again_when_the_router_says(
    stub: Stub, router: ComfyRouter, status: int, bucket: str, wait: str
) -> None:
    stub.say(status, {"detail": "no"}, bucket, **{"Retry-After": wait})
    with pytest.raises(ProviderUnavailable) as caught:
        await router.find(to_submission(), [])
    assert caught.value.retry_after == 3


async def test_a_fault_of_theirs_is_met_with_patience_and_not_for_ever(
    stub: Stub, router: ComfyRouter, clock: MovableClock
) -> None:
    sent = to_submission()
    stub.say(502, {"detail": "no"}, "provider_error")
    with pytest.raises(ProviderUnavailable):
        await router.find(sent, [])
    clock.move(hours=1.1)
    stub.say(502, {"detail": "no"}, "provider_error")
    assert await router.find(sent, []) == CannotTell()


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_the_router_does_not_send_on_never_ran(
    stub: Stub, router: ComfyRouter, status: int
) -> None:
    stub.say(status, {"detail": "no"}, "invalid_input")
    assert await router.find(to_submission(), []) == Absent()


@pytest.mark.parametrize(
    ("status", "bucket"), [(400, "content_policy_violation"), (418, ""), (400, "something_new")]
)
async def test_what_may_have_run_and_been_refused_is_for_a_person(
    stub: Stub, router: ComfyRouter, status: int, bucket: str
) -> None:
    stub.say(status, {"detail": "no"}, bucket)
    assert await router.find(to_submission(), []) == CannotTell()


async def test_a_used_up_key_is_for_a_person(stub: Stub, clock: MovableClock) -> None:
    router = to_router(stub.url, clock, delivery="sync")
    stub.say(409, {"detail": "not replayable"}, "invalid_input")
    assert await router.find(to_submission(), []) == CannotTell()
    await router.aclose()


@pytest.mark.parametrize(
    ("status", "kind"), [(401, ProviderAuthError), (402, ProviderOutOfCredits)]
)
async def test_an_account_in_trouble_says_nothing_of_the_first(
    stub: Stub, router: ComfyRouter, status: int, kind: type[ProviderError]
) -> None:
    stub.say(status, {"detail": "no"})
    with pytest.raises(kind):
        await router.find(to_submission(), [])


# ---- looking ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "state"), [("submitted", "queued"), ("in_progress", "running")])
async def test_what_is_under_way_is_one_question(
    stub: Stub, router: ComfyRouter, name: str, state: str
) -> None:
    stub.say(200, recorded(name))
    assert (await router.check([OURS]))[OURS].state == state
    assert stub.asked == [f"GET /v2/models/luma/ray-flash-2/requests/{REQUEST}/status"]


async def test_a_result_is_lumas_under_our_id(stub: Stub, router: ComfyRouter) -> None:
    stub.say(200, recorded("over"))
    stub.say(200, recorded("result"))
    done = (await router.check([OURS]))[OURS]
    assert (done.id, done.state) == (OURS, "completed")
    assert done.clip_url == recorded("result")["assets"]["video"]


@pytest.mark.parametrize(
    ("bucket", "status", "detail", "code", "can_retry"),
    [
        ("content_policy_violation", 400, "no", "moderation", False),
        ("content_policy_violation", 400, "Contains blacklisted words", "moderation", False),
        ("content_policy_violation", 400, "Frame moderation failed", "image_moderation", False),
        ("provider_error", 502, "Job failed", "service", True),
        ("provider_error", 502, "Failed to read user input frames", "service", True),
        ("provider_error", 502, "no", "unknown", False),
        ("provider_timeout", 504, "no", "timeout", False),
        ("internal_error", 500, "no", "unknown", False),
        ("queue_timeout", 504, "no", "service", True),
        ("cancelled", 409, "no", "cancelled", False),
        ("insufficient_credits", 402, "no", "credits", False),
        ("something_new", 500, "", "unknown", False),
    ],
)
async def test_a_failure_is_told_with_its_reason(
    stub: Stub,
    router: ComfyRouter,
    bucket: str,
    status: int,
    detail: str,
    code: str,
    can_retry: bool,
) -> None:
    stub.say(200, {**recorded("over"), "error_type": bucket})
    stub.say(status, {"detail": detail, "error_type": bucket}, bucket)
    failed = (await router.check([OURS]))[OURS]
    assert failed.failure is not None
    assert (failed.state, failed.failure.code, failed.can_retry) == ("failed", code, can_retry)
    assert failed.failure.sentence.endswith(".")


async def test_what_was_answered_at_once_cannot_be_looked_at_again(
    stub: Stub, router: ComfyRouter
) -> None:
    assert await router.check([GenerationId(recorded("result")["id"])]) == {}
    assert stub.asked == []


async def test_a_result_that_is_too_old_is_left_out(stub: Stub, router: ComfyRouter) -> None:
    stub.say(410, {"detail": "no"}, "request_not_found")
    assert await router.check([OURS]) == {}


async def test_a_router_in_trouble_is_told_where_nothing_else_is_known(
    stub: Stub, router: ComfyRouter
) -> None:
    stub.say(401, {"detail": "no"}, "unauthorized")
    with pytest.raises(ProviderAuthError):
        await router.check([OURS])


# ---- against the faithful face ----------------------------------------------------------------


@pytest.fixture
async def face() -> AsyncIterator[ComfyRouterFace]:
    settings = SimulatorSettings(api_key=KEY, manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults(), face=ComfyRouterFace) as server:
        assert isinstance(server.face, ComfyRouterFace)
        yield server.face


async def test_a_call_that_was_cut_off_is_collected_by_its_key(
    face: ComfyRouterFace, clock: MovableClock
) -> None:
    server, face.deadline_seconds = face.simulator, 0.05
    router = to_router(server.base_url, clock, delivery="sync")
    sent = to_submission()
    with pytest.raises(SubmissionUncertain):
        await router.submit(sent)
    with pytest.raises(ProviderUnavailable) as running:
        await router.find(stored(sent), [])
    assert running.value.retry_after == 1
    [generation] = server.generations.values()
    await server.finish(generation.id)
    found = await router.find(stored(sent), [])
    assert isinstance(found, Found)
    assert found.generations[0].clip_url == generation.link("result.mp4")
    assert len(server.generations) == 1
    assert await router.find(stored(sent), []) == CannotTell(), "it is not told twice"
    await router.aclose()


async def test_a_second_process_collects_what_the_first_queued(
    face: ComfyRouterFace, clock: MovableClock
) -> None:
    server = face.simulator
    first, second = to_router(server.base_url, clock), to_router(server.base_url, clock)
    sent = to_submission()
    taken = await first.submit(sent)
    found = await second.find(stored(sent), [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == [taken.id]
    assert len(server.generations) == 1
    await first.aclose()
    await second.aclose()


async def test_a_gate_that_opened_meanwhile_pays_nothing_twice(
    face: ComfyRouterFace, clock: MovableClock
) -> None:
    server, face.has_queue = face.simulator, False
    first, second = to_router(server.base_url, clock), to_router(server.base_url, clock)
    sent = to_submission()
    lost = asyncio.ensure_future(first.submit(sent))
    await server.wait_for_creates(1)
    lost.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lost
    face.has_queue = True
    with pytest.raises(ProviderUnavailable):
        await second.find(stored(sent), [])
    assert len(server.generations) == 1
    await first.aclose()
    await second.aclose()


async def test_a_different_body_under_the_same_key_is_refused_by_the_face(
    face: ComfyRouterFace, clock: MovableClock
) -> None:
    router = to_router(face.simulator.base_url, clock, delivery="queue")
    await router.submit(to_submission())
    changed = to_submission(work=VideoWork(prompt="a blue fox"))
    assert await router.find(changed, []) == CannotTell()
    assert len(face.simulator.generations) == 1
    await router.aclose()


async def test_either_header_may_hold_the_key(face: ComfyRouterFace) -> None:
    url = f"{face.simulator.base_url}/v2/models/luma/ray-flash-2/requests/x/status"
    async with httpx.AsyncClient() as client:
        bare = await client.get(url)
        bearer = await client.get(url, headers={"Authorization": f"Bearer {KEY}"})
    assert (bare.status_code, bare.headers["x-comfy-error-type"]) == (401, "unauthorized")
    assert (bearer.status_code, bearer.headers["x-comfy-error-type"]) == (404, "request_not_found")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"model": "ray-2"}, 422), ({"resolution": None}, 201), ({"prompt": "ab"}, 400)],
)
async def test_the_face_validates_as_the_router_does(
    face: ComfyRouterFace, change: dict[str, Any], status: int
) -> None:
    url = f"{face.simulator.base_url}/v2/models/luma/ray-flash-2/requests"
    body = {**to_payload(to_submission()), **change}
    async with httpx.AsyncClient(headers={"X-API-Key": KEY}) as client:
        reply = await client.post(url, json=body)
        del body["prompt"]
        missing = await client.post(url, json=body)
    assert reply.status_code == status
    assert missing.status_code == 422
    assert isinstance(missing.json()["detail"], list)


# ---- the rest ---------------------------------------------------------------------------------


@given(headers=st.dictionaries(st.text(), st.text()), body=st.binary(), token=st.text())
def test_no_callback_is_believed(headers: dict[str, str], body: bytes, token: str) -> None:
    router = create(Settings(), clock=SystemClock())
    assert asyncio.run(router.read_callback(headers, body, token)) is None


async def test_nothing_is_cancelled(stub: Stub, router: ComfyRouter) -> None:
    assert await router.cancel(OURS) is False
    assert stub.asked == []


@pytest.mark.parametrize(
    ("status", "bucket", "kind"),
    [(401, "unauthorized", ProviderAuthError), (404, "model_not_found", ProviderRetired)],
)
async def test_asking_for_the_balance_tells_whether_the_key_is_good(
    stub: Stub, router: ComfyRouter, status: int, bucket: str, kind: type[ProviderError]
) -> None:
    stub.say(200, {"id": "luma/ray-flash-2"})
    assert await router.balance() is None
    stub.say(status, {"detail": "no"}, bucket)
    with pytest.raises(kind):
        await router.balance()


async def test_the_face_has_a_catalog(face: ComfyRouterFace, clock: MovableClock) -> None:
    router = to_router(face.simulator.base_url, clock)
    assert await router.balance() is None
    await router.aclose()


async def test_no_secret_is_in_an_error_or_a_log(
    stub: Stub, router: ComfyRouter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    stub.say(400, {"detail": f"bad link {LINK}", "error_type": "invalid_input"})
    with pytest.raises(ProviderRejected) as caught:
        await router.submit(with_image())
    for secret in (KEY, TOKEN, "SIGNATURE-0001"):
        assert secret not in caught.value.sentence + caplog.text
