"""Notices, receipts and refusals as Slack's blocks, cut to its limits. Sends nothing.

People's words stand in rich text and plain text only, where Slack reads no markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_never

from adapters.follow_ups import remix_of
from adapters.slack import blocks as b
from adapters.slack import buttons, labels
from adapters.slack.addresses import NAME
from adapters.slack.blocks import Block, Part, jump
from adapters.slack.labels import Told
from bot import notices as n
from bot import text as words
from bot.acts import FIRST_ROW
from bot.errors import BotError, Moderated
from bot.refs import JobId, MessageRef, Micros
from bot.studio import Receipt, Relative
from bot.text import Text, clean

__all__ = [
    "Drawn",
    "FileSpec",
    "Row",
    "draw",
    "draw_error",
    "draw_receipt",
    "draw_receipts",
    "draw_sentence",
    "fit",
    "line_of",
    "rows_of",
    "said_rows",
    "to_drawn",
]
#: Of a whole message, so that its text and each of its blocks fit.
MAX_CHARS = b.TEXT_CHARS
ALT_CHARS = 1000
TITLE_CHARS = 120
LINE_CHARS = 800
QUOTE_CHARS = 700
_USER = re.compile(r"[UW][A-Z0-9]{1,20}")


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """A file to send; `alt` is read aloud to those who cannot see it, `title` stands above it."""

    path: Path
    filename: str
    title: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A message; `text` is what notifications and screen readers tell of it."""

    text: str
    blocks: list[dict[str, Any]]
    file: FileSpec | None = None


# ---- lines that fit --------------------------------------------------------------------------

