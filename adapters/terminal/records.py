"""What a script reads: notices and pages as JSON objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.opinions import to_decide, to_edit, to_lend, to_review
from bot import notices as n
from bot.errors import BotError, Refusal
from bot.refs import JobId
from bot.studio import Allowance, JobLine, Offered, Relative, Shown, UsageReport, UsageRow
from bot.text import Text, clean, describe, option_line


def words(notice: n.Notice) -> Text:
    """The words of a notice; at a terminal the operator is at hand and is told what to type."""
    text, told = describe(notice), _advice(notice)
    return replace(text, lines=(*text.lines, told)) if told else text


def _advice(notice: n.Notice) -> str:
    """What whoever sits here can type about it."""
    match notice:
        case n.Uncertain(about=about):
            choice = "adopt <generation> | charge | release"
            return f"To decide: raybot resolve {about.job_id} {choice}"
        case n.ReviewNeeded(about=about):
            return to_review(about.job_id)
        case n.Reported(about=about, outcome=None):
            return to_decide(about.job_id)
        case n.ConsentAsked(about=about, answer=None):
            return to_lend(about.job_id, clean(notice.owner, limit=80))
        case n.Failed(about=about, minded=minded) if minded and notice.can_edit:
            return to_edit(about.job_id, minded)
        case n.Delivered(about=about, acts=acts) if getattr(about.work, "is_draft", False):
            return _finals(about.job_id, acts)
    return ""


def _finals(job_id: JobId, acts: Sequence[Offered]) -> str:
    """What a draft can be made large for."""
    finals = (each for each in acts if each.act == "final")
    sizes = ", ".join(option_line(each, size) for each in finals for size in each.options)
    return f"To make it large: final {job_id} and a size: {sizes}" if sizes else ""


def to_record(notice: n.Notice, *, number: str, path: Path | None) -> dict[str, Any]:
    """A notice for a script: one JSON object with the same keys for every notice."""
    about = getattr(notice, "about", None)
    price = about.price if about else None
    charged = getattr(notice, "charged", None)
    record: dict[str, Any] = {
        "notice": snake(type(notice).__name__),
        "job_id": about.job_id if about else getattr(notice, "job_id", None),
        "message": number or None,
        "sentence": sentence_of(notice),
        "price_usd": dollars(price.micros) if price else None,
        "charged_usd": None if charged is None else dollars(charged),
        "is_test": bool(price and price.is_test),
        "path": str(path) if path else None,
    }
    for name in (
        "position",
        "number",
        "is_slow",
        "code",
        "expires_at",
        "width",
        "height",
        "seconds",
    ):
        if hasattr(notice, name):
            record[name] = plain(getattr(notice, name))
    if about and about.shots:
        record["shots"] = [_shot_record(shot) for shot in about.shots]
    for name in ("expected", "took"):
        if hasattr(notice, name):
            record[f"{name}_seconds"] = plain(getattr(notice, name))
    if about and about.parent is not None:
        record["parent"] = parent_record(about.parent)
    if hasattr(notice, "acts"):
        record["acts"] = [act_record(each) for each in notice.acts]
    return record


def _shot_record(shot: n.Shot) -> dict[str, Any]:
    money = {"price_usd": dollars(shot.price.micros), "charged_usd": dollars(shot.charged)}
    known = {"number": shot.number, "job_id": shot.job_id, "prompt": shot.prompt}
    return known | {"state": shot.state, "seconds": shot.seconds} | money


def parent_record(parent: n.Parent | Relative) -> dict[str, Any]:
    """A job that another came of, for a script."""
    return {"job_id": parent.job_id, "relation": parent.relation}


def act_record(offer: Offered) -> dict[str, Any]:
    """What can be done with a clip, for a script."""
    options = {
        each.value: dollars(each.price.micros) if each.price else None for each in offer.options
    }
    price = dollars(offer.price.micros) if offer.price else None
    return {"act": offer.act, "price_usd": price, "options": options}


def family_record(shown: Shown) -> dict[str, Any]:
    """Where a clip comes from and what came of it, for a script."""
    return {
        "parents": [parent_record(each) for each in shown.parents],
        "children": [{**parent_record(each), "state": each.state} for each in shown.children],
    }


def sentence_of(notice: n.Notice) -> str:
    """A notice in one plain sentence, for a script to pass on."""
    if isinstance(notice, n.Uncertain):
        return " ".join((*words(notice).lines[:2], words(notice).lines[-1]))
    return clean(getattr(notice, "sentence", "") or words(notice).title, limit=500)


def snake(name: str) -> str:
    """`ConfirmNeeded` as `confirm_needed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def dollars(micros: int) -> float:
    """Micro-dollars as the dollars of a JSON object."""
    return round(micros / 1_000_000, 6)


def plain(value: Any) -> Any:
    """A value as JSON takes it: times as ISO 8601, lengths in seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value


def error_record(error: BotError, text: Text, *, job_id: JobId | None) -> dict[str, Any]:
    """A refusal or an error for a script."""
    return {
        "notice": "refused" if isinstance(error, Refusal) else "error",
        "code": snake(type(error).__name__),
        "field": getattr(error, "field", None),
        "job_id": job_id,
        "sentence": clean(error.sentence, limit=500),
        "advice": list(text.lines[1:]),
        "resets_at": plain(getattr(error, "resets_at", None)),
    }


def usage_record(report: UsageReport, days: Sequence[UsageRow]) -> dict[str, Any]:
    """A usage report for a script, with the days of this month."""

    def row(used: UsageRow) -> dict[str, Any]:
        counts = {"asked": used.asked, "delivered": used.delivered, "refused": used.refused}
        more = {"failed": used.failed, "seconds": used.seconds}
        return counts | more | {"charged_usd": dollars(used.charged)}

    def limit(each: Allowance) -> dict[str, Any]:
        shown = dollars if each.is_money else int
        allowed = None if each.allowed is None else shown(each.allowed)
        used = {"name": each.name, "used": shown(each.used), "allowed": allowed}
        return used | {
            "unit": "usd" if each.is_money else "clips",
            "resets_at": plain(each.resets_at),
        }

    return {
        "notice": "usage",
        "today": row(report.today),
        "month": row(report.month),
        "days": {each.label: row(each) for each in days if each.asked},
        "limits": [limit(each) for each in report.allowances],
        "test_clips": report.test_clips,
        "test_usd": dollars(report.test_micros),
        "grants": [
            {"usd": dollars(each.micros), "until": plain(each.until)} for each in report.grants
        ],
        "last": [job_record(each) for each in report.last],
    }


def job_record(line: JobLine) -> dict[str, Any]:
    """One of one's own jobs for a script."""
    return {
        "job_id": line.job_id,
        "state": line.state,
        "prompt": line.prompt,
        "created_at": plain(line.created_at),
        "price_usd": dollars(line.price),
    }
