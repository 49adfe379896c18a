"""Words that are nearly an act: no clip of them is paid. Pure.

Words in quotes are always a prompt.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from bot.errors import InvalidRequest
from bot.text import clean

#: How close a word has to be where `admin` stands before.
_SURELY = 0.75


def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


def _nearest(word: str, known: Collection[str], cutoff: float) -> str:
    """The one that was meant: itself, two letters the other way round, or much the same."""
    word = word[:40]
    for at in range(len(word) - 1):
        turned = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if turned in known:
            return turned
    return (*difflib.get_close_matches(word, known, n=1, cutoff=cutoff), "")[0]


# ---- those who run a place -------------------------------------------------------------------

_ADMIN = re.compile(r"admin(?:\s+(?P<said>(?P<word>\S+).*))?", re.IGNORECASE | re.DOTALL)
#: What is called otherwise here.
_CALLED = {
    "rules": "limits",
    "settings": "defaults",
    "stats": "usage",
    "unpause": "resume",
    "start": "resume",
    "stop": "pause",
    "ban": "block",
    "unban": "unblock",
}
#: In any place.
_ACTS = _words(
    "usage digest limits limit rules rule channel defaults block unblock forget pause resume "
    "grant words queue audit desk"
)
_AS_COMMAND = (
    "What those who run a place decide is no mention, but a command: /ray admin in Slack, "
    "/ray-admin in Discord. For a clip of that, put it in quotes."
)


def read_admin(text: str, acts: Collection[str]) -> str | None:
    """What follows `admin`; None where it is no act: an admin can be in a clip, too.

    Raises `InvalidRequest` for one word that is no act, and for what is nearly one.
    """
    if (found := _ADMIN.fullmatch(text.strip())) is None:
        return None
    said = str(found["said"] or "")
    name = re.split(r"\W", said.lower(), maxsplit=1)[0]
    if not said or name in acts:
        return said
    is_short = len(said.split()) <= 2
    if name == "help" and is_short:
        return "help"
    meant = _CALLED.get(name, "") if is_short else ""
    meant = meant if meant in acts else _nearest(name, acts, _SURELY)
    if not meant and len(said.split()) > 1:
        return None
    hint = f"Did you mean `admin {meant}`? " if meant else ""
    raise InvalidRequest(
        f"There is no `admin {clean(found['word'], limit=30)}`. {hint}`admin help` lists what "
        "there is. For a clip of that, put it in quotes.",
        field="prompt",
    )


def check_no_admin(text: str) -> None:
    """Raise `InvalidRequest` for what an admin wants, said where it is a prompt."""
    if read_admin(text, _ACTS) is not None:
        raise InvalidRequest(_AS_COMMAND, field="prompt")
