"""How works are typed that are no single clip: stories, what is said of one, stills. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.request import ImageWork, Parameter, StoryWork

#: What the shots of one film have in common, and so may be typed with it.
SHAPE: tuple[Parameter, ...] = ("model", "duration", "resolution", "aspect_ratio")
#: What they have none of, as a person types it.
_OF_ONE_CLIP: dict[Parameter, str] = {
    "loop": "--loop",
    "concepts": "--camera",
    "start_frame": "a picture to start from",
    "end_frame": "a picture to end with",
}
_OF_CLIPS: dict[Parameter, str] = {"duration": "--dur", "resolution": "--res", **_OF_ONE_CLIP}
_STORY = re.compile(r"story(?=\s|\Z)(.*)", re.DOTALL | re.IGNORECASE)
_SHOTS = re.compile(r"[\n|]|\A\s*[\"“”„]")
_ID = r"`?r-([0-9a-z]{4,16})`?"
_REDO = re.compile(rf"redo\s+{_ID}\s+([1-9][0-9]?)(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)
_FINISH = re.compile(rf"finish\s+{_ID}", re.IGNORECASE)
#: Ids have none of these letters; people read them into the digits.
_MISREAD = str.maketrans("oil", "011")


@dataclass(frozen=True)
class Redo:
    """`redo ID 2`, or with other words for that shot behind it."""

    job_id: JobId
    shot: int
    prompt: str = ""


@dataclass(frozen=True)
class Finish:
    """`finish ID`: the film of the shots that there are."""

    job_id: JobId


def read_verb(text: str) -> Redo | Finish | None:
    """What is to become of a film; None where it is something else."""
    if match := _REDO.fullmatch(text):
        return Redo(to_job_id(match[1]), int(match[2]), (match[3] or "").strip())
    if match := _FINISH.fullmatch(text):
        return Finish(to_job_id(match[1]))
    return None


def to_job_id(typed: str) -> JobId:
    """A job's id from what stands behind `r-`, with letters that were misread."""
    return JobId("r-" + typed.lower().translate(_MISREAD))


def body_of(text: str) -> str | None:
    """What stands behind the word `story`; None where the text does not begin with it."""
    match = _STORY.fullmatch(text)
    return match[1] if match else None


def is_bare_story(text: str) -> bool:
    """Whether somebody wants to tell a story and wrote nothing of it yet."""
    body = body_of(text.strip())
    return body is not None and not body.strip()


def has_shots(text: str) -> bool:
    """Whether somebody wrote shots behind the word `story`, be they as they should or not."""
    return bool(_SHOTS.search(body_of(text) or ""))


def is_story(first_line: str) -> bool:
    """Whether the words of the first line leave room for shots: there are none, or bars in them.

    "story of a fox" is a prompt.
    """
    return not first_line or "|" in first_line


def lines_of(words: str) -> list[str]:
    """The shots: a line each, or parted by bars."""
    return [line for line in map(str.strip, re.split(r"[\n|]", words)) if line]


def to_story(typed: Mapping[Parameter, Any], shots: tuple[str, ...]) -> StoryWork:
    """The work of a story; raises `InvalidRequest` for what shots do not have in common."""
    _refuse(typed, _OF_ONE_CLIP, "Each shot of a story starts from the one before")
    shape = {name: typed[name] for name in SHAPE if name in typed}
    return StoryWork(shots=shots, **shape, typed=frozenset(shape))


def to_still(typed: Mapping[Parameter, Any]) -> ImageWork:
    """The work of a still; raises `InvalidRequest` for something that only clips have."""
    _refuse(typed, _OF_CLIPS, "A still is one picture, made from words")
    return ImageWork.model_validate({**typed, "typed": frozenset(typed)})


def _refuse(typed: Collection[Parameter], names: Mapping[Parameter, str], why: str) -> None:
    for name, words in names.items():
        if name in typed:
            raise InvalidRequest(f"{why}: leave {words} out.", field=name)
