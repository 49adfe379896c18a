"""A provider's API over a real server: reads in a budget, POSTs that are sent once, free acts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.budget import TokenBucket
from bot.errors import (
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.http import to_error
from bot.metrics import Metrics
from bot.service import Service
from tests.fakes import MovableClock
from tests.ports import free_port


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@dataclass
class Api:
    """A small provider over aiohttp's server; `replies` are given in order, the last again."""

    replies: list[web.Response]
    seen: list[web.Request] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    is_silent: bool = False

    async def until(self, requests: int) -> None:
        """Wait until so many requests have come."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.seen) >= requests)

    async def answer(self, request: web.Request) -> web.Response:
        """The next reply."""
        async with self.changed:
            self.seen.append(request)
            self.changed.notify_all()
        await request.read()
        if self.is_silent:
            await asyncio.Event().wait()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


@pytest.fixture
def api() -> Api:
    return Api([web.json_response({"ok": 1})])


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture
async def service(api: Api, clock: MovableClock) -> AsyncIterator[Service]:
    async with serving(api) as base_url:
        own = to_service(base_url, clock)
        yield own
        await own.aclose()


def to_service(
    base_url: str,
    clock: MovableClock,
    *,
    metrics: Metrics | None = None,
    rate: float = 1000.0,
    burst: int = 100,
    read_seconds: float = 2,
    **header: str,
) -> Service:
    return Service(
        "acme",
        base_url=base_url,
        key=SecretStr("acme-key-0123456789"),
        pace=TokenBucket(rate, burst=burst),
        clock=clock,
        read_error=lambda response: to_error(response, provider="acme"),
        connect_seconds=2,
        read_seconds=read_seconds,
        metrics=metrics,
        **header,
    )


async def test_a_service_gets_objects_with_its_key(api: Api, service: Service) -> None:
    assert await service.get("things/1", limit=5) == {"ok": 1}
    request = api.seen[0]
    assert request.path_qs == "/v1/things/1?limit=5"
    assert request.headers["Authorization"] == "Bearer acme-key-0123456789"


async def test_what_is_not_there_is_none(api: Api, service: Service) -> None:
    api.replies = [web.Response(status=404)]
    assert await service.get("things/1") is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b'"text"', b"[" * 100_000])
async def test_an_unreadable_get_is_an_outage(api: Api, service: Service, body: bytes) -> None:
    api.replies = [web.Response(body=body)]
    with pytest.raises(ProviderUnavailable):
        await service.get("things/1")


async def test_a_429_closes_the_budget_for_as_long_as_it_says(
    api: Api, service: Service, clock: MovableClock
) -> None:
    api.replies = [web.Response(status=429, headers={"Retry-After": "30"}), api.replies[0]]
    with pytest.raises(ProviderUnavailable) as caught:
        await service.get("things/1")
    assert caught.value.retry_after == 30
    waiting = asyncio.ensure_future(service.get("things/2"))
    clock.move(seconds=15)
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    clock.move(seconds=15)
    assert await waiting == {"ok": 1}
    assert len(api.seen) == 2


async def test_gets_keep_to_the_budget(api: Api, clock: MovableClock) -> None:
    application = web.Application()
    application.router.add_get("/{path:.*}", api.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    metrics = Metrics()
    service = to_service(base_url, clock, metrics=metrics, rate=0.1, burst=2)
    async with asyncio.TaskGroup() as group:
        for index in range(4):
            group.create_task(service.get(f"things/{index}"))
        for expected in (2, 3, 4):
            await api.until(expected)
            assert len(api.seen) == expected
            clock.move(seconds=10)
    await service.aclose()
    await runner.cleanup()
    assert b'{method="GET",outcome="2xx",provider="acme"} 4.0' in metrics.render()


async def test_a_post_returns_what_it_says(api: Api, service: Service) -> None:
    assert await service.post("things", {"a": 1}, 2) == {"ok": 1}
    assert api.seen[0].method == "POST"


@pytest.mark.parametrize("status", [301, 408, 409, 500, 502, 503, 504])
async def test_a_post_with_such_a_status_is_in_doubt(
    api: Api, service: Service, status: int
) -> None:
    api.replies = [web.Response(status=status)]
    with pytest.raises(SubmissionUncertain):
        await service.post("things", {}, 2)
    assert len(api.seen) == 1


async def test_a_post_that_takes_longer_than_its_patience_is_in_doubt(
    api: Api, service: Service
) -> None:
    api.is_silent = True
    with pytest.raises(SubmissionUncertain) as caught:
        await service.post("things", {}, 0.2)
    assert caught.value.provider == "acme"


async def test_nobody_there_means_not_taken(clock: MovableClock) -> None:
    service = to_service(f"http://127.0.0.1:{free_port()}", clock)
    with pytest.raises(ProviderUnavailable):
        await service.post("things", {}, 2)
    with pytest.raises(ProviderUnavailable):
        await service.get("things")
    await service.aclose()


async def test_how_far_the_clocks_are_apart_is_seen(
    api: Api, service: Service, clock: MovableClock
) -> None:
    await service.get("things")
    assert service.clock_skew.total_seconds() < 5
    clock.move(hours=2)
    await service.get("things")
    assert service.clock_skew.total_seconds() == pytest.approx(7200, abs=5)


@pytest.mark.parametrize(
    "said",
    [
        "yesterday",
        "Thu, 1 Jan 2026 00:00:00 +99999999999999999999",
        "Thu, 99999999999999999999 Jan 2026 00:00:00 GMT",
    ],
)
async def test_what_was_paid_is_heard_whatever_its_date(
    api: Api, service: Service, said: str
) -> None:
    api.replies = [web.json_response({"ok": 1}, headers={"Date": said})]
    assert await service.post("things", {"a": 1}, 2) == {"ok": 1}
    assert service.clock_skew.total_seconds() == 0


async def test_a_key_can_have_another_header_or_word(api: Api, clock: MovableClock) -> None:
    async with serving(api) as base_url:
        for own in (
            to_service(base_url, clock, scheme="Key"),
            to_service(base_url, clock, key_header="X-API-Key", scheme=""),
        ):
            await own.get("things")
            await own.aclose()
    assert api.seen[0].headers["Authorization"] == "Key acme-key-0123456789"
    assert api.seen[1].headers["X-API-Key"] == "acme-key-0123456789"
    assert "Authorization" not in api.seen[1].headers


async def test_a_free_act_is_sent_once_and_its_reply_is_the_callers(
    api: Api, service: Service
) -> None:
    api.replies = [web.json_response({"detail": "no"}, status=500)]
    reply = await service.act("PUT", "things/1/cancel", json={"why": "asked"})
    assert (reply.status_code, len(api.seen)) == (500, 1)
    assert api.seen[0].method == "PUT"


async def test_a_free_act_without_an_answer_is_an_outage(clock: MovableClock) -> None:
    own = to_service(f"http://127.0.0.1:{free_port()}", clock)
    with pytest.raises(ProviderUnavailable):
        await own.act("POST", "files", files={"content": ("a.jpg", b"x", "image/jpeg")})
    await own.aclose()


async def test_a_free_act_that_nobody_reads_is_an_outage(clock: MovableClock) -> None:
    """What is sent fills the wire: no answer is waited for yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = to_service(f"http://127.0.0.1:{listener.getsockname()[1]}", clock)
        with pytest.raises(ProviderUnavailable):
            await own.act("POST", "files", seconds=0.2, files={"content": bytes(20_000_000)})
        await own.aclose()


async def test_an_upload_over_a_slow_line_may_take_longer_than_a_question(
    api: Api, clock: MovableClock
) -> None:
    api.is_silent = True
    async with serving(api) as base_url:
        own = to_service(base_url, clock, read_seconds=0.3)
        upload = asyncio.create_task(own.act("POST", "files", files={"content": b"a fox"}))
        await api.until(1)
        with pytest.raises(ProviderUnavailable):
            await own.act("POST", "things", json={"why": "asked"})
        assert not upload.done()
        upload.cancel()
        await asyncio.wait({upload})
        await own.aclose()


async def test_a_farewell_is_remembered(api: Api, service: Service) -> None:
    await service.get("things")
    assert service.sunset is None
    said = "Sat, 24 Oct 2026 00:00:00 GMT"
    api.replies = [
        web.json_response({"ok": 1}, headers={"Sunset": said}),
        web.json_response({"ok": 1}),
    ]
    await service.get("things")
    await service.get("things")
    assert service.sunset == said
