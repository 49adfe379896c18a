"""The two doors, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession

from bot.errors import (
    BotError,
    ClipBroken,
    ConfigError,
    FrameRejected,
    InvalidRequest,
    JobNotFound,
    NotAllowed,
    StoreBusy,
    StoreError,
)
from bot.media import LinkSigner
from bot.ports import WebCall, WebHandler, WebReply, WebRoute
from bot.streams import MOST_EACH, Streams
from bot.web import (
    CALL_BYTES,
    CALLBACK_BYTES,
    CALLBACKS_PER_MINUTE,
    FETCHES_PER_FRAME,
    REMEMBERED_KEYS,
    Tally,
    Web,
    WebBackend,
    WebSettings,
    act_token,
)
from tests.fakes import MovableClock

SECRET = "a secret key of this test"
TOKEN = "k7_Zq-0123456789abcdefghijklmnopqrstuvwxyzAB"
SIGNER = LinkSigner(SECRET.encode())
ANY_PORT = WebSettings(public_port=0, private_port=0)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


@dataclass
class Backend:
    """What lies behind the doors in these tests, and what was asked of it."""

    folder: Path
    clock: MovableClock = field(default_factory=MovableClock)
    callbacks: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    frames: dict[tuple[str, int, str], Path] = field(default_factory=dict)
    clips: dict[str, Path] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    acts: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    age: float = 0.5
    routes: dict[tuple[str, str, str], WebHandler] = field(default_factory=dict)
    is_starting: bool = False
    refusal: BotError | None = None

    async def on_callback(
        self, provider: str, headers: Mapping[str, str], body: bytes, token: str
    ) -> None:
        """Note a hint."""
        self.callbacks.append((provider, headers.get("Content-Type", ""), body, token))

    async def frame_at(self, job_id: str, attempt: int, slot: str) -> Path | None:
        """The file of a frame that is wanted just now."""
        return self.frames.get((job_id, attempt, slot))

    async def clip_at(self, job_id: str) -> Path | None:
        """The file of a clip that is kept."""
        return self.clips.get(job_id)

    async def ready(self) -> Mapping[str, str]:
        """What is not well."""
        return self.problems

    async def act(self, name: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Carry out an act, or refuse it."""
        self.acts.append((name, arguments))
        if self.refusal:
            raise self.refusal
        return {"done": name}

    def find_route(self, adapter: str, method: str, path: str) -> WebHandler | None:
        """Who answers this."""
        if self.is_starting:
            raise StoreBusy
        return self.routes.get((adapter, method, path))

    def behind(self) -> WebBackend:
        """All of it, as the doors take it."""
        return WebBackend(
            on_callback=self.on_callback,
            verify_link=SIGNER.verify,
            frame_at=self.frame_at,
            clip_at=self.clip_at,
            find_route=self.find_route,
            ready=self.ready,
            troubles=lambda: self.troubles,
            heartbeat_age=lambda: self.age,
            render_metrics=lambda: asyncio.sleep(0, b"raybot_jobs 3.0\n"),
            act=self.act,
        )

    def web(self, settings: WebSettings = ANY_PORT) -> Web:
        """Doors that are still closed."""
        return Web(
            settings,
            self.behind(),
            clock=self.clock,
            secret_key=SECRET,
            providers={"luma"},
        )

    def link(self, path: str, *, seconds: float = 900) -> str:
        """A signed link that is good for so many seconds."""
        return SIGNER.sign(path, self.clock.now() + timedelta(seconds=seconds))


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    backend = Backend(folder=tmp_path)
    frame, clip = tmp_path / "frame.png", tmp_path / "clip.bin"
    frame.write_bytes(PNG)
    clip.write_bytes(bytes(range(256)) * 40)
    backend.frames["r-7k2m9qabcd", 1, "start"] = frame
    backend.clips["r-7k2m9qabcd"] = clip
    return backend


@pytest.fixture
async def doors(backend: Backend) -> AsyncIterator[Web]:
    face = backend.web()
    await face.start()
    yield face
    await face.stop()


@pytest.fixture
async def outside(doors: Web) -> AsyncIterator[ClientSession]:
    async with ClientSession(doors.public_address) as session:
        yield session


@pytest.fixture
async def inside(doors: Web) -> AsyncIterator[ClientSession]:
    async with ClientSession(doors.private_address) as session:
        yield session


