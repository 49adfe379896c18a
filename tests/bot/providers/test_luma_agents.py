"""The provider of Luma's Agents API: its pure parts, and its calls to a server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bot import choice, pricing
from bot.dialects.agents_api import FAILURES, RAY, UNI, read_generation, to_failure, to_payload
from bot.errors import (
    InvalidRequest,
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
from bot.ports import CannotTell, FrameHandle, Provider, Submission
from bot.providers.luma_agents import LumaAgents, Settings, create, read_error
from bot.refs import Attachment, GenerationId, JobId
from bot.request import ClipFrame, ImageFrame, ImageWork, VideoWork
from tests.fakes import MovableClock

RECORDED = Path(__file__).parents[2] / "recorded" / "luma_agents"
KEY = "luma-api-0123456789abcdef0123456789"
SENT_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SOMEBODY = "5e3bd1" * 10
SIGNATURE = "SECRET-SIGNATURE-0001"
GENERATION, FILE = "d0a4f1c2-6c54-4b01-90e6-0d2f3b8e7a10", "0b6c1b1e-5f4a-4d7c-9a51-0d2f3b8e7a11"


def recorded(name: str) -> Any:
    """A reply after the documentation, scrubbed."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def to_submission(
    start: FrameHandle | None = None,
    end: FrameHandle | None = None,
    *,
    somebody: str = SOMEBODY,
    **work: Any,
) -> Submission:
    """An attempt as it is sent."""
    values = {
        "prompt": "a red fox in snow",
        "model": "ray-3.2",
        "resolution": "720p",
        "aspect_ratio": "16:9",
        **work,
    }
    return Submission(
        job_id=JobId("r-1"),
        attempt=1,
        work=VideoWork.model_validate(values),
        sent_at=SENT_AT,
        token_hash="",
        start_frame=start,
        end_frame=end,
        requester_hash=somebody,
    )


# ---- what we send -----------------------------------------------------------------------------

FOX, LAKE = FrameHandle(path="fox.jpg"), FrameHandle(path="lake.jpg")
CLIP = FrameHandle(generation_id=GenerationId("g-7"))
FILES = {"fox.jpg": "file-fox", "lake.jpg": "file-lake"}


def test_a_plain_prompt_is_sent_with_its_size_and_its_person() -> None:
    assert to_payload(to_submission(prompt="  a red fox\n"), {}) == {
        "type": "video",
        "model": "ray-3.2",
        "prompt": "a red fox",
        "aspect_ratio": "16:9",
        "video": {"resolution": "720p", "duration": "5s"},
        "user_id": SOMEBODY,
    }


def to_still_submission(**work: Any) -> Submission:
    """An attempt at a picture."""
    still = ImageWork.model_validate({"prompt": "a red fox", "aspect_ratio": "16:9", **work})
    return to_submission().model_copy(update={"work": still})


def test_a_still_is_sent_with_its_shape_and_its_person() -> None:
    assert to_payload(to_still_submission(prompt="  a red fox\n"), {}) == {
        "type": "image",
        "model": "uni-1",
        "prompt": "a red fox",
        "aspect_ratio": "16:9",
        "output_format": "jpeg",
        "user_id": SOMEBODY,
    }


def test_nobody_is_named_where_nobody_is_known() -> None:
    assert "user_id" not in to_payload(to_submission(somebody=""), {})


@pytest.mark.parametrize(
    ("start", "end", "work", "expected"),
    [
        (FOX, None, {"loop": True}, {"loop": True, "start_frame": {"file_id": "file-fox"}}),
        (None, LAKE, {}, {"end_frame": {"file_id": "file-lake"}}),
        (
            FOX,
            LAKE,
            {},
            {"start_frame": {"file_id": "file-fox"}, "end_frame": {"file_id": "file-lake"}},
        ),
        (CLIP, None, {"loop": True}, {"loop": True, "start_frame": {"generation_id": "g-7"}}),
        (None, CLIP, {}, {"end_frame": {"generation_id": "g-7"}}),
        (
            FOX,
            None,
            {"duration": "10s"},
            {"duration": "10s", "keyframes": [{"file_id": "file-fox"}], "keyframe_indexes": [0]},
        ),
        (
            FOX,
            LAKE,
            {"duration": "10s"},
            {
                "duration": "10s",
                "keyframes": [{"file_id": "file-fox"}, {"file_id": "file-lake"}],
                "keyframe_indexes": [0, 240],
            },
        ),
    ],
)
def test_frames_are_named_as_their_length_wants_it(
    start: FrameHandle | None, end: FrameHandle | None, work: Any, expected: Any
) -> None:
    video = to_payload(to_submission(start, end, **work), FILES)["video"]
    assert video == {"resolution": "720p", "duration": "5s", **expected}


