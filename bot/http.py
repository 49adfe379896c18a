"""The one factory of HTTP clients, and what every service's replies have in common.

Knows no service. Only plain GETs are ever repeated here.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any

import aiohttp
import httpx
import stamina
from httpx_aiohttp import AiohttpTransport

from bot.errors import (
    ConfigError,
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderUnavailable,
)
from bot.log import redact
from bot.send_guard import GuardedConnector

#: Nothing can have been sent: no connection was made for it.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
MAX_RETRY_AFTER = 3600.0
#: A 429 that names no time.
PAUSE_SECONDS = 15.0
LONGEST_QUOTE = 200
#: Where services put the code and the words of a refusal.
REFUSAL_KEYS = {
    "code": ("code", "error_type", "type", "errorType"),
    "message": ("message", "detail", "title", "errorMessage"),
}
#: What may be half a character, or the one that ends texts; no database takes these.
_UNWRITABLE = re.compile(rb"\\u(d[89a-f]|0000)", re.IGNORECASE)
#: Words of a refusal that is about money, whatever its status.
NO_CREDITS = re.compile(r"\b(insufficient|credits?|balance|funds?|billing)\b", re.IGNORECASE)

Observe = Callable[[str, str, float], None]
"""Called with the method, the outcome (`2xx` … `5xx`, `error`) and the seconds it took."""


def create_client(
    *,
    base_url: str = "",
    headers: Mapping[str, str] | None = None,
    connect_seconds: float = 5.0,
    read_seconds: float = 30.0,
    max_connections: int = 20,
    keep_alive: bool = True,
    observe: Observe | None = None,
) -> httpx.AsyncClient:
    """A client without redirects, cookies of others or environment proxies.

    Its errors are true: `NOT_SENT` is raised only where nothing can have been sent. Without
    `keep_alive` each request opens its own connection, so none dies on one that just idled out.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        headers=dict(headers or {}),
        timeout=httpx.Timeout(connect=connect_seconds, read=read_seconds, write=30.0, pool=5.0),
        follow_redirects=False,
        trust_env=False,
        transport=_Transport(max_connections, keep_alive=keep_alive, observe=observe),
    )


