"""Every error Raybot raises on purpose. A class's docstring is its default sentence.

BotError
├─ ConfigError
├─ Refusal
│  ├─ InvalidRequest ── DeskClosed, NotNow (TooLate), NoSuchValue
│  ├─ FrameRejected    ├─ QuotaExceeded
│  ├─ NotAllowed ── NotServed (NotOutside), LinkSpent, SignedOut, Paused, WrongChannel
│  ├─ Moderated        ├─ NotChecked
│  ├─ JobNotFound      └─ AddressRefused
├─ ProviderError
│  ├─ ProviderUnavailable   ├─ ProviderRejected   ├─ SubmissionUncertain
│  └─ ProviderClosed ── ProviderAuthError, ProviderOutOfCredits, ProviderRetired
├─ ClipError ── ClipUnavailable (ClipHeavy), ClipBroken
├─ DeliveryError ── DeliveryUnavailable (InOtherHands, EditsPaused, NotRemoved),
│                   ThreadGone (PostedBefore), PostStays, ClipTooLarge
└─ StoreError ── SchemaTooNew, StoreBusy (NoRoom), CommitUnknown, Stale
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from datetime import datetime


Given = ParamSpec("Given")
Got = TypeVar("Got")
#: What a filter minds: the words, an image, or the name of somebody or something protected.
Filtered = Literal["words", "image", "names"]


class BotError(Exception):
    """Something went wrong on our side."""

    #: Whether a clip was asked for, so that people wonder what it cost.
    is_of_clip = True
    #: The times that people are told, each of whom may see them in their own zone.
    times: tuple[datetime, ...] = ()

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)) or "")

    @property
    def sentence(self) -> str:
        """The plain sentence a person may read."""
        return str(self)


@contextmanager
def of_no_clip() -> Iterator[None]:
    """Let what goes wrong in it say nothing of money: no clip was asked for."""
    try:
        yield
    except BotError as error:
        error.is_of_clip = False
        raise


def asks_for_no_clip(
    act: Callable[Given, Coroutine[Any, Any, Got]],
) -> Callable[Given, Coroutine[Any, Any, Got]]:
    """The same act, of whose failure nothing is said of money."""

    @wraps(act)
    async def carry_out(*args: Given.args, **kwargs: Given.kwargs) -> Got:
        with of_no_clip():
            return await act(*args, **kwargs)

    return carry_out


class ConfigError(BotError):
    """The configuration cannot be used."""


class Refusal(BotError):
    """This request cannot be carried out."""


class InvalidRequest(Refusal):
    """The request is not understood."""

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class DeskClosed(InvalidRequest):
    """Whoever runs Raybot can open the desk."""

    is_of_clip = False


class NotNow(InvalidRequest):
    """It has not come so far."""

    is_of_clip = False


class TooLate(NotNow):
    """It has gone too far for that."""


class NoSuchValue(InvalidRequest):
    """There is no such value."""

    def __init__(
        self, choices: Sequence[str], say: Callable[[Sequence[str]], str], *, field: str
    ) -> None:
        super().__init__(say(choices), field=field)
        #: What there is instead, of which `say` makes the sentence.
        self._choices = choices
        self._say = say

    def among(self, usable: Collection[str]) -> None:
        """Name of its choices only those that are usable."""
        self.args = (self._say([each for each in self._choices if each in usable]),)


class FrameRejected(Refusal):
    """The image cannot be used as a frame."""


class QuotaExceeded(Refusal):
    """A limit is reached."""

    def __init__(
        self, message: str | None = None, *, resets_at: datetime | None = None, limit: str = ""
    ) -> None:
        super().__init__(message)
        self.resets_at = resets_at
        self.times = (resets_at,) if resets_at is not None else ()
        self.limit = limit


class NotAllowed(Refusal):
    """You may not do that here."""

    def __init__(self, message: str | None = None, *, until: datetime | None = None) -> None:
        super().__init__(message)
        self.times = (until,) if until is not None else ()


class NotServed(NotAllowed):
    """This place is not set up for Raybot. Its operator can add it."""


class NotOutside(NotServed):
    """I take no requests here."""


class LinkSpent(NotAllowed):
    """This link has been used, or it is older than ten minutes. Ask for a new one."""


class SignedOut(NotAllowed):
    """You are not signed in here, or not any more. Ask for a link."""


class Paused(NotAllowed):
    """Raybot is paused here. Those who run this place, or the operator, can resume it."""


class WrongChannel(NotAllowed):
    """Raybot is not used in this channel. Its operator can say in which it is."""

    def __init__(self, message: str | None = None, *, channels: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        #: The ids of the channels in which it is.
        self.channels = channels


class Moderated(Refusal):
    """What you asked for is not allowed here."""

    #: The job that was refused, once there is one that a form can change.
    job_id = ""

    def __init__(
        self, message: str | None = None, *, kind: Filtered, is_advised: bool = False
    ) -> None:
        super().__init__(message)
        self.kind = kind
        #: Whether its sentence says what to change.
        self.is_advised = is_advised


class NotChecked(Refusal):
    """What checks requests here does not answer. Nothing was started; try again in a moment."""


class JobNotFound(Refusal):
    """There is no such job here."""


class AddressRefused(Refusal):
    """This link does not lead to a public address, so it is not opened."""


class ProviderError(BotError):
    """The video service reported a problem."""

    def __init__(
        self, message: str | None = None, *, provider: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.retry_after = retry_after
        #: The reply behind it, where there was one: its status, and its own code and words.
        self.reply: dict[str, int | str] = {}


class ProviderUnavailable(ProviderError):
    """The video service cannot be reached right now. Raybot tries again by itself."""


class ProviderRejected(ProviderError):
    """The video service refused this request."""

    def __init__(self, message: str | None = None, *, provider: str, code: str) -> None:
        super().__init__(message, provider=provider)
        self.code = code


class ProviderClosed(ProviderError):
    """The video service takes nothing from Raybot until its operator has done something."""


class ProviderAuthError(ProviderClosed):
    """The video service does not accept the configured key."""


class ProviderOutOfCredits(ProviderClosed):
    """The account at the video service has no credits left."""


class ProviderRetired(ProviderClosed):
    """The video service has closed this address."""


class SubmissionUncertain(ProviderError):
    """The video service did not say whether it accepted the request."""


class ClipError(BotError):
    """The finished clip could not be kept."""


class ClipUnavailable(ClipError):
    """The finished clip cannot be downloaded right now."""


class ClipHeavy(ClipUnavailable):
    """This machine lacks time or memory for the finished clip, now or always."""


class ClipBroken(ClipError):
    """The finished clip is damaged."""


class DeliveryError(BotError):
    """The clip could not be posted."""


class DeliveryUnavailable(DeliveryError):
    """The chat platform cannot take the post right now."""

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InOtherHands(DeliveryUnavailable):
    """Another process of this bot can post it, and this one cannot."""


class EditsPaused(DeliveryUnavailable):
    """Old messages there cannot be changed right now; new ones can be posted."""


class NotRemoved(DeliveryUnavailable):
    """It could not be removed now."""

    is_of_clip = False


class ThreadGone(DeliveryError):
    """The conversation no longer exists or is closed to the bot."""


class PostedBefore(ThreadGone):
    """It was posted before, or may have been, so it is not posted again."""


class PostStays(DeliveryError):
    """The platform does not let Raybot remove its message, which still stands there."""

    is_of_clip = False


class ClipTooLarge(DeliveryError):
    """The clip is larger than this place takes."""

    def __init__(self, message: str | None = None, *, max_bytes: int) -> None:
        super().__init__(message)
        self.max_bytes = max_bytes


class StoreError(BotError):
    """The database did not answer."""


class SchemaTooNew(StoreError):
    """The database was written by a newer Raybot. Start that version, or restore a backup."""


class StoreBusy(StoreError):
    """Raybot is very busy. Nothing was started; please try again in a moment."""


class NoRoom(StoreBusy):
    """The disk is nearly full, so nothing new is started."""


class CommitUnknown(StoreError):
    """The database went away before it said whether it was done."""


class Stale(StoreError):
    """It has gone on meanwhile."""

    is_of_clip = False

    @property
    def sentence(self) -> str:
        """The same for everybody: which states did not fit is for developers."""
        return inspect.getdoc(Stale) or ""
