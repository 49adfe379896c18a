"""The words of what those who run a place look after: reports, queue, audit log, gallery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from textwrap import wrap

from bot import notices as n
from bot.errors import Filtered
from bot.overview import AuditLine, Belongings, Forgetting, ProviderLoad, QueueLine, QueueView
from bot.refs import money
from bot.words import Text, Tone, clean, moment, parameters, thing

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
#: What is pressed for each verdict, and what became of the clip then.
VERDICTS: dict[n.Verdict, str] = {"post": "Post", "reject": "Reject"}
REVIEWED: dict[n.Verdict | None, str] = {
    "post": "Approved, so it is posted.",
    "reject": "Rejected, so it is not posted.",
    None: "It was taken back, so it is not posted.",
}
#: What is pressed to lend an image, or not; and what became of the question.
CONSENTS = {"allow": "Allow", "deny": "Do not allow"}
CONSENT = "May your image be animated?"
ANSWERED = {
    "allowed": "It may be animated this once.",
    "denied": "It may not be animated.",
    "over": "Nobody needs to know any more: it is not made.",
}
RULE_CHARS, RULE_LINE = 1200, 350
PAID = (
    "It is posted only if somebody says so. If not, the person who asked is told, and it stays "
    "charged."
)
REASONS_SHOWN = 5
NOBODY_KNOWN = "somebody"
NAME_CHARS, DETAIL_CHARS = 80, 160


#: What a filter minded, by its class.
MINDED: dict[Filtered, str] = {
    "words": "A filter of the video service minded the words.",
    "image": "A filter of the video service minded the image.",
    "names": "A filter of the video service minded a name that is protected.",
}
NOT_FOR_ALL = "It could not be made; only the person who asked is told why."
Beside = n.Reported | n.Gallery | n.Letter | n.ReviewNeeded | n.Reviewed | n.ConsentAsked


def describe_aside(notice: Beside) -> Text:
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
    if isinstance(notice, n.ConsentAsked):
        return _describe_asking(notice)
    if isinstance(notice, n.ReviewNeeded):
        return _describe_review(notice)
    if isinstance(notice, n.Reviewed):
        return _describe_reviewed(notice)
    title = f"A {what} {made_by}"
    if isinstance(notice, n.Gallery):
        title = f"★ {notice.stars} · {title}"
    link = f"Original: {notice.original_link}" if notice.original_link else ""
    lines = (FORMS[notice.form], parameters(about.work), link, f"job {about.job_id}")
    return Text(title=title, lines=tuple(filter(None, lines)), tone="info", quote=quote)


def describe_rules_first(notice: n.RulesFirst) -> Text:
    """The rules of a place, for the one person who has not accepted them yet."""
    said = (clean(line, limit=RULE_CHARS) for line in notice.rules.splitlines())
    # A platform cuts long lines, and of what is accepted every word is to be read.
    rules = (part for line in said for part in wrap(line, RULE_LINE))
    until = moment(notice.expires_at)
    then = f"Accept them, and your request goes on. It waits until {until}; then it is dropped."
    lines = (*rules, then, f"job {notice.about.job_id}")
    return Text(title="Please read the rules of this place", lines=lines, tone="wait")


def _describe_asking(notice: n.ConsentAsked) -> Text:
    about = notice.about
    who = clean(maker(about), limit=NAME_CHARS)
    title, lines = "An image was asked for", (ANSWERED[notice.answer or "over"],)
    if notice.answer is None:
        when = f" until {moment(notice.expires_at)}" if notice.expires_at is not None else ""
        ask = f"{who} wants to make a clip of an image that you posted."
        title, lines = CONSENT, (f"{ask} Without your answer{when} it is not made.",)
    return Text(title=title, lines=(*lines, f"job {about.job_id}"), quote=clean(about.work.prompt))


def _describe_review(notice: n.ReviewNeeded) -> Text:
    about = notice.about
    still = "still " if notice.is_reminder else ""
    link = f"Original: {notice.original_link}" if notice.original_link else ""
    asker = f"Asked for by {clean(maker(about), limit=NAME_CHARS)}."
    lines = (asker, PAID, FORMS[notice.form], parameters(about.work), link, f"job {about.job_id}")
    return Text(
        title=f"A {thing(about.work)} {still}waits for a moderator",
        lines=tuple(filter(None, lines)),
        tone="wait",
        quote=clean(about.work.prompt),
    )


def _describe_reviewed(notice: n.Reviewed) -> Text:
    about = notice.about
    who = clean(notice.decided_by, limit=NAME_CHARS)
    said = REVIEWED[notice.verdict] + (f" Decided by {who}." if who else "")
    return Text(
        title=f"A {thing(about.work)} by {clean(maker(about), limit=NAME_CHARS)}",
        lines=(said, parameters(about.work), f"job {about.job_id}"),
        tone="good" if notice.verdict == "post" else "info",
        quote=clean(about.work.prompt),
    )


def open_until(notice: n.Notice) -> datetime | None:
    """Until when something can be answered, where it asks for that."""
    asks = n.ConfirmNeeded | n.RulesFirst | n.ConsentNeeded | n.ConsentAsked
    if isinstance(notice, n.ShotFailed):
        return notice.until
    return notice.expires_at if isinstance(notice, asks) else None


def maker(about: n.About) -> str:
    """The name of who asked for a clip, which calls nobody; somebody forgotten has none."""
    return about.requester.display_name or NOBODY_KNOWN


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


def describe_queue(view: QueueView) -> Text:
    """What waits and runs for a place."""
    services = tuple(_load_words(each) for each in view.providers)
    if not view.lines:
        return Text(title="Nothing waits and nothing runs here", lines=services)
    rest = view.count - len(view.lines)
    more = (f"{rest} more are not shown.",) if rest else ()
    head = ("job", "who", "model", "stands", "since", "price")
    rows = (_queue_cells(each) for each in view.lines)
    return Text(title="The queue here", lines=services + more, table=(head, *rows))


def _load_words(load: ProviderLoad) -> str:
    trouble = f" {clean(load.trouble)}" if load.trouble else ""
    slots = (
        f"{load.running} of {load.slots} slots in use" if load.slots else f"{load.running} left"
    )
    return f"{load.name}: {slots}.{trouble}"


def _queue_cells(line: QueueLine) -> tuple[str, ...]:
    place = f"place {line.position}" if line.position else "waits"
    stands = "runs" if line.is_running else place
    who = clean(line.person, limit=NAME_CHARS)
    return (line.job_id, who, line.model, stands, moment(line.since), money(line.price))


def describe_audit(lines: Sequence[AuditLine]) -> Text:
    """Who did what to whom in a place."""
    if not lines:
        return Text(title="Nothing more was done here")
    rows = (
        (
            moment(each.at),
            each.actor.rpartition(":")[2],
            each.act,
            "" if each.actor.startswith(f"{each.target}:") else each.target.rpartition(":")[2],
            clean(_detail(each), limit=DETAIL_CHARS),
        )
        for each in lines
    )
    return Text(title="What was done here", table=(("when", "who", "what", "whom", ""), *rows))


def _detail(line: AuditLine) -> str:
    """What is said of an act; whose clip it was about without the place, which is this one."""
    place = line.actor.rpartition(":")[0]
    return (
        f"of {line.detail[len(place) + 1 :]}"
        if line.detail.startswith(f"{place}:")
        else line.detail
    )


# ---- what is forgotten -----------------------------------------------------------------------

_STAYS = (
    ("what stays", "why"),
    ("sums of money, counts and times, under an id", "limits and books are made of them"),
    ("blocks, limits and the audit log", "those who run this place decided them"),
    ("what others made of the clips, and their reports", "it is theirs"),
    ("what the video service keeps by its own rules", "we delete there what it lets us"),
    ("backups", "until the operator replaces them"),
    ("what is kept in other places", "it goes where it is asked for there"),
)


#: Where nothing can be pressed.
CONFIRM_TYPED = "To let it all go, type: forget me yes"
#: What is pressed.
FORGET = "Forget it all"


def describe_forgetting(page: Forgetting) -> Text:
    """What goes of a person, and what stays; adapters make a mention of somebody else's id."""
    whose = clean(page.of, limit=NAME_CHARS) if page.of else "yours"
    if page.what.is_empty:
        if not page.what.going:
            return Text(title=f"Nothing of {whose} is kept here")
        line = f"{_many(page.what.going, 'request')} left. It goes on by itself."
        return Text(title=f"Everything of {whose} is being removed", lines=(line,), tone="wait")
    if page.is_begun:
        line = "It goes on by itself, also after a restart. What runs goes when it has ended."
        new = f"What {'they ask' if page.of else 'you ask'} for from now on is new, and stays."
        title = f"Everything of {whose} is being removed"
        return Text(title=title, lines=(line, new), tone="wait", table=_STAYS)
    running = page.what.under_way
    way = (
        f"{_many(running, 'request')} under way {'is' if running == 1 else 'are'} cancelled; "
        "what already runs at the video service is charged, and not posted."
    )
    lines = (f"This goes: {_listed(page.what)}.", way if running else "")
    ask = "It cannot be taken back."
    title = f"Shall everything of {whose} be forgotten here?"
    return Text(title=title, lines=(*filter(None, lines), ask), table=_STAYS)


def _listed(what: Belongings) -> str:
    """Everything there is, with how many."""
    counts = (
        (what.requests, "request with its messages", "requests with their messages"),
        (what.images, "image", "images"),
        (what.clips, "clip with its copies", "clips with their copies"),
        (what.settings, "own setting", "own settings"),
        (what.stars, "star", "stars"),
        (what.reasons, "reason of a report", "reasons of reports"),
        (what.letters, "copy sent directly", "copies sent directly"),
        (what.brought, "image kept for the page", "images kept for the page"),
        (what.said, "message on the page", "messages on the page"),
    )
    return ", ".join(f"{n} {one if n == 1 else more}" for n, one, more in counts if n)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
