"""The list behind More…, with prices, and the forms that ask why. Pure.

A list in a message would say nothing when the same is chosen again; a button always does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.follow_ups import SEVERAL
from adapters.slack import blocks as b
from adapters.slack import buttons, fields
from adapters.slack.blocks import Block
from adapters.slack.filled import Place, read_place, state_of, write_place, written_in
from bot.acts import FIRST_ROW, Offered
from bot.refs import JobId
from bot.text import act_label, act_line

LIST, REPORTING, REJECTING = "ray:list", "ray:report", "ray:reject"
REASON = "reason"
#: As much as is kept of it.
REASON_CHARS = 300
TO_WHOM = "To those who run this place. Nobody else learns that it was you."
TO_WHO_ASKED = "Only to the person who asked, and into the audit log."


def list_view(offers: Sequence[Offered], place: Place) -> dict[str, Any]:
    """What can be made of the clip of `place` and has no button under it; what each costs."""
    # One variation has a button of its own, several are here.
    shown = {*FIRST_ROW, "delete"} - {"variation"}
    drawn = [_entry(each, place.job) for each in offers if each.act not in shown]
    report = buttons.button(buttons.REPORT, place.job)
    return {
        **fields.modal("Make something of it", [*drawn, _line(TO_WHOM, report)]),
        "callback_id": LIST,
        "private_metadata": write_place(place),
    }


def _entry(offer: Offered, job: str) -> Block:
    if offer.act == "variation":
        return _line(act_line(offer), buttons.button(SEVERAL, job, "Variations"))
    return _line(act_line(offer), buttons.button(offer.act, job, act_label(offer.act)))


def _line(words: str, beside: Block) -> Block:
    return {"type": "section", "text": b.plain(words), "accessory": beside}


# ---- a report, or a rejection ----------------------------------------------------------------


def report_view(place: Place) -> dict[str, Any]:
    """The form with which somebody reports the clip of `place`."""
    reason = _reason("What is wrong with it?", TO_WHOM)
    return fields.form("Report a clip", [reason], callback=REPORTING, submit="Report", place=place)


def reject_view(place: Place) -> dict[str, Any]:
    """The form with which a moderator rejects the clip of `place`."""
    reason = _reason("Why is it not posted?", TO_WHO_ASKED)
    return fields.form("Reject a clip", [reason], callback=REJECTING, submit="Reject", place=place)


def _reason(question: str, told: str) -> Block:
    return fields.words(
        REASON,
        question,
        "",
        placeholder="In a few words, if you like",
        hint=told,
        is_optional=True,
        most=REASON_CHARS,
    )


def read_reason(view: dict[str, Any]) -> tuple[JobId, str]:
    """The job that such a form is about, and why; raises `InvalidRequest`."""
    place = read_place(str(view.get("private_metadata") or ""))
    return JobId(place.job), written_in(state_of(view), REASON)
