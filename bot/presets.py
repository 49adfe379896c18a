"""What somebody chose beforehand, for themselves, a channel or a place, put into a work. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from bot.errors import InvalidRequest
from bot.request import AnyWork

W = TypeVar("W", bound=AnyWork)
#: What may be chosen beforehand: by a person, for a channel, for a place.
CHOOSABLE = (
    *("model", "duration", "resolution", "aspect_ratio", "loop"),
    *("concepts", "prefix", "suffix"),
)
#: What of it holds for stills, too; the chosen model is one that makes clips.
OF_STILLS = frozenset({"aspect_ratio", "prefix", "suffix"})
#: What is done to a finished clip is typed, or is as the clip was.
_FOLLOWS = {"video": frozenset(CHOOSABLE), "image": OF_STILLS}
NAMES = {"concepts": "camera"}


def with_defaults(
    work: W,
    house: Mapping[str, Any],
    chosen: Mapping[str, str],
    *,
    is_typed: bool = False,
) -> W:
    """The work with the house's and then the person's defaults where nothing was typed.

    Raises `InvalidRequest` for values that no work can have.
    """
    values = {**house, **{name: _read(name, value) for name, value in chosen.items() if value}}
    follows = _FOLLOWS.get(work.kind, frozenset())
    open_values = {
        name: value
        for name, value in values.items()
        if name in follows and (is_typed or name not in work.typed)
    }
    try:
        return type(work).model_validate({**work.model_dump(), **open_values})
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        field = str(problem["loc"][0])
        name = NAMES.get(field, field)
        raise InvalidRequest(f"{name}: {problem['msg']}.", field=field) from error


def check_names(names: Mapping[str, object]) -> None:
    """Raise `InvalidRequest` for a name that is none of what may be chosen."""
    for name in names:
        if name not in CHOOSABLE:
            known = ", ".join(NAMES.get(each, each) for each in CHOOSABLE)
            raise InvalidRequest(f"There is no setting {name!r}. You can set {known}.", field=name)


def shown(name: str, value: object) -> str:
    """A chosen value as people read it; empty where there is none."""
    match value:
        case bool():
            return str(value).lower()
        case tuple() | list():
            return ", ".join(map(str, value))
        case _:
            return ", ".join(_read(name, str(value))) if name == "concepts" else str(value)


def _read(name: str, value: str) -> str | tuple[str, ...]:
    if name != "concepts":
        return value
    moves = (re.sub(r"[\s-]+", "_", each.strip().lower()) for each in value.split(","))
    return tuple(each for each in moves if each)
