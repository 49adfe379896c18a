"""What an operator reads: whole days, exact sums for machines, and limits in one line."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from bot.cli.pages import Period, limits_line, usage_text
from bot.errors import InvalidRequest
from bot.overview import UsageRow
from bot.refs import Micros
from bot.tables import LimitsTable

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
ROWS = (
    UsageRow(
        label="slack:T1:U1",
        asked=1200,
        delivered=1000,
        refused=100,
        failed=90,
        seconds=5041.666,
        charged=Micros(1_234_567_891),
    ),
    UsageRow(
        label="slack:T1:U2",
        asked=1,
        delivered=0,
        refused=0,
        failed=0,
        seconds=0.0,
        charged=Micros(0),
    ),
)


# ---- periods ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period(), "2026-10-23T22:00", "2026-11-22T12:30"),
        (Period(days=1), "2026-11-21T23:00", "2026-11-22T12:30"),
        (Period(since="2026-11-01"), "2026-10-31T23:00", "2026-11-22T12:30"),
        (Period(since="2026-11-22"), "2026-11-21T23:00", "2026-11-22T12:30"),
        (
            Period(since="2026-10-25", until="2026-10-25"),
            "2026-10-24T22:00",
            "2026-10-25T23:00",
        ),
        (Period(until="2026-11-10", days=2), "2026-11-08T23:00", "2026-11-10T23:00"),
        (Period(since="2026-11-01", days=3), "2026-10-31T23:00", "2026-11-22T12:30"),
    ],
)
def test_days_are_whole_ones_of_the_time_zone(period: Period, start: str, end: str) -> None:
    assert period.to_times(NOW, "Europe/Berlin") == (
        datetime.fromisoformat(f"{start}+00:00"),
        datetime.fromisoformat(f"{end}+00:00"),
    )


@pytest.mark.parametrize(
    ("period", "sentence"),
    [
        (Period(since="yesterday"), "--since: 'yesterday' is no day; write 2026-11-30."),
        (Period(until="2026-02-30"), "--until: '2026-02-30' is no day"),
        (Period(until="9999-12-31"), "--until: '9999-12-31' is no day"),
        (Period(since="\x1b[31m2026"), "--since: '2026' is no day"),
        (Period(since="2026-11-23"), "--since must be before"),
        (Period(since="2026-11-02", until="2026-11-01"), "--since must be before"),
        (Period(days=99_999_999), "--days: 99999999 days ago there was no calendar."),
        (Period(days=9_999_999_999), "--days: 9999999999 days ago there was no calendar."),
    ],
)
def test_a_wrong_day_is_named(period: Period, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        period.to_times(NOW, "UTC")
    assert refused.value.sentence.startswith(sentence)


# ---- usage ------------------------------------------------------------------------------------


def test_a_table_is_for_people_and_has_a_sum() -> None:
    assert usage_text(ROWS, by="person", form="table").split("\n") == [
        "person       asked  delivered  refused  failed  seconds    charged",
        "slack:T1:U1   1200       1000      100      90     5042  $1,234.57",
        "slack:T1:U2      1          0        0       0        0      $0.00",
        "total         1201       1000      100      90     5042  $1,234.57",
    ]


def test_what_nobody_was_charged_is_said_to_people() -> None:
    *_, last = usage_text(ROWS, by="person", form="table", borne=Micros(140_000)).split("\n")
    assert last.startswith("Services took $0.14 more, ")
    assert json.loads(usage_text((), by="day", form="json", borne=Micros(140_000))) == []


def test_nothing_used_is_a_table_too() -> None:
    [head, total] = usage_text((), by="day", form="table").split("\n")
    assert head.startswith("day ")
    assert total.split() == ["total", "0", "0", "0", "0", "0", "$0.00"]
    assert json.loads(usage_text((), by="day", form="json")) == []
    assert usage_text((), by="day", form="csv").startswith("day,asked,")


def test_machines_get_exact_dollars() -> None:
    [first, second] = json.loads(usage_text(ROWS, by="tenant", form="json"))
    assert first == {
        "tenant": "slack:T1:U1",
        "asked": 1200,
        "delivered": 1000,
        "refused": 100,
        "failed": 90,
        "seconds": 5041.666,
        "charged_usd": 1234.567891,
    }
    assert second["charged_usd"] == 0
    [row, _] = csv.DictReader(io.StringIO(usage_text(ROWS, by="model", form="csv")))
    assert row == {name: str(value) for name, value in first.items() if name != "tenant"} | {
        "model": "slack:T1:U1"
    }


@pytest.mark.parametrize(
    "label", ["=1+1", "+x", "-x", "@x", "\t=x", "\u200b=x", '=HYPERLINK("x")']
)
def test_a_label_is_no_formula_and_no_control_sequence(label: str) -> None:
    """A model's name may be what somebody typed."""
    rows = (UsageRow(**{**vars(ROWS[1]), "label": f"{label}\x1b[2J\n"}),)
    [row] = csv.DictReader(io.StringIO(usage_text(rows, by="model", form="csv")))
    assert row["model"] == "'" + label.strip("\t\u200b")
    assert "\x1b" not in usage_text(rows, by="model", form="table")
    assert "\x1b" not in usage_text(rows, by="model", form="json")


# ---- limits -----------------------------------------------------------------------------------


def test_the_limits_are_one_line() -> None:
    assert limits_line(LimitsTable.model_validate({})) == (
        "Limits: $1.00 per person and day · $25.00 in all per month · confirm above $1.00 · "
        "360p, 540p, 720p, 1080p (days in UTC)"
    )


def test_every_limit_that_is_set_is_named() -> None:
    limits = LimitsTable.model_validate(
        {
            "timezone": "Europe/Berlin",
            "running_per_person": 3,
            "clips_per_person_per_day": 20,
            "usd_per_person_per_day": 2,
            "clips_per_guest_per_day": 1,
            "usd_per_guest_per_day": 0.5,
            "usd_per_channel_per_day": 5,
            "usd_per_tenant_per_month": 2000,
            "usd_total_per_month": None,
            "confirm_above_usd": 0,
            "models": ["ray-2"],
            "roles": [{"role": "9"}],
            "resolutions": ["4k", "540p"],
        }
    )
    assert limits_line(limits) == (
        "Limits: $2.00 per person and day · $0.50 per guest and day · $5.00 per channel and day · "
        "$2,000.00 per place and month · 20 clips per person and day · "
        "1 clip per guest and day · 3 at once per person · "
        "confirm above $0.00 · 540p, 4k · ray-2 · "
        "others for 1 role (days in Europe/Berlin)"
    )
