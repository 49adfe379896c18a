"""The words of what people have looked at, of the gallery, and of what is taken out again."""

from __future__ import annotations

from bot import notices as n
from bot.words import Text, Tone, clean, parameters, thing

DECIDED: dict[n.Outcome, str] = {
    "removed": "The clip was removed.",
    "blocked": "Its maker was blocked.",
    "kept": "The clip stays.",
}
#: What is pressed for each decision.
DECISIONS: dict[n.Outcome, str] = {"removed": "Remove", "blocked": "Block", "kept": "Keep"}
FORMS: dict[n.ClipForm, str] = {
    "original": "",
    "smaller": "Made smaller to fit this place.",
    "poster": "Too large for this place, so here is a picture of it; the link has the clip.",
}
REASONS_SHOWN = 5
NAME_CHARS = 80


def describe_aside(notice: n.Reported | n.Gallery | n.Letter) -> Text:
    """What is said beside a job's own thread."""
    about, made_by = notice.about, f"by {clean(maker(notice.about), limit=NAME_CHARS)}"
    what, quote = thing(about.work), clean(about.work.prompt)
    if isinstance(notice, n.Reported):
        return Text(
            title=f"A {what} was reported",
            lines=_reported(notice),
            tone=_tone(notice),
            quote=quote,
        )
    title = f"A {what} {made_by}"
    if isinstance(notice, n.Gallery):
        title = f"★ {notice.stars} · {title}"
    link = f"Original: {notice.original_link}" if notice.original_link else ""
    lines = (FORMS[notice.form], parameters(about.work), link, f"job {about.job_id}")
    return Text(title=title, lines=tuple(filter(None, lines)), tone="info", quote=quote)


def maker(about: n.About) -> str:
    """The name of who asked for a clip, which calls nobody."""
    return about.requester.display_name or about.requester.user


def _tone(notice: n.Reported) -> Tone:
    return "bad" if notice.outcome is None else "info"


def _reported(notice: n.Reported) -> tuple[str, ...]:
    about, often = notice.about, notice.count
    people = "1 person" if often == 1 else f"{often} people"
    said = [f"Reason: {clean(each)}" for each in notice.reasons[-REASONS_SHOWN:]]
    name = clean(maker(about), limit=NAME_CHARS)
    lines = [f"Made by {name}, reported by {people}.", *said]
    if notice.outcome is not None:
        who = clean(notice.decided_by, limit=NAME_CHARS)
        lines.append(f"{DECIDED[notice.outcome]} Decided by {who}.")
    elif notice.clip is None:
        lines.append(f"The {thing(about.work)} is gone already.")
    return (*lines, f"job {about.job_id}")


def describe_report(answer: str) -> Text:
    """What became of somebody's report."""
    line = {
        "noted": "Those who run this place are told. Nobody else learns that it was you.",
        "known": "You reported it before. Those who run this place were told.",
        "decided": "Those who run this place have looked at it already.",
    }[answer]
    return Text(title="Thank you", lines=(line,), tone="good")