@pytest.mark.parametrize(
    ("submission", "code"),
    [
        (to_submission(FOX, prompt=" "), "prompt"),
        (to_submission(LAKE), "image"),
        (to_submission(FrameHandle(url="https://example.org/fox.jpg")), "image"),
    ],
)
def test_what_luma_would_not_take_is_not_sent(submission: Submission, code: str) -> None:
    with pytest.raises(ProviderRejected) as refused:
        to_payload(submission, {"fox.jpg": "file-fox"})
    assert refused.value.code == code


# ---- what it can, and for how much ------------------------------------------------------------


def make(**values: Any) -> LumaAgents:
    return create(Settings(**values), clock=MovableClock())


def test_it_is_a_provider_with_the_documented_models() -> None:
    provider: Provider = make()
    assert (provider.name, provider.is_test) == ("luma_agents", False)
    assert list(provider.capabilities) == ["ray-3.2", "uni-1", "uni-1-max"]
    can = provider.capabilities["ray-3.2"]
    assert (can.durations, can.concepts, can.image_input) == (("5s", "10s"), (), "bytes")
    assert can.aspect_ratios == ("1:1", "16:9", "9:16", "4:3", "3:4", "21:9")
    assert can.prompt_chars == (1, 6000)


PUBLISHED = {
    "360p": (0.06, 0.18),
    "540p": (0.15, 0.45),
    "720p": (0.30, 0.90),
    "1080p": (1.20, 3.60),
}


@pytest.mark.parametrize("resolution", PUBLISHED)
def test_prices_are_those_that_luma_publishes(resolution: Any) -> None:
    for usd, duration in zip(PUBLISHED[resolution], ("5s", "10s"), strict=True):
        work = to_submission(resolution=resolution, duration=duration).work
        micros = pricing.estimate(work, make().tariffs["ray-3.2"], can=RAY)
        assert micros == round(usd * 1_000_000)


def test_a_price_of_the_operators_moves_all_in_proportion() -> None:
    tariff = make(prices={"ray-3.2": 0.12}).tariffs["ray-3.2"]
    works = [("540p", "5s", 120_000), ("1080p", "10s", 2_880_000), ("360p", "5s", 48_000)]
    for resolution, duration, micros in works:
        work = to_submission(resolution=resolution, duration=duration).work
        assert pricing.estimate(work, tariff, can=RAY) == micros


@pytest.mark.parametrize(
    ("model", "own", "micros"),
    [("uni-1", {}, 40_400), ("uni-1-max", {}, 100_000), ("uni-1", {"uni-1": 0.05}, 50_000)],
)
def test_a_still_has_one_price_whatever_its_shape(
    model: str, own: dict[str, float], micros: int
) -> None:
    provider = make(prices=own)
    assert choice.usable(provider) == ("ray-3.2",)
    assert choice.usable(provider, "image") == ("uni-1", "uni-1-max")
    for ratio in UNI[0].aspect_ratios:
        work = ImageWork(prompt="a red fox", model=model, aspect_ratio=ratio)
        tariff, can = provider.tariffs[model], provider.capabilities[model]
        assert pricing.estimate(work, tariff, can=can) == micros
        assert pricing.rate_of(tariff) == 0


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ({"prompt": " "}, "Describe the picture"),
        ({"prompt": "x" * 6001}, "yours has 6,001"),
        ({"aspect_ratio": "9:21"}, "cannot make 9:21"),
        ({"model": "ray-3.2"}, "ray-3.2 makes clips alone. Leave the still out."),
        ({"model": "uni-2"}, "The nearest is uni-1."),
    ],
)
def test_what_a_still_cannot_be_is_refused_before_any_money(work: Any, words: str) -> None:
    values = {"prompt": "a red fox", **work, "typed": frozenset(work)}
    with pytest.raises(InvalidRequest, match=words):
        choice.fit_provider(ImageWork.model_validate(values), make())


