"""Luma's provider: its pure readers on recorded replies, and its calls to a server on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bot import choice, pricing
from bot.dialects.dream_machine import (
    FRAMES,
    read_generation,
    to_failure,
    to_payload,
    to_still_payload,
)
from bot.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.log import redact
from bot.metrics import Metrics
from bot.ports import Absent, CannotTell, Found, FrameHandle, Generation, Provider, Submission
from bot.providers.luma import (
    MAX_PAGES,
    PAGE,
    Luma,
    Settings,
    compare,
    create,
    read_error,
)
from bot.refs import GenerationId, JobId
from bot.request import ASPECT_RATIOS, CONCEPTS, ImageWork, VideoWork
from bot.tariffs import PerPixel
from tests.fakes import MovableClock, until
from tests.ports import free_port

RECORDED = Path(__file__).parents[2] / "recorded" / "luma"
KEY = "luma-0123456789abcdef0123456789"
TOKEN = "SECRET-TOKEN-0001"
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
CALLBACK = f"https://bot.example.org/callbacks/luma/{TOKEN}"
SENT_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def recorded(name: str) -> Any:
    """A reply of Luma's as it was, scrubbed."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def to_submission(
    *, callback: bool = False, sent_at: datetime = SENT_AT, frames: Any = None, **work: Any
) -> Submission:
    """An attempt as it is sent (with `callback`: there is a public address)."""
    values = {"prompt": "a red fox in snow", "aspect_ratio": "16:9", **work}
    return Submission(
        job_id=JobId("r-1"),
        attempt=1,
        work=VideoWork.model_validate(values),
        sent_at=sent_at,
        token_hash=HASH,
        callback_url=CALLBACK if callback else None,
        has_callback=callback,
        **(frames or {}),
    )


def stored(submission: Submission) -> Submission:
    """The same as it comes back from the store, without the secret."""
    return submission.model_copy(update={"callback_url": None})


# ---- what we send -----------------------------------------------------------------------------


def test_a_plain_prompt_is_sent_with_everything_that_has_no_documented_default() -> None:
    assert to_payload(to_submission()) == {
        "model": "ray-flash-2",
        "prompt": "a red fox in snow",
        "aspect_ratio": "16:9",
        "loop": False,
        "duration": "5s",
        "resolution": "540p",
    }


def test_a_full_request() -> None:
    frames = {
        "start_frame": FrameHandle(generation_id=GenerationId("g-1")),
        "end_frame": FrameHandle(url="https://bot.example.org/frames/x.jpg"),
    }
    submission = to_submission(
        callback=True,
        frames=frames,
        prompt="  slow zoom \n",
        model="ray-2",
        duration="9s",
        resolution="1080p",
        concepts=("orbit_left", "aerial"),
        loop=True,
    )
    assert to_payload(submission) == {
        "model": "ray-2",
        "prompt": "slow zoom",
        "aspect_ratio": "16:9",
        "loop": True,
        "duration": "9s",
        "resolution": "1080p",
        "concepts": [{"key": "orbit_left"}, {"key": "aerial"}],
        "callback_url": CALLBACK,
        "keyframes": {
            "frame0": {"type": "generation", "id": "g-1"},
            "frame1": {"type": "image", "url": "https://bot.example.org/frames/x.jpg"},
        },
    }


def test_ray_1_6_gets_neither_length_nor_resolution() -> None:
    payload = to_payload(to_submission(model="ray-1-6"))
    assert payload.keys() & {"duration", "resolution"} == set()


def test_an_image_without_a_prompt_sends_none() -> None:
    frames = {"start_frame": FrameHandle(url="https://bot.example.org/frames/x.jpg")}
    assert "prompt" not in to_payload(to_submission(prompt="", frames=frames))


def test_an_image_that_is_only_a_file_is_refused_before_anything_is_sent() -> None:
    frames = {"start_frame": FrameHandle(path="fox.jpg")}
    with pytest.raises(ProviderRejected) as caught:
        to_payload(to_submission(frames=frames))
    assert caught.value.code == "image"


# ---- what we read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state", "clip", "created_at"),
    [
        ("created", "queued", None, "2026-11-22T12:00:01.388000+00:00"),
        ("dreaming", "running", None, "2026-11-22T12:00:01.388000+00:00"),
        ("completed", "completed", "6f0c2b1e/result.mp4", "2026-11-22T12:00:01.388000+00:00"),
        ("completed_old", "completed", "123e4567/result.mp4", "2024-10-03T15:34:40+00:00"),
        ("completed_bare", "completed", "aa3e4567/video.mp4", "2024-09-17T08:00:00+00:00"),
        ("failed", "failed", None, "2026-11-22T12:00:01.388000+00:00"),
    ],
)
def test_recorded_generations(name: str, state: str, clip: str | None, created_at: str) -> None:
    row = recorded(name)
    generation = read_generation(row)
    assert generation is not None
    assert (generation.id, generation.state) == (row["id"], state)
    assert generation.created_at == datetime.fromisoformat(created_at)
    expected = clip and f"https://storage.cdn-luma.com/dream_machine/{clip}"
    assert generation.clip_url == expected
    assert (generation.failure is not None) == (state == "failed")
    assert not generation.can_retry


def test_the_token_is_read_from_the_echo_and_kept_only_as_a_hash() -> None:
    generation = read_generation(recorded("created"))
    assert generation is not None
    assert generation.token_hash == HASH
    assert TOKEN not in repr(generation)


@pytest.mark.parametrize("state", ["dreaming", "processing", "pending", "something new", 7, ["x"]])
def test_any_other_state_is_running(state: object) -> None:
    generation = read_generation({"id": "g", "state": state})
    assert generation is not None
    assert generation.state == "running"


@pytest.mark.parametrize(
    "assets",
    [None, {}, {"video": None}, {"video": ""}, {"video": "file:///etc/passwd"}, {"video": 5}, "x"],
)
def test_completed_without_an_address_is_still_running(assets: object) -> None:
    generation = read_generation({"id": "g", "state": "completed", "assets": assets})
    assert generation is not None
    assert (generation.state, generation.clip_url) == ("running", None)


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ({}, "queued"),
        ({"assets": {"video": "https://x/y.mp4"}}, "completed"),
        ({"failure_reason": "Job failed"}, "failed"),
    ],
)
def test_a_missing_state_is_inferred(row: dict[str, Any], state: str) -> None:
    generation = read_generation({"id": "g", **row})
    assert generation is not None
    assert generation.state == state


@pytest.mark.parametrize(
    "row", [None, [], "g", {}, {"id": None}, {"id": ""}, {"id": {}}, {"id": "../credits"}]
)
def test_without_an_id_it_is_nothing(row: object) -> None:
    assert read_generation(row) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ("id", "state", "failure_reason", "created_at", "assets", "request", "model")
