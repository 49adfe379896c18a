"""How a person fills in a view: what its fields hold when it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.slack_server.problems import Json, NotPossible
from tests.slack_server.world import View

#: A field of files holds what `to_file` makes of (name, bytes).
ToFile = Callable[[Any], Json]


def fill(view: View, values: Mapping[str, Any], *, to_file: ToFile, here: str) -> Json:
    """`view.state.values`; `values` are by block id, action id or label."""
    left, state = dict(values), dict[str, Any]()
    for block in view.blocks:
        for element in _fields(block):
            names = (block.get("block_id"), element.get("action_id"), _label(block))
            given = next((left.pop(each) for each in names if each in left), None)
            held = _hold(element, given, to_file=to_file, here=here)
            if block["type"] == "input" and not block.get("optional") and _is_empty(held):
                raise NotPossible(f"“{_label(block)}” must be filled in")
            state.setdefault(block["block_id"], {})[element["action_id"]] = held
    if left:
        raise NotPossible(f"The view has no {', '.join(left)}")
    return state


def _fields(block: Json) -> Iterable[Json]:
    inner = [block.get("element"), block.get("accessory"), *(block.get("elements") or [])]
    for each in inner:
        if isinstance(each, dict) and each.get("type") in _HOLDERS:
            yield each


def _label(block: Json) -> str:
    return str((block.get("label") or block.get("text") or {}).get("text", ""))


def _is_empty(held: Json) -> bool:
    return all(not value for name, value in held.items() if name != "type")


def _hold(element: Json, given: Any, *, to_file: ToFile, here: str) -> Json:
    kind = element["type"]
    return {"type": kind, **_HOLDERS[kind](element, given, to_file, here)}


def _text(element: Json, given: Any, *_: Any) -> Json:
    text = element.get("initial_value") if given is None else str(given)
    if text and not element.get("min_length", 0) <= len(text) <= element.get("max_length", 3000):
        raise NotPossible("The text is too short or too long for its field")
    return {"value": text or None}


def _option(element: Json, given: Any) -> Json:
    groups = element.get("option_groups") or []
    options = [
        *(element.get("options") or []),
        *(each for group in groups for each in group["options"]),
    ]
    for each in options:
        if given in (each["value"], each["text"]["text"]):
            return dict(each)
    raise NotPossible(f"There is no {given} to choose")


def _one(element: Json, given: Any, *_: Any) -> Json:
    if given is None:
        return {"selected_option": element.get("initial_option")}
    return {"selected_option": _option(element, given)}


def _some(element: Json, given: Any, *_: Any) -> Json:
    if given is None:
        return {"selected_options": element.get("initial_options") or []}
    chosen = [given] if isinstance(given, str) else list(given)
    return {"selected_options": [_option(element, each) for each in chosen]}


def _files(element: Json, given: Any, to_file: ToFile, *_: Any) -> Json:
    if given is None:
        return {"files": []}
    chosen = given if isinstance(given, list) else [given]
    if len(chosen) > element.get("max_files", 10):
        raise NotPossible("The field takes fewer files")
    return {"files": [to_file(each) for each in chosen]}


def _conversation(element: Json, given: Any, _: ToFile, here: str) -> Json:
    first = element.get("initial_conversation")
    if element.get("default_to_current_conversation"):
        first = first or here
    return {"selected_conversation": _id(given) or first or None}


def _channel(element: Json, given: Any, *_: Any) -> Json:
    return {"selected_channel": _id(given) or element.get("initial_channel")}


def _user(element: Json, given: Any, *_: Any) -> Json:
    return {"selected_user": _id(given) or element.get("initial_user")}


def _id(given: Any) -> str:
    return str(getattr(given, "id", given) or "")


_HOLDERS: dict[str, Callable[..., Json]] = {
    "plain_text_input": _text,
    "number_input": _text,
    "static_select": _one,
    "radio_buttons": _one,
    "multi_static_select": _some,
    "checkboxes": _some,
    "file_input": _files,
    "conversations_select": _conversation,
    "channels_select": _channel,
    "users_select": _user,
}
