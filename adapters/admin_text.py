"""What those who run a place type where there are no commands with options. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from bot.errors import InvalidRequest

if TYPE_CHECKING:
    from bot.studio import PlaceLimit

#: How far back usage goes.
DAYS = {"": 31, "today": 1, "week": 7, "month": 31, "year": 366}
_WORDS = re.compile(r"(add|remove)\s+(word|pattern)\s+(.+)", re.DOTALL | re.IGNORECASE)


def blocked_line(who: str, days: int | None) -> str:
    """That somebody is blocked, for how long, and what becomes of their jobs."""
    limited = "for a day" if days == 1 else f"for {days} days"
    return (
        f"{who} can ask for nothing more, {limited if days else 'until you unblock them'}. "
        "What waits of theirs is taken back and costs nothing; what runs goes on."
    )


def change_words(
    typed: str, words: Collection[str], patterns: Collection[str]
) -> tuple[list[str], list[str]]:
    """The lists once `add word X` or `remove pattern X` is done; raises `InvalidRequest`."""
    if (found := _WORDS.fullmatch(typed)) is None:
        raise InvalidRequest("Say admin words add word X, or admin words remove pattern X.")
    lists = {"word": list(words), "pattern": list(patterns)}
    changed, entry = lists[found[2].lower()], found[3].strip()
    if found[1].lower() == "add":
        changed.append(entry)
    elif entry in changed:
        changed.remove(entry)
    else:
        raise InvalidRequest("That is not on the list.")
    return lists["word"], lists["pattern"]


def words_line(words: Collection[str], patterns: Collection[str]) -> str:
    """What a place blocks."""
    said = f"Blocked words: {', '.join(words) or 'none'}. Patterns: "
    return said + (", ".join(patterns) or "none") + "."


def limits_line(every: Iterable[PlaceLimit]) -> str:
    """The limits that were set in a place; an adapter shows its channels by their names."""
    shown = [
        f"{each.name} {each.value}"
        + (f" for role {each.role}" if each.role else "")
        + (f" in channel {each.channel}" if each.channel else "")
        for each in every
    ]
    return f"Set here: {', '.join(shown) or 'nothing of its own'}."


def page_in(typed: str) -> int:
    """The page that is asked for; the first where none is."""
    return int(typed) if typed.isdecimal() and 0 < len(typed) < 5 and int(typed) else 1
