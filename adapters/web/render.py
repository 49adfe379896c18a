"""Notices and pages as HTML. Pure: what fills the templates, which escape all of it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from adapters.follow_ups import CHOOSE, WORDS
from adapters.web import buttons
from adapters.web.asides import Kept
from adapters.web.images import Brought
from bot import notices as n
from bot import text as words
from bot.acts import NEEDS, Offered
from bot.refs import JobId, money
from bot.request import Frame, ImageFrame, frames_of
from bot.studio import JobLine, Shown
from bot.text import Text, clean

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
#: What decides about a job of which nobody can tell whether it was paid.
RESOLVE = "To decide, in a terminal: raybot resolve {} adopt <generation> | charge | release"
PROMPT_CHARS = 3000
LINE_CHARS = 1200
SIDE_CHARS = 48
_JOB = re.compile(r"\br-[0-9a-z]{10}\b")
#: What the words are for, where an act says nothing of its own.
ASKED = "What do you want to see?"
#: States as a dot beside a thread shows them.
_TONES = {"delivered": "good", "failed": "bad", "uncertain": "bad", "cancelled": "info"}
#: Up to which width for its height a clip has which shape.
_SHAPES = ((0.5, "slim"), (0.65, "tall"), (0.9, "portrait"), (1.2, "square"))
HasImage = Callable[[str], bool]
Passing = n.Received | n.Accepted | n.Queued | n.Generating | n.Filming | n.Waiting | n.Fetching


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a line: words, a time for the viewer's own zone, or a job to go to."""

    kind: Literal["words", "time", "job"]
    said: str
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image that a request starts from or ends on; `link` is empty where it cannot be shown."""

    link: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is: from a time until one, or nobody knows."""

    since: str = ""
    until: str = ""


def parts_of(line: str, times: Iterable[datetime] = ()) -> tuple[Part, ...]:
    """A line of ours; `times` are those that it names."""
    stamps = {words.moment(time): time for time in times}
    spots = "|".join([*map(re.escape, stamps), _JOB.pattern])
    shown, at, parts = clean(line, limit=LINE_CHARS), 0, []
    for found in re.finditer(spots, shown):
        parts.append(Part(kind="words", said=shown[at : found.start()]))
        if found[0] in stamps:
            when = stamps[found[0]].isoformat()
            parts.append(Part(kind="time", said=found[0], at=when))
        else:
            parts.append(Part(kind="job", said=found[0]))
        at = found.end()
    return tuple(part for part in (*parts, Part(kind="words", said=shown[at:])) if part.said)


def lines_of(text: Text, times: Iterable[datetime] = ()) -> list[tuple[Part, ...]]:
    """A page's lines."""
    every = tuple(times)
    return [parts_of(line, every) for line in text.lines if line]


def rows_of(text: Text, times: Iterable[datetime] = ()) -> list[list[tuple[Part, ...]]]:
    """A page's table, its head first."""
    every = tuple(times)
    return [[parts_of(cell, every) for cell in row] for row in text.table]


# ---- a card ------------------------------------------------------------------------------------


def to_card(shown: Shown, has_image: HasImage, reader: str = "") -> Mapping[str, Any]:
    """What a job's card shows to a person; without one, to whoever sits here alone."""
    notice, line = shown.notice, shown.line
    text = words.describe(notice)
    about = None if isinstance(notice, n.Jobless) else notice.about
    until = words.open_until(notice)
    small = {words.parameters(about.work)} if about is not None else set()
    lines = [
        parts_of(each, [until] if until else [])
        for each in words.lines_beside(notice, None)
        if each not in small
    ]
    if isinstance(notice, n.Uncertain) and not reader:
        # Who sits here is the operator.
        lines.append(parts_of(RESOLVE.format(line.job_id)))
    return {
        "job_id": line.job_id,
        "by": _by(about, reader),
        "asked_at": line.created_at,
        "prompt": clean(line.prompt, limit=PROMPT_CHARS),
        "shots": about.work.shots if about is not None and about.work.kind == "story" else (),
        "pictures": _pictures(about, has_image) if about is not None else (),
        "facts": " · ".join(small),
        "is_private": line.is_private,
        "title": text.title,
        "tone": text.tone,
        "lines": lines,
        "is_over": isinstance(notice, n.Delivered | n.Done | n.Failed | n.Cancelled),
        "progress": _progress(notice),
        "clip": _clip(shown),
        "buttons": buttons.under(notice),
        "more": buttons.more(notice),
        "parent": shown.parents[0].job_id if shown.parents else "",
        "answers": len(shown.children),
    }


def _by(about: n.About | None, reader: str) -> str:
    if about is None or reader in ("", about.requester.person):
        return "You"
    return clean(about.requester.display_name, limit=SIDE_CHARS) or "Somebody"


def _pictures(about: n.About, has_image: HasImage) -> tuple[Picture, ...]:
    frames = zip(("start", "end"), frames_of(about.work), strict=True)
    return tuple(_picture(frame, end, has_image) for end, frame in frames if frame is not None)


def _picture(frame: Frame, end: str, has_image: HasImage) -> Picture:
    alt = "The image it starts from" if end == "start" else "The image it ends on"
    if isinstance(frame, ImageFrame):
        image = frame.attachment.id
        return Picture(link=f"/web/image?id={image}" if has_image(image) else "", alt=alt)
    job_id = getattr(frame, "job_id", None)
    return Picture(link=f"/web/poster?job={job_id}" if job_id else "", alt=alt)