# ---- callbacks -------------------------------------------------------------------------------


async def test_a_callback_is_handed_on_and_answered_200(
    backend: Backend, outside: ClientSession
) -> None:
    answer = await outside.post(f"/callbacks/luma/{TOKEN}", json={"id": "g-1"})
    assert answer.status == 200
    assert backend.callbacks == [("luma", "application/json", b'{"id": "g-1"}', TOKEN)]


@pytest.mark.parametrize(
    "path",
    [
        f"/callbacks/other/{TOKEN}",
        "/callbacks/luma/short",
        f"/callbacks/luma/{TOKEN}%2e",
        f"/callbacks/luma/{'x' * 129}",
        f"/callbacks/luma/{TOKEN}/more",
        "/callbacks/luma/",
        "/",
    ],
)
async def test_what_is_no_callback_address_is_not_found(
    backend: Backend, outside: ClientSession, path: str
) -> None:
    answer = await outside.post(path, data=b"{}")
    assert answer.status == 404
    assert backend.callbacks == []


async def test_a_callback_is_a_post(backend: Backend, outside: ClientSession) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await outside.request(method, f"/callbacks/luma/{TOKEN}")
        assert answer.status == 405
    assert backend.callbacks == []


async def test_a_callback_body_has_a_cap(backend: Backend, outside: ClientSession) -> None:
    answer = await outside.post(f"/callbacks/luma/{TOKEN}", data=b"x" * (CALLBACK_BYTES + 1))
    assert answer.status == 413
    full = await outside.post(f"/callbacks/luma/{TOKEN}", data=b"x" * CALLBACK_BYTES)
    assert full.status == 200
    assert [len(body) for _, _, body, _ in backend.callbacks] == [CALLBACK_BYTES]


async def test_a_callback_body_without_a_declared_length_has_the_same_cap(
    backend: Backend, outside: ClientSession
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(CALLBACK_BYTES // 1024 + 2):
            yield b"x" * 1024

    answer = await outside.post(f"/callbacks/luma/{TOKEN}", data=endless())
    assert answer.status == 413
    assert backend.callbacks == []


async def test_a_body_that_does_not_arrive_is_given_up(backend: Backend) -> None:
    face = backend.web(replace(ANY_PORT, body_seconds=0.05))
    await face.start()
    host, _, port = face.public_address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /callbacks/luma/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode()
    )
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    await face.stop()
    assert backend.callbacks == []


def to_route(answer: WebHandler, max_bytes: int = CALL_BYTES, *, knocked: int = 100) -> WebRoute:
    async def knock(call: WebCall) -> WebReply:
        assert call.body == b""
        return WebReply(status=knocked, body=b"Sign in.")

    return WebRoute(knock=knock, answer=answer, max_bytes=max_bytes)


async def test_whoever_may_send_no_file_is_told_before_it_comes(backend: Backend) -> None:
    async def answer(_call: WebCall) -> WebReply:
        raise AssertionError

    backend.routes["web", "POST", "/web/images"] = to_route(answer, knocked=403)
    face = backend.web(ANY_PORT)
    await face.start()
    host, _, port = face.public_address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /web/images HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
    assert b" 403 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    await face.stop()


async def test_a_file_has_longer_to_arrive_than_a_call(backend: Backend) -> None:
    async def answer(call: WebCall) -> WebReply:
        return WebReply(body=call.body)

    backend.routes["web", "POST", "/web/say"] = answer
    backend.routes["web", "POST", "/web/images"] = to_route(answer)
    face = backend.web(replace(ANY_PORT, body_seconds=0.0))
    await face.start()
    host, _, port = face.public_address.removeprefix("http://").rpartition(":")
    statuses = []
    for path in ("/web/say", "/web/images"):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        # The body is waited for by now.
        assert b" 100 " in await reader.readline()
        assert await reader.readline() == b"\r\n"
        writer.write(b"fox")
        statuses.append((await reader.readline()).split()[1])
        writer.close()
        await writer.wait_closed()
    await face.stop()
    assert statuses == [b"408", b"200"]


async def test_only_so_many_files_are_on_their_way_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(call: WebCall) -> WebReply:
        return WebReply(body=call.body)

    monkeypatch.setattr("bot.web.FILES_AT_ONCE", 1)
    backend.routes["web", "POST", "/web/images"] = to_route(answer)
    face = backend.web(ANY_PORT)
    await face.start()
    host, _, port = face.public_address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        "POST /web/images HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    assert b" 100 " in await reader.readline()
    async with ClientSession(face.public_address) as session:
        async with session.post("/web/images", data=b"fox") as busy:
            assert (busy.status, busy.headers["Retry-After"]) == (503, "5")
        writer.write(b"fox")
        assert await reader.readline() == b"\r\n"
        assert b" 200 " in await reader.readline()
        async with session.post("/web/images", data=b"fox") as free:
            assert free.status == 200
    writer.close()
    await writer.wait_closed()
    await face.stop()


async def test_one_token_is_heard_so_often_a_minute(
    backend: Backend, outside: ClientSession
) -> None:
    async def call(token: str) -> int:
        return (await outside.post(f"/callbacks/luma/{token}")).status

    statuses = [await call(TOKEN) for _ in range(CALLBACKS_PER_MINUTE + 2)]
    assert statuses == [200] * CALLBACKS_PER_MINUTE + [429] * 2
    assert await call(TOKEN.swapcase()) == 200
    backend.clock.move(seconds=60)
    assert await call(TOKEN) == 200


def test_a_tally_remembers_only_so_many_keys() -> None:
    tally = Tally(1)
    assert tally.take("first", 0.0)
    assert not tally.take("first", 0.0)
    for number in range(REMEMBERED_KEYS):
        assert tally.take(str(number), 0.0)
    assert tally.take("first", 0.0)


# ---- the relay of frames ---------------------------------------------------------------------

FRAME = "/frames/r-7k2m9qabcd/1/start"


async def test_a_signed_frame_is_served_with_careful_headers(
    backend: Backend, outside: ClientSession
) -> None:
    answer = await outside.get(backend.link(FRAME))
    assert answer.status == 200
    assert await answer.read() == PNG
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert "Server" not in answer.headers


async def test_a_frame_can_be_asked_for_by_head(backend: Backend, outside: ClientSession) -> None:
    answer = await outside.head(backend.link(FRAME))
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(len(PNG))
    assert await answer.read() == b""


async def test_a_frame_takes_no_other_method(backend: Backend, outside: ClientSession) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await outside.request(method, backend.link(FRAME))).status == 405


