"""What the `raybot` command prints for an operator: usage as a table or for machines, limits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from bot import quota
from bot.errors import InvalidRequest
from bot.limits import BY_KEY, Limit, What, Whose
from bot.overview import UsageRow
from bot.refs import Micros, money
from bot.request import RESOLUTIONS
from bot.store.moving import Moved
from bot.store.reports import Grouping, total
from bot.tables import LimitsTable, micros
from bot.text import clean
from bot.words import cell

Form = Literal["table", "csv", "json"]
LABEL_CHARS = 60
NEXT = (
    "Now set [bot] database_url to the address after --to, in the file or, for its password, in "
    "RAYBOT_BOT__DATABASE_URL.",
    "Keep the secret key: the same [bot] secret_key, else what secret.key in data_dir holds, as "
    "RAYBOT_BOT__SECRET_KEY. Nothing else opens what is sealed in the vault.",
)
MEDIA_SHARED = (
    "Clips and images were not moved. Every process finds them in a bucket: set [bot] media_url, "
    "and copy what the folder media in data_dir holds to it, by the same names. In data_dir they "
    "stay for one machine alone: set [bot] single_host = true."
)
MEDIA_ALONE = "Clips and images were not moved: keep data_dir and [bot] media_url as they are."
ORDER: tuple[What, ...] = ("usd", "clips", "running")
CIRCLES: tuple[Whose, ...] = ("person", "guest", "channel", "tenant", "total")


@dataclass(frozen=True, kw_only=True)
class Period:
    """From one day to another, both included, as they were typed; else the last `days`.

    Of those, the last is the day of `until` or today, and the first begins at midnight.
    """

    since: str | None = None
    until: str | None = None
    days: int = 30

    def to_times(self, now: datetime, timezone: str) -> tuple[datetime, datetime]:
        """The first moment of it and the first one after it; raises `InvalidRequest`."""
        zone = ZoneInfo(timezone)
        end = now if self.until is None else _midnight(self.until, "--until", zone, days=1)
        if self.since is None:
            start = self._first_of(end, timezone)
        else:
            start = _midnight(self.since, "--since", zone)
        if start >= end:
            raise InvalidRequest("--since must be before --until, and not in the future.")
        return start, end

    def _first_of(self, end: datetime, timezone: str) -> datetime:
        """The midnight with which the last `days` before this moment begin."""
        last = end - timedelta(microseconds=1)
        try:
            return quota.days_before(last, timezone, self.days)
        except OverflowError:
            raise InvalidRequest(f"--days: {self.days} days ago there was no calendar.") from None


def _midnight(said: str, option: str, zone: ZoneInfo, *, days: int = 0) -> datetime:
    try:
        day = date.fromisoformat(said) + timedelta(days=days)
        return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        shown = clean(said, limit=40)
        raise InvalidRequest(f"{option}: {shown!r} is no day; write 2026-11-30.") from None


# ---- usage -----------------------------------------------------------------------------------

FREE = Micros(0)
_BORNE = "Services took {} more, for jobs that ended without a clip and were charged to nobody."


def usage_text(rows: Sequence[UsageRow], *, by: Grouping, form: Form, borne: Micros = FREE) -> str:
    """The rows for people with their sum, or for machines with exact dollars.

    `borne` is what services took and nobody was charged.
    """
    match form:
        case "table":
            table = _usage_table(rows, by)
            return f"{table}\n\n{_BORNE.format(money(borne))}" if borne else table
        case "csv":
            return _usage_csv(rows, by)
        case "json":
            records = [_record(row, by) for row in rows]
            return json.dumps(records, ensure_ascii=False, indent=2)


def _usage_table(rows: Sequence[UsageRow], by: Grouping) -> str:
    head = (by, "asked", "delivered", "refused", "failed", "seconds", "charged")
    cells = [head, *(_cells(row) for row in (*rows, total(list(rows))))]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def _cells(row: UsageRow) -> tuple[str, ...]:
    counts = (row.asked, row.delivered, row.refused, row.failed, round(row.seconds))
    return (clean(row.label, limit=LABEL_CHARS), *map(str, counts), money(row.charged))


def _record(row: UsageRow, by: Grouping) -> dict[str, str | int | float]:
    return {
        by: row.label,
        "asked": row.asked,
        "delivered": row.delivered,
        "refused": row.refused,
        "failed": row.failed,
        "seconds": round(row.seconds, 3),
        "charged_usd": round(row.charged / 1_000_000, 6),
    }


def _usage_csv(rows: Sequence[UsageRow], by: Grouping) -> str:
    file = io.StringIO()
    nothing = total([])
    writer = csv.DictWriter(file, fieldnames=list(_record(nothing, by)), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**_record(row, by), by: cell(row.label, limit=1000)})
    return file.getvalue().rstrip("\n")


# ---- limits ----------------------------------------------------------------------------------


def limits_line(limits: LimitsTable) -> str:
    """The limits in force, in one line."""
    parts = [
        *(
            _part(limit, allowed)
            for limit in sorted(BY_KEY.values(), key=_place)
            if (allowed := getattr(limits, limit.key)) is not None
        ),
        _confirm(limits.confirm_above_usd),
        ", ".join(each for each in RESOLUTIONS if each in limits.resolutions),
        ", ".join(limits.models),
        f"others for {_many(len(limits.roles), 'role')}" if limits.roles else "",
    ]
    return f"Limits: {' · '.join(part for part in parts if part)} (days in {limits.timezone})"


def _place(limit: Limit) -> tuple[int, int]:
    """Money first, then clips, then what runs; of each the smallest circle of people first."""
    return ORDER.index(limit.what), CIRCLES.index(limit.whose)


def _part(limit: Limit, allowed: float) -> str:
    amount = money(micros(allowed)) if limit.is_money else str(allowed)
    whom = "place" if limit.whose == "tenant" else limit.whose
    if limit.whose == "total":
        return f"{amount} in all per {limit.per}"
    if not limit.per:
        return f"{amount} at once per {whom}"
    what = amount if limit.is_money else _many(int(allowed), "clip")
    return f"{what} per {whom} and {limit.per}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _confirm(above: float | None) -> str:
    return "" if above is None else f"confirm above {money(micros(above))}"


# ---- a move ----------------------------------------------------------------------------------


def moved_text(moved: Moved, source: str, target: str, *, is_shared: bool) -> str:
    """How many rows of each table were moved, and what its operator does now."""
    width = max(map(len, moved.rows))
    counts = [f"  {name.ljust(width)}  {count:>9,}" for name, count in moved.rows.items()]
    where = MEDIA_SHARED if is_shared else MEDIA_ALONE
    return "\n".join(
        [
            f"Moved from {source} to {target}, rows by table:",
            *counts,
            "The counts, the sums of the books and their rules are the same on both sides.",
            *_flaws(moved),
            *NEXT,
            where,
            f"{source} still holds everything as it was, but for a mark: a bot that is started on "
            "it says where it was moved to.",
        ]
    )


def _flaws(moved: Moved) -> list[str]:
    replaced = ", ".join(f"{count:,} of {name}" for name, count in moved.replaced.items())
    rules = [f"LOOK: this rule held on neither side, see raybot check: {e}" for e in moved.broken]
    if not replaced:
        return rules
    return [f"A character that cannot be kept became \ufffd in these rows: {replaced}.", *rules]
