from __future__ import annotations

import asyncio
import random

import httpx
import pytest

from bot.errors import ConfigError
from bot.simulator import Generation, Simulator, SimulatorSettings, face_of, run_simulator
from bot.simulator.account import Account
from bot.simulator.order import ApiError
from tests.bot.simulator.conftest import BODY, PLAIN, Serve

FLASH_540P_5S_CENTS = 960 * 540 * 24 * 5 / 1e6 * 0.22


@pytest.mark.parametrize(
    ("header", "status", "detail"),
    [
        (None, 403, "Not authenticated"),
        ("Basic bHVtYQ==", 403, "Not authenticated"),
        ("Bearer luma-api-of-the-other-product", 403, "Not authenticated"),
        ("Bearer wrong", 401, "Invalid API key is provided"),
        ("Bearer wröng", 401, "Invalid API key is provided"),
    ],
)
async def test_keys(serve: Serve, header: str | None, status: int, detail: str) -> None:
    url = (await serve()).simulator.base_url
    async with httpx.AsyncClient(base_url=url, verify=PLAIN) as client:
        for path in ("/ping", "/credits", "/generations", "/generations/x"):
            headers = {} if header is None else {b"authorization": header.encode()}
            reply = await client.get(path, headers=headers)
            assert (reply.status_code, reply.json()) == (status, {"detail": detail})


async def test_ping_and_lists_of_words(serve: Serve) -> None:
    client = (await serve()).client
    assert (await client.get("/ping")).json() == {"message": "pong"}
    concepts = (await client.get("/generations/concepts/list")).json()
    assert len(concepts) == 34
    assert "elevator_doors" in concepts
    assert "camera orbit left" in (await client.get("/generations/camera_motion/list")).json()


async def test_a_generation_from_order_to_clip(serve: Serve) -> None:
    served = await serve()
    fields = {"concepts": [{"key": "static"}], "keyframes": None}
    made = await served.create(**fields)
    assert made["state"] == "queued"
    assert made["assets"] is None
    assert made["failure_reason"] is None
    assert made["generation_type"] == "video"
    assert made["model"] == "ray-flash-2"
    assert made["created_at"].endswith("Z")
    assert made["request"] == {
        **BODY,
        **fields,
        "generation_type": "video",
        "callback_url": None,
    }
    await served.simulator.until(lambda: _state(served.simulator, made["id"]) == "dreaming")
    assert (await served.get(made["id"]))["state"] == "dreaming"

    await served.simulator.finish(made["id"])

    done = await served.get(made["id"])
    assert done["state"] == "completed"
    assert done["assets"]["progress_video"] is None
    async with httpx.AsyncClient(verify=PLAIN) as anonymous:
        clip = await anonymous.get(done["assets"]["video"])
        thumb = await anonymous.get(done["assets"]["image"])
        half = await anonymous.get(done["assets"]["video"], headers={"Range": "bytes=0-99"})
    assert clip.headers["content-type"] == "video/mp4"
    assert int(clip.headers["content-length"]) == len(clip.content)
    assert clip.content[4:8] == b"ftyp"
    assert thumb.content[:2] == b"\xff\xd8"
    assert (half.status_code, half.content) == (206, clip.content[:100])
    assert served.simulator.generations[made["id"]].downloads == 2


def _state(simulator: Simulator, id_: str) -> str:
    return simulator.generations[id_].state


async def test_both_addresses_create(serve: Serve) -> None:
    served = await serve()
    assert (await served.client.post("/generations", json=BODY)).status_code == 201
    assert (await served.client.post("/generations/video", json=BODY)).status_code == 201
    assert served.simulator.requests["POST /generations"] == 1
    assert served.simulator.requests["POST /generations/video"] == 1