async def test_a_frame_is_served_only_so_often(backend: Backend, outside: ClientSession) -> None:
    link = backend.link(FRAME)
    statuses = [(await outside.get(link)).status for _ in range(FETCHES_PER_FRAME + 2)]
    assert statuses == [200] * FETCHES_PER_FRAME + [404] * 2
    newer = backend.link(FRAME, seconds=1200)
    assert (await outside.get(newer)).status == 404


async def test_an_unsigned_question_does_not_count(
    backend: Backend, outside: ClientSession
) -> None:
    for _ in range(FETCHES_PER_FRAME + 1):
        assert (await outside.get(FRAME)).status == 404
    assert (await outside.get(backend.link(FRAME))).status == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda link: link.replace("sig=", "sig=0"),
        lambda link: link.replace("exp=", "exp=1"),
        lambda link: link.replace("exp=", "exp=-"),
        lambda link: link.replace("exp=", "exp=%D9%A1"),
        lambda link: link.replace("/1/", "/2/"),
        lambda link: link.replace("/start", "/end"),
        lambda link: link.partition("?")[0],
        lambda link: link.partition("&sig")[0],
    ],
)
async def test_a_changed_link_is_not_found(
    backend: Backend, outside: ClientSession, change: object
) -> None:
    assert callable(change)
    assert (await outside.get(change(backend.link(FRAME)))).status == 404


async def test_a_link_ends(backend: Backend, outside: ClientSession) -> None:
    link = backend.link(FRAME)
    backend.clock.move(seconds=901)
    assert (await outside.get(link)).status == 404


async def test_a_frame_that_is_no_longer_wanted_is_not_found(
    backend: Backend, outside: ClientSession
) -> None:
    backend.frames.clear()
    assert (await outside.get(backend.link(FRAME))).status == 404


async def test_a_frame_whose_file_has_gone_is_not_found(
    backend: Backend, outside: ClientSession
) -> None:
    backend.frames["r-7k2m9qabcd", 1, "start"].unlink()
    assert (await outside.get(backend.link(FRAME))).status == 404


