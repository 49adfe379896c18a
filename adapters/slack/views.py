"""Forms and what was filled in: everything that a clip can be asked for with. Pure.

Slack gives a form no channel, so its place travels in it: ids only, which its person could read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from adapters import command_text
from adapters.command_text import Draft
from adapters.slack import blocks
from adapters.slack.blocks import Block
from bot.errors import InvalidRequest
from bot.ports import ModelCapabilities
from bot.refs import Frozen
from bot.request import CONCEPTS, VideoWork
from bot.studio import Offer, Setting
from bot.text import price_words

CREATE, SETTINGS = "ray:create", "ray:settings"
VALUE = "value"
IMAGES = ["jpg", "jpeg", "png", "webp", "gif", "heic", "heif"]
PROMPT_CHARS = 3000
MOST_OPTIONS = 100
MOST_CAMERAS = 4
OFFERS_SHOWN = 8
#: The fields of the grammar, as the form names them.
CHOICES = {"duration": "Length", "resolution": "Size", "aspect_ratio": "Shape"}
FLAGS = {"model": "--model", "duration": "--dur", "resolution": "--res", "aspect_ratio": "--ar"}
NOTHING = "Say what you want to see, or give an image."


class Place(Frozen):
    """Where a form was opened, and what it is about.

    `job`: the one to be changed. `clip`: a job whose clip it starts from. `images`: files of a
    message, of which one is chosen.
    """

    channel: str
    thread: str | None = None
    message: str = ""
    job: str = ""
    clip: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What somebody filled in; None where they left it."""

    draft: Draft
    place: Place
    start_file: str | None = None
    end_file: str | None = None
    chosen_picture: str | None = None
    channel: str | None = None

    @property
    def is_private(self) -> bool:
        """Whether only its person is to see the answer."""
        return self.draft.is_private


# ---- the form --------------------------------------------------------------------------------


def create_view(
    models: Sequence[ModelCapabilities],
    offers: Sequence[Offer],
    place: Place,
    *,
    asks_where: bool = False,
    prompt: str = "",
    work: VideoWork | None = None,
    pictures: Sequence[tuple[str, str]] = (),
    title: str = "Create a clip",
    is_prompt_needed: bool = True,
    has_start_input: bool = True,
) -> Block:
    """The form for a clip. `work` fills in what was typed for it; `pictures`: (name, file id)."""
    typed = _typed(work)
    fields: list[Block | None] = [
        _where() if asks_where else None,
        _which(pictures) if len(pictures) > 1 else None,
        _prompt(prompt, is_needed=is_prompt_needed and not has_start_input),
        *_selects(models, typed),
        _camera(models, typed),
        _boxes(typed),
        _file("start_frame", "Start frame", "The picture to begin with.")
        if has_start_input
        else None,
        _file("end_frame", "End frame", "The picture to end with."),
        _prices(offers),
    ]
    return {
        "type": "modal",
        "callback_id": CREATE,
        "title": blocks.plain(title, 24),
        "submit": blocks.plain("Make it", 24),
        "close": blocks.plain("Cancel", 24),
        "private_metadata": place.model_dump_json(exclude_defaults=True),
        "blocks": [each for each in fields if each is not None],
    }


def _typed(work: VideoWork | None) -> dict[str, Any]:
    return {name: getattr(work, name) for name in work.typed} if work is not None else {}


def _input(name: str, label: str, element: Block, *, is_optional: bool = True) -> Block:
    return {
        "type": "input",
        "block_id": name,
        "label": blocks.plain(label, 100),
        "element": {"action_id": VALUE, **element},
        "optional": is_optional,
    }


def _where() -> Block:
    element = {
        "type": "conversations_select",
        "default_to_current_conversation": True,
        "response_url_enabled": True,
    }
    return _input("where", "Where should the clip come?", element, is_optional=False)


def _which(pictures: Sequence[tuple[str, str]]) -> Block:
    options = [_option(name, file) for name, file in pictures[:MOST_OPTIONS]]
    element = {"type": "static_select", "options": options, "initial_option": options[0]}
    return _input("picture", "Which image?", element, is_optional=False)


def _prompt(prompt: str, *, is_needed: bool) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "multiline": True,
        "max_length": PROMPT_CHARS,
        "placeholder": blocks.plain("A red fox in snow, slow zoom", 150),
    }
    if prompt:
        element["initial_value"] = prompt[:PROMPT_CHARS]
    return _input("prompt", "What happens in the clip?", element, is_optional=not is_needed)


def _option(label: str, value: str) -> Block:
    return {"text": blocks.plain(label, 75), "value": value}


def _select(
    name: str, label: str, values: Sequence[str], chosen: str | None, *, hint: str = "As usual"
) -> Block | None:
    """A list of which nothing needs to be chosen."""
    options = [_option(value, value) for value in dict.fromkeys(values)][:MOST_OPTIONS]
    if not options:
        return None
    element: Block = {
        "type": "static_select",
        "options": options,
        "placeholder": blocks.plain(hint, 150),
    }
    if initial := [each for each in options if each["value"] == chosen]:
        element["initial_option"] = initial[0]
    return _input(name, label, element)


