"""The simulator's face of Luma's Agents API against that API's own client library."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from luma_agents import (
    APIConnectionError,
    AsyncLuma,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    Luma,
    NotFoundError,
    RateLimitError,
    UnprocessableEntityError,
)
from luma_agents import APIStatusError as StatusError
from luma_agents.types import CreateFileResponse, Generation, VideoOptionsParam
from PIL import Image

from bot.simulator import Simulator, SimulatorSettings
from bot.simulator.faces.luma_agents import CODES, FACE
from bot.simulator.pictures import draw_picture

KEY = "luma-api-0123456789"
SETTINGS = SimulatorSettings(api_key=KEY, same_clip=True, full_size=False, manual=True)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SETTINGS, face=FACE) as simulator:
        yield simulator


def strict(simulator: Simulator, **options: Any) -> AsyncLuma:
    """The official client; it raises where a reply does not fit its types."""
    chosen: dict[str, Any] = {"auth_token": KEY, "max_retries": 0, **options}
    return AsyncLuma(base_url=simulator.base_url, _strict_response_validation=True, **chosen)


@pytest.fixture
async def luma(simulator: Simulator) -> AsyncIterator[AsyncLuma]:
    async with strict(simulator) as client:
        yield client


async def create(luma: AsyncLuma, video: VideoOptionsParam | None = None, **fields: Any) -> Any:
    asked: dict[str, Any] = {"model": "ray-3.2", "type": "video", "prompt": "a red fox", **fields}
    size: VideoOptionsParam = {"resolution": "360p", "duration": "5s"}
    return await luma.generations.create(**asked, video={**size, **(video or {})})


async def upload(luma: AsyncLuma, content: bytes, **fields: str) -> CreateFileResponse:
    """The inline flow, for which the client has the types and no method."""
    return await luma.post(
        "/files",
        cast_to=CreateFileResponse,
        body=fields,
        files={"file": ("frame", content, "image/png")},
        options={"headers": {"Content-Type": "multipart/form-data"}},
    )


async def ready(luma: AsyncLuma) -> str:
    """The id of an uploaded picture that can be used."""
    file_id = (await upload(luma, draw_picture(), purpose="input")).id
    assert (await luma.files.get(file_id)).state == "ready"
    return file_id


# ---- generations -------------------------------------------------------------------------------


async def test_a_generation_from_create_to_clip(simulator: Simulator, luma: AsyncLuma) -> None:
    made: Generation = await create(luma, aspect_ratio="21:9", user_id="somebody")
    assert (made.state, made.type, made.model) == ("queued", "video", "ray-3.2")
    assert (made.output, made.failure_code, made.failure_reason) == ([], None, None)
    assert datetime.fromisoformat(made.created_at).tzinfo is not None
    await simulator.until(lambda: simulator.generations[made.id].state == "dreaming")
    assert (await luma.generations.get(made.id)).state == "processing"

    await simulator.finish(made.id)

    done = await luma.generations.get(made.id)
    assert done.state == "completed"
    assert done.output is not None
    [output] = done.output
    assert output.type == "video"
    async with httpx.AsyncClient() as anonymous:
        clip = await anonymous.get(output.url)
    assert clip.content[4:8] == b"ftyp"
    assert simulator.generations[made.id].request["user_id"] == "somebody"


@pytest.mark.parametrize(
    ("resolution", "duration", "cents"),
    [("360p", "5s", 6), ("540p", "10s", 45), ("720p", "5s", 30), ("1080p", "10s", 360)],
)
async def test_clips_are_sold_by_the_piece(
    simulator: Simulator, luma: AsyncLuma, resolution: Any, duration: Any, cents: int
) -> None:
    made = await create(luma, {"resolution": resolution, "duration": duration})
    assert simulator.balance_cents == 10_000 - cents
    await simulator.fail(made.id)
    assert simulator.balance_cents == 10_000


@pytest.mark.parametrize(
    ("model", "ratio", "cents", "size"),
    [
        ("uni-1", "16:9", 4.04, (512, 288)),
        ("uni-1", "3:4", 4.04, (384, 512)),
        ("uni-1-max", "1:1", 10.0, (512, 512)),
        ("uni-1", "3:1", 4.04, (512, 172)),
    ],
)
async def test_a_still_from_create_to_picture(
    simulator: Simulator,
    luma: AsyncLuma,
    model: Any,
    ratio: Any,
    cents: float,
    size: tuple[int, int],
) -> None:
    made = await luma.generations.create(
        model=model, type="image", prompt="a red fox", aspect_ratio=ratio, output_format="jpeg"
    )
    assert (made.type, made.model, made.output) == ("image", model, [])
    assert simulator.balance_cents == pytest.approx(10_000 - cents)

    await simulator.finish(made.id)

    done = await luma.generations.get(made.id)
    assert done.output is not None
    [output] = done.output
    assert output.type == "image"
    async with httpx.AsyncClient() as anonymous:
        answer = await anonymous.get(output.url)
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", size)


async def test_a_still_that_fails_gives_its_price_back(
    simulator: Simulator, luma: AsyncLuma
) -> None:
    made = await luma.generations.create(prompt="something moderated")
    await simulator.until(lambda: simulator.generations[made.id].is_over)
    failed = await luma.generations.get(made.id)
    assert (failed.type, failed.failure_code) == ("image", "content_moderated")
    assert simulator.balance_cents == 10_000


async def test_a_clip_does_not_go_on_from_a_still(simulator: Simulator, luma: AsyncLuma) -> None:
    still = await luma.generations.create(prompt="a red fox")
    await simulator.finish(still.id)
    clip = await create(luma, {"start_frame": {"generation_id": still.id}})
    await simulator.finish(clip.id)
    assert (await luma.generations.get(clip.id)).failure_code == "corrupt_input"


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "image_edit", "source": {"url": "https://x.example/a.png"}},
        {"type": "layering"},
        {"type": "image", "image_ref": [{"url": "https://x.example/a.png"}]},
    ],
)
async def test_of_pictures_it_makes_those_from_words(
    luma: AsyncLuma, fields: dict[str, Any]
) -> None:
    with pytest.raises(BadRequestError, match="from words alone"):
        await luma.generations.create(prompt="a red fox", model="uni-1", **fields)


@pytest.mark.parametrize("code", CODES)
async def test_every_failure_code_is_one_of_the_clients(
    simulator: Simulator, luma: AsyncLuma, code: str
) -> None:
    made = await create(luma)
    await simulator.fail(made.id, code)
    failed = await luma.generations.get(made.id)
    assert (failed.state, failed.failure_code, failed.output) == ("failed", code, [])


@pytest.mark.parametrize("word", ["blacklisted", "moderated"])
async def test_the_filter_refuses_afterwards(
    simulator: Simulator, luma: AsyncLuma, word: str
) -> None:
    made = await create(luma, prompt=f"something {word}")
    await simulator.until(lambda: simulator.generations[made.id].is_over)
    assert (await luma.generations.get(made.id)).failure_code == "content_moderated"


async def test_the_synchronous_client_too(simulator: Simulator) -> None:
    def talk() -> str:
        with Luma(auth_token=KEY, base_url=simulator.base_url, max_retries=0) as luma:
            made = luma.generations.create(model="ray-3.2", type="video", prompt="a red fox")
            return luma.generations.get(made.id).state

    assert await asyncio.to_thread(talk) in ("queued", "processing")


# ---- pictures ----------------------------------------------------------------------------------


async def test_pictures_come_as_files_links_data_and_earlier_clips(
    simulator: Simulator, luma: AsyncLuma
) -> None:
    file_id = await ready(luma)
    first = await create(luma, {"start_frame": {"file_id": file_id}})
    link = "http://127.0.0.1:9/x.png"
    await create(luma, {"start_frame": {"url": link}, "end_frame": {"file_id": file_id}})
    await create(luma, {"end_frame": {"data": "Zm94", "media_type": "image/png"}})
    await simulator.finish(first.id)
    await create(luma, {"start_frame": {"generation_id": first.id}, "loop": True})
    await create(luma, {"end_frame": {"generation_id": first.id}})
    shown = [(each.order.start, each.order.end) for each in simulator.generations.values()]
    assert shown[0][0] is not None
    assert shown[0][0].content == draw_picture()
    assert [each is not None and each.value for each, _ in shown[1:]] == [
        link,
        False,
        first.id,
        False,
    ]
    assert shown[2][1] is not None
    assert shown[2][1].content == b"fox"


async def test_ten_seconds_take_pictures_as_key_frames(
    simulator: Simulator, luma: AsyncLuma
) -> None:
    file_id = await ready(luma)
    keyframes: Any = [{"file_id": file_id}, {"file_id": file_id}]
    made = await create(
        luma, {"duration": "10s", "keyframes": keyframes, "keyframe_indexes": [0, 240]}
    )
    order = simulator.generations[made.id].order
    assert order.start is not None
    assert order.end is not None
    assert order.frames == 241


REFUSED: list[tuple[Any, type[StatusError]]] = [
    (
        {"duration": "10s", "start_frame": {"url": "http://127.0.0.1:9/x"}},
        UnprocessableEntityError,
    ),
    ({"duration": "10s", "loop": True}, UnprocessableEntityError),
    ({"loop": True, "end_frame": {"url": "http://127.0.0.1:9/x"}}, UnprocessableEntityError),
    (
        {
            "start_frame": {"generation_id": "a"},
            "end_frame": {"url": "http://127.0.0.1:9/x"},
        },
        UnprocessableEntityError,
    ),
    ({"start_frame": {"url": "http://127.0.0.1:9/x", "file_id": "a"}}, BadRequestError),
    ({"start_frame": {}}, BadRequestError),
    ({"start_frame": {"data": "Zm94"}}, BadRequestError),
    ({"start_frame": {"data": "!", "media_type": "image/png"}}, UnprocessableEntityError),
    ({"start_frame": {"file_id": "nothing"}}, NotFoundError),
    ({"start_frame": {"generation_id": "nothing"}}, NotFoundError),
    ({"keyframes": [{"url": "http://127.0.0.1:9/x"}]}, UnprocessableEntityError),
    (
        {"keyframes": [{"url": "http://127.0.0.1:9/x"}], "keyframe_indexes": [121]},
        UnprocessableEntityError,
    ),
    ({"hdr": True}, UnprocessableEntityError),
    ({"resolution": "4k"}, UnprocessableEntityError),
    ({"duration": "9s"}, UnprocessableEntityError),
]


@pytest.mark.parametrize(("video", "kind"), REFUSED)
async def test_what_does_not_go_together_is_refused(
    simulator: Simulator, luma: AsyncLuma, video: Any, kind: type[StatusError]
) -> None:
    with pytest.raises(kind):
        await create(luma, video)
    assert simulator.balance_cents == 10_000


# ---- files -------------------------------------------------------------------------------------


async def test_an_inline_upload_is_pending_and_then_ready(luma: AsyncLuma) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    made = await upload(
        luma, draw_picture(), user_id="somebody", purpose="input", expires_at=until.isoformat()
    )
    assert (made.state, made.upload, made.id) == ("pending", None, made.file.id)
    assert (made.file.user_id, made.file.mime_type) == ("somebody", "image/png")
    assert made.file.expires_at == until
    with pytest.raises(UnprocessableEntityError, match="not ready"):
        await create(luma, {"start_frame": {"file_id": made.id}})
    assert (await luma.files.get(made.id)).state == "ready"
    await create(luma, {"start_frame": {"file_id": made.id}})


async def test_a_presigned_upload(luma: AsyncLuma) -> None:
    content = draw_picture()
    made = await luma.files.create(mime_type="image/png", size_bytes=len(content))
    assert made.upload is not None
    async with httpx.AsyncClient() as anonymous:
        headers = made.upload.headers
        stranger = made.upload.url.partition("?")[0]
        assert (await anonymous.put(stranger, content=content, headers=headers)).is_error
        assert (await anonymous.put(made.upload.url, content=content[1:])).is_error
        assert (await luma.files.get(made.id)).state == "pending"
        assert (await anonymous.put(made.upload.url, content=content, headers=headers)).is_success
    assert (await luma.files.complete(made.id)).state == "pending"
    assert (await luma.files.get(made.id)).state == "ready"


async def test_what_is_no_picture_fails(luma: AsyncLuma) -> None:
    file_id = (await upload(luma, b"no picture")).id
    failed = await luma.files.get(file_id)
    assert failed.state == "failed"
    assert failed.failure_reason


async def test_files_are_listed_and_deleted(luma: AsyncLuma) -> None:
    ids = [await ready(luma) for _ in range(3)]
    page = await luma.files.list(limit=2, state="ready")
    assert [each.id for each in page.data] == [ids[2], ids[1]]
    assert page.has_more
    rest = await luma.files.list(limit=2, cursor=page.next_cursor or "")
    assert ([each.id for each in rest.data], rest.has_more) == ([ids[0]], False)
    await luma.files.delete(ids[0])
    assert (await luma.files.get(ids[0])).state == "deleted"
    with pytest.raises(UnprocessableEntityError):
        await create(luma, {"start_frame": {"file_id": ids[0]}})


async def test_a_file_that_expired_is_gone(luma: AsyncLuma) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    made = await upload(luma, draw_picture(), expires_at=past.isoformat())
    with pytest.raises(NotFoundError):
        await luma.files.get(made.id)


@pytest.mark.parametrize(
    "fields", [{"purpose": "fun"}, {"expires_at": "soon"}, {"expires_at": "2026-11-22T12:00:00"}]
)
async def test_an_odd_upload_is_refused(luma: AsyncLuma, fields: dict[str, str]) -> None:
    with pytest.raises(UnprocessableEntityError):
        await upload(luma, draw_picture(), **fields)


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"model": "ray-9"}, "Unknown model: ray-9"),
        ({"model": "uni-1"}, "Type 'video' is not supported for model 'uni-1'"),
        ({"prompt": ""}, "Prompt must be between 1 and 6000 characters"),
        ({"aspect_ratio": "9:21"}, "Invalid aspect_ratio '9:21'. Valid: 9:16, 3:4, 1:1, 4:3"),
    ],
)
async def test_a_bad_request_says_what_is_wrong(
    luma: AsyncLuma, fields: dict[str, Any], detail: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await create(luma, **fields)
    assert isinstance(refused.value.body, dict)
    assert str(refused.value.body["detail"]).startswith(detail)


async def test_error_types(simulator: Simulator, luma: AsyncLuma) -> None:
    with pytest.raises(NotFoundError):
        await luma.generations.get("nothing")
    simulator.faults.server_error(status=503)
    with pytest.raises(InternalServerError):
        await create(luma)
    simulator.faults.drop(accepted=True)
    with pytest.raises(APIConnectionError):
        await create(luma)
    simulator.account.balance_cents = 5
    with pytest.raises(StatusError) as poor:
        await create(luma)
    assert poor.value.status_code == 402
    assert len(simulator.generations) == 1


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        ("luma-of-the-dream-machine", "Missing or invalid API key"),
        ("luma-api-of-somebody-else", "Invalid API key"),
    ],
)
async def test_wrong_keys(simulator: Simulator, key: str, detail: str) -> None:
    async with strict(simulator, auth_token=key) as luma:
        with pytest.raises(AuthenticationError) as refused:
            await luma.files.list()
    assert refused.value.body == {"detail": detail}


async def test_the_rate_is_told_with_every_create(simulator: Simulator, luma: AsyncLuma) -> None:
    reply = await luma.generations.with_raw_response.create(
        model="ray-3.2", type="video", prompt="a red fox", extra_headers={"X-Request-Id": "mine"}
    )
    headers = reply.headers
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("20", "19")
    reset = int(headers["x-ratelimit-reset"]) - datetime.now(UTC).timestamp()
    assert 55 < reset < 62
    assert (headers["x-api-version"], headers["x-request-id"]) == ("2026-04-01", "mine")
    for _ in range(19):
        with pytest.raises(BadRequestError):
            await create(luma, prompt="")
    with pytest.raises(RateLimitError) as limited:
        await create(luma)
    headers = limited.value.response.headers
    assert headers["x-ratelimit-remaining"] == "0"
    assert 50 < int(headers["retry-after"]) <= 60


async def test_too_many_at_once_wait_a_minute(simulator: Simulator, luma: AsyncLuma) -> None:
    for _ in range(10):
        await create(luma)
    with pytest.raises(RateLimitError) as limited:
        await create(luma)
    assert limited.value.body == {"detail": "Too many concurrent jobs"}
    headers = limited.value.response.headers
    assert headers["retry-after"] == "60"
    assert "x-ratelimit-limit" not in headers


async def test_the_clients_own_retries_pay_twice(simulator: Simulator) -> None:
    """Why the bot never lets a library repeat a submission: no key makes a repeat harmless."""
    simulator.faults.server_error(accepted=True)
    async with strict(simulator, max_retries=1) as luma:
        await create(luma)
    assert len(simulator.generations) == 2