IMAGE = ImageFrame(attachment=Attachment(adapter="recording", id="1"))
EARLIER = ClipFrame(job_id=JobId("r-0"))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ({"duration": "10s", "start_frame": EARLIER}, "from these images"),
        ({"duration": "10s", "end_frame": IMAGE}, "from these images"),
        ({"duration": "10s", "loop": True}, "loops only 5s"),
        ({"loop": True, "start_frame": IMAGE, "end_frame": IMAGE}, "cannot loop"),
        ({"loop": True, "end_frame": EARLIER}, "cannot loop"),
        ({"start_frame": EARLIER, "end_frame": IMAGE}, "cannot start with"),
        ({"aspect_ratio": "9:21"}, "cannot make 9:21"),
        ({"resolution": "4k"}, "cannot make 4k"),
        ({"concepts": ("pov",)}, "no camera moves"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_any_money(work: Any, words: str) -> None:
    typed = to_submission(**work, typed=frozenset(work)).work
    with pytest.raises(InvalidRequest, match=words):
        choice.fit(typed, RAY)


@pytest.mark.parametrize(
    "work",
    [
        {"duration": "10s", "start_frame": IMAGE, "end_frame": IMAGE},
        {"duration": "10s", "start_frame": IMAGE},
        {"duration": "5s", "start_frame": EARLIER, "loop": True},
        {"duration": "5s", "start_frame": IMAGE, "loop": True},
        {"duration": "5s", "end_frame": EARLIER},
    ],
)
def test_what_the_model_can_do_is_taken_as_typed(work: Any) -> None:
    typed = to_submission(**work, typed=frozenset(work)).work
    assert choice.fit(typed, RAY) == (typed, ())


def test_settings_become_limits() -> None:
    limits = make(
        running_limit=3, creates_per_minute=7, look_seconds=9, submit_timeout_seconds=8
    ).limits
    assert (limits.running, limits.creates_per_minute) == (3, 7)
    assert (limits.look_seconds, limits.submit_seconds) == (9, 8)
    assert make().limits.look_seconds == 3


@pytest.mark.parametrize("values", [{"base_url": "agents"}, {"look_seconds": 0}, {"fun": 1}])
def test_settings_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


# ---- what we read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("created", "queued"),
        ("processing", "running"),
        ("completed", "completed"),
        ("failed", "failed"),
    ],
)
def test_recorded_generations(name: str, state: str) -> None:
    row = recorded(name)
    generation = read_generation(row)
    assert generation is not None
    assert (generation.id, generation.state) == (GENERATION, state)
    assert generation.created_at == datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC)
    assert generation.clip_url == (row["output"][0]["url"] if state == "completed" else None)
    assert (generation.failure is not None) == (state == "failed")
    assert not generation.can_retry


def test_recorded_stills() -> None:
    row = recorded("completed_still")
    done, begun = read_generation(row), read_generation(recorded("created_still"))
    assert done is not None
    assert begun is not None
    assert (begun.id, begun.state, begun.clip_url) == (done.id, "queued", None)
    assert (done.state, done.clip_url) == ("completed", row["output"][0]["url"])


def test_a_still_that_failed_was_no_clip() -> None:
    failure = to_failure({"type": "image", "failure_code": "odd", "failure_reason": "Too odd"})
    assert failure.sentence == "Luma made no picture: Too odd."


@pytest.mark.parametrize(
    "output",
    [
        None,
        [],
        {},
        [None],
        [{"type": "video"}],
        [{"type": "video", "url": "file:///etc/passwd"}],
        [{"type": "exr", "url": "https://x.example/a.exr"}],
    ],
)
def test_completed_without_a_clip_is_still_running(output: object) -> None:
    generation = read_generation({"id": "g", "state": "completed", "output": output})
    assert generation is not None
    assert (generation.state, generation.clip_url) == ("running", None)


