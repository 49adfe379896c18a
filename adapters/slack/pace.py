"""How fast messages of a workspace may be changed: Slack counts them for all jobs together."""

from __future__ import annotations

from collections import deque

from bot.clock import Clock
from bot.errors import DeliveryUnavailable

#: `chat.update` may be called fifty times a minute; running jobs leave some of that for the last
#: words of others.
MINUTE = 60.0
MOST, MOST_RUNNING = 50, 40


class Pace:
    """Counts the edits of the last minute, by workspace."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._edits: dict[str, deque[float]] = {}
        self._until: dict[str, float] = {}

    def take(self, workspace: str, *, is_last: bool) -> None:
        """Count one more edit, or raise `DeliveryUnavailable` until there is room for it."""
        now = self._clock.boottime()
        if (left := self._until.pop(workspace, 0.0) - now) > 0:
            self._until[workspace] = now + left
            raise _to_pause(left)
        edits = self._edits.setdefault(workspace, deque())
        while edits and edits[0] <= now - MINUTE:
            edits.popleft()
        most = MOST if is_last else MOST_RUNNING
        if len(edits) >= most:
            raise _to_pause(edits[-most] + MINUTE - now)
        edits.append(now)

    def rest(self, workspace: str, seconds: float) -> None:
        """Slack asked for a pause."""
        self._until[workspace] = self._clock.boottime() + seconds


def _to_pause(seconds: float) -> DeliveryUnavailable:
    return DeliveryUnavailable("Too many messages change at once there.", retry_after=seconds)
