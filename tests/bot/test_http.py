"""The HTTP clients against real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderUnavailable,
)
from bot.http import (
    MAX_RETRY_AFTER,
    NOT_SENT,
    PAUSE_SECONDS,
    create_client,
    get_with_retries,
    plain,
    read_detail,
    read_json,
    read_retry_after,
    read_time,
    tls,
    to_error,
)
from bot.send_guard import send_only_while
from tests.faults.certificates import Authority
from tests.ports import free_port

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
BROKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Server:
    """A server of raw bytes: each connection is talked to by the next in `talks`."""

    talks: list[Talk] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one connection."""
        self.connections += 1
        talk = self.talks.pop(0) if len(self.talks) > 1 else self.talks[0]
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Read one request with its body."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        self.asked.set()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))

    def say(self, *replies: bytes) -> Talk:
        """One reply per request, then close."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for reply in replies:
                await self.read(reader)
                writer.write(reply)
                await writer.drain()

        return talk

    async def hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and never answer."""
        await self.read(reader)
        await self.released.wait()

    async def drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and answer it for ever, each byte in time."""
        await self.read(reader)
        writer.write(OK.replace(b"Length: 2", b"Length: 2000000"))
        while not self.released.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def reset(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request, then reset the connection."""
        await self.read(reader)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
        )
        writer.transport.abort()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    own = Server()
    async with await asyncio.start_server(own.serve, "127.0.0.1", 0) as listening:
        own.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield own
        finally:
            own.released.set()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with create_client() as own:
        yield own


@pytest.fixture
async def impatient() -> AsyncIterator[httpx.AsyncClient]:
    """For what takes too long: however slow this machine is, nothing else is asked with it."""
    async with create_client(read_seconds=0.5) as own:
        yield own


# ---- true errors ------------------------------------------------------------------------------


async def test_a_refused_connection_was_certainly_not_sent(client: httpx.AsyncClient) -> None:
    with pytest.raises(NOT_SENT):
        await client.post(f"http://127.0.0.1:{free_port()}/", json={})


async def test_an_unknown_host_was_certainly_not_sent(client: httpx.AsyncClient) -> None:
    with pytest.raises(NOT_SENT):
        await client.post("http://nowhere.invalid/", json={})


async def test_a_failed_tls_handshake_was_certainly_not_sent(
    client: httpx.AsyncClient, server: Server
) -> None:
    async def speak_first(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BROKEN)
        await writer.drain()

    server.talks = [speak_first]
    with pytest.raises(NOT_SENT):
        await client.post(server.url.replace("http:", "https:"), json={})


async def test_a_full_pool_was_certainly_not_sent(server: Server) -> None:
    server.talks = [server.hang]
    async with create_client(max_connections=1) as client:
        client.timeout = httpx.Timeout(5, pool=0.2)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(client.get(server.url))
            await server.asked.wait()
            with pytest.raises(NOT_SENT):
                await client.post(server.url, json={})
            first.cancel()
    assert server.connections == 1


async def test_what_is_late_once_there_is_a_connection_was_certainly_not_sent(
    client: httpx.AsyncClient, server: Server
) -> None:
    """As when a process freezes while it connects, and is thawed after another took over."""
    server.talks = [server.say(OK, OK)]
    in_time = iter([True, False])
    with send_only_while(lambda: next(in_time)):
        await client.post(server.url, json={})
        with pytest.raises(NOT_SENT):
            await client.post(server.url, json={})
    assert len(server.heads) == 1


async def test_a_connection_closed_without_a_reply_is_in_doubt(
    client: httpx.AsyncClient, server: Server
) -> None:
    server.talks = [server.say(b"")]
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post(server.url, json={})


async def test_a_reset_connection_is_in_doubt(client: httpx.AsyncClient, server: Server) -> None:
    server.talks = [server.reset]
    with pytest.raises(httpx.TransportError) as caught:
        await client.post(server.url, json={})
    assert not isinstance(caught.value, NOT_SENT)


async def test_no_reply_in_time_is_in_doubt(impatient: httpx.AsyncClient, server: Server) -> None:
    server.talks = [server.hang]
    with pytest.raises(httpx.ReadTimeout):
        await impatient.post(server.url, json={})


async def test_half_a_body_is_in_doubt(client: httpx.AsyncClient, server: Server) -> None:
    server.talks = [server.say(OK.replace(b"Length: 2", b"Length: 2000"))]
    with pytest.raises(httpx.ReadError):
        await client.post(server.url, json={})


