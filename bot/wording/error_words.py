"""What goes wrong, as people read it: what to do, and whether it was charged."""

from __future__ import annotations

from bot import errors
from bot.refs import JobId, Micros
from bot.words import Text, charge_words, clean, moment

_OPERATOR = "Nothing you typed is wrong; the operator has to look into it."
_LOOK = "Type jobs to see whether it was taken. The operator has to look into it."
_AGAIN = "Nothing is lost; Raybot tries again by itself."
#: Title and advice by type, none where its sentence says all; a type without a row has its
#: parent's.
_WORDS: dict[type[errors.BotError], tuple[str, str]] = {
    errors.BotError: ("Something went wrong", _LOOK),
    errors.Refusal: ("That cannot be done", "Change it and ask again."),
    errors.InvalidRequest: ("That is not understood", "Correct it and send it again."),
    errors.DeskClosed: ("The desk is not open here", "Ask whoever runs Raybot for it."),
    errors.NotNow: ("Not possible now", ""),
    errors.TooLate: ("Too late for that", ""),
    errors.FrameRejected: ("The image cannot be used", "Try another JPEG, PNG, WebP or HEIC."),
    errors.QuotaExceeded: ("A limit is reached", "Type usage to see what is left."),
    errors.NotAllowed: ("Not allowed", "If that is wrong, ask those who run this place."),
    errors.NotServed: ("Not open here", "Ask the operator of this bot."),
    errors.NotOutside: ("Not open here", "Use /ray in a server or workspace that has me."),
    errors.Paused: ("Raybot is paused", "Ask again once it goes on."),
    errors.WrongChannel: ("Not in this channel", "Ask again there."),
    errors.Moderated: ("Not made here", "Change it and ask again."),
    errors.NotChecked: ("Not started", "Ask again in a moment."),
    errors.JobNotFound: ("No such job", "Type jobs to list your own."),
    errors.ProviderError: ("The video service has a problem", _OPERATOR),
    errors.ProviderUnavailable: ("The video service is not reachable", _AGAIN),
    errors.ProviderRejected: ("The video service said no", "Change the request and ask again."),
    errors.SubmissionUncertain: ("The video service did not answer", _AGAIN),
    errors.ClipError: ("The clip could not be kept", _OPERATOR),
    errors.ClipUnavailable: ("The clip cannot be fetched yet", _AGAIN),
    errors.DeliveryError: ("The clip could not be posted", "It is kept: show it by its job id."),
    errors.DeliveryUnavailable: ("The clip cannot be posted yet", _AGAIN),
    errors.NotRemoved: ("Not deleted yet", "Delete it again in a moment."),
    errors.PostStays: (
        "Its message still stands there",
        "Delete it there yourself, or ask those who run that place to.",
    ),
    errors.StoreError: ("Raybot cannot use its database", _OPERATOR),
    errors.Stale: ("Too late for that", "Type jobs to see how it stands."),
    errors.CommitUnknown: ("Raybot lost its database", _LOOK),
    errors.StoreBusy: ("Raybot is busy", "Try again in a moment."),
    errors.NoRoom: ("Raybot has no room left", "Tell its operator, and ask again later."),
}
#: After these nobody knows whether something was begun, now or when it was asked for before.
_UNKNOWN = (errors.BotError, errors.StoreError, errors.CommitUnknown)


def describe_error(
    error: errors.BotError, job_id: JobId | None = None, charged: Micros | None = None
) -> Text:
    """What is wrong and what to do, the job, and whether it was charged.

    `charged` None: a job that is under way. Without a job nothing was started, if that is known;
    where no clip was asked for, nothing is said of money.
    """
    title, advice = next(_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS)
    is_unknown = type(error) in _UNKNOWN
    is_advised = isinstance(error, errors.Moderated) and error.is_advised
    lines = [clean(error.sentence, limit=500), *([advice] if advice and not is_advised else [])]
    if isinstance(error, errors.QuotaExceeded) and error.resets_at:
        lines.append(f"The limit resets {moment(error.resets_at)}.")
    is_free = job_id is None and not is_unknown and error.is_of_clip
    if charged is not None or is_free:
        lines.append(charge_words(charged or Micros(0)))
    lines += [f"job {job_id}"] if job_id else []
    return Text(title=title, lines=tuple(dict.fromkeys(lines)), tone="bad")
