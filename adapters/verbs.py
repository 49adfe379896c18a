"""What can be typed, as values, and how verbs are told from prompts. Pure.

A verb counts only if the whole text fits it: else the text is a prompt ("show me a fox").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.near_words import NEEDS_ID
from adapters.work_text import Finish, Redo, to_job_id
from bot.acts import Act
from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.request import AspectRatio, Duration, Resolution


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A prompt and the parameters that were typed; None and empty: not typed.

    `is_private`: only its person shall read of it; that is no parameter of the clip. `is_still`: a
    picture is wanted, and no clip; `is_draft`: a clip in the smallest size there is. `shots`: a
    film is, of these; None: no film.
    """

    prompt: str = ""
    model: str | None = None
    aspect_ratio: AspectRatio | None = None
    resolution: Resolution | None = None
    duration: Duration | None = None
    loop: bool | None = None
    concepts: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    is_private: bool = False
    is_still: bool = False
    is_draft: bool = False
    shots: tuple[str, ...] | None = None

    @property
    def is_bare(self) -> bool:
        """Whether it says nothing of what is to be seen; an image beside it may."""
        return not self.prompt and self.start is None and self.shots is None


@dataclass(frozen=True)
class Help:
    """`help`."""


@dataclass(frozen=True)
class Usage:
    """`usage`."""


@dataclass(frozen=True)
class Forget:
    """`forget me`, and `forget me yes` from who has read what goes and what stays."""

    is_confirmed: bool = False


@dataclass(frozen=True)
class Jobs:
    """`jobs`, `jobs 2`, `jobs "fox" 2`."""

    search: str = ""
    page: int = 1


@dataclass(frozen=True)
class _OfJob:
    job_id: JobId


class Show(_OfJob):
    """`show ID`."""


class Cancel(_OfJob):
    """`cancel ID`."""


class Retry(_OfJob):
    """`retry ID`."""


class Confirm(_OfJob):
    """`confirm ID`."""


class Delete(_OfJob):
    """`delete ID`."""


@dataclass(frozen=True, kw_only=True)
class Follow:
    """`extend ID …` and its like: something is to be made of what a job made.

    `end` is the image to end on, as it was typed; `draft` what a remix changes.
    """

    job_id: JobId
    act: Act
    choice: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    other: JobId | None = None
    end: str | None = None
    draft: Draft | None = None
    is_private: bool = False


@dataclass(frozen=True)
class SettingsCommand:
    """`settings`, `settings ar=9:16 …`; an empty value takes one's own default back."""

    changes: Mapping[str, str] = field(default_factory=dict)


Command = (
    Help
    | Usage
    | Forget
    | Jobs
    | Show
    | Cancel
    | Retry
    | Confirm
    | Delete
    | Follow
    | SettingsCommand
    | Redo
    | Finish
)


@dataclass(frozen=True, kw_only=True)
class Deed:
    """A verb that makes something of a job, with the rest of its text as it was typed."""

    job_id: JobId
    act: Act
    choice: str = ""
    other: JobId | None = None
    rest: str = ""
    is_private: bool = False