def test_the_clip_is_found_beside_other_files() -> None:
    output = [
        {"type": "exr", "url": "https://x.example/a.exr"},
        {"type": "video", "url": "https://x.example/a.mp4"},
    ]
    generation = read_generation({"id": "g", "state": "completed", "output": output})
    assert generation is not None
    assert generation.clip_url == "https://x.example/a.mp4"


@pytest.mark.parametrize("state", ["dreaming", "new", None, 7, ["x"], {}])
def test_any_other_state_is_running(state: object) -> None:
    generation = read_generation({"id": "g", "state": state})
    assert generation is not None
    assert generation.state == "running"


@pytest.mark.parametrize("row", [None, [], "g", {}, {"id": None}, {"id": ""}, {"id": "../files"}])
def test_without_an_id_it_is_nothing(row: object) -> None:
    assert read_generation(row) is None


@pytest.mark.parametrize(("told", "code"), FAILURES.items())
def test_every_failure_code_has_a_code_and_a_sentence(told: str, code: str) -> None:
    row = {**recorded("failed"), "failure_code": told, "failure_reason": "Something of theirs"}
    generation = read_generation(row)
    assert generation is not None
    assert generation.failure is not None
    assert generation.failure.code == code
    assert generation.failure.sentence.endswith(".")
    assert "theirs" not in generation.failure.sentence
    assert generation.can_retry == (code == "service")


def test_only_faults_of_the_service_are_worth_another_try() -> None:
    again = {told for told, code in FAILURES.items() if code == "service"}
    assert again == {"generation_failed", "output_not_found", "rate_limited"}


@pytest.mark.parametrize(
    ("told", "reason", "code", "sentence"),
    [
        ("content_moderated", "Input image was flagged", "image_moderation", "Use another one."),
        ("content_moderated", None, "moderation", "other words."),
        ("invalid_request", "Loop needs a start", "loop", "Leave the loop out."),
        ("invalid_request", "Too odd.", "unknown", "Luma made no clip: Too odd."),
        ("something_new", "Too odd", "unknown", "Luma made no clip: Too odd."),
        (None, None, "unknown", "gave no reason. Ask again."),
        (None, "At https://x.example/?a=b", "unknown", "no clip: At (link)."),
        (7, "<html>", "unknown", "gave no reason. Ask again."),
        (["x"], 5, "unknown", "gave no reason. Ask again."),
    ],
)
def test_other_failures_are_told_in_a_sentence(
    told: object, reason: object, code: str, sentence: str
) -> None:
    failure = to_failure({"failure_code": told, "failure_reason": reason})
    assert failure.code == code
    assert failure.sentence.endswith(sentence)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
PARTS = ("id", "state", "output", "created_at", "failure_code", "failure_reason")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, json_values)))
def test_no_shape_upsets_the_reader(row: dict[str, Any]) -> None:
    read_generation({"id": "g", **row})
    read_generation({"id": "g", **row, "state": "failed"})
    read_generation({"id": "g", **row, "state": "completed"})


# ---- what it refuses --------------------------------------------------------------------------

REFUSALS = [
    (400, "Prompt must be between 1 and 6000 characters", "prompt"),
    (400, "Prompt violates our content guidelines", "moderation"),
    (422, "video.start_frame: image was flagged by moderation", "image_moderation"),
    (403, "Flagged by content moderation", "moderation"),
    (400, "Unknown model: ray-3.2", "model"),
    (400, "Type 'video' is not supported for model 'uni-1'", "model"),
    (404, "Generation not found", "frames"),
    (400, "Generation 1f0c-22 is not completed", "frames"),
    (422, "loop is not supported with duration=10s", "loop"),
    (422, "video.start_frame: invalid base64 data", "image"),
    (422, "video.start_frame: failed to fetch URL (HTTP 404)", "image"),
    (422, "video.start_frame: content-type is not an image", "image"),
    (413, "Image exceeds 50 MB size limit", "image"),
    (413, "", "image"),
    (400, "A new reason", "refused"),
    (422, "Duration is odd", "refused"),
]


@pytest.mark.parametrize(("status", "detail", "code"), REFUSALS)
def test_every_refusal_has_a_code_and_a_sentence(status: int, detail: str, code: str) -> None:
    error = read_error(httpx.Response(status, json={"detail": detail}), name="agents")
    assert isinstance(error, ProviderRejected)
    assert (error.code, error.provider) == (code, "agents")
    assert error.sentence