ECHOES = ("prompt", "callback_url", "keyframes", "concepts", "loop", "duration")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(FIELDS, json_values),
            "request": st.fixed_dictionaries({}, optional=dict.fromkeys(ECHOES, json_values)),
        },
    )
)
def test_no_shape_upsets_the_reader(row: dict[str, Any]) -> None:
    read_generation(row)
    assert compare(row, to_submission()) in ("ours", "maybe", "other")


REASONS = {
    "Contains blacklisted words": "moderation",
    "Advanced prompt moderation failed": "moderation",
    "Advanced moderation failed": "moderation",
    "Frame moderation failed": "image_moderation",
    "prompt not allowed because it contains IP": "moderation",
    "Failed to read user input frames": "service",
    "Prompt processing failed": "service",
    "Error dispatching job": "service",
    "Job failed": "service",
    "Error processing callback": "service",
}


@pytest.mark.parametrize(("reason", "code"), REASONS.items())
def test_every_documented_failure_has_a_code_and_a_sentence(reason: str, code: str) -> None:
    row = {**recorded("failed"), "failure_reason": reason}
    generation = read_generation(row)
    assert generation is not None
    assert generation.failure is not None
    assert generation.failure.code == code
    assert generation.failure.sentence.endswith(".")
    assert reason not in generation.failure.sentence
    assert generation.can_retry == (code == "service")


def test_an_unreadable_image_says_so_although_it_is_tried_again() -> None:
    assert "image" in to_failure("Failed to read user input frames").sentence


def test_an_unknown_failure_is_quoted_without_links() -> None:
    failure = to_failure("Quota of https://x.example/a?b=c")
    assert failure.code == "unknown"
    generation = read_generation(
        {"id": "g", "state": "failed", "failure_reason": "No cat at https://x.example/a?b=c"}
    )
    assert generation is not None
    assert generation.failure is not None
    assert generation.failure.sentence == "Luma made no clip: No cat at (link)"


@pytest.mark.parametrize("reason", [None, "", "<html>", 5])
def test_a_failure_without_a_reason_says_what_to_do(reason: object) -> None:
    generation = read_generation({"id": "g", "state": "failed", "failure_reason": reason})
    assert generation is not None
    assert generation.failure is not None
    assert "Ask again" in generation.failure.sentence


REFUSALS = [
    (400, "Prompt is required", "prompt"),
    (400, "400: Prompt is too short, minimum length is 3 characters", "prompt"),
    (400, "Prompt is too long, maximum length is 5000 characters", "prompt"),
    (400, "Loop is not supported for keyframes", "loop"),
    (400, "Loop is not supported for end frame", "loop"),
    (400, "Loop is not supported for extend reverse", "loop"),
    (400, "Loop is not supported for interpolate video to image", "loop"),
    (400, "Loop is not supported for interpolate image to video", "loop"),
    (400, "Loop is not supported for interpolate between two videos", "loop"),
    (400, "No keyframes provided", "frames"),
    (400, "Unknown request type", "frames"),
    (400, "400: Duration is not supported in Ray 1.6 API", "fixed"),
    (400, "400: Resolution is not supported in Ray 1.6 API", "fixed"),
    (400, "400: Ray 2 with extend or interpolate is not available yet", "extend"),
    (400, "400: concepts are not supported for this model", "concepts"),
    (400, "failed to moderate image", "image"),
    (403, "Advanced prompt moderation failed", "moderation"),
    (404, "Generation 1f0c-22 not found", "frames"),
    (400, "Generation 1f0c-22 is not completed", "frames"),
    (413, "Too large", "refused"),
    (400, "A new reason", "refused"),
]


@pytest.mark.parametrize(("status", "detail", "code"), REFUSALS)
def test_every_refusal_has_a_code_and_a_sentence(status: int, detail: str, code: str) -> None:
    error = read_error(httpx.Response(status, json={"detail": detail}), name="luma")
    assert isinstance(error, ProviderRejected)
    assert (error.code, error.provider) == (code, "luma")
    assert error.sentence


CLOSED = [
    (401, "Invalid API key is provided", ProviderAuthError),
    (403, "Not authenticated", ProviderAuthError),
    (402, "Payment required", ProviderOutOfCredits),
    (400, "Insufficient credits", ProviderOutOfCredits),
    (403, "Your balance is too low", ProviderOutOfCredits),
    (404, "Not Found", ProviderRetired),
    (410, "Gone", ProviderRetired),
    (405, "Method Not Allowed", ProviderRetired),
    (429, "Rate limit exceeded", ProviderUnavailable),
    (500, "Internal Server Error", ProviderUnavailable),
    (502, "Bad Gateway", ProviderUnavailable),
    (301, "Moved", ProviderUnavailable),
]


@pytest.mark.parametrize(("status", "detail", "kind"), CLOSED)
def test_what_is_not_about_the_request_has_its_own_type(
    status: int, detail: str, kind: type[ProviderError]
) -> None:
    assert type(read_error(httpx.Response(status, json={"detail": detail}))) is kind


def test_a_key_of_the_other_api_is_explained() -> None:
    error = read_error(httpx.Response(401, json=recorded("error_key")))
    assert "Agents API" in error.sentence
    assert "luma-api-" in error.sentence


def test_a_closed_address_names_the_alternatives() -> None:
    assert "Agents API" in read_error(httpx.Response(410)).sentence


def test_a_list_of_field_errors_is_read() -> None:
    error = read_error(httpx.Response(422, json=recorded("error_fields")))
    assert isinstance(error, ProviderRejected)
    assert "Field required" in error.sentence


def test_a_page_of_html_is_never_quoted() -> None:
    body = b"<html><h1>Request blocked</h1> credits </html>"
    for status in (400, 403, 404, 500):
        assert "blocked" not in read_error(httpx.Response(status, content=body)).sentence


# ---- capabilities and settings ----------------------------------------------------------------


def make(**values: Any) -> Luma:
    return create(Settings(**values), clock=MovableClock())


def test_it_is_a_provider_with_the_documented_models() -> None:
    provider: Provider = make()
    models = ["ray-flash-2", "ray-2", "photon-1", "photon-flash-1"]
    assert list(provider.capabilities) == models
    assert (provider.name, provider.is_test) == ("luma", False)
    assert choice.usable(provider) == ("ray-flash-2", "ray-2")
    for model in choice.offered([provider]):
        assert model.durations == ("5s", "9s")
        assert model.resolutions == ("540p", "720p", "1080p", "4k")
        assert model.aspect_ratios == ASPECT_RATIOS
        assert model.concepts == CONCEPTS
        assert (model.image_input, model.prompt_chars) == ("link", (3, 5000))
    assert len(set(CONCEPTS)) == 34