async def test_lists_are_paged_newest_first(serve: Serve) -> None:
    served = await serve(page_limit_max=3)
    ids = [(await served.create())["id"] for _ in range(5)]

    first = (await served.client.get("/generations?limit=2")).json()
    assert [each["id"] for each in first["generations"]] == [ids[4], ids[3]]
    assert (first["count"], first["limit"], first["offset"]) == (2, 2, 0)
    assert first["has_more"] is True

    last = (await served.client.get("/generations?limit=2&offset=4")).json()
    assert [each["id"] for each in last["generations"]] == [ids[0]]
    assert (last["count"], last["has_more"]) == (1, False)

    capped = (await served.client.get("/generations")).json()
    assert (capped["count"], capped["limit"], capped["has_more"]) == (3, 3, True)
    for query in ("limit=many", "offset=-1"):
        assert (await served.client.get(f"/generations?{query}")).status_code == 422


async def test_delete_hides_a_generation(serve: Serve) -> None:
    served = await serve()
    id_ = (await served.create())["id"]
    reply = await served.client.delete(f"/generations/{id_}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert (await served.client.get(f"/generations/{id_}")).status_code == 404
    assert (await served.client.delete(f"/generations/{id_}")).status_code == 404
    assert (await served.client.get("/generations")).json()["generations"] == []
    assert served.simulator.generations[id_].is_deleted


async def test_what_is_not_there_says_so_in_the_apis_words(serve: Serve) -> None:
    client = (await serve()).client
    unknown = await client.get("/generations/nothing")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Generation not found"})
    assert (await client.get("/nowhere")).json() == {"detail": "Not Found"}
    assert (await client.put("/credits")).status_code == 405
    other = await client.post("/generations/image/reframe", json={"prompt": "a fox"})
    assert (other.status_code, "no stills" in other.json()["detail"]) == (400, True)
    broken = await client.post("/generations", content=b"{")
    assert (broken.status_code, broken.json()) == (422, {"detail": "JSON decode error"})


async def test_credits_go_down_at_create_and_come_back_on_failure(serve: Serve) -> None:
    served = await serve(balance_cents=100)
    kept, lost = (await served.create())["id"], (await served.create())["id"]
    reply = (await served.client.get("/credits")).json()
    assert reply["credit_balance"] == pytest.approx(100 - 2 * FLASH_540P_5S_CENTS, abs=1e-3)

    await served.simulator.finish(kept)
    await served.simulator.fail(lost, "Job failed")

    assert (await served.get(lost))["failure_reason"] == "Job failed"
    assert served.simulator.balance_cents == pytest.approx(100 - FLASH_540P_5S_CENTS)


async def test_no_credits(serve: Serve) -> None:
    served = await serve(balance_cents=FLASH_540P_5S_CENTS - 0.01)
    assert await served.detail(402) == "Insufficient credits"
    assert not served.simulator.generations


async def test_creates_per_minute(serve: Serve) -> None:
    served = await serve(creates_per_minute=2)
    await served.create()
    await served.create()
    assert await served.detail(429) == "Rate limit exceeded"


def test_the_rate_is_counted_over_a_minute_of_the_services_time() -> None:
    account = Account(SimulatorSettings(creates_per_minute=1, speed=10))
    account.count_create(100.0)
    with pytest.raises(ApiError):
        account.count_create(105.9)
    account.count_create(106.0)


async def test_beyond_the_running_limit_a_create_is_refused(serve: Serve) -> None:
    served = await serve(running_limit=1)
    id_ = (await served.create())["id"]
    assert await served.detail(429) == "Too many concurrent generations"
    await served.simulator.finish(id_)
    await served.create()


async def test_beyond_the_running_limit_a_create_may_wait_instead(serve: Serve) -> None:
    served = await serve(running_limit=1, over_limit="queue")
    first, second = (await served.create())["id"], (await served.create())["id"]
    assert (await served.get(second))["state"] == "queued"
    await served.simulator.finish(first)
    await served.simulator.until(lambda: _state(served.simulator, second) == "dreaming")


async def test_durations_are_log_normal_and_scaled(serve: Serve) -> None:
    served = await serve(manual=False, median_seconds=45, speed=4500, seed=7)
    made = [(await served.create())["id"] for _ in range(5)]
    await served.simulator.until(lambda: all(each.is_over for each in _all(served.simulator)))
    lengths = [each.seconds for each in _all(served.simulator)]
    assert len(set(lengths)) == len(made)
    assert all(0.001 < length < 0.2 for length in lengths)
    for each in _all(served.simulator):
        assert each.completed_at is not None
        assert each.completed_at >= each.ready_at


def _all(simulator: Simulator) -> list[Generation]:
    return list(simulator.generations.values())


def test_durations_may_lie_in_a_range() -> None:
    settings = SimulatorSettings(min_seconds=20, max_seconds=40, speed=2)
    lengths = [settings.draw_seconds(random.Random(n)) for n in range(50)]
    assert 10 <= min(lengths) < 12
    assert 18 < max(lengths) <= 20


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("blacklisted", "Contains blacklisted words"),
        ("moderated", "Advanced prompt moderation failed"),
    ],
)
async def test_moderation_fails_later_and_is_refunded(
    serve: Serve, word: str, reason: str
) -> None:
    served = await serve()
    id_ = (await served.create(prompt=f"a {word} fox"))["id"]
    await served.simulator.until(lambda: _state(served.simulator, id_) == "failed")
    done = await served.get(id_)
    assert (done["failure_reason"], done["assets"]) == (reason, None)
    assert served.simulator.balance_cents == 10_000


