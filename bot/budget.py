"""How often a provider may be asked, and when to stop asking. Pure: the time is passed in.

Times are seconds of any clock that never goes back, such as `Clock.boottime`.
"""

from __future__ import annotations

from collections import deque

ROUNDING = 1e-9
#: How long nothing is sent where its operator has to help.
OPERATOR_PAUSE_SECONDS = 300.0


class TokenBucket:
    """At most `burst + rate · t` calls in any `t` seconds; `rate` is calls a second."""

    def __init__(self, rate: float, *, burst: int) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a bucket needs a rate above 0 and room for one")
        self._rate = rate
        self._burst = float(burst)
        self._tokens = self._burst
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Use one call, if one is left."""
        self._fill(now)
        if self._tokens < 1 - ROUNDING:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until `take` will say yes, 0 if it does now."""
        self._fill(now)
        return 0.0 if self._tokens >= 1 - ROUNDING else (1 - self._tokens) / self._rate

    def penalise(self, now: float, seconds: float) -> None:
        """Let nothing through for this long, and then no burst: the service said "too many"."""
        self._fill(now)
        self._tokens = min(self._tokens, 1 - seconds * self._rate)

    def _fill(self, now: float) -> None:
        if self._seen is not None and now > self._seen:
            self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now if self._seen is None else max(now, self._seen)


class CircuitBreaker:
    """Holds calls back while a service is down, letting one probe through now and then.

    Opens after 5 failures in a row, or when more than half of the last 20 calls within 30 s
    failed. The first probe is due after 15 s, each further one after twice as long, at most 120 s.
    """

    IN_A_ROW = 5
    WINDOW = 20
    WINDOW_SECONDS = 30.0
    FIRST_WAIT = 15.0
    LONGEST_WAIT = 120.0

    def __init__(self) -> None:
        self._recent: deque[tuple[float, bool]] = deque(maxlen=self.WINDOW)
        self._in_a_row = 0
        self._wait = self.FIRST_WAIT
        self._probe_at: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the service counts as down."""
        return self._probe_at is not None

    def wait(self, now: float) -> float:
        """Seconds until `allows` will say yes, 0 if it does now."""
        return 0.0 if self._probe_at is None else max(self._probe_at - now, 0.0)

    def allows(self, now: float) -> bool:
        """Whether to call now. While open, a yes is the one probe, and the next is later."""
        if self._probe_at is None:
            return True
        if now < self._probe_at:
            return False
        # A probe that is cancelled never reports; the next is then due all the same.
        self._probe_at = now + self._wait
        self._is_probing = True
        return True

    def succeeded(self, now: float) -> None:
        """The service answered. A success ends an open circuit."""
        if self.is_open:
            self._recent.clear()
        self._recent.append((now, True))
        self._in_a_row = 0
        self._wait = self.FIRST_WAIT
        self._probe_at = None
        self._is_probing = False

    def failed(self, now: float) -> None:
        """The service did not answer, or with its own error."""
        self._recent.append((now, False))
        self._in_a_row += 1
        if self.is_open:
            self._postpone(now)
        elif self._in_a_row >= self.IN_A_ROW or self._is_mostly_failing(now):
            self._probe_at = now + self._wait

    def _postpone(self, now: float) -> None:
        """After a failed probe; calls that were under way when it opened change nothing."""
        if self._is_probing:
            self._is_probing = False
            self._wait = min(self._wait * 2, self.LONGEST_WAIT)
            self._probe_at = now + self._wait

    def _is_mostly_failing(self, now: float) -> bool:
        fresh = [ok for at, ok in self._recent if now - at <= self.WINDOW_SECONDS]
        return len(fresh) == self.WINDOW and fresh.count(False) * 2 > self.WINDOW
