"""Whether a call is Replicate's: its signature, and the secret that it is made with."""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from bot.clock import Clock
from bot.errors import ProviderError
from bot.log import register_secret
from bot.service import Service

#: How long a signed call is believed, and how long between two questions for the secret.
SIGNATURE_SECONDS, SECRET_SECONDS = 300.0, 60.0


def is_signed(headers: Mapping[str, str], body: bytes, secret: str, *, now: datetime) -> bool:
    """Whether a call carries a fresh signature of this secret; header names in lower case.

    Replicate signs by Standard Webhooks, `v1`, and may send several signatures (its docs, 2024).
    """
    sent, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", at) or abs(now.timestamp() - int(at)) > SIGNATURE_SECONDS:
        return False
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    content = f"{sent}.{at}.".encode(errors="replace") + body
    right = b"v1," + base64.b64encode(hmac.digest(key, content, "sha256"))
    given = headers.get("webhook-signature", "").encode(errors="replace").split()
    return bool(key) and any(hmac.compare_digest(right, each) for each in given)


class Signing:
    """Knows the account's secret for calls once the first one came, and follows its rotation."""

    def __init__(self, api: Service, clock: Clock) -> None:
        self._api, self._clock, self._lock = api, clock, asyncio.Lock()
        self._secret, self._asked_at = "", float("-inf")

    async def proves(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether this call is signed with the secret, or with one that came in its place."""
        lower, now = {key.lower(): value for key, value in headers.items()}, self._clock.now()
        if is_signed(lower, body, self._secret, now=now):
            return True
        await self._learn()
        return is_signed(lower, body, self._secret, now=now)

    async def _learn(self) -> None:
        """Ask for the secret, once a minute however many forged calls arrive."""
        async with self._lock:
            now = self._clock.boottime()
            if now - self._asked_at < SECRET_SECONDS:
                return
            self._asked_at = now
            try:
                secret = (await self._api.get("webhooks/default/secret") or {}).get("key")
            except ProviderError:
                return
            if isinstance(secret, str):
                register_secret(secret)
                self._secret = secret