@pytest.mark.parametrize(
    ("model", "own", "micros"),
    [
        ("photon-1", {}, 15_100),
        ("photon-flash-1", {}, 4_000),
        ("photon-1", {"photon-1": 0.02, "ray-2": 0.01}, 20_000),
    ],
)
def test_a_still_has_one_price(model: str, own: dict[str, float], micros: int) -> None:
    provider = make(prices=own)
    [still] = [each for each in choice.offered([provider], "image") if each.model == model]
    assert still.aspect_ratios == ASPECT_RATIOS
    work = ImageWork(prompt="a red fox", model=model)
    assert pricing.estimate(work, provider.tariffs[model], can=still) == micros


def test_a_still_is_sent_asked_after_and_told_from_a_clip() -> None:
    still = ImageWork(prompt=" a red fox ", model="photon-1", aspect_ratio="16:9")
    submission = to_submission().model_copy(update={"work": still})
    asked = to_still_payload(submission)
    assert asked == {
        "generation_type": "image",
        "model": "photon-1",
        "prompt": "a red fox",
        "aspect_ratio": "16:9",
        "format": "jpg",
    }
    row = {"id": "g", "generation_type": "image", "state": "completed", "request": asked}
    links = {"image": "https://x.example/a.jpg", "video": None}
    done = read_generation({**row, "assets": links})
    assert done is not None
    assert done.clip_url == links["image"]
    bare = read_generation({**row, "assets": {"video": "https://x.example/a.mp4"}})
    assert bare is not None
    assert bare.state == "running"
    assert compare({**row, "created_at": SENT_AT.isoformat()}, submission) == "ours"
    assert compare({**row, "created_at": SENT_AT.isoformat()}, to_submission()) == "other"
    failed = read_generation({**row, "state": "failed", "failure_reason": "Odd"})
    assert failed is not None
    assert failed.failure is not None
    assert failed.failure.sentence == "Luma made no picture: Odd"


def test_the_retired_model_is_there_only_when_asked_for() -> None:
    retired = make(retired_models=True).capabilities["ray-1-6"]
    assert (retired.durations, retired.resolutions, retired.concepts) == ((), (), ())
    assert retired.fixed == ("5s", "720p")


def test_the_loop_matrix_covers_every_pair_of_frames() -> None:
    kinds = ("none", "image", "clip")
    assert set(FRAMES) == set(itertools.product(kinds, kinds))
    may_loop = {pair for pair, rule in FRAMES.items() if rule.loop_refusal is None}
    assert may_loop == {("none", "none"), ("image", "none"), ("clip", "none")}


def test_settings_become_limits_and_rates() -> None:
    provider = make(
        running_limit=3,
        creates_per_minute=7,
        first_look_seconds=1,
        look_seconds=2,
        submit_timeout_seconds=9,
        min_balance_usd=1.5,
        prices={"ray-2": 0.005},
    )
    limits = provider.limits
    assert (limits.running, limits.creates_per_minute) == (3, 7)
    assert (limits.first_look_seconds, limits.look_seconds) == (1, 2)
    assert (limits.submit_seconds, limits.min_balance) == (9, 1_500_000)
    assert provider.tariffs["ray-2"] == PerPixel(rate=5000)
    assert provider.tariffs["ray-flash-2"] == PerPixel(rate=2200)


def test_prices_may_be_json_text_as_in_the_environment() -> None:
    assert Settings.model_validate({"prices": '{"ray-2": 0.01}'}).prices == {"ray-2": 0.01}


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "api.lumalabs.ai"},
        {"base_url": "ftp://x"},
        {"prices": "cheap"},
        {"prices": {"ray-2": -1}},
        {"prices": '{"ray-2": NaN}'},
        {"running_limit": 0},
        {"gets_per_second": 0},
        {"colour": "red"},
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


def test_the_key_is_hidden_from_logs_and_from_the_settings_themselves() -> None:
    table = Settings(api_key=SecretStr(KEY))
    create(table, clock=MovableClock())
    assert KEY not in repr(table)
    assert KEY not in redact(f"key {KEY} in a log")


# ---- the server -------------------------------------------------------------------------------

Answer = Callable[[web.Request], Any]


