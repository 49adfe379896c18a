"""Which buttons stand under a notice, and what is on the list below them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from adapters.follow_ups import SEVERAL, remix_of
from bot import notices as n
from bot import text as words
from bot.acts import ACTS, FIRST_ROW, Offered
from bot.errors import BotError, Moderated
from bot.text import DECISIONS, act_label, act_line

Style = Literal["primary", "secondary", "success", "danger"]
#: Every notice about a job.
Told = words.Running | n.Delivered | n.Done | n.Failed | n.Cancelled | words.Beside
MORE = "more"
EDIT = "Edit and retry"
#: What can be made of any clip by its id, each with what it makes.
MADE_OF_CLIPS = {
    SEVERAL if act == "variation" else act: f"{act_label(act)} · {act_line(Offered(act=act))}"
    for act in ACTS
    if act not in ("animate", "retry", "delete")
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One act on the list below the buttons."""

    value: str
    label: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Button:
    """A button to be, or with `entries` a list.

    `job` is what the action is done to: a job, a shot of one, or a tenant.
    """

    label: str
    action: str
    job: str
    style: Style
    emoji: str | None = None
    entries: tuple[Entry, ...] = ()


#: Under `/ray help`, for whoever runs Raybot: they may manage no server that has it.
DESK = Button(label="Open the desk", action="desk", job="all", style="primary")
_STYLES: dict[str, Style] = {
    **dict.fromkeys(("confirm", "approve", "post", "accept", "allow"), "success"),
    **dict.fromkeys(("delete", "reject"), "danger"),
}
_EMOJI = {
    "animate": "🎬",
    "extend": "⏩",
    "variation": "🔀",
    "retry": "🔁",
    "remix": "🎨",
    "loop": "♾️",
    "delete": "🗑️",
}


def buttons_for(job: str, *actions: str) -> tuple[Button, ...]:
    """A row of buttons for a job, or a tenant."""
    return tuple(
        Button(
            label=action.capitalize(),
            action=action,
            job=job,
            style=_STYLES.get(action, "secondary"),
            emoji=_EMOJI.get(action),
        )
        for action in actions
    )


def choices_of(notice: Told) -> tuple[Button, ...]:
    """What can be done under a notice."""
    job = notice.about.job_id
    if isinstance(notice, words.Beside):
        return _decisions(notice)
    match notice:
        case n.ConfirmNeeded() | n.RulesFirst() | n.ConsentNeeded():
            return _before(notice)
        case n.ShotFailed(number=number, can_finish=can_finish):
            ends = ("finish", "cancel") if can_finish else ("cancel",)
            return (*buttons_for(f"{job}:{number}", "redo"), *buttons_for(job, *ends))
        case n.Filming() | n.Received() | n.Accepted() | n.Queued() | n.Generating():
            return buttons_for(job, "cancel")
        case n.Waiting(offer=offer):
            return buttons_for(job, *(["confirm"] if offer else []), "cancel")
        case n.Delivered():
            return _acts(notice)
        case n.Failed():
            return _after(notice)
        case n.Cancelled():
            return buttons_for(job, "retry")
        case n.Uncertain() | n.Fetching() | n.Reviewing() | n.Done():
            return ()
    assert_never(notice)


def _before(notice: n.ConfirmNeeded | n.RulesFirst | n.ConsentNeeded) -> tuple[Button, ...]:
    """What can be done before anything is held."""
    job = notice.about.job_id
    if isinstance(notice, n.ConfirmNeeded):
        return buttons_for(job, "confirm", "cancel")
    is_asked = isinstance(notice, n.RulesFirst) and not notice.is_for_all
    return buttons_for(job, *(["accept"] if is_asked else []), "cancel")


def _after(notice: n.Failed) -> tuple[Button, ...]:
    """What can be done instead."""
    job = notice.about.job_id
    if notice.is_for_all or notice.minded:
        return _edit(job) if notice.can_edit else ()
    again = ["retry"] if words.advises_retry(notice) else []
    return buttons_for(job, *again, *remix_of(notice.about.work))


def choices_under(error: BotError) -> tuple[Button, ...]:
    """What can be done about a refusal."""
    return _edit(error.job_id) if isinstance(error, Moderated) and error.job_id else ()


def _edit(job: str) -> tuple[Button, ...]:
    """The form, filled in with what a filter refused."""
    return (Button(label=EDIT, action="edit", job=job, style="primary"),)


def _decisions(notice: words.Beside) -> tuple[Button, ...]:
    """What those who run a place, or posted an image, can decide."""
    job = notice.about.job_id
    if isinstance(notice, n.ConsentAsked):
        open_acts = words.CONSENTS if notice.answer is None else {}
        return tuple(
            Button(label=label, action=each, job=job, style=_STYLES.get(each, "secondary"))
            for each, label in open_acts.items()
        )
    if isinstance(notice, n.ReviewNeeded):
        return tuple(
            Button(label=label, action=each, job=job, style=_STYLES[each])
            for each, label in words.VERDICTS.items()
        )
    outcomes = notice.choices if isinstance(notice, n.Reported) else ()
    return tuple(
        Button(label=DECISIONS[each], action=each, job=job, style="secondary") for each in outcomes
    )


def _acts(notice: n.Delivered) -> tuple[Button, ...]:
    """The first row, with Delete at its end, and the list of the rest."""
    job, offered = notice.about.job_id, notice.acts
    if not offered:
        return buttons_for(job, "retry", *remix_of(notice.about.work), "delete")
    possible = {each.act for each in offered}
    row = [act for act in FIRST_ROW if act in possible and act != "retry"]
    last = ["delete"] if "delete" in possible else []
    rest = tuple(
        _entry(each)
        for each in offered
        if each.act not in {*row, "delete", "retry"} - {"variation"}
    )
    report = Entry(value="report", label="Report", description="To those who run this place")
    entries = (*rest, report)
    more = Button(label="More…", action=MORE, job=job, style="secondary", entries=entries)
    return (*buttons_for(job, *row, *last), more)


def _entry(offer: Offered) -> Entry:
    if offer.act == "variation":
        most = offer.options[-1].value
        return Entry(value=SEVERAL, label="Variations", description=f"1 to {most} at once")
    return Entry(value=offer.act, label=act_label(offer.act), description=act_line(offer))
