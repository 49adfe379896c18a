"""Addresses, ids and money: small values that outlive a process. Knows no SDK, no service."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import NewType

from pydantic import BaseModel, ConfigDict

JobId = NewType("JobId", str)
GenerationId = NewType("GenerationId", str)
MediaKey = NewType("MediaKey", str)
Micros = NewType("Micros", int)
"""Millionths of a US dollar."""

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


class Frozen(BaseModel):
    """A value that is stored as JSON and comes back equal."""

    # Errors are logged, and values hold what people wrote.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ThreadRef(Frozen):
    """The persistable address of a conversation."""

    adapter: str
    workspace: str
    channel: str
    thread: str | None = None


class MessageRef(Frozen):
    """The persistable address of a message."""

    thread: ThreadRef
    message: str


class Attachment(Frozen):
    """A file in a chat message; its adapter reads it and owns the token for that.

    `is_spoiler`: its sender hid it, so what is made of it is hidden as well. `is_fleeting`: its
    chat has it for a moment only, so that our copy soon is the only one. `author` is the person
    who posted it, empty where nobody knows.
    """

    adapter: str
    id: str
    filename: str = ""
    url: str | None = None
    size: int | None = None
    is_spoiler: bool = False
    is_fleeting: bool = False
    author: str = ""


class Price(Frozen):
    """What a clip costs at list price; `is_test` means that nothing is charged."""

    micros: Micros
    is_test: bool = False

    @property
    def charged(self) -> Micros:
        """What the ledger counts."""
        return Micros(0) if self.is_test else self.micros


def _crockford(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, rest = divmod(number, 32)
        digits = _DIGITS[rest] + digits
    return digits


def new_job_id(now: datetime) -> JobId:
    """A short, sortable, hard-to-guess id: `r-`, minutes since 2025 (5 digits), chance (5)."""
    minutes = int((now - _EPOCH).total_seconds() // 60)
    return JobId(f"r-{_crockford(minutes, 5)}{_crockford(secrets.randbits(25), 5)}")


def money(micros: int) -> str:
    """Dollars as a person reads them: `$1,234.50`, and below ten cents `$0.015`.

    A still may cost less than a cent, which is not nothing.
    """
    has_mills = abs(micros) < 100_000 and round(abs(micros) / 1_000) % 10
    places = 3 if has_mills else 2
    return f"${micros / 1_000_000:,.{places}f}"