CLOSED = [
    (401, "Missing or invalid API key", ProviderAuthError),
    (401, "API key has expired", ProviderAuthError),
    (403, "API client is suspended", ProviderAuthError),
    (402, "Insufficient balance", ProviderOutOfCredits),
    (400, "Insufficient credits", ProviderOutOfCredits),
    (404, "Not Found", ProviderRetired),
    (405, "Method Not Allowed", ProviderRetired),
    (410, "Gone", ProviderRetired),
    (429, "Rate limit exceeded", ProviderUnavailable),
    (404, "File not found", ProviderUnavailable),
    (422, "video.start_frame: file is not ready (state pending)", ProviderUnavailable),
    (500, "Internal Server Error", ProviderUnavailable),
    (502, "Upstream service unavailable", ProviderUnavailable),
    (503, "Image URL ingestion unavailable", ProviderUnavailable),
    (301, "Moved", ProviderUnavailable),
]


@pytest.mark.parametrize(("status", "detail", "kind"), CLOSED)
def test_what_is_not_about_the_request_has_its_own_type(
    status: int, detail: str, kind: type[ProviderError]
) -> None:
    assert type(read_error(httpx.Response(status, json={"detail": detail}))) is kind


def test_a_key_of_the_other_api_is_sent_to_its_provider() -> None:
    error = read_error(httpx.Response(401, json=recorded("error_key")))
    assert "[providers.luma]" in error.sentence
    assert "luma-api-" in error.sentence
    suspended = read_error(httpx.Response(403, json={"detail": "API client is suspended"}))
    assert "suspended" in suspended.sentence


def test_a_list_of_field_errors_is_read() -> None:
    error = read_error(httpx.Response(422, json=recorded("error_fields")))
    assert isinstance(error, ProviderRejected)
    assert "Field required" in error.sentence


def test_links_and_pages_are_never_quoted() -> None:
    link = f"https://storage.example.com/a?X-Amz-Signature={SIGNATURE}"
    for status in (400, 403, 404, 422, 500):
        error = read_error(httpx.Response(status, json={"detail": f"No {link}"}))
        assert SIGNATURE not in error.sentence
        page = read_error(httpx.Response(status, content=b"<h1>Blocked</h1> credits"))
        assert "Blocked" not in page.sentence


DATE = "Sun, 22 Nov 2026 12:00:00 GMT"
NOW = int(SENT_AT.timestamp())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12", "X-RateLimit-Reset": str(NOW + 50), "Date": DATE}, 12),
        ({"X-RateLimit-Reset": str(NOW + 50), "Date": DATE}, 50),
        ({"X-RateLimit-Reset": str(NOW - 50), "Date": DATE}, 1),
        ({"X-RateLimit-Reset": str(NOW + 999_999), "Date": DATE}, 3600),
        ({"X-RateLimit-Reset": str(NOW + 50)}, 15),
        ({"X-RateLimit-Reset": "soon", "Date": DATE}, 15),
        ({}, 15),
    ],
)
def test_a_pause_is_as_long_as_luma_says(headers: dict[str, str], seconds: float) -> None:
    error = read_error(httpx.Response(429, headers=headers, json={"detail": "Slow"}))
    assert error.retry_after == seconds


# ---- the server -------------------------------------------------------------------------------