async def test_a_test_can_wait_for_creates(serve: Serve) -> None:
    served = await serve()
    async with asyncio.TaskGroup() as both:
        waiting = both.create_task(served.simulator.wait_for_creates(2))
        await served.create()
        assert not waiting.done()
        await served.create()
    assert len(served.simulator.generations) == 2


async def test_every_api_request_takes_its_time(serve: Serve) -> None:
    served = await serve(latency_seconds=0.05)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await served.client.get("/ping")
    assert loop.time() - before >= 0.05


async def test_requests_are_counted_by_route(serve: Serve) -> None:
    served = await serve()
    id_ = (await served.create())["id"]
    await served.get(id_)
    await served.get(id_)
    await served.client.get("/generations")
    await served.client.get("/nowhere")
    assert served.simulator.requests == {
        "POST /generations/video": 1,
        "GET /generations/{id}": 2,
        "GET /generations": 1,
        "GET (unknown)": 1,
    }


async def test_a_closed_port_refuses_and_opens_again(serve: Serve) -> None:
    served = await serve()
    id_ = (await served.create())["id"]
    await served.simulator.close_port()
    with pytest.raises(httpx.ConnectError):
        await served.client.get("/ping")
    await served.simulator.open_port()
    assert (await served.get(id_))["state"] == "dreaming"


async def test_a_report_for_processes_next_door(serve: Serve) -> None:
    served = await serve()
    id_ = (await served.create())["id"]
    await served.simulator.finish(id_)
    origin = served.simulator.base_url.removesuffix("/dream-machine/v1")
    report = (await served.client.get(f"{origin}/simulator/generations")).json()
    assert report[id_]["state"] == "completed"
    assert report[id_]["completed_at"] >= report[id_]["created_at"]


async def test_the_command_serves_until_it_is_stopped() -> None:
    addresses: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        settings = SimulatorSettings(api_key="mine")
        group.create_task(run_simulator(settings, "127.0.0.1", 0, addresses.put_nowait, stop))
        async with httpx.AsyncClient(base_url=await addresses.get(), verify=PLAIN) as client:
            reply = await client.get("/ping", headers={"Authorization": "Bearer mine"})
            assert reply.json() == {"message": "pong"}
        stop.set()


async def test_stopping_leaves_nothing_behind() -> None:
    """A generation that is still being drawn does not hold up the stop."""
    async with Simulator(SimulatorSettings(manual=True)) as simulator:
        async with httpx.AsyncClient(base_url=simulator.base_url, verify=PLAIN) as client:
            key = {"Authorization": "Bearer luma-simulator"}
            await client.post("/generations", json={**BODY, "duration": "9s"}, headers=key)
        await simulator.wait_for_creates(1)
    async with httpx.AsyncClient(verify=PLAIN) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(simulator.base_url + "/ping")


def test_it_speaks_the_api_of_each_provider_and_of_nobody_else() -> None:
    assert face_of("fal").__name__ == "FalFace"
    with pytest.raises(ConfigError, match=r"The simulator speaks .*fal.*; not 'flal'"):
        face_of("flal")
