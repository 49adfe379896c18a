"""Notices, pages and refusals as Discord messages, escaped and cut to its limits. Sends nothing.

Messages are of the classic kind, without embeds: they need no permission beyond sending.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from adapters.discord.choices import Button, Told, buttons_for, choices_of
from bot import notices as n
from bot import text as words
from bot.errors import BotError
from bot.refs import JobId, MessageRef, Micros
from bot.request import Work, is_spoiler
from bot.studio import AuditLine, Invitation, JobLine, Receipt, Relative, Shown
from bot.text import Table, Text, clean

MAX_CHARS = 2000
ALT_CHARS = 1024
#: So many lines of `draw_jobs` fit into a message, each with a link and the start of its prompt.
JOBS_A_PAGE = 10
TARGET_CHARS = 60
CELL_CHARS = 48
LINE_CHARS = 800
QUOTE_CHARS = 700
PROMPT_CHARS = 120
MOVES_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """A file to send; `alt` is what is read aloud to those who cannot see it."""

    path: Path
    filename: str
    alt: str
    is_spoiler: bool


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A message; of the people it names, only those in `pings` are called."""

    content: str
    buttons: tuple[Button, ...] = ()
    file: FileSpec | None = None
    pings: tuple[int, ...] = ()


# ---- words of others -------------------------------------------------------------------------

# What can begin markup or a link anywhere in a line, and what can at its start.
_MARKS = re.compile(r"[\\*_~|`<>\[/]|:(?=\S)|^[#+-]|(?<=\d)\.(?=\s)")
# A backslash hides a mention from the eye; whether also from those it calls is not promised.
_CALLS = re.compile(r"(?<=<)@|@(?=everyone|here)", re.IGNORECASE)
_JOB = re.compile(r"\bjob (r-[0-9a-z]+)$")
#: Where a page of ours names a channel, or who decided: Discord shows their names.
_NAMED = re.compile(r"(?<=channel )([0-9]{15,20})\b|(?<=\. Decided by )([0-9]{15,20})(?=\.$)")
_VERBS = "usage|jobs|show|cancel|settings|help"
_TYPED = re.compile(rf"\\`((?:{_VERBS})(?: r-[0-9a-z]+)?)\\`|(?<=\bType )({_VERBS})\b")
#: Commands that have no slash command here; a message that mentions the bot can hold them.
_MENTIONED = re.compile(r"\\`((?:retry|redo|finish|confirm) r-[0-9a-z]+(?: [0-9]+)?)\\`")


