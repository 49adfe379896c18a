"""Every sentence a person reads, as plain text. Knows no platform: adapters escape and draw."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never

from bot import errors
from bot import notices as n
from bot.ports import Allowance, JobLine, ModelCapabilities, UsageReport, UsageRow
from bot.refs import JobId, Micros, Price, money
from bot.request import ClipFrame, Frame, VideoWork

QUOTE_CHARS = 300
FORMS: dict[n.ClipForm, str] = {
    "original": "",
    "smaller": "Made smaller to fit this place.",
    "poster": "Too large for this place, so here is a picture of it; the link has the clip.",
}
Table = tuple[tuple[str, ...], ...]
Tone = Literal["info", "good", "bad", "wait"]
Running = (
    n.Received
    | n.ConfirmNeeded
    | n.Accepted
    | n.Queued
    | n.Generating
    | n.Waiting
    | n.Uncertain
    | n.Fetching
)


@dataclass(frozen=True, kw_only=True)
class Text:
    """What to say, in plain text: an adapter escapes every field for its platform.

    `quote` is what the person wrote, cleaned and cut; the first row of `table` is its head.
    """

    title: str
    lines: tuple[str, ...] = ()
    tone: Tone = "info"
    quote: str = ""
    table: Table = ()


# ---- words for values ------------------------------------------------------------------------

# ECMA-48: CSI and OSC sequences, or an escape with one letter.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[^\[\]])?")
_EMOJI = "[\u2190-\u2bff\U0001f000-\U0001faff\ufe0f]"
_JOINED = re.compile(f"(?<={_EMOJI})\u200d(?={_EMOJI})")
_BLANK = frozenset("\u115f\u1160\u3164\uffa0")


def clean(text: str, *, limit: int = QUOTE_CHARS) -> str:
    """One line without control, bidi or invisible characters, cut to `limit` characters."""
    text = _SEQUENCE.sub("", text)
    joined = {match.start() for match in _JOINED.finditer(text)}
    shown = "".join(
        letter
        for at, letter in enumerate(text)
        if letter.isspace()
        or at in joined
        or (unicodedata.category(letter) not in {"Cc", "Cf", "Cs"} and letter not in _BLANK)
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def span(duration: timedelta) -> str:
    """A length of time as a person says it: `40 s`, `1 min 20 s`, `2 h 5 min`."""
    seconds = max(0, round(duration.total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else seconds % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def about(duration: timedelta) -> str:
    """An estimate, rounded to what can be known: `about 40 s`, `about 1 min 20 s`."""
    step = 5 if duration < timedelta(minutes=1) else 10 if duration < timedelta(minutes=10) else 60
    return "about " + span(
        timedelta(seconds=max(5, round(duration.total_seconds() / step) * step))
    )


def moment(when: datetime) -> str:
    """A point in time in its own zone: `5 Nov 14:00 UTC`."""
    return f"{when.day} {when:%b %H:%M %Z}".rstrip()


def price_words(price: Price, *, is_over: bool = False) -> str:
    """What a clip costs at list price; of a test, what it would cost, or would have cost."""
    words = f"≈ {money(price.micros)}"
    would = "would have cost" if is_over else "would cost"
    return f"{would} {words} (a test, nothing charged)" if price.is_test else words


def charge_words(charged: Micros) -> str:
    """Whether a job was charged, as a sentence."""
    return f"{money(charged)} was charged." if charged else "Nothing was charged."


def parameters(work: VideoWork) -> str:
    """The settled parameters in one line: `ray-2 · 5s · 540p · 1:1 · loop · camera orbit left`."""
    parts = [clean(work.model, limit=40), work.duration, work.resolution, work.aspect_ratio]
    parts += ["loop"] if work.loop else []
    parts += [f"camera {clean(name, limit=40).replace('_', ' ')}" for name in work.concepts]
    parts += _frame_words("start", work.start_frame) + _frame_words("end", work.end_frame)
    return " · ".join(parts)


def _frame_words(end: str, frame: Frame | None) -> list[str]:
    if frame is None:
        return []
    return [f"{end} clip {frame.job_id}" if isinstance(frame, ClipFrame) else f"{end} image"]


# ---- notices ---------------------------------------------------------------------------------


def describe(notice: n.Notice) -> Text:
    """The words of a notice."""
    if isinstance(notice, n.Delivered | n.Done | n.Failed | n.Cancelled | n.Operator):
        return _describe_end(notice)
    return _describe_running(notice)


def _text(about: n.About, title: str, *lines: str, tone: Tone, cost: str | None = None) -> Text:
    if cost is None and about.price is not None:
        cost = price_words(about.price)
    last = " · ".join(part for part in (cost, f"job {about.job_id}") if part)
    remarks = tuple(clean(remark) for remark in about.remarks)
    every = (*(line for line in lines if line), parameters(about.work), last, *remarks)
    return Text(title=title, lines=every, tone=tone, quote=clean(about.work.prompt))


def _describe_running(notice: Running) -> Text:
    about_it = notice.about
    match notice:
        case n.Received():
            return _text(about_it, "Reading your request", tone="wait")
        case n.ConfirmNeeded(expires_at=until):
            offer = f"Nothing is charged unless you confirm, until {moment(until)}."
            return _text(about_it, "Please confirm the price", offer, tone="wait")
        case n.Accepted():
            return _text(about_it, "Accepted", tone="info")
        case n.Queued(position=place, expected=expected):
            line = f"Your clip is expected in {about(expected)}." if expected else ""
            return _text(about_it, f"In line, place {place}", line, tone="wait")
        case n.Generating(expected=expected, is_slow=is_slow):
            usual = f"It usually takes {about(expected)}." if expected else ""
            slow = "It takes unusually long; it stays under watch and will be delivered late."
            title = "Generating, slower than usual" if is_slow else "Generating"
            return _text(about_it, title, slow if is_slow else usual, tone="wait")
        case n.Waiting(sentence=sentence):
            stays = "Your request stays in line; you can cancel it."
            return _text(about_it, "Waiting", clean(sentence), stays, tone="wait")
        case n.Uncertain():
            why = "The video service did not say whether it took this request."
            safe = "It is not sent again, so that nothing is paid twice. The operator decides; "
            safe += "until then its price stays reserved."
            return _text(about_it, "Waiting for the operator", why, safe, tone="bad")
        case n.Fetching():
            return _text(about_it, "Finished, fetching the clip", tone="wait")
    assert_never(notice)


def _describe_end(
    notice: n.Delivered | n.Done | n.Failed | n.Cancelled | n.Operator,
) -> Text:
    match notice:
        case n.Delivered(about=about_it):
            facts = f"{notice.width}×{notice.height} · {notice.seconds:.3g} s"
            facts += f" · {notice.bytes / 1e6:.1f} MB · took {span(notice.took)}"
            fit = FORMS[notice.form]
            link = f"Original: {notice.original_link}" if notice.original_link else ""
            cost = _delivered_cost(about_it, notice.charged)
            return _text(about_it, "Your clip is ready", facts, fit, link, tone="good", cost=cost)
        case n.Done(about=about_it):
            cost = _delivered_cost(about_it, notice.charged)
            return _text(
                about_it, "Delivered", f"took {span(notice.took)}", tone="good", cost=cost
            )
        case n.Failed(about=about_it):
            again = f"To try again: retry {about_it.job_id}"
            advice = "" if notice.code in _HOPELESS else again
            told = (clean(notice.sentence), advice, charge_words(notice.charged))
            return _text(about_it, "No clip this time", *told, tone="bad", cost="")
        case n.Cancelled(about=about_it):
            late = (
                "The video service does not stop a running generation." if notice.charged else ""
            )
            cost = charge_words(notice.charged)
            return _text(about_it, "Cancelled", late, cost, tone="info", cost="")
        case n.Operator():
            job = (f"job {notice.job_id}",) if notice.job_id else ()
            return Text(title="For the operator", lines=(clean(notice.sentence), *job), tone="bad")
    assert_never(notice)


def _delivered_cost(about_it: n.About, charged: Micros) -> str:
    if about_it.price and about_it.price.is_test:
        return price_words(about_it.price, is_over=True)
    return charge_words(charged).rstrip(".")


#: Failures whose sentence says what to change; the same again would fail again.
_HOPELESS = frozenset(
    {"moderation", "image_moderation", "prompt", "loop", "frames", "fixed", "extend"}
    | {"concepts", "image", "retired", "kept", "refused"}
)

# ---- errors ----------------------------------------------------------------------------------

_OPERATOR = "Nothing you typed is wrong; the operator has to look into it."
_AGAIN = "Nothing is lost; Raybot tries again by itself."
#: Title and advice by type; a type without a row has its parent's.
_WORDS: dict[type[errors.BotError], tuple[str, str]] = {
    errors.BotError: ("Something went wrong", _OPERATOR),
    errors.Refusal: ("That cannot be done", "Change it and ask again."),
    errors.InvalidRequest: ("That is not understood", "Correct it and send it again."),
    errors.FrameRejected: ("The image cannot be used", "Try another JPEG, PNG, WebP or HEIC."),
    errors.QuotaExceeded: ("A limit is reached", "Type usage to see what is left."),
    errors.NotAllowed: ("Not allowed", "Ask the operator of this bot."),
    errors.JobNotFound: ("No such job", "Type jobs to list your own."),
    errors.ProviderError: ("The video service has a problem", _OPERATOR),
    errors.ProviderUnavailable: ("The video service is not reachable", _AGAIN),
    errors.ProviderRejected: ("The video service said no", "Change the request and ask again."),
    errors.SubmissionUncertain: ("The video service did not answer", _AGAIN),
    errors.ClipError: ("The clip could not be kept", _OPERATOR),
    errors.ClipUnavailable: ("The clip cannot be fetched yet", _AGAIN),
    errors.DeliveryError: ("The clip could not be posted", "It is kept: show it by its job id."),
    errors.DeliveryUnavailable: ("The clip cannot be posted yet", _AGAIN),
    errors.StoreError: ("Raybot cannot use its database", _OPERATOR),
    errors.StoreBusy: ("Raybot is busy", "Try again in a moment."),
}


def describe_error(
    error: errors.BotError, job_id: JobId | None = None, charged: Micros | None = None
) -> Text:
    """One plain sentence, what to do, the job, and whether it was charged, by the error's type.

    `charged` None: a job that is under way; without a job nothing was started.
    """
    title, advice = next(_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS)
    lines = [clean(error.sentence, limit=500), advice]
    if isinstance(error, errors.QuotaExceeded) and error.resets_at:
        lines.append(f"The limit resets {moment(error.resets_at)}.")
    if job_id is None or charged is not None:
        lines.append(charge_words(charged or Micros(0)))
    lines += [f"job {job_id}"] if job_id else []
    return Text(title=title, lines=tuple(dict.fromkeys(lines)), tone="bad")


# ---- pages -----------------------------------------------------------------------------------


def describe_usage(report: UsageReport) -> Text:
    """What a person used today and this month, and what is left."""
    head = ("", "asked", "delivered", "refused", "failed", "video", "charged")
    lines = [_allowance_words(each) for each in report.allowances if each.allowed is not None]
    if report.test_clips:
        clips = "1 test clip" if report.test_clips == 1 else f"{report.test_clips} test clips"
        cost = f"≈ {money(report.test_micros)}"
        lines.append(f"{clips} would have cost {cost} (a test, nothing charged).")
    table = (head, _usage_cells(report.today), _usage_cells(report.month))
    return Text(title="Your usage", lines=tuple(lines), table=table)


def _usage_cells(row: UsageRow) -> tuple[str, ...]:
    counts = (row.asked, row.delivered, row.refused, row.failed)
    video = span(timedelta(seconds=row.seconds))
    return (clean(row.label, limit=40), *map(str, counts), video, money(row.charged))


def _allowance_words(allowance: Allowance) -> str:
    words = money if allowance.is_money else str
    used, allowed = words(allowance.used), words(allowance.allowed or 0)
    resets = f", resets {moment(allowance.resets_at)}" if allowance.resets_at else ""
    return f"{clean(allowance.name, limit=60)}: {used} of {allowed}{resets}"


def describe_jobs(jobs: Sequence[JobLine]) -> Text:
    """A page of one's own jobs."""
    if not jobs:
        return Text(title="No jobs here", lines=("Type what you want to see to start one.",))
    rows = [
        (j.job_id, j.state, money(j.price), moment(j.created_at), clean(j.prompt, limit=40))
        for j in jobs
    ]
    return Text(title="Your jobs", table=(("job", "state", "price", "asked", "prompt"), *rows))