def _progress(notice: n.Notice) -> Progress | None:
    inner = notice.shot if isinstance(notice, n.Filming) else notice
    if isinstance(inner, n.Generating) and inner.expected is not None and not inner.is_slow:
        until = inner.since + inner.expected
        return Progress(since=inner.since.isoformat(), until=until.isoformat())
    return Progress() if isinstance(notice, Passing) else None


def _clip(shown: Shown) -> Mapping[str, Any] | None:
    notice = shown.notice
    if not isinstance(notice, n.Delivered) or not shown.link:
        return None
    work = notice.about.work
    return {
        "link": shown.link,
        "poster": f"/web/poster?job={shown.line.job_id}",
        "is_still": work.kind == "image",
        "shape": _shape(notice.width / notice.height),
        "width": notice.width,
        "height": notice.height,
        "alt": f"AI-generated {words.thing(work)}: {clean(work.prompt, limit=300)}",
        "filename": notice.filename,
    }


def _shape(ratio: float) -> str:
    """How a clip is held, so that it fits the height of a window without bars beside it."""
    return next((name for most, name in _SHAPES if ratio < most), "wide")


def to_thread(line: JobLine) -> Mapping[str, Any]:
    """A job in the list of threads."""
    return {
        "job_id": line.job_id,
        "words": clean(line.prompt, limit=SIDE_CHARS) or line.job_id,
        "tone": _TONES.get(line.state, "wait"),
        "state": line.state,
    }


def to_form(offer: Offered | None, action: str, job_id: JobId, prompt: str) -> Mapping[str, Any]:
    """What a button asks for; `prompt` is what stands in the field already."""
    if offer is None:
        why = buttons.REASONS.get(action, "")
        return {
            "action": action,
            "job_id": job_id,
            "label": action.capitalize() if why else "Change it and try again",
            "prompt": prompt,
            "choice": "",
            "options": (),
            "words": why or ASKED,
            "other": False,
            "is_needed": not why,
        }
    needs = NEEDS[offer.act]
    options = [(each.value, words.option_line(offer, each)) for each in offer.options]
    return {
        "action": action,
        "job_id": job_id,
        "label": words.act_label(offer.act),
        "prompt": prompt,
        "choice": CHOOSE.get(needs.choice, ""),
        "options": options,
        "words": WORDS.get(offer.act, ASKED) if needs.prompt != "none" else "",
        "is_needed": needs.prompt == "needed",
        "other": needs.other_clip,
    }


# ---- pages -------------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["files"] = _versions()
    environment.globals["nonce"] = lambda: secrets.token_hex(16)
    environment.filters["iso"] = lambda when: when.isoformat()
    environment.filters["moment"] = words.moment
    environment.filters["money"] = money
    environment.filters["seconds"] = lambda value: f"{value:.1f} s"
    environment.filters["span"] = lambda seconds: words.span(timedelta(seconds=seconds))
    return environment


def _versions() -> dict[str, str]:
    """Each static file by its name, with an address that changes with its content."""
    found = {}
    for path in STATIC.iterdir():
        mark = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
        found[path.name] = f"/web/static/{path.name}?v={mark}"
    return found


def draw(template: str, **values: Any) -> str:
    """A template, filled in; every value is escaped there."""
    return _environment().get_template(template).render(**values)


def draw_card(shown: Shown, has_image: HasImage, *, reader: str = "", is_news: bool = True) -> str:
    """A job's card; `has_image` says whether an image that somebody brought is still kept.

    `reader` is the person who reads it, as in `to_card`; `is_news`: it takes the place of the one
    on a page that is open.
    """
    card = to_card(shown, has_image, reader)
    return _draw_article(card, draw("card.html", **card), is_news=is_news)


def _draw_article(card: Mapping[str, Any], inside: str, *, is_news: bool) -> str:
    mark = hashlib.sha256(inside.encode("utf-8", "replace")).hexdigest()[:12]
    return draw("article.html", card=card, inside=inside, mark=mark, is_news=is_news)


def draw_image(brought: Brought, name: str, *, is_news: bool = True) -> str:
    """An image that somebody put into the channel."""
    return draw("image.html", image=brought, name=name, is_news=is_news)


def draw_aside(kept: Kept, has_file: HasImage, *, is_news: bool = True) -> str:
    """What is said beside jobs."""
    text = kept.text
    lines = lines_of(text, [kept.until] if kept.until else [])
    clip = kept.clip if has_file(kept.clip) else ""
    inside = draw("aside.html", kept=kept, text=text, lines=lines, clip=clip)
    card = {"job_id": kept.name, "parent": "", "title": text.title, "prompt": text.title}
    return _draw_article({**card, "tone": text.tone, "is_over": True}, inside, is_news=is_news)


def draw_gone(name: str) -> str:
    """What takes something off the pages that are open."""
    return draw("gone.html", name=name)


def draw_note(text: Text | None, times: Sequence[datetime] = ()) -> str:
    """What only its person reads, and only now; None takes it away."""
    lines = lines_of(text, times) if text is not None else []
    rows = rows_of(text, times) if text is not None else []
    return draw("note.html", text=text, lines=lines, rows=rows)
