from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from typer.main import get_command

from bot.cli.typed import cli
from bot.errors import ConfigError
from bot.simulator import Faults
from bot.simulator.faults import ClipFault, Operation
from tests.bot.simulator.conftest import BODY, Serve, Served
from tests.fakes import until


@pytest.mark.parametrize(("accepted", "created"), [(True, 1), (False, 0)])
async def test_a_reply_that_never_comes(serve: Serve, accepted: bool, created: int) -> None:
    served = await serve()
    served.simulator.faults.drop(accepted=accepted)
    with pytest.raises(httpx.RemoteProtocolError):
        await served.create()
    assert len(served.simulator.generations) == created
    assert served.simulator.requests["POST /generations/video"] == 1
    await served.create()


async def test_a_reply_that_comes_too_late(serve: Serve) -> None:
    served = await serve()
    served.simulator.faults.delay("create", 3600)
    with pytest.raises(httpx.ReadTimeout):
        await served.client.post("/generations", json=BODY, timeout=httpx.Timeout(15, read=0.1))
    await served.simulator.wait_for_creates(1)
    assert len(served.simulator.generations) == 1


async def test_a_reply_that_waits_until_it_is_released(serve: Serve) -> None:
    served = await serve()
    released = served.simulator.faults.hold()
    asking = asyncio.ensure_future(served.create())
    await served.simulator.wait_for_creates(1)
    [held] = served.simulator.generations
    assert (await served.create())["id"] != held
    assert not asking.done()
    released.set()
    assert (await asking)["id"] == held


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (2.5, "2.5"), (30, "30")])
async def test_too_many_requests(
    serve: Serve, retry_after: float | None, header: str | None
) -> None:
    served = await serve()
    served.simulator.faults.too_many(retry_after=retry_after, times=2)
    for _ in range(2):
        reply = await served.client.post("/generations", json=BODY)
        assert (reply.status_code, reply.headers.get("retry-after")) == (429, header)
    await served.create()
    assert len(served.simulator.generations) == 1


@pytest.mark.parametrize(("accepted", "created"), [(True, 1), (False, 0)])
async def test_server_errors(serve: Serve, accepted: bool, created: int) -> None:
    served = await serve()
    served.simulator.faults.server_error(accepted=accepted, status=502)
    assert await served.detail(502) == "Internal Server Error"
    assert len(served.simulator.generations) == created


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("ping", "GET", "/ping"),
        ("credits", "GET", "/credits"),
        ("list", "GET", "/generations"),
        ("get", "GET", "/generations/x"),
        ("delete", "DELETE", "/generations/x"),
        ("concepts", "GET", "/generations/concepts/list"),
        ("other", "POST", "/generations/image/reframe"),
    ],
)
async def test_faults_wait_for_their_operation(
    serve: Serve, operation: Operation, method: str, path: str
) -> None:
    served = await serve()
    served.simulator.faults.refuse(operation, 410, "This API is retired")
    await served.create()
    assert served.simulator.faults.left == 1
    reply = await served.client.request(method, path)
    assert (reply.status_code, reply.json()) == (410, {"detail": "This API is retired"})
    assert served.simulator.faults.left == 0


async def test_down_until_up(serve: Serve) -> None:
    served = await serve()
    served.simulator.faults.down()
    for path in ("/ping", "/generations"):
        assert (await served.client.get(path)).status_code == 503
    served.simulator.faults.up()
    assert (await served.client.get("/ping")).status_code == 200


async def test_failing_by_number_and_in_turn(serve: Serve) -> None:
    served = await serve()
    served.simulator.faults.fail("Prompt processing failed", number=3)
    served.simulator.faults.fail()
    ids = [(await served.create())["id"] for _ in range(3)]
    for id_ in ids:
        await served.simulator.finish(id_)
    reasons = [(await served.get(id_))["failure_reason"] for id_ in ids]
    assert reasons == ["Job failed", None, "Prompt processing failed"]


async def test_slow(serve: Serve) -> None:
    served = await serve(min_seconds=10, max_seconds=10)
    served.simulator.faults.slow(20)
    slow, usual = (await served.create())["id"], (await served.create())["id"]
    assert [served.simulator.generations[each].seconds for each in (slow, usual)] == [200, 10]
    late = served.simulator.generations[slow]
    assert (late.ready_at - late.created_at).total_seconds() == 200


async def test_new_generations_are_left_out_of_lists_for_a_while(serve: Serve) -> None:
    served = await serve()
    served.simulator.faults.hide_new(2)
    hidden = (await served.create())["id"]
    shown = (await served.create())["id"]
    seen = []
    for _ in range(3):
        page = (await served.client.get("/generations")).json()
        seen.append([each["id"] for each in page["generations"]])
    assert seen == [[shown], [shown], [shown, hidden]]
    assert (await served.get(hidden))["id"] == hidden


