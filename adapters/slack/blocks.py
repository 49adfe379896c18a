"""What messages and forms of Slack are made of: literal words, times, links. Pure.

A line is a list of parts, as Slack's rich text has them, where no words are read as markup.
`to_mrkdwn` says the same where only mrkdwn will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from adapters.slack import addresses
from bot import text as words
from bot.refs import MessageRef
from bot.text import clean

Block = dict[str, Any]
Part = Mapping[str, Any]
#: What Slack takes in one text.
TEXT_CHARS = 3000
FULL, TIME, DAY = "{date_short_pretty} {time}", "{time_secs}", "{date_short_pretty}"

# ---- words of others -------------------------------------------------------------------------

# No backslash helps against these. No width between them does, or a sign that looks alike.
_LIVE = re.compile(r"^(?=>)|(?<=:)(?=[^\s:]+:)|(?<=:)(?=//)|(?<=\w\.)(?=[^\W\d_])|(?<=\w@)(?=\w)")
_MARKS = re.compile(r"[*~`]|(?<!\w)_|_(?!\w)")
_CHANNEL, _USER = "[CG][A-Z0-9]{8,20}", re.compile("[UW][A-Z0-9]{8,20}")
_ALIKE = {"*": "∗", "~": "∼", "`": "ˋ", "_": "ˍ"}


def units(text: str) -> int:
    """The length in UTF-16 units, of which there are never fewer than characters."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def escape(text: str) -> str:
    """The text with nothing in it that could call anybody or be a link with a label."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quiet(text: str) -> str:
    """One line for where mrkdwn is read, with no markup, link or emoji in it."""
    marked = _MARKS.sub(lambda found: _ALIKE[found[0]], text)
    return escape(_LIVE.sub("\u200b", marked))


def within(text: str, room: int) -> str:
    """The text on one line, cut so that it takes at most `room` units, in mrkdwn, too."""
    limit = room
    while (taken := units(quiet(shown := clean(text, limit=limit)))) > room:
        limit = limit * room // taken
    return shown


# ---- parts of a line -------------------------------------------------------------------------


def said(text: str, **style: bool) -> Part:
    """Words that show as they are; `bold` and `code` are styles."""
    return {"type": "text", "text": text, **({"style": style} if style else {})}


def date(when: datetime, form: str = FULL) -> Part:
    """A time that each reader sees in their own zone."""
    moment = words.moment(when)
    at = int(when.timestamp())
    return {"type": "date", "timestamp": at, "format": form, "fallback": moment}


def link(label: str, url: str) -> Part:
    """Words of ours that lead somewhere."""
    safe = re.sub(r"[<>|\s]", lambda found: quote(found[0]), url)
    return {"type": "link", "url": safe, "text": label}


def call(user: str) -> Part:
    """A person who is told of the message."""
    return {"type": "user", "user_id": user}


def named(text: str, person: str = "") -> tuple[Part, ...]:
    """Words of ours in which channels show by their names, and so does this person."""
    whom = rf"|\b{re.escape(person)}\b" if _USER.fullmatch(person) else ""
    parts: list[Part] = []
    for at, piece in enumerate(re.split(rf"((?<=channel ){_CHANNEL}\b{whom})", text)):
        if at % 2 and piece == person:
            parts.append(call(piece))
        elif at % 2:
            parts.append({"type": "channel", "channel_id": piece})
        elif piece:
            parts.append(said(piece))
    return tuple(parts)


def jump(message: MessageRef) -> str:
    """The link to a message, through Slack's own address.

    The usual permalink needs the workspace's domain, which our records do not hold, and without it
    leads those who are in several workspaces into the wrong one. `team` and `channel` are
    documented and lead into the channel at least; the rest names the message.
    """
    place = message.thread
    at = {"team": place.workspace, "channel": addresses.channel_of(place)}
    if ts := addresses.ts_of(message):
        at["message_ts"] = ts
    if parent := addresses.parent_of(place):
        at["thread_ts"] = parent
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in at.items())
    return f"https://slack.com/app_redirect?{asked}"


def to_mrkdwn(parts: Iterable[Part]) -> str:
    """The parts as mrkdwn, with nothing live in them but what we made so."""
    return "".join(map(_to_mrkdwn, parts))


def _to_mrkdwn(part: Part) -> str:
    match part["type"]:
        case "date":
            shown = f"{part['format']}|{escape(part['fallback'])}"
            return f"<!date^{part['timestamp']}^{shown}>"
        case "link":
            return f"<{part['url'].replace('&', '&amp;')}|{quiet(part['text'])}>"
        case "user":
            return f"<@{part['user_id']}>"
        case "channel":
            return f"<#{part['channel_id']}>"
    style = part.get("style", {})
    mark = "`" if style.get("code") else "*" if style.get("bold") else ""
    return f"{mark}{quiet(part['text'])}{mark}"


def to_plain(parts: Iterable[Part]) -> str | None:
    """The parts as plain text; None where they are more than words."""
    every = list(parts)
    is_plain = all(each["type"] == "text" and "style" not in each for each in every)
    return "".join(each["text"] for each in every) if is_plain else None


# ---- blocks ----------------------------------------------------------------------------------


def plain(text: str, room: int = TEXT_CHARS) -> Block:
    """A text object in which nothing is read as markup; Slack takes none that is empty."""
    return {"type": "plain_text", "text": within(text, room) or "…", "emoji": False}


def mrkdwn(text: str) -> Block:
    """A text object in mrkdwn, where Slack finds nothing that we did not mark."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def section(parts: Iterable[Part]) -> Block:
    """A line of its own, as large as words are."""
    return {"type": "section", "text": mrkdwn(to_mrkdwn(parts))}


def header(text: str) -> Block:
    """What stands above a part of a page."""
    return {"type": "header", "text": plain(text, 150)}


def rich(*elements: Block) -> Block:
    """Rich text of sections, quotes, lists or tables."""
    return {"type": "rich_text", "elements": list(elements)}


def lines_of(lines: Sequence[Sequence[Part]], kind: str = "rich_text_section") -> Block:
    """Lines, one under the other, as one element of rich text."""
    parts: list[Part] = []
    for line in lines:
        parts += [said("\n"), *line] if parts else line
    # Slack takes no words that are empty, and no element without any.
    shown = [each for each in parts if each.get("text") != ""]
    return {"type": kind, "elements": shown or [said("…")]}


def bullets(lines: Sequence[Sequence[Part]]) -> Block:
    """Lines as a list."""
    return {
        "type": "rich_text_list",
        "style": "bullet",
        "elements": [lines_of([line]) for line in lines],
    }


def small(lines: Sequence[Sequence[Part]]) -> Block:
    """Small grey lines."""
    shown = [to_plain(line) for line in lines]
    if None in shown:
        text = mrkdwn("\n".join(to_mrkdwn(line) for line in lines))
    else:
        told = "\n".join(each for each in shown if each is not None)
        text = {"type": "plain_text", "text": told, "emoji": False}
    return {"type": "context", "elements": [text]}
