"""No spelling of a private address and no redirect gets past the guard."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bot.addresses import (
    Guard,
    is_public_address,
    load_early,
    resolve_apart,
    system_resolve,
)
from bot.errors import AddressRefused, ConfigError
from bot.http import tls
from tests.public_host import ADDRESS, PublicHost, redirect

FIRST_LINK = """
import asyncio, sys
from bot.addresses import Guard, load_early

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    await load_early()
    before = set(sys.modules)
    guard = Guard(trusted=frozenset({"127.0.0.1"}))
    async with guard.open(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as response:
        print(await response.aread(), sorted(set(sys.modules) - before))
    server.close()

asyncio.run(main())
"""
PRIVATE_BLOCKS = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
private = st.one_of(*(st.ip_addresses(network=block) for block in PRIVATE_BLOCKS))


def wrappings(number: int) -> list[str]:
    """Every IPv6 form that carries an IPv4 address to a translator or tunnel."""
    forms = [
        0xFFFF << 32 | number,
        number,
        0x64FF9B << 96 | number,
        0x64FF9B0001 << 80 | number,
        0x2002 << 112 | number << 80 | 1,
        0x20010000 << 96 | 0x08080808 << 64 | number ^ 0xFFFFFFFF,
        0x20010000 << 96 | number << 64 | 0x08080808 ^ 0xFFFFFFFF,
        0x26064700 << 96 | 0x5EFE << 32 | number,
        0x26064700 << 96 | 0x02005EFE << 32 | number,
    ]
    return [str(ipaddress.IPv6Address(form)) for form in forms]


@given(private)
def test_no_wrapping_makes_a_private_address_public(address: ipaddress.IPv4Address) -> None:
    for text in (str(address), *wrappings(int(address))):
        assert not is_public_address(text), text


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    is_public = is_public_address(str(address))

    if address.is_private or address.is_loopback or address.is_link_local:
        assert not is_public
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        assert not is_public


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert is_public_address(text) in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        ADDRESS,
        "1.1.1.1",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "198.20.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82b::200e",
        "::ffff:93.184.216.34",
        "64:ff9b::5db8:d822",
        "2002:5db8:d822::1",
    ],
)
def test_public_addresses_are_public(text: str) -> None:
    assert is_public_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.170",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.7",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
        "100::1",
        "5f00::1",
        "2001:db8::1",
        "2001:2::1",
        "3fff::1",
        "[::1]",
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1 ",
        "localhost",
        "",
    ],
)
def test_everything_else_is_not(text: str) -> None:
    assert not is_public_address(text)


# ---- the guard -------------------------------------------------------------------------------


@pytest.fixture
async def host() -> AsyncIterator[PublicHost]:
    async with PublicHost() as host:
        host.pages["/fox.png"] = b"a fox"
        yield host


def guard_of(host: PublicHost, *, needs_tls: bool = False) -> Guard:
    return Guard(resolve=host.resolve, connect=host.connect, needs_tls=needs_tls)


async def read(guard: Guard, link: str) -> bytes:
    async with guard.open(link) as response:
        return b"".join([chunk async for chunk in response.aiter_raw()])


async def test_a_public_link_is_opened_under_its_own_name(host: PublicHost) -> None:
    content = await read(guard_of(host), "https://images.example/fox.png?size=1&n=a%20b")

    assert content == b"a fox"
    assert host.asked == ["images.example"]
    assert host.dialled == [(ADDRESS, "images.example")]
    [request] = host.heard
    assert request.headers["Host"] == "images.example"
    assert request.raw_path == "/fox.png?size=1&n=a%20b"
    assert request.headers["Accept-Encoding"] == "identity"


async def test_an_international_name_is_asked_for_in_ascii(host: PublicHost) -> None:
    host.names = {"xn--bcher-kva.example": [ADDRESS]}

    assert await read(guard_of(host), "http://BÜCHER.example/fox.png") == b"a fox"
    assert host.heard[0].headers["Host"] == "xn--bcher-kva.example"


async def test_the_next_address_is_tried_when_one_is_down(host: PublicHost) -> None:
    host.names = {"images.example": ["2606:4700::1", ADDRESS]}
    host.down = {"2606:4700::1"}

    assert await read(guard_of(host), "https://images.example/fox.png") == b"a fox"
    assert [address for address, _ in host.dialled] == ["2606:4700::1", ADDRESS]


async def test_one_private_answer_among_public_ones_is_refused(host: PublicHost) -> None:
    host.names = {"images.example": [ADDRESS, "10.0.0.7"]}

    with pytest.raises(AddressRefused, match="does not lead to a public address"):
        await read(guard_of(host), "https://images.example/fox.png")
    assert host.dialled == []


async def test_a_name_that_changes_its_mind_is_dialled_as_vetted(host: PublicHost) -> None:
    """The name is asked once a hop; what answers later cannot move the connection."""
    answers = [[ADDRESS], ["127.0.0.1"]]

    async def rebinding(name: str, port: int) -> list[str]:
        del name, port
        return answers.pop(0)

    guard = Guard(resolve=rebinding, connect=host.connect)

    assert await read(guard, "http://images.example/fox.png") == b"a fox"
    assert [address for address, _ in host.dialled] == [ADDRESS]
    assert answers == [["127.0.0.1"]]


@pytest.mark.parametrize(
    "link",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://localhost./",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://0x7f.1/",
        "http://0X7F000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://127。0。0。1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://93.184.216.34.1/",
        "http://user:secret@images.example/fox.png",
        "http://images.example\\@127.0.0.1/",
        "http://images.example:8080/fox.png",
        "http://images.example:22/",
        "ftp://images.example/fox.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "images.example/fox.png",
        "http:///fox.png",
        "http://①②⑦.0.0.1/",
        "http://images.example:99999/",
        "http://exa\nmple.com/",
        "",
    ],
)
async def test_links_that_are_never_opened(link: str, host: PublicHost) -> None:
    """With the system's own resolver, which reads many odd spellings as addresses."""
    guard = Guard(resolve=system_resolve, connect=host.connect)

    with pytest.raises((AddressRefused, httpx.ConnectError)):
        await read(guard, link)
    assert host.dialled == []


async def test_a_name_without_an_address_cannot_be_reached(host: PublicHost) -> None:
    with pytest.raises(httpx.ConnectError):
        await read(guard_of(host), "https://nowhere.example/")


async def test_redirects_are_followed_without_cookies(host: PublicHost) -> None:
    host.names = {"images.example": [ADDRESS], "cdn.example": ["1.1.1.1"]}
    host.pages["/a"] = redirect("/b")
    host.pages["/b"] = redirect("https://cdn.example/c")
    host.pages["/c"] = redirect("/fox.png")

    assert await read(guard_of(host), "http://images.example/a") == b"a fox"
    assert [name for _, name in host.dialled] == ["images.example"] * 2 + ["cdn.example"] * 2
    assert not any("Cookie" in request.headers for request in host.heard)
    assert not any("Authorization" in request.headers for request in host.heard)


async def test_the_fourth_redirect_is_one_too_many(host: PublicHost) -> None:
    host.pages["/a"] = redirect("/a")

    with pytest.raises(AddressRefused, match="more than 3 times"):
        await read(guard_of(host), "http://images.example/a")
    assert len(host.heard) == 4


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/",
        "http://[::1]/",
        "//127.0.0.1/",
        "http://inside.example/",
        "http://images.example:6379/",
        "file:///etc/passwd",
        "http://[",
    ],
)
async def test_a_redirect_to_a_private_place_is_refused(target: str, host: PublicHost) -> None:
    host.names = {"images.example": [ADDRESS], "inside.example": ["192.168.0.4"]}
    host.pages["/a"] = redirect(target)

    with pytest.raises((AddressRefused, httpx.ConnectError)):
        await read(guard_of(host), "http://images.example/a")
    assert len(host.heard) == 1