async def _clip_url(served: Served) -> str:
    id_ = (await served.create())["id"]
    await served.simulator.finish(id_)
    return str((await served.get(id_))["assets"]["video"])


async def test_clips_that_are_no_clips(serve: Serve) -> None:
    served = await serve()
    url = await _clip_url(served)
    whole = (await served.client.get(url)).content
    broken: tuple[ClipFault, ...] = ("garbage", "empty", "html", "missing", "cut")
    for fault in broken:
        served.simulator.faults.break_clip(fault)
    garbage, empty, html, missing, cut = [await served.client.get(url) for _ in range(5)]
    assert garbage.headers["content-type"] == "video/mp4"
    assert b"ftyp" not in garbage.content
    assert len(garbage.content) > 1000
    assert (empty.status_code, empty.content) == (200, b"")
    assert html.headers["content-type"].startswith("text/html")
    assert missing.status_code == 404
    assert cut.content == whole[: len(whole) // 2]
    assert int(cut.headers["content-length"]) == len(cut.content)
    assert (await served.client.get(url)).content == whole


@pytest.mark.parametrize("fault", ["short", "long"])
async def test_clips_with_a_wrong_length(serve: Serve, fault: ClipFault) -> None:
    served = await serve()
    url = await _clip_url(served)
    served.simulator.faults.break_clip(fault)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await served.client.get(url)


async def test_a_download_that_stalls(serve: Serve) -> None:
    served = await serve()
    url = await _clip_url(served)
    served.simulator.faults.break_clip("stalled")
    async with served.client.stream("GET", url) as reply:
        chunks = reply.aiter_raw()
        assert await anext(chunks)
        rest = asyncio.ensure_future(_count(chunks))
        await asyncio.wait({rest}, timeout=0.2)
        assert not rest.done()
        rest.cancel()
        await asyncio.wait({rest})
        assert reply.num_bytes_downloaded < int(reply.headers["content-length"])


async def _count(chunks: AsyncIterator[bytes]) -> int:
    return sum([len(each) async for each in chunks])


async def test_clip_downloads_can_be_refused_too(serve: Serve) -> None:
    served = await serve()
    url = await _clip_url(served)
    served.simulator.faults.server_error("clip", status=503)
    assert (await served.client.get(url)).status_code == 503
    assert (await served.client.get(url)).status_code == 200


def test_the_command_line_names_faults() -> None:
    faults = Faults.parse(
        [
            "drop-reply=2",
            "drop-request",
            "delay-reply=0.5",
            "too-many",
            "retry-after=7",
            "server-error",
            "server-error-accepted",
            "slow=3",
            "fail=Frame moderation failed",
            "fail-number=4",
            "clip=html",
            "callback",
            "hide-new=2",
            "down",
        ]
    )
    replies = [faults.take_reply("create") for _ in range(8)]
    assert [type(each).__name__ for each in replies] == [
        *["Drop"] * 3,
        "Delay",
        *["Refuse"] * 4,
    ]
    assert faults.take_slow() == 3
    assert faults.take_failure(4) == "Job failed"
    assert faults.take_failure(5) == "Frame moderation failed"
    assert faults.take_clip() == "html"
    assert faults.take_callback() == "duplicated"
    assert faults.take_hidden() == 2
    assert faults.is_down
    assert faults.left == 0


def test_the_example_of_the_help_fails_the_second_generation() -> None:
    options = get_command(cli).commands["simulator"].params  # type: ignore[attr-defined]
    [told] = [each.help for each in options if each.name == "fault"]
    faults = Faults.parse(re.findall(r"such as (\S+);", told))
    assert faults.take_failure(1) is None
    assert faults.take_failure(2) == "Job failed"


def test_nothing_planned_is_nothing_wrong() -> None:
    faults = Faults.parse([])
    assert faults.take_reply("create") is None
    assert faults.take_clip() is None
    assert faults.take_slow() == 1
    assert faults.take_failure(1) is None
    assert not faults.is_down


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drop-replay", "Did you mean 'drop-reply'?"),
        ("", "There is no fault ''"),
        ("slow=very", "'very' is no value for the fault 'slow'"),
        ("clip=torn", "'torn' is no value for the fault 'clip'"),
    ],
)
def test_unknown_faults_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        Faults.parse([text])


async def test_delays_do_not_hold_up_others(serve: Serve) -> None:
    served = await serve()
    served.simulator.faults.delay("ping", 3600)
    slow = asyncio.ensure_future(served.client.get("/ping"))
    await until(lambda: served.simulator.requests["GET /ping"])
    assert (await served.client.get("/credits")).status_code == 200
    assert not slow.done()
    slow.cancel()