async def test_what_is_kept_no_longer_is_not_found(backend: Backend) -> None:
    async def no_frame(job_id: str, attempt: int, slot: str) -> Path | None:
        raise FrameRejected("The image is no longer kept.")

    async def no_clip(job_id: str) -> Path | None:
        raise ClipBroken("This file is no longer kept.")

    face = Web(
        ANY_PORT,
        replace(backend.behind(), frame_at=no_frame, clip_at=no_clip),
        clock=backend.clock,
        secret_key=SECRET,
        providers=(),
    )
    await face.start()
    async with ClientSession(face.public_address) as session:
        for path in (FRAME, CLIP):
            assert (await session.get(backend.link(path))).status == 404
    await face.stop()


@pytest.mark.parametrize(
    "path",
    [
        "/frames/r-7k2m9qabcd/1/../../../../etc/passwd",
        "/frames/..%2f..%2fetc%2fpasswd/1/start",
        "/frames/r-7k2m9qabcd/1/middle",
        "/frames/r-7k2m9qabcd/99999/start",
        "/clips/..%2f..%2fetc%2fpasswd.mp4",
        "/clips/%2e%2e/%2e%2e/etc/passwd",
        "/clips/r-7k2m9qabcd.mov",
    ],
)
async def test_nothing_leads_out_of_the_two_kinds_of_file(
    backend: Backend, doors: Web, path: str
) -> None:
    """Raw bytes on the socket: a client library would tidy such a path."""
    host, _, port = doors.public_address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {backend.link(path)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b" 404 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


# ---- clips -----------------------------------------------------------------------------------

CLIP = "/clips/r-7k2m9qabcd.mp4"


async def test_a_signed_clip_plays(backend: Backend, outside: ClientSession) -> None:
    answer = await outside.get(backend.link(CLIP))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Disposition"] == 'inline; filename="r-7k2m9qabcd.mp4"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(await answer.read()) == 256 * 40


async def test_a_player_may_ask_for_a_part_of_a_clip(
    backend: Backend, outside: ClientSession
) -> None:
    answer = await outside.get(backend.link(CLIP), headers={"Range": "bytes=256-259"})
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes 256-259/{256 * 40}"
    assert await answer.read() == b"\x00\x01\x02\x03"
    beyond = await outside.get(backend.link(CLIP), headers={"Range": "bytes=999999-"})
    assert beyond.status == 416


@pytest.mark.parametrize(
    ("suffix", "kind"), [("jpg", "image/jpeg"), ("png", "image/png"), ("webp", "image/webp")]
)
async def test_a_signed_still_is_shown(
    backend: Backend, outside: ClientSession, suffix: str, kind: str
) -> None:
    answer = await outside.get(backend.link(CLIP.replace("mp4", suffix)))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"] == f'inline; filename="r-7k2m9qabcd.{suffix}"'


async def test_a_clip_needs_its_signature_and_must_be_kept(
    backend: Backend, outside: ClientSession
) -> None:
    assert (await outside.get(CLIP)).status == 404
    assert (await outside.get(backend.link(CLIP).replace("qabcd", "qabce"))).status == 404
    assert (await outside.get(backend.link("/clips/r-0000000000.mp4"))).status == 404
    assert (await outside.post(backend.link(CLIP))).status == 405


# ---- routes of adapters, and what stays inside -----------------------------------------------


async def test_a_call_reaches_its_adapter_and_its_reply_the_caller(
    backend: Backend, outside: ClientSession
) -> None:
    calls: list[WebCall] = []

    async def answer(call: WebCall) -> WebReply:
        calls.append(call)
        cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "text/plain"))
        return WebReply(status=201, headers=cookies, body=b"thanks")

    backend.routes["slack", "POST", "/slack/events"] = answer
    body = b"payload=%7B%7D" * 10_000
    answered = await outside.post(
        "/slack/events?a=1&b=%20", data=body, headers={"X-Slack-Signature": "v0=1", "X-A": "é"}
    )
    assert (answered.status, await answered.read()) == (201, b"thanks")
    assert answered.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert answered.content_type == "text/plain"
    [call] = calls
    assert (call.method, call.path, call.body) == ("POST", "/slack/events", body)
    assert (call.query, call.client) == ({"a": "1", "b": " "}, "127.0.0.1")
    assert call.headers["x-slack-signature"] == "v0=1"