@dataclass
class Script:
    """A server that gives prepared answers, each once, in their order by method and path."""

    answers: dict[str, list[web.Response | str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    url: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def plan(self, call: str, *answers: web.Response | str | tuple[int, Any]) -> None:
        """Prepare answers: a reply, a status with its body, or `drop` and `hang`."""
        self.answers.setdefault(call, []).extend(
            web.json_response(each[1], status=each[0]) if isinstance(each, tuple) else each
            for each in answers
        )

    async def answer(self, request: web.Request) -> web.Response:
        """Remember the request, give its next answer."""
        call = f"{request.method} {request.raw_path}"
        self.calls.append(call)
        self.keys.add(request.headers.get("Authorization", ""))
        if request.content_type == "multipart/form-data":
            form = await request.post()
            file = form["file"]
            assert isinstance(file, web.FileField)
            about = {"content": file.file.read(), "type": file.content_type}
            self.bodies.append({**form, "file": about})
        elif request.can_read_body:
            self.bodies.append(await request.json())
        match self.answers[call].pop(0):
            case "drop":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "hang":
                await self.released.wait()
                return web.Response()
            case web.Response() as reply:
                return reply
            case other:
                pytest.fail(other)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield script
    script.released.set()
    await runner.cleanup()


@pytest.fixture
async def luma(script: Script) -> AsyncIterator[LumaAgents]:
    table = Settings(api_key=SecretStr(KEY), base_url=script.url, read_timeout_seconds=10)
    provider = create(table, clock=MovableClock())
    yield provider
    await provider.aclose()


@pytest.fixture
def image(tmp_path: Path) -> FrameHandle:
    path = tmp_path / "start.jpg"
    path.write_bytes(b"fox")
    return FrameHandle(path=str(path), content_type="image/jpeg")


CREATE, UPLOAD = "POST /v1/generations", "POST /v1/files"
LOOK, LOOK_FILE = f"GET /v1/generations/{GENERATION}", f"GET /v1/files/{FILE}"


def file_row(state: str, reason: str | None = None) -> tuple[int, Any]:
    return 200, {**recorded("file")["file"], "state": state, "failure_reason": reason}


# ---- submitting -------------------------------------------------------------------------------


async def test_words_are_one_post(luma: LumaAgents, script: Script) -> None:
    script.plan(CREATE, (201, recorded("created")))
    generation = await luma.submit(to_submission())
    assert (generation.id, generation.state) == (GENERATION, "queued")
    assert script.calls == [CREATE]
    assert script.keys == {f"Bearer {KEY}"}
    assert script.bodies == [to_payload(to_submission(), {})]


async def test_an_image_is_uploaded_and_waited_for_before_anything_is_paid(
    luma: LumaAgents, script: Script, image: FrameHandle
) -> None:
    script.plan(UPLOAD, (201, recorded("file")))
    script.plan(LOOK_FILE, file_row("pending"), file_row("ready"))
    script.plan(CREATE, (201, recorded("created")))
    assert (await luma.submit(to_submission(image))).id == GENERATION
    assert script.calls == [UPLOAD, LOOK_FILE, LOOK_FILE, CREATE]
    assert script.bodies[0] == {
        "file": {"content": b"fox", "type": "image/jpeg"},
        "purpose": "input",
        "expires_at": "2026-11-23T12:00:00+00:00",
        "user_id": SOMEBODY,
    }
    assert script.bodies[1]["video"]["start_frame"] == {"file_id": FILE}


async def test_the_same_image_at_both_ends_is_uploaded_once(
    luma: LumaAgents, script: Script, image: FrameHandle
) -> None:
    script.plan(UPLOAD, (201, {**recorded("file"), "state": "ready"}))
    script.plan(CREATE, (201, recorded("created")))
    await luma.submit(to_submission(image, image))
    assert script.calls == [UPLOAD, CREATE]
    video = script.bodies[1]["video"]
    assert video["start_frame"] == video["end_frame"] == {"file_id": FILE}


async def test_an_earlier_clip_needs_no_upload(luma: LumaAgents, script: Script) -> None:
    script.plan(CREATE, (201, recorded("created")))
    await luma.submit(to_submission(CLIP))
    assert script.calls == [CREATE]
    assert script.bodies[0]["video"]["start_frame"] == {"generation_id": "g-7"}


async def test_an_image_without_words_is_refused_before_it_is_uploaded(
    luma: LumaAgents, script: Script, image: FrameHandle
) -> None:
    with pytest.raises(ProviderRejected) as refused:
        await luma.submit(to_submission(image, prompt=""))
    assert refused.value.code == "prompt"
    assert script.calls == []


@pytest.mark.parametrize(
    ("looks", "kind", "words"),
    [
        ([file_row("failed", "Corrupt bytes")], ProviderRejected, "cannot read the image"),
        ([file_row("failed", "Too odd.")], ProviderRejected, "this image: Too odd. Use"),
        ([file_row("failed")], ProviderRejected, "cannot read the image"),
        ([file_row("failed", "Flagged by moderation")], ProviderRejected, "filter refuses"),
        ([file_row("deleted")], ProviderUnavailable, "does not have the image"),
        ([(404, {"detail": "File not found"})], ProviderUnavailable, "does not have the image"),
        ([file_row("new")], ProviderUnavailable, "does not have the image"),
        ([(200, {"state": ["x"]})], ProviderUnavailable, "does not have the image"),
        ([(500, {}), (500, {})], ProviderUnavailable, "cannot be reached"),
        ([(401, {})], ProviderAuthError, "luma-api-"),
    ],
)
async def test_an_image_that_fails_means_that_nothing_was_submitted(
    luma: LumaAgents,
    script: Script,
    image: FrameHandle,
    looks: list[Any],
    kind: type[ProviderError],
    words: str,
) -> None:
    script.plan(UPLOAD, (201, recorded("file")))
    script.plan(LOOK_FILE, *looks)
    with pytest.raises(kind, match=words):
        await luma.submit(to_submission(image))
    assert CREATE not in script.calls


UPLOADS = [
    ((500, {}), ProviderUnavailable),
    ((503, {}), ProviderUnavailable),
    ((404, {"detail": "Not Found"}), ProviderUnavailable),
    ((409, {}), ProviderUnavailable),
    ((429, {"detail": "Rate limit exceeded"}), ProviderUnavailable),
    ((201, {}), ProviderUnavailable),
    ((201, []), ProviderUnavailable),
    ((201, {"id": 5, "state": "ready"}), ProviderUnavailable),
    ("drop", ProviderUnavailable),
    ((401, {"detail": "Invalid API key"}), ProviderAuthError),
    ((403, {"detail": "API client is suspended"}), ProviderAuthError),
    ((402, {"detail": "Insufficient balance"}), ProviderOutOfCredits),
    ((413, {"detail": "Image exceeds 50 MB size limit"}), ProviderRejected),
    ((415, {}), ProviderRejected),
    ((422, {"detail": "Too odd"}), ProviderRejected),
]


@pytest.mark.parametrize(("answer", "kind"), UPLOADS)
async def test_a_refused_upload_means_that_nothing_was_submitted(
    luma: LumaAgents, script: Script, image: FrameHandle, answer: Any, kind: type[ProviderError]
) -> None:
    script.plan(UPLOAD, answer)
    with pytest.raises(ProviderError) as refused:
        await luma.submit(to_submission(image))
    assert type(refused.value) is kind
    assert script.calls == [UPLOAD]


@pytest.mark.parametrize("stage", ["upload", "ingest"])
async def test_an_upload_that_takes_too_long_means_that_nothing_was_submitted(
    script: Script, image: FrameHandle, stage: str
) -> None:
    script.plan(UPLOAD, "hang" if stage == "upload" else (201, recorded("file")))
    script.plan(LOOK_FILE, *[file_row("pending")] * 9)
    table = Settings(base_url=script.url, submit_timeout_seconds=0.4)
    luma = create(table, clock=MovableClock())
    with pytest.raises(ProviderUnavailable):
        await luma.submit(to_submission(image))
    assert CREATE not in script.calls
    await luma.aclose()


async def test_an_image_that_is_gone_from_the_disk_is_an_outage(
    luma: LumaAgents, script: Script, tmp_path: Path
) -> None:
    with pytest.raises(ProviderUnavailable):
        await luma.submit(to_submission(FrameHandle(path=str(tmp_path / "gone.jpg"))))
    assert script.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        "drop",
        (500, {}),
        (502, {}),
        (503, {}),
        (409, {}),
        (201, {}),
        (201, []),
        (200, {"id": None}),
    ],
    ids=str,
)
async def test_an_answer_that_says_nothing_leaves_it_open_and_is_never_repeated(
    luma: LumaAgents, script: Script, answer: Any
) -> None:
    script.plan(CREATE, answer)
    with pytest.raises(SubmissionUncertain):
        await luma.submit(to_submission())
    assert script.calls == [CREATE]


