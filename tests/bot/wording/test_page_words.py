"""The pages of those who run a place: what holds, what was used, and nothing unclean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot.overview import Blocked, PlaceLimits, PlaceRules, Setting, UsageReport, UsageRow
from bot.refs import Micros
from bot.tables import LimitsTable
from bot.text import (
    describe_limits,
    describe_rules,
    describe_server_usage,
    describe_settings_in,
    describe_usage,
    describe_usage_by_day,
)

NOW = datetime(2026, 11, 5, 14, 0, tzinfo=UTC)
LATER = datetime(2026, 12, 1, tzinfo=UTC)
EVIL = "An\x1b[31ma\n\u202e!"
ROW = UsageRow(
    label="Ana", asked=3, delivered=2, refused=1, failed=0, seconds=14.0, charged=Micros(280_000)
)


def test_what_holds_and_whose_word_it_is() -> None:
    text = describe_settings_in(
        [
            Setting(name="model", value="ray-2", source="yours"),
            Setting(name="loop", value="true", source="channel"),
            Setting(name="duration", value="9s", source="place"),
            Setting(name="resolution", value="540p", source="house"),
        ]
    )
    assert text.table == (
        ("setting", "value", "set by"),
        ("model", "ray-2", "you"),
        ("loop", "true", "this channel"),
        ("duration", "9s", "this place"),
        ("resolution", "540p", "the operator"),
    )


def test_usage_of_a_place() -> None:
    evil, model = replace(ROW, label=EVIL), replace(ROW, label="ray-2")
    text = describe_server_usage([ROW, evil], [model], since=NOW, until=LATER)
    assert text.lines == (
        "From 5 Nov 14:00 UTC to 1 Dec 00:00 UTC.",
        "$0.56 was charged.",
        "ray-2: 2 of 3 delivered, 14 s, $0.28",
    )
    assert text.table[0] == (
        *("who", "asked", "delivered", "refused", "failed", "video", "charged"),
    )
    assert text.table[1] == ("Ana", "3", "2", "1", "0", "14 s", "$0.28")
    assert text.table[2][0] == "Ana !"


def test_a_place_that_used_nothing() -> None:
    text = describe_server_usage([], [], since=NOW, until=LATER)
    assert text.title == "Nobody asked for a clip"
    assert text.table == ()


def page(**limits: object) -> PlaceLimits:
    return PlaceLimits(
        limits=LimitsTable.model_validate(limits),
        used={"usd_per_tenant_per_month": 2_000_000, "usd_total_per_month": 3_000_000},
        month=ROW,
        month_ends=LATER,
    )


def test_limits_that_are_set() -> None:
    text = describe_limits(
        page(
            running_per_person=2,
            usd_per_tenant_per_month=20,
            usd_total_per_month=None,
            min_member_days=7,
            models=["ray-2"],
        )
    )
    rows = {name: (allowed, used) for name, allowed, used in text.table}
    assert rows["clips of a person at once"] == ("2", "")
    assert "clips of a person per day" not in rows
    assert rows["budget of a person per day"] == ("$1.00", "")
    assert rows["budget of this place per month"] == ("$20.00", "$2.00")
    assert "whole budget per month" not in rows
    assert text.lines == (
        "This month: 2 of 3 delivered here, $0.28 charged. It ends 1 Dec 00:00 UTC.",
        "Resolutions: 360p, 540p, 720p, 1080p.",
        "Models: ray-2.",
        "Above $1.00 a person confirms first.",
        "People may ask 7 days after they joined.",
    )


def test_limits_of_guests_are_shown_where_they_have_some() -> None:
    text = describe_limits(page(clips_per_guest_per_day=0, usd_per_guest_per_day=0.5))
    rows = {name: allowed for name, allowed, _ in text.table}
    assert rows["clips of a guest per day"] == "0"
    assert rows["budget of a guest per day"] == "$0.50"
    assert not any("guest" in name for name, *_ in describe_limits(page()).table)


def test_limits_that_are_not_set() -> None:
    text = describe_limits(page(confirm_above_usd=None))
    rows = {name: (allowed, used) for name, allowed, used in text.table}
    assert "budget of this place per month" not in rows
    assert rows["whole budget per month"] == ("$25.00", "$3.00")
    assert text.lines[1:] == ("Resolutions: 360p, 540p, 720p, 1080p.",)


def test_rules_of_a_place_where_nothing_was_decided() -> None:
    text = describe_rules(PlaceRules(tenant="discord:1", is_served=True))
    assert (text.lines, text.table) == (("Allowed in every channel.",), ())


def test_rules_of_a_place() -> None:
    text = describe_rules(
        PlaceRules(
            tenant="discord:1",
            is_served=False,
            paused_at=NOW,
            channels={"7": "#art", "8": ""},
            defaults={"loop": "true", "model": "ray-2"},
            channel_defaults={"7": {"duration": "9s"}, "9": {"duration": "5s"}},
            blocked=(
                Blocked(person="discord:1:5", at=NOW, until=LATER, reason=EVIL),
                Blocked(person="discord:1:6", at=NOW),
            ),
        )
    )
    assert text.lines == (
        "This place is not served.",
        "Paused since 5 Nov 14:00 UTC; nothing new is started.",
        "Allowed in #art, channel 8.",
        "Defaults here: loop true, model ray-2.",
        "Defaults in #art: duration 9s.",
        "Defaults in channel 9: duration 5s.",
    )
    assert text.table == (
        ("blocked", "until", "reason"),
        ("5", "1 Dec 00:00 UTC", "Ana !"),
        ("6", "for good", ""),
    )


def test_a_place_that_is_paused_as_every_place_is_says_so() -> None:
    rules = PlaceRules(
        tenant="discord:1", is_served=True, paused_at=NOW, is_paused_everywhere=True
    )
    assert describe_rules(rules).lines[0] == (
        "Paused by the operator, as every place is, since 5 Nov 14:00 UTC; nothing new is started."
    )


# ---- by day ------------------------------------------------------------------------------------


def test_usage_by_day_has_the_latest_day_first_and_none_without_a_request() -> None:
    none = replace(ROW, label="2026-11-03", asked=0)
    days = [replace(ROW, label="2026-11-01"), replace(ROW, label="2026-11-02"), none]
    text = describe_usage_by_day(days)
    assert [row[0] for row in text.table] == ["day", "2 Nov", "1 Nov"]
    assert describe_usage_by_day([none]).table == ()
    own = describe_usage(UsageReport(today=ROW, month=ROW), days)
    assert [row[0] for row in own.table][-2:] == ["2 Nov", "1 Nov"]
