"""What the service keeps about one key: settings, generations, credits and limits. No I/O."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from bot.simulator.order import ApiError, KeyFrame, Order

State = Literal["queued", "dreaming", "completed", "failed"]
#: The reason of a generation that its sender took back.
CANCELLED = "Cancelled"


@dataclass(frozen=True, kw_only=True)
class SimulatorSettings:
    """How the simulator behaves. Times are seconds of the real service, divided by `speed`.

    A generation takes `median_seconds` with a log-normal spread of `sigma`, or evenly between
    `min_seconds` and `max_seconds` where both are set; under `manual` only `finish` ends it.
    `over_limit` tells what happens beyond `running_limit`: the request is refused with 429, as
    Luma's limits are described, or waits as `queued`. `same_clip` serves one rendered file per
    size and length; without `full_size` clips have a quarter of each side. Under `same_id` a clip
    is upscaled, or given a sound, under its own id, and shows its old file until that is done.
    """

    api_key: str = "luma-simulator"
    speed: float = 1.0
    median_seconds: float = 45.0
    sigma: float = 0.5
    min_seconds: float | None = None
    max_seconds: float | None = None
    manual: bool = False
    same_clip: bool = False
    full_size: bool = True
    same_id: bool = False
    latency_seconds: float = 0.0
    running_limit: int | None = 10
    over_limit: Literal["refuse", "queue"] = "refuse"
    creates_per_minute: int | None = 20
    balance_cents: float = 10_000.0
    page_limit_max: int = 100
    seed: int | None = None

    def draw_seconds(self, rng: random.Random) -> float:
        """How long one generation takes, in real seconds."""
        if self.min_seconds is not None and self.max_seconds is not None:
            return rng.uniform(self.min_seconds, self.max_seconds) / self.speed
        return self.median_seconds * rng.lognormvariate(0.0, self.sigma) / self.speed


@dataclass(kw_only=True)
class Generation:
    """One generation, with what its sender and the tests want to know of it."""

    id: str
    order: Order
    request: dict[str, Any]
    created_at: datetime
    ready_at: datetime
    seconds: float
    origin: str
    state: State = "queued"
    completed_at: datetime | None = None
    failure_reason: str | None = None
    verdict: str | None = None
    hidden_lists: int = 0
    is_deleted: bool = False
    clip: Path | None = None
    downloads: int = 0
    expired_links: int = 0
    source: Generation | None = None
    goes_on: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or badly."""
        return self.state in ("completed", "failed")

    @property
    def shown_id(self) -> str:
        """The id that its sender knows: its source's where it goes on under that one."""
        return self.source.shown_id if self.source and self.goes_on else self.id

    @property
    def token(self) -> str | None:
        """The last part of the callback address, which is the sender's secret."""
        url = self.order.callback_url
        return url.rstrip("/").rsplit("/", 1)[-1] if url else None

    def link(self, name: str) -> str:
        """Where a file of it is to be fetched, by today's link."""
        since = f"?since={self.expired_links}" if self.expired_links else ""
        return f"{self.origin}/cdn/{self.id}/{name}{since}"

    def to_json(self) -> dict[str, Any]:
        """The generation as every reply, list and callback of Luma's shows it."""
        return {
            "id": self.shown_id,
            "generation_type": "image" if self.order.is_still else "video",
            "state": "completed" if self._shows_source else self.state,
            "failure_reason": self.failure_reason,
            "created_at": self.created_at.isoformat(timespec="microseconds")[:26] + "Z",
            "assets": self.assets(),
            "model": self.order.model,
            "request": self.request,
        }

    @property
    def _shows_source(self) -> bool:
        return self.goes_on and not self.is_over

    def assets(self) -> dict[str, str | None] | None:
        """The links to its files; None before it is done."""
        if self.source and self._shows_source:
            return self.source.assets()
        if self.state != "completed":
            return None
        if self.order.is_still:
            return {"video": None, "image": self.link("still.jpg"), "progress_video": None}
        return {
            "video": self.link("result.mp4"),
            "image": self.link("thumb.jpg"),
            "progress_video": None,
        }


