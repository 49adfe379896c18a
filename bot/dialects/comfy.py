"""What Comfy sells of Luma's models, through its router and through the nodes of ComfyUI. Pure.

Facts: Comfy's price table of partner nodes and the price tags of the nodes themselves.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from bot.dialects.dream_machine import FRAMES, MEANS, MODELS, explain
from bot.job import Failure
from bot.ports import ModelCapabilities, Submission
from bot.refs import Micros
from bot.request import Duration, Resolution
from bot.tables import micros
from bot.tariffs import PerClip, Tariff

#: US dollars a clip, August 2026; the shape makes no difference.
PRICES: dict[str, dict[tuple[Resolution, Duration], float]] = {
    "ray-flash-2": {
        ("540p", "5s"): 0.20,
        ("540p", "9s"): 0.36,
        ("720p", "5s"): 0.34,
        ("720p", "9s"): 0.61,
        ("1080p", "5s"): 0.79,
        ("1080p", "9s"): 1.42,
        ("4k", "5s"): 3.13,
        ("4k", "9s"): 5.65,
    },
    "ray-2": {
        ("540p", "5s"): 0.57,
        ("540p", "9s"): 1.03,
        ("720p", "5s"): 1.02,
        ("720p", "9s"): 1.83,
        ("1080p", "5s"): 2.27,
        ("1080p", "9s"): 4.10,
        ("4k", "5s"): 9.11,
        ("4k", "9s"): 16.40,
    },
}
#: The clip that an operator's own price is for.
SMALLEST: tuple[Resolution, Duration] = ("540p", "5s")
#: Images only: neither service takes an earlier clip by an id that Raybot has of it.
IMAGES = {pair: rule for pair, rule in FRAMES.items() if "clip" not in pair}
CREDITS = "The Comfy account has no credits left; its owner can add some at platform.comfy.org."
#: What a refusal or a failure is in the router's word for it, and its code and sentence.
BUCKETS = {
    "content_policy_violation": ("moderation", MEANS["moderation"]),
    "insufficient_credits": ("credits", CREDITS),
    "cancelled": ("cancelled", "Somebody cancelled it at Comfy."),
    "provider_timeout": ("timeout", "Luma did not finish in time. Ask again in a while."),
    "queue_timeout": ("service", "It waited too long at Comfy. Ask again in a while."),
}
_NAMES = uuid.UUID("6d2a4c3e-5f0b-4f7e-9a51-0c9b7c1e8d42")


def to_models(
    *, image_input: Literal["link", "bytes"], has_concepts: bool
) -> dict[str, ModelCapabilities]:
    """Luma's models as one of the two services takes them."""
    return {
        model: replace(
            can,
            frames=IMAGES,
            image_input=image_input,
            concepts=can.concepts if has_concepts else (),
        )
        for model, can in MODELS.items()
    }


def to_tariffs(own: Mapping[str, float]) -> dict[str, Tariff]:
    """The prices, by model. An own one is $ for 5 s at 540p; the other clips keep their ratio."""
    return {
        model: PerClip(
            clips={
                clip: Micros(
                    round(micros(usd) * own.get(model, table[SMALLEST]) / table[SMALLEST])
                )
                for clip, usd in table.items()
            }
        )
        for model, table in PRICES.items()
    }


def to_uuid(submission: Submission) -> str:
    """An attempt's own id, the same whenever it is asked for: its row stands before the POST.

    The attempt's secret is in it as its hash, so that nobody else's Raybot makes the same.
    """
    named = f"{submission.job_id} {submission.attempt} {submission.token_hash}"
    return str(uuid.uuid5(_NAMES, named))


def to_failure(detail: str, bucket: str = "") -> Failure:
    """Why there is no clip, in Luma's words where they are known, else by the router's bucket."""
    if known := explain(detail):
        return known
    if bucket in BUCKETS:
        code, sentence = BUCKETS[bucket]
        return Failure(code=code, sentence=sentence)
    said = f": {detail.rstrip('.')}" if detail else " and gives no reason"
    return Failure(code="unknown", sentence=f"Comfy made no clip{said}.")