@dataclass
class LumaServer:
    """Luma's API as far as the provider uses it; `next_answers` come before its own."""

    generations: list[dict[str, Any]] = field(default_factory=list)  # newest first
    next_answers: list[web.Response | str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    page_limit: int = PAGE
    has_list: bool = True
    closed_offset: int | None = None
    shows: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row
    trim: Callable[[dict[str, Any]], dict[str, Any]] = lambda page: page
    date: str = "Sun, 22 Nov 2026 12:00:00 GMT"
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @web.middleware
    async def answer_first(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Give the next prepared answer, if there is one."""
        self.calls.append(f"{request.method} {request.path_qs}")
        self.keys.add(request.headers.get("Authorization", ""))
        assert request.transport is not None
        self.ports.add(request.transport.get_extra_info("peername")[1])
        if request.can_read_body:
            self.bodies.append(await request.json())
        self.asked.set()
        prepared = self.next_answers.pop(0) if self.next_answers else None
        match prepared:
            case "accept and drop":
                await handler(request)
                request.transport.abort()
                return web.Response()
            case "drop":
                request.transport.abort()
                return web.Response()
            case "hang":
                await self.released.wait()
                return web.Response()
            case web.Response():
                return prepared
        response: web.StreamResponse = await handler(request)
        response.headers["Date"] = self.date
        return response

    async def on_create(self, request: web.Request) -> web.Response:
        """Take a request and echo it."""
        row = {
            **recorded("created"),
            "id": f"new-{len(self.generations)}",
            "created_at": SENT_AT.isoformat(),
            "request": {"generation_type": "video", **self.bodies[-1]},
        }
        self.generations.insert(0, row)
        return web.json_response(row, status=201)

    async def on_list(self, request: web.Request) -> web.Response:
        """A page, newest first."""
        if not self.has_list:
            return web.json_response({"detail": "Not Found"}, status=404)
        offset = int(request.query["offset"])
        if offset == self.closed_offset:
            return error(429, **{"Retry-After": "20"})
        limit = min(int(request.query["limit"]), self.page_limit)
        rows = [self.shows(row) for row in self.generations[offset : offset + limit]]
        has_more = offset + limit < len(self.generations)
        page = {"generations": rows, "has_more": has_more, "limit": limit, "offset": offset}
        return web.json_response(self.trim({**page, "count": len(rows)}))

    async def on_get(self, request: web.Request) -> web.Response:
        """One generation, whole."""
        for row in self.generations:
            if row["id"] == request.match_info["id"]:
                return web.json_response(row)
        return web.json_response({"detail": "Generation not found"}, status=404)

    async def on_credits(self, _: web.Request) -> web.Response:
        """What is left."""
        return web.json_response(recorded("credits"))

    @property
    def lists(self) -> list[str]:
        """The list calls that came."""
        return [call for call in self.calls if call.startswith("GET /v1/generations?")]


@pytest.fixture
async def server() -> LumaServer:
    return LumaServer()


@pytest.fixture
async def base_url(server: LumaServer) -> AsyncIterator[str]:
    application = web.Application(middlewares=[server.answer_first])
    application.router.add_post("/v1/generations/video", server.on_create)
    application.router.add_get("/v1/generations", server.on_list)
    application.router.add_get("/v1/generations/{id}", server.on_get)
    application.router.add_get("/v1/credits", server.on_credits)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    server.released.set()
    await runner.cleanup()


@pytest.fixture
def clock() -> MovableClock:
    """As late as the recorded generations are."""
    own = MovableClock()
    own.move(seconds=(SENT_AT - own.now()).total_seconds())
    return own


@pytest.fixture
async def luma(
    base_url: str, clock: MovableClock, request: pytest.FixtureRequest
) -> AsyncIterator[Luma]:
    # Where no answer comes it is given up soon; any other may take its time on a busy machine.
    params = getattr(request.node, "callspec", None)
    seconds = 1 if params is not None and "'hang'" in repr(params.params) else 10
    table = Settings(
        api_key=SecretStr(KEY),
        base_url=base_url,
        gets_per_second=10_000,
        read_timeout_seconds=seconds,
        submit_timeout_seconds=seconds,
    )
    own = create(table, clock=clock)
    yield own
    await own.aclose()


def error(status: int, detail: object = "no", **headers: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status, headers=headers)


def add(server: LumaServer, *ids: str, minutes_ago: float = 0, **changes: Any) -> None:
    """Put generations on top of the list."""
    at = SENT_AT - timedelta(minutes=minutes_ago)
    for each in ids:
        row = {**recorded("dreaming"), "id": each, "created_at": at.isoformat(), **changes}
        server.generations.insert(0, row)


def ids_of(found: Mapping[GenerationId, Generation]) -> set[str]:
    return {str(each) for each in found}


def names(*ids: str) -> list[GenerationId]:
    return [GenerationId(each) for each in ids]


# ---- submit -----------------------------------------------------------------------------------


async def test_a_submission_is_one_post_with_the_key(luma: Luma, server: LumaServer) -> None:
    submission = to_submission(callback=True)
    assert (await luma.submit(submission)).id == "new-0"
    assert server.calls == ["POST /v1/generations/video"]
    assert server.bodies == [to_payload(submission)]
    assert server.keys == {f"Bearer {KEY}"}


async def test_without_a_key_none_is_sent(base_url: str, server: LumaServer) -> None:
    provider = create(Settings(base_url=base_url), clock=MovableClock())
    await provider.balance()
    await provider.aclose()
    assert server.keys == {""}


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_2xx_with_an_id_is_a_yes(luma: Luma, server: LumaServer, status: int) -> None:
    server.next_answers = [web.json_response(recorded("completed_bare"), status=status)]
    taken = await luma.submit(to_submission())
    assert taken.id == recorded("completed_bare")["id"]


async def test_a_refusal_is_final(luma: Luma, server: LumaServer) -> None:
    server.next_answers = [web.json_response(recorded("error_prompt"), status=400)]
    with pytest.raises(ProviderRejected) as caught:
        await luma.submit(to_submission())
    assert caught.value.code == "prompt"
    assert len(server.calls) == 1


@pytest.mark.parametrize(("status", "detail", "code"), REFUSALS)
async def test_every_refusal_reaches_the_caller_from_the_wire(
    luma: Luma, server: LumaServer, status: int, detail: str, code: str
) -> None:
    server.next_answers = [error(status, detail)]
    with pytest.raises(ProviderRejected) as caught:
        await luma.submit(to_submission())
    assert caught.value.code == code


@pytest.mark.parametrize(("status", "detail", "kind"), CLOSED[:6])
async def test_closed_doors_reach_the_caller_from_the_wire(
    luma: Luma, server: LumaServer, status: int, detail: str, kind: type[ProviderError]
) -> None:
    server.next_answers = [error(status, detail)]
    with pytest.raises(kind):
        await luma.submit(to_submission())
    assert len(server.calls) == 1


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry-After": "7"}, 7), ({}, 15)])
async def test_too_many_means_not_accepted_and_when_to_come_back(
    luma: Luma, server: LumaServer, headers: dict[str, str], seconds: float
) -> None:
    server.next_answers = [error(429, **headers)]
    with pytest.raises(ProviderUnavailable) as caught:
        await luma.submit(to_submission())
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "answer",
    [
        "accept and drop",
        "drop",
        "hang",
        web.Response(status=500),
        web.Response(status=502, body=b"<html>bad gateway</html>"),
        web.Response(status=503),
        web.Response(status=504),
        web.Response(status=408),
        web.Response(status=409),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
        web.Response(status=201, body=b""),
        web.Response(status=201, body=b"<html>created</html>"),
        web.Response(status=200, body=b'{"id": '),
        web.json_response({"state": "queued"}, status=201),
        web.json_response([], status=201),
    ],
    ids=lambda answer: answer if isinstance(answer, str) else f"{answer.status}",
)
async def test_what_is_neither_a_yes_nor_a_no_is_in_doubt_and_not_sent_again(
    luma: Luma, server: LumaServer, answer: web.Response | str
) -> None:
    server.next_answers = [answer]
    with pytest.raises(SubmissionUncertain):
        await luma.submit(to_submission())
    assert len(server.calls) == 1


async def test_a_refused_connection_is_certainly_not_accepted() -> None:
    provider = make(base_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ProviderUnavailable):
        await provider.submit(to_submission())
    await provider.aclose()


async def test_an_unknown_host_is_certainly_not_accepted() -> None:
    provider = make(base_url="http://nowhere.invalid")
    with pytest.raises(ProviderUnavailable):
        await provider.submit(to_submission())
    await provider.aclose()


async def test_a_cancelled_submission_stays_cancelled(luma: Luma, server: LumaServer) -> None:
    server.next_answers = ["hang"]
    task = asyncio.ensure_future(luma.submit(to_submission()))
    await server.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_submission_has_its_own_connection(luma: Luma, server: LumaServer) -> None:
    """A kept one may close just as the next is sent, and would leave it in doubt."""
    for _ in range(3):
        server.next_answers = [web.json_response(recorded("created"), status=201)]
        await luma.submit(to_submission())
    assert len(server.calls) == len(server.ports) == 3


# ---- check ------------------------------------------------------------------------------------


async def test_one_is_asked_for_singly(luma: Luma, server: LumaServer) -> None:
    add(server, "a", "b", "c")
    assert ids_of(await luma.check(names("a"))) == {"a"}
    assert server.calls == ["GET /v1/generations/a"]


async def test_two_need_one_call(luma: Luma, server: LumaServer) -> None:
    add(server, "a", "b", "c")
    assert ids_of(await luma.check(names("a", "b"))) == {"a", "b"}
    assert len(server.calls) == 1


async def test_an_unknown_one_is_left_out(luma: Luma, server: LumaServer) -> None:
    add(server, "a")
    assert ids_of(await luma.check(names("a", "gone"))) == {"a"}


async def test_nothing_asked_is_nothing_called(luma: Luma, server: LumaServer) -> None:
    assert await luma.check([]) == {}
    assert server.calls == []


async def test_many_need_one_page(luma: Luma, server: LumaServer) -> None:
    ids = [f"g{index}" for index in range(60)]
    add(server, *ids)
    assert ids_of(await luma.check(names(*ids))) == set(ids)
    assert len(server.calls) == 1


async def test_states_come_from_the_list(luma: Luma, server: LumaServer) -> None:
    add(server, "run", "wait")
    add(server, "bad", **{key: recorded("failed")[key] for key in ("state", "failure_reason")})
    add(server, "done", **{key: recorded("completed")[key] for key in ("state", "assets")})
    found = await luma.check(names("run", "wait", "bad", "done"))
    assert {each.id: each.state for each in found.values()} == {
        "run": "running",
        "wait": "running",
        "bad": "failed",
        "done": "completed",
    }


async def test_pages_are_read_until_all_are_found(luma: Luma, server: LumaServer) -> None:
    wanted = [f"old{index}" for index in range(10)]
    add(server, *wanted)
    add(server, *(f"new{index}" for index in range(250)))
    assert ids_of(await luma.check(names(*wanted))) == set(wanted)
    assert len(server.lists) == len(server.calls) == 3


async def test_two_stragglers_are_not_worth_another_page(luma: Luma, server: LumaServer) -> None:
    add(server, "old1", "old2")
    add(server, *(f"new{index}" for index in range(150)))
    recent = [f"new{index}" for index in range(140, 150)]
    found = await luma.check(names(*recent, "old1", "old2"))
    assert ids_of(found) == {*recent, "old1", "old2"}
    assert len(server.lists) == 1
    assert len(server.calls) == 3


async def test_a_list_too_long_for_one_sweep_is_read_on_in_the_next(
    luma: Luma, server: LumaServer
) -> None:
    """Thousands run, and the oldest, which end first, stand at the list's far end."""
    server.page_limit = 10
    ids = [f"g{index:03}" for index in range(450)]
    for age, each in enumerate(reversed(ids)):
        add(server, each, minutes_ago=450 - age)
    seen: set[str] = set()
    for _ in range(3):
        server.calls.clear()
        seen |= ids_of(await luma.check(names(*ids)))
        assert len(server.lists) <= MAX_PAGES + 1, "no more than one is read ahead in vain"
        assert "offset=0" in server.lists[0], "the newest are looked at each time"
    assert seen == set(ids)


async def test_a_page_is_asked_for_while_another_is_on_its_way(
    luma: Luma, server: LumaServer
) -> None:
    """Else the distance to the service would decide how often thousands are looked at."""
    ids = names(*(f"g{index}" for index in range(250)))
    add(server, *ids)
    assert len(await luma.check(ids)) == len(ids), "how long a page is was not known before"
    server.calls.clear()
    server.next_answers = ["hang", "hang"]
    check = asyncio.ensure_future(luma.check(ids))
    await until(lambda: len(server.lists) == 2)
    assert [each.split("=")[-1] for each in sorted(server.lists)] == ["0", "100"]
    check.cancel()
    await asyncio.wait({check})


@pytest.mark.parametrize(("count", "lists", "alone"), [(250, 3, 0), (101, 1, 1), (202, 2, 2)])
async def test_no_page_is_asked_for_in_vain(
    luma: Luma, server: LumaServer, count: int, lists: int, alone: int
) -> None:
    ids = names(*(f"g{index}" for index in range(count)))
    add(server, *ids)
    for _ in range(3):
        server.calls.clear()
        assert len(await luma.check(ids)) == len(ids)
        assert (len(server.lists), len(server.calls)) == (lists, lists + alone)


async def test_a_pause_that_a_page_read_ahead_asks_for_hides_nothing_that_was_told(
    luma: Luma, server: LumaServer
) -> None:
    ids = names(*(f"g{index}" for index in range(250)))
    add(server, *ids)
    await luma.check(ids)
    server.closed_offset = PAGE
    told: list[Generation] = []
    with pytest.raises(ProviderUnavailable) as caught:
        await luma.check(ids, told.append)
    assert (caught.value.retry_after, len(told)) == (20, PAGE)


async def test_what_a_page_tells_is_told_before_the_next_one_comes(
    luma: Luma, server: LumaServer
) -> None:
    ids = names(*(f"g{index}" for index in range(150)))
    add(server, *ids)
    newest: dict[str, Any] = {"generations": server.generations[:PAGE], "has_more": True}
    server.next_answers = [web.json_response(newest), "hang"]
    told: list[str] = []
    check = asyncio.ensure_future(luma.check(ids, lambda each: told.append(each.id)))
    await until(lambda: len(server.lists) == 2)
    assert told == [row["id"] for row in newest["generations"]]
    check.cancel()
    await asyncio.wait({check})


async def test_what_arrives_between_sweeps_hides_nothing(luma: Luma, server: LumaServer) -> None:
    server.page_limit = 10
    ids = [f"g{index:03}" for index in range(450)]
    add(server, *ids)
    seen: set[str] = set()
    for sweep in range(4):
        add(server, *(f"later{sweep}-{index}" for index in range(15)))
        seen |= ids_of(await luma.check(names(*ids)))
    assert seen == set(ids)


async def test_a_long_past_is_not_read_for_what_the_list_leaves_out(
    luma: Luma, server: LumaServer
) -> None:
    """Those behind the newest page must not wait until all of an account's years were read."""
    server.page_limit = 10
    for index in range(400):
        add(server, f"past{index}", minutes_ago=1000 - index)
    ids = [f"g{index:02}" for index in range(30)]
    add(server, *ids)
    assert ids_of(await luma.check(names(*ids))) == set(ids)
    server.shows = lambda row: {**row, "id": "?"} if row["id"] in ids[:4] else row
    for _ in range(3):
        server.calls.clear()
        assert ids_of(await luma.check(names(*ids))) == set(ids)
        assert len(server.lists) == 4


async def test_for_what_luma_does_not_know_no_list_is_read_twice(
    luma: Luma, server: LumaServer
) -> None:
    add(server, *(f"g{index}" for index in range(250)))
    ids = names("g249", "gone1", "gone2", "gone3")
    for lists in (3, 1):
        server.calls.clear()
        assert ids_of(await luma.check(ids)) == {"g249"}
        assert len(server.lists) == lists


async def test_a_limit_that_is_ignored_costs_pages_but_loses_nothing(
    luma: Luma, server: LumaServer
) -> None:
    server.page_limit = 10
    ids = [f"g{index}" for index in range(35)]
    add(server, *ids)
    assert ids_of(await luma.check(names(*ids))) == set(ids)


async def test_rows_that_shift_between_pages_are_found(luma: Luma, server: LumaServer) -> None:
    """A new generation pushes one from the first page to the second, where it is seen twice."""
    ids = [f"g{index}" for index in range(120)]
    add(server, *ids)

    def shift(page: dict[str, Any]) -> dict[str, Any]:
        add(server, f"later{len(server.calls)}")
        return page

    server.trim = shift
    assert ids_of(await luma.check(names(*ids))) == set(ids)


async def test_a_row_that_slips_through_is_asked_for_singly(
    luma: Luma, server: LumaServer
) -> None:
    ids = [f"g{index}" for index in range(5)]
    add(server, *ids)
    server.trim = lambda page: {**page, "generations": page["generations"][1:]}
    assert ids_of(await luma.check(names(*ids))) == set(ids)


@pytest.mark.parametrize("missing", [("has_more",), ("has_more", "count", "limit", "offset")])
async def test_a_bare_list_is_read_to_its_end(
    luma: Luma, server: LumaServer, missing: tuple[str, ...]
) -> None:
    server.trim = lambda page: {key: page[key] for key in page if key not in missing}
    add(server, *(f"g{index}" for index in range(150)))
    found = await luma.check(names("g0", "g1", "g2", "gone1", "gone2", "gone3"))
    assert ids_of(found) == {"g0", "g1", "g2"}
    assert len(server.lists) == 3


async def test_old_shapes_in_a_list_are_read(luma: Luma, server: LumaServer) -> None:
    server.generations = recorded("list_old")["generations"]
    wanted = names(*(row["id"] for row in server.generations), "a", "b", "c")
    found = await luma.check(wanted)
    assert [each.state for each in found.values()] == ["completed", "completed"]


async def test_pages_are_not_read_for_ever(luma: Luma, server: LumaServer) -> None:
    add(server, "g")
    server.trim = lambda page: {**page, "has_more": True, "generations": server.generations}
    assert await luma.check(names("a", "b", "c")) == {}
    assert len(server.lists) == MAX_PAGES


@pytest.mark.parametrize(
    "answers",
    [
        [error(500), error(500)],
        [web.Response(body=b'{"generations": [{"id"')],
        [web.json_response({"generations": None})],
        [web.json_response({"generations": ["x"]})],
        ["hang"],
        [error(404)],
    ],
    ids=["500", "truncated", "null", "odd", "slow", "404"],
)
async def test_a_broken_list_does_not_hide_the_generations(
    luma: Luma, server: LumaServer, answers: list[web.Response | str]
) -> None:
    """Luma's list once answered 500 for long; paid work must be seen all the same."""
    add(server, "a", "b", "c")
    server.next_answers = list(answers)
    assert ids_of(await luma.check(names("a", "b", "c"))) == {"a", "b", "c"}


async def test_without_a_list_all_get_their_turn(luma: Luma, server: LumaServer) -> None:
    server.has_list = False
    ids = [f"g{index:02}" for index in range(12)]
    add(server, *ids)
    seen: set[str] = set()
    for _ in range(3):
        found = ids_of(await luma.check(names(*ids)))
        assert len(found) == 5
        seen |= found
    assert seen == set(ids)


async def test_a_row_for_another_id_is_not_taken(luma: Luma, server: LumaServer) -> None:
    server.next_answers = [web.json_response(recorded("completed"))]
    assert await luma.check(names("a")) == {}


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([error(500), error(500)], ProviderUnavailable),
        ([error(401)], ProviderAuthError),
        ([error(429)], ProviderUnavailable),
        (["hang"], ProviderUnavailable),
        (["drop", "drop", "drop", "drop"], ProviderUnavailable),
        ([web.Response(body=b"<html>")], ProviderUnavailable),
    ],
)
async def test_an_outage_while_looking_is_an_error(
    luma: Luma, server: LumaServer, answers: list[web.Response | str], kind: type[ProviderError]
) -> None:
    add(server, "a")
    server.next_answers = list(answers)
    with pytest.raises(kind):
        await luma.check(names("a"))


