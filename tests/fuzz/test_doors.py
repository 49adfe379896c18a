"""What strangers ask of the public door, and who they are there; and links of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bot import media
from bot.addresses import Guard, connect_directly, is_public_address
from bot.errors import AddressRefused, BotError
from bot.media import LinkSigner
from bot.refs import MediaKey
from bot.web import Web, WebBackend, WebSettings, _is_in, to_networks
from tests.fakes import MovableClock
from tests.fuzz import few, fuzz
from tests.fuzz.mutations import bodies, bounded, phrases, recorded, texts, tried

NOW = datetime(2026, 11, 27, tzinfo=UTC)
SIGNER = LinkSigner(b"k" * 32)
LINK = SIGNER.sign("/clips/r-0abcd12345.mp4", NOW + timedelta(days=1))


@fuzz
@given(st.one_of(texts, st.just(LINK.partition("?")[0])), texts, texts)
def test_a_link_that_was_not_signed_here_opens_nothing(path: str, until: str, sig: str) -> None:
    with bounded():
        assert not SIGNER.verify(path, until, sig, NOW)


@fuzz
@given(st.text(min_size=1, max_size=30), st.integers(1, 10**9))
def test_a_link_that_was_signed_opens_until_its_time(path: str, seconds: int) -> None:
    until = NOW + timedelta(seconds=seconds)
    _, _, query = SIGNER.sign(path, until).rpartition("?")
    exp, sig = (each.partition("=")[2] for each in query.split("&"))
    assert SIGNER.verify(path, exp, sig, NOW)
    assert not SIGNER.verify(path, exp, sig, until)
    assert not SIGNER.verify(path + "x", exp, sig, NOW)


@fuzz
@given(st.one_of(texts, st.lists(st.sampled_from(("clips", "/", "..", "r-1.mp4"))).map("".join)))
def test_a_key_stays_in_its_folder(key: str) -> None:
    try:
        media._check(MediaKey(key))
    except ValueError:
        return
    assert Path("/kept", key).resolve().is_relative_to("/kept")


# ---- through the true listener -----------------------------------------------------------------


class Inside:
    """Counts what got through to it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []

    async def on_callback(
        self, provider: str, headers: Mapping[str, str], body: bytes, token: str
    ) -> None:
        assert provider == "luma"
        self.calls.append((token, body))

    async def nothing(self, *_: Any) -> None:
        return None

    def behind(self) -> WebBackend:
        return WebBackend(
            on_callback=self.on_callback,
            verify_link=SIGNER.verify,
            frame_at=self.nothing,
            clip_at=self.nothing,
            find_route=lambda *_: None,
            ready=lambda: asyncio.sleep(0, {}),
            troubles=dict,
            heartbeat_age=lambda: 0.0,
            render_metrics=lambda: asyncio.sleep(0, b""),
            act=lambda *_: asyncio.sleep(0, {}),
        )


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request as bytes: nearly HTTP."""
    target = draw(
        st.one_of(
            st.sampled_from((f"/callbacks/luma/{'t' * 43}", LINK, "/frames/r-0abcd12345/1/start")),
            phrases("callbacks", "luma", "clips", "r-0abcd12345", "..", "%2e", "?exp=1&sig=x").map(
                lambda text: "/" + text.replace(" ", "/")
            ),
        )
    )
    body = draw(bodies(*recorded("luma/completed.json")))
    length = draw(st.sampled_from((str(len(body)), "0", "-1", "9" * 30, "x")))
    kind = draw(st.sampled_from(("GET", "POST", "HEAD", "PUT", "TRACE", "\x00", "get")))
    odd = ("A: b", "Expect: 100-continue", "X: \x00", "Transfer-Encoding: chunked")
    more = draw(st.sampled_from(odd))
    lines = (f"{kind} {target} HTTP/1.1", "Host: x", "Connection: close", more)
    head = "\r\n".join((*lines, f"Content-Length: {length}", "", ""))
    return head.encode("utf-8", "replace") + body


async def test_the_public_door_answers_or_hangs_up_and_stays_open() -> None:
    asked: list[bytes] = []

    @few
    @given(requests())
    def collect(request: bytes) -> None:
        asked.append(request)

    collect()
    inside = Inside()
    settings = WebSettings(public_port=0, private_port=0, body_seconds=0.2)
    web = Web(
        settings, inside.behind(), clock=MovableClock(), secret_key="s" * 32, providers=["luma"]
    )
    await web.start()
    try:
        port = int(web.public_address.rpartition(":")[2])
        for request in asked:
            status = await _ask(port, request)
            assert status < 500, request
        plain = b"GET /callbacks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert await _ask(port, plain, seconds=15) == 404
        assert all(token == "t" * 43 for token, _ in inside.calls)
    finally:
        await web.stop()


async def _ask(port: int, request: bytes, *, seconds: float = 2) -> int:
    """The status of an answer; 0 where it hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(seconds):
            line = await reader.readline()
    except (ConnectionError, TimeoutError):
        return 0
    finally:
        writer.close()
    return int(line.split()[1]) if line else 0