def units(text: str) -> int:
    """The length in UTF-16 units. Discord counts code points, of which there are never more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def escape(text: str) -> str:
    """One line that shows as it is: no markup, no link or preview, and nobody is called."""
    return _MARKS.sub(r"\\\g<0>", _CALLS.sub("@\u200b", text))


def within(text: str, room: int, dress: Callable[[str], str] = escape) -> str:
    """The text on one line, dressed, cut so that it takes at most `room` units."""
    limit = room
    while units(shown := dress(clean(text, limit=limit))) > room:
        limit = limit * room // units(shown)
    return shown


def _line(text: str, *, times: Iterable[datetime] = ()) -> str:
    """A line of ours that may quote others; commands and `times` as they are written here."""
    shown = within(text, LINE_CHARS)
    for time in times:
        shown = shown.replace(escape(words.moment(time)), stamp(time, "f"))
    shown = _NAMED.sub(lambda found: f"<#{found[1]}>" if found[1] else f"<@{found[2]}>", shown)
    shown = _TYPED.sub(lambda verb: f"`/ray {verb[1] or verb[2]}`", shown)
    shown = _MENTIONED.sub(r"mention Raybot with `\1`", shown)
    return _JOB.sub(r"job `\1`", shown)


def stamp(when: datetime, style: Literal["R", "f", "T", "d"]) -> str:
    """A time that each reader sees in their own zone; `R` is relative and goes on by itself."""
    return f"<t:{int(when.timestamp())}:{style}>"


def jump(message: MessageRef) -> str:
    """The link to a message."""
    place = message.thread
    inner = place.thread if place.thread and place.thread.isdecimal() else place.channel
    # An answer that only its person sees has no link of its own.
    own = f"/{message.message}" if message.message.isdecimal() else ""
    return f"https://discord.com/channels/{place.workspace}/{inner}{own}"


def _link(label: str, url: str) -> str:
    # The angle brackets keep Discord from fetching it for a preview.
    safe = re.sub(r"[<>\s]", lambda found: quote(found[0]), url)
    return f"[{label}](<{safe}>)"


# ---- lines that fit --------------------------------------------------------------------------

#: A line and its weight: where there is no room, those of least weight go first.
Row = tuple[int, str]
#: Never cut away: the title, what was charged, the job, the way to the clip.
KEEP = 9
SENTENCE, QUOTED, SETTLED, FACTS, REMARK = 5, 4, 3, 2, 1


def fit(rows: Iterable[Row], max_chars: int) -> str:
    """The rows as a message of at most `max_chars`, without those that do not fit."""
    kept = list(rows)
    while units("\n".join(text for _, text in kept)) > max_chars:
        weight = min(weight for weight, _ in kept)
        if weight == KEEP:
            break
        del kept[max(at for at, row in enumerate(kept) if row[0] == weight)]
    return "\n".join(text for _, text in kept)


def _whole(lines: Sequence[str], room: int, *, mark: str = "") -> str:
    """As many lines as have room, and how many more there are."""
    shown = "\n".join(lines)
    for count in range(len(lines) - 1, -1, -1):
        if units(shown) <= room:
            break
        shown = "\n".join([*lines[:count], f"{mark}… and {len(lines) - count} more"])
    return shown


# ---- notices ---------------------------------------------------------------------------------


def draw(
    notice: n.Notice, *, now: datetime, max_chars: int = MAX_CHARS, is_public: bool = False
) -> Drawn:
    """A notice as a message. Only a clip calls its requester, and a question who is asked.

    Where it `is_public`, what is under way names its requester, who is not called by that.
    """
    if isinstance(notice, n.Operator):
        return draw_operator(notice)
    if isinstance(notice, n.Digest):
        return draw_digest(notice)
    user = _called(notice)
    pings = (int(user),) if user.isdecimal() else ()
    calls = "".join(f"<@{each}> " for each in pings)
    return Drawn(
        content=calls + fit(_rows(notice, now, is_public=is_public), max_chars - units(calls)),
        buttons=choices_of(notice),
        file=_file(notice) if isinstance(notice, n.WithFile) else None,
        pings=pings,
    )


def _called(notice: Told) -> str:
    if isinstance(notice, n.ConsentAsked):
        return notice.owner if notice.answer is None else ""
    return notice.about.requester.user if isinstance(notice, n.Delivered) else ""


def _rows(notice: Told, now: datetime | None, *, is_public: bool = False) -> list[Row]:
    """A notice's lines; without `now` nothing is foretold."""
    text = words.describe(notice)
    ready = words.ready_at(notice, now) if now else None
    user = notice.about.requester.user
    is_named = is_public and isinstance(notice, words.Running) and user.isdecimal()
    title = f"**{_line(text.title)}**" + (f" · <@{user}>" if is_named else "")
    title += f" · ready {stamp(ready, 'R')}" if ready else ""
    rows = [(KEEP, title)]
    if text.quote:
        rows.append((QUOTED, _quoted(text.quote, notice.about.work)))
    if isinstance(notice, n.Done | n.Reported | n.Gallery | n.Letter) and notice.clip:
        way = f"Go to the {words.thing(notice.about.work)}"
        rows.append((KEEP, _link(way, jump(notice.clip))))
    return [*rows, *(_to_row(notice, line) for line in words.lines_beside(notice, ready))]


def _quoted(said: str, work: Work) -> str:
    shown = within(said, QUOTE_CHARS)
    # The spaces keep a bar at the end of the words from being taken for one of ours.
    return f"> || {shown} ||" if is_spoiler(work) else f"> {shown}"


def _to_row(notice: Told, line: str) -> Row:
    """A line of a notice's words, small where it is no sentence for the person."""
    told = notice.about
    original = notice.original_link if isinstance(notice, n.WithFile) else None
    if original and line.endswith(original):
        return (KEEP, f"-# {_link('Original clip', original)}")
    if line.endswith(f"job {told.job_id}"):
        made = " · AI-generated" if isinstance(notice, n.WithFile) else ""
        return (KEEP, f"-# {_line(line)}{made}")
    if line == words.parameters(told.work):
        return (SETTLED, f"-# {_line(line)}")
    if told.parent is not None and line == words.parent_line(told.parent):
        return (FACTS, _related(line, told.parent))
    if line in {clean(remark) for remark in told.remarks}:
        return (REMARK, f"-# {_line(line)}")
    if isinstance(notice, n.Delivered | n.Done):
        return (FACTS, f"-# {_line(line)}")
    if isinstance(notice, n.Failed | n.Cancelled) and line == words.charge_words(notice.charged):
        return (KEEP, _line(line))
    until = words.open_until(notice)
    times = [until] if until is not None else []
    return (SENTENCE, _line(line, times=times))