async def test_tls_can_be_required_on_every_hop(host: PublicHost) -> None:
    host.pages["/a"] = redirect("http://images.example/fox.png")
    guard = guard_of(host, needs_tls=True)

    assert await read(guard, "https://images.example/fox.png") == b"a fox"
    for link in ("http://images.example/fox.png", "https://images.example/a"):
        with pytest.raises(AddressRefused, match="https://"):
            await read(guard, link)


async def test_a_trusted_host_may_be_private_and_without_tls(host: PublicHost) -> None:
    link = str(host.server.make_url("/fox.png"))
    trusting = Guard(trusted=frozenset({"127.0.0.1"}), needs_tls=True)

    assert await read(trusting, link) == b"a fox"
    with pytest.raises(AddressRefused):
        await read(Guard(), link)


@pytest.mark.parametrize("link", ["https://xn--/fox.png", "https://xn--a/fox.png"])
async def test_a_name_that_cannot_be_read_is_refused(link: str) -> None:
    with pytest.raises(AddressRefused):
        await read(Guard(), link)


async def test_a_trusted_host_leads_to_no_port_that_there_is_not(host: PublicHost) -> None:
    host.pages["/a"] = redirect("http://127.0.0.1:99999/fox.png")
    trusting = Guard(trusted=frozenset({"127.0.0.1"}))
    with pytest.raises(AddressRefused):
        await read(trusting, str(host.server.make_url("/a")))


async def test_trust_does_not_reach_beyond_a_redirect(host: PublicHost) -> None:
    host.pages["/a"] = redirect("http://localhost/fox.png")
    trusting = Guard(trusted=frozenset({"127.0.0.1"}))

    with pytest.raises(AddressRefused):
        await read(trusting, str(host.server.make_url("/a")))


async def test_a_host_that_stays_silent_is_given_up(host: PublicHost) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    host.pages["/silent"] = silent
    guard = Guard(resolve=host.resolve, connect=host.connect, seconds=0.5)

    with pytest.raises(httpx.ReadTimeout):
        await read(guard, "http://images.example/silent")


async def test_loopback_is_resolved_by_the_system() -> None:
    assert "127.0.0.1" in await system_resolve("127.0.0.1", 80)


async def test_names_that_nobody_answers_hold_up_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_over = threading.Event()

    def mute(*_: object, **__: object) -> list[object]:
        is_over.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", mute)
    # More than there are threads for all other work.
    asked = [asyncio.create_task(resolve_apart("mute.example", 443)) for _ in range(64)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.to_thread(int)
    finally:
        is_over.set()
        await asyncio.gather(*asked)


def test_the_first_link_loads_nothing_once_all_was_loaded_early() -> None:
    """In a process of its own, because this one has opened links before."""
    told = subprocess.run([sys.executable, "-c", FIRST_LINK], capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("b'hi' []\n", "")


async def test_certificates_that_cannot_be_read_are_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    tls.cache_clear()
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        await load_early()


async def test_a_link_with_half_a_character_is_refused() -> None:
    with pytest.raises(AddressRefused):
        async with Guard().open("https://\ud800@a.example/"):
            pass
