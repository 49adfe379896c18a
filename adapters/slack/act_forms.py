"""The form behind an act on a finished clip, and what was filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters.follow_ups import AT_ONCE, CHOOSE, DEEDS, SEVERAL, WORDS, act_of
from adapters.slack import fields
from adapters.slack.blocks import Block
from adapters.slack.filled import (
    END,
    OTHER_VERSION,
    PROMPT,
    Place,
    chosen_in,
    file_in,
    read_place,
    state_of,
    written_in,
)
from adapters.work_text import to_job_id
from bot.acts import DEFAULT_CHOICES, NEEDS, Act, Offered
from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.text import act_label, option_line

DEED = "ray:deed"
CHOICE, OTHER, WITHOUT = "choice", "other", "without"
HAS_FORM = frozenset({*DEEDS, SEVERAL}) - AT_ONCE
#: Those whose words are not about the picture.
OTHER_WORDS: frozenset[Act] = frozenset({"audio"})
NO_WORDS = "Say in a few words what you want."
NOT_TWO = "Name two different clips to join."


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What somebody wants done with the clip of `place`; files by their ids."""

    act: Act
    place: Place
    choice: str = ""
    prompt: str = ""
    without: str = ""
    other: JobId | None = None
    end_file: str | None = None


def deed_view(offer: Offered, place: Place, *, prompt: str = "") -> dict[str, Any]:
    """The form with what the act needs; `prompt` is the clip's own, to go on from."""
    needs = offer.needs
    options = [(option_line(offer, each), each.value) for each in offer.options]
    drawn: list[Block] = []
    if needs.other_clip:
        drawn.append(fields.line(OTHER, "The other clip", placeholder="r-7k2m9q1x0z"))
    drawn += fields.choice(
        CHOICE,
        CHOOSE.get(needs.choice, "Which?"),
        options,
        chosen=DEFAULT_CHOICES.get(needs.choice),
        is_optional=False,
    )
    drawn += _words(offer, prompt)
    if offer.act == "audio":
        drawn.append(
            fields.line(
                WITHOUT, "What should not be heard", placeholder="voices", is_optional=True
            )
        )
    if needs.takes_image:
        drawn.append(fields.image(END, "An image to end on", hint="The last picture."))
    place = replace(place, act=offer.act)
    return fields.form(act_label(offer.act), drawn, callback=DEED, submit="Create", place=place)


def _words(offer: Offered, prompt: str) -> list[Block]:
    """What is to be said of it, where anything is."""
    is_needed = offer.needs.prompt == "needed"
    if offer.needs.prompt == "none":
        return []
    # What has no room would be cut away unseen; an empty field keeps it whole.
    is_shown = offer.act not in OTHER_WORDS and fields.cut(prompt) == prompt
    return [
        fields.words(
            PROMPT,
            WORDS.get(offer.act, "Words"),
            prompt if is_shown else "",
            placeholder="In a few words" if is_needed else "Empty: as it was asked for",
            is_optional=not is_needed,
        )
    ]


def read_deed(view: Mapping[str, Any]) -> Deed:
    """A filled form; raises `InvalidRequest` where another version made it."""
    place, state = read_place(str(view.get("private_metadata") or "")), state_of(view)
    if (act := act_of(place.act)) is None:
        raise InvalidRequest(OTHER_VERSION)
    return Deed(
        act=act,
        place=place,
        choice=chosen_in(state, CHOICE) or "",
        prompt=written_in(state, PROMPT),
        without=written_in(state, WITHOUT),
        other=_to_job_id(written_in(state, OTHER)),
        end_file=file_in(state, END),
    )


def errors_of(view: Mapping[str, Any]) -> dict[str, str]:
    """What cannot be, by the field it is said under; what the clip decides, the studio says."""
    if view.get("callback_id") != DEED:
        return {}
    try:
        place = read_place(str(view.get("private_metadata") or ""))
    except InvalidRequest:
        # Which fields it has is not known, so its person is told beside it.
        return {}
    if (act := act_of(place.act)) is None:
        return {}
    needs, state, wrong = NEEDS[act], state_of(view), {}
    if needs.prompt == "needed" and not written_in(state, PROMPT):
        wrong[PROMPT] = NO_WORDS
    try:
        if needs.other_clip and _to_job_id(written_in(state, OTHER)) in (None, place.job):
            wrong[OTHER] = NOT_TWO
    except InvalidRequest as error:
        wrong[OTHER] = error.sentence
    return wrong


def _to_job_id(typed: str) -> JobId | None:
    if typed and (match := re.fullmatch(r"`?r-([0-9a-z]{4,16})`?", typed.lower())) is None:
        raise InvalidRequest("A job's id looks like r-0yb7k2m9q.", field=OTHER)
    return to_job_id(match[1]) if typed and match else None
