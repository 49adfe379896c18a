"""Which network addresses are public, and how to open a stranger's link without reaching others.

Knows no image and no clip; everything that follows a link from outside goes through `Guard`.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import anyio.lowlevel
import httpx

from bot.errors import AddressRefused
from bot.http import tls

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host name, as text; raises `OSError` where there are none."""
Connect = Callable[[], httpx.AsyncBaseTransport]
"""A fresh transport for one exchange with one vetted address."""

REDIRECTS = 3
_PORTS = {"http": 80, "https": 443}
#: Apart from the threads of our own work: a name that a stranger wrote may be never answered.
_LOOK_UPS = ThreadPoolExecutor(8, thread_name_prefix="raybot-names")
_LOCAL_NAMES = (".local", ".localhost", ".localdomain", ".internal", ".lan", ".home.arpa")
MOST_PORT = 65_535

# `is_global` of the standard library lets NAT64 and 6to4 forms of private addresses, multicast
# and anycast relays pass, and changes between releases; so this list is our own.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_CLOSED_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent answers here, inside a public block.
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_OPEN_V6 = IPv6Network("2000::/3")
# https://www.iana.org/assignments/iana-ipv6-special-registry
_CLOSED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public_address(text: str) -> bool:
    """Whether an IP address in its usual spelling belongs to the public internet."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _is_public(address)


def is_link_for_all(url: str) -> bool:
    """Whether a link can be opened from everywhere, as far as its host's name tells."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return False
    try:
        return _is_public(ip_address(host))
    except ValueError:
        return "." in host and not host.endswith(_LOCAL_NAMES)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _CLOSED_V4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public(_low_bits(address))
    if address.sixtofour is not None and not _is_public(address.sixtofour):
        return False
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP and not _is_public(_low_bits(address)):
        return False
    return address in _OPEN_V6 and not any(address in block for block in _CLOSED_V6)


def _low_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _is_odd_number(host: str) -> bool:
    """Whether resolvers would read it as an IPv4 address that is not spelled as one: `127.1`."""
    last = host.rstrip(".").rpartition(".")[2]
    if re.fullmatch(r"0x[0-9a-f]*|[0-9]+", last, re.IGNORECASE) is None:
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False


async def system_resolve(host: str, port: int, *, threads: Executor | None = None) -> list[str]:
    """Ask the system's resolver."""
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    answers = await asyncio.get_running_loop().run_in_executor(threads, ask)
    return [str(answer[4][0]) for answer in answers]


async def resolve_apart(host: str, port: int) -> list[str]:
    """The same for a name that people write."""
    return await system_resolve(host, port, threads=_LOOK_UPS)


def connect_directly() -> httpx.AsyncBaseTransport:
    """Speak to the address itself; a proxy would resolve the name again."""
    return httpx.AsyncHTTPTransport(verify=tls(), trust_env=False)


async def load_early() -> None:
    """Load what httpx loads only to open its first connection: 60 to 95 ms that hold up all.

    Raises `ConfigError` where the certificates that the environment names cannot be read.
    """
    async with connect_directly():
        await anyio.lowlevel.checkpoint()


class Guard:
    """Follows links of other people: to public addresses only, without cookies or credentials.

    `trusted` hosts are the operator's own choice: any port, no TLS needed, not vetted.
    `seconds` bounds the connect and each read; the caller bounds the whole.
    """

    def __init__(
        self,
        *,
        resolve: Resolve = system_resolve,
        connect: Connect = connect_directly,
        trusted: frozenset[str] = frozenset(),
        needs_tls: bool = False,
        seconds: float = 10.0,
    ) -> None:
        self._resolve = resolve
        self._connect = connect
        self._trusted = trusted
        self._needs_tls = needs_tls
        self._seconds = seconds

    @asynccontextmanager
    async def open(self, link: str) -> AsyncIterator[httpx.Response]:
        """GET a link, following at most three redirects, each vetted again.

        Raises `AddressRefused` and, also while the body is read, `httpx.TransportError`.
        """
        async with AsyncExitStack() as stack:
            for _ in range(REDIRECTS + 1):
                url = self._vet(link)
                response = await stack.enter_async_context(self._get(url))
                if not response.has_redirect_location:
                    yield response
                    return
                link = _target(url, response.headers["location"])
            raise AddressRefused(f"This link redirects more than {REDIRECTS} times.")

    def _vet(self, link: str) -> httpx.URL:
        """Check what the spelling of a link tells; the addresses are vetted later."""
        try:
            url = httpx.URL(link)
            # A name that begins with xn-- is read only here.
            host = url.host
        except (httpx.InvalidURL, UnicodeError) as error:
            raise AddressRefused("This is not a link that can be opened.") from error
        if url.scheme not in _PORTS or not url.raw_host:
            raise AddressRefused("Only links that begin with https:// or http:// can be opened.")
        if url.userinfo:
            raise AddressRefused("A link with a user name or password in it is not opened.")
        if url.port is not None and not 0 < url.port <= MOST_PORT:
            raise AddressRefused("This link has a port that there is not.")
        if host in self._trusted:
            return url
        if self._needs_tls and url.scheme != "https":
            raise AddressRefused("Only a link that begins with https:// can be opened here.")
        if url.port not in (None, *_PORTS.values()):
            raise AddressRefused("A link with a port other than 80 or 443 is not opened.")
        if _is_odd_number(host):
            raise AddressRefused
        return url

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        host = url.raw_host.decode("ascii")
        if url.host in self._trusted:
            return [host]
        if _is_literal(host):
            return _vetted([host])
        try:
            addresses = await self._resolve(host, url.port or _PORTS[url.scheme])
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host} has no address") from error
        return _vetted(addresses)

    @asynccontextmanager
    async def _get(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        addresses = list(dict.fromkeys(await self._addresses(url)))
        # A connection is never shared: two host names may have the same address.
        async with self._connect() as transport:
            response = await self._first_answer(transport, url, addresses)
            try:
                yield response
            finally:
                await response.aclose()

    async def _first_answer(
        self, transport: httpx.AsyncBaseTransport, url: httpx.URL, addresses: list[str]
    ) -> httpx.Response:
        *others, last = addresses
        for address in others:
            try:
                return await transport.handle_async_request(self._pinned(url, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await transport.handle_async_request(self._pinned(url, last))

    def _pinned(self, url: httpx.URL, address: str) -> httpx.Request:
        """The request to exactly this address, under the name that was asked for."""
        headers = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": "Raybot",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        timeout = httpx.Timeout(self._seconds, connect=min(self._seconds, 5.0))
        return httpx.Request(
            "GET",
            url.copy_with(host=address),
            headers=headers,
            extensions={
                "sni_hostname": url.raw_host.decode("ascii"),
                "timeout": timeout.as_dict(),
            },
        )


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _vetted(addresses: Sequence[str]) -> Sequence[str]:
    """One private address among public ones is a trap, not an accident: all must be public."""
    if not addresses or not all(map(is_public_address, addresses)):
        raise AddressRefused
    return addresses


def _target(url: httpx.URL, location: str) -> str:
    try:
        return str(url.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused("This link redirects to something that is not a link.") from error
