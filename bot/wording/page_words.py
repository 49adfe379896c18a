"""The pages a person asks for, as plain text: usage, jobs, settings, help, and a place's rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from bot.limits import BY_KEY, Limit
from bot.overview import (
    Allowance,
    Blocked,
    Grant,
    Invitation,
    JobLine,
    PlaceLimit,
    PlaceLimits,
    PlaceRules,
    Setting,
    Source,
    UsageReport,
    UsageRow,
)
from bot.ports import ModelCapabilities
from bot.presets import NAMES
from bot.refs import money
from bot.tables import LimitsTable, micros
from bot.words import Table, Text, clean, day_words, moment, span

SOURCES: dict[Source, str] = {
    "yours": "you",
    "channel": "this channel",
    "place": "this place",
    "house": "the operator",
}
USAGE_HEAD = ("asked", "delivered", "refused", "failed", "video", "charged")
NAME_CHARS = 60
CAMERA_MOVES = "Camera moves"
PRIVATE = "--private"


# ---- one's own -------------------------------------------------------------------------------


def describe_usage(report: UsageReport, days: Sequence[UsageRow] = ()) -> Text:
    """What a person used today, this month and on each of these days, and what is left."""
    lines = [_allowance_words(each) for each in report.allowances if each.allowed is not None]
    lines += map(_grant_words, report.grants)
    if report.test_clips:
        clips = "1 test clip" if report.test_clips == 1 else f"{report.test_clips} test clips"
        cost = f"≈ {money(report.test_micros)}"
        lines.append(f"{clips} would have cost {cost} (a test, nothing charged).")
    lines += map(_job_words, report.last)
    rows = (report.today, report.month, *_asked_on(days))
    table = (("", *USAGE_HEAD), *map(_usage_cells, rows))
    return Text(title="Your usage", lines=tuple(lines), table=table)


def _asked_on(days: Sequence[UsageRow]) -> list[UsageRow]:
    """Those on which something was asked, the latest first, by the names people give them."""
    dates = [(date.fromisoformat(each.label), each) for each in reversed(days) if each.asked]
    return [replace(each, label=day_words(day)) for day, each in dates]


def _usage_cells(row: UsageRow) -> tuple[str, ...]:
    counts = (row.asked, row.delivered, row.refused, row.failed)
    video = span(timedelta(seconds=row.seconds))
    return (clean(row.label, limit=40), *map(str, counts), video, money(row.charged))


def _allowance_words(allowance: Allowance) -> str:
    words = money if allowance.is_money else str
    used, allowed = words(allowance.used), words(allowance.allowed or 0)
    left = words(max(0, (allowance.allowed or 0) - allowance.used))
    resets = f", resets {moment(allowance.resets_at)}" if allowance.resets_at else ""
    return f"{clean(allowance.name, limit=60)}: {used} of {allowed}, {left} left{resets}"


def _grant_words(grant: Grant) -> str:
    until = moment(grant.until)
    return f"Granted beyond your own budgets, once: {money(grant.micros)}, until {until}"


def _job_words(job: JobLine) -> str:
    asked = f"{job.job_id}: {job.state}, {moment(job.created_at)}, {line_price(job)}"
    return f"{asked}, {clean(job.prompt, limit=40)}" if job.prompt else asked


def line_price(job: JobLine) -> str:
    """What a job in a list costs; nobody is charged for a test."""
    return money(job.price) + (" (test)" if job.is_test else "")


def describe_jobs(jobs: Sequence[JobLine]) -> Text:
    """A page of one's own jobs."""
    if not jobs:
        return Text(title="No jobs here", lines=("Type what you want to see to start one.",))
    rows = [
        (j.job_id, j.state, line_price(j), moment(j.created_at), clean(j.prompt, limit=40))
        for j in jobs
    ]
    return Text(title="Your jobs", table=(("job", "state", "price", "asked", "prompt"), *rows))