def describe_settings(values: Mapping[str, str]) -> Text:
    """A person's own defaults."""
    rows = [(clean(key, limit=40), clean(value, limit=80)) for key, value in values.items()]
    change = "Change one with: settings ar=9:16. Take it back with: settings ar=default"
    title = "Your settings" if rows else "You have no settings of your own"
    return Text(title=title, lines=(change,), table=(("setting", "value"), *rows) if rows else ())


def timeline(events: Iterable[tuple[datetime, str]]) -> tuple[str, ...]:
    """A job's moves, one line each, with the time since the first."""
    every = tuple(events)
    return tuple(
        f"{moment(when) if not at else '+' + span(when - every[0][0])} {clean(what, limit=80)}"
        for at, (when, what) in enumerate(every)
    )


def help_text(models: Sequence[ModelCapabilities]) -> Text:
    """What can be typed, from what the models can do."""

    def choices(*lists: tuple[str, ...]) -> str:
        return ", ".join(dict.fromkeys(value for each in lists for value in each))

    table = (
        ("flag", "values", "what it sets"),
        ("--ar", choices(*(model.aspect_ratios for model in models)), "shape"),
        ("--dur, or --9s", choices(*(model.durations for model in models)), "length"),
        ("--res, or --4k", choices(*(model.resolutions for model in models)), "size"),
        ("--loop, --no-loop", "", "whether it ends as it begins"),
        ("--model", choices(tuple(model.model for model in models)), "quality and price"),
        ("--camera", "orbit_left, …", "camera moves, several if you like"),
        ("--start, --end", "a link or an image", "first and last picture"),
    )
    lines = (
        "Type what you want to see, then flags: a red fox in snow --ar 9:16 --9s --loop",
        "Reply to an image or a clip to start from it.",
        'usage · jobs · jobs "fox" 2 · show ID · cancel ID · retry ID · confirm ID',
        "settings · settings ar=9:16 · help",
    )
    cameras = choices(*(model.concepts for model in models))
    more = (f"Camera moves: {cameras}",) if cameras else ()
    return Text(title="Ray turns words and images into clips", lines=lines + more, table=table)
