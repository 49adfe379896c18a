"""The pages a person asks for, as plain text: usage, jobs, settings, help, and a place's rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from bot.config import LimitsTable, micros
from bot.overview import (
    Allowance,
    Blocked,
    JobLine,
    PlaceLimits,
    PlaceRules,
    Setting,
    Source,
    UsageReport,
    UsageRow,
)
from bot.ports import ModelCapabilities
from bot.refs import money
from bot.words import Table, Text, clean, moment, span

SOURCES: dict[Source, str] = {
    "yours": "you",
    "channel": "this channel",
    "place": "this place",
    "house": "the operator",
}
USAGE_HEAD = ("asked", "delivered", "refused", "failed", "video", "charged")
NAME_CHARS = 60


# ---- one's own -------------------------------------------------------------------------------


def describe_usage(report: UsageReport) -> Text:
    """What a person used today and this month, and what is left."""
    lines = [_allowance_words(each) for each in report.allowances if each.allowed is not None]
    if report.test_clips:
        clips = "1 test clip" if report.test_clips == 1 else f"{report.test_clips} test clips"
        cost = f"≈ {money(report.test_micros)}"
        lines.append(f"{clips} would have cost {cost} (a test, nothing charged).")
    table = (("", *USAGE_HEAD), _usage_cells(report.today), _usage_cells(report.month))
    return Text(title="Your usage", lines=tuple(lines), table=table)


def _usage_cells(row: UsageRow) -> tuple[str, ...]:
    counts = (row.asked, row.delivered, row.refused, row.failed)
    video = span(timedelta(seconds=row.seconds))
    return (clean(row.label, limit=40), *map(str, counts), video, money(row.charged))


def _allowance_words(allowance: Allowance) -> str:
    words = money if allowance.is_money else str
    used, allowed = words(allowance.used), words(allowance.allowed or 0)
    resets = f", resets {moment(allowance.resets_at)}" if allowance.resets_at else ""
    return f"{clean(allowance.name, limit=60)}: {used} of {allowed}{resets}"


def describe_jobs(jobs: Sequence[JobLine]) -> Text:
    """A page of one's own jobs."""
    if not jobs:
        return Text(title="No jobs here", lines=("Type what you want to see to start one.",))
    rows = [
        (j.job_id, j.state, money(j.price), moment(j.created_at), clean(j.prompt, limit=40))
        for j in jobs
    ]
    return Text(title="Your jobs", table=(("job", "state", "price", "asked", "prompt"), *rows))


def describe_settings(values: Mapping[str, str]) -> Text:
    """A person's own defaults."""
    rows = [(clean(key, limit=40), clean(value, limit=80)) for key, value in values.items()]
    change = "Change one with: settings ar=9:16. Take it back with: settings ar=default"
    title = "Your settings" if rows else "You have no settings of your own"
    return Text(title=title, lines=(change,), table=(("setting", "value"), *rows) if rows else ())


def describe_settings_in(settings: Sequence[Setting]) -> Text:
    """What holds for a person in a channel where they type nothing, and whose word it is."""
    rows = [(each.name, clean(each.value, limit=80), SOURCES[each.source]) for each in settings]
    line = "What you type wins over your own, yours over the channel's, then the place's."
    return Text(
        title="What holds here", lines=(line,), table=(("setting", "value", "set by"), *rows)
    )


def timeline(events: Iterable[tuple[datetime, str]]) -> tuple[str, ...]:
    """A job's moves, one line each, with the time since the first."""
    every = tuple(events)
    return tuple(
        f"{moment(when) if not at else '+' + span(when - every[0][0])} {clean(what, limit=80)}"
        for at, (when, what) in enumerate(every)
    )


def help_text(
    models: Sequence[ModelCapabilities], stills: Sequence[ModelCapabilities] = ()
) -> Text:
    """What can be typed, from what the models can do; `stills` make pictures."""

    def choices(*lists: tuple[str, ...]) -> str:
        return ", ".join(dict.fromkeys(value for each in lists for value in each))

    table: Table = (
        ("flag", "values", "what it sets"),
        ("--ar", choices(*(model.aspect_ratios for model in models)), "shape"),
        ("--dur, or --9s", choices(*(model.durations for model in models)), "length"),
        ("--res, or --4k", choices(*(model.resolutions for model in models)), "size"),
        ("--loop, --no-loop", "", "whether it ends as it begins"),
        ("--model", choices(tuple(model.model for model in models)), "quality and price"),
        ("--camera", "orbit_left, …", "camera moves, several if you like"),
        ("--start, --end", "a link or an image", "first and last picture"),
        ("--draft", "", "the smallest size; final ID makes it large"),
        ("--private", "", "only you see it"),
    )
    if stills:
        names = choices(tuple(model.model for model in stills))
        table += (("--still", f"also with --ar, --model {names}", "a picture, and no clip"),)
    lines = (
        "Type what you want to see, then flags: a red fox in snow --ar 9:16 --9s --loop",
        "Reply to an image or a clip to start from it.",
        'usage · jobs · jobs "fox" 2 · show ID · cancel ID · retry ID · confirm ID · delete ID',
        "With a finished clip: extend ID what happens next --end IMAGE · prequel ID · join ID ID",
        "vary ID x4 · remix ID other words --9s · loop ID · final ID 1080p · upscale ID 1080p",
        "sound ID what it sounds like · reframe ID 9:16 · modify ID flex_2 another look",
        "settings · settings ar=9:16 · help",
    )
    cameras = choices(*(model.concepts for model in models))
    more = (f"Camera moves: {cameras}",) if cameras else ()
    return Text(title="Ray turns words and images into clips", lines=lines + more, table=table)


