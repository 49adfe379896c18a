"""Buttons that outlive the process: what their ids hold, and how they are drawn. Pure."""

from __future__ import annotations

import re

from adapters.slack import blocks
from adapters.slack.blocks import Block
from bot.refs import JobId
from bot.text import CONSENTS, DECISIONS

#: What Slack takes as the name of a button to a screen reader.
LABEL_CHARS = 75
_ACTION = re.compile(r"ray:(?P<action>[a-z_]{1,20}):(?P<target>[A-Za-z0-9:._-]{1,80})")
#: The list of what has no button of its own; what is on it for who minds a clip, and what a
#: moderator presses who does.
MORE, REPORT, REJECT = "more", "report", "reject"
EDIT = "Edit and retry"
#: What is to be known before a clip is deleted.
FOR_GOOD = "It is removed here and wherever Raybot keeps it. What it cost stays charged."


# ---- their ids -------------------------------------------------------------------------------


def action_id(action: str, target: str) -> str:
    """All that a button needs to know for months; `target` is mostly a job's id."""
    return f"ray:{action}:{target}"


def read_action(text: str) -> tuple[str, str] | None:
    """What a button is for and of which job; None where it is none of ours."""
    found = _ACTION.fullmatch(text)
    return (found["action"], found["target"]) if found else None


def clip_of(action_ids: list[str]) -> JobId | None:
    """The job of one of our own clips: only they have a Delete button, which names it."""
    for each in action_ids:
        if (read := read_action(each)) is not None and read[0] == "delete":
            return JobId(read[1])
    return None


# ---- as Slack draws them ---------------------------------------------------------------------

_STYLES = {
    **dict.fromkeys(("confirm", "approve", "post", "edit", "accept", "allow"), "primary"),
    **dict.fromkeys(("delete", "removed", "blocked", "forget", "forget_other"), "danger"),
    "reject": "danger",
}
LABELS = {
    MORE: "More…",
    "edit": EDIT,
    **CONSENTS,
    **{str(each): words for each, words in DECISIONS.items()},
}


def button(
    action: str, target: str, label: str = "", *, about: str = "", is_asked: bool = False
) -> Block:
    """A button that works for months: its id is all there is to know.

    `about` tells those who hear it what it is for: "the clip: a fox in snow". One that deletes
    asks once more, unless it `is_asked` beside it already.
    """
    shown = label or LABELS.get(action) or action.capitalize()
    between = " " if shown.isalpha() else ": "
    heard = f"{shown}{between}{about}" if about else f"{shown}: {target}"
    drawn: Block = {
        "type": "button",
        "action_id": action_id(action, target),
        "text": {"type": "plain_text", "text": shown, "emoji": False},
        "accessibility_label": blocks.within(heard, LABEL_CHARS),
    }
    if action in _STYLES:
        drawn["style"] = _STYLES[action]
    if action == "delete" and not is_asked:
        drawn["confirm"] = _ask_once_more()
    return drawn


def _ask_once_more() -> Block:
    return {
        "title": blocks.plain("Delete this clip?", 100),
        "text": blocks.plain(FOR_GOOD, 300),
        "confirm": blocks.plain("Delete", 30),
        "deny": blocks.plain("Keep it", 30),
        "style": "danger",
    }


def row(target: str, *actions: str, about: str = "", is_asked: bool = False) -> list[Block]:
    """A row of buttons, where there are any; a target that no button can name has none."""
    drawn = [button(each, target, about=about, is_asked=is_asked) for each in actions]
    can_be_read = all(read_action(each["action_id"]) for each in drawn)
    return [{"type": "actions", "elements": drawn}] if drawn and can_be_read else []
