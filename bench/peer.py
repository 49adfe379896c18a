"""The peer: the loop that Luma's own documentation shows for its SDK, one client and thread a job.

The documented loop also sleeps once more after the last look; here it does not, in its favour.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
from lumaai import LumaAI

from bench.service import KEY
from bot.clock import SystemClock

LOOK_SECONDS = 3.0
UPLOAD_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class PeerOrders:
    """So many jobs on one account, so many of them at once."""

    url: str
    at_once: int
    jobs: int


def run_peers(orders: Sequence[PeerOrders]) -> list[dict[str, float]]:
    """Run all of them side by side; for each, when the clip of a generation was visible."""
    with ThreadPoolExecutor(len(orders)) as lines:
        return list(lines.map(_run, orders))


def _run(order: PeerOrders) -> dict[str, float]:
    with ThreadPoolExecutor(order.at_once) as threads:
        return dict(threads.map(_make_clip, [order.url] * order.jobs))


def _make_clip(url: str) -> tuple[str, float]:
    pause = threading.Event()
    client = LumaAI(auth_token=KEY, base_url=url)
    generation = client.generations.create(
        prompt="a red fox in snow",
        model="ray-flash-2",
        aspect_ratio="1:1",
        duration="5s",
        resolution="540p",
    )
    assert generation.id is not None
    while True:
        generation = client.generations.get(id=generation.id or "")
        if generation.state == "completed":
            break
        if generation.state == "failed":
            raise RuntimeError(f"Generation failed: {generation.failure_reason}")
        pause.wait(LOOK_SECONDS)
    assert generation.id is not None
    assert generation.assets is not None
    with httpx.stream("GET", generation.assets.video or "", trust_env=False) as response:
        for _ in response.iter_bytes():
            pass
    pause.wait(UPLOAD_SECONDS)
    return generation.id, SystemClock().now().timestamp()
