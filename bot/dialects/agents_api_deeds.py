"""What Luma's Agents API does to finished clips of Ray 3.2: other looks, other shapes. Pure.

Facts: its guides on editing, reframing and pricing, June to October 2026, and luma-agents 0.5.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from bot import errors
from bot.dialects.agents_api import MEANS, RAY, to_user
from bot.ports import Operation, Submission
from bot.refs import Micros
from bot.request import ASPECT_RATIOS, AspectRatio, ModifyWork, ReframeWork, Resolution
from bot.tables import micros
from bot.tariffs import PerSource

#: Micro-dollars for the seconds named, by the size that is made. Of 360p and a new look only
#: Comfy tells, which asks what Luma does. How more than 10 s are counted is told nowhere: here by
#: each 5 s begun, so that it is never too little.
PRICES: Mapping[Literal["modify", "reframe"], tuple[int, Mapping[Resolution, int]]] = {
    "modify": (5, {"360p": 540_000, "540p": 720_000, "720p": 1_080_000, "1080p": 2_160_000}),
    "reframe": (1, {"360p": 30_000, "540p": 60_000, "720p": 120_000, "1080p": 360_000}),
}
#: An operator gives the price of 5 s at 540p, as for new clips.
MEASURE_SECONDS = 5
MEASURE_SIZE: Resolution = "540p"
#: Seconds that a clip may have. Luma's guides also say 30 for a new look; its client says 18.
LONGEST: Mapping[Operation, int] = {"modify": 18, "reframe": 30}
#: Shapes that are not made anew in 1080p so far.
UPRIGHT = ("9:16", "3:4")
SIZES: dict[tuple[Operation, AspectRatio], tuple[Resolution, ...]] = {
    **{("modify", ratio): RAY.resolutions for ratio in ASPECT_RATIOS},
    **{
        ("reframe", ratio): tuple(
            each for each in RAY.resolutions if each != "1080p" or ratio not in UPRIGHT
        )
        for ratio in RAY.aspect_ratios
    },
}
RAY_AND_DEEDS = replace(
    RAY, operations=frozenset({"video", "modify", "reframe"}), longest=LONGEST, sizes=SIZES
)
#: Luma wants to be told what is around the clip; said where nobody knows its words any more.
AROUND = "The same scene, going on beyond its edges"


def to_tariffs(prices: Mapping[str, float]) -> dict[str, PerSource]:
    """The published prices, or those that stand in the same proportion to the operator's."""
    tariffs = {}
    for kind, (seconds, sizes) in PRICES.items():
        key = f"{RAY.model}/{kind}"
        measure = sizes[MEASURE_SIZE] * MEASURE_SECONDS // seconds
        scale = micros(prices[key]) / measure if key in prices else 1
        scaled = {size: Micros(round(each * scale)) for size, each in sizes.items()}
        tariffs[key] = PerSource(prices=scaled, seconds=seconds)
    return tariffs


def to_deed(submission: Submission) -> dict[str, Any]:
    """The body of `POST /generations`; its length is the clip's, so that none is sent.

    Raises `ProviderRejected` for what Luma certainly would not take.
    """
    work, source = submission.work, submission.source
    assert isinstance(work, ModifyWork | ReframeWork)
    if source is None or source.generation_id is None or work.resolution is None:
        raise errors.ProviderRejected(MEANS["frames"], provider="luma_agents", code="frames")
    body: dict[str, Any] = {
        "model": work.model,
        "prompt": work.prompt.strip(),
        "source": {"generation_id": str(source.generation_id)},
        "video": {"resolution": work.resolution},
        **to_user(submission),
    }
    if isinstance(work, ReframeWork):
        around = body["prompt"] or AROUND
        return body | {
            "type": "video_reframe",
            "prompt": around,
            "aspect_ratio": work.aspect_ratio,
        }
    if not body["prompt"]:
        raise errors.ProviderRejected(MEANS["prompt"], provider="luma_agents", code="prompt")
    body["video"]["edit"] = {"strength": work.mode}
    return body | {"type": "video_edit"}
