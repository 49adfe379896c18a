"""What an act is given, and what it is: something that changes, and says what it came to."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from adapters.web.desk.flash import FlashMessage
from adapters.web.parse import field_of, to_job_id, to_nonce
from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.studio import Sitting

MOST_DAYS = 3650
_DAYS = re.compile(r"[0-9]{1,4}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Form:
    """The fields of a form; every reader raises `InvalidRequest` for what it cannot be."""

    fields: Mapping[str, Sequence[str]]

    def text(self, name: str) -> str:
        """A field's words; empty where there are none."""
        return field_of(self.fields, name)

    @property
    def job(self) -> JobId:
        """The job that it is about."""
        return to_job_id(self.text("job"))

    @property
    def nonce(self) -> str:
        """What tells this form from every other."""
        return to_nonce(self.text("nonce"))

    @property
    def days(self) -> int | None:
        """For how many days; None where nothing is said."""
        said = self.text("days")
        if not said:
            return None
        if not _DAYS.fullmatch(said) or not 1 <= int(said) <= MOST_DAYS:
            raise InvalidRequest(f"Give a number of days from 1 to {MOST_DAYS}.", field="days")
        return int(said)


DeskAct = Callable[[Form, Sitting], Awaitable[FlashMessage]]
