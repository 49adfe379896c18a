"""Pages that one person reads: usage, jobs, one job, help, and a place's rules. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.slack import blocks, render
from adapters.slack.blocks import Block
from adapters.slack.render import Drawn, jump, typed
from bot import notices as n
from bot import text as words
from bot.ports import ModelCapabilities
from bot.refs import money
from bot.studio import JobLine, Shown
from bot.text import Text, clean

PROMPT_CHARS = 80
MOVES_SHOWN = 12
WAYS = (
    "/ray and words: a clip in this channel. /ray alone: a form, with images if you like.",
    "Animate with Ray, in the menu of a message with an image: that image in motion.",
    "Mention me in the thread of an image, or of a clip, to start from it.",
    "--private: the clip comes by direct message. /ray admin: for those who run this workspace.",
)


def draw_text(text: Text, *, times: Sequence[datetime] = ()) -> Drawn:
    """A page: title, quote, table, lines. `times` are those its lines name."""
    drawn = [blocks.title(text.title)]
    if text.quote:
        drawn.append(blocks.quote(text.quote))
    if text.table:
        drawn.append(blocks.table(text.table))
    lines = [typed(line) for line in text.lines if line]
    drawn += blocks.timed(lines, times)
    return Drawn(text=blocks.fallback(text.title, *lines), blocks=drawn)


def draw_help(models: Sequence[ModelCapabilities]) -> Drawn:
    """What can be done here, and what can be typed."""
    page = draw_text(words.help_text(models))
    return Drawn(
        text=page.text, blocks=[page.blocks[0], *blocks.timed(WAYS, ()), *page.blocks[1:]]
    )


def draw_jobs(lines: Sequence[JobLine], *, page: int = 1) -> Drawn:
    """A page of one's own jobs, with the way to each."""
    text = words.describe_jobs(lines)
    if not lines:
        return draw_text(text)
    more = f" · page {page}" if page > 1 else ""
    drawn = [blocks.title(text.title, after=more), *(to_line(line) for line in lines)]
    return Drawn(text=blocks.fallback(text.title), blocks=drawn)


def to_line(line: JobLine, *more: Block) -> Block:
    """One job in a list: its words as they were written, its facts, and the way to it."""
    way = f" · {blocks.link('open', jump(line.message))}" if line.message else ""
    facts = f"`{line.job_id}` · {line.state} · {money(line.price)}"
    facts += f" · {blocks.stamp(line.created_at)}{way}"
    words_of_it = blocks.plain(clean(line.prompt, limit=PROMPT_CHARS) or "no words", 100)
    elements = [blocks.marked(facts, blocks.CONTEXT_CHARS), words_of_it, *more]
    return {"type": "context", "elements": elements}


def draw_shown(shown: Shown, *, now: datetime) -> Drawn:
    """One job in full: its words, its moves and the way to its message; nobody is called."""
    assert not isinstance(shown.notice, n.Operator)  # It is about no job of anybody's.
    text = words.describe(shown.notice)
    drawn = render.draw(shown.notice, now=now)
    kept = [each for each in drawn.blocks[1:] if each["type"] != "actions"]
    found: list[Block] = [blocks.title(text.title), *kept]
    if shown.events:
        told = [*shown.events[:1], *shown.events[1:][-MOVES_SHOWN:]]
        moves = (f"{blocks.escape(clean(what, limit=40))} {blocks.stamp(at)}" for at, what in told)
        found.append(blocks.small_marked(" · ".join(moves)))
    if shown.line.message is not None and not isinstance(shown.notice, n.Done):
        way = blocks.link("Go to the message", jump(shown.line.message))
        found.append(blocks.small_marked(way))
    return Drawn(text=blocks.fallback(text.title, text.quote, shown.line.job_id), blocks=found)