async def test_a_header_that_comes_twice_is_no_single_one(
    backend: Backend, outside: ClientSession
) -> None:
    async def answer(call: WebCall) -> WebReply:
        return WebReply(body=call.headers["x-slack-signature"].encode())

    backend.routes["slack", "GET", "/slack/install"] = answer
    twice = [("X-Slack-Signature", "v0=1"), ("X-Slack-Signature", "v0=2")]
    answered = await outside.get("/slack/install", headers=twice)
    assert await answered.text() == "v0=1, v0=2"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/slack/events", 404),
        ("POST", "/slack/events/more", 404),
        ("POST", "/slack/Events", 404),
        ("POST", "/discord/events", 404),
        ("POST", "/slack", 404),
        ("POST", "/slack/", 404),
        ("POST", "/Slack/events", 404),
        ("PUT", "/slack/events", 405),
        ("HEAD", "/slack/events", 405),
    ],
)
async def test_what_no_adapter_answers_is_not_there(
    backend: Backend, outside: ClientSession, method: str, path: str, status: int
) -> None:
    async def answer(call: WebCall) -> WebReply:
        raise AssertionError(call)

    backend.routes["slack", "POST", "/slack/events"] = answer
    assert (await outside.request(method, path)).status == status


async def test_who_calls_while_the_bot_starts_shall_call_again(
    backend: Backend, outside: ClientSession
) -> None:
    backend.is_starting = True
    answered = await outside.post("/slack/events")
    assert answered.status == 503
    assert int(answered.headers["Retry-After"]) > 0


async def test_a_call_has_a_cap(backend: Backend, outside: ClientSession) -> None:
    async def answer(call: WebCall) -> WebReply:
        return WebReply(body=str(len(call.body)).encode())

    backend.routes["slack", "POST", "/slack/events"] = answer
    more = await outside.post("/slack/events", data=io.BytesIO(b"x" * (CALL_BYTES + 1)))
    assert more.status == 413
    full = await outside.post("/slack/events", data=io.BytesIO(b"x" * CALL_BYTES))
    assert (full.status, await full.text()) == (200, str(CALL_BYTES))
    backend.routes["slack", "POST", "/slack/files"] = to_route(answer, 2 * CALL_BYTES)
    larger = await outside.post("/slack/files", data=io.BytesIO(b"x" * (CALL_BYTES + 1)))
    assert (larger.status, await larger.text()) == (200, str(CALL_BYTES + 1))


async def test_streams_go_on_are_counted_and_end_with_the_listener(
    backend: Backend, outside: ClientSession, doors: Web
) -> None:
    ended: list[str] = []

    async def forever() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ended.append("stream")

    async def answer(_call: WebCall) -> WebReply:
        return WebReply(headers=(("Content-Type", "text/event-stream"),), stream=forever())

    backend.routes["slack", "GET", "/slack/news"] = answer
    doors._streams = Streams(most=2)
    opened = [await outside.get("/slack/news") for _ in range(2)]
    assert [await each.content.read(5) for each in opened] == [b"first", b"first"]
    assert opened[0].content_type == "text/event-stream"
    full = await outside.get("/slack/news")
    assert full.status == 503
    assert int(full.headers["Retry-After"]) > 0
    # Who left makes room, although nothing was said to them since.
    opened.pop(0).close()
    async with asyncio.timeout(30):
        while (next_one := await outside.get("/slack/news")).status == 503:
            await asyncio.sleep(0.01)
    opened.append(next_one)
    assert await next_one.content.read(5) == b"first"
    async with asyncio.timeout(30):
        await doors.stop()
        assert [await each.content.read() for each in opened] == [b"", b""]
    assert ended.count("stream") >= 3


async def test_one_reader_leaves_streams_to_others(
    backend: Backend, outside: ClientSession
) -> None:
    async def forever() -> AsyncGenerator[bytes, None]:
        yield b"first"
        await asyncio.Event().wait()

    async def answer(call: WebCall) -> WebReply:
        return WebReply(stream=forever(), streamer=call.query["who"])

    backend.routes["slack", "GET", "/slack/news"] = answer
    opened = [await outside.get("/slack/news?who=ana") for _ in range(MOST_EACH)]
    full = await outside.get("/slack/news?who=ana")
    assert full.status == 503
    assert int(full.headers["Retry-After"]) > 0
    opened.append(await outside.get("/slack/news?who=ben"))
    assert opened[-1].status == 200
    opened.pop(0).close()
    async with asyncio.timeout(30):
        while (next_one := await outside.get("/slack/news?who=ana")).status == 503:
            await asyncio.sleep(0.01)
    for each in (*opened, next_one):
        each.close()