async def test_too_many_looks_stop_a_sweep_at_once(luma: Luma, server: LumaServer) -> None:
    server.next_answers = [error(429, **{"Retry-After": "20"})]
    with pytest.raises(ProviderUnavailable) as caught:
        await luma.check(names("a", "b", "c"))
    assert caught.value.retry_after == 20
    assert len(server.calls) == 1


async def test_looks_share_a_connection(luma: Luma, server: LumaServer) -> None:
    for _ in range(3):
        await luma.balance()
    assert (len(server.calls), len(server.ports)) == (3, 1)


async def test_a_single_failure_is_looked_over(luma: Luma, server: LumaServer) -> None:
    add(server, "a")
    server.next_answers = [error(503)]
    assert ids_of(await luma.check(names("a"))) == {"a"}


async def test_odd_ids_stay_inside_the_path(luma: Luma, server: LumaServer) -> None:
    assert await luma.check(names("a/../../credits?x=1")) == {}
    assert server.calls == ["GET /v1/generations/a%2F..%2F..%2Fcredits%3Fx=1"]


# ---- find: with a callback --------------------------------------------------------------------


def token_row(token: str = TOKEN, **changes: Any) -> dict[str, Any]:
    request = {
        **recorded("created")["request"],
        "callback_url": f"https://bot.example.org/callbacks/luma/{token}",
    }
    return {**recorded("dreaming"), "request": request, **changes}