# ---- looking ----------------------------------------------------------------------------------


def names(*ids: str) -> list[GenerationId]:
    return [GenerationId(each) for each in ids]


async def test_each_is_asked_for_and_only_its_own_answer_counts(
    luma: LumaAgents, script: Script
) -> None:
    script.plan(LOOK, (200, recorded("completed")))
    script.plan("GET /v1/generations/gone", (404, {"detail": "Generation not found"}))
    script.plan("GET /v1/generations/other", (200, recorded("failed")))
    script.plan("GET /v1/generations/odd", (200, {"state": "completed"}))
    seen = await luma.check(names(GENERATION, "gone", "other", "odd"))
    assert set(seen) == {GENERATION}
    assert seen[GenerationId(GENERATION)].state == "completed"


async def test_one_that_fails_hides_no_other_but_all_of_them_are_an_outage(
    luma: LumaAgents, script: Script
) -> None:
    script.plan(LOOK, (200, recorded("processing")), (401, {}))
    script.plan("GET /v1/generations/a", *[(500, {})] * 4)
    assert set(await luma.check(names(GENERATION, "a"))) == {GENERATION}
    with pytest.raises(ProviderError):
        await luma.check(names(GENERATION, "a"))


async def test_odd_ids_stay_inside_the_path(luma: LumaAgents, script: Script) -> None:
    call = "GET /v1/generations/a%2F..%2F..%2Ffiles%3Fx=1"
    script.plan(call, (404, {}))
    assert await luma.check(names("a/../../files?x=1")) == {}
    assert script.calls == [call]