@pytest.mark.parametrize("fault", [StoreBusy("words: a red fox"), KeyError("words")])
async def test_a_fault_of_an_adapter_is_500_without_a_word_of_the_body(
    backend: Backend, outside: ClientSession, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    async def answer(call: WebCall) -> WebReply:
        raise fault

    backend.routes["slack", "POST", "/slack/events"] = answer
    answered = await outside.post("/slack/events", data=b"a red fox")
    assert answered.status == 500
    assert "red fox" not in await answered.text()
    assert caplog.records
    assert "red fox" not in caplog.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/acts/resolve"])
async def test_private_addresses_do_not_exist_outside(outside: ClientSession, path: str) -> None:
    assert (await outside.get(path)).status == 404
    bearer = {"Authorization": f"Bearer {act_token(SECRET)}"}
    assert (await outside.post(path, headers=bearer)).status == 404


@pytest.mark.parametrize("path", [FRAME, CLIP, f"/callbacks/luma/{TOKEN}"])
async def test_public_addresses_do_not_exist_inside(
    backend: Backend, inside: ClientSession, path: str
) -> None:
    assert (await inside.get(backend.link(path))).status == 404


# ---- health and metrics ----------------------------------------------------------------------


async def test_alive_while_the_heart_beats(backend: Backend, inside: ClientSession) -> None:
    answer = await inside.get("/livez")
    assert (answer.status, await answer.json()) == (200, {"heartbeat_age_seconds": 0.5})
    backend.age = 31.0
    assert (await inside.get("/livez")).status == 503


async def test_ready_names_what_is_not_well(backend: Backend, inside: ClientSession) -> None:
    answer = await inside.get("/readyz")
    assert (answer.status, await answer.json()) == (
        200,
        {"ready": True, "problems": {}, "troubles": {}},
    )
    backend.troubles["luma"] = "The video service cannot be reached right now."
    answer = await inside.get("/readyz")
    assert answer.status == 200
    assert (await answer.json())["troubles"] == backend.troubles
    backend.problems["database"] = "The database did not answer."
    answer = await inside.get("/readyz")
    assert answer.status == 503
    assert (await answer.json())["problems"] == {"database": "The database did not answer."}


async def test_metrics_are_plain_text(inside: ClientSession) -> None:
    answer = await inside.get("/metrics")
    assert answer.content_type == "text/plain"
    assert await answer.text() == "raybot_jobs 3.0\n"


# ---- acts ------------------------------------------------------------------------------------


async def test_an_act_with_the_key_is_carried_out(backend: Backend, inside: ClientSession) -> None:
    answer = await inside.post(
        "/acts/resolve",
        json={"job": "r-1", "how": "release"},
        headers={"Authorization": f"Bearer {act_token(SECRET)}"},
    )
    assert (answer.status, await answer.json()) == (200, {"done": "resolve"})
    assert backend.acts == [("resolve", {"job": "r-1", "how": "release"})]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer ", "Bearer wrong", f"Bearer {SECRET}", act_token(SECRET), "Bearer \xe9\xff"],
)
async def test_an_act_without_the_key_is_refused(
    backend: Backend, inside: ClientSession, header: str
) -> None:
    answer = await inside.post("/acts/resolve", json={}, headers={"Authorization": header})
    assert answer.status == 401
    assert backend.acts == []


def test_the_bearer_is_not_the_key_and_differs_with_it() -> None:
    assert SECRET not in act_token(SECRET)
    assert act_token(SECRET) != act_token(SECRET + "!")


