"""Replicate's provider: its pure readers on recorded replies, and its calls to a local server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
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

from bot import choice
from bot.dialects.predictions import (
    compare,
    read_generation,
    to_failure,
    to_payload,
)
from bot.dialects.signed_calls import is_signed
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
from bot.ports import Absent, CannotTell, Found, FrameHandle, Provider, Submission
from bot.providers.replicate import (
    INLINE_BYTES,
    MAX_PAGES,
    Replicate,
    Settings,
    create,
    read_error,
)
from bot.refs import Attachment, GenerationId, JobId
from bot.request import ClipFrame, ImageFrame, VideoWork, to_video
from bot.tariffs import PerClip
from tests.fakes import MovableClock

RECORDED = Path(__file__).parents[2] / "recorded" / "replicate"
KEY = "r8_0123456789abcdef0123456789abcdef01234"
TOKEN = "SECRET-TOKEN-0001"
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
CALLBACK = f"https://bot.example.org/callbacks/replicate/{TOKEN}"
SENT_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ID = GenerationId("gm3qorzdhgbfurvjtvhg6dckhu")


def recorded(name: str) -> Any:
    """A reply as Replicate's papers and public reports show them."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def to_submission(*, callback: bool = False, frames: Any = None, **work: Any) -> Submission:
    """An attempt as it is sent (with `callback`: there is a public address)."""
    values = {"prompt": "a red fox in snow", "aspect_ratio": "16:9", **work}
    return Submission(
        job_id=JobId("r-1"),
        attempt=1,
        work=VideoWork.model_validate(values),
        sent_at=SENT_AT,
        token_hash=HASH,
        callback_url=CALLBACK if callback else None,
        has_callback=callback,
        **(frames or {}),
    )


def stored(submission: Submission) -> Submission:
    """The same as it comes back from the store, without the secret."""
    return submission.model_copy(update={"callback_url": None})


# ---- what we send ------------------------------------------------------------------------------


def test_a_plain_prompt_is_sent_with_all_that_has_a_default_there() -> None:
    assert to_payload(to_submission()) == {
        "input": {
            "prompt": "a red fox in snow",
            "duration": 5,
            "aspect_ratio": "16:9",
            "loop": False,
        }
    }


def test_a_full_request() -> None:
    submission = to_submission(
        callback=True,
        prompt="  slow zoom \n",
        duration="9s",
        aspect_ratio="9:21",
        loop=True,
        concepts=("orbit_left", "aerial"),
    )
    images = {"start_image": "data:image/png;base64,AAAA", "end_image": "https://x/y"}
    assert to_payload(submission, images) == {
        "input": {
            "prompt": "slow zoom",
            "duration": 9,
            "aspect_ratio": "9:21",
            "loop": True,
            "concepts": ["orbit_left", "aerial"],
            **images,
        },
        "webhook": CALLBACK,
        "webhook_events_filter": ["start", "completed"],
    }


def test_an_image_without_a_prompt_still_sends_one_as_the_schema_wants_it() -> None:
    assert to_payload(to_submission(prompt=""))["input"]["prompt"] == ""


# ---- what we read ------------------------------------------------------------------------------

CLIP = "https://replicate.delivery/xezq/ESnNsqooCLqnGZIe8zxsIE8T/tmp0a1b2c3d.mp4"


@pytest.mark.parametrize(
    ("name", "state", "clip", "code", "can_retry"),
    [
        ("created", "queued", None, None, False),
        ("processing", "running", None, None, False),
        ("succeeded", "completed", CLIP, None, False),
        ("removed", "failed", None, "expired", False),
        ("flagged", "failed", None, "moderation", False),
        ("interrupted", "failed", None, "service", True),
        ("canceled", "failed", None, "canceled", False),
        ("aborted", "failed", None, "aborted", False),
    ],
)
def test_recorded_predictions(
    name: str, state: str, clip: str | None, code: str | None, can_retry: bool
) -> None:
    generation = read_generation(recorded(name))
    assert generation is not None
    assert (generation.id, generation.state, generation.clip_url) == (ID, state, clip)
    assert generation.created_at == datetime.fromisoformat("2026-11-22T12:00:01.388000+00:00")
    assert (generation.failure.code if generation.failure else None) == code
    assert generation.can_retry is can_retry
    assert generation.failure is None or generation.failure.sentence.endswith(".")


def test_a_fault_that_came_after_the_start_may_have_cost_and_is_not_tried_again() -> None:
    row = {**recorded("interrupted"), "started_at": "2026-11-22T12:00:02.104000Z"}
    generation = read_generation(row)
    assert generation is not None
    assert generation.failure is not None
    assert (generation.failure.code, generation.can_retry) == ("service", False)


@pytest.mark.parametrize("output", [None, "", 5, {}, [], [None], "file:///etc/passwd", ["x"]])
def test_what_is_done_and_shows_no_clip_is_never_awaited_for_ever(output: object) -> None:
    generation = read_generation({**recorded("succeeded"), "output": output})
    assert generation is not None
    assert generation.failure is not None
    assert (generation.state, generation.failure.code) == ("failed", "empty")


