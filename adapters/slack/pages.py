"""The pages that people ask for as Slack's blocks: usage, jobs, settings, help, one job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.slack import blocks as b
from adapters.slack import render
from adapters.slack.blocks import Block, Part
from adapters.slack.render import FACTS, KEEP, Drawn, Row
from bot import notices as n
from bot import text as words
from bot.ports import ModelCapabilities
from bot.studio import Invitation, JobLine, Shown
from bot.text import Table, Text, clean, line_price

CELL_CHARS = 48
PROMPT_CHARS = 120
MOVES_SHOWN = 12
MAX_CHARS = b.TEXT_CHARS
#: For the lines under a long table; and what it takes to say that there are more.
LINES_CHARS, MORE_CHARS = 1200, 24
BETWEEN = " · "
HELP = (
    "Mention me in the thread of an image or a clip to start from it, or choose Animate with Ray "
    "in the menu of a message. /ray alone opens a form, and /ray story one for a film. The "
    "buttons under a clip go on from it; More… lists the rest with prices."
)


# ---- pages of lines and tables ---------------------------------------------------------------


def draw_text(text: Text, *, times: Sequence[datetime] = ()) -> Drawn:
    """A page: title, quote, table, lines. `times` are those its lines name."""
    if not text.table:
        return render.to_drawn(render.fit(render.said_rows(text, times=times)))
    above = render.to_drawn(render.said_rows(replace(text, lines=(), table=())))
    room, every = (
        MAX_CHARS - b.units(above.text) - 2,
        [(b.said(_told(row)),) for row in text.table],
    )
    # A short table leaves its room to the lines.
    spare = room - sum(b.units(b.to_mrkdwn(row)) + 1 for row in every)
    said = [render.line_of(line, times=times) for line in text.lines if line]
    lines = whole(said, max(LINES_CHARS, spare))
    below = "\n".join(b.to_mrkdwn(line) for line in lines)
    told = whole(every, room - b.units(below))
    rows = "\n".join(b.to_mrkdwn(line) for line in told)
    return Drawn(
        text="\n".join(each for each in (above.text, rows, below) if each),
        blocks=[
            *above.blocks,
            to_table(text.table),
            *([b.rich(b.lines_of(lines))] if lines else []),
        ],
    )


def draw_invitation(invitation: Invitation) -> Drawn:
    """A link to the desk, which is not written out, so that nothing opens it for a preview."""
    rows = render.said_rows(words.describe_invitation(invitation), times=[invitation.ends_at])
    way = b.link("Open the desk", invitation.link)
    return render.to_drawn([*rows, Row(weight=KEEP, look="said", parts=(way,))])


def whole(lines: Sequence[Sequence[Part]], room: int) -> list[Sequence[Part]]:
    """As many lines as have room, and how many more there are."""
    sizes = [b.units(b.to_mrkdwn(line)) + 1 for line in lines]
    if sum(sizes) <= room:
        return list(lines)
    taken = shown = 0
    while taken + sizes[shown] + MORE_CHARS <= room:
        taken += sizes[shown]
        shown += 1
    return [*lines[:shown], (b.said(f"… and {len(lines) - shown} more"),)]


def to_table(table: Table) -> Block:
    """A table in letters of one width, cut by whole rows; numbers to the right."""
    cells = tuple(tuple(clean(cell, limit=CELL_CHARS) for cell in row) for row in table)
    shown = whole([(b.said(row),) for row in words.aligned(cells)], MAX_CHARS)
    return b.rich(b.lines_of(shown, "rich_text_preformatted"))


def _told(row: Sequence[str]) -> str:
    """A row of a table for those who hear it."""
    return BETWEEN.join(clean(cell, limit=CELL_CHARS) for cell in row if cell)


def draw_help(
    models: Sequence[ModelCapabilities], stills: Sequence[ModelCapabilities] = ()
) -> Drawn:
    """What can be typed, and what Slack has buttons and menus for."""
    text = words.help_text(models, stills)
    return draw_text(replace(text, lines=(*text.lines, HELP)))


def draw_choices(title: str, *choices: str) -> Drawn:
    """What can be typed, word for word, one on a line."""
    head = render.to_drawn([render.title_row(title)])
    every: list[Sequence[Part]] = [(b.said(each, code=True),) for each in choices]
    listed = whole(every, MAX_CHARS - b.units(head.text) - 1)
    told = "\n".join(b.to_mrkdwn(each) for each in listed)
    return Drawn(text=f"{head.text}\n{told}", blocks=[*head.blocks, b.rich(b.bullets(listed))])


# ---- jobs ------------------------------------------------------------------------------------


def draw_shown(shown: Shown, *, now: datetime) -> Drawn:
    """One job in full: its words, its moves and the way to its message; nobody is called."""
    assert not isinstance(shown.notice, n.Jobless)  # It is about no job of anybody's.
    rows = render.rows_of(shown.notice, now=now)
    for parent in shown.parents:
        # The nearest stands among the notice's own lines, where there is one.
        if shown.notice.about.parent is None or parent is not shown.parents[0]:
            rows.append(render.related_row(words.parent_line(parent), parent))
    rows += [render.related_row(words.child_line(each), each) for each in shown.children]
    if shown.events:
        rows.append(Row(weight=FACTS, look="small", parts=_moves(shown.events)))
    if shown.line.message is not None and not isinstance(shown.notice, n.Done):
        way = b.link("Go to the message", b.jump(shown.line.message))
        rows.append(Row(weight=KEEP, look="said", parts=(way,)))
    return render.to_drawn(render.fit(rows))


def _moves(events: Sequence[tuple[datetime, str]]) -> tuple[Part, ...]:
    """A job's moves in one line; of very many the first and the last ones."""
    parts: list[Part] = []
    for at, (when, what) in enumerate([*events[:1], *events[1:][-MOVES_SHOWN:]]):
        between = BETWEEN if at else ""
        parts.append(b.said(f"{between}{b.within(what, 40)} "))
        parts.append(b.date(when, b.TIME if at else b.FULL))
    return tuple(parts)