async def test_a_lost_answer_is_found_by_its_token(luma: Luma, server: LumaServer) -> None:
    submission = to_submission(callback=True)
    server.next_answers = ["accept and drop"]
    with pytest.raises(SubmissionUncertain):
        await luma.submit(submission)
    found = await luma.find(stored(submission), [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["new-0"]


async def test_the_token_decides_and_not_what_was_asked(luma: Luma, server: LumaServer) -> None:
    server.generations = [token_row("other", id="o"), token_row(id="mine")]
    found = await luma.find(stored(to_submission(callback=True, prompt="changed")), [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["mine"]


async def test_nothing_with_the_token_is_absent(luma: Luma, server: LumaServer) -> None:
    server.generations = [token_row("other", id="o"), recorded("image")]
    assert await luma.find(stored(to_submission(callback=True)), []) == Absent()


async def test_an_empty_list_is_absent(luma: Luma) -> None:
    assert await luma.find(stored(to_submission(callback=True)), []) == Absent()
    assert await luma.find(to_submission(), []) == Absent()


async def test_one_that_another_job_owns_is_left_out(luma: Luma, server: LumaServer) -> None:
    server.generations = [token_row(id="mine")]
    assert await luma.find(stored(to_submission(callback=True)), names("mine")) == Absent()


async def test_a_list_without_echoes_is_looked_into_singly(luma: Luma, server: LumaServer) -> None:
    """Whether list rows echo the callback is not documented."""
    server.generations = [token_row("other", id="o"), token_row(id="mine")]
    server.shows = lambda row: {key: row[key] for key in row if key != "request"}
    submission = stored(to_submission(callback=True))
    found = await luma.find(submission, [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["mine"]
    assert await luma.find(submission, names("mine")) == Absent()


async def test_without_any_echo_nobody_can_tell(luma: Luma, server: LumaServer) -> None:
    row = recorded("dreaming")
    server.generations = [{**row, "request": {**row["request"], "callback_url": None}}]
    assert await luma.find(stored(to_submission(callback=True)), []) == CannotTell()


async def test_a_generation_long_before_is_not_looked_into(luma: Luma, server: LumaServer) -> None:
    add(server, "old", minutes_ago=30, request=None)
    assert await luma.find(stored(to_submission(callback=True)), []) == Absent()
    assert len(server.calls) == 1


# ---- find: how far back -----------------------------------------------------------------------


def fill(server: LumaServer, count: int, *, oldest_first: bool = False) -> None:
    """A history of others' generations, a minute apart, back from the submission."""
    for index in range(count):
        at = SENT_AT - timedelta(minutes=index)
        row = token_row(f"other{index}", id=f"o{index}", created_at=at.isoformat())
        server.generations.insert(0 if oldest_first else index, row)


async def test_reading_ends_where_all_are_older(luma: Luma, server: LumaServer) -> None:
    fill(server, 500)
    assert await luma.find(stored(to_submission(callback=True)), []) == Absent()
    assert len(server.lists) == 1


async def test_a_list_that_begins_with_the_oldest_is_read_to_its_end(
    luma: Luma, server: LumaServer
) -> None:
    fill(server, 250, oldest_first=True)
    server.generations.append(token_row(id="mine"))
    found = await luma.find(stored(to_submission(callback=True)), [])
    assert isinstance(found, Found)
    assert len(server.lists) == 3


async def test_a_list_that_is_too_long_leaves_it_open(luma: Luma, server: LumaServer) -> None:
    fill(server, 25, oldest_first=True)
    server.page_limit = 1
    assert await luma.find(stored(to_submission(callback=True)), []) == CannotTell()
    assert len(server.lists) == MAX_PAGES


async def test_rows_without_a_time_do_not_end_the_reading(luma: Luma, server: LumaServer) -> None:
    fill(server, 150)
    server.generations.append(token_row(id="mine"))
    for row in server.generations[5:10]:
        row["created_at"] = None
    found = await luma.find(stored(to_submission(callback=True)), [])
    assert isinstance(found, Found)


async def test_a_clock_that_ran_ahead_does_not_make_it_absent(
    luma: Luma, server: LumaServer, clock: MovableClock
) -> None:
    """Our clock is two hours ahead of Luma's: what we just sent seems two hours old there."""
    clock.move(hours=2)
    submission = stored(to_submission(callback=True, sent_at=SENT_AT + timedelta(hours=2)))
    fill(server, 90)
    server.generations.insert(50, token_row(id="mine"))
    found = await luma.find(submission, [])
    assert isinstance(found, Found)


async def test_an_end_that_contradicts_itself_leaves_it_open(
    luma: Luma, server: LumaServer
) -> None:
    server.trim = lambda page: {**page, "generations": [], "has_more": True}
    assert await luma.find(stored(to_submission(callback=True)), []) == CannotTell()


async def test_without_a_list_nobody_can_tell(luma: Luma, server: LumaServer) -> None:
    server.has_list = False
    assert await luma.find(stored(to_submission(callback=True)), []) == CannotTell()


@pytest.mark.parametrize(
    "answers",
    [
        [error(500), error(500)],
        [web.Response(body=b'{"generations": [{"id": "a"')],
        [web.json_response({"generations": {"id": "a"}})],
        [web.json_response({})],
        ["hang"],
        ["drop", "drop", "drop", "drop"],
    ],
    ids=["500", "truncated", "odd", "empty", "slow", "lost"],
)
async def test_an_unreadable_list_is_an_outage_and_never_an_absence(
    luma: Luma, server: LumaServer, answers: list[web.Response | str]
) -> None:
    server.next_answers = list(answers)
    with pytest.raises(ProviderUnavailable):
        await luma.find(stored(to_submission(callback=True)), [])


# ---- find: without a callback -----------------------------------------------------------------


def echo(submission: Submission, **changes: Any) -> dict[str, Any]:
    """A generation as Luma shows it for this submission."""
    request = {"generation_type": "video", "concepts": None, **to_payload(submission)}
    request |= changes.pop("request", {})
    return {**recorded("dreaming"), "id": "mine", "request": request, **changes}


FULL = to_submission(
    model="ray-2",
    duration="9s",
    resolution="720p",
    concepts=("pov", "aerial"),
    frames={
        "start_frame": FrameHandle(url="https://bot.example.org/frames/a.jpg"),
        "end_frame": FrameHandle(generation_id=GenerationId("g-7")),
    },
)


@pytest.mark.parametrize("submission", [to_submission(), FULL], ids=["plain", "full"])
async def test_without_a_callback_the_echoed_request_decides(
    luma: Luma, server: LumaServer, submission: Submission
) -> None:
    server.generations = [echo(to_submission(prompt="another"), id="x"), echo(submission)]
    found = await luma.find(submission, [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["mine"]


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a red fox in snow."},
        {"model": "ray-flash-2"},
        {"duration": "5s"},
        {"resolution": "540p"},
        {"aspect_ratio": "1:1"},
        {"concepts": [{"key": "aerial"}, {"key": "pov"}]},
        {"callback_url": "https://bot.example.org/callbacks/luma/someone"},
        {"keyframes": {"frame0": {"type": "generation", "id": "g-1"}}},
        {"keyframes": {"frame1": {"type": "generation", "id": "g-8"}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_whatever_else_was_asked_is_not_ours(
    luma: Luma, server: LumaServer, changes: dict[str, Any]
) -> None:
    server.generations = [echo(FULL, request=changes)]
    assert await luma.find(FULL, []) == Absent()


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        *((-61, "maybe"), (-59, "ours"), (599, "ours"), (601, "maybe")),
        *((-90_000, "other"), (90_000, "maybe")),
    ],
)
def test_the_time_must_fit_and_a_clock_set_since_leaves_doubt(seconds: int, verdict: str) -> None:
    created_at = (SENT_AT + timedelta(seconds=seconds)).isoformat()
    assert compare(echo(FULL, created_at=created_at), FULL) == verdict


def test_what_a_clock_days_ahead_sent_is_not_absent() -> None:
    row = echo(FULL, created_at=(SENT_AT - timedelta(days=3)).isoformat())
    assert compare(row, FULL, clock_skew=timedelta(days=3)) == "maybe"


async def test_what_others_own_is_left_out_without_a_callback(
    luma: Luma, server: LumaServer
) -> None:
    server.generations = [echo(FULL, id="theirs")]
    assert await luma.find(FULL, names("theirs")) == Absent()
    server.generations.append(echo(FULL))
    found = await luma.find(FULL, names("theirs"))
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["mine"]


async def test_two_that_fit_are_both_told(luma: Luma, server: LumaServer) -> None:
    server.generations = [echo(FULL, id="one"), echo(FULL, id="two")]
    found = await luma.find(FULL, [])
    assert isinstance(found, Found)
    assert {each.id for each in found.generations} == {"one", "two"}


@pytest.mark.parametrize(
    "changes",
    [
        {"request": {"prompt": None}},
        {"request": {"duration": None}},
        {"request": {"model": None}},
        {"request": {"loop": True}},
        {"created_at": None},
        {
            "request": {
                "keyframes": {
                    "frame0": {"type": "image", "url": "https://cdn.luma.example/copy.jpg"},
                    "frame1": {"type": "generation", "id": "g-7"},
                }
            }
        },
    ],
    ids=["no prompt", "no duration", "no model", "a loop", "no time", "another link"],
)
async def test_an_echo_that_says_too_little_leaves_it_open(
    luma: Luma, server: LumaServer, changes: dict[str, Any]
) -> None:
    server.generations = [echo(FULL, **changes)]
    assert await luma.find(FULL, []) == CannotTell()


async def test_the_generation_itself_may_tell_more_than_the_list(
    luma: Luma, server: LumaServer
) -> None:
    server.generations = [echo(FULL)]
    server.shows = lambda row: {**row, "request": None}
    assert isinstance(await luma.find(FULL, []), Found)


async def test_one_that_is_gone_when_looked_at_is_not_ours(luma: Luma, server: LumaServer) -> None:
    server.trim = lambda page: {**page, "generations": [echo(FULL, request={"prompt": None})]}
    assert await luma.find(FULL, []) == Absent()


def test_an_image_of_the_same_words_is_not_ours() -> None:
    verdict = compare(recorded("image"), to_submission())
    assert verdict == "other"


# ---- the rest ---------------------------------------------------------------------------------


async def test_the_balance_is_in_cents(luma: Luma) -> None:
    assert await luma.balance() == 12_345_000


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=404),
        web.json_response({}),
        web.json_response({"credit_balance": "many"}),
        web.Response(body=b'{"credit_balance": NaN}'),
        web.Response(body=b'{"credit_balance": 1e999}'),
    ],
)
async def test_a_balance_that_is_not_told_is_none(
    luma: Luma, server: LumaServer, answer: web.Response
) -> None:
    server.next_answers = [answer]
    assert await luma.balance() is None


async def test_a_wrong_key_is_told_with_the_balance(luma: Luma, server: LumaServer) -> None:
    server.next_answers = [web.json_response(recorded("error_key"), status=401)]
    with pytest.raises(ProviderAuthError):
        await luma.balance()


async def test_nothing_is_ever_deleted(luma: Luma, server: LumaServer) -> None:
    assert await luma.cancel(GenerationId("a")) is False
    assert server.calls == []


@pytest.mark.parametrize("name", ["dreaming", "completed", "failed"])
async def test_a_callback_is_read_as_a_hint(name: str) -> None:
    body = (RECORDED / f"{name}.json").read_bytes()
    hint = await make().read_callback({}, body, "another token")
    expected = read_generation(recorded(name))
    assert hint is not None
    assert expected is not None
    assert (hint.id, hint.state) == (expected.id, expected.state)
    assert hint.token_hash == hashlib.sha256(b"another token").hexdigest()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 60_000])
async def test_what_is_no_generation_is_no_hint(body: bytes) -> None:
    assert await make().read_callback({}, body, TOKEN) is None


async def test_requests_are_counted(base_url: str, server: LumaServer) -> None:
    metrics = Metrics()
    provider = create(Settings(base_url=base_url), clock=MovableClock(), metrics=metrics)
    await provider.submit(to_submission())
    await provider.check(names("a"))
    await provider.aclose()
    text = metrics.render().decode()
    assert '{method="POST",outcome="2xx",provider="luma"} 1.0' in text
    assert '{method="GET",outcome="4xx",provider="luma"} 1.0' in text


async def test_looks_keep_to_the_budget(base_url: str, server: LumaServer) -> None:
    """A burst of five, then one every ten seconds."""
    clock = MovableClock()
    provider = create(Settings(base_url=base_url, gets_per_second=0.1), clock=clock)
    for _ in range(5):
        await provider.balance()
    sixth = asyncio.ensure_future(provider.balance())
    done, _ = await asyncio.wait({sixth}, timeout=0.05)
    assert (len(done), len(server.calls)) == (0, 5)
    clock.move(seconds=10)
    await sixth
    assert len(server.calls) == 6
    await provider.aclose()


async def test_nothing_of_a_prompt_or_a_secret_is_logged(
    luma: Luma, server: LumaServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    submission = to_submission(callback=True, prompt="a very private prompt")
    server.next_answers = [error(503), web.json_response(recorded("created"))]
    with pytest.raises(SubmissionUncertain):
        await luma.submit(submission)
    await luma.check(names("a"))
    for secret in ("very private", TOKEN, KEY):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("status", "is_gone"), [(204, True), (404, True), (400, False), (401, None), (500, None)]
)
async def test_a_generation_is_forgotten_where_luma_lets_us(
    luma: Luma, server: LumaServer, status: int, is_gone: bool | None
) -> None:
    server.next_answers = [web.Response(status=status)]
    if is_gone is None:
        with pytest.raises(ProviderUnavailable):
            await luma.forget(GenerationId("a"))
    else:
        assert await luma.forget(GenerationId("a")) is is_gone
    assert server.calls == ["DELETE /v1/generations/a"]
    # What goes on under the name of another clip is that one's.
    assert await luma.forget(GenerationId("a#r-0yb.1")) is False
    assert len(server.calls) == 1