def test_an_output_may_be_a_list_of_one() -> None:
    generation = read_generation({**recorded("succeeded"), "output": [CLIP]})
    assert generation is not None
    assert generation.clip_url == CLIP


@pytest.mark.parametrize("status", ["queued", "something new", 7, None, ["x"]])
def test_any_other_status_is_running(status: object) -> None:
    generation = read_generation({**recorded("created"), "status": status})
    assert generation is not None
    assert generation.state == "running"


@pytest.mark.parametrize("row", [None, [], "g", {}, {"id": None}, {"id": ""}, {"id": "../x"}])
def test_without_an_id_it_is_nothing(row: object) -> None:
    assert read_generation(row) is None


def test_the_token_is_read_from_an_echo_and_kept_only_as_a_hash() -> None:
    generation = read_generation({**recorded("created"), "webhook": CALLBACK})
    assert generation is not None
    assert generation.token_hash == HASH
    assert TOKEN not in repr(generation)


WORDS = {
    "The input or output was flagged as sensitive. Try again. (E005) (a1)": "moderation",
    "NSFW content detected": "moderation",
    "Advanced prompt moderation failed": "moderation",
    "Contains blacklisted words": "moderation",
    "Frame moderation failed": "image_moderation",
    "An error occurred while processing your request (E001) (1cah9wlWR9)": "service",
    "Director: unexpected error handling prediction (E9828)": "service",
    "E6716: Timeout starting prediction": "service",
    "Service is temporarily unavailable. Please try again later. (E004)": "service",
    "Prediction timed out": "service",
    "Prediction interrupted; please retry (code: PA)": "service",
    "Job failed": "service",
    "Loop is not supported for keyframes": "loop",
    "start_image could not be opened": "image",
    "A new reason": "unknown",
    "": "unknown",
}


@pytest.mark.parametrize(("said", "code"), WORDS.items())
def test_every_known_failure_has_a_code_and_a_sentence(said: str, code: str) -> None:
    failure = to_failure("failed", said)
    assert failure.code == code
    assert failure.sentence.endswith(".")
    assert not failure.sentence.endswith("..")


def test_an_unknown_failure_is_quoted_without_links() -> None:
    row = {**recorded("flagged"), "error": "No cat at https://x.example/a?b=c."}
    generation = read_generation(row)
    assert generation is not None
    assert generation.failure is not None
    assert generation.failure.sentence == "Replicate made no clip: No cat at (link)."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ("id", "status", "error", "created_at", "output", "input", "model", "data_removed")
ASKED = ("prompt", "duration", "aspect_ratio", "loop", "concepts", "start_image")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(FIELDS, json_values),
            "input": st.fixed_dictionaries({}, optional=dict.fromkeys(ASKED, json_values)),
        },
    )
)
def test_no_shape_upsets_the_reader(row: dict[str, Any]) -> None:
    read_generation(row)
    assert compare(row, to_submission()) in ("ours", "maybe", "other")


# ---- errors ------------------------------------------------------------------------------------

REFUSALS = [
    (422, "- input: prompt is required", "prompt"),
    (422, "- input.prompt: Invalid type. Expected: string", "prompt"),
    (422, "- input.start_image: Does not match format 'uri'", "image"),
    (422, "- input.end_image: Does not match format 'uri'", "image"),
    (400, "Advanced prompt moderation failed", "moderation"),
    (400, "The input was flagged as sensitive (E005)", "moderation"),
    (413, "Too large", "refused"),
    (422, "- input.duration: must be one of the following: 5, 9", "refused"),
]


@pytest.mark.parametrize(("status", "detail", "code"), REFUSALS)
def test_every_refusal_has_a_code_and_a_sentence(status: int, detail: str, code: str) -> None:
    error = read_error(httpx.Response(status, json={"detail": detail, "status": status}))
    assert isinstance(error, ProviderRejected)
    assert (error.code, error.provider) == (code, "replicate")
    assert error.sentence


CLOSED = [
    (401, "You did not pass a valid authentication token", ProviderAuthError),
    (403, "You do not have permission to do that", ProviderAuthError),
    (402, "You have insufficient credit to run this model", ProviderOutOfCredits),
    (403, "Set up billing to run this model", ProviderOutOfCredits),
    (404, "The requested resource could not be found.", ProviderRetired),
    (405, "Method Not Allowed", ProviderRetired),
    (410, "Gone", ProviderRetired),
    (429, "Request was throttled.", ProviderUnavailable),
    (500, "Internal Server Error", ProviderUnavailable),
    (503, "Service Unavailable", ProviderUnavailable),
    (301, "Moved", ProviderUnavailable),
]


@pytest.mark.parametrize(("status", "detail", "kind"), CLOSED)
def test_what_is_not_about_the_request_has_its_own_type(
    status: int, detail: str, kind: type[ProviderError]
) -> None:
    assert type(read_error(httpx.Response(status, json={"detail": detail}))) is kind