@pytest.mark.parametrize("body", [b"[1]", b"{", b"3", b"\xff"])
async def test_an_act_takes_one_json_object(
    backend: Backend, inside: ClientSession, body: bytes
) -> None:
    bearer = {"Authorization": f"Bearer {act_token(SECRET)}"}
    assert (await inside.post("/acts/usage", data=body, headers=bearer)).status == 400
    assert (await inside.post("/acts/usage", headers=bearer)).status == 200
    assert backend.acts == [("usage", {})]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (JobNotFound(), 404),
        (NotAllowed("Only the operator may."), 403),
        (InvalidRequest("There is no such act."), 400),
        (StoreBusy(), 503),
    ],
)
async def test_a_refused_act_answers_with_a_sentence(
    backend: Backend, inside: ClientSession, refusal: BotError, status: int
) -> None:
    backend.refusal = refusal
    bearer = {"Authorization": f"Bearer {act_token(SECRET)}"}
    answer = await inside.post("/acts/resolve", headers=bearer)
    assert answer.status == status
    assert await answer.json() == {"sentence": refusal.sentence}


# ---- starting and stopping -------------------------------------------------------------------


async def test_a_taken_port_names_its_key(backend: Backend, doors: Web) -> None:
    taken = int(doors.public_address.rpartition(":")[2])
    for key, wanted in {
        "public_port": replace(ANY_PORT, public_port=taken),
        "private_port": replace(ANY_PORT, private_port=taken),
    }.items():
        second = backend.web(wanted)
        with pytest.raises(ConfigError, match=rf"\[bot\] {key}.*{taken}"):
            await second.start()
        assert second.public_address == ""
        assert second.private_address == ""


async def test_an_address_that_is_not_ours_names_its_key(backend: Backend) -> None:
    face = backend.web(replace(ANY_PORT, public_host="192.0.2.1"))
    with pytest.raises(ConfigError, match="public_host"):
        await face.start()


def test_a_proxy_that_is_no_network_names_its_key(backend: Backend) -> None:
    with pytest.raises(ConfigError, match="trusted_proxies"):
        backend.web(replace(ANY_PORT, trusted_proxies=("everyone",)))


async def test_stopping_closes_both_doors_and_may_be_repeated(backend: Backend) -> None:
    face = backend.web()
    assert face.public_address == ""
    await face.start()
    port = int(face.public_address.rpartition(":")[2])
    await face.stop()
    await face.stop()
    assert face.public_address == ""
    with pytest.raises(OSError, match=r"(?i)connect"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_addresses_can_be_ipv6(backend: Backend) -> None:
    face = backend.web(replace(ANY_PORT, private_host="::1"))
    await face.start()
    async with ClientSession() as session:
        assert (await session.get(f"{face.private_address}/livez")).status == 200
    assert face.private_address.startswith("http://[::1]:")
    await face.stop()


# ---- what is logged --------------------------------------------------------------------------


async def test_no_token_or_signature_is_logged(
    backend: Backend, outside: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    link = backend.link(FRAME).replace("/1/", "/3/")
    await outside.get(link)
    for _ in range(CALLBACKS_PER_MINUTE + 1):
        await outside.post(f"/callbacks/luma/{TOKEN}")
    assert "/callbacks/{provider}/{token}" in caplog.text
    assert "429" in caplog.text
    assert TOKEN not in caplog.text
    assert link.rpartition("sig=")[2] not in caplog.text


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8",), "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8", "203.0.113.0/24"), "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (("127.0.0.1",), "", "127.0.0.1"),
        (("127.0.0.1",), "unknown", "unknown"),
    ],
)
async def test_only_an_own_proxy_may_name_the_client(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    proxies: tuple[str, ...],
    forwarded: str,
    client: str,
) -> None:
    caplog.set_level(logging.DEBUG, "bot.web")
    face = backend.web(replace(ANY_PORT, trusted_proxies=proxies))
    await face.start()
    async with ClientSession(face.public_address) as session:
        await session.get("/nowhere", headers={"X-Forwarded-For": forwarded})
    await face.stop()
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [each["by"] for each in said if each["event"] == "web.refused"] == [client]


async def test_a_fault_behind_the_door_is_500_without_detail(
    backend: Backend,
) -> None:
    async def broken(job_id: str) -> Path | None:
        raise StoreError(f"secret detail of {job_id}")

    face = Web(
        ANY_PORT,
        replace(backend.behind(), clip_at=broken),
        clock=backend.clock,
        secret_key=SECRET,
        providers=(),
    )
    await face.start()
    async with ClientSession(face.public_address) as session:
        answer = await session.get(backend.link(CLIP))
        assert answer.status == 500
        assert "secret detail" not in await answer.text()
    await face.stop()