#: Never cut away: the title, what was charged, the job, the way to the clip.
KEEP = 9
SENTENCE, QUOTED, SETTLED, FACTS, REMARK = 5, 4, 3, 2, 1
Look = Literal["title", "quote", "said", "small"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line, how it looks, and its weight: where there is no room, the lightest go first."""

    weight: int
    look: Look
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The line in mrkdwn."""
        return ("> " if self.look == "quote" else "") + b.to_mrkdwn(self.parts)


def fit(rows: Iterable[Row], max_chars: int = MAX_CHARS) -> list[Row]:
    """The rows that together take at most `max_chars`."""
    kept = list(rows)
    while b.units("\n".join(row.text for row in kept)) > max_chars:
        weight = min(row.weight for row in kept)
        if weight == KEEP:
            break
        del kept[max(at for at, row in enumerate(kept) if row.weight == weight)]
    return kept


def to_drawn(
    rows: Sequence[Row], *, buttons: Sequence[Block] = (), file: FileSpec | None = None
) -> Drawn:
    """Rows that fit as a message."""
    text = "\n".join(row.text for row in rows)
    return Drawn(text=text, blocks=[*_to_blocks(rows), *buttons], file=file)


def _to_blocks(rows: Sequence[Row]) -> list[Block]:
    """Rows of one kind that follow each other share a block."""
    drawn: list[Block] = []
    at = 0
    while at < len(rows):
        kind = _kind(rows[at])
        end = next((i for i in range(at, len(rows)) if _kind(rows[i]) != kind), len(rows))
        same = rows[at:end]
        at = end
        if kind == "title":
            drawn += [b.section(row.parts) for row in same]
        elif kind == "small":
            drawn.append(b.small([row.parts for row in same]))
        else:
            drawn.append(b.rich(*_to_rich(same)))
    return drawn


def _kind(row: Row) -> str:
    return "rich" if row.look in ("quote", "said") else row.look


def _to_rich(rows: Sequence[Row]) -> list[Block]:
    quotes = [row.parts for row in rows if row.look == "quote"]
    lines = [row.parts for row in rows if row.look == "said"]
    drawn = [b.lines_of([each], "rich_text_quote") for each in quotes]
    return [*drawn, *([b.lines_of(lines)] if lines else [])]


# ---- words as parts --------------------------------------------------------------------------

_VERBS = "usage|jobs|show|cancel|settings|help|retry|redo|finish|confirm"
_QUOTED = rf"`(?P<quoted>(?:{_VERBS}|admin)(?: [\w-]+)?(?: \d+)?)`"
_TYPED = rf"{_QUOTED}|(?<=\bType )(?P<typed>{_VERBS})\b"


def line_of(text: str, *, times: Iterable[datetime] = ()) -> tuple[Part, ...]:
    """A line of ours that may quote others; commands and `times` as they are written here."""
    stamps = {words.moment(time): b.date(time) for time in times}
    spots = "|".join([*(f"(?:{re.escape(each)})" for each in stamps), _TYPED])
    parts: list[Part] = []
    shown, at = b.within(text, LINE_CHARS), 0
    for found in re.finditer(spots, shown):
        verb = found["quoted"] or found["typed"]
        parts += b.named(shown[at : found.start()])
        parts.append(b.said(f"/ray {verb}", code=True) if verb else stamps[found[0]])
        at = found.end()
    return (*parts, *b.named(shown[at:])) or (b.said(""),)


def said_rows(text: Text, *, times: Sequence[datetime] = ()) -> list[Row]:
    """A page's title, quote and lines. `times` are those its lines name."""
    quote = [quote_row(text.quote)] if text.quote else []
    lines = (line_of(line, times=times) for line in text.lines if line)
    rows = (Row(weight=SENTENCE, look="said", parts=line) for line in lines)
    return [title_row(text.title), *quote, *rows]


def title_row(title: str, *more: Part, first: Sequence[Part] = ()) -> Row:
    """What stands above all, and what goes beside it."""
    bold = b.said(b.within(title, LINE_CHARS) or "…", bold=True)
    return Row(weight=KEEP, look="title", parts=(*first, bold, *more))


def quote_row(words_of_others: str) -> Row:
    """What a person wrote, as they wrote it."""
    shown = b.said(b.within(words_of_others, QUOTE_CHARS))
    return Row(weight=QUOTED, look="quote", parts=(shown,))


# ---- notices ---------------------------------------------------------------------------------


def draw(notice: n.Notice, *, now: datetime) -> Drawn:
    """A notice as a message. Only a clip calls its requester, and a question who is asked."""
    if isinstance(notice, n.Operator):
        return _draw_operator(notice)
    if isinstance(notice, n.Digest):
        return _draw_digest(notice)
    rows = rows_of(notice, now=now, calls=_called(notice))
    return to_drawn(
        fit(rows),
        buttons=_buttons(notice),
        file=_file(notice) if isinstance(notice, n.WithFile) else None,
    )


def _called(notice: Told) -> str:
    asks, user = notice.about.requester, ""
    if isinstance(notice, n.ConsentAsked):
        user = notice.owner if notice.answer is None else ""
    elif isinstance(notice, n.Delivered):
        user = asks.user
    return user if asks.adapter == NAME and _USER.fullmatch(user) else ""


def rows_of(notice: Told, *, now: datetime | None = None, calls: str = "") -> list[Row]:
    """A notice's lines; without `now` nothing is foretold, without `calls` nobody is called."""
    text = words.describe(notice)
    ready = words.ready_at(notice, now) if now else None
    soon = [b.said(" · ready "), b.date(ready)] if ready else []
    whom = [b.call(calls), b.said(" ")] if calls else []
    quote = [quote_row(text.quote)] if text.quote else []
    rows = [title_row(text.title, *soon, first=whom), *quote]
    if isinstance(notice, n.Done | n.Reported | n.Gallery | n.Letter) and notice.clip:
        way = b.link(f"Go to the {words.thing(notice.about.work)}", jump(notice.clip))
        rows.append(Row(weight=KEEP, look="said", parts=(way,)))
    return [*rows, *(_to_row(notice, line) for line in words.lines_beside(notice, ready))]


def _to_row(notice: Told, line: str) -> Row:
    """A line of a notice's words, small where it is no sentence for the person."""
    told = notice.about
    original = notice.original_link if isinstance(notice, n.WithFile) else None
    if original and line.endswith(original):
        return Row(weight=KEEP, look="said", parts=(b.link("Original clip", original),))
    if line.endswith(f"job {told.job_id}"):
        return _small(KEEP, line + labels.beside(notice))
    if line == words.parameters(told.work):
        return _small(SETTLED, line)
    if told.parent is not None and line == words.parent_line(told.parent):
        return related_row(line, told.parent)
    if line in {clean(remark) for remark in told.remarks}:
        return _small(REMARK, line)
    if isinstance(notice, n.Delivered | n.Done):
        return _small(FACTS, line)
    if isinstance(notice, n.Failed | n.Cancelled) and line == words.charge_words(notice.charged):
        return Row(weight=KEEP, look="said", parts=line_of(line))
    by = notice.decided_by if isinstance(notice, n.Reported | n.Reviewed) else ""
    if by and line.endswith(f" Decided by {by}."):
        return Row(weight=SENTENCE, look="said", parts=b.named(line, by))
    times = filter(None, [words.open_until(notice)])
    return Row(weight=SENTENCE, look="said", parts=line_of(line, times=times))


def related_row(line: str, relative: n.Parent | n.Starred | Relative) -> Row:
    """A line that names another job, which leads to its message where there is one."""
    before, _, after = line.partition(relative.job_id)
    name = b.said(relative.job_id, code=True)
    if relative.message is not None:
        name = b.link(relative.job_id, jump(relative.message))
    parts = (b.said(before), name, b.said(f" {b.within(after, LINE_CHARS)}".rstrip()))
    return Row(weight=FACTS, look="small", parts=tuple(each for each in parts if each.get("text")))


def _small(weight: int, line: str) -> Row:
    return Row(weight=weight, look="small", parts=(b.said(b.within(line, LINE_CHARS)),))


def _buttons(notice: Told) -> list[Block]:
    """What can be done under a notice."""
    job, about = notice.about.job_id, labels.of_buttons(notice)
    if not isinstance(notice, n.Delivered):
        drawn = buttons.row(job, *_choices(notice), about=about)
        if isinstance(notice, n.ShotFailed) and drawn:
            again = buttons.button("redo", f"{job}:{notice.number}", about=f"shot {notice.number}")
            drawn[0]["elements"].insert(0, again)
        return drawn
    if not notice.acts:
        return buttons.row(job, "retry", *remix_of(notice.about.work), "delete", about=about)
    possible = {each.act for each in notice.acts}
    row = [each for each in FIRST_ROW if each in possible and each != "retry"]
    last = ["delete"] if "delete" in possible else []
    return buttons.row(job, *row, buttons.MORE, *last, about=about)


def _choices(notice: Told) -> tuple[str, ...]:
    """The buttons under a notice that brings its person no clip."""
    if isinstance(notice, words.Beside):
        return _decisions(notice)
    match notice:
        case n.ConfirmNeeded() | n.RulesFirst() | n.ConsentNeeded():
            return _before(notice)
        case n.Waiting(offer=offer) if offer is not None:
            return ("confirm", "cancel")
        case n.ShotFailed(can_finish=True):
            return ("finish", "cancel")
        case n.Received() | n.Accepted() | n.Queued() | n.Generating() | n.Waiting():
            return ("cancel",)
        case n.Filming() | n.ShotFailed():
            return ("cancel",)
        case n.Failed():
            return _after(notice)
        case n.Cancelled():
            return ("retry",)
        case n.Uncertain() | n.Fetching() | n.Reviewing() | n.Done() | n.Delivered():
            return ()
    assert_never(notice)


def _decisions(notice: words.Beside) -> tuple[str, ...]:
    """What those who run a place, or posted an image, can decide."""
    if isinstance(notice, n.ConsentAsked):
        return tuple(words.CONSENTS) if notice.answer is None else ()
    if isinstance(notice, n.Reported):
        return notice.choices
    return tuple(words.VERDICTS) if isinstance(notice, n.ReviewNeeded) else ()


def _before(notice: n.ConfirmNeeded | n.RulesFirst | n.ConsentNeeded) -> tuple[str, ...]:
    if isinstance(notice, n.ConfirmNeeded):
        return ("confirm", "cancel")
    is_asked = isinstance(notice, n.RulesFirst) and not notice.is_for_all
    return ("accept", "cancel") if is_asked else ("cancel",)


def _after(notice: n.Failed) -> tuple[str, ...]:
    if notice.is_for_all or notice.minded:
        return ("edit",) if notice.can_edit else ()
    again = ("retry",) if words.advises_retry(notice) else ()
    return (*again, *remix_of(notice.about.work))


def _file(notice: n.WithFile) -> FileSpec:
    work, is_poster = notice.about.work, notice.form == "poster"
    what, suffix = f"AI-generated {words.thing(work)}", Path(notice.filename).suffix
    if work.kind != "image":
        what, suffix = (f"Picture of an {what}", ".jpg") if is_poster else (what, ".mp4")
    settled = f" ({b.within(words.parameters(work), ALT_CHARS // 2)})"
    shown = clean(work.prompt, limit=ALT_CHARS)
    room = ALT_CHARS - b.units(what + settled) - 2
    name = Path(notice.filename).stem
    # The usual name tells what the clip shows.
    usual = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80].strip("-._") or "clip"
    return FileSpec(
        path=Path(notice.path),
        filename=usual + suffix,
        title=b.within(f"{what}: {shown}" if shown else what, TITLE_CHARS),
        alt=what + (f": {b.within(shown, room)}" if shown else "") + settled,
    )