class _Transport(httpx.AsyncBaseTransport):
    """aiohttp underneath (a third of the CPU of httpx's own); the errors are sorted here.

    httpx-aiohttp calls every lost connection a `ConnectTimeout`, also where the request had
    left and may have been carried out; that must never be taken for "not sent".
    """

    def __init__(self, max_connections: int, *, keep_alive: bool, observe: Observe | None) -> None:
        self._max_connections = max_connections
        self._keep_alive = keep_alive
        self._observe = observe
        # The session must be made inside the running loop, hence by the first request.
        self._inner = AiohttpTransport(verify=tls(), trust_env=False, client=self._create_session)

    def _create_session(self) -> aiohttp.ClientSession:
        connector = GuardedConnector(
            ssl=tls(), limit=self._max_connections, force_close=not self._keep_alive
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        began = perf_counter()
        outcome = "error"
        try:
            with _true_errors():
                response = await self._inner.handle_async_request(request)
            outcome = f"{response.status_code // 100}xx"
        finally:
            if self._observe is not None:
                self._observe(request.method, outcome, perf_counter() - began)
        response.stream = _Stream(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Stream(httpx.AsyncByteStream):
    """A body whose reading raises true errors."""

    def __init__(self, inner: httpx.SyncByteStream | httpx.AsyncByteStream) -> None:
        assert isinstance(inner, httpx.AsyncByteStream)
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _true_errors(is_reading=True):
            async for chunk in self._inner:
                yield chunk

    async def aclose(self) -> None:
        with _true_errors(is_reading=True):
            await self._inner.aclose()


@functools.cache
def tls() -> ssl.SSLContext:
    """What connections to services are secured with, and to the links of other people.

    Raises `ConfigError` where the certificates that the environment names cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read. "
            "Correct it, or unset it."
        ) from error


@contextmanager
def _true_errors(*, is_reading: bool = False) -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError) as error:
        is_mapped = isinstance(error, httpx.TransportError)
        cause = (error.__cause__ or error) if is_mapped else error
        kind = _to_httpx(cause)
        if is_reading and issubclass(kind, NOT_SENT):
            kind = httpx.ReadError
        raise kind(f"{type(cause).__name__}: {cause}") from cause


def _to_httpx(cause: BaseException) -> type[httpx.TransportError]:
    match cause:
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout
        case aiohttp.ServerTimeoutError():
            return httpx.ReadTimeout
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return httpx.UnsupportedProtocol
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError
        case httpx.TransportError():
            return type(cause)
        case _:
            return httpx.ReadError


def explain(error: httpx.HTTPError) -> str | None:
    """Why a service cannot be reached, where its operator or ours can do something about it."""
    match error.__cause__:
        case aiohttp.ClientConnectorDNSError():
            return "The video service's address cannot be looked up right now."
        case aiohttp.ClientConnectorCertificateError():
            return "The video service does not prove who it is: its certificate is not valid."
        case aiohttp.ClientSSLError():
            return "No safe connection to the video service can be made right now."
    return None


class _Again(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


_WORTH_A_RETRY = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout, _Again)


async def get_with_retries(
    client: httpx.AsyncClient,
    url: str,
    *,
    params: Mapping[str, str | int] | None = None,
    attempts: int = 3,
    wait_seconds: float = 0.25,
    turn: Callable[[], Awaitable[None]] | None = None,
) -> httpx.Response:
    """GET, again after a lost connection or a 5xx, at most `attempts` times within 20 s.

    `turn` is awaited before each, so that every call counts against a budget. Returns the last
    reply whatever its status; raises the last `httpx.TransportError`. A reply that is merely
    slow, or comes in drops for longer than the client waits, is not asked for twice.
    """

    async def ask() -> httpx.Response:
        if turn is not None:
            await turn()
        try:
            async with asyncio.timeout(client.timeout.read):
                response = await client.get(url, params=params)
        except TimeoutError as error:
            raise httpx.ReadTimeout("The answer did not come to its end in time.") from error
        if response.is_server_error:
            raise _Again(response)
        return response

    retrying = stamina.AsyncRetryingCaller(
        attempts=attempts, timeout=20.0, wait_initial=wait_seconds, wait_jitter=wait_seconds
    )
    try:
        return await retrying(_WORTH_A_RETRY, ask)
    except _Again as error:
        return error.response


def to_error(response: httpx.Response, *, provider: str) -> ProviderError:
    """The error that a reply other than 2xx stands for, by its status alone."""
    status, retry_after = response.status_code, read_retry_after(response.headers)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        sentence = "The video service asks for a pause. Raybot goes on by itself."
        pause = PAUSE_SECONDS if retry_after is None else retry_after
        return ProviderUnavailable(sentence, provider=provider, retry_after=pause)
    if status == httpx.codes.PAYMENT_REQUIRED:
        return ProviderOutOfCredits(provider=provider)
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return ProviderAuthError(provider=provider)
    if response.is_client_error:
        detail = read_detail(response)
        said = f"The video service refused this request: {detail}" if detail else None
        return ProviderRejected(said, provider=provider, code="refused")
    return ProviderUnavailable(provider=provider, retry_after=retry_after)


def read_json(body: bytes) -> Any:
    """What a body says, None where it is no JSON; its texts are such as can be written down."""
    try:
        said = json.loads(body)
        if _UNWRITABLE.search(body) is None:
            return said
        text = json.dumps(said, ensure_ascii=False).replace(r"\u0000", "")
        return json.loads(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def read_json_text(value: object) -> object:
    """A table of the configuration as it is, or as the environment holds it: as JSON text."""
    return read_json(value.encode()) if isinstance(value, str) else value


def read_detail(response: httpx.Response) -> str:
    """The `detail` of an error reply, a text or FastAPI's list; never another kind of body."""
    body = read_json(response.content)
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, list):
        detail = "; ".join(str(each.get("msg", "")) for each in detail if isinstance(each, dict))
    return plain(detail)


def read_refusal(response: httpx.Response) -> dict[str, int | str]:
    """An error reply's status, and the code and the words it gives, as every service names them.

    For whoever writes down what no documentation tells: nothing in it opens anything.
    """
    body = read_json(response.content)
    inner = body.get("error") if isinstance(body, dict) else None
    places = [each for each in (body, inner) if isinstance(each, dict)]
    words = {"message": read_detail(response)}
    for name, keys in REFUSAL_KEYS.items():
        found = (plain(each.get(key)) for each in places for key in keys)
        words[name] = words.get(name) or next((each for each in found if each), "")
    words["message"] = words["message"] or plain(inner)
    safe = {name: redact(each) for name, each in words.items()}
    return {"status": response.status_code, **safe}


def plain(text: object) -> str:
    """A service's words made fit for a sentence: one short line without links or markup."""
    if not isinstance(text, str) or "<" in text:
        return ""
    text = re.sub(r"\S+://\S+", "(link)", re.sub(r"^\d{3}: ", "", text))
    return "".join(each for each in " ".join(text.split()) if each.isprintable())[:LONGEST_QUOTE]


def read_time(value: object) -> datetime | None:
    """A time in ISO 8601, in UTC where it names no zone; None where it is none."""
    try:
        time = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` (RFC 9110 10.2.3: a number or a date), None without a sane one.

    A date is compared with the reply's own `Date`, so that our clock does not matter.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        if value.isdecimal():
            seconds = float(value)
        else:
            until = parsedate_to_datetime(value)
            seconds = (until - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
