"""Block Kit's building stones, within its limits. Words of people stay words. Pure.

Limits are those of https://docs.slack.dev/reference/block-kit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from adapters.slack.addresses import action_id
from bot.text import Table, clean, moment

Block = dict[str, Any]
Style = Literal["primary", "danger"]
SECTION_CHARS = 3000
CONTEXT_CHARS = 2000
LABEL_CHARS = 75
LINE_CHARS = 500
CELL_CHARS = 48
TABLE_CHARS = 2800
TEXT_CHARS = 4000


def escape(text: str) -> str:
    """Text in which Slack finds no mention, link or special word; for our own formatting."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fallback(*parts: str) -> str:
    """A message's text, as it is notified and read aloud; its blocks say the same."""
    room = TEXT_CHARS
    shown = escape(text := " · ".join(part for part in parts if part))
    while len(shown) > TEXT_CHARS:
        room = room * TEXT_CHARS // len(shown) - 1
        shown = escape(clean(text, limit=room))
    return shown


def stamp(when: datetime, *, is_short: bool = False) -> str:
    """A time as each reader's own clock shows it."""
    form = "{time}" if is_short else "{date_short_pretty} {time}"
    return f"<!date^{int(when.timestamp())}^{form}|{escape(moment(when))}>"


# ---- text ------------------------------------------------------------------------------------


def plain(text: str, limit: int) -> Block:
    """Text that shows as it is."""
    return {"type": "plain_text", "text": clean_lines(text, limit) or " ", "emoji": False}


def clean_lines(text: str, limit: int) -> str:
    """The lines of a text, each cleaned, cut to so many characters in all."""
    lines = (clean(line, limit=LINE_CHARS) for line in text.split("\n"))
    shown = "\n".join(line for line in lines if line)
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def marked(text: str, limit: int = SECTION_CHARS) -> Block:
    """Text of our own with Slack's marks in it; what others wrote in it is escaped."""
    assert len(text) <= limit, len(text)
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def section(text: str) -> Block:
    """A paragraph as it is."""
    return {"type": "section", "text": plain(text, SECTION_CHARS)}


def title(text: str, *, before: str = "", after: str = "") -> Block:
    """A bold line; what stands before and after it is marked already."""
    bold = escape(clean(text, limit=200)).replace("*", "∗")
    return {"type": "section", "text": marked(f"{before}*{bold}*{after}")}


def quote(text: str) -> Block:
    """What somebody wrote, word for word."""
    words = {"type": "text", "text": clean(text, limit=LINE_CHARS) or " "}
    return {"type": "rich_text", "elements": [{"type": "rich_text_quote", "elements": [words]}]}


def small(*lines: str) -> Block:
    """Facts in small type."""
    return {"type": "context", "elements": [plain("\n".join(lines), CONTEXT_CHARS)]}


def small_marked(text: str) -> Block:
    """A link or a time of our own in small type."""
    return {"type": "context", "elements": [marked(text, CONTEXT_CHARS)]}


def link(label: str, url: str) -> str:
    """A link under our own words; nothing in an address can end it."""
    safe = escape(url).replace("|", "%7C")
    return f"<{safe}|{escape(label)}>"


def timed(lines: Iterable[str], times: Iterable[datetime]) -> list[Block]:
    """Lines of ours; these times, where they are named, each reader sees by their own clock."""
    known, said = list(times), []
    for line in lines:
        shown = escape(clean(line, limit=LINE_CHARS))
        for time in known:
            shown = shown.replace(escape(moment(time)), stamp(time))
        said.append(shown)
    return [{"type": "section", "text": marked(part)} for part in _packed(said, SECTION_CHARS)]


def _packed(lines: Sequence[str], room: int) -> list[str]:
    """The lines in as few pieces as fit."""
    pieces: list[str] = []
    for line in lines:
        if pieces and len(pieces[-1]) + len(line) < room:
            pieces[-1] += f"\n{line}"
        else:
            pieces.append(line)
    return [each for each in pieces if each]


# ---- tables ----------------------------------------------------------------------------------


def table(rows: Table) -> Block:
    """A table in type of one width, cut by whole rows; numbers to the right."""
    cells = [[clean(cell, limit=CELL_CHARS) for cell in row] for row in rows]
    columns = [_aligned(column) for column in zip(*cells, strict=True)]
    lines = ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
    words = {"type": "text", "text": _whole(lines, TABLE_CHARS) or " "}
    block = {"type": "rich_text_preformatted", "elements": [words]}
    return {"type": "rich_text", "elements": [block]}


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(_width, column))
    is_number = all(re.match(r"[$0-9]", cell) for cell in column[1:])
    spaced = [(" " * (width - _width(cell)), cell) for cell in column]
    return [space + cell if is_number else cell + space for space, cell in spaced]


def _width(text: str) -> int:
    """Columns in a type of one width, where East Asian letters take two."""
    seen = (each for each in text if unicodedata.category(each) not in {"Mn", "Me", "Cf"})
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in seen)


def _whole(lines: Sequence[str], room: int) -> str:
    shown = "\n".join(lines)
    for count in range(len(lines) - 1, -1, -1):
        if len(shown) <= room:
            break
        shown = "\n".join([*lines[:count], f"… and {len(lines) - count} more"])
    return shown


# ---- buttons ---------------------------------------------------------------------------------


def button(label: str, action: str, target: str, *, style: Style | None = None) -> Block:
    """A button that says all it needs in its id, so that it works after any restart."""
    drawn: Block = {
        "type": "button",
        "text": plain(label, LABEL_CHARS),
        "action_id": action_id(action, target),
    }
    if style is not None:
        drawn["style"] = style
    return drawn


def asking(drawn: Block, question: str, *, yes: str) -> Block:
    """The same, which asks before it is done."""
    confirm = {
        "title": plain("Are you sure?", 100),
        "text": plain(question, 300),
        "confirm": plain(yes, 30),
        "deny": plain("Keep it", 30),
        "style": "danger",
    }
    return {**drawn, "confirm": confirm}


def actions(*elements: Block) -> Block:
    """A row of buttons."""
    return {"type": "actions", "elements": list(elements)}
