"""Where things of the desk are. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from bot.desk_job_views import Spot
from bot.errors import InvalidRequest
from bot.refs import JobId

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def to_path(path: str, **asked: object) -> str:
    """An address with what is asked there; what is empty is left out."""
    said = urlencode({name: str(value) for name, value in asked.items() if value})
    return f"{path}?{said}" if said else path


def job_path(job_id: JobId) -> str:
    """A job's page."""
    return to_path("/desk/job", id=job_id)


def person_path(person: str) -> str:
    """A person's page."""
    return to_path("/desk/person", key=person)


def to_mark(spot: Spot) -> str:
    """A spot as it stands in an address."""
    micros = (spot.at - _EPOCH) // timedelta(microseconds=1)
    return f"{micros}.{spot.job_id}"


def read_mark(text: str) -> Spot | None:
    """The spot that an address names; None where it names none, raises `InvalidRequest`."""
    if not text:
        return None
    micros, _, job_id = text.partition(".")
    try:
        at = _EPOCH + timedelta(microseconds=int(micros[:20]))
    except (ValueError, OverflowError):
        raise InvalidRequest("That page is not there. Begin with the newest.") from None
    return Spot(at=at, job_id=JobId(job_id[:20]))
