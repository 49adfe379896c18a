"""The building stones of what a person reads: `Text`, and words for values. Knows no notice."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, assert_never

from bot.refs import Micros, Price, money
from bot.request import (
    AnyWork,
    AudioWork,
    ClipFrame,
    ClipWork,
    Frame,
    ModifyWork,
    PreviousShot,
    ReframeWork,
    UpscaleWork,
    Work,
)

QUOTE_CHARS, NAME_CHARS = 300, 80
Table = tuple[tuple[str, ...], ...]
Tone = Literal["info", "good", "bad", "wait"]


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


def cell(text: str, *, limit: int) -> str:
    """A text of people for a spreadsheet, which takes some beginnings for a formula."""
    text = clean(text, limit=limit)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


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
    return f"{day_words(when)} {when:%H:%M %Z}".rstrip()


def day_words(when: date) -> str:
    """A day of this year: `5 Nov`."""
    return f"{when.day} {when:%b}"


def days_between(first: date, last: date) -> str:
    """Days, both ends included: `5 Nov 2026`, `30 Nov to 6 Dec 2026`."""
    end = f"{day_words(last)} {last.year}"
    if first == last:
        return end
    year = "" if first.year == last.year else f" {first.year}"
    return f"{day_words(first)}{year} to {end}"


def price_words(price: Price, *, is_over: bool = False) -> str:
    """What a clip costs at list price; of a test, what it would cost, or would have cost."""
    words = f"≈ {money(price.micros)}"
    would = "would have cost" if is_over else "would cost"
    return f"{would} {words} (a test, nothing charged)" if price.is_test else words


def charge_words(charged: Micros) -> str:
    """Whether a job was charged, as a sentence."""
    return f"{money(charged)} was charged." if charged else "Nothing was charged."


def either(choices: Sequence[str]) -> str:
    """What can be chosen: `5s`, `5s or 9s`, `5s, 9s or 10s`."""
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def thing(work: Work) -> str:
    """What a work makes, as people call it."""
    if work.kind == "story":
        return "film"
    return "picture" if work.kind == "image" else "clip"


def parameters(work: Work) -> str:
    """The settled parameters in one line: `ray-2 · 5s · 540p · 1:1 · loop · camera orbit left`."""
    if work.kind == "image":
        still = [clean(work.model, limit=40), "still", work.aspect_ratio, *_style_words(work)]
        return " · ".join(still)
    if isinstance(work, ClipWork):
        return " · ".join(
            (clean(work.model, limit=40), deed(work), f"of clip {work.source.job_id}")
        )
    if work.kind == "story":
        shots = f"{len(work.shots)} shots of {work.duration}"
        facts = (clean(work.model, limit=40), shots, work.resolution, work.aspect_ratio)
        return " · ".join((*facts, *_style_words(work)))
    parts = [clean(work.model, limit=40), work.duration, work.resolution, work.aspect_ratio]
    parts += ["draft"] if work.is_draft else []
    parts += ["loop"] if work.loop else []
    parts += [f"camera {clean(name, limit=40).replace('_', ' ')}" for name in work.concepts]
    parts += _style_words(work)
    parts += _frame_words("start", work.start_frame) + _frame_words("end", work.end_frame)
    return " · ".join(parts)


def deed(work: UpscaleWork | AudioWork | ReframeWork | ModifyWork) -> str:
    """What is done to a finished clip: `upscale to 1080p`."""
    match work:
        case UpscaleWork():
            return f"upscale to {work.resolution}"
        case AudioWork():
            return "sound"
        case ReframeWork():
            return f"reframe to {work.aspect_ratio}"
        case ModifyWork():
            return f"modify, {work.mode.replace('_', ' ')}"
        case _:
            assert_never(work)


def gist(work: Work) -> str:
    """What a work is about, for the name of its file: the prompt, and what is done to a clip."""
    return f"{deed(work)} {work.prompt}".strip() if isinstance(work, ClipWork) else work.prompt


def _style_words(work: AnyWork) -> list[str]:
    before, after = clean(work.prefix, limit=40), clean(work.suffix, limit=40)
    return [f"in style: {before} … {after}".strip(" …")] if before or after else []


def _frame_words(end: str, frame: Frame | None) -> list[str]:
    if frame is None:
        return []
    if isinstance(frame, PreviousShot):
        return [f"{end} with the shot before"]
    if not isinstance(frame, ClipFrame):
        return [f"{end} image"]
    return [f"{end} {'picture' if frame.is_still else 'clip'} {frame.job_id}"]


def labels(names: Mapping[str, str]) -> dict[str, str]:
    """What each person is called; ids tell those apart who share a name or have none."""
    shown = {person: clean(name, limit=NAME_CHARS) for person, name in names.items()}
    often = Counter(shown.values())
    called = {}
    for person, name in shown.items():
        user = person.rpartition(":")[2]
        is_clear = name and often[name] == 1
        called[person] = name if is_clear else f"{name} ({user})" if name else user
    return called


# ---- tables ----------------------------------------------------------------------------------


def aligned(table: Table) -> list[str]:
    """The rows of a table for a type of one width; numbers stand to the right."""
    columns = [_aligned(column) for column in zip(*table, strict=True)]
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]


def _aligned(column: tuple[str, ...]) -> list[str]:
    width = max(map(_width, column))
    is_number = all(re.match(r"[$0-9]", cell) for cell in column[1:])
    spaced = [(" " * (width - _width(cell)), cell) for cell in column]
    return [space + cell if is_number else cell + space for space, cell in spaced]


def _width(text: str) -> int:
    """Columns in a type of one width, where East Asian letters take two."""
    seen = (each for each in text if unicodedata.category(each) not in {"Mn", "Me", "Cf"})
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in seen)
