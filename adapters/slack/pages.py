"""The pages that people ask for as Slack's blocks: usage, jobs, settings, help, one job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.slack import blocks as b
from adapters.slack import render
from adapters.slack.blocks import Block, Part
from adapters.slack.render import FACTS, KEEP, SENTENCE, Drawn, Row
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
#: How most people begin here; commands that are typed come after.
WAYS: tuple[tuple[str, str, str], ...] = (
    ("", "/ray", " alone opens a form, with every camera move in it."),
    ("", "/ray a red fox in snow --ar 9:16", " makes a clip of words; flags may stand behind."),
    (
        "Mention me in the thread of an image or a clip to start from it, or choose Animate with "
        "Ray in the menu of a message.",
        "",
        "",
    ),
    ("", "/ray story", " opens a form for a film of several shots."),
    ("The buttons under a clip go on from it; More… lists the rest with prices.", "", ""),
)
MOVES_NAMED = 4
_LABEL = re.compile(r"(?P<label>[A-Z][^:]*: )?(?P<commands>.*)", re.DOTALL)
_COMMAND = re.compile(r"(?P<typed>.*?)(?P<after> \(.*\))?", re.DOTALL)


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
    """The form, mentions and menus first; then what can be typed, as it is typed here."""
    text = words.help_text(models, stills)
    ways = [_code_line(*way) for way in WAYS]
    typed = [_commands(line) for line in text.lines if BETWEEN in line]
    lines = [*ways, *typed, *_moves_named(models)]
    said = (Row(weight=SENTENCE, look="said", parts=line) for line in lines)
    flags = whole([(b.said(_told(row)),) for row in text.table], LINES_CHARS)
    told = "\n".join(b.to_mrkdwn(row) for row in flags)
    above = render.to_drawn(
        render.fit([render.title_row(text.title), *said], MAX_CHARS - b.units(told) - 1)
    )
    return Drawn(text=f"{above.text}\n{told}", blocks=[*above.blocks, to_table(text.table)])


def _code_line(before: str, typed: str, after: str) -> tuple[Part, ...]:
    parts = (b.said(before), b.said(typed, code=True), b.said(after))
    return tuple(each for each in parts if each["text"])


def _commands(line: str) -> tuple[Part, ...]:
    """A line of commands as people type them here, so that nobody types them into a channel."""
    found = _LABEL.fullmatch(line)
    label, commands = (found["label"] or "", found["commands"]) if found else ("", line)
    parts: list[Part] = [b.said(label)] if label else []
    for at, each in enumerate(commands.split(BETWEEN)):
        typed = _COMMAND.fullmatch(each)
        said, after = (typed["typed"], typed["after"] or "") if typed else (each, "")
        before = BETWEEN if at else ""
        parts += _code_line(before, f"/ray {said}", after)
    return tuple(parts)


def _moves_named(models: Sequence[ModelCapabilities]) -> list[tuple[Part, ...]]:
    """A few camera moves, and where the others are."""
    every = list(dict.fromkeys(each for model in models for each in model.concepts))
    if not every:
        return []
    named, left = ", ".join(every[:MOVES_NAMED]), len(every) - MOVES_NAMED
    more = f" and {left} more, which the form lists" if left > 0 else ""
    return [_code_line(f"Camera moves, behind --camera: {named}{more}.", "", "")]


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
