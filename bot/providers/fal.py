"""fal, which sells Luma's models by the clip: one queue for all, images inside of the request.

There is no list to find a lost request in; its calls, signed by fal, still tell of it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects import fal_queue
from bot.list_paging import Turns
from bot.log import get_logger
from bot.metrics import Metrics
from bot.ports import FrameHandle, Generation, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.service import (
    GONE,
    Address,
    OverHttp,
    Service,
    ServiceTable,
    look_at_each,
    open_service,
)
from bot.tables import micros
from bot.tariffs import PerClip, Tariff

log = get_logger(__name__)
#: Dollars for 5 s at 540p: fal's model pages, November 2026.
PRICES = {"ray-flash-2": 0.2, "ray-2": 0.5}
#: fal names no limit for an image inside of a request; this is Luma's for a file.
MOST_IMAGE_BYTES = 10_000_000
#: Another model may stand in for one that is ill; it would not be what was asked and priced.
AS_ASKED = {"x-app-fal-disable-fallback": "true"}
QUEUE, KEYS = "https://queue.fal.run", "https://rest.fal.ai/.well-known/jwks.json"
#: Keys may be kept for a day (fal's page on webhooks); the rest is ours.
KEYS_LAST, KEYS_PAUSE, KEYS_SECONDS, MOST_KEYS = 24 * 3600.0, 300.0, 10.0, 20
LOOKS = 5
CREDITS = "The account at fal has no credits left; its owner can add some at fal.ai."
LOCKED = "fal has locked this account. Its owner can ask support@fal.ai to unlock it."
KEY = "fal refuses this key. Its owner can make another one at fal.ai, with the scope API."
CLOSED = "fal does not offer this model at this address any more. Set up another video service."
NO_MONEY = re.compile(rf"{http.NO_CREDITS.pattern}|top.?up", re.IGNORECASE)


class Settings(ServiceTable):
    """`[providers.fal]`; `prices` are $ for 5 s at 540p, from which all others follow.

    An empty `jwks_url` is fal's own, or the usual place at another `base_url`.
    """

    base_url: Address = QUEUE
    jwks_url: str = Field(default="", pattern=r"^(https?://[\w\[].*)?$")

    def priced(self) -> Collection[str]:
        """The models."""
        return PRICES

    def to_jwks_url(self) -> str:
        """Where the keys are that sign calls."""
        base = self.base_url.rstrip("/")
        return self.jwks_url or (KEYS if base == QUEUE else f"{base}/.well-known/jwks.json")


def to_tariff(usd: float) -> PerClip:
    """What every size and length costs, by the price of 5 s at 540p."""
    return PerClip(
        clips={
            (size, length): Micros(micros(usd) * larger * longer)
            for size, larger in fal_queue.SIZES.items()
            for length, longer in fal_queue.LENGTHS.items()
        }
    )


def to_address(frame: FrameHandle | None) -> str | None:
    """An image as a `data:` address; raises `OSError` where its file cannot be read."""
    if frame is None:
        return None
    content = Path(frame.path).read_bytes() if frame.path else b""
    if not 0 < len(content) <= MOST_IMAGE_BYTES:
        raise errors.ProviderRejected(fal_queue.MEANS["image"], provider="fal", code="image")
    return f"data:{frame.content_type};base64,{base64.b64encode(content).decode()}"


def read_error(response: httpx.Response, *, name: str = "fal") -> errors.ProviderError:
    """The error that a reply other than 2xx stands for."""
    body, status = http.read_json(response.content), response.status_code
    said = fal_queue.read_said(body)
    if status == 402 or (status in {400, 403} and NO_MONEY.search(said)):
        return errors.ProviderOutOfCredits(CREDITS, provider=name)
    if status in {400, 403, 413, 422} and (known := fal_queue.explain(status, body)):
        return errors.ProviderRejected(known.sentence, provider=name, code=known.code)
    if status in {401, 403}:
        is_locked = "locked" in said.lower()
        return errors.ProviderAuthError(LOCKED if is_locked else KEY, provider=name)
    if status in {404, 405, 410}:
        return errors.ProviderRetired(CLOSED, provider=name)
    if status == 499:  # It thinks that we hung up; what it did until then is open.
        return errors.SubmissionUncertain(provider=name)
    return http.to_error(response, provider=name)


def read_keys(row: object) -> tuple[Ed25519PublicKey, ...]:
    """The keys of a JSON Web Key Set (RFC 8037); what is no such key is left out."""
    listed = row.get("keys") if isinstance(row, dict) else None
    keys = []
    for each in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        text = str(each.get("x")) if isinstance(each, dict) else ""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            keys.append(Ed25519PublicKey.from_public_bytes(raw))
        except ValueError:
            continue
    return tuple(keys)


class Keyring:
    """fal's public keys, fetched when they are needed; `api` must not send our own key there."""

    def __init__(self, api: Service, url: str, clock: Clock) -> None:
        self._api, self._url, self._clock = api, url, clock
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._asked_at = self._got_at = -KEYS_LAST
        self._turn = asyncio.Lock()

    async def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether one of them made this signature; they are looked up again where none did."""
        if self._fits(message, signature):
            return True
        async with self._turn:
            if not self._fits(message, signature):
                await self._renew()
            return self._fits(message, signature)

    def _fits(self, message: bytes, signature: bytes) -> bool:
        if self._clock.boottime() - self._got_at >= KEYS_LAST:
            return False
        for key in self._keys:
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False

    async def _renew(self) -> None:
        now = self._clock.boottime()
        if now - self._asked_at < KEYS_PAUSE:
            return
        self._asked_at = now
        try:
            async with asyncio.timeout(KEYS_SECONDS):
                row = await self._api.get(self._url)
        except (errors.ProviderError, TimeoutError):
            log.warning("fal.keys_not_read")
            return
        self._keys, self._got_at = read_keys(row), now


class Fal(OverHttp):
    """`ports.Provider` for fal's queue; connections open with the first call."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        name: str = "fal",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test, self.capabilities = name, is_test, fal_queue.MODELS
        self.tariffs: Mapping[str, Tariff] = {
            model: to_tariff(usd) for model, usd in {**PRICES, **settings.prices}.items()
        }
        self.limits = settings.to_limits()
        self._clock, self._turns = clock, Turns(LOOKS)
        connect = partial(
            open_service, name, clock=clock, read_error=partial(read_error, name=name)
        )
        # Addresses are made here, never taken from replies: no key goes to another host.
        self._api = connect(settings, base_url=settings.base_url, metrics=metrics, scheme="Key")
        keyless, jwks_url = settings.model_copy(update={"api_key": None}), settings.to_jwks_url()
        self._keys_api = connect(keyless, base_url=jwks_url, metrics=metrics)
        self._keyring = Keyring(self._keys_api, jwks_url, clock)

    async def submit(self, submission: Submission) -> Generation:
        """One POST, never repeated; every error says whether it may have been taken."""
        try:
            start = await asyncio.to_thread(to_address, submission.start_frame)
            end = await asyncio.to_thread(to_address, submission.end_frame)
        except OSError as error:
            raise errors.ProviderUnavailable(provider=self.name) from error
        callback = submission.callback_url
        row = await self._api.post(
            fal_queue.to_path(submission),
            fal_queue.to_payload(submission, start=start, end=end),
            self.limits.submit_seconds,
            headers=AS_ASKED,
            params={"fal_webhook": callback} if callback else None,
        )
        if (generation_id := fal_queue.read_request_id(row)) is None:
            raise errors.SubmissionUncertain(provider=self.name)
        return Generation(id=generation_id, state="queued")

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """A few by single GETs; the unknown and those whose turn is next miss."""
        try:
            return await look_at_each(self._turns.take(ids), self._look, tell=tell)
        except (errors.ProviderClosed, errors.ProviderUnavailable):
            raise
        except errors.ProviderError as error:
            raise errors.ProviderUnavailable(provider=self.name) from error

    async def _look(self, generation_id: GenerationId) -> Generation | None:
        row = await self._status(generation_id)
        under_way = row and fal_queue.read_status(generation_id, row)
        if not row or under_way:
            return under_way or None
        # The errors of the model itself are told by this reply, so no status of it is refused.
        response = await self._api.act("GET", _path(generation_id))
        status, body = response.status_code, http.read_json(response.content)
        generation = fal_queue.read_result(
            generation_id, status, body, told=fal_queue.read_told(row)
        )
        if generation is None and response.is_error and status not in GONE:
            raise read_error(response, name=self.name)
        return generation

    async def _status(self, generation_id: GenerationId) -> Mapping[str, object] | None:
        if not fal_queue.ID.fullmatch(generation_id):
            return None
        return await self._api.get_one(f"{_path(generation_id)}/status")

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """Never: the queue has no list. A call may still bring a lost one back."""
        return ports.CannotTell()

    async def cancel(self, generation_id: GenerationId) -> bool:
        """True where it waited, was taken back, and is then seen to have been stopped.

        fal takes a cancel of one that runs as well, which may go on and be charged; so that is
        never asked for, and fal's yes alone is not believed.
        """
        try:
            row = await self._status(generation_id)
            if row is None or row.get("status") != "IN_QUEUE":
                return False
            await self._api.act("PUT", f"{_path(generation_id)}/cancel")
            return fal_queue.never_ran(await self._status(generation_id) or {})
        except errors.ProviderError:
            return False

    async def balance(self) -> Micros | None:
        """Nothing: fal tells it by its other API, to keys of another scope."""
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """A hint that fal itself signed a moment ago; None for any other."""
        signed = fal_queue.read_signed(headers, body, self._clock.now())
        generation = fal_queue.read_call(http.read_json(body)) if signed else None
        if signed is None or generation is None or not await self._keyring.has_signed(*signed):
            return None
        return replace(generation, token_hash=hashlib.sha256(token.encode()).hexdigest())

    async def aclose(self) -> None:
        """Close connections."""
        await super().aclose()
        await self._keys_api.aclose()


def _path(generation_id: GenerationId) -> str:
    return f"{fal_queue.APP}/requests/{generation_id}"


create = Fal
