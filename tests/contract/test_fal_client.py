"""The simulator's face of fal against fal's own client library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fal_client
import httpx
import pytest
from fal_client import AsyncClient, Completed, InProgress, Queued

from bot.simulator import Simulator, SimulatorSettings
from bot.simulator.faces.fal import FalFace
from bot.simulator.pictures import draw_picture

KEY = "fal-simulator"
FLASH = "fal-ai/luma-dream-machine/ray-2-flash"
PROMPT = {"prompt": "a red fox"}
SETTINGS = SimulatorSettings(
    api_key=KEY, same_clip=True, full_size=False, manual=True, running_limit=1
)


@pytest.fixture
async def simulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    """One generation runs at a time. The client knows fal's host alone, so it is told another."""
    async with Simulator(SETTINGS, face=FalFace) as simulator:
        address = f"{simulator.base_url}/"
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", address)
        yield simulator


@asynccontextmanager
async def opened(key: str) -> AsyncIterator[AsyncClient]:
    """The client, whose connections nothing else closes."""
    client = AsyncClient(key=key)
    try:
        yield client
    finally:
        await (await client._client).aclose()


@pytest.fixture
async def fal(simulator: Simulator) -> AsyncIterator[AsyncClient]:
    async with opened(KEY) as client:
        yield client


async def test_a_generation_from_submit_to_clip(simulator: Simulator, fal: AsyncClient) -> None:
    arguments = {**PROMPT, "aspect_ratio": "9:16", "resolution": "720p", "duration": "9s"}
    handle = await fal.submit(FLASH, arguments, webhook_url="http://127.0.0.1:9/callbacks/token")
    assert isinstance(await handle.status(with_logs=True), InProgress)
    [generation] = simulator.generations.values()
    order = generation.order
    assert (order.model, order.width, order.height, order.seconds) == ("ray-flash-2", 720, 1280, 9)
    assert order.callback_url == "http://127.0.0.1:9/callbacks/token"
    await simulator.finish(handle.request_id)
    done = await handle.status()
    assert isinstance(done, Completed)
    assert (done.error, done.error_type) == (None, None)
    assert done.metrics["inference_time"] > 0
    result = await handle.get()
    async with httpx.AsyncClient() as anonymous:
        clip = await anonymous.get(result["video"]["url"])
    assert clip.content[4:8] == b"ftyp"


async def test_a_request_is_found_by_its_endpoint_and_id(
    simulator: Simulator, fal: AsyncClient
) -> None:
    """The client leaves the endpoint's path out, as the provider does."""
    handle = await fal.submit(FLASH, PROMPT)
    again = await fal.get_handle(FLASH + "/image-to-video", handle.request_id)
    assert (again.status_url, again.response_url) == (handle.status_url, handle.response_url)
    assert isinstance(await fal.status(FLASH, handle.request_id), InProgress)


async def test_images(simulator: Simulator, fal: AsyncClient) -> None:
    picture = draw_picture()
    address = fal_client.encode(picture, "image/png")
    arguments = {**PROMPT, "image_url": address, "end_image_url": address, "loop": False}
    await fal.submit("fal-ai/luma-dream-machine/ray-2", arguments, path="image-to-video")
    [generation] = simulator.generations.values()
    order = generation.order
    assert order.model == "ray-2"
    assert order.start is not None
    assert order.end is not None
    assert order.start.content == order.end.content == picture


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("Advanced prompt moderation failed", 422, "content_policy_violation"),
        ("Frame moderation failed", 422, "content_policy_violation"),
        ("Failed to read user input frames", 422, "image_load_error"),
        ("Job failed", 500, "downstream_service_error"),
    ],
)
async def test_a_failure_is_the_result(
    simulator: Simulator, fal: AsyncClient, reason: str, status: int, kind: str
) -> None:
    handle = await fal.submit(FLASH, PROMPT)
    await simulator.fail(handle.request_id, reason)
    told = await handle.status()
    assert isinstance(told, Completed)
    assert (told.error, told.error_type) == (f"Invalid status code: {status}", kind)
    with pytest.raises(fal_client.FalClientHTTPError) as failed:
        await handle.get()
    assert failed.value.status_code == status
    detail = failed.value.response.json()["detail"]
    assert [each["type"] for each in detail] == [kind]


async def test_what_waits_can_be_taken_back_and_what_runs_goes_on(
    simulator: Simulator, fal: AsyncClient
) -> None:
    running, waiting = await fal.submit(FLASH, PROMPT), await fal.submit(FLASH, PROMPT)
    assert await waiting.status() == Queued(position=0)
    await running.cancel()
    await waiting.cancel()
    stopped = await waiting.status()
    assert isinstance(stopped, Completed)
    assert (stopped.error_type, stopped.metrics) == ("client_cancelled", {})
    with pytest.raises(fal_client.FalClientHTTPError) as cancelled:
        await waiting.get()
    assert cancelled.value.status_code == 499
    assert isinstance(await running.status(), InProgress)
    await simulator.finish(running.request_id)
    with pytest.raises(fal_client.FalClientHTTPError) as late:
        await running.cancel()
    assert late.value.status_code == 400


async def test_error_types(simulator: Simulator, fal: AsyncClient) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as shape:
        await fal.submit(FLASH, {**PROMPT, "aspect_ratio": "1:1"})
    assert shape.value.status_code == 422
    assert shape.value.response.json()["detail"][0]["loc"] == ["body", "aspect_ratio"]
    for arguments in ({}, {**PROMPT, "loop": "yes"}, {**PROMPT, "image_url": "data:x"}):
        with pytest.raises(fal_client.FalClientHTTPError) as shape:
            await fal.submit(FLASH + "/image-to-video", arguments)
        assert shape.value.status_code == 422
    with pytest.raises(fal_client.FalClientHTTPError) as unknown:
        await fal.status(FLASH, "11111111-2222-3333-4444-555555555555")
    assert unknown.value.status_code == 404
    simulator.account.balance_cents = 0
    with pytest.raises(fal_client.FalClientHTTPError, match="Exhausted balance") as poor:
        await fal.submit(FLASH, PROMPT)
    assert poor.value.status_code == 403
    assert not simulator.generations


async def test_a_wrong_key(simulator: Simulator) -> None:
    async with opened("wrong") as fal:
        with pytest.raises(fal_client.FalClientHTTPError) as error:
            await fal.submit(FLASH, PROMPT)
    assert error.value.status_code == 401


async def test_a_result_that_is_asked_for_too_early(simulator: Simulator) -> None:
    async with httpx.AsyncClient(headers={"Authorization": f"Key {KEY}"}) as client:
        made = await client.post(f"{simulator.base_url}/{FLASH}", json=PROMPT)
        early = await client.get(made.json()["response_url"])
    assert (early.status_code, early.json()) == (400, {"detail": "Request is still in progress"})


async def test_the_clients_own_retries_pay_twice(simulator: Simulator, fal: AsyncClient) -> None:
    """Why the bot never lets a library repeat a submission."""
    simulator.faults.drop(accepted=True)
    await fal.submit(FLASH, PROMPT)
    assert len(simulator.generations) == 2
