"""What Slack takes for Block Kit: numbers, lengths and ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import elements_of

MOST_OF_MESSAGE, MOST_OF_VIEW = 50, 100
KNOWN = frozenset(
    {
        "actions",
        "context",
        "divider",
        "file",
        "header",
        "image",
        "input",
        "markdown",
        "rich_text",
        "section",
        "table",
        "video",
    }
)


def with_ids(blocks: list[Json], new_id: Callable[[str], str]) -> list[Json]:
    """The blocks, each with an id; Slack makes one up where none is given."""
    return [{"block_id": new_id("b"), **each} for each in blocks]


def check_message(blocks: Any) -> None:
    """Refuse the blocks of a message that Slack would."""
    _check(blocks, MOST_OF_MESSAGE)
    if any(each["type"] == "file_input" for each in elements_of(blocks)):
        raise _refused("file_input is for modals only")


def check_view(view: Any) -> None:
    """Refuse a view that Slack would."""
    if not isinstance(view, dict) or view.get("type") not in {"modal", "home"}:
        raise _refused("view has no type", "invalid_arguments")
    _check(view.get("blocks"), MOST_OF_VIEW)
    if len(view.get("private_metadata") or "") > 3000:
        raise _refused("private_metadata is longer than 3000", "invalid_arguments")
    if len(view.get("callback_id") or "") > 255:
        raise _refused("callback_id is longer than 255", "invalid_arguments")
    if view["type"] == "home":
        return
    if "title" not in view:
        raise _refused("view has no title", "invalid_arguments")
    for name in ("title", "submit", "close"):
        if len((view.get(name) or {}).get("text", "")) > 24:
            raise _refused(f"{name} is longer than 24", "invalid_arguments")
    has_input = any(each["type"] == "input" for each in view["blocks"])
    if has_input and not view.get("submit"):
        raise _refused("a view with inputs needs submit", "invalid_arguments")


def _check(blocks: Any, most: int) -> None:
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise _refused("blocks are no list of objects")
    if len(blocks) > most:
        raise _refused(f"{len(blocks)} blocks, of at most {most}")
    for block in blocks:
        if block.get("type") not in KNOWN:
            raise _refused(f"unsupported type: {block.get('type')}")
    _refuse_twice([each["block_id"] for each in blocks if each.get("block_id")], "block_id")
    for block in blocks:
        ids = [each.get("action_id") for each in elements_of([block])]
        _refuse_twice([each for each in ids if each], "action_id")
        if any(len(each or "") > 255 for each in ids):
            raise _refused("action_id is longer than 255")
        _check_texts(block)
        _check_select(block)
    try:
        for each in Block.parse_all([dict(each) for each in blocks]):
            each.to_dict()
    except SlackObjectFormationError as error:
        raise _refused(str(error)) from error


def _refuse_twice(ids: list[str], name: str) -> None:
    if len(ids) != len(set(ids)):
        raise _refused(f"{name} used twice: {sorted(ids)}")


def _check_texts(part: Any) -> None:
    """Every text has words, and at most 3000 of its characters."""
    if isinstance(part, list):
        for each in part:
            _check_texts(each)
        return
    if not isinstance(part, dict):
        return
    if part.get("type") in {"plain_text", "mrkdwn"}:
        text = part.get("text")
        if not isinstance(text, str) or not 1 <= len(text) <= 3000:
            raise _refused("a text must have 1 to 3000 characters")
        if part["type"] == "mrkdwn" and "emoji" in part:
            raise _refused("mrkdwn has no emoji field")
        if part["type"] == "plain_text" and "verbatim" in part:
            raise _refused("plain_text has no verbatim field")
        return
    for value in part.values():
        _check_texts(value)


def _check_select(block: Json) -> None:
    for element in elements_of([block]):
        options = element.get("options") or []
        is_select = element["type"].endswith("static_select")
        if is_select and not options and not element.get("option_groups"):
            raise _refused("a select needs options")
        if len(options) > 100 or (element["type"] == "checkboxes" and len(options) > 10):
            raise _refused("too many options")
        _refuse_twice([str(each["value"]) for each in options], "value of an option")
        for each in options:
            if len(each["text"]["text"]) > 75 or len(each["value"]) > 150:
                raise _refused("an option's text or value is too long")
        first = element.get("initial_option")
        if first is not None and first not in options:
            raise _refused("initial_option is none of the options")


def _refused(why: str, error: str = "invalid_blocks") -> Refused:
    return Refused(error, response_metadata={"messages": [f"[ERROR] {why}"]})
