"""Buttons under messages, and the command that each stands for. Pure.

A button is what could be typed, so that both mean the same: `vary r-…`, `final r-… 1080p`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from adapters.follow_ups import AT_ONCE
from adapters.opinions import OUTCOMES
from bot import notices as n
from bot import text as words
from bot.acts import FIRST_ROW, NEEDS, Act
from bot.errors import InvalidRequest
from bot.refs import JobId

#: It is done at once; it asks for something first; it is the next message's reply.
Kind = Literal["act", "ask", "reply"]
Look = Literal["", "primary", "danger"]
EDIT = "edit"
#: Of several variations one says how many.
SEVERAL = "several"
REPORT = "report"
_LABELS = {
    "confirm": "Confirm",
    "cancel": "Cancel",
    "accept": "Accept the rules",
    "finish": "Finish the film",
    "redo": "Redo this shot",
    "retry": "Retry",
    "remix": "Change it",
    "delete": words.act_label("delete"),
    EDIT: "Edit and retry",
    SEVERAL: "Several variations",
    REPORT: "Report",
    **words.VERDICTS,
    **words.CONSENTS,
    **{typed: words.DECISIONS[outcome] for typed, outcome in OUTCOMES.items()},
}
#: What is asked where no clip comes of it, before it is done.
REASONS = {
    "reject": "Why? The person who asked is told what you write",
    REPORT: "What is wrong with it?",
}
_LOOKS: dict[str, Look] = {
    **dict.fromkeys(
        ("confirm", "accept", EDIT, "animate", "redo", "post", "allow", "keep"), "primary"
    ),
    **dict.fromkeys(("delete", "reject", "remove", "block"), "danger"),
}
#: How an act is typed, where it has another name.
_VERBS = {"variation": "vary", SEVERAL: "vary", "audio": "sound"}
DELETES = "Delete this clip? It is removed here and wherever Raybot keeps it; its cost stays."
_QUESTIONS = {
    "delete": DELETES,
    "remove": DELETES,
    "block": "Block its maker? They can ask for nothing more, until somebody unblocks them.",
}


@dataclass(frozen=True, kw_only=True)
class Button:
    """One button under a message. `line` says more of it, `question` is asked first."""

    action: str
    job_id: JobId
    label: str
    kind: Kind = "act"
    look: Look = ""
    line: str = ""
    question: str = ""
    target: str = ""


def under(notice: n.Notice) -> tuple[Button, ...]:
    """The buttons that stand under a notice."""
    if isinstance(notice, n.Jobless):
        return ()
    job_id = notice.about.job_id
    if isinstance(notice, words.Beside):
        return tuple(_button(each, job_id) for each in _decisions(notice))
    if isinstance(notice, n.Delivered | n.Done) and notice.acts:
        possible = {each.act for each in notice.acts}
        row = [act for act in FIRST_ROW if act in possible and act != "retry"]
        last: list[Act] = ["delete"] if "delete" in possible else []
        return tuple(_of_act(act, job_id) for act in (*row, *last))
    if isinstance(notice, n.ShotFailed):
        redo = _button("redo", job_id, target=str(notice.number))
        more = ("finish", "cancel") if notice.can_finish else ("cancel",)
        return (redo, *(_button(each, job_id) for each in more))
    return tuple(_button(each, job_id) for each in _choices(notice))


def more(notice: n.Notice) -> tuple[Button, ...]:
    """What else can be done with a clip, each with what it makes and costs."""
    if not isinstance(notice, n.Delivered | n.Done):
        return ()
    job_id = notice.about.job_id
    several = [each for each in notice.acts if each.act == "variation"]
    rest = [each for each in notice.acts if each.act not in (*FIRST_ROW, "delete")]
    listed = [(_of_act(each.act, job_id), each) for each in rest]
    listed += [(_button(SEVERAL, job_id, kind="ask"), each) for each in several]
    made = [replace(button, line=words.act_line(offer)) for button, offer in listed]
    if not isinstance(notice, n.Delivered):
        return tuple(made)
    return (*made, replace(_button(REPORT, job_id), line="To those who run this place"))


def _decisions(notice: words.Beside) -> tuple[str, ...]:
    """What those who run a place, or posted an image, can decide."""
    if isinstance(notice, n.ConsentAsked):
        return tuple(words.CONSENTS) if notice.answer is None else ()
    if isinstance(notice, n.ReviewNeeded):
        return tuple(words.VERDICTS)
    choices = notice.choices if isinstance(notice, n.Reported) else ()
    return tuple(typed for typed, outcome in OUTCOMES.items() if outcome in choices)


def _choices(notice: n.Notice) -> tuple[str, ...]:
    match notice:
        case n.ConfirmNeeded():
            return ("confirm", "cancel")
        case n.RulesFirst(is_for_all=False):
            return ("accept", "cancel")
        case n.Waiting(offer=offer) if offer is not None:
            return ("confirm", "cancel")
        case n.Received() | n.Accepted() | n.Queued() | n.Generating() | n.Waiting():
            return ("cancel",)
        case n.RulesFirst() | n.ConsentNeeded() | n.Filming() | n.Reviewing():
            return ("cancel",)
        case n.Cancelled():
            return ("retry",)
        case n.Failed(code="deleted") | n.Failed(is_for_all=True):
            return ()
        case n.Failed():
            return _after(notice)
        case n.Delivered():
            # What nobody can go on from any more, such as a clip of a service that is gone.
            return ("retry", EDIT, "delete")
    return ()


def _after(notice: n.Failed) -> tuple[str, ...]:
    """What can be done instead."""
    about = notice.about
    if notice.minded:
        return (EDIT,) if notice.can_edit else ()
    again = ("retry",) if words.advises_retry(notice) else ()
    is_form = about.work.kind in ("video", "image") and about.film is None
    return (*again, EDIT) if is_form else again


def _of_act(act: Act, job_id: JobId) -> Button:
    if act == "animate":
        return _button(act, job_id, kind="reply", label=words.act_label(act))
    needs = NEEDS[act]
    is_bare = needs.prompt == "none" and needs.choice == "none" and not needs.other_clip
    kind: Kind = "act" if act in AT_ONCE or is_bare else "ask"
    return _button(act, job_id, kind=kind, label=words.act_label(act))


def _button(
    action: str,
    job_id: JobId,
    *,
    kind: Kind | None = None,
    label: str = "",
    target: str = "",
) -> Button:
    return Button(
        action=action,
        job_id=job_id,
        label=label or _LABELS[action],
        kind=kind or ("ask" if action == EDIT or action in REASONS else "act"),
        look=_LOOKS.get(action, ""),
        question=_QUESTIONS.get(action, ""),
        target=target,
    )


# ---- what it stands for ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """A button that was pressed, and what its person gave with it."""

    action: str
    job_id: JobId
    words: str = ""
    choice: str = ""
    other: str = ""
    target: str = ""


def to_typed(pressed: Pressed) -> str:
    """The command that the button stands for; raises `InvalidRequest` for what is none."""
    verb = _VERBS.get(pressed.action, pressed.action)
    is_known = pressed.action in _LABELS or pressed.action in NEEDS
    if not is_known or pressed.action in (EDIT, "animate"):
        raise InvalidRequest("There is no such button. Load the page again.")
    parts = [verb, pressed.job_id]
    if pressed.action == "redo":
        parts.append(pressed.target)
    if pressed.action == "join":
        parts.append(pressed.other)
    return " ".join(part for part in (*parts, pressed.choice, pressed.words) if part)