def draw_jobs(lines: Sequence[JobLine], *, page: int) -> Drawn:
    """A page of one's own jobs with the way to each."""
    text = words.describe_jobs(lines)
    if not lines:
        return draw_text(text)
    title = render.title_row(text.title, *([b.said(f" · page {page}")] if page > 1 else []))
    head = render.to_drawn([title])
    listed = to_list(lines, MAX_CHARS - b.units(head.text) - 1)
    told = "\n".join(b.to_mrkdwn(each) for each in listed)
    return Drawn(text=f"{head.text}\n{told}", blocks=[*head.blocks, b.rich(b.bullets(listed))])


def to_list(lines: Sequence[JobLine], room: int) -> list[Sequence[Part]]:
    """Jobs as lines of a list, every one with the way to its message."""
    bare = sum(b.units(b.to_mrkdwn(job_parts(line, 0))) + 1 for line in lines)
    each = min((room - bare) // max(len(lines), 1) - 3, PROMPT_CHARS)
    return whole([job_parts(line, each) for line in lines], room)


def job_parts(line: JobLine, room: int) -> list[Part]:
    """A job in one line: what it is, where it stands, what it cost, and as much of its prompt."""
    parts: list[Part] = [
        b.said(line.job_id, code=True),
        b.said(f" · {clean(line.state)} · {line_price(line)} · "),
        b.date(line.created_at, b.DAY),
    ]
    if line.message is not None:
        parts += [b.said(BETWEEN), b.link("open", b.jump(line.message))]
    if room > len(BETWEEN) and clean(line.prompt):
        # Last, so that words from right to left turn nothing else around.
        parts.append(b.said(BETWEEN + b.within(line.prompt, room)))
    return parts
