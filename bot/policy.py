"""What a place, or one of its channels, decided about its clips and its people. Pure.

A channel's word wins over its place's, and that over the configuration's.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from bot.errors import InvalidRequest
from bot.tables import ModerationTable
from bot.wordlist import Blocklist

Remix = Literal["anyone", "own"]
Review = Literal["off", "before_post"]
AnimateOthers = Literal["anyone", "own", "ask"]
#: What can be decided, and the values of what has only some.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "remix": get_args(Remix),
    "review": get_args(Review),
    "animate_others": get_args(AnimateOthers),
    "rules": (),
    "gallery_channel": (),
    "gallery_stars": (),
    "gallery_age_restricted": ("yes", "no"),
    "moderators_channel": (),
}
#: Decided for a channel, too.
OF_CHANNELS = frozenset({"remix", "review", "animate_others", "rules"})
WORDS, PATTERNS = "blocked_words", "blocked_patterns"
ID_CHARS, RULES_CHARS = 60, 1200
GALLERY_STARS, MOST_STARS = 3, 100


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What holds in one channel: who may go on from a clip, and what may not be asked for.

    `review`: whether a moderator looks at each clip before it is posted. `animate_others`: whose
    images may be animated, or who is asked first. `rules` are accepted once by each person.
    """

    remix: Remix = "anyone"
    review: Review = "off"
    animate_others: AnimateOthers = "anyone"
    rules: str = ""
    blocked: Blocklist = Blocklist()


def read_policy(
    table: ModerationTable, place: Mapping[str, str], channel: Mapping[str, str]
) -> Policy:
    """What holds of what was written down; a value that is none any more counts for nothing."""
    said = {name: _said(name, channel, place) for name in OF_CHANNELS}
    words, patterns = (tuple(place.get(key, "").splitlines()) for key in (WORDS, PATTERNS))
    return Policy(
        remix=cast("Remix", said["remix"] or table.remix),
        review=cast("Review", said["review"] or "off"),
        animate_others=cast("AnimateOthers", said["animate_others"] or "anyone"),
        rules=said["rules"],
        blocked=Blocklist(words=words, patterns=patterns),
    )


def is_reviewed(place: Mapping[str, str], channel: Mapping[str, str]) -> bool:
    """Whether a moderator looks at each clip there before it is posted."""
    return _said("review", channel, place) == "before_post"


def _said(name: str, *layers: Mapping[str, str]) -> str:
    """The first of these that says something of it; empty where none does."""
    said, choices = (layer.get(name, "") for layer in layers), CHOICES[name]
    return next((each for each in said if each and (not choices or each in choices)), "")


def decided(layer: Mapping[str, str]) -> dict[str, str]:
    """Of what was written down for a place or channel, what this page is about."""
    return {name: value for name, value in layer.items() if name in CHOICES}


def check_policy(changes: Mapping[str, str], *, channel: str = "") -> dict[str, str]:
    """Changes as they are kept; an empty value takes one back. Raises `InvalidRequest`."""
    return {name: _check(name, value.strip(), channel) for name, value in changes.items()}


def _check(name: str, value: str, channel: str) -> str:
    if name not in CHOICES:
        wrong = f"There is no rule {name!r}.{_nearest(name, CHOICES)} " if name else ""
        raise InvalidRequest(f"{wrong}You can set {', '.join(CHOICES)}.")
    if channel and name not in OF_CHANNELS:
        raise InvalidRequest(f"{name} is set for the whole place.", field=name)
    choices = CHOICES[name]
    if value and choices and value not in choices:
        hint = _nearest(value, choices)
        raise InvalidRequest(f"{name} is {' or '.join(choices)}.{hint}", field=name)
    if value and name == "gallery_stars" and not _is_value(name, value):
        raise InvalidRequest(f"gallery_stars is a number from 1 to {MOST_STARS}.", field=name)
    most = RULES_CHARS if name == "rules" else ID_CHARS
    if len(value) > most:
        raise InvalidRequest(f"{name} takes at most {most} characters.", field=name)
    return value


def _is_value(name: str, value: str) -> bool:
    if name == "gallery_stars":
        return value.isascii() and value.isdigit() and 0 < int(value) <= MOST_STARS
    return not CHOICES[name] or value in CHOICES[name]


def _nearest(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
