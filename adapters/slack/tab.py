"""The Home tab as a view: one person's jobs on the way, usage, last jobs and defaults. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.slack import blocks as b
from adapters.slack import buttons, pages
from adapters.slack.blocks import Block, Part
from bot import text as words
from bot.job import JobState
from bot.studio import JobLine, Setting, UsageReport

#: So many jobs on the way are shown, with two blocks each.
MOST_OPEN = 20
MOST_LAST = 10
PROMPT_CHARS = 300
ROOM = 3000
ABOUT = (
    "Ray turns words and images into short video clips. Create one here, or type /ray and what "
    "you want to see in a channel."
)


def home_view(
    *,
    usage: UsageReport,
    open_jobs: Sequence[JobLine],
    last: Sequence[JobLine],
    held: Sequence[Setting],
    now: datetime,
) -> Block:
    """What is on the way, what is left, what was made, what holds where nothing is typed."""
    running = [each for each in open_jobs if each.state != JobState.CANCELLED]
    ended = [each for each in last if each.job_id not in {job.job_id for job in running}]
    blocks = [
        _begin(),
        *_open(running),
        *_usage(usage),
        *_last(ended[:MOST_LAST]),
        *_defaults(held),
        b.small([[b.said("As of "), b.date(now), b.said(" · Clips are AI-generated.")]]),
    ]
    return {"type": "home", "blocks": blocks}


def shut_view(sentence: str) -> Block:
    """Where nothing can be asked for, so that there is nothing else to show."""
    return {"type": "home", "blocks": [{"type": "section", "text": b.plain(sentence)}]}


def _begin() -> Block:
    """What Ray does, and the way to a clip: nothing can be typed on this tab."""
    button = buttons.button("create", "own", "Create a clip", about="opens a form")
    return {"type": "section", "text": b.plain(ABOUT), "accessory": button}


def _open(jobs: Sequence[JobLine]) -> list[Block]:
    if not jobs:
        return []
    drawn = [b.header("On the way")]
    for job in jobs[:MOST_OPEN]:
        prompt = b.plain(words.clean(job.prompt, limit=PROMPT_CHARS) or "A clip of an image")
        about = f"the clip: {words.clean(job.prompt)}" if job.prompt else ""
        cancel = buttons.button("cancel", job.job_id, about=about)
        drawn += [{"type": "section", "text": prompt, "accessory": cancel}, b.small([_facts(job)])]
    more = len(jobs) - MOST_OPEN
    return [*drawn, *([b.small([[b.said(f"… and {more} more")]])] if more > 0 else [])]


def _facts(job: JobLine) -> list[Part]:
    return pages.job_parts(job, 0)


def _usage(usage: UsageReport) -> list[Block]:
    """The page, with the name of a part instead of a page's title; jobs have their own part."""
    own = replace(usage, last=())
    return _part(words.describe_usage(own), times=own.times)


def _part(text: words.Text, *, times: Sequence[datetime] = ()) -> list[Block]:
    return [b.header(text.title), *pages.draw_text(text, times=times).blocks[1:]]


def _last(jobs: Sequence[JobLine]) -> list[Block]:
    if not jobs:
        return []
    return [b.header("Your last jobs"), b.rich(b.bullets(pages.to_list(jobs, ROOM)))]


def _defaults(held: Sequence[Setting]) -> list[Block]:
    change = buttons.button("settings", "own", "Change", about="your settings")
    page = _part(words.describe_settings_in(held))
    return [*page, {"type": "actions", "elements": [change]}]
