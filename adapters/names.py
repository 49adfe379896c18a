"""Names of people and places as words of a prompt, and never as what is asked. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from adapters.command_text import Command, Draft, Follow, Redo, parse

#: What begins a flag, ends a shot or a quotation, makes a job's id of letters, or calls somebody.
_MEANT = re.compile(r"[-–—|\"“”„`<>@#\\/=:\s]+")
MOST_CHARS = 80
SOMEBODY, SOME, SOMEWHERE = "somebody", "some people", "a channel"


def to_words(name: str) -> str:
    """A name that people chose themselves, as words that mean nothing else; it may be empty."""
    return _MEANT.sub(" ", name).strip()[:MOST_CHARS].strip()


def parse_named(text: str, bare: str) -> Draft | Command:
    """Read what somebody typed; `bare` is the same without the names in it.

    People choose their names: where nothing else was said nothing is asked, and only what takes
    words at all has the names among them. Raises `InvalidRequest`.
    """
    command = parse(bare) if bare.strip() else Draft()
    if command == Draft() or not isinstance(command, Draft | Follow | Redo):
        return command
    named = parse(text)
    is_same = isinstance(named, Draft | Follow | Redo) and _unworded(named) == _unworded(command)
    return named if is_same else command


def _unworded(command: Draft | Follow | Redo) -> Draft | Follow | Redo:
    """What is asked, without the words of it."""
    match command:
        case Draft(shots=shots):
            return replace(command, prompt="", shots=None if shots is None else ())
        case Follow(draft=draft):
            changed = replace(draft, prompt="") if draft is not None else None
            return replace(command, prompt="", negative_prompt="", draft=changed)
        case Redo():
            return replace(command, prompt="")