def _draw_operator(notice: n.Operator) -> Drawn:
    """What the operator is told, with what they can do about it at once."""
    code = notice.code.partition(":")[0]
    acts = {"place": ("approve", "close"), "uncertain": ("charge", "release")}.get(code, ())
    rows = fit(said_rows(words.describe(notice)))
    return to_drawn(rows, buttons=buttons.row(notice.target, *acts))


def _draw_digest(notice: n.Digest) -> Drawn:
    """A place's week, with the way to the clips that people liked most; nobody is called."""
    text, ways = words.describe(notice), {words.starred_line(e): e for e in notice.starred}
    rows = [title_row(text.title)]
    for line in text.lines:
        said = Row(weight=KEEP, look="said", parts=line_of(line))
        rows.append(related_row(line, ways[line]) if line in ways else said)
    return to_drawn(fit(rows))


# ---- answers ---------------------------------------------------------------------------------


def draw_receipt(receipt: Receipt, status: MessageRef | None) -> Drawn:
    """The one private line under a request, with the way to its public status message."""
    more: list[Part] = [b.said(" · job "), b.said(receipt.job_id, code=True)]
    if status is not None:
        more += [b.said(" · "), b.link("Follow it here", jump(status))]
    return to_drawn([title_row(words.describe(receipt.notice).title, *more)])


