"""Names of people and places as words of a prompt. Pure."""

from __future__ import annotations

import re

#: What begins a flag, ends a shot or a quotation, makes a job's id of letters, or calls somebody.
_MEANT = re.compile(r"[-–—|\"“”„`<>@#\\/=:\s]+")
MOST_CHARS = 80
SOMEBODY, SOME, SOMEWHERE = "somebody", "some people", "a channel"


def to_words(name: str) -> str:
    """A name that people chose themselves, as words that mean nothing else; it may be empty."""
    return _MEANT.sub(" ", name).strip()[:MOST_CHARS].strip()