def _related(line: str, relative: n.Parent | n.Starred | Relative, mark: str = "-#") -> str:
    """A line that names another job, which leads to its message where there is one."""
    before, _, after = line.partition(relative.job_id)
    name = f"`{relative.job_id}`"
    if relative.message is not None:
        name = _link(relative.job_id, jump(relative.message))
    return " ".join(part for part in (mark, _line(before), name, _line(after)) if part)


def _file(notice: n.WithFile) -> FileSpec:
    work = notice.about.work
    is_hidden, is_poster = is_spoiler(work), notice.form == "poster"
    # The usual name and description tell what the clip shows.
    name = notice.about.job_id if is_hidden else Path(notice.filename).stem
    shown = "hidden as a spoiler" if is_hidden else clean(work.prompt, limit=ALT_CHARS)
    what, suffix = f"AI-generated {words.thing(work)}", Path(notice.filename).suffix
    if work.kind != "image":
        what, suffix = (f"Picture of an {what}", ".jpg") if is_poster else (what, ".mp4")
    settled = f" ({within(words.parameters(work), ALT_CHARS // 2, str)})"
    room = ALT_CHARS - units(what + settled) - 2
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80].strip("-._") or "clip"
    return FileSpec(
        path=Path(notice.path),
        filename=("SPOILER_" if is_hidden else "") + plain + suffix,
        alt=what + (f": {within(shown, room, str)}" if shown else "") + settled,
        is_spoiler=is_hidden,
    )


def draw_operator(notice: n.Operator) -> Drawn:
    """What the operator is told, with what they can do about it at once."""
    code, target = notice.code.partition(":")[0], notice.target
    acts = {"place": ("approve", "close"), "uncertain": ("charge", "release")}.get(code, ())
    buttons = buttons_for(target, *acts) if 0 < len(target) <= TARGET_CHARS else ()
    return Drawn(content=draw_text(words.describe(notice)), buttons=buttons)


def draw_digest(notice: n.Digest) -> Drawn:
    """A place's week, with the way to the clips that people liked most; nobody is called."""
    text, ways = words.describe(notice), {words.starred_line(e): e for e in notice.starred}
    rows = [(KEEP, f"**{_line(text.title)}**")]
    for line in text.lines:
        is_way = line in ways
        rows.append((FACTS, _related(line, ways[line], "-")) if is_way else (KEEP, _line(line)))
    return Drawn(content=fit(rows, MAX_CHARS))


def draw_receipt(receipt: Receipt, status: MessageRef | None) -> str:
    """The one private line under a request, with the way to its public status message."""
    title = words.describe(receipt.notice).title
    parts = [f"**{_line(title)}**", f"job `{receipt.job_id}`"]
    parts += [_link("Follow it here", jump(status))] if status else []
    return " · ".join(parts)


# ---- pages -----------------------------------------------------------------------------------


