"""The words of a place's weekly digest."""

from __future__ import annotations

from datetime import timedelta

from bot import notices as n
from bot.refs import money
from bot.words import Text, charge_words, clean, days_between, span

#: What those who run a place should know of it before they want one.
DIGEST = (
    "It has sums and the clips with most stars, none of them private, and calls nobody. "
    "I must be able to write there."
)
NAME_CHARS = 80


def describe_digest(notice: n.Digest) -> Text:
    """A place's week."""
    title = f"The week with Raybot, {days_between(notice.since, notice.until)}"
    clips = "1 clip" if notice.clips == 1 else f"{notice.clips:,} clips"
    people = "1 person" if notice.people == 1 else f"{notice.people:,} people"
    video = span(timedelta(seconds=notice.seconds))
    made = f"{clips} by {people}, {video} of video, {money(notice.charged)}."
    lines = [made if notice.clips else f"Nobody made a clip. {charge_words(notice.charged)}"]
    lines += map(starred_line, notice.starred)
    left = [money(notice.money_left)] if notice.money_left is not None else []
    if notice.clips_left is not None:
        left.append("1 clip" if notice.clips_left == 1 else f"{notice.clips_left:,} clips")
    if left:
        lines.append(f"Left this month: {' and '.join(left)}.")
    return Text(title=title, lines=tuple(lines))


def starred_line(each: n.Starred) -> str:
    """One of the clips with most stars."""
    return f"★ {each.stars} · {each.job_id} by {clean(each.name, limit=NAME_CHARS)}"
