"""How long generations take, learned from the last ones like it. Pure; never a percentage."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from bot.refs import JobId
from bot.request import Duration, Resolution, Work

REMEMBERED = 50
#: Below this many, a percentile says nothing.
ENOUGH = 8
#: Correction for jobs already finished at the first look.
LESS_UNSEEN = 0.9
#: Maximum time since the look before, in seconds or as a share of its age, to learn from one.
LATE_SECONDS, LATE_SHARE = 30.0, 0.5
#: How many times sooner than a clip's a still's first look comes, while no still is known.
SOONER_FOR_STILLS = 3
SLOW_WITHOUT_KNOWLEDGE = timedelta(minutes=5)
SLOW_FACTOR = 1.5
STALE_AT_LEAST = timedelta(minutes=20)
STALE_FACTOR = 10


@dataclass(frozen=True, kw_only=True)
class WorkClass:
    """What makes two generations take about as long; stills have no length and no size."""

    model: str
    resolution: Resolution | None
    duration: Duration | None
    has_frames: bool
    is_still: bool = False


@dataclass(kw_only=True)
class Running:
    """A generation under watch, in boot times.

    `since` its submission (at the latest, where it is not `is_timed`: the wall clock was set back
    to before it), `first_at` its first look as planned, `seen_at` when it was last seen
    under way or called for, `missed_at` since when its provider does not know it.
    """

    job_id: JobId
    key: WorkClass
    since: float
    first_at: float
    seen_at: float | None = None
    missed_at: float | None = None
    is_timed: bool = True

    def see(self, now: float, *, is_over: bool) -> None:
        """Its provider told of it."""
        self.missed_at = None
        self.seen_at = self.seen_at if is_over else now

    def miss(self, now: float) -> float:
        """Its provider does not know it; for how many seconds it has not."""
        self.missed_at = now if self.missed_at is None else self.missed_at
        return now - self.missed_at


class Durations:
    """The last 50 generation times of each kind, from submission to completion, as far as seen."""

    def __init__(self, past: Iterable[tuple[WorkClass, float]] = ()) -> None:
        self._seconds: dict[WorkClass, deque[float]] = {}
        for key, seconds in past:
            self.record(key, seconds)

    def record(self, key: WorkClass, seconds: float) -> None:
        """Remember one finished generation."""
        self._seconds.setdefault(key, deque(maxlen=REMEMBERED)).append(max(seconds, 0.0))

    def learn(self, running: Running, now: float) -> None:
        """Remember one that is found to have ended, if somebody looked shortly before.

        One that was never seen under way is taken for quicker than that. Without this the first
        look would only ever move later, since nothing is seen to take less.
        """
        seconds, is_unseen = now - running.since, running.seen_at is None
        last = running.first_at if running.seen_at is None else running.seen_at
        if running.is_timed and now - last <= max(LATE_SECONDS, seconds * LATE_SHARE):
            self.record(running.key, seconds * (LESS_UNSEEN if is_unseen else 1))

    def first_look(self, key: WorkClass, default: float) -> float:
        """Seconds after submission before which looking is in vain: the 5th percentile.

        `default` is for clips, where nothing is known.
        """
        unknown = default / SOONER_FOR_STILLS if key.is_still else default
        return self._percentile(key, 5) or unknown

    def knows(self, key: WorkClass) -> bool:
        """Whether enough of them were seen to say when to look."""
        return len(self._seconds.get(key, ())) >= ENOUGH

    def expected(self, key: WorkClass) -> timedelta | None:
        """The median time of one generation; None while nothing is known."""
        known = self._seconds.get(key)
        return timedelta(seconds=_percentile(known, 50)) if known else None

    def expected_wait(self, key: WorkClass, *, position: int, slots: int) -> timedelta | None:
        """From now to the clip for the one that waits in this place (from 1) for busy slots."""
        each = self.expected(key)
        return None if each is None else each * (position / max(slots, 1)) + each

    def is_slow(self, key: WorkClass, age: timedelta) -> bool:
        """Whether a generation takes so much longer than usual that its person should hear."""
        usual = self._percentile(key, 95)
        if usual is None:
            return age > SLOW_WITHOUT_KNOWLEDGE
        return age > timedelta(seconds=usual * SLOW_FACTOR)

    def stale_after(self, key: WorkClass) -> timedelta:
        """The age at which a generation no longer counts as occupying a slot."""
        usual = timedelta(seconds=self._percentile(key, 95) or 0.0)
        return max(STALE_AT_LEAST, usual * STALE_FACTOR)

    def _percentile(self, key: WorkClass, percent: int) -> float | None:
        return _percentile(self._seconds[key], percent) if self.knows(key) else None


def _percentile(values: deque[float] | tuple[float, ...], percent: int) -> float:
    """The nearest rank: the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def to_work_class(work: Work) -> WorkClass:
    """What this work has in common with others that take about as long."""
    if work.kind != "video":
        return WorkClass(
            model=to_kind(work),
            resolution=None,
            duration=None,
            has_frames=False,
            is_still=work.kind == "image",
        )
    return WorkClass(
        model=work.model,
        resolution=work.resolution,
        duration=work.duration,
        has_frames=work.start_frame is not None or work.end_frame is not None,
    )


def to_kind(work: Work) -> str:
    """What is made, by which model; a still's model makes nothing else."""
    return work.model if work.kind == "image" else f"{work.kind} {work.model}"
