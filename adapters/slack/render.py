"""Notices and refusals as Slack messages: text and blocks. Sends nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import assert_never

from adapters.slack import blocks
from adapters.slack.addresses import channel_of, parent_of, ts_of
from adapters.slack.blocks import Block
from bot import notices as n
from bot import text as words
from bot.errors import BotError, QuotaExceeded
from bot.refs import JobId, MessageRef, Micros
from bot.studio import Receipt
from bot.text import clean

Told = words.Running | n.Delivered | n.Done | n.Failed | n.Cancelled
ALT_CHARS = 1000
#: Longer targets no button takes.
TARGET_CHARS = 80
_USER = re.compile(r"[UW][A-Z0-9]+")
_VERBS = "usage|jobs|show|cancel|settings|help"
#: What a person reads as a command of ours, as it is typed in Slack.
_TYPED = re.compile(rf"`((?:{_VERBS})(?: r-[0-9a-z]+)?)`|(?<=\bType )({_VERBS})\b")


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """A file to upload; `title` is shown with it, `alt` is read aloud."""

    path: Path
    filename: str
    title: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A message: `text` is what is notified and read aloud, `blocks` what is seen."""

    text: str
    blocks: list[Block]
    file: FileSpec | None = None


def jump(message: MessageRef) -> str:
    """The link to a message; Slack leads on to the reader's own workspace."""
    ts = ts_of(message).replace(".", "")
    channel, parent = channel_of(message.thread), parent_of(message.thread)
    inner = f"?thread_ts={parent}&cid={channel}" if parent else ""
    return f"https://slack.com/archives/{channel}/p{ts}{inner}"


def typed(line: str) -> str:
    """A line of ours, in which what can be typed is written as it is in Slack."""
    return _TYPED.sub(lambda verb: f"/ray {verb[1] or verb[2]}", line)


# ---- notices ---------------------------------------------------------------------------------


def draw(notice: n.Notice, *, now: datetime) -> Drawn:
    """A notice as a message. Only a clip calls its requester."""
    if isinstance(notice, n.Operator):
        return _draw_operator(notice)
    text = words.describe(notice)
    user = notice.about.requester.user
    is_clip = isinstance(notice, n.Delivered)
    call = f"<@{user}> " if is_clip and _USER.fullmatch(user) else ""
    drawn = [blocks.title(text.title, before=call, after=_ready_words(notice, now))]
    if text.quote:
        drawn.append(blocks.quote(text.quote))
    drawn += _said(notice, text.lines)
    if (buttons := _choices(notice)) is not None:
        drawn.append(buttons)
    return Drawn(
        text=call + blocks.fallback(text.title, text.quote, notice.about.job_id),
        blocks=drawn,
        file=_file(notice) if isinstance(notice, n.Delivered) else None,
    )


def _said(notice: Told, lines: Sequence[str]) -> list[Block]:
    """Sentences first, then facts in small type, then the ways to what is elsewhere."""
    sentences: list[str] = []
    facts: list[str] = []
    for line in lines:
        if _is_shown_otherwise(notice, line):
            continue
        (facts if _is_fact(notice, line) else sentences).append(typed(line))
    drawn = [blocks.section("\n".join(sentences))] if sentences else []
    if facts:
        made = ["AI-generated"] if isinstance(notice, n.Delivered) else []
        drawn.append(blocks.small(*facts, *made))
    if isinstance(notice, n.Delivered) and notice.original_link:
        drawn.append(blocks.small_marked(blocks.link("Original clip", notice.original_link)))
    if isinstance(notice, n.Done) and notice.clip is not None:
        drawn.append(blocks.small_marked(blocks.link("Go to the clip", jump(notice.clip))))
    return drawn


def _is_fact(notice: Told, line: str) -> bool:
    """Whether a line is no sentence to its person."""
    told = notice.about
    if line == words.parameters(told.work) or line.endswith(f"job {told.job_id}"):
        return True
    if isinstance(notice, n.Delivered | n.Done):
        return True
    return line in {clean(remark) for remark in told.remarks}


def _is_shown_otherwise(notice: Told, line: str) -> bool:
    """Whether a time, a link or a button says it better here."""
    match notice:
        case n.Queued(expected=expected) if expected is not None:
            return words.about(expected) in line
        case n.Failed():
            return _is_retry_advice(notice, line)
        case n.Delivered(original_link=url) if url:
            return line.endswith(url)
    return False