class Account:
    """The generations of one key, oldest first, its credits and its limits."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.generations: dict[str, Generation] = {}
        self.balance_cents = settings.balance_cents
        self.running = 0
        self._rng = random.Random(settings.seed)  # noqa: S311 - durations, not secrets
        self._creates: deque[float] = deque()
        #: What goes on under the id of another, by that id.
        self._latest: dict[str, str] = {}

    def count_create(self, now: float) -> None:
        """Count a create request at a time in seconds; raises `ApiError` beyond the rate."""
        limit = self.settings.creates_per_minute
        while self._creates and self._creates[0] <= now - 60 / self.settings.speed:
            self._creates.popleft()
        if limit is not None and len(self._creates) >= limit:
            raise ApiError(429, "Rate limit exceeded")
        self._creates.append(now)

    def creates_left(self, now: float) -> tuple[int | None, float]:
        """How many more create requests the rate takes, and in how many seconds one more again."""
        limit, window = self.settings.creates_per_minute, 60 / self.settings.speed
        recent = [at for at in self._creates if at > now - window]
        left = None if limit is None else max(limit - len(recent), 0)
        return left, min(recent, default=now - window) + window - now

    def create(
        self,
        order: Order,
        body: dict[str, Any],
        now: datetime,
        origin: str,
        *,
        source: Generation | None = None,
    ) -> Generation:
        """Charge and record a generation, maybe of a `source`; raises `ApiError` 429 or 402."""
        settings = self.settings
        if settings.over_limit == "refuse" and self.running >= (settings.running_limit or 1e9):
            raise ApiError(429, "Too many concurrent generations")
        for frame in (order.start, order.end):
            self._check_frame(frame)
        if order.cost_cents > self.balance_cents:
            raise ApiError(402, "Insufficient credits")
        self.balance_cents -= order.cost_cents
        self.running += 1
        seconds = settings.draw_seconds(self._rng)
        generation = Generation(
            id=str(uuid.uuid4()),
            order=order,
            request=_echo(body),
            created_at=now,
            ready_at=now + timedelta(seconds=seconds),
            seconds=seconds,
            origin=origin,
            source=source,
            goes_on=settings.same_id and order.deed in ("upscale", "audio"),
        )
        self.generations[generation.id] = generation
        if source and generation.goes_on:
            self._latest[source.shown_id] = generation.id
        return generation

    def end(self, generation: Generation, *, at: datetime, failure: str | None) -> None:
        """Free its place; a failed one gives back what it cost."""
        self.running -= 1
        if failure is None:
            generation.completed_at = at
        else:
            generation.failure_reason = failure
            self.balance_cents += generation.order.cost_cents

    def get(self, id_: str) -> Generation:
        """One generation; raises `ApiError` 404."""
        generation = self.generations.get(self._latest.get(id_, id_))
        if generation is None or generation.is_deleted:
            raise ApiError(404, "Generation not found")
        return generation

    def to_source(self, id_: str) -> Generation:
        """One whose clip can be worked on; raises `ApiError` 404 or 400."""
        generation = self.get(id_)
        if generation.state != "completed":
            raise ApiError(400, f"Generation {id_} is not completed")
        return generation

    def page(self, limit: int, offset: int) -> dict[str, Any]:
        """A page of the list, newest first."""
        limit = min(limit, self.settings.page_limit_max)
        shown = []
        for each in reversed(self.generations.values()):
            if each.id != self._latest.get(each.shown_id, each.id):
                continue
            if each.hidden_lists > 0:
                each.hidden_lists -= 1
            elif not each.is_deleted:
                shown.append(each)
        part = shown[offset : offset + limit]
        return {
            "generations": [each.to_json() for each in part],
            "count": len(part),
            "limit": limit,
            "offset": offset,
            "has_more": offset + limit < len(shown),
        }

    def _check_frame(self, frame: KeyFrame | None) -> None:
        if frame is None or frame.kind != "generation":
            return
        generation = self.generations.get(frame.value)
        if generation is None or generation.is_deleted:
            raise ApiError(404, f"Generation {frame.value} not found")
        if generation.state != "completed":
            raise ApiError(400, f"Generation {frame.value} is not completed")


def _echo(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("generation_type") not in (None, "video", "image"):
        return {"callback_url": None, **body}
    if body.get("generation_type") == "image":
        return {"format": "jpg", "aspect_ratio": "16:9", "callback_url": None, **body}
    fields: dict[str, Any] = {
        "generation_type": "video",
        "prompt": None,
        "aspect_ratio": "16:9",
        "loop": False,
        "keyframes": None,
        "callback_url": None,
        "model": None,
        "resolution": None,
        "duration": None,
        "concepts": None,
    }
    return {**fields, **body}
