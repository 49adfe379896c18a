"""The Home tab as Slack draws it: what is used, what runs, what was made, what is usual. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.slack import blocks
from adapters.slack.blocks import Block
from adapters.slack.pages import to_line
from bot.studio import Allowance, JobLine, Setting, UsageReport
from bot.text import describe_settings_in, describe_usage

MOST_OPEN, MOST_LAST = 20, 10
NOTHING_YET = "Nothing yet. Type /ray and what you want to see, in a channel."
RUNS, MADE = "On the way", "Your last clips"


def home_view(
    *,
    usage: UsageReport,
    open_jobs: Sequence[JobLine],
    last: Sequence[JobLine],
    held: Sequence[Setting],
    now: datetime,
) -> Block:
    """One person's tab; nobody else sees it."""
    running = {each.job_id for each in open_jobs}
    made = [each for each in last if each.job_id not in running][:MOST_LAST]
    drawn = [
        *_running(open_jobs),
        *_usage(usage),
        *_made(made),
        *_settings(held),
        blocks.small_marked(f"As of {blocks.stamp(now)}"),
    ]
    return {"type": "home", "blocks": drawn}


def _running(lines: Sequence[JobLine]) -> list[Block]:
    if not lines:
        return []
    drawn = [_head(RUNS)]
    for line in lines[:MOST_OPEN]:
        cancel = blocks.button("Cancel", "cancel", line.job_id)
        drawn += [to_line(line), blocks.actions(cancel)]
    if len(lines) > MOST_OPEN:
        drawn.append(blocks.small(f"… and {len(lines) - MOST_OPEN} more"))
    return [*drawn, _line()]


def _usage(usage: UsageReport) -> list[Block]:
    text = describe_usage(usage)
    times = _resets(usage.allowances)
    return [
        _head(text.title),
        blocks.table(text.table),
        *blocks.timed(text.lines, times),
        _line(),
    ]


def _resets(allowances: Sequence[Allowance]) -> list[datetime]:
    return [each.resets_at for each in allowances if each.resets_at is not None]


def _made(lines: Sequence[JobLine]) -> list[Block]:
    drawn = [to_line(each) for each in lines] or [blocks.small(NOTHING_YET)]
    return [_head(MADE), *drawn, _line()]


def _settings(held: Sequence[Setting]) -> list[Block]:
    text = describe_settings_in(held)
    change = blocks.button("Change", "settings", "own")
    shown = [blocks.table(text.table)] if text.table else []
    return [_head(text.title), *shown, *blocks.timed(text.lines, ()), blocks.actions(change)]


def _head(text: str) -> Block:
    return {"type": "header", "text": blocks.plain(text, 150)}


def _line() -> Block:
    return {"type": "divider"}
