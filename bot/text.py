"""What people read of each notice, as plain text; adapters draw it. Pages: `bot.wording`."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from bot import notices as n
from bot.job import FILTERS, WITHHELD, Route
from bot.refs import JobId, Micros, Price, money
from bot.wording.act_words import (
    act_label,
    act_line,
    child_line,
    family_lines,
    option_line,
    parent_line,
)
from bot.wording.care_words import (
    CONFIRM_TYPED,
    CONSENTS,
    DECIDED,
    DECISIONS,
    FORGET,
    FORMS,
    MINDED,
    NOT_FOR_ALL,
    VERDICTS,
    Beside,
    describe_aside,
    describe_audit,
    describe_forgetting,
    describe_queue,
    describe_report,
    describe_rules_first,
    maker,
    open_until,
)
from bot.wording.digest_words import DIGEST, describe_digest, starred_line
from bot.wording.error_words import describe_error
from bot.wording.page_words import (
    describe_invitation,
    describe_jobs,
    describe_limits,
    describe_rules,
    describe_server_usage,
    describe_settings,
    describe_settings_in,
    describe_usage,
    describe_usage_by_day,
    help_text,
    line_price,
    short_help,
    timeline,
)
from bot.wording.story_words import cut_list, decision_lines, pressed_lines, shot_lines
from bot.words import (
    QUOTE_CHARS,
    Table,
    Text,
    Tone,
    about,
    aligned,
    charge_words,
    clean,
    gist,
    moment,
    parameters,
    price_words,
    span,
    thing,
)

__all__ = [
    "CONFIRM_TYPED",
    "CONSENTS",
    "DECIDED",
    "DECISIONS",
    "DIGEST",
    "FORGET",
    "QUOTE_CHARS",
    "VERDICTS",
    "Beside",
    "Table",
    "Text",
    "Tone",
    "about",
    "act_label",
    "act_line",
    "advises_retry",
    "aligned",
    "charge_words",
    "child_line",
    "clean",
    "describe",
    "describe_audit",
    "describe_error",
    "describe_forgetting",
    "describe_invitation",
    "describe_jobs",
    "describe_limits",
    "describe_queue",
    "describe_report",
    "describe_rules",
    "describe_server_usage",
    "describe_settings",
    "describe_settings_in",
    "describe_usage",
    "describe_usage_by_day",
    "family_lines",
    "gist",
    "help_text",
    "line_price",
    "lines_beside",
    "maker",
    "moment",
    "open_until",
    "option_line",
    "parameters",
    "parent_line",
    "price_words",
    "ready_at",
    "short_help",
    "span",
    "starred_line",
    "thing",
    "timeline",
    "whole_price",
]
Running = (
    n.Received
    | n.ConfirmNeeded
    | n.RulesFirst
    | n.ConsentNeeded
    | n.Accepted
    | n.Queued
    | n.Generating
    | n.Filming
    | n.ShotFailed
    | n.Waiting
    | n.Uncertain
    | n.Fetching
    | n.Reviewing
)


# ---- notices ---------------------------------------------------------------------------------


def describe(notice: n.Notice) -> Text:
    """The words of a notice."""
    if isinstance(notice, n.Digest):
        return describe_digest(notice)
    if isinstance(notice, Beside):
        return describe_aside(notice)
    if isinstance(notice, n.Delivered | n.Done | n.Failed | n.Cancelled | n.Operator):
        return _describe_end(notice)
    return _describe_running(notice)


def _text(about: n.About, title: str, *lines: str, tone: Tone, cost: str | None = None) -> Text:
    if cost is None and about.price is not None:
        cost = price_words(about.price)
    last = " · ".join(part for part in (cost, f"job {about.job_id}") if part)
    remarks = tuple(clean(remark) for remark in about.remarks)
    shots = () if tone == "good" else shot_lines(about)
    of_film = (f"Shot of the film {about.film}",) if about.film else ()
    came = (parent_line(about.parent),) if about.parent is not None else ()
    said = (*(line for line in lines if line), *shots, *of_film, *came)
    every = (*said, parameters(about.work), last, *remarks)
    return Text(title=title, lines=every, tone=tone, quote=clean(about.work.prompt))


def _describe_running(notice: Running) -> Text:
    about_it = notice.about
    match notice:
        case n.Received():
            return _text(about_it, "Reading your request", tone="wait")
        case n.ConfirmNeeded() | n.RulesFirst() | n.ConsentNeeded():
            return _describe_question(notice)
        case n.Accepted():
            return _text(about_it, "Accepted", tone="info")
        case n.Queued(position=place, expected=expected):
            what = thing(about_it.work)
            line = f"Your {what} is expected in {about(expected)}." if expected else ""
            return _text(about_it, f"In line, place {place}", line, tone="wait")
        case n.Generating(expected=expected, is_slow=is_slow):
            usual = f"It usually takes {about(expected)}." if expected else ""
            slow = "It takes unusually long; it stays under watch and will be delivered late."
            title = "Generating, slower than usual" if is_slow else "Generating"
            return _text(about_it, title, slow if is_slow else usual, tone="wait")
        case n.Filming() | n.ShotFailed():
            return _describe_filming(notice)
        case n.Waiting(sentence=sentence, offer=offer):
            stays = "Your request stays in line; you can cancel it."
            other = _offer_words(offer, about_it.job_id) if offer else ""
            return _text(about_it, "Waiting", clean(sentence), stays, other, tone="wait")
        case n.Uncertain():
            why = "The video service did not say whether it took this request."
            safe = "It is not sent again, so that nothing is paid twice. The operator decides; "
            safe += "until then its price stays reserved."
            return _text(about_it, "Waiting for the operator", why, safe, tone="bad")
        case n.Fetching() | n.Reviewing():
            return _describe_made(notice)
    assert_never(notice)


def _describe_question(notice: n.ConfirmNeeded | n.RulesFirst | n.ConsentNeeded) -> Text:
    """What must be answered before anything is held, as everybody may read it."""
    about_it, until = notice.about, moment(notice.expires_at)
    if isinstance(notice, n.RulesFirst):
        if not notice.is_for_all:
            return describe_rules_first(notice)
        told = "They were shown the rules of this place, and have to accept them."
        return _text(about_it, "Waiting for the person who asked", told, tone="wait")
    if isinstance(notice, n.ConsentNeeded):
        ask = "Whoever posted the image is asked whether it may be animated."
        free = f"Nothing is charged unless they allow it, until {until}."
        return _text(about_it, "Waiting for consent", ask, free, tone="wait")
    offer, size = f"Nothing is charged unless you confirm, until {until}.", notice.batch_size
    every = f"If you confirm or cancel one of the {size}, you do so with all." if size > 1 else ""
    return _text(about_it, _price_question(notice), offer, every, tone="wait")


def _price_question(asks: n.ConfirmNeeded) -> str:
    """The whole price and what it is for, as a question: a title, so a receipt has it, too."""
    price, size, what = asks.about.price, asks.batch_size, thing(asks.about.work)
    if price is None:
        return "Please confirm the price"
    test = "test " if price.is_test else ""
    cost = f"about {money(price.micros * size)}"
    verb = "would cost" if price.is_test else "cost" if size > 1 else "costs"
    if size > 1:
        return f"These {size} {test}{what}s {verb} {cost} together. Make them?"
    return f"This {test}{what} {verb} {cost}. Make it?"


def _describe_made(notice: n.Fetching | n.Reviewing) -> Text:
    what = thing(notice.about.work)
    if isinstance(notice, n.Fetching):
        return _text(notice.about, f"Finished, fetching the {what}", tone="wait")
    told = f"Your {what} is made and paid. It is posted once a moderator has looked at it."
    return _text(notice.about, "Waiting for a moderator", told, tone="wait")


def whole_price(asks: n.ConfirmNeeded) -> str:
    """What all that was asked for at once costs together."""
    price = asks.about.price
    if price is None:
        return "its price"
    return price_words(Price(micros=Micros(price.micros * asks.batch_size), is_test=price.is_test))


def _describe_filming(notice: n.Filming | n.ShotFailed) -> Text:
    about_it = notice.about
    title = f"Shot {notice.number} of {len(about_it.shots)}"
    if isinstance(notice, n.ShotFailed):
        why = NOT_FOR_ALL if notice.is_for_all else notice.sentence
        told = (clean(why), *decision_lines(notice))
        return _text(about_it, f"{title} failed", *told, tone="bad")
    of_shot = _describe_running(notice.shot)
    facts = of_shot.lines.index(parameters(notice.shot.about.work))
    told = (f"{of_shot.title}.", *of_shot.lines[:facts])
    return _text(about_it, title, *told, tone=of_shot.tone)


def _offer_words(offer: Route, job_id: JobId) -> str:
    price = money(offer.price.micros)
    return f"{offer.provider} could make it now, for {price}. {_offer_typed(job_id)}"


def _offer_typed(job_id: JobId) -> str:
    return f"To have it so: confirm {job_id}"


def _describe_end(
    notice: n.Delivered | n.Done | n.Failed | n.Cancelled | n.Operator,
) -> Text:
    match notice:
        case n.Delivered():
            return _describe_delivered(notice)
        case n.Done(about=about_it):
            cost = _delivered_cost(about_it, notice.charged)
            return _text(
                about_it, "Delivered", f"took {span(notice.took)}", tone="good", cost=cost
            )
        case n.Failed(about=about_it, code="deleted"):
            gone = (clean(notice.sentence), charge_words(notice.charged))
            return _text(about_it, "Deleted", *gone, tone="info", cost="")
        case n.Failed(is_for_all=True):
            return _describe_veiled(notice)
        case n.Failed(about=about_it):
            again = _again(about_it.job_id) if advises_retry(notice) else ""
            minded = MINDED[notice.minded] if notice.minded else ""
            told = (minded, clean(notice.sentence), again, charge_words(notice.charged))
            title = f"No {thing(about_it.work)} this time"
            return _text(about_it, title, *told, tone="bad", cost="")
        case n.Cancelled(about=about_it):
            why, cost = _why_charged(notice), charge_words(notice.charged)
            return _text(about_it, "Cancelled", why, cost, tone="info", cost="")
        case n.Operator():
            job = (f"job {notice.job_id}",) if notice.job_id else ()
            return Text(title="For the operator", lines=(clean(notice.sentence), *job), tone="bad")
    assert_never(notice)


def _why_charged(notice: n.Cancelled) -> str:
    """Why what was cancelled is charged all the same, where it is."""
    if notice.was_made:
        stays = ", so it stays charged" if notice.charged else ""
        return f"The {thing(notice.about.work)} was already made{stays}; it is not posted."
    return "The video service does not stop a running generation." if notice.charged else ""


def _describe_veiled(notice: n.Failed) -> Text:
    """What everybody may read: not why, and not even what was asked for."""
    title = "Not posted" if notice.code == WITHHELD else "Not made"
    job_id = notice.about.job_id
    told = (f"Only the person who asked can read why: `show {job_id}`", f"job {job_id}")
    return Text(title=title, lines=told, tone="info")


def _describe_delivered(notice: n.Delivered) -> Text:
    about_it = notice.about
    is_still, what = about_it.work.kind == "image", thing(about_it.work)
    facts = f"{notice.width}×{notice.height}"
    facts += "" if is_still else f" · {notice.seconds:.3g} s"
    facts += f" · {notice.bytes / 1e6:.1f} MB · took {span(notice.took)}"
    fit = FORMS["smaller" if is_still and notice.form != "original" else notice.form]
    link = f"Original: {notice.original_link}" if notice.original_link else ""
    cost = _delivered_cost(about_it, notice.charged)
    told = (facts, *cut_list(about_it), fit, link)
    return _text(about_it, f"Your {what} is ready", *told, tone="good", cost=cost)


def advises_retry(notice: n.Failed) -> bool:
    """Whether the same again can help."""
    return notice.code not in _HOPELESS


def _again(job_id: JobId) -> str:
    return f"To try again: retry {job_id}"


def ready_at(notice: n.Notice, now: datetime) -> datetime | None:
    """When a clip is expected, unless that is past, or nobody can tell."""
    match notice:
        case n.Queued(expected=expected) if expected is not None:
            return now + expected
        case n.Generating(since=since, expected=expected, is_slow=False) if expected is not None:
            return since + expected if since + expected > now else None
    return None


def lines_beside(notice: n.Notice, ready: datetime | None) -> list[str]:
    """A notice's lines where buttons stand under it and a time says when it is `ready`."""
    said = set()
    if isinstance(notice, n.Queued) and notice.expected is not None and ready:
        said.add(about(notice.expected))
    if isinstance(notice, n.Failed):
        said.add(_again(notice.about.job_id))
    lines = [line for line in describe(notice).lines if not any(each in line for each in said)]
    if isinstance(notice, n.ShotFailed):
        return pressed_lines(notice, lines)
    if isinstance(notice, n.Waiting):
        typed = _offer_typed(notice.about.job_id)
        return [line.replace(typed, "Press Confirm to have it so.") for line in lines]
    return lines


def _delivered_cost(about_it: n.About, charged: Micros) -> str:
    if about_it.price and about_it.price.is_test:
        return price_words(about_it.price, is_over=True)
    return charge_words(charged).rstrip(".")


#: Failures whose sentence says what to change; the same again would fail again.
_HOPELESS = frozenset(
    {*FILTERS, "prompt", "loop", "frames", "fixed", "extend"}
    | {"concepts", "image", "retired", "kept", "refused", "late_refusal"}
    | {"deleted", WITHHELD}
)
