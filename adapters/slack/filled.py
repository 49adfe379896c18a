"""What somebody wrote into a form of ours, from the state that Slack sends with it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from adapters.command_text import Draft
from adapters.work_text import lines_of
from bot.errors import InvalidRequest
from bot.request import AspectRatio, Duration, Resolution

CREATE, SETTINGS, STORY = "ray:create", "ray:settings", "ray:story"
#: The fields of the forms; each is the block's id and the action's.
PROMPT, MODEL, DURATION, RESOLUTION = "prompt", "model", "duration", "resolution"
SHAPE, LOOP, CAMERA, DRAFT = "aspect_ratio", "loop", "concepts", "draft"
SHOTS = "shots"
START, END, PICTURE, WHERE, PRIVATE = "start", "end", "picture", "where", "private"
#: What can be a default of one's own, in the order of its form.
CHOSEN = (MODEL, DURATION, RESOLUTION, SHAPE, LOOP)
#: Whether others may animate the images that somebody posts.
MINE = "animate_mine"
#: Takes one's own default back.
AS_HERE = "default"
YES, NO = "true", "false"
METADATA_CHARS = 3000
OTHER_VERSION = "This form belongs to another version of Raybot. Please open it again."
NOTHING = "Say what you want to see, or add an image."
NOT_TOLD = "Say what you want to see."
NOWHERE = "Say where the clip belongs."
SMALLEST = "A draft has the smallest size there is: choose none here, or no draft."
Fields = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a form was opened and what for; it travels in the form, which is why it holds ids.

    `message` is the one it was opened on, `clip` the job of the clip that it shows; `job` the one
    that this is another try of, `act` what is done with its clip. `author` posted the `images`.
    `has_image`: what it begins with is settled already. `is_still`: a picture is asked for.
    """

    channel: str
    thread: str | None = None
    message: str = ""
    job: str = ""
    clip: str = ""
    images: tuple[str, ...] = ()
    author: str = ""
    has_image: bool = False
    needs_prompt: bool = False
    asks_where: bool = False
    is_still: bool = False
    act: str = ""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A filled form; files and pictures by their ids, None where there are none."""

    draft: Draft
    place: Place
    start_file: str | None = None
    end_file: str | None = None
    chosen_picture: str | None = None
    channel: str | None = None
    is_private: bool = False


# ---- where it was opened ---------------------------------------------------------------------


def write_place(place: Place) -> str:
    """The place as a form carries it, with as many of its images as there is room for."""
    while len(text := _to_json(place)) > METADATA_CHARS and place.images:
        place = replace(place, images=place.images[:-1])
    return text


def _to_json(place: Place) -> str:
    given = {name: value for name, value in asdict(place).items() if value}
    return json.dumps(given, separators=(",", ":"))


def read_place(text: str) -> Place:
    """The place that a form carried; raises `InvalidRequest` where another version wrote it."""
    try:
        given = json.loads(text or "{}")
        images = tuple(str(each) for each in given.pop("images", ()))
        return Place(**{"channel": "", **given}, images=images)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequest(OTHER_VERSION) from error


# ---- what was filled in ----------------------------------------------------------------------


def read_view(view: Mapping[str, Any]) -> Filled:
    """A filled form; raises `InvalidRequest` where something cannot be."""
    place, fields = read_place(str(view.get("private_metadata") or "")), state_of(view)
    for sentence in _wrong(place, fields).values():
        raise InvalidRequest(sentence)
    loop = chosen_in(fields, LOOP)
    draft = Draft(
        **_shape(fields),
        prompt=_prompt(fields),
        loop=loop == YES if loop else None,
        concepts=tuple(_all(fields, CAMERA)),
        is_still=place.is_still,
        is_draft=bool(_all(fields, DRAFT)),
    )
    return Filled(
        draft=draft,
        place=place,
        start_file=file_in(fields, START),
        end_file=file_in(fields, END),
        chosen_picture=chosen_in(fields, PICTURE),
        channel=where_of(view) or None,
        is_private=bool(_all(fields, PRIVATE)),
    )


def _shape(fields: Fields) -> dict[str, Any]:
    """What clips, and the shots of a film, may be asked for in."""
    return {
        "model": chosen_in(fields, MODEL),
        "duration": _known(fields, DURATION, Duration),
        "resolution": _known(fields, RESOLUTION, Resolution),
        "aspect_ratio": _known(fields, SHAPE, AspectRatio),
    }


def read_story(view: Mapping[str, Any]) -> Filled:
    """A filled story, a line for each shot; raises `InvalidRequest`."""
    place, fields = read_place(str(view.get("private_metadata") or "")), state_of(view)
    shots = tuple(lines_of(written_in(fields, SHOTS)))
    return Filled(
        draft=Draft(**_shape(fields), shots=shots),
        place=place,
        is_private=bool(_all(fields, PRIVATE)),
    )


def story_errors(
    view: Mapping[str, Any], check: Callable[[Sequence[str]], None]
) -> dict[str, str]:
    """The same of a story; `check` knows how many shots a film has."""
    if view.get("callback_id") != STORY:
        return {}
    try:
        check(lines_of(written_in(state_of(view), SHOTS)))
    except InvalidRequest as error:
        return {SHOTS: error.sentence}
    return {}


def errors_of(view: Mapping[str, Any]) -> dict[str, str]:
    """What cannot be, by the field it is said under; whatever else is wrong, the reader says."""
    if view.get("callback_id") != CREATE:
        return {}
    try:
        place = read_place(str(view.get("private_metadata") or ""))
    except InvalidRequest as error:
        return {PROMPT: error.sentence}
    return _wrong(place, state_of(view))


def _wrong(place: Place, fields: Fields) -> dict[str, str]:
    wrong = {}
    has_image = place.has_image or place.images or place.clip or file_in(fields, START)
    if not _prompt(fields) and (place.needs_prompt or not has_image):
        wrong[PROMPT] = NOT_TOLD if has_image else NOTHING
    if place.asks_where and not _text(fields, WHERE, "selected_conversation"):
        wrong[WHERE] = NOWHERE
    if _all(fields, DRAFT) and chosen_in(fields, RESOLUTION):
        wrong[RESOLUTION] = SMALLEST
    return wrong


def read_settings(view: Mapping[str, Any]) -> dict[str, str]:
    """Own defaults as they were chosen; an empty value takes one back."""
    fields = state_of(view)
    chosen = {name: chosen_in(fields, name) for name in (*CHOSEN, MINE)}
    return {name: "" if value == AS_HERE else value for name, value in chosen.items() if value}


# ---- fields ----------------------------------------------------------------------------------


def state_of(view: Mapping[str, Any]) -> Fields:
    """Every field's state by its name; nothing of what Slack sends is taken for granted."""
    state = view.get("state")
    values = state.get("values") if isinstance(state, Mapping) else None
    every = values.items() if isinstance(values, Mapping) else ()
    return {
        str(name): held[name]
        for name, held in every
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping)
    }