def describe_settings(values: Mapping[str, str]) -> Text:
    """A person's own defaults."""
    rows = [
        (clean(NAMES.get(key, key), limit=40), clean(value, limit=80))
        for key, value in values.items()
    ]
    change = "Change one with: settings ar=9:16. Take it back with: settings ar=default"
    title = "Your settings" if rows else "You have no settings of your own"
    return Text(title=title, lines=(change,), table=(("setting", "value"), *rows) if rows else ())


def describe_settings_in(settings: Sequence[Setting]) -> Text:
    """What holds for a person in a channel where they type nothing, and whose word it is."""
    rows = [
        (
            NAMES.get(each.name, each.name),
            clean(each.value, limit=80) or "none",
            SOURCES[each.source],
        )
        for each in settings
    ]
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
        ("--start, --end", "a link, an image, or an ID", "first and last picture"),
        ("--draft", "", "the smallest size; final ID makes it large"),
        (PRIVATE, "", "only you see it"),
    )
    if stills:
        names = choices(tuple(model.model for model in stills))
        values = f"also with --ar, --model {names}"
        table += (("--still", values, "a picture; animate ID moves it"),)
    lines = (
        "Type what you want to see, then flags: a red fox in snow --ar 9:16 --9s --loop",
        "Reply to an image or a clip to start from it.",
        'A film of several shots: story "the fox wakes" | "the fox runs" --9s, or a line for each',
        'usage · jobs · jobs "fox" 2 · show ID · cancel ID · retry ID · confirm ID · delete ID',
        "With a finished clip: extend ID what happens next --end IMAGE · prequel ID · join ID ID",
        "vary ID x4 · remix ID other words --9s · loop ID · final ID 1080p · upscale ID 1080p",
        "sound ID what it sounds like · reframe ID 9:16 · modify ID flex_2 another look",
        "With a film: redo ID 2 (a shot that failed) · finish ID (without the rest)",
        "settings · settings ar=9:16 · settings animate_mine=nobody · forget me · help",
    )
    cameras = choices(*(model.concepts for model in models))
    more = (f"{CAMERA_MOVES}: {cameras}",) if cameras else ()
    return Text(title="Ray turns words and images into clips", lines=lines + more, table=table)


def short_help(
    models: Sequence[ModelCapabilities], stills: Sequence[ModelCapabilities] = ()
) -> Text:
    """The same where there is little room: the flags in one line, and no list of camera moves.

    To be private is an option of the commands there, and no flag.
    """
    page = help_text(models, stills)
    rows = (row for row in page.table[1:] if row[0] != PRIVATE)
    flags = " · ".join(" ".join(row[:2]).strip() for row in rows)
    lines = (line for line in page.lines if not line.startswith(CAMERA_MOVES))
    return replace(page, lines=(f"Flags: {flags}", *lines), table=())


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


def describe_usage_by_day(days: Sequence[UsageRow]) -> Text:
    """What a place used on each day, the latest first."""
    rows = [
        (each.label, str(each.asked), str(each.delivered), money(each.charged))
        for each in _asked_on(days)
    ]
    head = ("day", "asked", "delivered", "charged")
    return Text(title="Usage by day", table=(head, *rows) if rows else ())


def describe_limits(page: PlaceLimits) -> Text:
    """The limits in force in a place, what was set there, and what it used of those it shares."""
    limits, month = page.limits, page.month
    rows = [
        (limit.title, _amount(limit, allowed), _used(limit, page.used))
        for limit in BY_KEY.values()
        if (allowed := getattr(limits, limit.key)) is not None
    ]
    used = f"This month: {month.delivered} of {month.asked} delivered here, "
    used += f"{money(month.charged)} charged. It ends {moment(page.month_ends)}."
    lines = (used, *_conditions(limits), *map(_rule_words, page.rules))
    head = ("limit", "in force", "used")
    return Text(title="Limits here", lines=lines, table=(head, *rows) if rows else ())


def _amount(limit: Limit, allowed: float) -> str:
    return money(micros(allowed)) if limit.is_money else str(allowed)


def _used(limit: Limit, used: Mapping[str, int]) -> str:
    if limit.key not in used:
        return ""
    return money(used[limit.key]) if limit.is_money else str(used[limit.key])