def _selects(
    models: Sequence[ModelCapabilities], typed: Mapping[str, Any], *, hint: str = "As usual"
) -> list[Block | None]:
    values: dict[str, list[str]] = {
        "duration": [each for model in models for each in model.durations],
        "resolution": [each for model in models for each in model.resolutions],
        "aspect_ratio": [each for model in models for each in model.aspect_ratios],
    }
    names = [model.model for model in models]
    return [
        _select("model", "Model", names, typed.get("model"), hint=hint),
        *(
            _select(name, label, values[name], typed.get(name), hint=hint)
            for name, label in CHOICES.items()
        ),
    ]


def _camera(models: Sequence[ModelCapabilities], typed: Mapping[str, Any]) -> Block | None:
    known = [each for each in CONCEPTS if any(each in model.concepts for model in models)]
    if not known:
        return None
    options = [_option(each.replace("_", " "), each) for each in known]
    element: Block = {
        "type": "multi_static_select",
        "options": options,
        "max_selected_items": MOST_CAMERAS,
        "placeholder": blocks.plain("No special move", 150),
    }
    if chosen := [each for each in options if each["value"] in typed.get("concepts", ())]:
        element["initial_options"] = chosen[:MOST_CAMERAS]
    return _input("concepts", "How the camera moves", element)


def _boxes(typed: Mapping[str, Any]) -> Block:
    options = [
        _option("Loop: it ends as it begins", "loop"),
        _option("Private: it comes by direct message", "private"),
    ]
    element: Block = {"type": "checkboxes", "options": options}
    if typed.get("loop"):
        element["initial_options"] = options[:1]
    return _input("boxes", "And", element)


def _file(name: str, label: str, hint: str) -> Block:
    element = {"type": "file_input", "filetypes": IMAGES, "max_files": 1}
    return {**_input(name, label, element), "hint": blocks.plain(hint, 150)}


def _prices(offers: Sequence[Offer]) -> Block | None:
    told = [f"{each.duration} {each.resolution} {price_words(each.price)}" for each in offers]
    return blocks.small(" · ".join(told[:OFFERS_SHOWN])) if told else None


# ---- what was filled in ----------------------------------------------------------------------


def place_in(view: Mapping[str, Any]) -> Place:
    """Where a form was opened; raises `InvalidRequest` for one that is none of ours."""
    try:
        return Place.model_validate_json(view.get("private_metadata") or "{}")
    except ValidationError as error:
        raise InvalidRequest("This form belongs to another version of Raybot.") from error


def errors_of(view: Mapping[str, Any]) -> dict[str, str]:
    """What is missing in a filled form, by its field; it stays open then."""
    if view.get("callback_id") != CREATE or _text(view, "prompt").strip():
        return {}
    try:
        place = place_in(view)
    except InvalidRequest:
        return {}
    has_image = place.images or place.clip or place.job or _file_in(view, "start_frame")
    return {} if has_image else {"prompt": NOTHING}


def read_view(view: Mapping[str, Any]) -> Filled:
    """What somebody wants of a form; raises `InvalidRequest`."""
    boxes = {each["value"] for each in _field(view, "boxes").get("selected_options") or ()}
    flags = " ".join(
        f'{flag} "{value}"' for name, flag in FLAGS.items() if (value := _chosen(view, name))
    )
    typed = command_text.parse(f"x {flags}")
    assert isinstance(typed, Draft)
    moves = _field(view, "concepts").get("selected_options") or ()
    draft = replace(
        typed,
        prompt=_text(view, "prompt").strip(),
        loop=True if "loop" in boxes else None,
        concepts=tuple(each["value"] for each in moves),
        is_private="private" in boxes,
    )
    return Filled(
        draft=draft,
        place=place_in(view),
        start_file=_file_in(view, "start_frame"),
        end_file=_file_in(view, "end_frame"),
        chosen_picture=_chosen(view, "picture"),
        channel=_field(view, "where").get("selected_conversation"),
    )


def _field(view: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    values = (view.get("state") or {}).get("values") or {}
    field: Mapping[str, Any] = (values.get(name) or {}).get(VALUE) or {}
    return field


def _text(view: Mapping[str, Any], name: str) -> str:
    return _field(view, name).get("value") or ""


def _chosen(view: Mapping[str, Any], name: str) -> str | None:
    return (_field(view, name).get("selected_option") or {}).get("value")


def _file_in(view: Mapping[str, Any], name: str) -> str | None:
    files = _field(view, name).get("files") or ()
    return str(files[0]["id"]) if files else None


# ---- own defaults ----------------------------------------------------------------------------


def settings_view(
    held: Sequence[Setting], models: Sequence[ModelCapabilities], place: Place
) -> Block:
    """The form for one's own defaults; what is left empty holds as elsewhere said."""
    own = {each.name: each.value for each in held if each.source == "yours"}
    loop = _select("loop", "Loop", ("true", "false"), own.get("loop"), hint="Not my own")
    fields = [*_selects(models, own, hint="Not my own"), loop]
    return {
        "type": "modal",
        "callback_id": SETTINGS,
        "title": blocks.plain("Your defaults", 24),
        "submit": blocks.plain("Save", 24),
        "close": blocks.plain("Cancel", 24),
        "private_metadata": place.model_dump_json(exclude_defaults=True),
        "blocks": [each for each in fields if each is not None],
    }


def read_settings(view: Mapping[str, Any]) -> dict[str, str]:
    """The defaults that somebody wants; an empty value takes one back."""
    return {name: _chosen(view, name) or "" for name in (*FLAGS, "loop")}