def _text(fields: Fields, name: str, key: str) -> str:
    value = fields.get(name, {}).get(key)
    return value.strip() if isinstance(value, str) else ""


def _prompt(fields: Fields) -> str:
    return written_in(fields, PROMPT)


def written_in(fields: Fields, name: str) -> str:
    """What somebody wrote into a field."""
    return _text(fields, name, "value")


def where_of(view: Mapping[str, Any]) -> str:
    """The conversation that somebody chose in a form; empty where it asks for none."""
    return _text(state_of(view), WHERE, "selected_conversation")


def chosen_in(fields: Fields, name: str) -> str | None:
    """The value of a list's chosen option."""
    option = fields.get(name, {}).get("selected_option")
    value = option.get("value") if isinstance(option, Mapping) else None
    return value if isinstance(value, str) and value else None


def _all(fields: Fields, name: str) -> list[str]:
    options = fields.get(name, {}).get("selected_options")
    every = options if isinstance(options, list) else []
    return [str(each["value"]) for each in every if isinstance(each, Mapping) and "value" in each]


def file_in(fields: Fields, name: str) -> str | None:
    """The id of the file that was put in."""
    files = fields.get(name, {}).get("files")
    first = files[0] if isinstance(files, list) and files else None
    file_id = first.get("id") if isinstance(first, Mapping) else None
    return file_id if isinstance(file_id, str) and file_id else None


def _known(fields: Fields, name: str, choices: Any) -> Any:
    """A choice of ours; raises `InvalidRequest` for one of another version."""
    value = chosen_in(fields, name)
    if value is not None and value not in get_args(choices):
        raise InvalidRequest(OTHER_VERSION, field=name)
    return value