def _is_retry_advice(notice: n.Failed, line: str) -> bool:
    return line.endswith(f"retry {notice.about.job_id}")


def _ready_words(notice: Told, now: datetime) -> str:
    """When the clip is expected, unless that is past, or nobody can tell."""
    match notice:
        case n.Queued(expected=expected) if expected is not None:
            ready = now + expected
        case n.Generating(since=since, expected=expected, is_slow=False) if expected is not None:
            ready = since + expected
        case _:
            return ""
    return f" · ready about {blocks.stamp(ready, is_short=True)}" if ready > now else ""


def _choices(notice: Told) -> Block | None:
    job = notice.about.job_id
    cancel = blocks.button("Cancel", "cancel", job)
    retry, remix = blocks.button("Retry", "retry", job), blocks.button("Remix", "remix", job)
    match notice:
        case n.ConfirmNeeded():
            return blocks.actions(
                blocks.button("Confirm", "confirm", job, style="primary"), cancel
            )
        case n.Waiting(offer=offer) if offer is not None:
            return blocks.actions(
                blocks.button("Confirm", "confirm", job, style="primary"), cancel
            )
        case n.Received() | n.Accepted() | n.Queued() | n.Generating() | n.Waiting():
            return blocks.actions(cancel)
        case n.Delivered():
            delete = blocks.button("Delete", "delete", job, style="danger")
            sure = blocks.asking(delete, "The clip and its file are removed.", yes="Delete")
            return blocks.actions(retry, remix, sure)
        case n.Failed():
            advice = (_is_retry_advice(notice, line) for line in words.describe(notice).lines)
            return blocks.actions(*([retry] if any(advice) else []), remix)
        case n.Cancelled():
            return blocks.actions(retry)
        case n.Uncertain() | n.Fetching() | n.Done():
            return None
    assert_never(notice)


def _file(notice: n.Delivered) -> FileSpec:
    work, is_poster = notice.about.work, notice.form == "poster"
    what = "Picture of an AI-generated clip" if is_poster else "AI-generated clip"
    settled = words.parameters(work)
    shown = clean(work.prompt, limit=ALT_CHARS - len(what) - len(settled) - 8)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(notice.filename).stem)[:80].strip("-._")
    name = (plain or "clip") + (".jpg" if is_poster else ".mp4")
    alt = what + (f": {shown}" if shown else "") + f" ({settled})"
    return FileSpec(path=Path(notice.path), filename=name, title=name, alt=alt[:ALT_CHARS])


def _draw_operator(notice: n.Operator) -> Drawn:
    """What the operator is told, with what they can do about it at once."""
    text = words.describe(notice)
    code, _, target = notice.code.partition(":")
    acts = {"place": ("approve", "close"), "uncertain": ("charge", "release")}.get(code, ())
    drawn = [blocks.title(text.title), blocks.section("\n".join(text.lines))]
    if acts and 0 < len(target) <= TARGET_CHARS:
        drawn.append(blocks.actions(*(blocks.button(a.capitalize(), a, target) for a in acts)))
    return Drawn(text=blocks.fallback(text.title, *text.lines), blocks=drawn)


# ---- answers for one person ------------------------------------------------------------------


def draw_receipt(receipt: Receipt, status: MessageRef | None) -> Drawn:
    """The one private line under a request, with the way to its status message."""
    title = words.describe(receipt.notice).title
    more = f" · job {receipt.job_id}"
    way = f" · {blocks.link('Follow it here', jump(status))}" if status else ""
    return Drawn(
        text=blocks.fallback(title, f"job {receipt.job_id}"),
        blocks=[blocks.title(title, after=more + way)],
    )


def draw_sentence(sentence: str) -> Drawn:
    """One sentence of ours."""
    return Drawn(text=blocks.fallback(sentence), blocks=[blocks.section(sentence)])


def draw_error(
    error: BotError, job_id: JobId | None = None, *, charged: Micros | None = None
) -> Drawn:
    """A refusal or an error, for its person's eyes only."""
    text = words.describe_error(error, job_id, charged)
    lines = [typed(line) for line in text.lines]
    times = [error.resets_at] if isinstance(error, QuotaExceeded) and error.resets_at else []
    return Drawn(
        text=blocks.fallback(text.title, *lines),
        blocks=[blocks.title(text.title), *blocks.timed(lines, times)],
    )