# ---- for those who run a place ---------------------------------------------------------------


def describe_server_usage(
    people: Sequence[UsageRow],
    models: Sequence[UsageRow],
    *,
    since: datetime,
    until: datetime,
) -> Text:
    """What the people of a place used between two times: a row for each, and a sum by model."""
    period = f"From {moment(since)} to {moment(until)}."
    if not people:
        return Text(title="Nobody asked for a clip", lines=(period,))
    charged = sum(row.charged for row in people)
    sums = [
        f"{clean(row.label, limit=40)}: {row.delivered} of {row.asked} delivered, "
        f"{span(timedelta(seconds=row.seconds))}, {money(row.charged)}"
        for row in models
    ]
    rows = (_usage_cells(row) for row in people)
    lines = (period, f"{money(charged)} was charged.", *sums)
    return Text(title="Usage here", lines=lines, table=(("who", *USAGE_HEAD), *rows))


def describe_limits(page: PlaceLimits) -> Text:
    """The limits in force in a place, and what it used of those that people share."""
    limits, month = page.limits, page.month
    rows = (
        ("limit", "in force", "used"),
        ("clips of a person at once", _count(limits.running_per_person), ""),
        ("clips of a person per day", _count(limits.clips_per_person_per_day), ""),
        ("budget of a person per day", _dollars(limits.usd_per_person_per_day), ""),
        *_of_guests(limits),
        ("budget of a channel per day", _dollars(limits.usd_per_channel_per_day), ""),
        (
            "budget of this place per month",
            _dollars(limits.usd_per_tenant_per_month),
            "" if limits.usd_per_tenant_per_month is None else money(page.place_used),
        ),
        (
            "whole budget per month",
            _dollars(limits.usd_total_per_month),
            "" if limits.usd_total_per_month is None else money(page.total_used),
        ),
    )
    used = f"This month: {month.delivered} of {month.asked} delivered here, "
    used += f"{money(month.charged)} charged. It ends {moment(page.month_ends)}."
    return Text(title="Limits here", lines=(used, *_conditions(limits)), table=rows)


def _of_guests(limits: LimitsTable) -> list[tuple[str, str, str]]:
    """Limits of their own, where they have some."""
    clips, dollars = limits.clips_per_guest_per_day, limits.usd_per_guest_per_day
    rows = []
    if clips is not None:
        rows.append(("clips of a guest per day", _count(clips), ""))
    if dollars is not None:
        rows.append(("budget of a guest per day", _dollars(dollars), ""))
    return rows


def _count(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)


def _dollars(limit: float | None) -> str:
    return "no limit" if limit is None else money(micros(limit))


def _conditions(limits: LimitsTable) -> list[str]:
    lines = [f"Resolutions: {', '.join(limits.resolutions)}."]
    if limits.models:
        lines.append(f"Models: {', '.join(limits.models)}.")
    if limits.confirm_above_usd is not None:
        lines.append(f"Above {_dollars(limits.confirm_above_usd)} a person confirms first.")
    if limits.min_member_days:
        lines.append(f"People may ask {limits.min_member_days} days after they joined.")
    return lines


def describe_rules(page: PlaceRules) -> Text:
    """What was decided for a place; the table lists who may ask for nothing."""
    lines = [] if page.is_served else ["This place is not served."]
    if page.paused_at is not None:
        lines.append(f"Paused since {moment(page.paused_at)}; nothing new is started.")
    names = [clean(name, limit=NAME_CHARS) or key for key, name in page.channels.items()]
    lines.append(f"Allowed in {', '.join(names)}." if names else "Allowed in every channel.")
    if page.defaults:
        lines.append(f"Defaults here: {_pairs(page.defaults)}.")
    for channel, defaults in page.channel_defaults.items():
        where = clean(page.channels.get(channel, ""), limit=NAME_CHARS) or f"channel {channel}"
        lines.append(f"Defaults in {where}: {_pairs(defaults)}.")
    head = (("blocked", "until", "reason"),) if page.blocked else ()
    blocked = (_blocked_cells(each) for each in page.blocked)
    return Text(title="Rules here", lines=tuple(lines), table=(*head, *blocked))


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{clean(key)} {clean(value, limit=80)}" for key, value in values.items())


def _blocked_cells(each: Blocked) -> tuple[str, str, str]:
    until = moment(each.until) if each.until else "for good"
    return (each.user, until, clean(each.reason, limit=NAME_CHARS))
