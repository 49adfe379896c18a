"""Every figure Raybot shows to Prometheus, in one place; labels are few and bounded.

Never a label: a person, a place, a job, a prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import Counter, Gauge, Histogram

LONG = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600)
STALLS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SHORT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30)


class Metrics:
    """The instruments of one process, on their own registry, so that two can live side by side."""

    def __init__(self) -> None:
        # Imported here: a tenth of a second that commands which show no figures need not pay.
        from prometheus_client import CollectorRegistry, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._add_health()
        self._add_jobs()
        self._add_money()
        self._add_provider()

    def _add_health(self) -> None:
        self._gauge("build_info", "Always 1.", ["version"]).labels(__version__).set(1)
        self.ready = self._gauge("ready", "1 while requests can be taken, as /readyz says.")
        self.disk_free_bytes = self._gauge(
            "disk_free_bytes", "Free room on the disk of the data folder."
        )
        self.chat_trouble = self._gauge(
            "chat_trouble", "1 while a chat hears nobody, or not everybody.", ["chat"]
        )

    def _add_jobs(self) -> None:
        self.jobs = self._gauge("jobs", "Jobs by state.", ["state"])
        self.jobs_parked = self._gauge("jobs_parked", "Jobs that a crash loop parked.")
        self.oldest_open_job_seconds = self._gauge(
            "oldest_open_job_seconds", "Age of the oldest open job; a question is none."
        )
        self.job_seconds = self._histogram(
            "job_seconds",
            "Parts of delivered jobs: wait (until sent), make (until seen ready), deliver.",
            ["part"],
            LONG,
        )
        self.loop_stall_seconds = self._histogram(
            "loop_stall_seconds", "How late a heartbeat of the event loop came.", [], STALLS
        )

    def _add_money(self) -> None:
        self.charged_usd = self._gauge(
            "charged_usd", "Dollars settled so far.", ["provider", "model"]
        )
        self.held_usd = self._gauge("held_usd", "Dollars held for open jobs.")
        self.broken_rules = self._gauge("broken_rules", "Rules of the books that do not hold.")

    def _add_provider(self) -> None:
        self.provider_requests = self._counter(
            "provider_requests_total",
            "HTTP requests, by outcome (2xx … 5xx, error).",
            ["provider", "method", "outcome"],
        )
        self.provider_request_seconds = self._histogram(
            "provider_request_seconds",
            "Time to a reply's headers.",
            ["provider", "method"],
            SHORT,
        )
        self.provider_slots = self._gauge(
            "provider_slots", "Slots at the provider: used, allowed.", ["provider", "kind"]
        )
        self.provider_trouble = self._gauge(
            "provider_trouble", "1 while nothing can be submitted to a provider.", ["provider"]
        )
        self.failovers = self._counter(
            "failovers_total",
            "Jobs that one provider did not take and another got.",
            ["provider", "other"],
        )
        self.callbacks = self._counter(
            "callbacks_total", "Callbacks received.", ["provider", "outcome"]
        )

    def _counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        from prometheus_client import Counter

        return Counter(f"raybot_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        from prometheus_client import Gauge

        return Gauge(f"raybot_{name}", about, labels, registry=self.registry)

    def _histogram(
        self, name: str, about: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Histogram:
        from prometheus_client import Histogram

        return Histogram(f"raybot_{name}", about, labels, buckets=buckets, registry=self.registry)

    def request_observer(self, provider: str) -> Callable[[str, str, float], None]:
        """What `bot.http.create_client` calls after each request of this provider."""

        def observe(method: str, outcome: str, seconds: float) -> None:
            self.provider_requests.labels(provider, method, outcome).inc()
            self.provider_request_seconds.labels(provider, method).observe(seconds)

        return observe

    def render(self) -> bytes:
        """The page for Prometheus, in its text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
