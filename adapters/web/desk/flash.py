"""What an act came to, shown once on the page that comes next. Pure.

It travels in a cookie that is signed with the key of the session, so that nobody else can put
words there, and any process of the bot can read it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.web.render import Part, parts_of
from bot.words import clean

SENTENCE_CHARS = 600
_PURPOSE = b"raybot desk said"


@dataclass(frozen=True, kw_only=True)
class FlashMessage:
    """A sentence, and the times that it names; `is_refusal`: nothing was changed."""

    sentence: str
    times: Sequence[datetime] = ()
    is_refusal: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """The sentence, its times for the viewer's own zone."""
        return parts_of(self.sentence, self.times)


def seal(said: FlashMessage, key: str) -> str:
    """As it is carried by who holds the session with this key."""
    told = {
        "sentence": clean(said.sentence, limit=SENTENCE_CHARS),
        "times": [each.isoformat() for each in said.times],
        "is_refusal": said.is_refusal,
    }
    body = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    return f"{body}.{_sign(body, key)}"


def unseal(text: str, key: str) -> FlashMessage | None:
    """What was sealed for this session; None for anything else."""
    body, _, signature = text.rpartition(".")
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), _sign(body, key).encode()):
        return None
    try:
        told = json.loads(base64.urlsafe_b64decode(body))
    except (binascii.Error, ValueError):
        return None
    return FlashMessage(
        sentence=told["sentence"],
        times=tuple(datetime.fromisoformat(each) for each in told["times"]),
        is_refusal=told["is_refusal"],
    )


def _sign(body: str, key: str) -> str:
    purpose = hmac.new(key.encode(), _PURPOSE, hashlib.sha256).digest()
    return hmac.new(purpose, body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