_OF_JOB: dict[str, type[Show | Cancel | Retry | Confirm | Delete]] = {
    "show": Show,
    "cancel": Cancel,
    "retry": Retry,
    "confirm": Confirm,
    "delete": Delete,
}
_VERB = re.compile(rf"({'|'.join(_OF_JOB)})\s+`?r-([0-9a-z]{{4,16}})`?")
_ID = r"`?r-([0-9a-z]{4,16})`?"
#: Where a prompt may follow, an id has a digit, as all of ours have: "extend r-rated films".
SURE_ID = r"`?r-((?=[a-z]*[0-9])[0-9a-z]{4,16}|[oil][0-9a-z]{9})`?"
_REST = r"(?:\s+(?P<rest>.+))?"
_OTHER = r"(?:\s+(?:and|with|to))?\s+`?r-(?P<other>[0-9a-z]{4,16})`?"
_SIZE = r"(?:\s+(?:to\s+)?(?P<choice>[0-9]{3,4}p?|[1-9]k))?"
_MODE = r"(?:\s+(?P<choice>(?:adhere|flex|reimagine)[_ -]?[0-9]))?"
_RATIO = r"(?:\s+(?:to\s+)?(?P<choice>[0-9]{1,2}[:x×/][0-9]{1,2}))?"
_COUNT = r"(?:\s+[x×]?(?P<choice>[0-9]{1,3}))?"
_ONLY_ME = r"(?P<private>\s+--private)?"
_DEEDS: tuple[tuple[Act, str], ...] = (
    ("animate", rf"animate\s+{SURE_ID}{_REST}"),
    ("extend", rf"extend\s+{SURE_ID}{_REST}"),
    ("prequel", rf"prequel\s+{SURE_ID}{_REST}"),
    ("join", rf"join\s+{SURE_ID}{_OTHER}{_REST}"),
    ("loop", rf"loop\s+{_ID}{_ONLY_ME}"),
    ("variation", rf"(?:vary|variation)\s+{_ID}{_COUNT}{_ONLY_ME}"),
    ("final", rf"final\s+{_ID}{_SIZE}{_ONLY_ME}"),
    ("upscale", rf"upscale\s+{_ID}{_SIZE}{_ONLY_ME}"),
    ("audio", rf"(?:sound|audio)\s+{SURE_ID}{_REST}"),
    ("reframe", rf"reframe\s+{_ID}{_RATIO}{_ONLY_ME}"),
    ("modify", rf"modify\s+{SURE_ID}{_MODE}{_REST}"),
    ("remix", rf"remix\s+{SURE_ID}{_REST}"),
)
#: What lacks its job where nothing else is said.
OF_JOBS = frozenset(
    {
        *_OF_JOB,
        *("extend", "prequel", "join", "loop", "vary", "variation", "final", "upscale", "sound"),
        *("audio", "reframe", "modify", "remix", "redo", "finish", "animate"),
    }
)
_FORGET = re.compile(r"forget\s+me(\s+yes)?", re.IGNORECASE)
_JOBS = re.compile(r"jobs(?:\s+[\"“”„]([^\"“”„]+)[\"“”])?(?:\s+([1-9][0-9]{0,3}))?", re.IGNORECASE)


def read_verb(text: str) -> Command | Deed | None:
    """The verb that the whole text is; None where it is a prompt, or `settings`.

    Raises `InvalidRequest` for one that lacks its job: a clip of that word would be paid.
    """
    if text.lower() in {"help", "usage"}:
        return Help() if text.lower() == "help" else Usage()
    if match := _FORGET.fullmatch(text):
        return Forget(is_confirmed=match[1] is not None)
    if match := _VERB.fullmatch(text.lower()):
        return _OF_JOB[match[1]](to_job_id(match[2]))
    if match := _JOBS.fullmatch(text):
        return Jobs(search=(match[1] or "").strip(), page=int(match[2] or 1))
    for act, pattern in _DEEDS:
        if match := re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL):
            return _to_deed(act, match)
    if text.lower() == "forget":
        raise InvalidRequest("Say forget me, and read first what goes.", field="prompt")
    if text.lower() in OF_JOBS:
        raise InvalidRequest(NEEDS_ID.format(text.lower()), field="prompt")
    return None


def _to_deed(act: Act, match: re.Match[str]) -> Deed:
    given = {name: value or "" for name, value in match.groupdict().items()}
    other = given.get("other")
    return Deed(
        job_id=to_job_id(match[1]),
        act=act,
        choice=given.get("choice", "").lower(),
        other=to_job_id(other) if other else None,
        rest=given.get("rest", "").strip(),
        is_private=bool(given.get("private")),
    )
