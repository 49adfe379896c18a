"""A form and its fields: choices, lines to write in, files. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from adapters.slack import blocks as b
from adapters.slack.blocks import Block
from adapters.slack.filled import Place, write_place

#: What Slack takes: options in a list, the text and the value of one, a label, a hint, a title.
OPTIONS, OPTION_CHARS, VALUE_CHARS = 100, 75, 150
PLACEHOLDER_CHARS, HINT_CHARS, TITLE_CHARS = 150, 2000, 24
PROMPT_CHARS = 3000
#: For convenience only: what a file is, its bytes tell.
IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "heic")
Option = tuple[str, str]


# ---- the form --------------------------------------------------------------------------------


def modal(title: str, blocks: list[Block], *, close: str = "Close") -> Block:
    """A view that opens before everything else, with nothing to send."""
    return {
        "type": "modal",
        "title": b.plain(title, TITLE_CHARS),
        "close": b.plain(close, TITLE_CHARS),
        "blocks": blocks,
    }


def form(title: str, blocks: list[Block], *, callback: str, submit: str, place: Place) -> Block:
    """A view that is sent under this name; `place` travels in it."""
    return {
        **modal(title, blocks, close="Cancel"),
        "callback_id": callback,
        "submit": b.plain(submit, TITLE_CHARS),
        "private_metadata": write_place(place),
    }


# ---- its fields ------------------------------------------------------------------------------


def _input(name: str, label: str, element: Block, *, hint: str = "", is_optional: bool) -> Block:
    drawn = {
        "type": "input",
        "block_id": name,
        "label": b.plain(label),
        "element": {**element, "action_id": name},
        "optional": is_optional,
    }
    return {**drawn, "hint": b.plain(hint, HINT_CHARS)} if hint else drawn


def words(
    name: str,
    label: str,
    written: str,
    *,
    placeholder: str,
    hint: str = "",
    is_optional: bool,
    most: int = PROMPT_CHARS,
) -> Block:
    """Lines to write in; what is written already is cut where Slack takes no more."""
    element: Block = {
        "type": "plain_text_input",
        "multiline": True,
        "max_length": most,
        "placeholder": b.plain(placeholder, PLACEHOLDER_CHARS),
    }
    if written:
        element["initial_value"] = cut(written)
    return _input(name, label, element, hint=hint, is_optional=is_optional)


def line(name: str, label: str, *, placeholder: str, is_optional: bool = False) -> Block:
    """One line to write in."""
    element: Block = {
        "type": "plain_text_input",
        "max_length": PROMPT_CHARS,
        "placeholder": b.plain(placeholder, PLACEHOLDER_CHARS),
    }
    return _input(name, label, element, is_optional=is_optional)


def cut(text: str) -> str:
    """As much of a text as a field takes, counted as Slack might."""
    shown = text.encode("utf-16-le", "surrogatepass")[: 2 * PROMPT_CHARS]
    return shown.decode("utf-16-le", "ignore")


def _options(choices: Iterable[Option]) -> list[Block]:
    """The first so many with a value of their own."""
    labels = {value: label for label, value in choices if 0 < len(value) <= VALUE_CHARS}
    options = [
        {"text": b.plain(label, OPTION_CHARS), "value": value} for value, label in labels.items()
    ]
    return options[:OPTIONS]


def choice(
    name: str,
    label: str,
    choices: Sequence[Option],
    *,
    chosen: str | None = None,
    placeholder: str = "",
    is_optional: bool = True,
) -> list[Block]:
    """One of a list; nothing where there is nothing to choose from."""
    options = _options(choices)
    if not options:
        return []
    element: Block = {"type": "static_select", "options": options}
    if placeholder:
        element["placeholder"] = b.plain(placeholder, PLACEHOLDER_CHARS)
    if first := [each for each in options if each["value"] == chosen]:
        element["initial_option"] = first[0]
    return [_input(name, label, element, is_optional=is_optional)]


def several(
    name: str,
    label: str,
    choices: Sequence[Option],
    *,
    chosen: Collection[str],
    most: int,
    placeholder: str,
) -> list[Block]:
    """Some of a list; nothing where there is nothing to choose from."""
    options = _options(choices)
    if not options:
        return []
    element: Block = {
        "type": "multi_static_select",
        "options": options,
        "max_selected_items": most,
        "placeholder": b.plain(placeholder, PLACEHOLDER_CHARS),
    }
    if first := [each for each in options if each["value"] in chosen][:most]:
        element["initial_options"] = first
    return [_input(name, label, element, is_optional=True)]


def tick(name: str, label: str, choice: Option, *, more: str, is_ticked: bool = False) -> Block:
    """A box to tick."""
    option = {"text": b.plain(choice[0], OPTION_CHARS), "value": choice[1]}
    option["description"] = b.plain(more, OPTION_CHARS)
    element: Block = {"type": "checkboxes", "options": [option]}
    if is_ticked:
        element["initial_options"] = [option]
    return _input(name, label, element, is_optional=True)


def image(name: str, label: str, *, hint: str) -> Block:
    """An image to upload."""
    element = {"type": "file_input", "filetypes": list(IMAGES), "max_files": 1}
    return _input(name, label, element, hint=hint, is_optional=True)


def place(name: str, label: str) -> Block:
    """A conversation; Slack then also gives a link to answer there."""
    element = {
        "type": "conversations_select",
        "default_to_current_conversation": True,
        "response_url_enabled": True,
    }
    return _input(name, label, element, is_optional=False)