# ---- what it does not have --------------------------------------------------------------------


async def test_nobody_can_tell_what_became_of_a_lost_answer(
    luma: LumaAgents, script: Script
) -> None:
    assert await luma.find(to_submission(), []) == CannotTell()
    assert script.calls == []


async def test_it_stops_nothing(luma: LumaAgents, script: Script) -> None:
    assert await luma.cancel(GenerationId(GENERATION)) is False
    assert script.calls == []


async def test_it_tells_no_balance_but_whether_the_key_is_good(
    luma: LumaAgents, script: Script
) -> None:
    files = {"data": [], "has_more": False, "next_cursor": None}
    script.plan("GET /v1/files?limit=1", (200, files), (404, {}), (401, recorded("error_key")))
    assert await luma.balance() is None
    assert await luma.balance() is None
    with pytest.raises(ProviderAuthError):
        await luma.balance()


@settings(max_examples=30)
@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    st.binary(max_size=40) | st.just((RECORDED / "completed.json").read_bytes()),
)
def test_nobody_is_believed_who_calls(headers: dict[str, str], body: bytes) -> None:
    assert asyncio.run(make().read_callback(headers, body, "token")) is None


# ---- the rest ---------------------------------------------------------------------------------


async def test_an_end_that_is_announced_is_noticed(luma: LumaAgents, script: Script) -> None:
    reply = web.json_response(recorded("processing"), headers={"Sunset": "soon"})
    script.plan(LOOK, reply)
    assert luma.sunset is None
    await luma.check(names(GENERATION))
    assert luma.sunset == "soon"


async def test_requests_are_counted(script: Script) -> None:
    metrics = Metrics()
    luma = create(Settings(base_url=script.url), clock=MovableClock(), metrics=metrics)
    script.plan(CREATE, (201, recorded("created")))
    script.plan(LOOK, (404, {}))
    await luma.submit(to_submission())
    await luma.check(names(GENERATION))
    await luma.aclose()
    text = metrics.render().decode()
    assert '{method="POST",outcome="2xx",provider="luma_agents"} 1.0' in text
    assert '{method="GET",outcome="4xx",provider="luma_agents"} 1.0' in text


async def test_nothing_of_a_prompt_or_a_secret_is_logged_or_told(
    luma: LumaAgents, script: Script, image: FrameHandle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    script.plan(UPLOAD, (201, {**recorded("file"), "state": "ready"}))
    script.plan(CREATE, (422, {"detail": f"No https://x.example/?k={SIGNATURE} for {KEY}"}))
    script.plan(LOOK, (200, recorded("completed")))
    with pytest.raises(ProviderRejected) as refused:
        await luma.submit(to_submission(image, prompt="a very private prompt"))
    await luma.check(names(GENERATION))
    told = caplog.text + refused.value.sentence
    for secret in ("very private", SIGNATURE):
        assert secret not in told
    assert KEY not in redact(told)
    assert KEY not in repr(Settings(api_key=SecretStr(KEY)))
