"""The simulator's face of Replicate against the service's own client library."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.prediction import Prediction
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from bot.simulator import Simulator, SimulatorSettings
from bot.simulator.faces.replicate import ReplicateFace
from bot.simulator.pictures import draw_picture

MODEL = "luma/ray-flash-2-540p"
SETTINGS = SimulatorSettings(
    api_key="r8_simulator", same_clip=True, full_size=False, manual=True, running_limit=2
)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SETTINGS, face=ReplicateFace) as simulator:
        yield simulator


def client_of(simulator: Simulator, key: str = SETTINGS.api_key) -> Client:
    client = Client(api_token=key, base_url=simulator.base_url.removesuffix("/v1"))
    client.poll_interval = 0.01
    return client


@pytest.fixture
async def replicate(simulator: Simulator) -> AsyncIterator[Client]:
    client = client_of(simulator)
    yield client
    await client._async_client.aclose()


async def create(replicate: Client, **fields: Any) -> Prediction:
    asked = {"prompt": "a red fox", "duration": 5, "aspect_ratio": "16:9", **fields}
    return await replicate.models.predictions.async_create(model=MODEL, input=asked)


async def test_a_prediction_from_create_to_clip(simulator: Simulator, replicate: Client) -> None:
    made = await create(replicate, loop=True, concepts=["push_in"])
    assert (made.status, made.model, made.output) == ("starting", MODEL, None)
    assert made.input == {
        "prompt": "a red fox",
        "duration": 5,
        "aspect_ratio": "16:9",
        "loop": True,
        "concepts": ["push_in"],
    }
    await simulator.finish(made.id)
    await made.async_wait()
    assert made.status == "succeeded"
    clip = await replicate._async_client.get(str(made.output))
    assert clip.content[4:8] == b"ftyp"


async def test_its_shortest_call_waits_for_the_clip(
    simulator: Simulator, replicate: Client
) -> None:
    running = asyncio.ensure_future(replicate.async_run(MODEL, input={"prompt": "a red fox"}))
    await simulator.wait_for_creates(1)
    [generation] = simulator.generations
    await simulator.finish(generation)
    assert generation in str(await running)


async def test_a_failure_is_told_in_its_error(simulator: Simulator, replicate: Client) -> None:
    with pytest.raises(ModelError) as refused:
        await replicate.async_run(MODEL, input={"prompt": "something moderated"})
    assert "(E005)" in str(refused.value)


async def test_lists_go_on_with_a_cursor(simulator: Simulator, replicate: Client) -> None:
    simulator.account.settings = SimulatorSettings(page_limit_max=1)
    made = [(await create(replicate)).id for _ in range(2)]
    page = await replicate.predictions.async_list()
    assert [each.id for each in page.results] == [made[1]]
    page = await replicate.predictions.async_list(page.next or "")
    assert [each.id for each in page.results] == [made[0]]
    assert page.next is None


async def test_what_runs_is_cancelled(simulator: Simulator, replicate: Client) -> None:
    made = await create(replicate)
    seen = await replicate.predictions.async_get(made.id)
    assert seen.status == "processing"
    stopped = await replicate.predictions.async_cancel(made.id)
    assert stopped.status == "canceled"
    assert simulator.balance_cents == SETTINGS.balance_cents


async def test_after_an_hour_the_output_is_gone(simulator: Simulator, replicate: Client) -> None:
    made = await create(replicate)
    await simulator.finish(made.id)
    ended = simulator.generations[made.id].completed_at
    assert ended is not None
    simulator.generations[made.id].completed_at = ended - timedelta(hours=1)
    await made.async_reload()
    assert (made.status, made.output, made.input) == ("succeeded", None, {})


async def test_files_are_uploaded_and_used_as_frames(
    simulator: Simulator, replicate: Client
) -> None:
    picture = io.BytesIO(draw_picture())
    file = await replicate.files.async_create(picture, filename="a.png", content_type="image/png")
    assert (file.name, file.content_type, file.size) == ("a.png", "image/png", len(draw_picture()))
    assert [each.id for each in await replicate.files.async_list()] == [file.id]
    made = await create(replicate, start_image=file.urls["get"])
    start = simulator.generations[made.id].order.start
    assert start is not None
    assert start.content == draw_picture()
    assert await replicate.files.async_delete(file.id)
    with pytest.raises(ReplicateError):
        await replicate.files.async_get(file.id)


async def test_images_go_inside_of_a_request_too(simulator: Simulator, replicate: Client) -> None:
    picture = io.BytesIO(draw_picture())
    picture.name = "a.png"
    made = await replicate.models.predictions.async_create(
        model=MODEL,
        input={"prompt": "a red fox", "end_image": picture},
        file_encoding_strategy="base64",
    )
    end = simulator.generations[made.id].order.end
    assert end is not None
    assert end.content == draw_picture()


async def test_the_account(replicate: Client) -> None:
    assert (await replicate.accounts.async_current()).username == "raybot"


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"duration": 7}, 422, "input.duration"),
    ({"duration": "5s"}, 422, "input.duration"),
    ({"aspect_ratio": "2:1"}, 422, "input.aspect_ratio"),
    ({"loop": "yes"}, 422, "input.loop"),
    ({"concepts": ["spin"]}, 422, "input.concepts"),
    ({"start_image": "a.png"}, 422, "input.start_image"),
    ({"prompt": None}, 422, "prompt is required"),
]


@pytest.mark.parametrize(("fields", "status", "words"), REFUSALS)
async def test_what_does_not_fit_the_schema_is_refused(
    replicate: Client, fields: dict[str, Any], status: int, words: str
) -> None:
    with pytest.raises(ReplicateError) as refused:
        await create(replicate, **fields)
    assert (refused.value.status, refused.value.title) == (status, "Input validation failed")
    assert words in str(refused.value.detail)


async def test_error_types(simulator: Simulator, replicate: Client) -> None:
    simulator.faults.too_many(retry_after=3)
    simulator.faults.server_error(status=500)
    for status in (429, 500):
        with pytest.raises(ReplicateError) as refused:
            await create(replicate)
        assert refused.value.status == status
    with pytest.raises(ReplicateError, match="could not be found"):
        await replicate.models.predictions.async_create(model="luma/ray-3", input={"prompt": "x"})
    with pytest.raises(ReplicateError, match="could not be found"):
        await replicate.predictions.async_get("nothing")
    simulator.account.balance_cents = 0
    with pytest.raises(ReplicateError) as empty:
        await create(replicate)
    assert (empty.value.status, empty.value.title) == (402, "Insufficient credit")
    assert not simulator.generations


@pytest.mark.parametrize("key", ["wrong", "r8_wrong"])
async def test_wrong_keys(simulator: Simulator, key: str) -> None:
    client = client_of(simulator, key)
    with pytest.raises(ReplicateError) as refused:
        await client.accounts.async_current()
    await client._async_client.aclose()
    assert (refused.value.status, refused.value.title) == (401, "Unauthenticated")


@dataclass
class Hook:
    """Where the simulator calls."""

    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response()


async def test_calls_are_signed_as_the_client_checks_them(
    simulator: Simulator, replicate: Client
) -> None:
    hook, application = Hook(), web.Application()
    application.router.add_post("/hook", hook.take)
    async with TestServer(application) as ours:
        made = await replicate.models.predictions.async_create(
            model=MODEL,
            input={"prompt": "a red fox"},
            webhook=str(ours.make_url("/hook")),
            webhook_events_filter=["start", "completed"],
        )
        await simulator.wait_for_callbacks(1)
        await simulator.finish(made.id)
        await simulator.wait_for_callbacks(2)
    secret = await replicate.webhooks.default.async_secret()
    for headers, body in hook.calls:
        Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=60)
        with pytest.raises(InvalidSignatureError):
            Webhooks.validate(
                headers=headers,
                body=body.decode(),
                secret=WebhookSigningSecret(key=ReplicateFace.new_secret()),
            )
    told = [json.loads(body)["status"] for _, body in hook.calls]
    assert told == ["processing", "succeeded"]