def draw_receipts(asked: Sequence[tuple[Receipt, MessageRef | None]]) -> Drawn:
    """The one private line for what was asked for at once, with the way to each."""
    if len(asked) == 1:
        return draw_receipt(*asked[0])
    titles = {words.describe(receipt.notice).title for receipt, _ in asked}
    more = [b.said(f" · {title}") for title in titles if len(titles) == 1]
    for receipt, status in asked:
        name = b.said(receipt.job_id, code=True)
        way = b.link(receipt.job_id, jump(status)) if status is not None else name
        more += [b.said(" · "), way]
    return to_drawn([title_row(f"{len(asked)} at once", *more)])


def draw_error(
    error: BotError, job_id: JobId | None = None, *, charged: Micros | None = None
) -> Drawn:
    """A refusal or an error, for its person's eyes only."""
    text = words.describe_error(error, job_id, charged)
    edited = error.job_id if isinstance(error, Moderated) else ""
    return to_drawn(fit(said_rows(text, times=error.times)), buttons=buttons.row(edited, "edit"))


def draw_sentence(text: str, person: str = "") -> Drawn:
    """One sentence of ours, whatever it quotes, in which this person shows by their name."""
    parts = b.named(b.within(text, MAX_CHARS) or "…", person)
    return to_drawn([Row(weight=KEEP, look="said", parts=parts)])