def draw_text(text: Text, *, max_chars: int = MAX_CHARS, times: Sequence[datetime] = ()) -> str:
    """A page: title, quote, table, lines. `times` are those its lines name, for stamps."""
    said = [f"> {within(text.quote, QUOTE_CHARS)}"] if text.quote else []
    above = "\n".join([f"**{_line(text.title)}**", *said])
    lines = [_line(line, times=times) for line in text.lines if line]
    room = max_chars - units(above) - 1
    if not text.table:
        return f"{above}\n{_whole(lines, room)}" if lines else above
    # A short table leaves its room to the lines.
    half = max(room // 2, room - units(to_block(text.table, room)) - 1)
    below = "\n" + _whole(lines, half) if lines else ""
    return f"{above}\n{to_block(text.table, room - units(below))}{below}"


def draw_invitation(invitation: Invitation) -> str:
    """A link to the desk, which nothing opens for a preview."""
    said = draw_text(words.describe_invitation(invitation), times=[invitation.ends_at])
    return f"{said}\n{_link('Open the desk', invitation.link)}"


def draw_line(text: str) -> str:
    """One sentence of ours, whatever it quotes."""
    return _line(text)


def draw_error(
    error: BotError, job_id: JobId | None = None, *, charged: Micros | None = None
) -> str:
    """A refusal or an error, for its person's eyes only."""
    return draw_text(words.describe_error(error, job_id, charged), times=error.times)


def to_block(table: Table, room: int) -> str:
    """A table in a code block of at most `room` units, cut by whole rows; numbers to the right."""
    cells = tuple(tuple(_cell(cell) for cell in row) for row in table)
    return "```\n" + _whole(words.aligned(cells), room - 8) + "\n```"


_PERSON = re.compile(r"discord:[0-9]+:([0-9]{1,20})")


def draw_audit(lines: Sequence[AuditLine]) -> str:
    """Who did what to whom, by the names that people have; nobody is called."""
    text = words.describe_audit(lines)
    if not lines:
        return draw_text(text)
    head, listed = f"**{_line(text.title)}**", []
    for line, (_, who, what, whom, detail) in zip(lines, text.table[1:], strict=True):
        owner = _PERSON.fullmatch(line.detail)
        said = (
            stamp(line.at, "f"),
            _named(line.actor, who),
            within(what, CELL_CHARS),
            _named(line.target, whom) if whom else "",
            f"of <@{owner[1]}>" if owner else within(detail, CELL_CHARS),
        )
        listed.append("- " + " · ".join(each for each in said if each))
    return f"{head}\n{_whole(listed, MAX_CHARS - units(head) - 1, mark='-# ')}"


def _named(key: str, otherwise: str) -> str:
    person = _PERSON.fullmatch(key)
    return f"<@{person[1]}>" if person else within(otherwise, CELL_CHARS)


def _cell(text: str) -> str:
    # A backtick could end the block; nothing else is read as markup in there.
    return _CALLS.sub("@\u200b", clean(text, limit=CELL_CHARS).replace("`", "ˋ"))


def draw_shown(shown: Shown, *, now: datetime | None = None, max_chars: int = MAX_CHARS) -> str:
    """One job in full: its words, its moves and the way to its message; nobody is called."""
    assert not isinstance(shown.notice, n.Jobless)  # It is about no job of anybody's.
    rows = _rows(shown.notice, now)
    for parent in shown.parents:
        # The nearest stands among the notice's own lines, where there is one.
        if shown.notice.about.parent is None or parent is not shown.parents[0]:
            rows.append((FACTS, _related(words.parent_line(parent), parent)))
    rows += [(FACTS, _related(words.child_line(each), each)) for each in shown.children]
    if shown.events:
        rows.append((FACTS, f"-# {_moves(shown.events)}"))
    if shown.line.message is not None and not isinstance(shown.notice, n.Done):
        rows.append((KEEP, _link("Go to the message", jump(shown.line.message))))
    return fit(rows, max_chars)


def _moves(events: Sequence[tuple[datetime, str]]) -> str:
    """A job's moves in one line; of very many the first and the last ones."""
    told = [*events[:1], *events[1:][-MOVES_SHOWN:]]
    return " · ".join(
        f"{within(what, 40)} {stamp(when, 'T' if at else 'f')}"
        for at, (when, what) in enumerate(told)
    )


def draw_jobs(lines: Sequence[JobLine], *, page: int = 1, max_chars: int = MAX_CHARS) -> str:
    """A page of one's own jobs with the way to each; `JOBS_A_PAGE` of them always fit."""
    text = words.describe_jobs(lines)
    if not lines:
        return draw_text(text, max_chars=max_chars)
    head = f"**{_line(text.title)}**" + (f" · page {page}" if page > 1 else "")
    bare = units("\n".join([head, *(_job(line, 0) for line in lines)]))
    room = min((max_chars - bare) // len(lines) - 3, PROMPT_CHARS)
    listed = [_job(line, room) for line in lines]
    return f"{head}\n{_whole(listed, max_chars - units(head) - 1, mark='-# ')}"


def _job(line: JobLine, room: int) -> str:
    facts = [f"`{line.job_id}`", escape(line.state), words.line_price(line)]
    facts.append(stamp(line.created_at, "d"))
    facts += [f"[open]({jump(line.message)})"] if line.message else []
    # Last, so that words from right to left turn nothing else around.
    facts += [within(line.prompt, room)] if room > 0 and clean(line.prompt) else []
    return "- " + " · ".join(facts)