# ---- who is at the door ------------------------------------------------------------------------

#: Our proxies' addresses, and what the configuration calls them.
PROXIES, TRUSTED = ("127.0.0.1", "10.9.0.7", "fd00::7"), ("127.0.0.0/8", "10.9.0.0/16", "fd00::/8")
own_hops = st.lists(st.sampled_from(PROXIES), max_size=3)
strangers = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(("203.0.113.9", "::ffff:127.0.0.1", "127.0.0.1.", "10.9.0.7:80", "fe80::1%0")),
).filter(lambda each: not _is_in(each, to_networks(TRUSTED)))
hops = st.one_of(strangers, st.sampled_from(PROXIES), texts)
#: What a stranger writes into the header: any number of lines, each with any number of hops.
written = st.lists(st.lists(hops, max_size=3).map(", ".join), max_size=3)


def client_of(remote: str, lines: list[str], *trusted: str) -> str:
    web = Web(
        WebSettings(trusted_proxies=trusted),
        Inside().behind(),
        clock=MovableClock(),
        secret_key="s" * 32,
        providers=(),
    )
    headers = CIMultiDict([("X-Forwarded-For", each) for each in lines])
    request: Any = SimpleNamespace(remote=remote, headers=headers)
    with bounded():
        return web._client(request)
    raise AssertionError("refused")


@fuzz
@given(written, strangers)
def test_a_stranger_is_whom_the_connection_names(lines: list[str], remote: str) -> None:
    assert client_of(remote, lines, *TRUSTED) == remote
    assert client_of("127.0.0.1", lines) == "127.0.0.1"


@fuzz
@example(["198.51.100.1"], "203.0.113.9", [], "127.0.0.1", True)
@given(written, strangers, own_hops, st.sampled_from(PROXIES), st.booleans())
def test_whom_our_proxy_names_is_at_the_door_whatever_a_stranger_wrote(
    lines: list[str], client: str, inner: list[str], remote: str, is_own_line: bool
) -> None:
    """A proxy adds to the last line, or writes one of its own below."""
    added = ", ".join((client, *inner))
    if lines and not is_own_line:
        *lines, last = lines
        added = f"{last}, {added}"
    assert client_of(remote, [*lines, added], *TRUSTED) == client


# ---- links of strangers ------------------------------------------------------------------------


@fuzz
@given(st.one_of(texts, st.ip_addresses().map(str)))
def test_an_address_is_public_or_not(text: str) -> None:
    assert tried(lambda: is_public_address(text)) in (True, False)


async def test_a_link_leads_to_a_public_address_or_is_refused() -> None:
    links: list[str] = []
    hosts = phrases("127.0.0.1", "0x7f.1", "[::ffff:7f00:1]", "localhost", "@", ":80", "a.example")

    @few
    @given(hosts, st.sampled_from(("http://", "https://", "ftp://", "", "//", "http:/")))
    def collect(host: str, scheme: str) -> None:
        links.append(scheme + host.replace(" ", ""))

    collect()
    connected: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    def connect() -> Any:
        connected.append("")
        return connect_directly()

    guard = Guard(resolve=resolve, connect=connect)
    for link in links:
        with pytest.raises((AddressRefused, BotError, OSError)):
            async with guard.open(link):
                raise AssertionError(link)
    assert connected == [], SimpleNamespace(links=links)