def _rule_words(rule: PlaceLimit) -> str:
    """One limit that was set in chat, by the name under which it can be changed."""
    whom = [f"role {clean(rule.role, limit=NAME_CHARS)}"] if rule.role else []
    whom += [f"channel {clean(rule.channel, limit=NAME_CHARS)}"] if rule.channel else []
    return f"Set here{', for ' if whom else ''}{' in '.join(whom)}: {rule.name} {rule.value}."


def _conditions(limits: LimitsTable) -> list[str]:
    lines = [f"Resolutions: {', '.join(limits.resolutions)}."]
    if limits.models:
        lines.append(f"Models: {', '.join(limits.models)}.")
    if limits.confirm_above_usd is not None:
        above = money(micros(limits.confirm_above_usd))
        lines.append(f"Above {above} a person confirms first.")
    if limits.min_member_days:
        lines.append(f"People may ask {limits.min_member_days} days after they joined.")
    return lines


def describe_rules(page: PlaceRules) -> Text:
    """What was decided for a place; the table lists who may ask for nothing."""
    lines = [] if page.is_served else ["This place is not served."]
    if page.paused_at is not None:
        by = " by the operator, as every place is," if page.is_paused_everywhere else ""
        lines.append(f"Paused{by} since {moment(page.paused_at)}; nothing new is started.")
    if page.paused_at is not None and page.paused_message:
        lines.append(f"People are told: {clean(page.paused_message)}")
    names = [_channel(page, each) for each in page.channels]
    lines.append(f"Allowed in {', '.join(names)}." if names else "Allowed in every channel.")
    if page.defaults:
        lines.append(f"Defaults here: {_pairs(page.defaults)}.")
    for channel, defaults in page.channel_defaults.items():
        lines.append(f"Defaults in {_channel(page, channel)}: {_pairs(defaults)}.")
    lines += _policy_lines(page)
    head = (("blocked", "until", "reason"),) if page.blocked else ()
    blocked = (_blocked_cells(each) for each in page.blocked)
    return Text(title="Rules here", lines=tuple(lines), table=(*head, *blocked))


def _policy_lines(page: PlaceRules) -> list[str]:
    """What was decided about clips and people; the words themselves are not shown."""
    lines = [f"Decided here: {_pairs(page.policy)}."] if page.policy else []
    for channel, policy in page.channel_policies.items():
        lines.append(f"Decided in {_channel(page, channel)}: {_pairs(policy)}.")
    if page.words or page.patterns:
        words = f"{page.words} word{'' if page.words == 1 else 's'}"
        patterns = f"{page.patterns} pattern{'' if page.patterns == 1 else 's'}"
        lines.append(f"Blocked here: {words} and {patterns}.")
    if page.digest:
        lines.append(f"Weekly digest in {_channel(page, page.digest)}.")
    return lines


def _channel(page: PlaceRules, channel: str) -> str:
    """A channel by the name that is known of it."""
    return clean(page.channels.get(channel, ""), limit=NAME_CHARS) or f"channel {channel}"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(
        f"{clean(key)} {clean(value, limit=80).rstrip('.')}" for key, value in values.items()
    )


def _blocked_cells(each: Blocked) -> tuple[str, str, str]:
    until = moment(each.until) if each.until else "for good"
    return (each.user, until, clean(each.reason, limit=NAME_CHARS))


def describe_invitation(invitation: Invitation, *, guest: str = "") -> Text:
    """What goes with a link to the desk, or for a guest to the playground.

    The link itself is shown by each platform in its own way.
    """
    until, whose = moment(invitation.ends_at), clean(guest, limit=NAME_CHARS)
    whom = f"{whose} into the playground" if guest else "you in"
    stays = "It then lasts twelve hours in that browser."
    line = f"It lets {whom}, once, until {until}. {stays} Whoever opens it first acts as "
    lines = [f"{line}{whose if guest else 'you'}: send it to nobody else."]
    if invitation.is_local:
        lines.append("It opens only in a browser on the machine that Raybot runs on.")
    title = "A link to the playground" if guest else "Your link to the desk"
    return Text(title=title, lines=tuple(lines), tone="good")
