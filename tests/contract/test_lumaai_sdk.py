"""The simulator against the service's own client library and its published description."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from lumaai import (
    APIConnectionError,
    APITimeoutError,
    AsyncLumaAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    LumaAI,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from lumaai.types import Generation
from PIL import Image

from bot.simulator import Simulator, SimulatorSettings

KEY = "luma-simulator"
ROOT = Path(__file__).parents[2]
SETTINGS = SimulatorSettings(same_clip=True, full_size=False, manual=True)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SETTINGS) as simulator:
        yield simulator


def strict(simulator: Simulator, **options: Any) -> AsyncLumaAI:
    """The official client; it raises where a reply does not fit its types."""
    chosen: dict[str, Any] = {"auth_token": KEY, "max_retries": 0, **options}
    return AsyncLumaAI(base_url=simulator.base_url, _strict_response_validation=True, **chosen)


@pytest.fixture
async def luma(simulator: Simulator) -> AsyncIterator[AsyncLumaAI]:
    async with strict(simulator) as client:
        yield client


async def create(luma: AsyncLumaAI, **fields: Any) -> Generation:
    asked: dict[str, Any] = {"model": "ray-flash-2", "prompt": "a red fox", "resolution": "540p"}
    return await luma.generations.create(**{**asked, "duration": "5s", **fields})


@pytest.mark.parametrize(
    ("model", "ratio", "cents"), [("photon-1", "16:9", 1.5137), ("photon-flash-1", "9:16", 0.394)]
)
async def test_a_still_from_create_to_picture(
    simulator: Simulator, luma: AsyncLumaAI, model: Any, ratio: Any, cents: float
) -> None:
    made = await luma.generations.image.create(
        model=model, prompt="a red fox", aspect_ratio=ratio, format="jpg"
    )
    assert made.id
    assert (made.state, made.generation_type, made.model) == ("queued", "image", model)
    assert getattr(made.request, "format", None) == "jpg"
    assert simulator.balance_cents == pytest.approx(10_000 - cents, abs=0.001)

    await simulator.finish(made.id)

    done = await luma.generations.get(made.id)
    assert done.assets is not None
    assert (done.state, done.assets.video) == ("completed", None)
    assert done.assets.image
    async with httpx.AsyncClient() as anonymous:
        answer = await anonymous.get(done.assets.image)
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == ((480, 270) if ratio == "16:9" else (270, 480))
    listed = await luma.generations.list()
    assert [each.generation_type for each in listed.generations] == ["image"]


async def test_pictures_are_made_from_words_alone(luma: AsyncLumaAI) -> None:
    like: list[Any] = [{"url": "https://x.example/a.png", "weight": 0.8}]
    with pytest.raises(BadRequestError, match="words alone"):
        await luma.generations.image.create(model="photon-1", prompt="a fox", image_ref=like)
    with pytest.raises(BadRequestError, match="too short"):
        await luma.generations.image.create(model="photon-1", prompt="a")


async def test_a_generation_from_create_to_clip(simulator: Simulator, luma: AsyncLumaAI) -> None:
    made = await create(
        luma,
        aspect_ratio="1:1",
        loop=True,
        concepts=[{"key": "push_in"}],
        callback_url="http://127.0.0.1:9/callbacks/token",
    )
    assert made.id
    assert (made.state, made.generation_type, made.model) == ("queued", "video", "ray-flash-2")
    assert made.assets is None
    assert made.created_at is not None
    assert made.created_at.tzinfo is not None
    assert getattr(made.request, "callback_url", None) == "http://127.0.0.1:9/callbacks/token"

    await simulator.finish(made.id)

    done = await luma.generations.get(made.id)
    assert done.state == "completed"
    assert done.assets is not None
    assert done.assets.video is not None
    assert done.assets.image is not None
    async with httpx.AsyncClient() as anonymous:
        clip = await anonymous.get(done.assets.video)
    assert clip.content[4:8] == b"ftyp"


async def test_both_create_methods(simulator: Simulator, luma: AsyncLumaAI) -> None:
    await create(luma)
    await luma.generations.video.create(model="ray-2", prompt="a red fox", resolution="540p")
    assert [each.order.model for each in simulator.generations.values()] == [
        "ray-flash-2",
        "ray-2",
    ]


async def test_a_failure(simulator: Simulator, luma: AsyncLumaAI) -> None:
    made = await create(luma)
    assert made.id
    await simulator.fail(made.id, "Frame moderation failed")
    failed = await luma.generations.get(made.id)
    assert (failed.state, failed.failure_reason) == ("failed", "Frame moderation failed")


async def test_lists(luma: AsyncLumaAI) -> None:
    made = [(await create(luma)).id for _ in range(3)]
    page = await luma.generations.list(limit=2, offset=0)
    assert [each.id for each in page.generations] == [made[2], made[1]]
    assert (page.count, page.limit, page.offset, page.has_more) == (2, 2, 0, True)


async def test_delete(luma: AsyncLumaAI) -> None:
    made = await create(luma)
    assert made.id
    await luma.generations.delete(made.id)
    with pytest.raises(NotFoundError):
        await luma.generations.get(made.id)


async def test_credits_ping_and_concepts(luma: AsyncLumaAI) -> None:
    assert (await luma.credits.get()).credit_balance == 10_000
    assert (await luma.ping.check()).message == "pong"
    assert "orbit_left" in await luma.generations.concepts.list()


async def test_the_synchronous_client_too(simulator: Simulator) -> None:
    def talk() -> str | None:
        with LumaAI(auth_token=KEY, base_url=simulator.base_url, max_retries=0) as luma:
            made = luma.generations.create(
                model="ray-flash-2", prompt="a red fox", resolution="540p"
            )
            assert made.id
            return luma.generations.get(made.id).state

    assert await asyncio.to_thread(talk) in ("queued", "dreaming")


async def test_error_types(simulator: Simulator, luma: AsyncLumaAI) -> None:
    with pytest.raises(BadRequestError) as short:
        await create(luma, prompt="ab")
    assert short.value.body == {"detail": "Prompt is too short, minimum length is 3 characters"}
    with pytest.raises(UnprocessableEntityError):
        await create(luma, model="ray-9")
    with pytest.raises(NotFoundError):
        await luma.generations.get("nothing")
    simulator.faults.too_many(retry_after=3)
    with pytest.raises(RateLimitError) as limited:
        await create(luma)
    assert limited.value.response.headers["retry-after"] == "3"
    simulator.faults.server_error(status=503)
    with pytest.raises(InternalServerError):
        await create(luma)
    simulator.faults.drop(accepted=True)
    with pytest.raises(APIConnectionError):
        await create(luma)
    simulator.faults.delay("create", 3600)
    with pytest.raises(APITimeoutError):
        await create(luma, timeout=httpx.Timeout(30, read=0.5))
    await simulator.wait_for_creates(2)
    assert len(simulator.generations) == 2


async def test_wrong_keys(simulator: Simulator) -> None:
    async with strict(simulator, auth_token="wrong") as luma:
        with pytest.raises(AuthenticationError):
            await luma.credits.get()
    async with strict(simulator, auth_token="luma-api-of-the-other-product") as luma:
        with pytest.raises(PermissionDeniedError):
            await luma.credits.get()


async def test_the_clients_own_retries_pay_twice(simulator: Simulator) -> None:
    """Why the bot never lets a library repeat a submission."""
    simulator.faults.server_error(accepted=True)
    async with strict(simulator, max_retries=1) as luma:
        await create(luma)
    assert len(simulator.generations) == 2


# ---- the published description -----------------------------------------------------------------


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    found = next(ROOT.parent.glob("*/specs/luma-openapi.yaml"), None)
    if found is None:
        pytest.skip("luma-openapi.yaml is not beside this project")
    parsed: dict[str, Any] = yaml.safe_load(found.read_text("utf-8"))
    return parsed


def misfits(value: Any, schema: dict[str, Any], whole: dict[str, Any], at: str = "$") -> list[str]:
    """Where a value does not fit its schema: the part of JSON Schema that the description uses."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return misfits(value, whole["components"]["schemas"][name], whole, at)
    for choices in (schema.get("oneOf"), schema.get("anyOf")):
        if choices and all(misfits(value, choice, whole, at) for choice in choices):
            return [f"{at}: fits no choice"]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    kind = kinds.get(schema.get("type", ""))
    if kind and not isinstance(value, kind):
        return [f"{at}: {value!r} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, list):
        items = schema.get("items", {})
        return [bad for item in value for bad in misfits(item, items, whole, f"{at}[]")]
    if not isinstance(value, dict):
        return []
    bad = [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, inner in schema.get("properties", {}).items():
        # Real replies hold null where the description knows only absence.
        if value.get(name) is not None:
            bad += misfits(value[name], inner, whole, f"{at}.{name}")
    return bad


def reply_schema(description: dict[str, Any], path: str, method: str, code: str) -> dict[str, Any]:
    content = description["paths"][path][method]["responses"][code]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


async def test_every_described_route_is_known(
    simulator: Simulator, description: dict[str, Any]
) -> None:
    """A route that is missing says Not Found; one that is not simulated says so in its words."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as client:
        for path, methods in description["paths"].items():
            for method in methods:
                reply = await client.request(method, path.replace("{id}", "x"))
                assert "Not Found" not in reply.text, path
                assert reply.status_code != 405, path
                if reply.is_error:
                    schema = reply_schema(description, path, method, "default")
                    assert misfits(reply.json(), schema, description) == []


async def test_replies_are_as_described(simulator: Simulator, description: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    path = "/generations/video"
    examples = description["components"]["schemas"]["GenerationRequest"]["examples"]
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as client:

        async def fits(method: str, path: str, code: str, url: str, **options: Any) -> Any:
            reply = await client.request(method, url, **options)
            assert str(reply.status_code) == code, reply.text
            schema = reply_schema(description, path, method, code)
            assert misfits(reply.json(), schema, description) == []
            return reply.json()

        for example in examples[:2]:
            body = {"model": "ray-flash-2", **example["value"]}
            await fits("post", path, "201", path, json=body)
        first = next(iter(simulator.generations))
        await simulator.finish(first)
        done = await fits("get", "/generations/{id}", "200", f"/generations/{first}")
        assert done["state"] == "completed"
        page = await fits("get", "/generations", "200", "/generations")
        assert len(page["generations"]) == 2
        for name in ("/ping", "/credits", "/generations/concepts/list"):
            await fits("get", name, "200", name)
        deleted = await client.delete(f"/generations/{first}")
        assert deleted.status_code == 204


async def test_every_described_choice_is_taken(
    simulator: Simulator, description: dict[str, Any]
) -> None:
    schemas = description["components"]["schemas"]
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": "ray-2", "prompt": "a red fox"}
    choices = {
        "aspect_ratio": schemas["AspectRatio"]["enum"],
        "resolution": schemas["VideoModelOutputResolution"]["anyOf"][0]["enum"],
        "duration": schemas["VideoModelOutputDuration"]["anyOf"][0]["enum"],
        "model": schemas["VideoModel"]["enum"],
    }
    simulator.faults.fail(times=100)
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as client:
        for name, values in choices.items():
            for value in values:
                reply = await client.post("/generations", json={**body, name: value})
                assert reply.status_code == 201, reply.text
                await simulator.finish(reply.json()["id"])
