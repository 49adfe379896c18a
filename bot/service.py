"""One provider's API over JSON: reads within a budget, paid POSTs that are sent once, free acts.

Knows no provider; what a reply means is told by the `read_error` it is given.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bot.budget import TokenBucket
from bot.clock import Clock
from bot.errors import ConfigError, ProviderError, ProviderUnavailable, SubmissionUncertain
from bot.http import (
    NOT_SENT,
    create_client,
    explain,
    get_with_retries,
    read_json,
    read_json_text,
    read_refusal,
)
from bot.log import get_logger, register_secret
from bot.metrics import Metrics
from bot.ports import Generation, ProviderLimits, Tell
from bot.refs import Frozen, GenerationId
from bot.tables import Dollars, micros, nearest

log = get_logger(__name__)
TRIES_AGAIN = "Raybot tries again by itself."
#: A proxy may answer so although the request went on to the service.
DOUBTFUL = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT}
#: What a service says of one thing that it does not have any more.
GONE = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})
#: What a service says beforehand of an address that it is going to close (RFC 8594, RFC 9745).
FAREWELLS = ("sunset", "deprecation")
LONGEST_DATE = 60
#: No clock is further off, and no time that is reckoned with it leaves the calendar.
LONGEST_SKEW = timedelta(days=366)
#: Maximum of GETs that may leave at once.
BURST = 5
#: An image may be large and the line slow, so an upload has so many times as long as a question.
UPLOAD_FACTOR = 10
#: Enough to tell accounts apart, and too little to tell anything of a key.
FINGERPRINT_CHARS = 16


def _address(url: str) -> str:
    urlsplit(url)  # Raises `ValueError` for a bracket without its other half.
    return url


Address = Annotated[str, Field(pattern=r"^https?://[\w\[]"), AfterValidator(_address)]


async def look_at_each(
    ids: Collection[GenerationId],
    look: Callable[[GenerationId], Awaitable[Generation | None]],
    *,
    tell: Tell,
    known: Mapping[GenerationId, Generation] | None = None,
    trouble: ProviderError | None = None,
) -> dict[GenerationId, Generation]:
    """What is known, and what a look at each of these tells; one that fails hides no other.

    `tell` hears of what was not known before. Where nothing is found at all, the last trouble is
    raised.
    """
    found = dict(known or {})
    for each in ids:
        try:
            generation = await look(each)
        except ProviderError as error:
            trouble = error
            continue
        if generation is not None:
            found[each] = generation
            tell(generation)
    if trouble is not None and not found:
        raise trouble
    return found


class ServiceTable(Frozen):
    """The keys that every `[providers.…]` table has; `base_url` has each its own default.

    Seconds are of waiting at most, and of the first look at a generation and each further one.
    """

    api_key: SecretStr | None = None
    running_limit: int = Field(default=10, ge=1)
    creates_per_minute: int = Field(default=20, ge=1)
    gets_per_second: float = Field(default=5.0, gt=0)
    first_look_seconds: float = Field(default=15.0, ge=0)
    look_seconds: float = Field(default=1.0, gt=0)
    min_balance_usd: Dollars = 0.0
    prices: Annotated[dict[str, Dollars], BeforeValidator(read_json_text)] = Field(default={})
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    read_timeout_seconds: float = Field(default=30.0, gt=0)
    submit_timeout_seconds: float = Field(default=60.0, gt=0)

    def priced(self) -> Collection[str]:
        """What `prices` may name: a price under any other name would hold for nothing."""
        return ()

    @model_validator(mode="after")
    def _know_prices(self) -> Self:
        known = self.priced()
        for name in self.prices:
            if name not in known:
                hint = nearest(name, known) or f" It can have {', '.join(known)}."
                raise ValueError(f"prices has no key {name!r}.{hint}")
        return self

    def to_limits(self, *, has_list: bool = False) -> ProviderLimits:
        """What the service allows, as everybody else reads it."""
        return ProviderLimits(
            running=self.running_limit,
            creates_per_minute=self.creates_per_minute,
            first_look_seconds=self.first_look_seconds,
            look_seconds=self.look_seconds,
            submit_seconds=self.submit_timeout_seconds,
            min_balance=micros(self.min_balance_usd),
            has_list=has_list,
        )


class Service:
    """One provider's API.

    `clock_skew` is how far its clock and ours are apart, as its last reply shows. `sunset` is
    what it says of the end of this address, None where it says nothing; `rate_headers` what it
    said last of how often it may be asked. The key goes with every request, in `key_header`,
    behind the word `scheme` where there is one. `account` is a fingerprint of the address and key.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        key: SecretStr | None,
        pace: TokenBucket,
        clock: Clock,
        read_error: Callable[[httpx.Response], ProviderError],
        connect_seconds: float,
        read_seconds: float,
        metrics: Metrics | None = None,
        key_header: str = "Authorization",
        scheme: str = "Bearer",
    ) -> None:
        self.clock_skew = timedelta(0)
        self.sunset: str | None = None
        self.rate_headers: dict[str, str] = {}
        self.account = _to_fingerprint(base_url, key)
        self._name, self._pace, self._clock, self._read_error = name, pace, clock, read_error
        connect = functools.partial(
            create_client,
            base_url=base_url,
            headers=_to_headers(key, key_header, scheme),
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            observe=metrics.request_observer(name) if metrics else None,
        )
        self._reader = connect()
        # A POST on a connection that is just idling out would be in doubt: each has its own.
        self._writer = connect(keep_alive=False)

    async def get(self, path: str, **params: str | int) -> dict[str, Any] | None:
        """The object at this path, None where there is none (404).

        Raises `ProviderUnavailable`, or what `read_error` makes of the reply.
        """
        return await self._get(path, params, absent={httpx.codes.NOT_FOUND})

    async def get_one(self, path: str) -> dict[str, Any] | None:
        """The same of one of many, which may be gone (410) though the address is not closed."""
        return await self._get(path, {}, absent=GONE)

    async def _get(
        self, path: str, params: Mapping[str, str | int], *, absent: Collection[int]
    ) -> dict[str, Any] | None:
        try:
            response = await get_with_retries(
                self._reader, path, params=params, attempts=2, turn=self._turn
            )
        except httpx.HTTPError as error:
            raise self._away(error) from error
        self._note(response)
        if response.status_code in absent:
            return None
        if not response.is_success:
            refusal = self._refuse(response)
            if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self._pace.penalise(self._clock.boottime(), refusal.retry_after or 0.0)
            raise refusal
        body = read_json(response.content)
        if not isinstance(body, dict):
            raise ProviderUnavailable(provider=self._name)
        return body

    async def post(
        self,
        path: str,
        content: Any,
        seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """What one paid POST is answered, None where that is no JSON; it is never sent again.

        Raises `ProviderUnavailable` where it cannot have been taken, `SubmissionUncertain` where
        nobody can tell, and what `read_error` makes of a 4xx, which is a certain no.
        """
        try:
            response = await self._send(
                "POST", path, seconds, json=content, headers=headers, params=params
            )
        except NOT_SENT as error:
            raise self._away(error) from error
        except (TimeoutError, httpx.HTTPError) as error:
            self._away(error)
            raise SubmissionUncertain(provider=self._name) from error
        self._note(response)
        if response.is_client_error and response.status_code not in DOUBTFUL:
            raise self._refuse(response)
        if not response.is_success:
            raise SubmissionUncertain(provider=self._name)
        return read_json(response.content)

    async def act(
        self, method: str, path: str, *, seconds: float | None = None, **content: Any
    ) -> httpx.Response:
        """The reply to something that costs nothing more: an upload, a cancel. Sent once.

        It may take `seconds`, by default as long as a question, an upload ten times that;
        `content` is httpx's (`json`, `files`, `data`). Raises `ProviderUnavailable` where there is
        no answer; what an answer means is for the caller to tell.
        """
        patience = self._writer.timeout.read if seconds is None else seconds
        if patience is not None and seconds is None and "files" in content:
            patience *= UPLOAD_FACTOR
        try:
            response = await self._send(method, path, patience, **content)
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._away(error) from error
        self._note(response)
        return response

    async def _send(
        self, method: str, path: str, seconds: float | None, **content: Any
    ) -> httpx.Response:
        """The reply to what is sent once, all of both within so many seconds."""
        own = self._writer.timeout
        patience = httpx.Timeout(seconds, connect=own.connect, pool=own.pool)
        async with asyncio.timeout(seconds):
            return await self._writer.request(method, path, timeout=patience, **content)

    def _away(self, error: Exception) -> ProviderUnavailable:
        """The outage as people read it; what exactly happened is for the log."""
        log.warning("provider.no_answer", provider=self._name, cause=str(error) or repr(error))
        why = explain(error) if isinstance(error, httpx.HTTPError) else None
        return ProviderUnavailable(why and f"{why} {TRIES_AGAIN}", provider=self._name)

    def _refuse(self, response: httpx.Response) -> ProviderError:
        refusal = self._read_error(response)
        refusal.reply = read_refusal(response)
        return refusal

    async def _turn(self) -> None:
        while not self._pace.take(self._clock.boottime()):
            left = timedelta(seconds=self._pace.wait(self._clock.boottime()))
            await self._clock.wait(asyncio.Event(), self._clock.now() + left)

    def _note(self, response: httpx.Response) -> None:
        self.clock_skew = _read_clock_skew(response, self._clock.now())
        said = next((response.headers[each] for each in FAREWELLS if each in response.headers), "")
        self.sunset = said[:LONGEST_DATE] or self.sunset
        self.rate_headers |= {
            name: value[:LONGEST_DATE]
            for name, value in response.headers.items()
            if "ratelimit" in name.replace("-", "") or name == "retry-after"
        }

    async def aclose(self) -> None:
        """Close connections."""
        await self._reader.aclose()
        await self._writer.aclose()


class OverHttp:
    """What every provider over one such API has, unless it knows more."""

    _api: Service
    finding_may_buy: bool = False

    @property
    def account(self) -> str:
        """Which account it is, by its address and key."""
        return self._api.account

    @property
    def sunset(self) -> str | None:
        """What the service says of the end of this address."""
        return self._api.sunset

    async def observe(self, generation_id: GenerationId) -> dict[str, str]:
        """What this account shows of what the documentation leaves open; here, of the pace."""
        return dict(self._api.rate_headers)

    def learn(self, known: Mapping[str, str]) -> None:
        """Take what was observed once to heart; there is nothing to be learnt here."""

    async def forget(self, generation_id: GenerationId) -> bool:
        """Never: nothing documents that it can be deleted."""
        del generation_id
        return False

    async def aclose(self) -> None:
        """Close connections."""
        await self._api.aclose()


def open_service(
    name: str,
    table: ServiceTable,
    *,
    base_url: str,
    clock: Clock,
    read_error: Callable[[httpx.Response], ProviderError],
    metrics: Metrics | None,
    key_header: str = "Authorization",
    scheme: str = "Bearer",
) -> Service:
    """A provider's API as its table says; it connects with the first call.

    Raises `ConfigError` for an address that leads nowhere.
    """
    try:
        return Service(
            name,
            base_url=base_url,
            key=table.api_key,
            pace=TokenBucket(table.gets_per_second, burst=BURST),
            clock=clock,
            read_error=read_error,
            connect_seconds=table.connect_timeout_seconds,
            read_seconds=table.read_timeout_seconds,
            metrics=metrics,
            key_header=key_header,
            scheme=scheme,
        )
    except httpx.InvalidURL as error:
        raise ConfigError(f"[providers.{name}] base_url: {error}.") from error


def _to_fingerprint(base_url: str, key: SecretStr | None) -> str:
    secret = key.get_secret_value() if key is not None else ""
    return hashlib.sha256(f"{base_url}\n{secret}".encode()).hexdigest()[:FINGERPRINT_CHARS]


def _to_headers(key: SecretStr | None, header: str, scheme: str) -> dict[str, str]:
    if key is None:
        return {}
    register_secret(key.get_secret_value())
    return {header: f"{scheme} {key.get_secret_value()}".strip()}


def _read_clock_skew(response: httpx.Response, now: datetime) -> timedelta:
    try:
        skew = abs(parsedate_to_datetime(response.headers.get("date", "")) - now)
    except (ValueError, TypeError, OverflowError):
        return timedelta(0)
    return min(skew, LONGEST_SKEW)
