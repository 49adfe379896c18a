"""What somebody chose beforehand, for themselves, a channel or a place, put into a work. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from bot.errors import InvalidRequest
from bot.ports import ModelCapabilities
from bot.request import ASPECT_RATIOS, DURATIONS, RESOLUTIONS, AnyWork
from bot.words import clean, either

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
#: Where a model lists what it can of a parameter, and all that there is of it.
_LISTED = {
    "duration": "durations",
    "resolution": "resolutions",
    "aspect_ratio": "aspect_ratios",
}
_LITERALS: Mapping[str, tuple[str, ...]] = {
    "duration": DURATIONS,
    "resolution": RESOLUTIONS,
    "aspect_ratio": ASPECT_RATIOS,
}


def with_defaults(
    work: W,
    house: Mapping[str, Any],
    chosen: Mapping[str, str],
    *,
    is_typed: bool = False,
    models: Callable[[], Sequence[ModelCapabilities]] = tuple,
) -> W:
    """The work with the house's and then the person's defaults where nothing was typed.

    Raises `InvalidRequest` for values that no work can have; it proposes what the `models` can.
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
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0])
        raise InvalidRequest(_refusal(field, problem, models()), field=field) from error


def _refusal(field: str, problem: ErrorDetails, models: Sequence[ModelCapabilities]) -> str:
    """What is wrong with a value, and what can stand in its place."""
    name, limits = NAMES.get(field, field), problem.get("ctx", {})
    if "max_length" in limits:
        return f"The {name} is too long. At most {limits['max_length']} characters are possible."
    choices: tuple[str, ...] = ("true", "false") if field == "loop" else ()
    if field in _LISTED:
        choices = choices_made(field, models) or _LITERALS[field]
    wrong = f"{clean(str(problem['input']), limit=40) or 'That'} is not possible"
    return f"{wrong}. Choose {either(choices)}." if choices else f"{wrong} for {name}."


def choices_made(field: str, models: Iterable[ModelCapabilities]) -> tuple[str, ...]:
    """What the models can of a parameter, each once."""
    values = (value for each in models for value in getattr(each, _LISTED[field]))
    return tuple(dict.fromkeys(values))


def check_names(names: Mapping[str, object], *, others: Sequence[str] = ()) -> None:
    """Raise `InvalidRequest` for a name that is none of what may be chosen.

    `others` can be set there, too; they are kept elsewhere.
    """
    for name in names:
        if name not in CHOOSABLE:
            known = ", ".join(NAMES.get(each, each) for each in (*CHOOSABLE, *others))
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