@pytest.mark.parametrize(
    ("name", "kind"), [("error_credit", ProviderOutOfCredits), ("error_key", ProviderAuthError)]
)
def test_recorded_refusals_of_the_account(name: str, kind: type[ProviderError]) -> None:
    body = recorded(name)
    assert type(read_error(httpx.Response(body["status"], json=body))) is kind


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, recorded("error_throttled"), 7),
        ({}, recorded("error_throttled"), 5),
        ({}, {"detail": "Request was throttled. Your rate limit resets in ~30s."}, 30),
        ({}, {"detail": "Request was throttled."}, 15),
        ({}, {"retry_after": -1}, 15),
        ({}, {"retry_after": "soon"}, 15),
        ({}, [], 15),
    ],
)
def test_a_pause_is_read_wherever_it_stands(
    headers: dict[str, str], body: Any, seconds: float
) -> None:
    """An account with little credit is slowed down, which is no lack of credits yet."""
    error = read_error(httpx.Response(429, json=body, headers=headers))
    assert type(error) is ProviderUnavailable
    assert error.retry_after == seconds


def test_a_page_of_html_is_never_quoted() -> None:
    body = b"<html><h1>Request blocked</h1> credit </html>"
    for status in (400, 403, 404, 422, 500):
        assert "blocked" not in read_error(httpx.Response(status, content=body)).sentence


# ---- capabilities, prices, settings ------------------------------------------------------------


def make(**values: Any) -> Replicate:
    return create(Settings(**values), clock=MovableClock())


def test_it_is_a_provider_of_both_models_in_two_sizes() -> None:
    provider: Provider = make()
    assert list(provider.capabilities) == ["ray-flash-2", "ray-2"]
    assert (provider.name, provider.is_test, provider.sunset) == ("replicate", False, None)
    for model in provider.capabilities.values():
        assert (model.durations, model.resolutions) == (("5s", "9s"), ("540p", "720p"))
        assert model.image_input == "bytes"
        kinds = {kind for pair in model.frames for kind in pair}
        assert (len(model.frames), kinds) == (4, {"none", "image"})


def test_published_prices_to_the_cent() -> None:
    """Dollars for a clip: $0.033, $0.06, $0.10 and $0.18 a second."""
    told = {
        (model, size, length): micros
        for model, tariff in make().tariffs.items()
        if isinstance(tariff, PerClip)
        for (size, length), micros in tariff.clips.items()
    }
    assert told == {
        ("ray-flash-2", "540p", "5s"): 165_000,
        ("ray-flash-2", "540p", "9s"): 297_000,
        ("ray-flash-2", "720p", "5s"): 300_000,
        ("ray-flash-2", "720p", "9s"): 540_000,
        ("ray-2", "540p", "5s"): 500_000,
        ("ray-2", "540p", "9s"): 900_000,
        ("ray-2", "720p", "5s"): 900_000,
        ("ray-2", "720p", "9s"): 1_620_000,
    }


def test_a_price_of_the_operators_is_for_a_second_of_one_size() -> None:
    tariff = make(prices={"ray-2-720p": 0.2}).tariffs["ray-2"]
    assert isinstance(tariff, PerClip)
    assert tariff.clips[("720p", "9s")] == 1_800_000
    assert tariff.clips[("540p", "9s")] == 900_000


@pytest.mark.parametrize("size", ["1080p", "4k"])
def test_larger_sizes_go_to_another_service(size: str) -> None:
    work = to_submission(resolution=size, typed=frozenset({"resolution"})).work
    with pytest.raises(InvalidRequest):
        choice.choose(work, [make()])


def test_a_clip_cannot_be_a_frame() -> None:
    work = to_submission(start_frame=ClipFrame(job_id=JobId("r-9"))).work
    with pytest.raises(InvalidRequest):
        choice.choose(work, [make()])


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "api.replicate.com"},
        {"prices": {"ray-2": 0.1}},
        {"prices": {"luma/ray-2-720p": 0.1}},
        {"prices": {"ray-2-720p": -1}},
        {"running_limit": 0},
        {"colour": "red"},
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(values)


# ---- the server --------------------------------------------------------------------------------