async def test_a_body_that_stops_is_in_doubt(impatient: httpx.AsyncClient, server: Server) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.say(OK.replace(b"Length: 2", b"Length: 2000"))(reader, writer)
        await server.released.wait()

    server.talks = [stall]
    with pytest.raises(httpx.ReadTimeout):
        await impatient.post(server.url, json={})


async def test_nonsense_instead_of_http_is_in_doubt(
    client: httpx.AsyncClient, server: Server
) -> None:
    server.talks = [server.say(b"SSH-2.0-OpenSSH\r\n\r\n")]
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post(server.url, json={})


async def test_cancelling_stays_a_cancellation(client: httpx.AsyncClient, server: Server) -> None:
    server.talks = [server.hang]
    task = asyncio.ensure_future(client.post(server.url, json={}, timeout=10))
    await server.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- manners ----------------------------------------------------------------------------------


async def test_a_post_is_sent_once_whatever_happens(
    client: httpx.AsyncClient, server: Server
) -> None:
    server.talks = [server.say(b"")]
    with pytest.raises(httpx.TransportError):
        await client.post(server.url, json={})
    assert server.connections == len(server.heads) == 1


async def test_redirects_are_not_followed(client: httpx.AsyncClient, server: Server) -> None:
    server.talks = [server.say(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")]
    assert (await client.get(server.url)).status_code == 302
    assert len(server.heads) == 1


async def test_the_environments_proxy_is_ignored(
    client: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    server.talks = [server.say(OK)]
    assert (await client.get(server.url)).json() == {}


async def test_connections_are_kept_or_not(server: Server) -> None:
    for keep_alive, connections in ((True, 1), (False, 2)):
        server.talks, server.connections = [server.say(OK, OK)], 0
        async with create_client(keep_alive=keep_alive) as client:
            await client.get(server.url)
            await client.get(server.url)
        assert server.connections == connections


async def test_headers_and_base_address_go_with_each_request(server: Server) -> None:
    server.talks = [server.say(OK)]
    async with create_client(base_url=f"{server.url}/v1", headers={"X-Own": "yes"}) as client:
        await client.get("credits", params={"a": 1})
    head = server.heads[0].lower()
    assert head.startswith(b"get /v1/credits?a=1 http/1.1")
    assert b"x-own: yes" in head


async def test_requests_are_observed(server: Server) -> None:
    seen: list[tuple[str, str]] = []
    server.talks = [server.say(OK), server.say(BROKEN), server.say(b"")]

    def observe(method: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((method, outcome))

    async with create_client(keep_alive=False, observe=observe) as client:
        await client.get(server.url)
        await client.get(server.url)
        with pytest.raises(httpx.TransportError):
            await client.post(server.url, json={})
    assert seen == [("GET", "2xx"), ("GET", "5xx"), ("POST", "error")]


async def test_certificates_are_checked() -> None:
    async with create_client() as client:
        context: ssl.SSLContext = client._transport._inner.ssl_context  # type: ignore[attr-defined]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


# ---- retries of GETs --------------------------------------------------------------------------


async def test_a_get_is_asked_again_after_a_5xx_or_a_lost_connection(
    client: httpx.AsyncClient, server: Server
) -> None:
    server.talks = [server.say(BROKEN), server.reset, server.say(OK)]
    response = await get_with_retries(client, server.url, wait_seconds=0.01)
    assert response.status_code == 200
    assert len(server.heads) >= 3


async def test_the_last_5xx_is_returned_when_none_is_better(
    client: httpx.AsyncClient, server: Server
) -> None:
    server.talks = [server.say(BROKEN)]
    response = await get_with_retries(client, server.url, attempts=3, wait_seconds=0.01)
    assert response.status_code == 503
    assert len(server.heads) == 3


async def test_the_last_lost_connection_is_raised(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ConnectError):
        await get_with_retries(client, f"http://127.0.0.1:{free_port()}", wait_seconds=0.01)


@pytest.mark.parametrize("way", ["hang", "drip"])
async def test_a_slow_reply_is_not_asked_for_twice(
    impatient: httpx.AsyncClient, server: Server, way: str
) -> None:
    server.talks = [getattr(server, way)]
    with pytest.raises(httpx.ReadTimeout):
        await get_with_retries(impatient, server.url, wait_seconds=0.01)
    assert len(server.heads) == 1


@pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"404 Not Found", b"429 Too Many"])
async def test_other_replies_are_taken_as_they_are(
    client: httpx.AsyncClient, server: Server, status: bytes
) -> None:
    server.talks = [server.say(OK.replace(b"200 OK", status))]
    await get_with_retries(client, server.url, wait_seconds=0.01)
    assert len(server.heads) == 1


async def test_each_attempt_takes_its_turn(client: httpx.AsyncClient, server: Server) -> None:
    turns: list[int] = []

    async def turn() -> None:
        turns.append(len(server.heads))

    server.talks = [server.say(BROKEN), server.say(OK)]
    await get_with_retries(client, server.url, wait_seconds=0.01, turn=turn)
    assert turns == [0, 1]


# ---- readers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "kind", "retry_after"),
    [
        (401, {}, ProviderAuthError, None),
        (402, {}, ProviderOutOfCredits, None),
        (403, {}, ProviderAuthError, None),
        (422, {}, ProviderRejected, None),
        (429, {}, ProviderUnavailable, PAUSE_SECONDS),
        (429, {"Retry-After": "3"}, ProviderUnavailable, 3),
        (429, {"Retry-After": "0"}, ProviderUnavailable, 0),
        (500, {}, ProviderUnavailable, None),
        (503, {"Retry-After": "7"}, ProviderUnavailable, 7),
    ],
)
def test_a_status_has_its_error(
    status: int, headers: dict[str, str], kind: type[ProviderError], retry_after: float | None
) -> None:
    error = to_error(httpx.Response(status, headers=headers), provider="acme")
    assert type(error) is kind
    assert (error.provider, error.retry_after) == ("acme", retry_after)
    assert error.sentence.endswith(".")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"detail": "400: Prompt is required"}', "Prompt is required"),
        (b'{"detail": [{"msg": "Field required"}, {"msg": "bad"}]}', "Field required; bad"),
        (b'{"detail": [1, {"loc": []}]}', ""),
        (b'{"detail": {"a": 1}}', ""),
        (b'{"detail": "<html>broken</html>"}', ""),
        (b"<html><body>502</body></html>", ""),
        (b'["detail"]', ""),
        (b"", ""),
    ],
)
def test_only_the_detail_of_a_json_reply_is_quoted(content: bytes, detail: str) -> None:
    assert read_detail(httpx.Response(400, content=content)) == detail


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  two\n lines\t ", "two lines"),
        ("cannot fetch https://bot.example/frames/x?sig=1 now", "cannot fetch (link) now"),
        ("a\x00b\u202ec", "abc"),
        ("x" * 900, "x" * 200),
        (None, ""),
        (5, ""),
    ],
)
def test_a_services_words_become_fit_for_a_sentence(text: object, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12),
        ({"retry-after": " 12 "}, 12),
        ({"retry-after": "99999999"}, MAX_RETRY_AFTER),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        (
            {
                "retry-after": "Sun, 22 Nov 2026 12:01:00 GMT",
                "date": "Sun, 22 Nov 2026 12:00:00 GMT",
            },
            60,
        ),
        (
            {
                "retry-after": "Sun, 22 Nov 2026 11:00:00 GMT",
                "date": "Sun, 22 Nov 2026 12:00:00 GMT",
            },
            0,
        ),
        ({"retry-after": "Sun, 22 Nov 2026 12:01:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_retry_after_upsets_it(value: str, date: str) -> None:
    seconds = read_retry_after({"retry-after": value, "date": date})
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(st.binary(max_size=200))
def test_no_body_upsets_the_reader(body: bytes) -> None:
    read_json(body)
    read_detail(httpx.Response(400, content=body))


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2024-12-02T15:34:40.388000Z", "2024-12-02T15:34:40.388000+00:00"),
        ("2024-12-02T15:34:40", "2024-12-02T15:34:40+00:00"),
        ("2024-12-02T15:34:40+02:00", "2024-12-02T15:34:40+02:00"),
        ("yesterday", None),
        (1733153680, None),
        (None, None),
    ],
)
def test_times_are_aware(value: object, iso: str | None) -> None:
    time = read_time(value)
    assert (time.isoformat() if time else None) == iso


async def test_a_service_may_be_signed_by_whom_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(own.file))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    tls.cache_clear()
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=own.context())
    try:
        port = server.sockets[0].getsockname()[1]
        async with create_client(base_url=f"https://127.0.0.1:{port}") as client:
            assert (await client.get("/")).json() == {}
    finally:
        server.close()
        tls.cache_clear()