@dataclass
class ReplicateServer:
    """Replicate's API as far as the provider uses it; `answers` come before its own."""

    rows: list[dict[str, Any]] = field(default_factory=list)  # newest first
    answers: list[web.Response | str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    page: int = 100
    shows: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row
    stops: str = "aborted"
    secret: str = "whsec_" + base64.b64encode(b"a secret of this account").decode()

    @web.middleware
    async def answer_first(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Give the next prepared answer, if there is one."""
        self.calls.append(f"{request.method} {request.path_qs.removeprefix('/v1/')}")
        self.keys.add(request.headers.get("Authorization", ""))
        prepared = self.answers.pop(0) if self.answers else None
        if isinstance(prepared, web.Response):
            return prepared
        if prepared == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        response: web.StreamResponse = await handler(request)
        response.headers["Date"] = f"{SENT_AT:%a, %d %b %Y %H:%M:%S} GMT"
        return response

    async def on_create(self, request: web.Request) -> web.Response:
        """Take a request and echo it."""
        body = await request.json()
        self.bodies.append(body)
        row = {**recorded("created"), "id": f"new{len(self.rows)}", "input": body["input"]}
        row |= {"model": f"luma/{request.match_info['name']}", "webhook": body.get("webhook")}
        self.rows.insert(0, row)
        return web.json_response(row, status=201)

    async def on_list(self, request: web.Request) -> web.Response:
        """A page, newest first; the cursor needs to be quoted."""
        offset = int(request.query.get("cursor", "+0/=").strip("+/="))
        rows = [self.shows(row) for row in self.rows[offset : offset + self.page]]
        following = offset + self.page
        cursor = f"https://elsewhere.example/?cursor=%2B{following}%2F%3D"
        has_more = following < len(self.rows)
        return web.json_response({"next": cursor if has_more else None, "results": rows})

    async def on_get(self, request: web.Request) -> web.Response:
        """One prediction, whole."""
        for row in self.rows:
            if row["id"] == request.match_info["id"]:
                return web.json_response(row)
        return web.json_response(
            {"detail": "The requested resource could not be found."}, status=404
        )

    async def on_cancel(self, _: web.Request) -> web.Response:
        """Stop it."""
        return web.json_response({**recorded("created"), "status": self.stops})

    async def on_upload(self, request: web.Request) -> web.Response:
        """Keep a file."""
        file = (await request.post())["content"]
        assert isinstance(file, web.FileField)
        self.files.append((file.filename, file.content_type, file.file.read()))
        return web.json_response(recorded("file"), status=201)

    async def on_account(self, _: web.Request) -> web.Response:
        """Who asks."""
        return web.json_response(recorded("account"))

    async def on_secret(self, _: web.Request) -> web.Response:
        """What calls are signed with."""
        return web.json_response({"key": self.secret})

    def sign(self, body: bytes, at: datetime, *, secret: str = "") -> dict[str, str]:
        """The headers of a call."""
        key = base64.b64decode((secret or self.secret).removeprefix("whsec_"))
        stamp = str(int(at.timestamp()))
        digest = hmac.digest(key, f"msg_1.{stamp}.".encode() + body, "sha256")
        return {
            "Webhook-Id": "msg_1",
            "Webhook-Timestamp": stamp,
            "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
        }


@pytest.fixture
def server() -> ReplicateServer:
    return ReplicateServer()


@pytest.fixture
async def base_url(server: ReplicateServer) -> AsyncIterator[str]:
    application = web.Application(middlewares=[server.answer_first], client_max_size=1 << 22)
    application.add_routes(
        [
            web.post("/v1/models/luma/{name}/predictions", server.on_create),
            web.get("/v1/predictions", server.on_list),
            web.get("/v1/predictions/{id}", server.on_get),
            web.post("/v1/predictions/{id}/cancel", server.on_cancel),
            web.post("/v1/files", server.on_upload),
            web.get("/v1/account", server.on_account),
            web.get("/v1/webhooks/default/secret", server.on_secret),
        ]
    )
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture
def clock() -> MovableClock:
    """As late as the recorded predictions are."""
    own = MovableClock()
    own.move(seconds=(SENT_AT - own.now()).total_seconds())
    return own


@pytest.fixture
async def replicate(base_url: str, clock: MovableClock) -> AsyncIterator[Replicate]:
    table = Settings(
        api_key=SecretStr(KEY),
        base_url=base_url,
        gets_per_second=10_000,
        read_timeout_seconds=3,
        submit_timeout_seconds=3,
    )
    own = create(table, clock=clock)
    yield own
    await own.aclose()


def says(status: int, **body: Any) -> web.Response:
    return web.json_response({"detail": "no", "status": status, **body}, status=status)


def names(*ids: str) -> list[GenerationId]:
    return [GenerationId(each) for each in ids]


# ---- submit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["540p", "720p"])
@pytest.mark.parametrize("model", ["ray-flash-2", "ray-2"])
async def test_a_submission_is_one_post_to_the_model_of_its_size(
    replicate: Replicate, server: ReplicateServer, model: str, size: str
) -> None:
    submission = to_submission(callback=True, model=model, resolution=size)
    taken = await replicate.submit(submission)
    assert (taken.id, taken.state, taken.token_hash) == ("new0", "queued", HASH)
    assert server.calls == [f"POST models/luma/{model}-{size}/predictions"]
    assert server.bodies == [to_payload(submission)]
    assert server.keys == {f"Bearer {KEY}"}


async def test_one_that_is_done_at_once_is_told_so(
    replicate: Replicate, server: ReplicateServer
) -> None:
    server.answers = [web.json_response(recorded("succeeded"), status=201)]
    assert (await replicate.submit(to_submission())).clip_url == CLIP


@pytest.mark.parametrize(
    "answer",
    [
        web.json_response({}, status=201),
        web.Response(body=b'{"id": "a', status=201),
        says(500),
        says(502),
        says(408),
        says(409),
        web.Response(status=302, headers={"Location": "/v1/account"}),
        "drop",
    ],
    ids=["no id", "cut", "500", "502", "408", "409", "302", "lost"],
)
async def test_without_a_clear_answer_it_is_in_doubt_and_never_sent_again(
    replicate: Replicate, server: ReplicateServer, answer: web.Response | str
) -> None:
    server.answers = [answer]
    with pytest.raises(SubmissionUncertain):
        await replicate.submit(to_submission())
    assert len(server.calls) == 1


async def test_a_small_image_goes_inside_of_the_request(
    replicate: Replicate, server: ReplicateServer, tmp_path: Path
) -> None:
    path = tmp_path / "start.png"
    path.write_bytes(b"x" * INLINE_BYTES)
    frames = {"end_frame": FrameHandle(path=str(path), content_type="image/png")}
    await replicate.submit(to_submission(frames=frames))
    uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    assert server.bodies[0]["input"]["end_image"] == uri
    assert "start_image" not in server.bodies[0]["input"]
    assert len(server.calls) == 1


@pytest.fixture
def large(tmp_path: Path) -> dict[str, FrameHandle]:
    """A start frame that is too large for a request."""
    path = tmp_path / "start.jpg"
    path.write_bytes(b"x" * (INLINE_BYTES + 1))
    return {"start_frame": FrameHandle(path=str(path))}


async def test_a_large_image_is_uploaded_first(
    replicate: Replicate, server: ReplicateServer, large: Any
) -> None:
    await replicate.submit(to_submission(frames=large))
    [(name, kind, content)] = server.files
    assert (name, kind, len(content)) == ("start.jpg", "image/jpeg", INLINE_BYTES + 1)
    assert server.bodies[0]["input"]["start_image"] == recorded("file")["urls"]["get"]
    assert server.calls == ["POST files", "POST models/luma/ray-flash-2-540p/predictions"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("drop", ProviderUnavailable),
        (says(500), ProviderUnavailable),
        (web.json_response({}, status=201), ProviderUnavailable),
        (web.json_response([], status=201), ProviderUnavailable),
        (says(429), ProviderUnavailable),
        (says(401), ProviderAuthError),
        (says(402), ProviderOutOfCredits),
        (says(413), ProviderRejected),
    ],
    ids=["lost", "500", "no link", "no object", "429", "401", "402", "413"],
)
async def test_where_an_upload_fails_nothing_was_submitted(
    replicate: Replicate,
    server: ReplicateServer,
    large: Any,
    answer: web.Response | str,
    kind: type[ProviderError],
) -> None:
    server.answers = [answer]
    with pytest.raises(kind):
        await replicate.submit(to_submission(frames=large))
    assert server.calls == ["POST files"]


@pytest.mark.parametrize(
    "frame",
    [FrameHandle(path="gone.png"), FrameHandle(), FrameHandle(generation_id=GenerationId("g"))],
)
async def test_an_image_that_is_no_file_is_refused_before_anything_is_sent(
    replicate: Replicate, server: ReplicateServer, frame: FrameHandle
) -> None:
    with pytest.raises(ProviderRejected) as refused:
        await replicate.submit(to_submission(frames={"start_frame": frame}))
    assert refused.value.code == "image"
    assert server.calls == []


# ---- check -------------------------------------------------------------------------------------


def add(server: ReplicateServer, *ids: str, seconds: float = 2, **changes: Any) -> None:
    """Put predictions on top of the list, created so long after the submission."""
    at = (SENT_AT + timedelta(seconds=seconds)).isoformat()
    for each in ids:
        server.rows.insert(0, {**recorded("processing"), "id": each, "created_at": at, **changes})


async def test_one_is_asked_for_alone_and_many_by_list(
    replicate: Replicate, server: ReplicateServer
) -> None:
    add(server, "a", "b", "c", "d")
    assert set(await replicate.check(names("a"))) == {"a"}
    assert set(await replicate.check(names("a", "b", "c", "d"))) == {"a", "b", "c", "d"}
    assert server.calls == ["GET predictions/a", "GET predictions"]


async def test_a_list_is_read_on_by_its_cursor_at_our_own_address(
    replicate: Replicate, server: ReplicateServer
) -> None:
    add(server, *(f"g{number}" for number in range(8)))
    server.page = 4
    assert len(await replicate.check([*names(*(f"g{number}" for number in range(8)))])) == 8
    assert server.calls == ["GET predictions", "GET predictions?cursor=%2B4/%3D"]


async def test_a_row_without_its_clip_is_looked_at_alone(
    replicate: Replicate, server: ReplicateServer
) -> None:
    """Whether list rows always show the output is not certain, and a lost clip is final."""
    add(server, "a", "b")
    add(server, "done", **{key: recorded("succeeded")[key] for key in ("status", "output")})
    server.shows = lambda row: {**row, "output": None}
    seen = await replicate.check(names("a", "b", "done"))
    assert seen[GenerationId("done")].clip_url == CLIP


async def test_where_the_list_fails_each_is_asked_for(
    replicate: Replicate, server: ReplicateServer
) -> None:
    add(server, "a", "b")
    server.answers = [says(500), says(500)]
    assert set(await replicate.check(names("a", "b", "unknown"))) == {"a", "b"}


async def test_a_pause_that_is_asked_for_is_not_answered_with_more_questions(
    replicate: Replicate, server: ReplicateServer
) -> None:
    server.answers = [says(429, retry_after=9)]
    with pytest.raises(ProviderUnavailable) as paused:
        await replicate.check(names("a", "b"))
    assert paused.value.retry_after == 9
    assert len(server.calls) == 1


async def test_a_wrong_key_is_told(replicate: Replicate, server: ReplicateServer) -> None:
    server.answers = [says(401)]
    with pytest.raises(ProviderAuthError):
        await replicate.check(names("a"))


# ---- find --------------------------------------------------------------------------------------


def echo(submission: Submission, **changes: Any) -> dict[str, Any]:
    """A prediction as Replicate lists it for this submission."""
    model = f"luma/{submission.work.model}-{to_video(submission.work).resolution}"
    asked = {**to_payload(submission)["input"], **changes.pop("input", {})}
    return {**recorded("processing"), "id": "mine", "model": model, "input": asked, **changes}


FULL = to_submission(
    model="ray-2", resolution="720p", duration="9s", loop=True, concepts=("pov", "aerial")
)


@pytest.mark.parametrize("submission", [to_submission(), FULL], ids=["plain", "full"])
@pytest.mark.parametrize("has_callback", [False, True])
async def test_the_listed_input_decides(
    replicate: Replicate, server: ReplicateServer, submission: Submission, has_callback: bool
) -> None:
    submission = submission.model_copy(update={"has_callback": has_callback})
    server.rows = [echo(to_submission(prompt="another"), id="x"), echo(submission)]
    found = await replicate.find(submission, [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["mine"]


async def test_a_webhook_that_is_shown_decides_alone(
    replicate: Replicate, server: ReplicateServer
) -> None:
    """Another of the same input is not ours, and a list row may leave the webhook out."""
    ours = stored(to_submission(callback=True))
    server.rows = [
        echo(ours, id="theirs", webhook="https://bot.example.org/callbacks/replicate/other"),
        echo(ours, webhook=CALLBACK),
    ]
    server.shows = lambda row: {**row, "webhook": None}
    found = await replicate.find(ours, [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == ["mine"]
    assert await replicate.find(ours, names("mine")) == Absent()


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"prompt": "a red fox in snow."}},
        {"input": {"duration": 5}},
        {"input": {"aspect_ratio": "1:1"}},
        {"input": {"loop": False}},
        {"input": {"concepts": ["aerial", "pov"]}},
        {"input": {"concepts": None}},
        {"input": {"start_image": "https://x.example/a.png"}},
        {"input": {"end_image_url": "https://x.example/a.png"}},
        {"model": "luma/ray-2-540p"},
        {"model": "someone/else"},
        {"source": "web"},
        {"webhook": "https://another.example/hook"},
    ],
    ids=str,
)
async def test_whatever_else_was_asked_is_not_ours(
    replicate: Replicate, server: ReplicateServer, changes: dict[str, Any]
) -> None:
    server.rows = [echo(FULL, **changes)]
    assert await replicate.find(FULL, []) == Absent()


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"prompt": None}},
        {"input": {"duration": None}},
        {"created_at": None},
        {"created_at": (SENT_AT + timedelta(hours=2)).isoformat()},
        {"created_at": (SENT_AT + timedelta(days=3)).isoformat()},
    ],
    ids=["no prompt", "no duration", "no time", "hours later", "days later"],
)
async def test_an_echo_that_says_too_little_leaves_it_open(
    replicate: Replicate, server: ReplicateServer, changes: dict[str, Any]
) -> None:
    server.rows = [echo(FULL, **changes)]
    assert await replicate.find(FULL, []) == CannotTell()


async def test_an_input_that_is_taken_away_leaves_open_what_is_near_in_time(
    replicate: Replicate, server: ReplicateServer
) -> None:
    server.rows = [{**echo(FULL), "input": {}, "data_removed": True}]
    assert await replicate.find(FULL, []) == CannotTell()
    server.rows[0]["created_at"] = (SENT_AT - timedelta(hours=3)).isoformat()
    assert await replicate.find(FULL, []) == Absent()


async def test_which_image_it_was_is_not_to_be_seen(
    replicate: Replicate, server: ReplicateServer
) -> None:
    framed = to_submission(frames={"start_frame": FrameHandle(path="a.png")})
    server.rows = [echo(framed, input={"start_image": "https://api.example/files/1"})]
    assert await replicate.find(framed, []) == CannotTell()
    server.rows = [echo(framed)]
    assert await replicate.find(framed, []) == Absent()


async def test_what_others_own_is_left_out(replicate: Replicate, server: ReplicateServer) -> None:
    server.rows = [echo(FULL)]
    assert await replicate.find(FULL, names("mine")) == Absent()


async def test_reading_ends_where_all_are_older(
    replicate: Replicate, server: ReplicateServer
) -> None:
    for minutes in range(30):
        add(server, f"g{minutes}", seconds=60 * (minutes - 28))
    server.page = 10
    assert await replicate.find(FULL, []) == Absent()
    assert [call for call in server.calls if call.startswith("GET predictions?")] == []


async def test_a_list_that_is_too_long_leaves_it_open(
    replicate: Replicate, server: ReplicateServer
) -> None:
    add(server, *(f"g{number}" for number in range(MAX_PAGES + 5)))
    server.page = 1
    assert await replicate.find(FULL, []) == CannotTell()
    assert len(server.calls) == MAX_PAGES


@pytest.mark.parametrize(
    "page",
    [
        {"results": []},
        {"results": [], "next": ""},
        {"results": [], "next": 5},
        {"results": [], "next": "https://api.replicate.com/v1/predictions"},
    ],
)
async def test_an_end_that_is_not_told_leaves_it_open(
    replicate: Replicate, server: ReplicateServer, page: dict[str, Any]
) -> None:
    server.answers = [web.json_response(page)]
    assert await replicate.find(FULL, []) == CannotTell()


async def test_without_a_list_nobody_can_tell(
    replicate: Replicate, server: ReplicateServer
) -> None:
    server.answers = [says(404)]
    assert await replicate.find(FULL, []) == CannotTell()


@pytest.mark.parametrize(
    "answers",
    [
        [says(500), says(500)],
        [web.json_response({})],
        [web.json_response({"results": [1], "next": None})],
        [web.Response(body=b'{"results": [')],
        ["drop"] * 4,
    ],
    ids=["500", "empty", "odd", "cut", "lost"],
)
async def test_an_unreadable_list_is_an_outage_and_never_an_absence(
    replicate: Replicate, server: ReplicateServer, answers: list[web.Response | str]
) -> None:
    server.answers = list(answers)
    with pytest.raises(ProviderUnavailable):
        await replicate.find(FULL, [])


# ---- cancel, balance ---------------------------------------------------------------------------


async def test_what_has_not_begun_is_cancelled_for_nothing(
    replicate: Replicate, server: ReplicateServer
) -> None:
    server.rows = [recorded("created")]
    assert await replicate.cancel(ID) is True
    assert server.calls[-1] == f"POST predictions/{ID}/cancel"


@pytest.mark.parametrize("name", ["processing", "succeeded", "flagged", "aborted"])
async def test_what_runs_or_has_ended_is_left_alone(
    replicate: Replicate, server: ReplicateServer, name: str
) -> None:
    server.rows = [recorded(name)]
    assert await replicate.cancel(ID) is False
    assert await replicate.cancel(GenerationId("unknown")) is False
    assert not [call for call in server.calls if call.startswith("POST")]


async def test_one_that_began_meanwhile_may_be_billed(
    replicate: Replicate, server: ReplicateServer
) -> None:
    server.rows, server.stops = [recorded("created")], "canceled"
    assert await replicate.cancel(ID) is False


async def test_a_cancel_that_is_refused_is_none(
    replicate: Replicate, server: ReplicateServer
) -> None:
    refusal = web.json_response(recorded("aborted"), status=404)
    server.answers = [web.json_response(recorded("created")), refusal]
    assert await replicate.cancel(ID) is False


async def test_there_is_no_balance_but_a_wrong_key_is_found(
    replicate: Replicate, server: ReplicateServer
) -> None:
    assert await replicate.balance() is None
    server.answers = [web.json_response(recorded("error_key"), status=401)]
    with pytest.raises(ProviderAuthError):
        await replicate.balance()


# ---- callbacks ---------------------------------------------------------------------------------

BODY = json.dumps(recorded("succeeded")).encode()


async def test_a_signed_call_is_read_and_the_secret_asked_for_once(
    replicate: Replicate, server: ReplicateServer
) -> None:
    headers = server.sign(BODY, SENT_AT)
    for _ in range(3):
        hint = await replicate.read_callback(headers, BODY, "another token")
        assert hint is not None
        assert (hint.id, hint.state) == (ID, "completed")
        assert hint.token_hash == hashlib.sha256(b"another token").hexdigest()
    assert server.calls == ["GET webhooks/default/secret"]


async def test_forged_calls_are_no_hints_and_cost_one_question_a_minute(
    replicate: Replicate, server: ReplicateServer, clock: MovableClock
) -> None:
    other = "whsec_" + base64.b64encode(b"a secret of somebody else").decode()
    for headers in (
        {},
        server.sign(BODY, SENT_AT, secret=other),
        server.sign(BODY + b" ", SENT_AT),
        {**server.sign(BODY, SENT_AT), "Webhook-Id": "msg_2"},
        {**server.sign(BODY, SENT_AT), "Webhook-Timestamp": f"{SENT_AT.timestamp() + 1:.0f}"},
        {**server.sign(BODY, SENT_AT), "Webhook-Signature": "v1,"},
        {**server.sign(BODY, SENT_AT), "Webhook-Signature": ""},
    ):
        assert await replicate.read_callback(headers, BODY, TOKEN) is None
    assert len(server.calls) == 1


@pytest.mark.parametrize("seconds", [-330, 330])
async def test_a_call_of_another_time_is_no_hint(
    replicate: Replicate, server: ReplicateServer, seconds: int
) -> None:
    headers = server.sign(BODY, SENT_AT + timedelta(seconds=seconds))
    assert await replicate.read_callback(headers, BODY, TOKEN) is None


async def test_a_secret_that_was_changed_is_learnt(
    replicate: Replicate, server: ReplicateServer, clock: MovableClock
) -> None:
    old = server.sign(BODY, SENT_AT)
    assert await replicate.read_callback(old, BODY, TOKEN) is not None
    server.secret = "whsec_" + base64.b64encode(b"the secret that came later").decode()
    clock.move(seconds=61)
    new = server.sign(BODY, SENT_AT)
    assert await replicate.read_callback(new, BODY, TOKEN) is not None
    assert await replicate.read_callback(old, BODY, TOKEN) is None


async def test_one_of_several_signatures_is_enough(
    replicate: Replicate, server: ReplicateServer
) -> None:
    headers = server.sign(BODY, SENT_AT)
    headers["Webhook-Signature"] = f"v1,AAAA {headers['Webhook-Signature']} v2,BBBB"
    assert await replicate.read_callback(headers, BODY, TOKEN) is not None


@pytest.mark.parametrize(
    "answer",
    [
        says(401),
        says(404),
        web.json_response({"key": None}),
        web.json_response({"key": "whsec_"}),
        web.json_response({"key": "whsec_???"}),
        web.json_response({}),
    ],
    ids=["401", "404", "null", "empty", "odd", "none"],
)
async def test_without_a_secret_no_call_is_believed(
    replicate: Replicate, server: ReplicateServer, answer: web.Response
) -> None:
    """An empty key could be signed with by everybody."""
    server.answers = [answer]
    empty = server.sign(BODY, SENT_AT, secret="whsec_")
    assert await replicate.read_callback(empty, BODY, TOKEN) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 60_000])
async def test_what_is_signed_and_no_prediction_is_no_hint(
    replicate: Replicate, server: ReplicateServer, body: bytes
) -> None:
    assert await replicate.read_callback(server.sign(body, SENT_AT), body, TOKEN) is None


HEADER = st.text(max_size=20) | st.sampled_from([str(int(SENT_AT.timestamp())), "v1,AA==", "v1"])


@settings(max_examples=100)
@given(
    headers=st.fixed_dictionaries(
        {}, optional={f"webhook-{name}": HEADER for name in ("id", "timestamp", "signature")}
    ),
    body=st.binary(max_size=40),
    secret=st.text(max_size=20) | st.just("whsec_AAAA"),
)
def test_nothing_that_is_sent_upsets_the_signature(
    headers: dict[str, str], body: bytes, secret: str
) -> None:
    assert is_signed(headers, body, secret, now=SENT_AT) is False


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    headers=st.dictionaries(st.text(max_size=12), HEADER, max_size=4)
    | st.fixed_dictionaries({"webhook-timestamp": HEADER, "webhook-signature": HEADER}),
    body=st.binary(max_size=40),
    token=st.text(max_size=20),
)
async def test_a_callback_never_raises(
    replicate: Replicate, headers: dict[str, str], body: bytes, token: str
) -> None:
    assert await replicate.read_callback(headers, body, token) is None


# ---- secrets -----------------------------------------------------------------------------------


async def test_nothing_of_a_prompt_or_a_secret_is_logged_or_told(
    replicate: Replicate, server: ReplicateServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    server.answers = [says(503), says(422, detail=f"- input.prompt: {CALLBACK}")]
    told = ""
    for kind in (SubmissionUncertain, ProviderRejected):
        with pytest.raises(kind) as raised:
            await replicate.submit(to_submission(callback=True, prompt="a very private prompt"))
        told += repr(raised.value) + str(raised.value)
    await replicate.read_callback(server.sign(BODY, SENT_AT), BODY, TOKEN)
    for secret in ("very private", TOKEN, KEY, server.secret):
        assert secret not in caplog.text + told


async def test_the_key_and_the_secret_are_hidden_from_logs(
    replicate: Replicate, server: ReplicateServer
) -> None:
    await replicate.read_callback(server.sign(BODY, SENT_AT), BODY, TOKEN)
    assert KEY not in repr(Settings(api_key=SecretStr(KEY)))
    for secret in (KEY, server.secret):
        assert secret not in redact(f"secret {secret} in a log")


def test_an_image_frame_is_taken_with_a_prompt() -> None:
    picture = ImageFrame(attachment=Attachment(adapter="recording", id="1"))
    work = to_submission(start_frame=picture, end_frame=picture).work
    work = to_video(work)
    _, fitted, remarks = choice.choose(work, [make()])
    assert (fitted.start_frame, fitted.end_frame, remarks) == (picture, picture, ())
